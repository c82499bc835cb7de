//! A channel in few bytes: most have one session, whose counts are small.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::zeek::value;

/// An IPv4 or IPv6 address as a number.
pub trait Address: Copy + Eq + Send + 'static {
    /// For a hash.
    fn mixed(self) -> u64;
    fn address(self) -> IpAddr;
}

impl Address for u32 {
    fn mixed(self) -> u64 {
        self.into()
    }

    fn address(self) -> IpAddr {
        IpAddr::V4(self.into())
    }
}

/// The halves of an IPv6 address, low and high; IPv4 in its mapped form.
pub type Halves = [u64; 2];

impl Address for Halves {
    fn mixed(self) -> u64 {
        let [low, high] = self;
        low ^ high.rotate_left(29)
    }

    fn address(self) -> IpAddr {
        let [low, high] = self;
        value::canonical((u128::from(high) << 64 | u128::from(low)).into())
    }
}

/// The halves of an address' bits.
#[must_use]
pub fn halves(bits: u128) -> Halves {
    #[allow(clippy::cast_possible_truncation)] // the two halves
    [bits as u64, (bits >> 64) as u64]
}

/// A channel: who, to whom, over what, which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<A> {
    pub inside: A,
    pub remote: A,
    pub port: u16,
    pub proto: u8,
    pub pull: bool,
}

/// What a channel's sessions add up to.
#[derive(Debug, Default, Clone, Copy)]
pub struct Sums {
    pub out: i64,
    pub back: i64,
    pub first: f64,
    pub last: f64,
    pub sessions: u32,
    /// Sessions whose answers no sensor saw.
    pub blind: u32,
    /// A bit for each of `truth::PROTOCOLS`.
    pub protocols: u16,
    /// The worst quality of the bytes out.
    pub quality: u8,
}

impl Sums {
    #[inline]
    fn add(&mut self, more: &Self) {
        self.out = self.out.saturating_add(more.out);
        self.back = self.back.saturating_add(more.back);
        self.first = self.first.min(more.first);
        self.last = self.last.max(more.last);
        self.sessions = self.sessions.saturating_add(more.sessions);
        self.blind = self.blind.saturating_add(more.blind);
        self.protocols |= more.protocols;
        self.quality = self.quality.max(more.quality);
    }
}

/// One session as whole numbers: its start and duration in microseconds, what went out and back (`None`: no sensor saw it).
#[derive(Debug, Clone, Copy)]
pub struct Plain {
    pub start: u64,
    pub duration: u64,
    pub out: u64,
    pub back: Option<u64>,
    /// The bit of its protocol.
    pub protocol: u8,
    pub quality: u8,
}

/// Bits of the first word, from the lowest: port 16, proto 8, pull 1 (these are the key's), wide 1, blind 1, quality 2, the highest of the start 3.
const KEY: u32 = (1 << 25) - 1;
const WIDE: u32 = 1 << 25;
const BLIND: u32 = 1 << 26;
const QUALITY: u32 = 27;
const HIGHEST: u32 = 29;
/// Bits of the last three words: the rest of the start 42, protocol 4, out 25, back 25.
const LOW: u32 = 42;
const OUT: u32 = LOW + 4;
const COUNT: u32 = 25;
/// Starts are counted from half of what their bits can hold before the first that was met.
const START: u32 = LOW + 32 - HIGHEST;

/// Where starts are counted from, in microseconds since 1970.
#[derive(Debug, Default)]
pub struct Origin(AtomicU64);

impl Origin {
    /// The first start that is asked for decides.
    #[inline]
    pub fn of(&self, start: u64) -> u64 {
        let known = self.0.load(Ordering::Relaxed);
        if known != 0 { known - 1 } else { self.begin(start) }
    }

    #[cold]
    fn begin(&self, start: u64) -> u64 {
        let made = start.saturating_sub(1 << (START - 1));
        match self.0.compare_exchange(0, made + 1, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => made,
            Err(known) => known - 1,
        }
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed).saturating_sub(1)
    }
}

