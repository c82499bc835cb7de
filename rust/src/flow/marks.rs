//! Facts of a session that become hints, a bit each.

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks(u16);

impl Marks {
    pub const CUT: Self = Self(1);
    pub const DUPLICATE: Self = Self(2);
    pub const EARLY: Self = Self(4);
    pub const OPEN: Self = Self(8);
    pub const CARRIER: Self = Self(16);
    /// A clear FTP control session whose lines are followed.
    pub const LINES: Self = Self(64);
    /// Of some TCP packets only the ports were stored.
    pub const HEADLESS: Self = Self(128);
    /// A QUIC conversation whose first datagram here comes from its middle.
    pub const JOINED: Self = Self(256);
    /// There was no room left for its first bytes.
    pub const UNHEARD: Self = Self(512);

    #[inline]
    pub fn has(self, mark: Self) -> bool {
        self.0 & mark.0 != 0
    }

    /// Set it where it holds.
    #[inline]
    pub fn set(&mut self, mark: Self, holds: bool) {
        self.0 |= if holds { mark.0 } else { 0 };
    }

    pub fn clear(&mut self, mark: Self) {
        self.0 &= !mark.0;
    }
}
