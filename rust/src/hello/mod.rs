//! First bytes of a session to services and facts: a table of probe-then-parse parsers found by content, not by port.

use std::net::IpAddr;

use crate::session::Facts;

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

/// Look at the first bytes of a session. Cheap enough to be called several times as bytes arrive.
#[must_use]
pub fn inspect(input: &Hello<'_>) -> Outcome {
    Outcome { want_more: !input.done, ..Outcome::default() }
}
