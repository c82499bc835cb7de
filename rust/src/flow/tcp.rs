//! One TCP conversation as Zeek sees it: endpoint states, history, sizes by sequence numbers, content gaps.
//!
//! The rules are those of Zeek's TCP session adapter and reassembler (BSD licence, zeek.org), re-stated: the point of
//! this file is that `conn_state`, `history`, `orig_bytes` and `missed_bytes` are what Zeek would have written.

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
const WITHOUT_ACKS: u64 = 10 * 1024 * 1024;
/// Sent without any acknowledgement; more is not kept waiting for one.
const INITIAL_WINDOW: u64 = 16_384;
/// Pieces kept above a hole.
const PIECES: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    #[default]
    Inactive,
    SynSent,
    SynAckSent,
    Partial,
    Established,
    Closed,
    Reset,
}

impl State {
    /// Not yet past the handshake.
    fn young(self) -> bool {
        matches!(self, Self::Inactive | Self::SynSent | Self::SynAckSent)
    }
}

/// What one side did. Relative sequence numbers count from the SYN (0); the first data byte is 1.
#[derive(Debug, Clone, Default)]
pub struct End {
    pub state: State,
    pub before: State,
    pub did_close: bool,
    did_eof: bool,
    skip: bool,
    fins: bool,
    start: u32,
    last: u32,
    acked: u32,
    wraps: u32,
    ack_wraps: u32,
    syn_at: u32,
    fin_letter_at: u32,
    rst_at: u32,
    gaps: u32,
    repeats: u32,
    zero_windows: u32,
    fin_at: u64,
    /// Everything below was delivered or given up.
    delivered: u64,
    /// Everything below was acknowledged.
    trimmed: u64,
    #[allow(clippy::box_collection)] // one word in every session instead of three
    above: Option<Box<Vec<(u64, u64)>>>,
}

impl End {
    fn full(number: u32, wraps: u32) -> u64 {
        (u64::from(wraps) << 32) + u64::from(number)
    }

    fn nothing_acked(&self) -> bool {
        let ack = Self::full(self.acked, self.ack_wraps);
        ack == u64::from(self.start) || ack == u64::from(self.start) + 1
    }

    /// Payload bytes by sequence numbers.
    #[must_use]
    pub fn size(&self, peer: &Self) -> u64 {
        if self.before == State::SynSent && self.state == State::Reset && peer.state == State::Inactive && !self.nothing_acked() {
            return 0; // a half-open connection was found and aborted; its numbers mean nothing
        }
        let top = Self::full(self.last, self.wraps).max(Self::full(self.acked, self.ack_wraps));
        let size = top.saturating_sub(u64::from(self.start));
        size.saturating_sub(1).saturating_sub(u64::from(self.fins && size > 1))
    }

    fn move_last(&mut self, number: u32) {
        self.wraps += u32::from(number < self.last);
        self.last = number;
    }

    /// Highest piece that waits above a hole, if one does.
    fn top(&self) -> Option<u64> {
        self.above.as_ref().and_then(|above| above.last()).map(|piece| piece.1)
    }

    /// Does it hold data that was not acknowledged?
    fn waiting(&self) -> bool {
        self.delivered > self.trimmed || self.above.is_some()
    }

    fn clean(&self) -> bool {
        self.state == State::Established || (self.state == State::Closed && self.before == State::Established)
    }
}

fn delta(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b).cast_signed()
}

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

#[derive(Debug, Clone, Default)]
pub struct Conversation {
    /// Originator, responder.
    pub ends: [End; 2],
    pub missed: u64,
    letters: u32,
    first_seen: u8,
    partial: bool,
    turned: bool,
    deferred: bool,
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

