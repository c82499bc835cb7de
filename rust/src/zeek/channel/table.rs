//! Sums by channel: entries in a vector, found by an index of their hashes. Small enough for a cache where the keys are spread over many.

/// An IPv4 or IPv6 address as a number.
pub trait Address: Copy + Ord + Send + 'static {
    fn bits(self) -> u128;
}

impl Address for u32 {
    fn bits(self) -> u128 {
        self.into()
    }
}

impl Address for u128 {
    fn bits(self) -> u128 {
        self
    }
}

/// A channel: who, to whom, over what, which way, on which day (days since 1970; 0 where days are not told apart).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<A> {
    pub inside: A,
    pub remote: A,
    pub day: u32,
    pub port: u16,
    pub proto: u8,
    pub pull: bool,
}

/// Two halves of a product folded together (as wyhash does).
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[allow(clippy::cast_possible_truncation)] // the two halves
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

impl<A: Address> Key<A> {
    #[inline]
    pub fn hash(&self) -> u64 {
        #[allow(clippy::cast_possible_truncation)] // both halves are mixed
        let mix = |bits: u128| (bits as u64) ^ ((bits >> 64) as u64).rotate_left(29);
        let rest = u64::from(self.day) << 32 | u64::from(self.port) << 16 | u64::from(self.proto) << 8 | u64::from(self.pull);
        let first = fold(mix(self.inside.bits()) ^ 0xa076_1d64_78bd_642f, mix(self.remote.bits()) ^ 0xe703_7ed1_a0b4_28db);
        fold(first ^ rest, 0x8ebc_6af0_9c88_c6e3)
    }
}

/// What a channel's sessions add up to.
#[derive(Debug, Clone, Copy)]
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
    pub fn add(&mut self, more: &Self) {
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

pub struct Table<A> {
    /// 0, or the place of an entry plus one; a power of two of them.
    index: Vec<u32>,
    pub entries: Vec<(Key<A>, Sums)>,
}

impl<A> Default for Table<A> {
    fn default() -> Self {
        Self { index: Vec::new(), entries: Vec::new() }
    }
}

impl<A: Address> Table<A> {
    #[inline]
    pub fn add(&mut self, key: Key<A>, hash: u64, sums: &Sums) {
        if self.entries.len() * 10 >= self.index.len() * 7 {
            self.grow();
        }
        let mask = self.index.len() - 1;
        let mut at = usize::try_from(hash & u64::from(u32::MAX)).unwrap_or(0) & mask;
        loop {
            let Some(slot) = self.index.get_mut(at) else { return };
            if *slot == 0 {
                *slot = u32::try_from(self.entries.len() + 1).unwrap_or(u32::MAX);
                break;
            }
            if let Some((known, sum)) = self.entries.get_mut(*slot as usize - 1)
                && *known == key
            {
                sum.add(sums);
                return;
            }
            at = (at + 1) & mask;
        }
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(self.entries.len() / 4 + 64);
        }
        self.entries.push((key, *sums));
    }

    fn grow(&mut self) {
        let size = (self.index.len() * 2).max(256);
        let mut index = vec![0; size];
        for (place, (key, _)) in self.entries.iter().enumerate() {
            let mut at = usize::try_from(key.hash() & u64::from(u32::MAX)).unwrap_or(0) & (size - 1);
            while index.get(at).is_some_and(|slot| *slot != 0) {
                at = (at + 1) & (size - 1);
            }
            if let Some(slot) = index.get_mut(at) {
                *slot = u32::try_from(place + 1).unwrap_or(u32::MAX);
            }
        }
        self.index = index;
    }
}
