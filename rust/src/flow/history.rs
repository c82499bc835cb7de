//! The history string: short ones lie inside the record.

const INSIDE: usize = 22;

#[derive(Debug, Clone, Default)]
pub struct History {
    length: u8,
    inside: [u8; INSIDE],
    #[allow(clippy::box_collection)] // one word in every session instead of three
    more: Option<Box<String>>,
}

impl History {
    #[inline]
    pub fn push(&mut self, letter: u8) {
        if let Some(place) = self.inside.get_mut(usize::from(self.length)) {
            *place = letter;
            self.length += 1;
        } else {
            let more = self.more.get_or_insert_default();
            // Repeated letters can be forced by a sender; nobody reads a history this long.
            if more.len() < 1000 {
                more.push(char::from(letter));
            }
        }
    }

    /// Change the sides of all letters and say so in front.
    pub fn turn(&mut self) {
        let text = self.text();
        *self = Self::default();
        self.push(b'^');
        for letter in text.bytes() {
            self.push(if letter.is_ascii_uppercase() { letter.to_ascii_lowercase() } else { letter.to_ascii_uppercase() });
        }
    }

    /// Its first letters: more than any rule looks at.
    #[must_use]
    pub fn inside(&self) -> &[u8] {
        self.inside.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// What did not fit inside.
    #[must_use]
    pub fn more(&self) -> &str {
        self.more.as_ref().map_or("", |more| more.as_str())
    }

    /// Append it to a text.
    pub fn write(&self, text: &mut String) {
        text.extend(self.inside().iter().copied().map(char::from));
        text.push_str(self.more());
    }

    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }
}
