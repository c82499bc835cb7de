//! The session record: one transport conversation with the meaning of Zeek's conn.log.

use std::borrow::Cow;

use crate::community_id;
use crate::decode::{self, Address, Tunnel};
use crate::flow::history::History;
use crate::flow::key::{self, Key};

/// How far the bytes of one direction are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quality {
    /// Every payload byte was counted.
    #[default]
    Exact,
    /// The truth lies between the low and the high bound.
    Bounded,
    /// Nothing bounds it from above.
    Unknown,
}

impl Quality {
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Bounded => "bounded",
            Self::Unknown => "unknown",
        }
    }
}

/// What one side sent.
#[derive(Debug, Clone, Default)]
pub struct Side {
    /// Payload bytes as Zeek counts them (by sequence numbers); `None` where Zeek writes `-`.
    pub bytes: Option<u64>,
    pub pkts: u64,
    /// Bytes of the IP packets, headers included.
    pub ip_bytes: u64,
    /// Unique payload bytes: no fewer than `low`, no more than `high` (`None`: no upper bound).
    pub low: u64,
    pub high: Option<u64>,
    pub quality: Quality,
}

/// What the hellos of a session said. Strings are lossy UTF-8 of what stood on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub server_name: Option<String>,
    pub tls_version: Option<String>,
    pub alpn: Option<String>,
    pub ja3: Option<String>,
    pub ja4: Option<String>,
    pub cert_subject: Option<String>,
    pub cert_issuer: Option<String>,
    /// SHA-256 of the DER certificate, lower-case hex.
    pub cert_fingerprint: Option<String>,
    pub cert_self_signed: Option<bool>,
    pub ssh_client: Option<String>,
    pub ssh_server: Option<String>,
    pub hassh: Option<String>,
    pub hassh_server: Option<String>,
}

/// A longer text is no name that anyone gave; many of them would fill the memory.
const LONGEST: usize = 2048;

impl Facts {
    /// Cut what is longer than any name, banner or list of protocols.
    pub fn bound(&mut self) {
        let texts = [&mut self.server_name, &mut self.alpn, &mut self.cert_subject, &mut self.cert_issuer, &mut self.ssh_client, &mut self.ssh_server];
        for text in texts.into_iter().flatten().filter(|text| text.len() > LONGEST) {
            let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
            text.shrink_to_fit();
        }
    }
}

/// One session, still in numbers: text is made of it column by column, in `batch`.
#[derive(Debug, Clone, Default)]
pub struct Session {
    pub key: Key,
    /// Does the originator stand at `a` of the key?
    pub orig_is_a: bool,
    /// First packet, and the last one that counts: nanoseconds since 1970 (UTC).
    pub start: i64,
    pub last: i64,
    /// Zeek's service names, comma separated, sorted; `None` where nothing was recognised.
    pub service: Option<Cow<'static, str>>,
    pub orig: Side,
    pub resp: Side,
    pub conn_state: &'static str,
    pub missed_bytes: u64,
    pub history: History,
    pub facts: Option<Box<Facts>>,
    /// Outer encapsulation.
    pub tunnel: Tunnel,
    /// Words for what was seen besides: see `docs/sessions.md`. Comma separated, sorted.
    pub hints: Option<Cow<'static, str>>,
    /// Number of the file that the session's first packet came from.
    pub file: u32,
}

impl Session {
    /// Address and port of the originator.
    #[must_use]
    pub fn origin(&self) -> (&Address, u16) {
        if self.orig_is_a { (&self.key.a, self.key.a_port) } else { (&self.key.b, self.key.b_port) }
    }

    /// Address and port of the responder.
    #[must_use]
    pub fn responder(&self) -> (&Address, u16) {
        if self.orig_is_a { (&self.key.b, self.key.b_port) } else { (&self.key.a, self.key.a_port) }
    }

    #[must_use]
    pub fn uid(&self) -> [u8; 18] {
        key::uid(&self.key, self.start)
    }

    #[must_use]
    pub fn community_id(&self) -> [u8; 30] {
        let (key, (orig, orig_p), (resp, resp_p)) = (&self.key, self.origin(), self.responder());
        community_id::v1(orig, resp, key.proto, orig_p, resp_p, key.one_way)
    }

    #[must_use]
    pub fn proto(&self) -> &'static str {
        match self.key.proto {
            decode::TCP => "tcp",
            decode::UDP => "udp",
            _ => "icmp",
        }
    }

    /// Nanoseconds from the first packet to the last; `None` where it is 0.
    #[must_use]
    pub fn lasted(&self) -> Option<i64> {
        Some(self.last.saturating_sub(self.start)).filter(|lasted| *lasted > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_beyond_reason_are_cut_between_letters() {
        let mut facts = Facts { server_name: Some("x".to_owned() + &"ü".repeat(4000)), alpn: Some("h2".to_owned()), ..Facts::default() };
        facts.bound();
        assert_eq!(facts.server_name.map(|name| name.len()), Some(LONGEST - 1));
        assert_eq!(facts.alpn.as_deref(), Some("h2"));
    }
}
