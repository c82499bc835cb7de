//! What one side of a conversation did.

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
    /// By its number.
    pub(in crate::flow) fn of(number: u8) -> Self {
        use State::{Closed, Established, Inactive, Partial, Reset, SynAckSent, SynSent};
        [Inactive, SynSent, SynAckSent, Partial, Established, Closed, Reset].get(usize::from(number)).copied().unwrap_or_default()
    }

    /// Not yet past the handshake.
    pub(super) fn young(self) -> bool {
        matches!(self, Self::Inactive | Self::SynSent | Self::SynAckSent)
    }
}

/// What one side did. Relative sequence numbers count from the SYN (0); the first data byte is 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct End {
    pub state: State,
    pub before: State,
    pub did_close: bool,
    pub(in crate::flow) did_eof: bool,
    pub(super) skip: bool,
    pub(in crate::flow) fins: bool,
    pub(in crate::flow) start: u32,
    pub(in crate::flow) last: u32,
    pub(in crate::flow) acked: u32,
    pub(super) wraps: u32,
    pub(super) ack_wraps: u32,
    pub(super) syn_at: u32,
    pub(super) fin_letter_at: u32,
    pub(super) rst_at: u32,
    pub(super) gaps: u32,
    pub(super) repeats: u32,
    pub(super) zero_windows: u32,
    pub(super) fin_at: u64,
    /// Everything below was delivered or given up.
    pub(super) delivered: u64,
    /// Everything below was acknowledged.
    pub(super) trimmed: u64,
    #[allow(clippy::box_collection)] // one word in every session instead of three
    pub(super) above: Option<Box<Vec<(u64, u64)>>>,
}

impl End {
    pub(super) fn full(number: u32, wraps: u32) -> u64 {
        (u64::from(wraps) << 32) + u64::from(number)
    }

    pub(super) fn nothing_acked(&self) -> bool {
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

    /// Count from a lower number.
    pub(super) fn count_from(&mut self, seq: u32) {
        let lower = self.start.wrapping_sub(seq);
        let wrapped = u32::from(self.start < seq);
        (self.wraps, self.ack_wraps) = (self.wraps + wrapped, self.ack_wraps + wrapped);
        self.start = seq;
        if self.state == State::Inactive || lower == 0 {
            return; // nothing of it was seen: what is acknowledged may still come
        }
        for number in [&mut self.delivered, &mut self.trimmed, &mut self.fin_at].into_iter().chain(self.above.iter_mut().flat_map(|above| above.iter_mut()).flat_map(|(low, high)| [low, high])) {
            *number = number.saturating_add(u64::from(lower));
        }
        for number in [&mut self.fin_letter_at, &mut self.rst_at] {
            *number = number.wrapping_add(lower);
        }
    }

    pub(super) fn move_last(&mut self, number: u32) {
        self.wraps += u32::from(number < self.last);
        self.last = number;
    }

    /// Highest piece that waits above a hole, if one does.
    pub(super) fn top(&self) -> Option<u64> {
        self.above.as_ref().and_then(|above| above.last()).map(|piece| piece.1)
    }

    /// Does it hold data that was not acknowledged?
    pub(super) fn waiting(&self) -> bool {
        self.delivered > self.trimmed || self.above.is_some()
    }

    pub(super) fn clean(&self) -> bool {
        self.state == State::Established || (self.state == State::Closed && self.before == State::Established)
    }
}
