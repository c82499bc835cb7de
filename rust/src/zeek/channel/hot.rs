//! Addresses: sets of them, the families of names that they have, and those whose rows a second reading takes.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;

use super::record::{Address, Halves, fold, halves};
use crate::side::Side;
use crate::zeek::value;

/// Addresses are hashed already as well as they need be.
#[derive(Default)]
pub struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.0 = fold(self.0 ^ word ^ 0x9e37_79b9_7f4a_7c15, 0xa076_1d64_78bd_642f);
    }

    #[inline]
    fn write_i32(&mut self, word: i32) {
        self.write_u64(u64::from(word.cast_unsigned()));
    }

    #[inline]
    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    /// The length of an array.
    #[inline]
    fn write_usize(&mut self, _: usize) {}
}

pub type Quick = BuildHasherDefault<Folded>;
pub type Addresses = HashSet<Halves, Quick>;

/// The families of names that addresses have: address -> the place of its numbers, and how many.
#[derive(Default)]
pub struct Families {
    places: HashMap<Halves, (u32, u32), Quick>,
    numbers: Vec<u32>,
}

impl Families {
    /// From records of 20 bytes: an address in its IPv6 form, and the number of one of its families.
    pub fn new(records: &[u8]) -> Self {
        let (records, _) = records.as_chunks::<20>();
        let mut records: Vec<&[u8; 20]> = records.iter().collect();
        records.sort_unstable();
        let mut made = Self::default();
        for record in records {
            let (Some(address), Some(number)) = (record.first_chunk::<16>(), record.last_chunk::<4>()) else { continue };
            let at = u32::try_from(made.numbers.len()).unwrap_or(u32::MAX);
            made.places.entry(halves(u128::from_be_bytes(*address))).or_insert((at, 0)).1 += 1;
            made.numbers.push(u32::from_be_bytes(*number));
        }
        made
    }

    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    #[inline]
    pub fn of(&self, address: &Halves) -> &[u32] {
        if self.numbers.is_empty() {
            return &[];
        }
        let Some((at, count)) = self.places.get(address) else { return &[] };
        self.numbers.get(*at as usize..(*at + *count) as usize).unwrap_or_default()
    }
}

/// The rows that the second reading takes.
pub struct Hot {
    /// Outside addresses all of whose sessions are wanted.
    pub remotes: Addresses,
    /// Inside hosts all of whose sessions are wanted.
    pub hosts: Addresses,
    /// Inside hosts all of whose sessions that came from outside are wanted.
    pub servers: Addresses,
    /// Rows that are not taken are looked at whole, as some are to be refused.
    pub checks: bool,
}

impl Hot {
    /// A row that `Keep` wants and that is not taken.
    #[inline]
    pub fn cold(&self, (orig, orig_side): (IpAddr, Side), (resp, resp_side): (IpAddr, Side)) -> bool {
        let inward = match (orig_side, resp_side) {
            (Side::Inside, Side::Public) => false,
            (Side::Public, Side::Inside) => true,
            _ => return false,
        };
        let [orig, resp] = [orig, resp].map(|address| halves(value::bits(address)));
        let (inside, remote) = if inward { (resp, orig) } else { (orig, resp) };
        !(self.remotes.contains(&remote) || self.hosts.contains(&inside) || (inward && self.servers.contains(&inside)))
    }
}

/// Addresses as texts, to look others up among them.
pub fn addresses(texts: &[String]) -> Addresses {
    texts.iter().filter_map(|text| value::address(text.as_bytes()).ok()).map(|address| halves(value::bits(address))).collect()
}

/// An address as a text.
pub fn written(address: Halves) -> String {
    address.address().to_string()
}
