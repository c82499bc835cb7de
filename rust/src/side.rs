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
}

impl Networks {
    /// From the policy's networks (CIDR); `None` where one is none.
    #[must_use]
    pub fn new(inside: &[String], private: &[String]) -> Option<Self> {
        let parse = |texts: &[String]| texts.iter().map(|text| Network::parse(text)).collect::<Option<Vec<_>>>();
        Some(Self { inside: parse(inside)?, private: parse(private)? })
    }

    #[must_use]
    pub fn side(&self, address: IpAddr) -> Side {
        let (v6, bits) = match address {
            IpAddr::V4(v4) => (false, u128::from(u32::from(v4))),
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or((true, u128::from(v6)), |v4| (false, u128::from(u32::from(v4)))),
        };
        let within = |networks: &[Network]| networks.iter().any(|network| network.holds(v6, bits));
        if within(&self.inside) {
            Side::Inside
        } else if within(&self.private) {
            Side::Other
        } else {
            Side::Public
        }
    }
}
