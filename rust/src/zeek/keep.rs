//! Which conn rows can be part of a finding: tested on ports and addresses before anything else is parsed.

use std::net::IpAddr;
use std::sync::Arc;

use super::channel::Hot;
use super::{quick, value};
use crate::side::{Networks, Side};

/// The rules of `docs/logs.md`, "What an analysis leaves out".
#[derive(Clone)]
pub struct Keep {
    networks: Networks,
    /// One bit a port.
    watched: Vec<u64>,
    /// Large exchanges between inside hosts are wanted too.
    internal: bool,
    /// Of the rows that are wanted, take only these.
    pub hot: Option<Arc<Hot>>,
}

/// The ends of a row, and where they stand.
pub struct Parsed {
    pub orig: (IpAddr, Side),
    pub resp: (IpAddr, Side),
    pub port: u16,
}

/// Bytes in one direction that make an exchange between inside hosts worth keeping (collected before it is sent).
pub const INTERNAL: i64 = 1_000_000;

impl Keep {
    /// From the policy's networks (CIDR) and ports.
    pub fn new(inside: &[String], private: &[String], watched: Vec<u16>, internal: bool) -> Option<Self> {
        let mut bits = vec![0; 1024];
        for port in watched {
            if let Some(word) = bits.get_mut(usize::from(port >> 6)) {
                *word |= 1 << (port & 63);
            }
        }
        Some(Self { networks: Networks::new(inside, private)?, watched: bits, internal, hot: None })
    }

    /// The side of an address as a log writes it; `None`: it is none.
    #[inline]
    pub fn side(&self, text: &[u8]) -> Option<Side> {
        value::side(&self.networks, text)
    }

    /// An address as a log writes it, and its side.
    #[inline]
    pub fn place(&self, text: &[u8]) -> Option<(IpAddr, Side)> {
        if let Some(address) = quick::ipv4(text) {
            return Some((IpAddr::V4(address.into()), self.networks.side_v4(address)));
        }
        value::address(text).ok().map(|address| (address, self.networks.side(address)))
    }

    /// The side of an address.
    #[inline]
    #[must_use]
    pub fn side_of(&self, address: IpAddr) -> Side {
        self.networks.side(address)
    }

    #[inline]
    pub fn side_v4(&self, address: u32) -> Side {
        self.networks.side_v4(address)
    }

    /// The side of an address that has no IPv4 form.
    #[inline]
    pub fn side_v6(&self, address: u128) -> Side {
        self.networks.side_v6(address)
    }

    #[inline]
    pub fn watched(&self, port: u16) -> bool {
        self.watched.get(usize::from(port >> 6)).is_some_and(|word| word >> (port & 63) & 1 == 1)
    }

    /// `None`: the ends alone do not say, the rest of the row must.
    pub fn by_ends(&self, orig: Side, resp: Side, port: u16) -> Option<bool> {
        match (orig, resp) {
            (Side::Inside, Side::Public) => Some(true),
            (Side::Public, Side::Inside | Side::Public) if self.watched(port) => Some(true),
            (Side::Public, Side::Inside | Side::Public) => None,
            (Side::Public, Side::Other) | (Side::Other, Side::Public) => Some(false),
            _ if !self.internal => Some(false),
            _ => None,
        }
    }

    /// Whether a row that is wanted is not to be taken, and if so, whether it is to be looked at nevertheless.
    #[inline]
    pub fn cold(&self, parsed: Option<&Parsed>) -> Option<bool> {
        let (hot, parsed) = (self.hot.as_ref()?, parsed?);
        hot.cold(parsed.orig, parsed.resp).then_some(hot.checks)
    }

    /// The answer for rows that `by_ends` left open.
    pub fn by_content(&self, orig: Side, resp: Side, service: &[u8], orig_bytes: i64, resp_bytes: i64) -> bool {
        match (orig, resp) {
            (Side::Public, Side::Inside) => resp_bytes > orig_bytes || encrypted(service),
            (Side::Public, Side::Public) => encrypted(service),
            _ => orig_bytes >= INTERNAL || resp_bytes >= INTERNAL,
        }
    }
}

fn encrypted(service: &[u8]) -> bool {
    service.split(|byte| *byte == b',').any(|word| matches!(word, b"ssl" | b"ssh" | b"quic" | b"tls" | b"ftp" | b"ftp-data"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides() -> Result<(), String> {
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let keep = Keep::new(&texts(&["10.0.0.0/8", "fc00::/7"]), &texts(&["10.0.0.0/8", "192.168.0.0/16", "fe80::/10"]), vec![443], true)
            .ok_or("networks")?;
        let side = |text: &str| keep.side(text.as_bytes()).ok_or("an address");
        assert_eq!(side("10.1.2.3")?, Side::Inside);
        assert_eq!(side("::ffff:10.1.2.3")?, Side::Inside);
        assert_eq!(side("192.168.1.1")?, Side::Other);
        assert_eq!(side("fe80::1")?, Side::Other);
        assert_eq!(side("2001:db8::1")?, Side::Public);
        assert!(Keep::new(&texts(&["10.0.0.0/33"]), &[], vec![], true).is_none());
        Ok(())
    }
}
