//! Where an address stands: inside, public, or neither.

use std::net::IpAddr;

/// Where an address stands; the same answer as `netexfil.policy.side` (a test holds it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Other = 0,
    Inside = 1,
    Public = 2,
}

/// A network by its first address and prefix length, IPv4 in the low 32 bits.
#[derive(Debug, Clone, Copy)]
struct Network {
    v6: bool,
    bits: u128,
    mask: u128,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let (v6, bits, width) = match address {
            IpAddr::V4(v4) => (false, u128::from(u32::from(v4)), 32),
            IpAddr::V6(v6) => (true, u128::from(v6), 128),
        };
        let prefix: u32 = prefix.parse().ok().filter(|p| *p <= width)?;
        let all = if v6 { u128::MAX } else { u128::from(u32::MAX) };
        let mask = if prefix == 0 { 0 } else { all & (all << (width - prefix)) };
        Some(Self { v6, bits: bits & mask, mask })
    }

    fn holds(&self, v6: bool, bits: u128) -> bool {
        self.v6 == v6 && bits & self.mask == self.bits
    }
}

/// What is inside, and what is not public.
#[derive(Debug, Clone)]
pub struct Networks {
    inside: Vec<Network>,
    private: Vec<Network>,
    /// By the first byte of an address, IPv4 and IPv6: the side of all that begin so; `None` where the networks must be asked.
    first: [Vec<Option<Side>>; 2],
}

impl Networks {
    /// From the policy's networks (CIDR); `None` where one is none.
    #[must_use]
    pub fn new(inside: &[String], private: &[String]) -> Option<Self> {
        let parse = |texts: &[String]| texts.iter().map(|text| Network::parse(text)).collect::<Option<Vec<_>>>();
        let mut made = Self { inside: parse(inside)?, private: parse(private)?, first: [const { Vec::new() }; 2] };
        made.first = [false, true].map(|v6| (0..=255).map(|byte| made.all_of(v6, byte)).collect());
        Some(made)
    }

    /// The side of all addresses with this first byte, where no network ends among them.
    fn all_of(&self, v6: bool, byte: u128) -> Option<Side> {
        let shift = if v6 { 120 } else { 24 };
        let apart = |network: &Network| network.v6 != v6 || network.mask <= 0xff << shift || network.bits >> shift != byte;
        let whole = self.inside.iter().chain(&self.private).all(apart);
        whole.then(|| self.among(v6, byte << shift))
    }

    fn among(&self, v6: bool, bits: u128) -> Side {
        let within = |networks: &[Network]| networks.iter().any(|network| network.holds(v6, bits));
        if within(&self.inside) {
            Side::Inside
        } else if within(&self.private) {
            Side::Other
        } else {
            Side::Public
        }
    }

    /// The side of an IPv4 address.
    #[inline]
    #[must_use]
    pub fn side_v4(&self, address: u32) -> Side {
        let [v4, _] = &self.first;
        match v4.get((address >> 24) as usize) {
            Some(Some(side)) => *side,
            _ => self.among(false, u128::from(address)),
        }
    }

    /// The side of an IPv6 address that is not a mapped IPv4 address.
    #[inline]
    #[must_use]
    pub fn side_v6(&self, address: u128) -> Side {
        let [_, v6] = &self.first;
        match v6.get((address >> 120) as usize) {
            Some(Some(side)) => *side,
            _ => self.among(true, address),
        }
    }

    #[must_use]
    pub fn side(&self, address: IpAddr) -> Side {
        match address {
            IpAddr::V4(v4) => self.side_v4(v4.into()),
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or_else(|| self.side_v6(v6.into()), |v4| self.side_v4(v4.into())),
        }
    }
}
