//! Where the separators and the ends of lines of a block of text are: one bit a byte, found 64 bytes at a time and read 57 or more at a time.

use std::cell::Cell;

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, u8x64};

use super::window::BEFORE;

thread_local! {
    /// Those of the part before: memory that is asked for anew costs more than what is written there.
    static SPARE: Cell<(Vec<u8>, Vec<u64>)> = const { Cell::new((Vec::new(), Vec::new())) };
}

/// One bit for each byte of the text, and room behind the last for a whole word.
#[derive(Default)]
pub struct Marks {
    cells: Vec<u8>,
    lines: Vec<u64>,
}

impl Drop for Marks {
    fn drop(&mut self) {
        if self.cells.capacity() > 0 {
            SPARE.set((std::mem::take(&mut self.cells), std::mem::take(&mut self.lines)));
        }
    }
}

impl Marks {
    /// Of rows whose cells are separated.
    pub fn read(&mut self, text: &[u8], separator: u8) {
        let (chunks, rest) = text.as_chunks::<64>();
        if self.cells.capacity() == 0 {
            (self.cells, self.lines) = SPARE.take();
        }
        self.cells.clear();
        self.lines.clear();
        let mut last = [b' '; 64];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        dispatch!(Level::new(), simd => self.scan(simd, chunks.iter().chain([&last]), separator));
        self.cells.extend([0; 8]);
    }

    #[inline(always)]
    fn scan<'a, S: Simd>(&mut self, simd: S, chunks: impl Iterator<Item = &'a [u8; 64]>, separator: u8) {
        for chunk in chunks {
            let chunk: u8x64<S> = (*chunk).simd_into(simd);
            self.cells.extend_from_slice(&chunk.simd_eq(separator).to_bitmask().to_le_bytes());
            self.lines.push(chunk.simd_eq(b'\n').to_bitmask());
        }
    }

    /// Where lines end, in order.
    #[inline]
    pub fn ends(&self) -> impl Iterator<Item = usize> {
        let (mut words, mut marks, mut at) = (self.lines.iter(), 0_u64, 0_usize.wrapping_sub(64));
        std::iter::from_fn(move || {
            while marks == 0 {
                marks = *words.next()?;
                at = at.wrapping_add(64);
            }
            let end = at + marks.trailing_zeros() as usize;
            marks &= marks - 1;
            Some(end)
        })
    }

    /// The separators from a place on; all within the next 57 bytes are there.
    #[inline]
    fn window(&self, at: usize) -> Option<u64> {
        Some(u64::from_le_bytes(*self.cells.get(at / 8..)?.first_chunk()?) >> (at % 8))
    }

    /// Fill `starts` with where each next cell begins, after one that begins at `at`, in the window of the row that begins at `row`. `None`:
    /// a cell is longer than a word's bits, or there are no more.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // windows are far shorter than 4 GB
    pub fn starts(&self, row: usize, mut at: usize, starts: &mut [u32]) -> Option<usize> {
        let shift = row.wrapping_sub(BEFORE);
        // Four cells mostly fit in one word.
        for four in starts.chunks_mut(4) {
            let (mut from, mut marks) = (at, self.window(at.wrapping_add(shift))?);
            for start in four {
                if marks == 0 {
                    (from, marks) = (at, self.window(at.wrapping_add(shift))?);
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

    /// Whether a row has no separator between two places of its window; places further apart than a word's bits are not looked at.
    #[inline]
    pub fn none(&self, row: usize, from: usize, to: usize) -> bool {
        let window = self.window(from.wrapping_add(row.wrapping_sub(BEFORE)));
        to >= from && to - from <= 56 && window.is_some_and(|marks| marks & ((1 << (to - from)) - 1) == 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn starts_are_where_separators_end(text in proptest::collection::vec(prop_oneof![Just(b'\t'), Just(b'\n'), Just(0x89), any::<u8>()], 0..300)) {
            let mut marks = Marks::default();
            marks.read(&text, b'\t');
            let places = |wanted: u8| (0..).zip(&text).filter(move |(_, byte)| **byte == wanted).map(|(at, _)| at);
            prop_assert!(marks.ends().eq(places(b'\n')));
            let expected: Vec<u32> = places(b'\t').map(|at| u32::try_from(at + 1).unwrap_or(0)).collect();
            let mut starts = vec![0; expected.len()];
            if marks.starts(BEFORE, 0, &mut starts).is_some() {
                prop_assert_eq!(&starts, &expected);
            }
            for (from, to) in [(0, text.len() / 2), (text.len() / 3, text.len() / 2), (text.len() / 2, text.len())] {
                let none = !text[from..to].contains(&b'\t');
                prop_assert_eq!(marks.none(BEFORE, from, to), none && to - from <= 56);
            }
        }
    }
}