/// One session, or the place of the sums of several: of IPv4 28 bytes.
#[derive(Debug, Clone, Copy)]
pub struct Record<A> {
    inside: A,
    remote: A,
    head: u32,
    /// How long it took in microseconds; where it is wide the place of its sums.
    duration: u32,
    tail: [u32; 3],
}

/// Two halves of a product folded together (as wyhash does).
#[inline]
pub fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[allow(clippy::cast_possible_truncation)] // the two halves
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

#[allow(clippy::cast_precision_loss)] // below 2^53
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// A time that is whole microseconds, as those.
#[must_use]
pub fn exact(time: f64) -> Option<u64> {
    let rounded = (time * 1e6).round();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // it is within
    let micros = (0.0..9e15).contains(&rounded).then_some(rounded as u64)?;
    (seconds(micros).to_bits() == time.to_bits()).then_some(micros)
}

/// Days since 1970.
fn day(time: f64) -> u32 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // times are not negative; later ones end at the last day
    let day = (time / 86_400.0) as u32;
    day
}

impl<A: Address> Key<A> {
    #[inline]
    fn bits(&self) -> u32 {
        u32::from(self.port) | u32::from(self.proto) << 16 | u32::from(self.pull) << 24
    }
}

impl<A: Address> Record<A> {
    /// `None`: its numbers are too large.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // each has no more bits than its place
    pub fn plain(key: &Key<A>, one: &Plain, origin: u64) -> Option<Self> {
        let (start, back) = (one.start.wrapping_sub(origin), one.back.unwrap_or(0));
        if start >> START != 0 || one.duration >> 32 != 0 || (one.out | back) >> COUNT != 0 {
            return None;
        }
        let flags = if one.back.is_none() { BLIND } else { 0 } | u32::from(one.quality) << QUALITY;
        let low = (start & ((1 << LOW) - 1)) | u64::from(one.protocol) << LOW | one.out << OUT;
        // Of what went out 18 bits stand in the first two words.
        let high = one.out >> (64 - OUT) | back << (COUNT - (64 - OUT));
        Some(Self {
            inside: key.inside,
            remote: key.remote,
            head: key.bits() | flags | ((start >> LOW) as u32) << HIGHEST,
            duration: one.duration as u32,
            tail: [low as u32, (low >> 32) as u32, high as u32],
        })
    }

    /// A record whose sums stand elsewhere.
    pub fn wide(key: &Key<A>, place: usize) -> Self {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        Self { inside: key.inside, remote: key.remote, head: key.bits() | WIDE, duration: place, tail: [0; 3] }
    }

    fn is_wide(&self) -> bool {
        self.head & WIDE != 0
    }

    fn place(&self) -> usize {
        self.duration as usize
    }

    fn low(&self) -> u64 {
        let [low, high, _] = self.tail;
        u64::from(low) | u64::from(high) << 32
    }

    fn start(&self, origin: u64) -> f64 {
        seconds(origin + (self.low() & ((1 << LOW) - 1) | u64::from(self.head >> HIGHEST) << LOW))
    }

    /// The sums of a record that may stand in `wide`.
    pub fn sums(&self, wide: &[Sums], origin: u64) -> Option<Sums> {
        if self.is_wide() {
            return wide.get(self.place()).copied();
        }
        let (first, [_, _, high]) = (self.start(origin), self.tail);
        Some(Sums {
            out: self.out(wide),
            back: i64::from(high >> (COUNT - (64 - OUT))),
            first,
            last: first + seconds(self.duration.into()),
            sessions: 1,
            blind: u32::from(self.head & BLIND != 0),
            protocols: 1 << (self.low() >> LOW & 0xf),
            quality: (self.head >> QUALITY & 3) as u8,
        })
    }