    /// Take one segment.
    #[inline]
    pub fn segment(&mut self, orig: bool, tcp: Tcp, length: u32, stored: bool, history: &mut History) -> Effect {
        let seg = Segment { orig, tcp, length };
        self.effect = Effect::default();
        self.note_partial(&seg);
        let past = tcp.seq.wrapping_add(seg.space());
        let (end, peer) = self.pair(orig);
        init_end(end, &seg, past);
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

    fn note_partial(&mut self, seg: &Segment) {
        if seg.orig {
            if self.first_seen & 1 == 0 {
                self.partial = !seg.has(SYN) || seg.has(ACK);
            }
        } else if self.first_seen & 2 == 0 && !self.partial {
            self.partial = !seg.has(SYN);
        }
    }

    /// First of its kind from this side: write the letter. True where it was written before.
    fn known(&mut self, bit: u32, code: u8, orig: bool, history: &mut History) -> bool {
        let mask = if orig { bit } else { bit << 16 };
        let known = self.letters & mask != 0;
        if !known {
            self.letters |= mask;
            history.push(letter(code, orig));
        }
        known
    }

    #[inline]
    fn letters_of(&mut self, seg: &Segment, rel: u64, history: &mut History) {
        let orig = seg.orig;
        let control = seg.tcp.flags & (SYN | FIN | RST);
        let low = |number: u64| u32::try_from(number & 0xffff_ffff).unwrap_or(0);
        match control.count_ones() {
            0 if seg.length > 0 => {
                self.known(0x10, b'D', orig, history);
            }
            0 if seg.has(ACK) => {
                self.known(0x20, b'A', orig, history);
            }
            0 => {}
            1 if control == SYN => {
                let code = if seg.has(ACK) { b'H' } else { b'S' };
                if self.known(1, code, orig, history) && low(rel) != self.end(orig).syn_at {
                    history.push(letter(code, orig));
                }
                self.end(orig).syn_at = low(rel);
            }
            1 if control == FIN => {
                let at = low(rel.wrapping_add(u64::from(seg.length)));
                if self.known(2, b'F', orig, history) && at != self.end(orig).fin_letter_at {
                    history.push(letter(b'F', orig));
                }
                self.end(orig).fin_letter_at = at;
            }
            1 => {
                if self.known(4, b'R', orig, history) && low(rel) != self.end(orig).rst_at {
                    history.push(letter(b'R', orig));
                }
                self.end(orig).rst_at = low(rel);
            }
            _ if control & (FIN | RST) == FIN | RST => {
                self.known(8, b'I', orig, history);
            }
            _ => {
                self.known(0x40, b'Q', orig, history);
            }
        }
    }

    /// The acknowledgement in a segment, about the other side's data.
    fn acknowledge(&mut self, seg: &Segment) -> u64 {
        let ack = seg.tcp.ack;
        let (_, peer) = self.pair(seg.orig);
        if peer.state == State::Inactive {
            // As though there had been a SYN, so that the numbers of later data stay consistent.
            peer.start = ack.wrapping_sub(1);
            peer.acked = ack.wrapping_sub(1);
            peer.last = ack.wrapping_sub(1);
            return 1;
        }
        let (rel, underflow) = relative(peer, ack, peer.acked, peer.ack_wraps);
        if underflow {
            return 0;
        }
        let ahead = delta(ack, peer.acked);
        if !seg.has(RST) && ahead > 0 && !(ack == 0 && ahead > TOO_LARGE) {
            peer.ack_wraps += u32::from(ack < peer.acked);
            peer.acked = ack;
        }
        rel
    }

    fn set_state(&mut self, orig: bool, new: State) {
        let (end, peer) = self.pair(orig);
        if end.state == new {
            return;
        }
        let past = !new.young() && end.state.young() && peer.state.young();
        end.before = end.state;
        end.state = new;
        self.effect.past_handshake |= past;
    }

    /// True where the segment closes its side. The segment comes back with its side, which may have been turned.
    fn state_machine(&mut self, mut seg: Segment, history: &mut History) -> (bool, Segment) {
        let orig = seg.orig;
        let mut close = false;
        match self.end(orig).state {
            State::Inactive => {
                seg.orig = self.first_of_side(&seg, history);
                close = seg.has(FIN) || seg.has(RST);
            }
            State::SynSent | State::SynAckSent => {
                if seg.has(FIN) {
                    self.set_state(orig, State::Closed);
                    close = true;
                }
                if seg.has(RST) {
                    self.set_state(orig, State::Reset);
                    self.inactive = true;
                    close = true;
                }
            }
            State::Established | State::Partial => close = self.in_established(&seg),
            State::Closed => {
                let (end, peer) = self.pair(orig);
                if seg.has(RST) && peer.state != State::Closed {
                    close = !end.did_close;
                    self.set_state(orig, State::Reset);
                }
            }
            State::Reset => {}
        }
        (close, seg)
    }

    fn first_of_side(&mut self, seg: &Segment, history: &mut History) -> bool {
        let mut orig = seg.orig;
        if seg.has(SYN) {
            if orig {
                self.set_state(true, if seg.has(ACK) { State::SynAckSent } else { State::SynSent });
                self.effect.attempt = true;
            } else {
                let (end, peer) = self.pair(false);
                if !seg.has(ACK) && peer.state == State::SynAckSent && seg.tcp.seq == end.start {
                    // SYN and SYN-ACK were captured the wrong way round.
                    self.flip(history);
                    orig = true;
                    self.set_state(false, State::Established);
                    self.first_seen |= 1;
                }
                if self.pair(orig).1.state == State::SynSent {
                    self.set_state(!orig, State::Established);
                }
                self.set_state(orig, State::Established);
                self.effect.established |= self.pair(orig).1.state != State::Partial;
            }
        }
        if seg.has(FIN) {
            self.set_state(orig, State::Closed);
        }
        if seg.has(RST) {
            self.set_state(orig, State::Reset);
        }
        if self.end(orig).state == State::Inactive {
            let early_ack = !orig && seg.length == 0 && self.end(true).state == State::SynSent;
            if early_ack {
                return orig;
            }
            if seg.has(ACK) && self.pair(orig).1.state == State::Established {
                self.set_state(orig, State::Established); // the SYN was missed, the rest of the handshake was not
                self.partial = false;
                self.first_seen |= if orig { 1 } else { 2 };
            } else {
                self.set_state(orig, State::Partial);
            }
        }
        orig
    }

    fn in_established(&mut self, seg: &Segment) -> bool {
        let orig = seg.orig;
        let (end, peer) = self.pair(orig);
        if seg.has(SYN) && end.state == State::Partial && peer.state == State::Inactive && !seg.has(ACK) {
            self.set_state(orig, State::SynSent);
        }
        let mut close = false;
        if seg.has(FIN) && !seg.has(RST) {
            self.set_state(orig, State::Closed);
            let peer = self.pair(orig).1;
            if peer.state == State::Reset && peer.before == State::Closed {
                self.set_state(!orig, State::Closed); // FIN, then RST: a normal end after all
            }
            close = true;
        }
        if seg.has(RST) {
            self.set_state(orig, State::Reset);
            let peer = self.pair(orig).1;
            if peer.state != State::Reset || peer.before != State::Established {
                self.inactive = true;
            }
            close = true;
        }
        close
    }

    /// Turn originator and responder.
    pub fn flip(&mut self, history: &mut History) {
        let [orig, resp] = &mut self.ends;
        std::mem::swap(orig, resp);
        self.first_seen = ((self.first_seen & 1) << 1) | (self.first_seen >> 1);
        self.partial = false;
        self.effect.flipped = true;
        history.push(b'^');
    }

    fn ack_received(&mut self, orig: bool, mut up_to: u64, history: &mut History) {
        let end = self.end(orig);
        if end.fins && up_to >= end.fin_at {
            up_to = end.fin_at.saturating_sub(1);
        }
        if up_to <= end.trimmed {
            return;
        }
        if up_to > end.delivered {
            self.undelivered(orig, up_to, history);
        }
        let end = self.end(orig);
        end.trimmed = up_to;
        deliver(end);
        self.check_eof(orig);
    }

    /// Data that was acknowledged and never seen.
    fn undelivered(&mut self, orig: bool, up_to: u64, history: &mut History) {
        if up_to <= 2 && self.partial {
            return;
        }
        let (end, peer) = self.pair(orig);
        let told = end.clean() && peer.clean();
        let mut gaps = Vec::new();
        if !end.skip {
            while let Some((low, high)) = end.above.as_mut().and_then(|above| above.first().copied()) {
                if low >= up_to {
                    break;
                }
                if low > end.delivered {
                    gaps.push(low - end.delivered);
                }
                end.delivered = end.delivered.max(high);
                drop_first(end);
            }
            if up_to > end.delivered {
                gaps.push(up_to - end.delivered);
            }
        }
        end.delivered = end.delivered.max(up_to);
        for gap in gaps {
            if told {
                self.missed = self.missed.saturating_add(gap);
                let end = self.end(orig);
                end.gaps = end.gaps.saturating_add(1);
                if is_power(end.gaps) {
                    history.push(letter(b'G', orig));
                }
            }
        }
    }

    #[inline]
    fn data_sent(&mut self, orig: bool, seq: u64, length: u64) {
        let (end, peer) = self.pair(orig);
        if end.skip {
            return;
        }
        let upper = seq.saturating_add(length);
        let low = seq.max(end.trimmed);
        if upper <= end.trimmed {
            return;
        }
        if low <= end.delivered && end.above.is_none() {
            end.delivered = end.delivered.max(upper);
        } else {
            insert(end, low, upper);
            deliver(end);
        }
        if end.nothing_acked() {
            if end.size(peer) > INITIAL_WINDOW && end.delivered > end.trimmed {
                end.trimmed = end.delivered;
            }
            if end.top().is_some_and(|top| top.saturating_sub(end.delivered) > ABOVE_HOLE) {
                end.above = None;
                end.skip = true;
            }
        }
        let held = end.delivered.saturating_sub(end.trimmed) + end.above.as_ref().map_or(0, |above| above.iter().map(|piece| piece.1 - piece.0).sum());
        if held > WITHOUT_ACKS {
            end.above = None;
            end.skip = true;
        }
    }

    fn pending(&mut self, orig: bool) -> bool {
        let (end, peer) = self.pair(orig);
        if end.skip {
            return false;
        }
        let delivered = u64::from(end.start) + end.delivered;
        let last = End::full(end.last, end.wraps);
        if last < delivered {
            return false;
        }
        if delivered != last && delivered + 1 != last {
            return true;
        }
        end.state != State::Reset && peer.waiting()
    }

    fn check_eof(&mut self, orig: bool) {
        let end = self.end(orig);
        if end.did_eof || !(end.fins || matches!(end.state, State::Closed | State::Reset)) || self.pending(orig) {
            return;
        }
        self.end(orig).did_eof = true;
        if self.deferred {
            self.closed(orig);
            self.deferred = false;
        }
    }

    fn closed(&mut self, orig: bool) {
        if self.pending(orig) {
            self.deferred = true;
            return;
        }
        self.deferred = false;
        let (end, peer) = self.pair(orig);
        if end.did_close {
            return;
        }
        end.did_close = true;
        if end.state == State::Reset || peer.did_close || peer.state == State::Inactive {
            self.effect.complete = true;
        } else if end.before != State::Inactive {
            self.effect.half = true;
        }
    }

    /// Zeek's word for how it went.
    #[must_use]
    pub fn state(&self, history: &str) -> &'static str {
        use State::{Closed, Established, Inactive, Partial, Reset, SynAckSent, SynSent};
        let [orig, resp] = &self.ends;
        let idle = |state| matches!(state, Inactive | Partial);
        match (orig.state, resp.state) {
            (SynSent | SynAckSent, Reset) => "REJ",
            (Reset, Reset) if orig.size(resp) == 0 && resp.size(orig) == 0 => "REJ",
            (state, Reset) if idle(state) => "RSTRH",
            (_, Reset) => "RSTR",
            (Reset, state) if idle(state) && aborted_attempt(history) => "RSTOS0",
            (Reset, state) if idle(state) => "OTH",
            (Reset, _) => "RSTO",
            (Closed, Closed) => "SF",
            (Closed, state) if idle(state) => "SH",
            (Closed, _) => "S2",
            (state, Closed) if idle(state) => "SHR",
            (_, Closed) => "S3",
            (SynSent, Inactive) => "S0",
            (Established, Established) => "S1",
            _ => "OTH",
        }
    }
}

