//! The different values of a column in the order of their first coming, and which one each row has.

use std::hash::{BuildHasher, RandomState};

use crate::flow::key::fold;

/// Slots to begin with; at most half of them are taken.
const SLOTS: usize = 256;
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// What tells a value from others: its length, its first and its last eight bytes; what lies between where it is longer than that.
/// A value that is not text yet has a length of its own kind (`RAW`), and what it is made of in the two words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key(u64, u64, u32);

/// For values told by two words instead of their text.
const RAW: u32 = u32::MAX;

/// The values so far. An outsider who does not know the seeds cannot choose values that fall together.
pub struct Seen {
    seeds: (u64, u64),
    /// Upper half: of the hash, which also says where it would stand; lower half: number of the value and one, 0 where there is none.
    slots: Vec<u64>,
    keys: Vec<Key>,
    /// The values one behind the other, each after `prefix` bytes of its length, and where each stands.
    pub bytes: Vec<u8>,
    places: Vec<(u32, u32)>,
    prefix: bool,
    /// For each row that has a value its number.
    pub picks: Vec<u32>,
    last: Option<Key>,
}

impl Seen {
    /// `prefix`: four bytes with its length precede each value.
    pub fn new(prefix: bool) -> Self {
        let seed = |number: u64| RandomState::new().hash_one(number);
        let seeds = (seed(0), seed(1));
        Self { seeds, slots: vec![0; SLOTS], keys: Vec::new(), bytes: Vec::new(), places: Vec::new(), prefix, picks: Vec::new(), last: None }
    }

    /// As new, with the room that it has.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.slots.resize(SLOTS, 0);
        self.keys.clear();
        self.bytes.clear();
        self.places.clear();
        self.picks.clear();
        self.last = None;
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
    #[inline]
    pub fn push(&mut self, value: &[u8]) {
        if value.len() > 16 {
            return self.long(value);
        }
        self.short(key(value), |()| value);
    }

    /// The next row's number, whose eight bytes are the value; four where `small`.
    #[inline]
    pub fn number(&mut self, value: u64, small: bool) {
        let bytes = value.to_le_bytes();
        let length = if small { 4 } else { 8 };
        self.short(Key(value, 0, length), |()| bytes.get(..length as usize).unwrap_or_default());
    }

    /// The next row's value, told by two words; its text is made where it comes for the first time.
    #[inline]
    pub fn told(&mut self, words: (u64, u64), text: &mut String, write: impl FnOnce(&mut String)) {
        self.short(Key(words.0, words.1, RAW), |()| {
            text.clear();
            write(text);
            text.as_bytes()
        });
    }

    #[inline]
    fn short<'a>(&mut self, key: Key, value: impl FnOnce(()) -> &'a [u8]) {
        if self.last == Some(key) {
            return self.again();
        }
        self.last = Some(key);
        let hash = self.hash(key);
        match self.find(hash, key, |_, _| true) {
            Ok(number) => self.picks.push(number),
            Err(place) => self.enter(place, hash, key, value(())),
        }
    }

    #[inline]
    fn again(&mut self) {
        if let Some(last) = self.picks.last().copied() {
            self.picks.push(last);
        }
    }

    fn long(&mut self, value: &[u8]) {
        let key = key(value);
        if self.last == Some(key) && self.picks.last().is_some_and(|last| self.value(*last) == Some(value)) {
            return self.again();
        }
        self.last = Some(key);
        let hash = value.chunks(8).fold(self.hash(key), |state, chunk| fold(state ^ head(chunk), self.seeds.1 ^ ODD));
        match self.find(hash, key, |seen, number| seen.value(number) == Some(value)) {
            Ok(number) => self.picks.push(number),
            Err(place) => self.enter(place, hash, key, value),
        }
    }

    /// Where the value stands, or where it could.
    #[inline]
    fn find(&self, hash: u64, key: Key, same: impl Fn(&Self, u32) -> bool) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let mut place = (hash >> 32) as usize & mask;
        while let Some(slot) = self.slots.get(place).copied().filter(|slot| *slot != 0) {
            let number = slot as u32 - 1;
            if slot >> 32 == hash >> 32 && self.keys.get(number as usize) == Some(&key) && same(self, number) {
                return Ok(number);
            }
            place = (place + 1) & mask;
        }
        Err(place)
    }

    fn enter(&mut self, place: usize, hash: u64, key: Key, value: &[u8]) {
        self.picks.push(self.places.len() as u32);
        let start = self.bytes.len() as u32 + if self.prefix { 4 } else { 0 };
        put(value, self.prefix, &mut self.bytes);
        self.places.push((start, self.bytes.len() as u32));
        self.keys.push(key);
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = hash & !u64::from(u32::MAX) | self.places.len() as u64;
        }
        if self.places.len() * 2 > self.slots.len() {
            self.grow();
        }
    }

    /// Four times the room.
    fn grow(&mut self) {
        let size = self.slots.len() * 4;
        let old = std::mem::replace(&mut self.slots, vec![0; size]);
        let mask = size - 1;
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            let mut place = (slot >> 32) as usize & mask;
            while self.slots.get(place).is_some_and(|slot| *slot != 0) {
                place = (place + 1) & mask;
            }
            if let Some(free) = self.slots.get_mut(place) {
                *free = slot;
            }
        }
    }

    #[inline]
    fn hash(&self, Key(first, last, length): Key) -> u64 {
        fold(first ^ self.seeds.0, fold(last ^ self.seeds.1, ODD ^ u64::from(length)))
    }
}

fn key(value: &[u8]) -> Key {
    let last = value.last_chunk().filter(|_| value.len() > 8).map_or(0, |last| u64::from_le_bytes(*last));
    Key(head(value), last, value.len() as u32)
}

/// The first eight bytes, or all where there are fewer, as a number.
#[inline]
fn head(bytes: &[u8]) -> u64 {
    if let Some(whole) = bytes.first_chunk() {
        return u64::from_le_bytes(*whole);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
    }
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
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
    fn told_by_words_their_text_is_made_once() {
        let (mut seen, mut text, mut made) = (Seen::new(false), String::new(), 0);
        for word in [1, 2, 2, 1, 3] {
            seen.told((word, 7), &mut text, |text| {
                made += 1;
                text.push_str(&word.to_string());
            });
        }
        seen.push(b"1");
        assert_eq!((made, seen.picks.clone(), seen.bytes.clone()), (3, vec![0, 1, 1, 0, 2, 3], b"1231".to_vec()));
    }

    #[test]
    fn long_values_that_differ_in_the_middle_only() {
        let mut seen = Seen::new(false);
        let values: Vec<String> = (0..2_000).map(|n| format!("the first {:04} of the last", n % 1_000)).collect();
        values.iter().for_each(|value| seen.push(value.as_bytes()));
        assert_eq!((seen.count(), seen.picks.get(1_999)), (1_000, Some(&999)));
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
