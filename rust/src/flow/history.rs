//! The history string: short ones lie in one word, six bits a letter (the low six of its ASCII code, which tell all letters and `^` apart).

const BITS: u32 = 6;
/// Letters in the word.
const INSIDE: u32 = u64::BITS / BITS;
/// Repeated letters can be forced by a sender; nobody reads a history this long.
const LONGEST: usize = 1012;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The first letters, from the lowest bits up; zeros follow the last one.
    inside: u64,
    #[allow(clippy::box_collection)] // one word in every session instead of three
    more: Option<Box<String>>,
}

impl History {
    #[inline]
    pub fn push(&mut self, letter: u8) {
        let used = (u64::BITS - self.inside.leading_zeros()).div_ceil(BITS);
        if used < INSIDE {
            self.inside |= u64::from(letter & 0x3f) << (used * BITS);
            return;
        }
        let more = self.more.get_or_insert_default();
        if more.len() < LONGEST {
            more.push(char::from(letter));
        }
    }

    /// The history as a word, where it is short enough.
    #[inline]
    #[must_use]
    pub fn word(&self) -> Option<u64> {
        self.more.is_none().then_some(self.inside)
    }

    /// The other way round.
    #[inline]
    #[must_use]
    pub fn of(word: u64) -> Self {
        Self { inside: word, more: None }
    }

    /// Change the sides of all letters and say so in front.
    pub fn turn(&mut self) {
        let old = std::mem::take(self);
        self.push(b'^');
        for letter in old.letters() {
            self.push(if letter.is_ascii_uppercase() { letter.to_ascii_lowercase() } else { letter.to_ascii_uppercase() });
        }
    }

    pub fn letters(&self) -> impl Iterator<Item = u8> {
        let inside = (0..INSIDE).map(|place| (self.inside >> (place * BITS) & 0x3f) as u8).take_while(|code| *code != 0).map(|code| code | 0x40);
        inside.chain(self.more.iter().flat_map(|more| more.bytes()))
    }

    /// Append it to a text.
    pub fn write(&self, text: &mut String) {
        text.extend(self.letters().map(char::from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(history: &History) -> String {
        let mut text = String::new();
        history.write(&mut text);
        text
    }

    #[test]
    fn letters_come_out_as_they_went_in() {
        for length in 0..30 {
            let letters: String = "^ShADadFfRrIiQqGgWwTtHsCc^ABCD".chars().take(length).collect();
            let mut history = History::default();
            letters.bytes().for_each(|letter| history.push(letter));
            assert_eq!(text(&history), letters);
            assert_eq!(history.word().map(|word| text(&History::of(word))), (length <= 10).then_some(letters));
        }
    }

    #[test]
    fn turned_the_sides_are_changed() {
        let mut history = History::default();
        b"hSaDdfFrRtTw".iter().for_each(|letter| history.push(*letter));
        history.turn();
        assert_eq!(text(&history), "^HsAdDFfRrTtW");
    }
}