/// `^?S[^HAFGIQ]*R.*`: a SYN taken back.
fn aborted_attempt(history: &str) -> bool {
    let rest = history.strip_prefix('^').unwrap_or(history);
    let Some(rest) = rest.strip_prefix('S') else { return false };
    rest.chars().find(|letter| "HAFGIQR".contains(*letter)) == Some('R')
}

/// The first, tenth, hundredth … of its kind is written.
fn is_power(count: u32) -> bool {
    matches!(count, 1 | 10 | 100 | 1_000 | 10_000 | 100_000 | 1_000_000 | 10_000_000 | 100_000_000 | 1_000_000_000)
}

fn letter(code: u8, orig: bool) -> u8 {
    if orig { code } else { code.to_ascii_lowercase() }
}

fn init_end(end: &mut End, seg: &Segment, past: u32) {
    let seq = seg.tcp.seq;
    let syn = seg.has(SYN);
    match end.state {
        State::Inactive if syn => (end.start, end.acked, end.last) = (seq, seq, past),
        State::Inactive => (end.start, end.acked, end.last) = (seq.wrapping_sub(1), seq.wrapping_sub(1), seq),
        State::SynSent | State::SynAckSent if syn && seq != end.start => (end.start, end.acked, end.last) = (seq, seq, past),
        State::Established | State::Partial if syn => (end.start, end.acked, end.last) = (seq, seq, past),
        State::Reset if syn && end.before == State::Inactive => (end.start, end.acked, end.last) = (seq, seq, past),
        _ => {}
    }
}