    /// The bytes that went out.
    #[inline]
    pub fn out(&self, wide: &[Sums]) -> i64 {
        if self.is_wide() {
            return wide.get(self.place()).map_or(0, |sums| sums.out);
        }
        let [_, _, high] = self.tail;
        (self.low() >> OUT | u64::from(high) << (64 - OUT) & ((1 << COUNT) - 1)).cast_signed()
    }

    pub fn key(&self) -> Key<A> {
        let [low, high, proto, pull] = self.head.to_le_bytes();
        Key { inside: self.inside, remote: self.remote, port: u16::from_le_bytes([low, high]), proto, pull: pull & 1 == 1 }
    }

    /// The day of its first session.
    pub fn day(&self, wide: &[Sums], origin: u64) -> u32 {
        day(if self.is_wide() { wide.get(self.place()).map_or(0.0, |sums| sums.first) } else { self.start(origin) })
    }

    /// A hash of the key.
    #[inline]
    pub fn hash(&self, seed: u64) -> u64 {
        let ends = fold(self.inside.mixed() ^ 0xa076_1d64_78bd_642f ^ seed, self.remote.mixed() ^ 0xe703_7ed1_a0b4_28db);
        fold(ends ^ u64::from(self.head & KEY), 0x8ebc_6af0_9c88_c6e3 ^ seed)
    }

    #[inline]
    pub fn same(&self, other: &Self) -> bool {
        self.inside == other.inside && self.remote == other.remote && (self.head ^ other.head) & KEY == 0
    }

    /// Move its sums, if they stand in `from`, to the end of `to`.
    #[inline]
    pub fn moved(mut self, from: &[Sums], to: &mut Vec<Sums>) -> Self {
        if self.is_wide()
            && let Some(sums) = from.get(self.place())
        {
            self.duration = u32::try_from(to.len()).unwrap_or(u32::MAX);
            to.push(*sums);
        }
        self
    }

    /// Add sums to its own, which stand or will stand in `wide`.
    pub fn add(&mut self, more: &Sums, wide: &mut Vec<Sums>, origin: u64) {
        if !self.is_wide() {
            let Some(sums) = self.sums(wide, origin) else { return };
            *self = Self::wide(&self.key(), wide.len());
            wide.push(sums);
        }
        if let Some(sums) = wide.get_mut(self.place()) {
            sums.add(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_fits_is_there_again(
            ends: [u32; 2], port: u16, proto: u8, pull: bool, out in 0_u64..1 << 26, back in proptest::option::of(0_u64..1 << 26),
            duration in 0_u64..1 << 33, apart in 0_u64..1 << 46, first in 0_u64..1 << 52, protocol in 0_u8..11, quality in 0_u8..3,
        ) {
            let origin = Origin::default().of(first);
            let [inside, remote] = ends;
            let key = Key { inside, remote, port, proto, pull };
            let one = Plain { start: origin + apart, duration, out, back, protocol, quality };
            let fits = apart < 1 << 45 && duration < 1 << 32 && (out | back.unwrap_or(0)) < 1 << 25;
            let record = Record::plain(&key, &one, origin);
            prop_assert_eq!(record.is_some(), fits);
            if let Some(record) = record {
                prop_assert_eq!(record.key(), key);
                let Some(sums) = record.sums(&[], origin) else { return Err(TestCaseError::fail("no sums")) };
                let first = seconds(one.start);
                prop_assert_eq!((sums.out, sums.back), (out.cast_signed(), back.unwrap_or(0).cast_signed()));
                prop_assert_eq!((sums.first.to_bits(), sums.last.to_bits()), (first.to_bits(), (first + seconds(duration)).to_bits()));
                prop_assert_eq!((sums.blind, sums.protocols, sums.quality), (u32::from(back.is_none()), 1 << protocol, quality));
                prop_assert_eq!((record.out(&[]), record.day(&[], origin)), (sums.out, day(first)));
            }
        }
    }
}
