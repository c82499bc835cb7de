//! One TCP conversation as Zeek sees it: endpoint states, history, sizes by sequence numbers, content gaps.
//!
//! The rules are those of Zeek's TCP session adapter and reassembler (BSD licence, zeek.org), re-stated: the point of
//! this file is that `conn_state`, `history`, `orig_bytes` and `missed_bytes` are what Zeek would have written.

mod end;
mod gaps;
mod letters;
mod machine;
mod numbers;
mod plain;

pub use end::{End, State};
use letters::{is_power, letter};
use numbers::{init_end, relative, update_last};

use super::history::History;
use crate::decode::Tcp;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

/// A jump of the sequence numbers of a SYN or RST beyond this is not believed.
const TOO_LARGE: i32 = 1_048_576;
/// Data above a hole, while nothing was ever acknowledged, beyond which the other side is taken as unseen.
const ABOVE_HOLE: u64 = 16_384;
/// Data without a further acknowledgement, likewise.
pub(super) const WITHOUT_ACKS: u64 = 10 * 1024 * 1024;
/// Sent without any acknowledgement; more is not kept waiting for one.
pub(super) const INITIAL_WINDOW: u64 = 16_384;
/// Pieces kept above a hole.
const PIECES: usize = 256;

/// What the caller has to do after a segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effect {
    /// Originator and responder changed places.
    pub flipped: bool,
    /// The same, the counts of this segment included.
    pub turned: bool,
    /// The handshake is over: the longer idle time holds from now.
    pub past_handshake: bool,
    /// A SYN opened it: drop it when nobody answers.
    pub attempt: bool,
    /// Closed by both sides (or reset): drop it soon.
    pub complete: bool,
    /// Closed by one side: look again.
    pub half: bool,
    /// The handshake was seen.
    pub established: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversation {
    /// Originator, responder.
    pub ends: [End; 2],
    pub missed: u64,
    pub(super) letters: u32,
    pub(super) first_seen: u8,
    pub(super) partial: bool,
    pub(super) turned: bool,
    pub(super) deferred: bool,
    pub inactive: bool,
    effect: Effect,
}

/// A segment with its side.
#[derive(Clone, Copy)]
struct Segment {
    orig: bool,
    tcp: Tcp,
    length: u32,
}

impl Segment {
    fn has(&self, flag: u8) -> bool {
        self.tcp.flags & flag != 0
    }

    /// Sequence space that it takes.
    fn space(&self) -> u32 {
        let data = if self.has(RST) { 0 } else { self.length };
        data + u32::from(self.has(SYN)) + u32::from(self.has(FIN))
    }
}

impl Conversation {
    #[must_use]
    pub fn new() -> Self {
        let mut new = Self::default();
        for end in &mut new.ends {
            end.delivered = 1;
            end.trimmed = 1;
        }
        new
    }

    fn pair(&mut self, orig: bool) -> (&mut End, &mut End) {
        let [first, second] = &mut self.ends;
        if orig { (first, second) } else { (second, first) }
    }

    fn end(&mut self, orig: bool) -> &mut End {
        self.pair(orig).0
    }

    /// Was any sequence number seen?
    #[must_use]
    pub fn numbered(&self) -> bool {
        self.ends.iter().any(|end| end.state != State::Inactive)
    }

    /// Is this SYN the start of another conversation between the same two ports?
    #[must_use]
    pub fn is_reuse(&self, tcp: Tcp) -> bool {
        let [orig, resp] = &self.ends;
        if tcp.flags & SYN == 0 {
            return false;
        }
        let mut end = orig;
        if tcp.flags & ACK != 0 {
            if orig.state != State::Inactive {
                return false;
            }
            end = resp;
        }
        if orig.did_close || resp.did_close {
            return true;
        }
        if tcp.seq == end.start {
            return false;
        }
        let crossed = tcp.flags & ACK == 0 && end.state == State::SynAckSent && resp.state == State::Inactive && tcp.seq == resp.start;
        !crossed
    }

