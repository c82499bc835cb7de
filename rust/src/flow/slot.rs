//! An open session as it lies between packets, in three cache lines: all that is to be known of one in which nothing was lost, repeated or
//! out of its order, whose many numbers follow from few. One that is not so plain, or whose first bytes are still looked at, is kept whole.
//!
//! `pack` takes a session only where `unpack` gives the very same one back.

use super::conn::{Conn, Count, NEVER, Told, UNKNOWN};
use super::history::History;
use super::key::Key;
use super::marks::Marks;
use super::ranges::Ranges;
use super::recent::Recent;
use super::tcp::{Conversation, End, State};
use super::{ATTEMPT, LOGIN_IDLE, TCP_IDLE, UDP_IDLE};
use crate::decode::{self, Tunnel};

/// One side of a plain session. UDP and ICMP: payload of all datagrams in `last`, of different ones in `acked`, of doubtful ones in `start`, and in
/// `at` the number of what is remembered of earlier ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flank {
    /// Sequence numbers: where it began, what follows next, what the other side has, where its latest packet began.
    pub start: u32,
    pub last: u32,
    pub acked: u32,
    pub at: u32,
    pub pkts: u32,
    pub ip_bytes: u32,
}

/// Bits of a side.
pub mod side {
    pub const DID_CLOSE: u8 = 1;
    pub const DID_EOF: u8 = 2;
    pub const FIN: u8 = 4;
    pub const RESET: u8 = 8;
    pub const SYN: u8 = 16;
    pub const NEXT: u8 = 32;
    pub const BEGUN: u8 = 64;
    pub const PROVEN: u8 = 128;
}

/// Bits of a session.
pub mod bit {
    pub const ORIG_IS_A: u16 = 1;
    pub const HEARD: u16 = 2;
    /// The attempt's time is still set.
    pub const ATTEMPT: u16 = 4;
    /// `timer` says when it expires, or when it is removed.
    pub const EXPIRE: u16 = 8;
    pub const REMOVE: u16 = 16;
    /// The longest silence, by its number.
    pub const IDLE: u32 = 5;
    pub const PARTIAL: u16 = 128;
    pub const TURNED: u16 = 256;
    pub const DEFERRED: u16 = 512;
    pub const INACTIVE: u16 = 1024;
    pub const FIRST_SEEN: u32 = 11;
    /// The place is taken.
    pub const LIVE: u16 = 1 << 13;
}

/// Longest silences.
const IDLES: [i64; 3] = [UDP_IDLE, TCP_IDLE, LOGIN_IDLE];

/// The first line tells whether a packet belongs here, the second and third what it changes.
#[derive(Default)]
#[repr(C)]
pub struct Slot {
    pub key: Key,
    states: [u8; 2],
    pub sides: [u8; 2],
    pub letters: [u8; 2],
    pub marks: Marks,
    pub bits: u16,
    file: u16,
    pub last: i64,
    pub flanks: [Flank; 2],
    pub start: i64,
    /// Earliest entry among the timers.
    pub armed: i64,
    pub recent: [[(u32, u32); 2]; 2],
    timer: i64,
    told: Option<Box<Told>>,
    history: u64,
    tunnel: Tunnel,
    /// Number of the whole session, and one more.
    pub wide: u32,
}

impl Slot {
    /// The slot of a session that is laid out whole.
    pub fn new(key: Key, start: i64, wide: u32) -> Self {
        Self { key, start, armed: NEVER, wide, bits: bit::LIVE, ..Self::default() }
    }

    #[inline]
    pub fn has(&self, bit: u16) -> bool {
        self.bits & bit != 0
    }

    /// Read something of every cache line.
    #[inline]
    pub fn touch(&self) -> u64 {
        (u64::from(self.bits)) ^ self.start.cast_unsigned() ^ self.history
    }

    /// Are both sides past the handshake, and before any end?
    #[inline]
    pub fn established(&self) -> bool {
        self.states.iter().all(|states| states & 15 == State::Established as u8) && self.bits >> bit::FIRST_SEEN & 3 == 3
    }

