//! First bytes of a session to services and facts: a table of probe-then-parse parsers found by content, not by port.
//!
//! A parser looks at the streams and answers `None` where they do not begin like its protocol. What a protocol carries
//! further on (TLS after STARTTLS, anything behind a proxy's CONNECT) is looked at by the same table, a few levels deep.

use std::net::IpAddr;

use crate::session::Facts;

pub use quiet::quiet;

pub mod bytes;
pub mod dns;
pub mod dtls;
pub mod ftp;
pub mod handshake;
pub mod http;
pub mod imap;
pub mod quic;
mod quiet;
pub mod smtp;
pub mod socks;
pub mod ssh;
pub mod text;
pub mod tls;
pub mod upgrade;
pub mod websocket;
pub mod x509;

/// The transport that carried the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proto {
    Tcp,
    Udp,
}

/// The first bytes of each direction, in order, as far as they are known.
#[derive(Debug, Clone, Copy)]
pub struct Hello<'a> {
    pub proto: Proto,
    /// What the originator sent first: a byte stream (TCP); empty for UDP.
    pub orig: &'a [u8],
    pub resp: &'a [u8],
    /// UDP: the first datagrams of each side, each on its own; empty for TCP.
    pub orig_datagrams: &'a [&'a [u8]],
    pub resp_datagrams: &'a [&'a [u8]],
    pub orig_port: u16,
    pub resp_port: u16,
    /// Nothing more will come: buffers are full or the session ended.
    pub done: bool,
}

/// What was recognised.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Zeek's names: `ssl`, `ssh`, `ftp` …
    pub services: Vec<&'static str>,
    pub facts: Facts,
    /// Words for the session's `hints` column.
    pub hints: Vec<String>,
    /// Announced FTP data endpoints; `None`: the address of the announcing side.
    pub expect: Vec<(Option<IpAddr>, u16)>,
    /// More bytes could still change the answer.
    pub want_more: bool,
    /// Only once the originator's or the responder's stream is this long can it; shorter ones need no look.
    pub wait: (usize, usize),
}

/// Both directions of a byte stream, at the session's start or behind what carries it.
#[derive(Debug, Clone, Copy)]
pub struct Streams<'a> {
    pub orig: &'a [u8],
    pub resp: &'a [u8],
    pub resp_port: u16,
    pub done: bool,
    /// Levels of carriers around it.
    pub depth: u8,
}

/// The first datagrams of each side.
#[derive(Debug, Clone, Copy)]
pub struct Datagrams<'a> {
    pub orig: &'a [&'a [u8]],
    pub resp: &'a [&'a [u8]],
    pub resp_port: u16,
    pub done: bool,
}

impl Streams<'_> {
    /// One side is silent, and long enough.
    fn one_sided(&self) -> bool {
        self.orig.len().min(self.resp.len()) == 0 && self.orig.len().max(self.resp.len()) >= PATIENCE
    }
}

type StreamParser = fn(Streams<'_>) -> Option<Outcome>;
type DatagramParser = fn(Datagrams<'_>) -> Option<Outcome>;

/// Tried in this order; the first that answers has the session.
const STREAM_PARSERS: &[StreamParser] = &[tls::parse, http::parse, ssh::parse, text::parse, socks::parse, dns::parse_stream, upgrade::parse];
const DATAGRAM_PARSERS: &[DatagramParser] = &[quic::parse, dtls::parse, dns::parse];

/// Carriers within carriers that are looked into.
const DEEPEST: u8 = 3;
/// Ports whose service is TLS from the first byte (IANA), for the hints `clear` and `no_tls`.
const TLS_PORTS: &[u16] = &[443, 465, 563, 636, 853, 989, 990, 992, 993, 994, 995, 5061, 8443];

/// A stream that no parser knew after this many bytes in all will not become known.
const UNKNOWN_AFTER: usize = 4096;
/// With this many bytes from both sides every parser could have said yes.
const ENOUGH: usize = 64;
/// Datagrams of one side after which nothing more is learned.
const FEW_DATAGRAMS: usize = 8;
/// A side that is silent while the other sent this much was not captured; it is not waited for.
const PATIENCE: usize = 8192;

/// Look at the first bytes of a session. Cheap enough to be called several times as bytes arrive.
#[must_use]
pub fn inspect(input: &Hello<'_>) -> Outcome {
    let mut outcome = match input.proto {
        Proto::Tcp => stream(Streams { orig: input.orig, resp: input.resp, resp_port: input.resp_port, done: input.done, depth: 0 }),
        Proto::Udp => datagrams(Datagrams { orig: input.orig_datagrams, resp: input.resp_datagrams, resp_port: input.resp_port, done: input.done }),
    };
    outcome.compare_with_port(input);
    outcome.facts.bound();
    outcome.services.sort_unstable();
    outcome.services.dedup();
    outcome.hints.sort_unstable();
    outcome.hints.dedup();
    outcome
}

fn stream(streams: Streams<'_>) -> Outcome {
    let known = (streams.depth <= DEEPEST).then(|| STREAM_PARSERS.iter().find_map(|parse| parse(streams))).flatten();
    let mut outcome = known.unwrap_or_else(|| Outcome { want_more: streams.unknown_yet(), ..Outcome::default() });
    outcome.want_more &= !streams.done && !streams.one_sided();
    outcome
}

fn datagrams(datagrams: Datagrams<'_>) -> Outcome {
    let known = DATAGRAM_PARSERS.iter().find_map(|parse| parse(datagrams));
    let mut outcome = known.unwrap_or_else(|| Outcome { want_more: true, ..Outcome::default() });
    outcome.want_more &= !datagrams.done && datagrams.orig.len().max(datagrams.resp.len()) < FEW_DATAGRAMS;
    outcome
}

impl Outcome {
    fn hint_if(&mut self, holds: bool, hint: &str) {
        if holds {
            self.hints.push(hint.to_owned());
        }
    }

    /// Take over what was found behind a carrier.
    fn absorb(&mut self, inner: Self) {
        self.services.extend(inner.services);
        self.facts = inner.facts;
        self.hints.extend(inner.hints);
        self.expect.extend(inner.expect);
        self.want_more = inner.want_more;
    }

    /// On a port of TLS: say what is not TLS there.
    fn compare_with_port(&mut self, input: &Hello<'_>) {
        let encrypted = self.services.contains(&"ssl");
        if input.proto != Proto::Tcp || !TLS_PORTS.contains(&input.resp_port) || encrypted || input.orig.len() + input.resp.len() < 8 {
            return;
        }
        self.hint_if(!self.want_more, "no_tls");
        let opening = if input.orig.is_empty() { input.resp } else { input.orig };
        let printable = opening.iter().take(64).all(|byte| matches!(byte, b'\t' | b'\r' | b'\n' | 0x20..=0x7e));
        self.hint_if(!self.want_more && printable && !self.services.contains(&"ssh"), "clear");
    }
}
