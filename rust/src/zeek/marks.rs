//! Where the separators of a block of text are: one bit a byte, found eight bytes at a time and read 57 or more at a time.

const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
const TOP: u64 = 0x8080_8080_8080_8080;

/// The top bit of each byte that is 0.
#[inline]
pub fn zeros(word: u64) -> u64 {
    !(((word & LOW) + LOW) | word | LOW)
}

/// One bit for each byte of the text, and room behind the last for a whole word.
#[derive(Default)]
pub struct Marks(Vec<u8>);

impl Marks {
    pub fn read(&mut self, text: &[u8], separator: u8) {
        let pattern = u64::from_le_bytes([separator; 8]);
        let (words, rest) = text.as_chunks::<8>();
        self.0.clear();
        self.0.extend(words.iter().map(|word| packed(u64::from_le_bytes(*word) ^ pattern)));
        let mut last = [!separator; 8];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.0.push(packed(u64::from_le_bytes(last) ^ pattern));
        self.0.extend([0; 8]);
    }

    /// The separators from a place on; all within the next 57 bytes are there.
    #[inline]
    fn window(&self, at: usize) -> Option<u64> {
        Some(u64::from_le_bytes(self.0.get(at / 8..at / 8 + 8)?.try_into().ok()?) >> (at % 8))
    }

    /// Fill `starts` with where each next cell begins, after one that begins at `at`. `None`: a cell is longer than a word's bits, or there
    /// are no more.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // blocks are far shorter than 4 GB
    pub fn starts(&self, mut at: usize, starts: &mut [u32]) -> Option<usize> {
        // Four cells mostly fit in one window.
        for four in starts.chunks_mut(4) {
            let (mut from, mut marks) = (at, self.window(at)?);
            for start in four {
                if marks == 0 {
                    (from, marks) = (at, self.window(at)?);
                    if marks == 0 {
                        return None;
                    }
                }
                at = from + marks.trailing_zeros() as usize + 1;
                marks &= marks - 1;
                *start = at as u32;
            }
        }
        Some(at)
    }

    /// Whether a text has no separator between two places; places further apart than a word's bits are not looked at.
    #[inline]
    pub fn none(&self, from: usize, to: usize) -> bool {
        to >= from && to - from <= 56 && self.window(from).is_some_and(|marks| marks & ((1 << (to - from)) - 1) == 0)
    }
}

/// The bits of the bytes of a word that are 0, in their order.
#[inline]
#[allow(clippy::cast_possible_truncation)] // one byte
fn packed(word: u64) -> u8 {
    let marks = !(((word & LOW) + LOW) | word) & TOP;
    ((marks >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn starts_are_where_separators_end(text in proptest::collection::vec(prop_oneof![Just(b'\t'), Just(0x89), any::<u8>()], 0..200)) {
            let mut marks = Marks::default();
            marks.read(&text, b'\t');
            let expected: Vec<u32> = (1..).zip(&text).filter(|(_, byte)| **byte == b'\t').map(|(at, _)| at).collect();
            let mut starts = vec![0; expected.len()];
            if marks.starts(0, &mut starts).is_some() {
                prop_assert_eq!(&starts, &expected);
            }
            for (from, to) in [(0, text.len() / 2), (text.len() / 3, text.len() / 2), (text.len() / 2, text.len())] {
                let none = !text[from..to].contains(&b'\t');
                prop_assert_eq!(marks.none(from, to), none && to - from <= 56);
            }
        }
    }
}
