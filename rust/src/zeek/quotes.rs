//! Where the quotes of JSON lines are, and all that makes a line none of the plain kind: found 64 bytes at a time.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, mask8x64, u8x64};

/// Text of which the places are kept at once: they fit in the fastest cache with it.
pub const PIECE: usize = 32 << 10;
/// Places behind the last: so many can always be looked at.
pub const MORE: usize = 128;
/// None, and far from all that are.
const NONE: u32 = u32::MAX / 2;
/// So many places are written at once.
const GROUP: usize = 16;

/// Quotes, and bytes that no plain JSON line has: of control, beyond ASCII, backslashes.
#[inline(always)]
fn marked<S: Simd>(simd: S, chunk: &[u8; 64]) -> mask8x64<S> {
    let chunk: u8x64<S> = (*chunk).simd_into(simd);
    // Printable ASCII are 95 bytes from the space on.
    let odd = (chunk - b' ').simd_gt(94) | chunk.simd_eq(b'\\');
    odd | chunk.simd_eq(b'"')
}

/// Places of quotes and of odd bytes, which the ends of lines are, in order.
#[derive(Default)]
pub struct Quotes {
    places: Vec<u32>,
    count: usize,
}

impl Quotes {
    /// Of a text that stands at a place of its block; those behind its first `PIECE` bytes may be missing.
    pub fn read(&mut self, text: &[u8], place: usize) {
        self.places.resize(PIECE + 2 * MORE, 0);
        self.count = 0;
        dispatch!(Level::new(), simd => self.scan(simd, text, place));
        self.places.iter_mut().skip(self.count).take(MORE).for_each(|place| *place = NONE);
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // blocks are far shorter than 4 GB
    fn scan<S: Simd>(&mut self, simd: S, text: &[u8], place: usize) {
        let numbers = u8x64::from_fn(simd, |at| at as u8);
        let (chunks, rest) = text.as_chunks::<64>();
        let mut last = [b' '; 64];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        let mut at = place as u32;
        for chunk in chunks.iter().chain([&last]) {
            let Some(room) = self.places.get_mut(self.count..PIECE + MORE).and_then(|room| room.first_chunk_mut::<64>()) else { return };
            let marked = marked(simd, chunk);
            let marks = marked.to_bitmask();
            let count = marks.count_ones() as usize;
            if simd.level().as_avx512().is_some() {
                let found: [u8; 64] = simd.compress_u8x64(numbers, marked).into();
                put(at, &found, count, room);
            } else {
                spread(at, marks, room);
            }
            self.count += count;
            at = at.wrapping_add(64);
        }
    }

    /// All, and `MORE` that are none.
    pub fn all(&self) -> &[u32] {
        self.places.get(..self.count + MORE).unwrap_or_default()
    }
}

/// The numbers of marked bytes as places. Most chunks have few: those are written without asking how many there are.
#[inline(always)]
fn put(at: u32, found: &[u8; 64], count: usize, room: &mut [u32; 64]) {
    let (few, more) = found.split_at(GROUP);
    let (room, rest) = room.split_at_mut(GROUP);
    room.iter_mut().zip(few).for_each(|(to, from)| *to = at.wrapping_add(u32::from(*from)));
    if count > GROUP {
        rest.iter_mut().zip(more).for_each(|(to, from)| *to = at.wrapping_add(u32::from(*from)));
    }
}

/// The same from one bit for each byte.
#[inline(always)]
fn spread(at: u32, mut marks: u64, room: &mut [u32; 64]) {
    let (first, rest) = room.split_at_mut(GROUP);
    for to in first {
        // A bit that is always there spares asking.
        *to = at.wrapping_add((marks | 1 << 63).trailing_zeros());
        marks &= marks.wrapping_sub(1);
    }
    for to in rest {
        if marks == 0 {
            break;
        }
        *to = at.wrapping_add(marks.trailing_zeros());
        marks &= marks - 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_of_all_that_is_not_plain(
            text in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), Just(b'a'), Just(b'a'), any::<u8>()], 0..300),
            place in 0_usize..1000,
        ) {
            let special = |byte: u8| byte == b'"' || byte == b'\\' || !(0x20..0x7f).contains(&byte);
            let expected: Vec<u32> = (0..).zip(&text).filter(|(_, byte)| special(**byte)).map(|(at, _)| at + u32::try_from(place).unwrap_or(0)).collect();
            let mut quotes = Quotes::default();
            quotes.read(&text, place);
            prop_assert_eq!(quotes.all().strip_suffix(&[NONE; MORE]), Some(expected.as_slice()));
        }

        #[test]
        fn places_are_the_same_either_way(marks: u64) {
            let (mut one, mut other, mut found) = ([0; 64], [0; 64], [0; 64]);
            let set = (0..64_u8).filter(|bit| marks >> bit & 1 == 1);
            found.iter_mut().zip(set).for_each(|(to, from)| *to = from);
            let count = marks.count_ones() as usize;
            put(7, &found, count, &mut one);
            spread(7, marks, &mut other);
            prop_assert_eq!(one.get(..count), other.get(..count));
        }
    }
}
