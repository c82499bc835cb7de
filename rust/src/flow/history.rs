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

    #[must_use]
    pub fn text(&self) -> String {
        let inside = self.inside.get(..usize::from(self.length)).unwrap_or_default();
        let mut text: String = inside.iter().copied().map(char::from).collect();
        if let Some(more) = &self.more {
            text.push_str(more);
        }
        text
    }
}
