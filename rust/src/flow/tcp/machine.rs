//! The states of both sides, how they close, and what that is called in the end.

use super::{ACK, Conversation, End, FIN, RST, SYN, Segment, State};
use crate::flow::history::History;

impl Conversation {
    pub(super) fn set_state(&mut self, orig: bool, new: State) {
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
    pub(super) fn state_machine(&mut self, mut seg: Segment, history: &mut History) -> (bool, Segment) {
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

    pub(super) fn first_of_side(&mut self, seg: &Segment, history: &mut History) -> bool {
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

    pub(super) fn in_established(&mut self, seg: &Segment) -> bool {
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

    pub(super) fn pending(&mut self, orig: bool) -> bool {
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

    pub(super) fn check_eof(&mut self, orig: bool) {
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

    pub(super) fn closed(&mut self, orig: bool) {
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
    pub fn state(&self, history: &History) -> &'static str {
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
pub(super) fn aborted_attempt(history: &History) -> bool {
    let mut letters = history.letters().peekable();
    letters.next_if_eq(&b'^');
    letters.next() == Some(b'S') && letters.find(|letter| b"HAFGIQR".contains(letter)) == Some(b'R')
}