/// A number relative to the start of its side, and whether it lies before it.
fn relative(end: &End, number: u32, last: u32, mut wraps: u32) -> (u64, bool) {
    let ahead = delta(number, last);
    if ahead < 0 && wraps > 0 && number > last {
        wraps -= 1;
    } else if ahead > 0 && number < last {
        wraps += 1;
    }
    if wraps == 0 {
        let rel = delta(number, end.start);
        return (i64::from(rel).cast_unsigned(), rel < 0);
    }
    (End::full(number, wraps).wrapping_sub(u64::from(end.start)), false)
}

/// Take the end of a segment into account; true where it repeats payload.
fn update_last(end: &mut End, past: u32, seg: &Segment) -> bool {
    let ahead = delta(past, end.last);
    if (seg.has(SYN) || seg.has(RST)) && ahead.unsigned_abs() > TOO_LARGE.unsigned_abs() {
        return false;
    }
    if seg.has(FIN) && end.last == end.start.wrapping_add(1) {
        end.move_last(past);
    } else if end.state == State::Reset {
        return false;
    } else if ahead > 0 {
        end.move_last(past);
    } else {
        return seg.length > 0;
    }
    false
}

/// Remember data above a hole.
fn insert(end: &mut End, low: u64, upper: u64) {
    let low = low.max(end.delivered);
    if upper <= low {
        return;
    }
    let above = end.above.get_or_insert_default();
    let begin = above.partition_point(|piece| piece.1 < low);
    let stop = above.partition_point(|piece| piece.0 <= upper);
    let joined = above.get(begin..stop).unwrap_or_default().iter().fold((low, upper), |all, piece| (all.0.min(piece.0), all.1.max(piece.1)));
    above.splice(begin..stop, [joined]);
    if above.len() > PIECES {
        end.above = None;
        end.skip = true;
    }
}

/// Deliver what follows on without a hole.
fn deliver(end: &mut End) {
    while let Some((low, high)) = end.above.as_ref().and_then(|above| above.first().copied()) {
        if low > end.delivered {
            return;
        }
        end.delivered = end.delivered.max(high);
        drop_first(end);
    }
}

fn drop_first(end: &mut End) {
    if let Some(above) = end.above.as_mut() {
        if !above.is_empty() {
            above.remove(0);
        }
        if above.is_empty() {
            end.above = None;
        }
    }
}
