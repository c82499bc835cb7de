//! The last packets of a side, to know one that was captured twice.

/// A copy of a packet follows within this long (units of 100 µs) where it has an identification of its own, and where it has none.
const COPY_KNOWN: u32 = 10_000;
const COPY_UNKNOWN: u32 = 20;

/// Content and time, in units of 100 µs, of two packets; whether the second is the older one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recent {
    pub last: [(u32, u32); 2],
    pub next: bool,
}

impl Recent {
    #[inline]
    pub fn touch(&self) -> u64 {
        u64::from(self.last[0].0)
    }

    /// Was a packet with this content just seen? `known`: its IP header carries an identification. `pkts`: packets of this side, this one included.
    #[inline]
    pub fn repeated(&mut self, content: u32, known: bool, time: i64, pkts: u64) -> bool {
        let now = u32::try_from((time / 100_000) & 0xffff_ffff).unwrap_or(0);
        let limit = if known { COPY_KNOWN } else { COPY_UNKNOWN };
        if self.last.iter().any(|&(old, at)| old == content && now.wrapping_sub(at) <= limit && pkts > 1) {
            return true;
        }
        let [first, second] = &mut self.last;
        *if self.next { second } else { first } = (content, now);
        self.next = !self.next;
        false
    }
}