    /// Let go of the times that have come, in a session that is open on both sides: when it times out otherwise. `None` where it has.
    pub fn next_due(&mut self, now: i64) -> Option<i64> {
        let idle = self.last.saturating_add(IDLES.get(usize::from(self.bits >> bit::IDLE & 3)).copied()?);
        let attempt = if self.has(bit::ATTEMPT) { self.start.saturating_add(ATTEMPT) } else { NEVER };
        let expire = if self.has(bit::EXPIRE) { self.timer } else { NEVER };
        if idle <= now {
            return None;
        }
        let (attempt, attempt_bit) = if attempt <= now { (NEVER, bit::ATTEMPT) } else { (attempt, 0) };
        let (expire, expire_bit) = if expire <= now { (NEVER, bit::EXPIRE) } else { (expire, 0) };
        self.bits &= !(attempt_bit | expire_bit);
        Some(idle.min(attempt).min(expire))
    }

    /// Take a session in; false where it is not plain enough.
    #[inline]
    pub fn pack(&mut self, conn: &mut Conn) -> bool {
        self.packed(conn).is_some()
    }

    fn packed(&mut self, conn: &mut Conn) -> Option<()> {
        if conn.stream.is_some() || conn.marks.has(Marks::LINES) {
            return None;
        }
        let idle = IDLES.iter().position(|idle| *idle == conn.idle)? as u16;
        let (timed, timer) = match (conn.expire, conn.remove) {
            (NEVER, NEVER) => (0, NEVER),
            (at, NEVER) => (bit::EXPIRE, at),
            (NEVER, at) => (bit::REMOVE, at),
            _ => return None,
        };
        let attempt = match conn.attempt {
            NEVER => 0,
            at if at == conn.start.saturating_add(ATTEMPT) => bit::ATTEMPT,
            _ => return None,
        };
        let (file, history) = (u16::try_from(conn.file).ok()?, conn.history.word()?);
        let ([one, two], [first, second]) = (&conn.counts, &conn.tcp.ends);
        let tcp = &conn.tcp;
        let (sides, letters) = if conn.key.proto == decode::TCP {
            (tcp.missed == 0).then_some(())?;
            ([stream(first, one)?, stream(second, two)?], [(tcp.letters & 0xff) as u8, (tcp.letters >> 16 & 0xff) as u8])
        } else {
            ([datagrams(one)?, datagrams(two)?], [conn.letters, 0])
        };
        let flags = [
            (conn.orig_is_a, bit::ORIG_IS_A),
            (conn.heard, bit::HEARD),
            (tcp.partial, bit::PARTIAL),
            (tcp.turned, bit::TURNED),
            (tcp.deferred, bit::DEFERRED),
            (tcp.inactive, bit::INACTIVE),
        ];
        let set = flags.iter().fold(0, |all, (holds, bit)| all | if *holds { *bit } else { 0 });
        self.bits = bit::LIVE | set | timed | attempt | idle << bit::IDLE | u16::from(tcp.first_seen & 3) << bit::FIRST_SEEN;
        self.flanks = [sides[0].0, sides[1].0];
        self.sides = [sides[0].1, sides[1].1];
        self.states = [first.states(), second.states()];
        self.recent = [one.recent.last, two.recent.last];
        (self.letters, self.marks, self.timer, self.file, self.history, self.last) = (letters, conn.marks, timer, file, history, conn.last);
        self.tunnel = conn.tunnel;
        self.told = conn.told.take();
        Some(())
    }

    /// Lay the session out whole.
    #[inline]
    pub fn unpack(&mut self, conn: &mut Conn) {
        (conn.key, conn.start, conn.last, conn.marks, conn.tunnel) = (self.key, self.start, self.last, self.marks, self.tunnel);
        (conn.orig_is_a, conn.heard, conn.file) = (self.has(bit::ORIG_IS_A), self.has(bit::HEARD), u32::from(self.file));
        conn.attempt = if self.has(bit::ATTEMPT) { self.start.saturating_add(ATTEMPT) } else { NEVER };
        conn.expire = if self.has(bit::EXPIRE) { self.timer } else { NEVER };
        conn.remove = if self.has(bit::REMOVE) { self.timer } else { NEVER };
        conn.idle = IDLES.get(usize::from(self.bits >> bit::IDLE & 3)).copied().unwrap_or(TCP_IDLE);
        conn.history = History::of(self.history);
        (conn.told, conn.stream) = (self.told.take(), None);
        let ([one, two], [first, second]) = (&mut conn.counts, &mut conn.tcp.ends);
        let ([left, right], [left_bits, right_bits]) = (&self.flanks, self.sides);
        if self.key.proto == decode::TCP {
            restore(left, left_bits, first, one);
            restore(right, right_bits, second, two);
            let [orig, resp] = self.states;
            first.set_states(orig);
            second.set_states(resp);
            let [orig, resp] = self.letters.map(u32::from);
            (conn.tcp.letters, conn.letters) = (orig | resp << 16, 0);
        } else {
            conn.tcp = Conversation::new();
            *one = counted(left);
            *two = counted(right);
            conn.letters = self.letters[0];
        }
        let [orig, resp] = self.recent;
        let [one, two] = &mut conn.counts;
        one.recent = Recent { last: orig, next: left_bits & side::NEXT != 0 };
        two.recent = Recent { last: resp, next: right_bits & side::NEXT != 0 };
        let tcp = &mut conn.tcp;
        (tcp.partial, tcp.turned, tcp.deferred, tcp.inactive) = (self.has(bit::PARTIAL), self.has(bit::TURNED), self.has(bit::DEFERRED), self.has(bit::INACTIVE));
        (tcp.missed, tcp.first_seen) = (0, (self.bits >> bit::FIRST_SEEN & 3) as u8);
    }
}

