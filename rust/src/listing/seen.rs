//! The different values of a column in the order of their first coming, and which one each row has.

use std::hash::{BuildHasher, RandomState};

use crate::flow::key::fold;

/// Slots to begin with; at most half of them are taken.
const SLOTS: usize = 256;
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// An outsider who does not know the seeds cannot choose values that fall together.
pub struct Seen {
    seeds: (u64, u64),
    /// Upper half: of the hash; lower half: number of the value and one, 0 where there is none.
    slots: Vec<u64>,
    /// The values one behind the other, each after `prefix` bytes of its length, and where each stands.
    pub bytes: Vec<u8>,
    places: Vec<(u32, u32)>,
    prefix: bool,
    /// For each row that has a value its number.
    pub picks: Vec<u32>,
}

impl Seen {
    /// `prefix`: four bytes with its length precede each value.
    pub fn new(prefix: bool) -> Self {
        let seed = |number: u64| RandomState::new().hash_one(number);
        Self { seeds: (seed(0), seed(1)), slots: vec![0; SLOTS], bytes: Vec::new(), places: Vec::new(), prefix, picks: Vec::new() }
    }

    /// As new, with the room that it has.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.slots.resize(SLOTS, 0);
        self.bytes.clear();
        self.places.clear();
        self.picks.clear();
    }

    /// How many different values there are.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    fn value(&self, number: u32) -> Option<&[u8]> {
        let (start, end) = *self.places.get(number as usize)?;
        self.bytes.get(start as usize..end as usize)
    }

    /// All rows' values one behind the other, written out.
    pub fn plain(&self, out: &mut Vec<u8>) {
        for value in self.picks.iter().filter_map(|pick| self.value(*pick)) {
            put(value, self.prefix, out);
        }
    }

    /// The value of the next row.
    pub fn push(&mut self, value: &[u8]) {
        if let Some(last) = self.picks.last().copied().filter(|last| self.value(*last) == Some(value)) {
            self.picks.push(last);
            return;
        }
        let hash = self.hash(value);
        let mask = self.slots.len() - 1;
        let mut place = hash as usize & mask;
        while let Some(slot) = self.slots.get(place).copied().filter(|slot| *slot != 0) {
            let number = slot as u32 - 1;
            if slot >> 32 == hash >> 32 && self.value(number) == Some(value) {
                self.picks.push(number);
                return;
            }
            place = (place + 1) & mask;
        }
        self.picks.push(self.places.len() as u32);
        let start = self.bytes.len() as u32 + if self.prefix { 4 } else { 0 };
        put(value, self.prefix, &mut self.bytes);
        self.places.push((start, self.bytes.len() as u32));
        self.take(place, hash);
        if self.places.len() * 2 > self.slots.len() {
            self.grow();
        }
    }

    fn take(&mut self, place: usize, hash: u64) {
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = hash & !u64::from(u32::MAX) | self.places.len() as u64;
        }
    }

    fn grow(&mut self) {
        let size = self.slots.len() * 4;
        self.slots.clear();
        self.slots.resize(size, 0);
        let mask = size - 1;
        for number in 0..self.places.len() {
            let hash = self.value(number as u32).map_or(0, |value| self.hash(value));
            let mut place = hash as usize & mask;
            while self.slots.get(place).is_some_and(|slot| *slot != 0) {
                place = (place + 1) & mask;
            }
            if let Some(slot) = self.slots.get_mut(place) {
                *slot = hash & !u64::from(u32::MAX) | (number as u64 + 1);
            }
        }
    }

    #[inline]
    fn hash(&self, value: &[u8]) -> u64 {
        let mut state = self.seeds.0 ^ value.len() as u64;
        for chunk in value.chunks(8) {
            state = fold(state ^ word(chunk), self.seeds.1 ^ ODD);
        }
        fold(state, ODD)
    }
}

/// At most eight bytes as a number.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or_else(|| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)), |whole| u64::from_le_bytes(*whole))
}

/// A value as Parquet's plain encoding has it.
pub fn put(value: &[u8], prefix: bool, out: &mut Vec<u8>) {
    if prefix {
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    }
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_value_and_values_are_kept_once() {
        for prefix in [false, true] {
            let mut seen = Seen::new(prefix);
            for round in 0..2 {
                let values: Vec<String> = (0..5_000_u32).map(|n| format!("{:0>9}", n * 7 % 1_000 + round)).collect();
                values.iter().for_each(|value| seen.push(value.as_bytes()));
                let (mut all, mut expected) = (Vec::new(), Vec::new());
                seen.plain(&mut all);
                values.iter().for_each(|value| put(value.as_bytes(), prefix, &mut expected));
                assert_eq!((seen.count(), seen.bytes.len(), all == expected), (1_000, 1_000 * if prefix { 13 } else { 9 }, true));
                seen.clear();
            }
        }
    }

    #[test]
    fn values_that_differ_in_length_or_end_only() {
        let mut seen = Seen::new(true);
        for value in ["", "a", "a\0", "", "abcdefgh", "abcdefgh\0", "a", "abcdefg"] {
            seen.push(value.as_bytes());
        }
        assert_eq!((seen.count(), seen.picks.clone()), (6, vec![0, 1, 2, 0, 3, 4, 1, 5]));
    }
}
