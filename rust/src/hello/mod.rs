//! First bytes of a session to services and facts: a table of probe-then-parse parsers found by content, not by port.
//!
//! A parser looks at the streams and answers `None` where they do not begin like its protocol. What a protocol carries
//! further on (TLS after STARTTLS, anything behind a proxy's CONNECT) is looked at by the same table, a few levels deep.

use std::net::IpAddr;

use crate::session::Facts;

pub mod bytes;
mod handshake;
mod ssh;
mod tls;
mod x509;

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

type StreamParser = fn(Streams<'_>) -> Option<Outcome>;

/// Tried in this order; the first that answers has the session.
const STREAM_PARSERS: &[StreamParser] = &[tls::parse, ssh::parse];

/// A stream that no parser knew after this many bytes in all will not become known.
const UNKNOWN_AFTER: usize = 4096;
/// With this many bytes from both sides every parser could have said yes.
const ENOUGH: usize = 64;

/// Look at the first bytes of a session. Cheap enough to be called several times as bytes arrive.
#[must_use]
pub fn inspect(input: &Hello<'_>) -> Outcome {
    let mut outcome = match input.proto {
        Proto::Tcp => stream(Streams { orig: input.orig, resp: input.resp, resp_port: input.resp_port, done: input.done, depth: 0 }),
        Proto::Udp => Outcome { want_more: !input.done, ..Outcome::default() },
    };
    outcome.services.sort_unstable();
    outcome.services.dedup();
    outcome.hints.sort_unstable();
    outcome.hints.dedup();
    outcome
}

fn stream(streams: Streams<'_>) -> Outcome {
    STREAM_PARSERS.iter().find_map(|parse| parse(streams)).unwrap_or_else(|| {
        let (orig, resp) = (streams.orig.len(), streams.resp.len());
        let want_more = !streams.done && (orig < ENOUGH || resp < ENOUGH) && orig + resp < UNKNOWN_AFTER;
        Outcome { want_more, ..Outcome::default() }
    })
}
