//! An open session: what is remembered of it between packets.

use super::UDP_IDLE;
use super::history::History;
use super::key::Key;
use super::marks::Marks;
use super::ranges::Ranges;
use super::recent::Recent;
use super::tcp::{ACK, Conversation};
use crate::decode::{Packet, Tcp, Tunnel};
use crate::hello::Outcome;
use crate::session::Facts;
use crate::stream::Stream;

pub const SECOND: i64 = 1_000_000_000;
/// No timer.
pub const NEVER: i64 = i64::MAX;

/// One side's counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    pub pkts: u64,
    pub ip_bytes: u64,
    /// Payload of datagrams, every one counted (UDP and ICMP).
    pub bytes: u64,
    /// Payload seen, each byte once.
    pub seen: Ranges,
    /// Sequence number space that the acknowledgements of the other side prove (TCP).
    pub proven: i64,
    /// Where the stream begins, where its SYN was seen; else its first byte seen (TCP).
    pub begin: i64,
    /// Latest position in the unwrapped sequence space (TCP).
    pub at: i64,
    pub syn: bool,
    pub recent: Recent,
    /// What is remembered of the datagrams before those, by its number and one more.
    pub earlier: u32,
    /// Payload of datagrams that were captured twice, or sent twice.
    pub doubtful: u64,
}

/// A SYN may stand this many bytes below what was seen of its conversation before it: the first windows of a sender. Of the new conversations
/// on ports whose SYN was not seen the last time, one in 65,536 falls in there.
const FLIGHT: i64 = 65_535;

/// A position that is not known yet.
pub const UNKNOWN: i64 = i64::MIN;

impl Default for Count {
    fn default() -> Self {
        Self { pkts: 0, ip_bytes: 0, bytes: 0, seen: Ranges::default(), proven: UNKNOWN, begin: UNKNOWN, at: UNKNOWN, syn: false, recent: Recent::default(), earlier: 0, doubtful: 0 }
    }
}

impl Count {
    /// A sequence number near the last one, as a position in an endless stream.
    fn position(&self, seq: u32) -> i64 {
        if self.at == UNKNOWN {
            return i64::from(seq);
        }
        let low = u32::try_from(self.at & 0xffff_ffff).unwrap_or(0);
        self.at + i64::from(seq.wrapping_sub(low).cast_signed())
    }

    /// The position of a segment of this side.
    pub fn unwrap(&mut self, seq: u32) -> i64 {
        let at = self.position(seq);
        self.at = self.at.max(at);
        at
    }

    /// Does a SYN with this number open what was seen of this side before? Behind its own answer or data it stands one below the lowest number
    /// known, or a little further below where what came first is late as well.
    pub fn opened_by(&self, seq: u32) -> bool {
        if self.syn || self.begin == UNKNOWN {
            return false;
        }
        let lowest = self.seen.span().map_or(self.begin, |(low, _)| low.min(self.begin));
        (0..=FLIGHT).contains(&(lowest - self.position(seq.wrapping_add(1))))
    }

    /// A segment begins here, behind its SYN. Does the stream begin with it? By how much lower than what was thought of as its first byte: what
    /// the other side acknowledged, or data, may come before the SYN.
    pub fn begins(&mut self, at: i64, syn: bool, data: bool) -> usize {
        let nothing = self.seen.unique() == 0;
        let lower = if self.begin == UNKNOWN { 0 } else { self.begin - at };
        let near = (1..=FLIGHT).contains(&lower) && !self.syn && (syn || data && nothing);
        if near || self.begin == UNKNOWN || syn && !self.syn && nothing {
            self.begin = at;
        }
        self.syn |= syn;
        if near { usize::try_from(lower).unwrap_or(0) } else { 0 }
    }

    /// The other side acknowledged everything below a number.
    pub fn acknowledge(&mut self, ack: u32) {
        let proven = self.position(ack);
        if self.begin == UNKNOWN || self.pkts == 0 {
            self.begin = if self.begin == UNKNOWN { proven } else { self.begin.min(proven) };
        }
        if self.at == UNKNOWN || self.pkts == 0 {
            self.at = self.at.max(proven);
        }
        self.proven = self.proven.max(proven);
    }

    /// Payload that the other side acknowledged (the FIN, where there is one, may be counted too).
    pub fn acknowledged(&self) -> u64 {
        if self.begin == UNKNOWN || self.proven == UNKNOWN {
            return 0;
        }
        let acked = u64::try_from(self.proven - self.begin).unwrap_or(0);
        if self.pkts == 0 { acked } else { acked.min(self.sent()) }
    }

