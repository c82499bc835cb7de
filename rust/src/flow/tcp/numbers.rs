//! Sequence numbers, relative to where their side began.

use super::{Conversation, End, FIN, RST, SYN, Segment, State, TOO_LARGE};

impl Conversation {
    /// The acknowledgement in a segment, about the other side's data.
    pub(super) fn acknowledge(&mut self, seg: &Segment) -> u64 {
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
}

pub(super) fn delta(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b).cast_signed()
}

pub(super) fn init_end(end: &mut End, seg: &Segment, past: u32) {
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
pub(super) fn relative(end: &End, number: u32, last: u32, mut wraps: u32) -> (u64, bool) {
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
pub(super) fn update_last(end: &mut End, past: u32, seg: &Segment) -> bool {
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
