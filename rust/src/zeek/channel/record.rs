//! A channel in few bytes: most have one session, whose counts are small.

use std::net::IpAddr;

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

/// Bits of `what`, from the lowest: port 16, proto 8, pull 1 (these are the key's), wide 1, blind 1, quality 2, duration 35.
const KEY: u64 = (1 << 25) - 1;
const WIDE: u64 = 1 << 25;
const BLIND: u64 = 1 << 26;
const QUALITY: u32 = 27;
const DURATION: u32 = 29;
/// Bits of `when`: start 53 (microseconds that a double has exactly), protocols 11.
const START: u64 = (1 << 53) - 1;

/// One session, or the place of the sums of several.
#[derive(Debug, Clone, Copy)]
pub struct Record<A> {
    inside: A,
    remote: A,
    what: u64,
    when: u64,
    /// Out and back, 32 bits each; where it is wide the place of its sums.
    much: u64,
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
    fn bits(&self) -> u64 {
        u64::from(self.port) | u64::from(self.proto) << 16 | u64::from(self.pull) << 24
    }
}

impl<A: Address> Record<A> {
    /// `None`: its numbers are too large.
    #[inline]
    pub fn plain(key: &Key<A>, one: &Plain) -> Option<Self> {
        let back = one.back.unwrap_or(0);
        if one.start > START || one.duration >> 35 != 0 || (one.out | back) >> 32 != 0 {
            return None;
        }
        let flags = if one.back.is_none() { BLIND } else { 0 } | u64::from(one.quality) << QUALITY;
        Some(Self {
            inside: key.inside,
            remote: key.remote,
            what: key.bits() | flags | one.duration << DURATION,
            when: one.start | 1 << (53 + u64::from(one.protocol)),
            much: one.out | back << 32,
        })
    }

    /// A record whose sums stand elsewhere.
    pub fn wide(key: &Key<A>, place: usize) -> Self {
        Self { inside: key.inside, remote: key.remote, what: key.bits() | WIDE, when: 0, much: place as u64 }
    }

    fn is_wide(&self) -> bool {
        self.what & WIDE != 0
    }

    fn place(&self) -> usize {
        usize::try_from(self.much).unwrap_or(usize::MAX)
    }

    /// The sums of a record that may stand in `wide`.
    #[allow(clippy::cast_possible_wrap, clippy::cast_possible_truncation)] // each was cut to its bits
    pub fn sums(&self, wide: &[Sums]) -> Option<Sums> {
        if self.is_wide() {
            return wide.get(self.place()).copied();
        }
        let first = seconds(self.when & START);
        Some(Sums {
            out: (self.much & u64::from(u32::MAX)) as i64,
            back: (self.much >> 32) as i64,
            first,
            last: first + seconds(self.what >> DURATION),
            sessions: 1,
            blind: u32::from(self.what & BLIND != 0),
            protocols: (self.when >> 53) as u16,
            quality: (self.what >> QUALITY & 3) as u8,
        })
    }

    /// The bytes that went out.
    #[inline]
    pub fn out(&self, wide: &[Sums]) -> i64 {
        if self.is_wide() { wide.get(self.place()).map_or(0, |sums| sums.out) } else { i64::from(self.much as u32) }
    }

    pub fn key(&self) -> Key<A> {
        let [low, high, proto, pull, ..] = self.what.to_le_bytes();
        Key { inside: self.inside, remote: self.remote, port: u16::from_le_bytes([low, high]), proto, pull: pull & 1 == 1 }
    }

    /// The day of its first session.
    pub fn day(&self, wide: &[Sums]) -> u32 {
        day(if self.is_wide() { wide.get(self.place()).map_or(0.0, |sums| sums.first) } else { seconds(self.when & START) })
    }

    /// A hash of the key.
    #[inline]
    pub fn hash(&self, seed: u64) -> u64 {
        let ends = fold(self.inside.mixed() ^ 0xa076_1d64_78bd_642f ^ seed, self.remote.mixed() ^ 0xe703_7ed1_a0b4_28db);
        fold(ends ^ (self.what & KEY), 0x8ebc_6af0_9c88_c6e3 ^ seed)
    }

    #[inline]
    pub fn same(&self, other: &Self) -> bool {
        self.inside == other.inside && self.remote == other.remote && (self.what ^ other.what) & KEY == 0
    }

    /// Move its sums, if they stand in `from`, to the end of `to`.
    #[inline]
    pub fn moved(mut self, from: &[Sums], to: &mut Vec<Sums>) -> Self {
        if self.is_wide()
            && let Some(sums) = from.get(self.place())
        {
            self.much = to.len() as u64;
            to.push(*sums);
        }
        self
    }

    /// Add sums to its own, which stand or will stand in `wide`.
    pub fn add(&mut self, more: &Sums, wide: &mut Vec<Sums>) {
        if !self.is_wide() {
            let Some(sums) = self.sums(wide) else { return };
            (self.what, self.when, self.much) = (self.what & KEY | WIDE, 0, wide.len() as u64);
            wide.push(sums);
        }
        if let Some(sums) = wide.get_mut(self.place()) {
            sums.add(more);
        }
    }
}
