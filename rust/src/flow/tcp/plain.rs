//! A side that is plain: all its numbers follow from three.

use super::{End, State};

impl End {
    /// Is it what `plain` makes of its three numbers?
    #[inline]
    pub(in crate::flow) fn is_plain(&self) -> bool {
        let plain = Self::plain(self.start, self.last, self.acked, self.fins, self.rst_at != 0);
        let unusual = self.wraps | self.ack_wraps | self.syn_at | self.gaps | self.repeats | self.zero_windows;
        unusual == 0
            && !self.skip
            && self.above.is_none()
            && self.fin_at == plain.fin_at
            && self.fin_letter_at == plain.fin_letter_at
            && self.rst_at == plain.rst_at
            && self.delivered == plain.delivered
            && self.trimmed == plain.trimmed
    }

    /// A side whose bytes all came once and in order: it began at `start`, goes on with `last`, and the other side has what lies before `acked`.
    /// `reset`: its last word was a reset.
    #[inline]
    pub(in crate::flow) fn plain(start: u32, last: u32, acked: u32, fins: bool, reset: bool) -> Self {
        let top = last.wrapping_sub(start);
        let delivered = top.saturating_sub(u32::from(fins)).max(1);
        Self {
            fins,
            start,
            last,
            acked,
            fin_at: if fins { u64::from(top) } else { 0 },
            fin_letter_at: if fins { top.wrapping_sub(1) } else { 0 },
            rst_at: if reset { top } else { 0 },
            delivered: u64::from(delivered),
            trimmed: u64::from(acked.wrapping_sub(start).min(delivered).max(1)),
            ..Self::default()
        }
    }

    /// The payload that such a side sent.
    #[inline]
    pub(in crate::flow) fn payload(&self) -> u64 {
        self.delivered.saturating_sub(1)
    }

    #[inline]
    pub(in crate::flow) fn was_reset(&self) -> bool {
        self.rst_at != 0
    }

    /// Both states in a byte.
    #[inline]
    pub(in crate::flow) fn states(&self) -> u8 {
        self.state as u8 | (self.before as u8) << 4
    }

    #[inline]
    pub(in crate::flow) fn set_states(&mut self, states: u8) {
        (self.state, self.before) = (State::of(states & 15), State::of(states >> 4));
    }
}