    /// From where the stream begins to the last payload byte seen.
    pub fn sent(&self) -> u64 {
        let Some((_, end)) = self.seen.span() else { return 0 };
        if self.begin == UNKNOWN { 0 } else { u64::try_from(end - self.begin).unwrap_or(0) }
    }
}

/// What the hellos said in the end, without what they rarely say.
pub struct Told {
    pub services: Vec<&'static str>,
    pub hints: Vec<String>,
    pub facts: Option<Box<Facts>>,
}

/// An open session laid out whole, as the state machine and the hellos work on it (see `slot` for how it lies between packets).
#[derive(Default)]
pub struct Conn {
    pub key: Key,
    /// Does the originator stand at `a` of the key?
    pub orig_is_a: bool,
    pub letters: u8,
    pub heard: bool,
    pub last: i64,
    /// Times at which Zeek would look at it: nobody answered, still there, gone.
    pub attempt: i64,
    pub expire: i64,
    pub remove: i64,
    /// Longest silence.
    pub idle: i64,
    /// First bytes, while the hellos want more of them.
    pub stream: Option<Box<Stream>>,
    pub marks: Marks,
    pub counts: [Count; 2],
    pub tcp: Conversation,
    pub start: i64,
    pub history: History,
    pub told: Option<Box<Told>>,
    pub file: u32,
    pub tunnel: Tunnel,
}

impl Conn {
    pub fn new(key: Key, orig_is_a: bool, packet: &Packet<'_>, time: i64, file: u32) -> Self {
        Self {
            key,
            orig_is_a,
            marks: Marks::default(),
            start: time,
            last: time,
            attempt: NEVER,
            expire: NEVER,
            remove: NEVER,
            idle: UDP_IDLE,
            history: History::default(),
            tcp: Conversation::new(),
            counts: Default::default(),
            letters: 0,
            file,
            tunnel: packet.tunnel,
            stream: None,
            told: None,
            heard: false,
        }
    }

    /// Read something of most of its cache lines.
    #[inline]
    pub fn touch(&self) -> u64 {
        let ([one, two], [first, second]) = (&self.counts, &self.tcp.ends);
        let counts = one.pkts ^ one.recent.touch() ^ two.pkts ^ two.recent.touch();
        self.last.cast_unsigned() ^ self.tcp.missed ^ counts ^ u64::from(first.last ^ second.last)
    }

    /// When to look at it next.
    pub fn due(&self) -> i64 {
        self.attempt.min(self.expire).min(self.remove).min(self.last.saturating_add(self.idle))
    }

    pub fn count(&mut self, orig: bool) -> &mut Count {
        let [first, second] = &mut self.counts;
        if orig { first } else { second }
    }

    /// The hellos have all they want.
    pub fn hear(&mut self, outcome: Outcome) {
        self.heard = true;
        if !outcome.services.is_empty() || !outcome.hints.is_empty() {
            let facts = (outcome.facts != Facts::default()).then(|| Box::new(outcome.facts));
            self.told = Some(Box::new(Told { services: outcome.services, hints: outcome.hints, facts }));
        }
    }

    /// A SYN by which Zeek would begin another conversation between the same two ports: is it rather the one of what was seen of its sender
    /// before? `None` where there is no question.
    pub fn opened_late(&self, orig: bool, tcp: Tcp) -> Option<bool> {
        let [first, second] = &self.counts;
        let count = if orig { first } else { second };
        self.tcp.is_reuse(tcp).then(|| count.opened_by(tcp.seq))
    }

    /// A side's SYN comes behind other packets of it: its stream begins there, and one without an answer in it makes it the originator.
    /// Is it that now?
    pub fn open_late(&mut self, mut orig: bool, tcp: Tcp) -> bool {
        if !orig && tcp.flags & ACK == 0 && self.tcp.turn_late(&mut self.history) {
            self.flip();
            orig = true;
        }
        let count = self.count(orig);
        let first = count.position(tcp.seq.wrapping_add(1));
        let lower = usize::try_from(count.begin - first).unwrap_or(0);
        count.begin = first;
        if let Some(stream) = self.stream.as_mut().filter(|_| lower > 0) {
            stream.shift(orig, lower);
        }
        orig
    }

    /// Ports of originator and responder.
    pub fn ports(&self) -> (u16, u16) {
        if self.orig_is_a { (self.key.a_port, self.key.b_port) } else { (self.key.b_port, self.key.a_port) }
    }

    /// Turn originator and responder.
    pub fn flip(&mut self) {
        self.orig_is_a = !self.orig_is_a;
        let [first, second] = &mut self.counts;
        std::mem::swap(first, second);
        if let Some(stream) = &mut self.stream {
            stream.flip();
        }
    }
}
