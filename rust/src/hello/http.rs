//! HTTP: the service, a proxy's CONNECT with the host asked for, and what follows behind it.

use super::bytes::text;
use super::text::mentions;
use super::{Outcome, Streams, stream};

const METHODS: &[&[u8]] = &[
    b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"OPTIONS ", b"TRACE ", b"PATCH ", b"CONNECT ", b"PROPFIND ", b"PROPPATCH ", b"MKCOL ", b"COPY ",
    b"MOVE ", b"LOCK ", b"UNLOCK ", b"REPORT ", b"SEARCH ", b"SUBSCRIBE ", b"NOTIFY ", b"M-SEARCH ", b"RPC_IN_DATA ", b"RPC_OUT_DATA ",
];
/// RFC 9113 3.4: what a client of HTTP/2 in clear sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const LONGEST_LINE: usize = 8192;

/// Can a request begin with the first of these bytes?
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first.is_ascii() && FIRST >> first & 1 == 1)
}

/// First letters of the methods and the preface, a bit each.
const FIRST: u128 = {
    let (mut left, mut letters) = (METHODS, 0);
    if let [first, ..] = PREFACE {
        letters |= 1 << *first;
    }
    while let [[first, ..], rest @ ..] = left {
        letters |= 1 << *first;
        left = rest;
    }
    letters
};

fn request_line(bytes: &[u8]) -> Option<&[u8]> {
    METHODS.iter().find(|method| bytes.starts_with(method))?;
    let reach = bytes.get(..bytes.len().min(LONGEST_LINE)).unwrap_or_default();
    let line = reach.split(|byte| *byte == b'\n').next()?.trim_ascii_end();
    // The version is the last word; an unfinished first line can be believed for its method and target.
    let whole = line.len() < reach.trim_ascii_end().len() || reach.ends_with(b"\n");
    let versioned = line.rsplit(|byte| *byte == b' ').next().is_some_and(|last| last.starts_with(b"HTTP/"));
    let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    // HTTP 0.9 is a GET without a version.
    let oldest = whole && line.starts_with(b"GET /");
    (!target.is_empty() && (versioned || oldest || !whole && line.len() >= 16)).then_some(line)
}

fn answers(bytes: &[u8]) -> bool {
    matches!(bytes, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9', b' ', ..])
}

/// What follows the first empty line.
fn behind_head(bytes: &[u8]) -> Option<&[u8]> {
    memchr::memmem::find(bytes, b"\r\n\r\n").and_then(|end| bytes.get(end + 4..))
}

/// Read HTTP from both streams; `None` where neither begins like it.
#[must_use]
pub fn parse(streams: Streams<'_>) -> Option<Outcome> {
    let line = request_line(streams.orig);
    if line.is_none() && !answers(streams.resp) && !streams.orig.starts_with(PREFACE) {
        return None;
    }
    // Until the request line is there, it may still be a CONNECT.
    let open = memchr::memchr(b'\n', streams.orig).is_none() && streams.orig.len() < LONGEST_LINE;
    let mut outcome = Outcome { services: vec!["http"], want_more: open && !streams.done, ..Outcome::default() };
    if outcome.want_more {
        return Some(outcome);
    }
    // A client that takes an SSH server for a web server: Zeek names both.
    if let Some(ssh) = streams.resp.starts_with(b"SSH-").then(|| super::ssh::parse(Streams { orig: &[], ..streams })).flatten() {
        outcome.absorb(ssh);
        return Some(outcome);
    }
    if let Some(target) = line.and_then(|line| line.strip_prefix(b"CONNECT ")).and_then(|rest| rest.split(|byte| *byte == b' ').next()) {
        outcome.hints.push(connect_hint(&text(target)));
        outcome.absorb(behind_proxy(streams));
    }
    match upgraded(streams) {
        Some((orig, resp)) => outcome.absorb(super::websocket::parse(Streams { orig, resp, ..streams })),
        None => outcome.want_more |= !streams.done && may_upgrade(streams),
    }
    Some(outcome)
}

/// Whether the request asks for WebSocket, or may still do so, and the answer is open.
fn may_upgrade(streams: Streams<'_>) -> bool {
    let head = streams.orig.get(..streams.orig.len().min(LONGEST_LINE)).unwrap_or_default();
    let open = behind_head(head).is_none() && head.len() < LONGEST_LINE;
    head.starts_with(b"GET ") && (open || mentions(head, "upgrade: websocket") && behind_head(streams.resp).is_none())
}

/// What follows both heads, where the answer switches to WebSocket.
fn upgraded(streams: Streams<'_>) -> Option<(&[u8], &[u8])> {
    let behind = behind_head(streams.resp).filter(|_| answers(streams.resp))?;
    let head = streams.resp.get(..streams.resp.len() - behind.len())?;
    super::websocket::accepted(head).then(|| Some((behind_head(streams.orig)?, behind)))?
}

/// `connect=HOST:PORT`, without what would break the comma separated hints.
#[must_use]
pub fn connect_hint(target: &str) -> String {
    let shown: String = target.chars().filter(|letter| !letter.is_control() && !letter.is_whitespace() && *letter != ',').take(260).collect();
    format!("connect={shown}")
}

fn behind_proxy(streams: Streams<'_>) -> Outcome {
    let waiting = Outcome { want_more: !streams.done, ..Outcome::default() };
    let Some(orig) = behind_head(streams.orig) else { return waiting };
    let resp = if answers(streams.resp) { behind_head(streams.resp).unwrap_or_default() } else { &[] };
    stream(Streams { orig, resp, depth: streams.depth + 1, ..streams })
}
