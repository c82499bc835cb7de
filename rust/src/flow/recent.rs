//! The last packets of a side, to know one that was captured twice.

use super::slab::Slab;

/// A copy of a packet follows within this long (units of 100 µs) as one of the next two, where it has an identification of its own.
const COPY_KNOWN: u32 = 10_000;
/// The same where it has none, and for copies of datagrams that come further behind: the second port of a mirrored switch, and a sensor that
/// writes from several queues, are a few milliseconds late (20 ms measured).
const COPY_NEAR: u32 = 500;
/// Datagrams before the last two that are remembered, where they came within that time.
const EARLIER: usize = 64;
/// Sides of which so many are remembered, at most: 136 MB.
pub const MOST: usize = 262_144;

/// Content and time, in units of 100 µs, of two packets; whether the second is the older one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recent {
    pub last: [(u32, u32); 2],
    pub next: bool,
}

fn units(time: i64) -> u32 {
    u32::try_from((time / 100_000) & 0xffff_ffff).unwrap_or(0)
}

/// Stamps may go back: what is captured twice is not always written in order.
fn within(limit: u32, one: u32, other: u32) -> bool {
    one.wrapping_sub(other).cast_signed().unsigned_abs() <= limit
}

impl Recent {
    #[inline]
    pub fn touch(&self) -> u64 {
        u64::from(self.last[0].0)
    }

    /// Was a segment with this content, and an identification, just seen? `pkts`: packets of this side, this one included.
    #[inline]
    pub fn repeated(&mut self, content: u32, time: i64, pkts: u64) -> bool {
        let now = units(time);
        let found = self.holds(content, now, true, pkts);
        if !found {
            self.put(content, now);
        }
        found
    }

    /// Was a datagram with this content just seen? `known`: its IP header carries an identification. `earlier`: number of what is remembered
    /// of those before the last two, and one more.
    #[inline]
    pub fn recalled(&mut self, earlier: &mut u32, rings: &mut Rings, (content, known): (u32, bool), time: i64, pkts: u64) -> bool {
        let now = units(time);
        if self.holds(content, now, known, pkts) || *earlier > 0 && rings.hold(*earlier, content, now) {
            return true;
        }
        let old = self.put(content, now);
        if pkts > 2 && within(COPY_NEAR, now, old.1) {
            rings.keep(earlier, old);
        }
        false
    }

    #[inline]
    fn holds(&self, content: u32, now: u32, known: bool, pkts: u64) -> bool {
        let limit = if known { COPY_KNOWN } else { COPY_NEAR };
        pkts > 1 && self.last.iter().any(|&(old, at)| old == content && within(limit, now, at))
    }

    /// Remember a packet; the one that is forgotten for it.
    #[inline]
    fn put(&mut self, content: u32, now: u32) -> (u32, u32) {
        let [first, second] = &mut self.last;
        let place = if self.next { second } else { first };
        self.next = !self.next;
        std::mem::replace(place, (content, now))
    }
}

/// Contents and times of datagrams, the oldest of which makes room for the next.
#[derive(Debug, Clone)]
pub struct Ring {
    contents: [u32; EARLIER],
    times: [u32; EARLIER],
    next: usize,
    used: usize,
}

impl Default for Ring {
    fn default() -> Self {
        Self { contents: [0; EARLIER], times: [0; EARLIER], next: 0, used: 0 }
    }
}

impl Ring {
    fn put(&mut self, (content, at): (u32, u32)) {
        if let (Some(old), Some(time)) = (self.contents.get_mut(self.next), self.times.get_mut(self.next)) {
            (*old, *time) = (content, at);
        }
        self.next = (self.next + 1) % EARLIER;
        self.used = EARLIER.min(self.used + 1);
    }

    fn holds(&self, content: u32, now: u32) -> bool {
        let same = self.contents.iter().fold(false, |any, old| any | (*old == content)); // all of them: eight at a time
        same && self.contents.iter().zip(&self.times).take(self.used).any(|(old, at)| *old == content && within(COPY_NEAR, now, *at))
    }
}

/// What is remembered of sides that send many datagrams in short time.
#[derive(Default)]
pub struct Rings {
    all: Slab<Ring>,
    pub used: usize,
}

impl Rings {
    #[inline]
    fn hold(&self, number: u32, content: u32, now: u32) -> bool {
        self.all.get(number - 1).is_some_and(|ring| ring.holds(content, now))
    }

    fn keep(&mut self, number: &mut u32, datagram: (u32, u32)) {
        if *number == 0 {
            if self.used >= MOST {
                return;
            }
            *number = self.put(Ring::default());
        }
        if let Some(ring) = self.all.get_mut(*number - 1) {
            ring.put(datagram);
        }
    }

    fn put(&mut self, ring: Ring) -> u32 {
        self.used += 1;
        self.all.put(ring) + 1
    }

    /// A side is done.
    pub fn free(&mut self, number: u32) {
        if let Some(index) = number.checked_sub(1) {
            self.used -= 1;
            self.all.free(index);
        }
    }

    /// Take over what another table remembers of a side; its number here.
    pub fn adopt(&mut self, other: &Self, number: u32) -> u32 {
        number.checked_sub(1).and_then(|index| other.all.get(index)).map_or(0, |ring| self.put(ring.clone()))
    }
}