    /// Take one segment. `late`: a SYN behind packets of its own side, whose numbers then count from it.
    #[inline]
    pub fn segment(&mut self, orig: bool, tcp: Tcp, length: u32, stored: bool, late: bool, history: &mut History) -> Effect {
        let seg = Segment { orig, tcp, length };
        self.effect = Effect::default();
        self.note_partial(&seg);
        let past = tcp.seq.wrapping_add(seg.space());
        let (end, peer) = self.pair(orig);
        if late {
            end.count_from(tcp.seq);
        } else {
            init_end(end, &seg, past);
        }
        let (rel, underflow) = relative(end, tcp.seq, end.last, end.wraps);
        let zero = tcp.window == 0 && !seg.has(RST) && peer.state != State::Closed && end.state != State::Reset;
        end.zero_windows = end.zero_windows.saturating_add(u32::from(zero));
        let zero = zero && is_power(end.zero_windows);
        self.letters_of(&seg, rel, history);
        if zero {
            history.push(letter(b'W', orig));
        }
        let end = self.end(orig);
        if seg.has(FIN) {
            end.fins = true;
            end.fin_at = rel.wrapping_add(u64::from(seg.space()));
        }
        let rel_ack = if seg.has(ACK) { self.acknowledge(&seg) } else { 0 };
        if update_last(self.end(orig), past, &seg) {
            let end = self.end(orig);
            end.repeats = end.repeats.saturating_add(1);
            if is_power(end.repeats) {
                history.push(letter(b'T', orig));
            }
        }
        let (close, seg) = self.state_machine(seg, history);
        if late {
            self.shake_late();
        }
        let orig = seg.orig;
        if seg.has(ACK) {
            self.ack_received(!orig, rel_ack, history);
        }
        self.first_seen |= if orig { 1 } else { 2 };
        let data_at = if seg.has(SYN) { rel.wrapping_add(1) } else { rel };
        if length > 0 && !seg.has(RST) && !underflow && stored {
            self.data_sent(orig, data_at, u64::from(length));
        }
        self.check_eof(orig);
        if close {
            self.closed(orig);
        }
        if !orig && self.answered(&seg) {
            self.turn_back(history);
        }
        self.effect
    }

    /// It began with a SYN-ACK, and now the other side speaks: that one had sent the SYN.
    fn answered(&self, seg: &Segment) -> bool {
        let [first, _] = &self.ends;
        !self.turned && first.state == State::SynAckSent && !seg.has(SYN) && !seg.has(RST)
    }

    /// Turn the sides as though the history had been written that way from the start.
    fn turn_back(&mut self, history: &mut History) {
        self.turned = true;
        let [orig, resp] = &mut self.ends;
        std::mem::swap(orig, resp);
        self.letters = self.letters.rotate_left(16);
        self.first_seen = ((self.first_seen & 1) << 1) | (self.first_seen >> 1);
        self.effect.turned = true;
        history.turn();
    }

    /// The responder turns out to have sent the SYN; false where the state machine turns the sides itself (a SYN right behind its answer).
    pub fn turn_late(&mut self, history: &mut History) -> bool {
        let [first, second] = &self.ends;
        let crossed = first.state == State::SynAckSent && second.state == State::Inactive;
        if !crossed {
            self.turn_back(history);
        }
        !crossed
    }

    /// A SYN that comes late, of a side that the other has answered: the handshake was seen after all.
    fn shake_late(&mut self) {
        let [first, second] = &self.ends;
        if first.state == State::Inactive || second.state == State::Inactive {
            return;
        }
        self.partial = false;
        for orig in [true, false] {
            if matches!(self.end(orig).state, State::SynSent | State::SynAckSent | State::Partial) {
                self.set_state(orig, State::Established);
                self.effect.established = true;
            }
        }
    }

    fn note_partial(&mut self, seg: &Segment) {
        if seg.orig {
            if self.first_seen & 1 == 0 {
                self.partial = !seg.has(SYN) || seg.has(ACK);
            }
        } else if self.first_seen & 2 == 0 && !self.partial {
            self.partial = !seg.has(SYN);
        }
    }
}