fn counts(count: &Count) -> Option<(u32, u32)> {
    Some((u32::try_from(count.pkts).ok()?, u32::try_from(count.ip_bytes).ok()?))
}

/// A side of a stream, where it is plain.
#[inline]
fn stream(end: &End, count: &Count) -> Option<(Flank, u8)> {
    let (pkts, ip_bytes) = counts(count)?;
    let base = i64::from(end.start);
    let begun = count.begin != UNKNOWN;
    let at = if begun { u32::try_from(count.at.checked_sub(base)?).ok()?.wrapping_add(end.start) } else { 0 };
    let flank = Flank { start: end.start, last: end.last, acked: end.acked, at, pkts, ip_bytes };
    let proven = count.proven != UNKNOWN;
    let like = positions(&flank, end, begun, proven);
    let same = count.bytes == 0 && count.begin == like.begin && count.at == like.at && count.proven == like.proven && count.seen == like.seen;
    let flags = [
        (end.did_close, side::DID_CLOSE),
        (end.did_eof, side::DID_EOF),
        (end.fins, side::FIN),
        (end.was_reset(), side::RESET),
        (count.syn, side::SYN),
        (count.recent.next, side::NEXT),
        (begun, side::BEGUN),
        (proven, side::PROVEN),
    ];
    (same && end.is_plain()).then(|| (flank, flags.iter().fold(0, |all, (holds, bit)| all | if *holds { *bit } else { 0 })))
}

/// What was counted of a plain side.
#[inline]
fn positions(flank: &Flank, end: &End, begun: bool, proven: bool) -> Count {
    let base = i64::from(flank.start);
    let mut count = Count { pkts: u64::from(flank.pkts), ip_bytes: u64::from(flank.ip_bytes), ..Count::default() };
    if begun {
        count.begin = base + 1;
        count.at = base + i64::from(flank.at.wrapping_sub(flank.start));
        count.seen = Ranges::one(base + 1, end.payload());
    }
    if proven {
        count.proven = base + i64::from(flank.acked.wrapping_sub(flank.start).max(1));
    }
    count
}

#[inline]
fn restore(flank: &Flank, bits: u8, end: &mut End, count: &mut Count) {
    let has = |bit: u8| bits & bit != 0;
    *end = End::plain(flank.start, flank.last, flank.acked, has(side::FIN), has(side::RESET));
    (end.did_close, end.did_eof) = (has(side::DID_CLOSE), has(side::DID_EOF));
    *count = positions(flank, end, has(side::BEGUN), has(side::PROVEN));
    count.syn = has(side::SYN);
}

/// A side that sent datagrams.
fn datagrams(count: &Count) -> Option<(Flank, u8)> {
    let (pkts, ip_bytes) = counts(count)?;
    let (last, acked, start) = (u32::try_from(count.bytes).ok()?, u32::try_from(count.seen.unique()).ok()?, u32::try_from(count.doubtful).ok()?);
    let flank = Flank { start, last, acked, at: count.earlier, pkts, ip_bytes };
    let like = Count { recent: count.recent, ..counted(&flank) };
    (*count == like).then_some((flank, if count.recent.next { side::NEXT } else { 0 }))
}

fn counted(flank: &Flank) -> Count {
    let seen = Ranges::one(0, u64::from(flank.acked));
    let (pkts, ip_bytes, bytes) = (u64::from(flank.pkts), u64::from(flank.ip_bytes), u64::from(flank.last));
    Count { pkts, ip_bytes, bytes, seen, earlier: flank.at, doubtful: u64::from(flank.start), ..Count::default() }
}
