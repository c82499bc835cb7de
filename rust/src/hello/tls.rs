//! TLS (SSL 2 to TLS 1.3) over a stream: what both hellos and, up to TLS 1.2, the server's certificate say.

use super::bytes::Bytes;
use super::handshake::{self, CERTIFICATE, CLIENT_HELLO, Message, SERVER_HELLO, SERVER_HELLO_DONE};
use super::{Outcome, PATIENCE, Streams, x509};
use crate::fingerprint::Carrier;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION: u8 = 23;
const HEARTBEAT: u8 = 24;
/// RFC 5246 6.2.3: 2^14 bytes and at most 2048 more when sealed.
const LONGEST: usize = 16384 + 2048;

struct Record<'a> {
    kind: u8,
    body: &'a [u8],
    complete: bool,
    missing: usize,
}

/// The records of a stream from its first byte; ends at the first thing that is none.
fn records(bytes: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut left = Bytes::new(bytes);
    std::iter::from_fn(move || {
        let kind = left.u8()?;
        let version = left.u16()?;
        let length = left.length(2)?;
        if !is_record(kind, version, length) {
            return None;
        }
        let body = left.up_to(length);
        Some(Record { kind, body, complete: body.len() == length, missing: length - body.len() })
    })
}

fn is_record(kind: u8, version: u16, length: usize) -> bool {
    // The record version is 3.0 to 3.4, and 7f.xx in early drafts of TLS 1.3.
    (20..=HEARTBEAT).contains(&kind) && (version >> 8 == 3 && version & 0xff <= 4 || version >> 8 == 0x7f) && (1..=LONGEST).contains(&length)
}

/// Whether the stream begins like TLS: a handshake record with a hello in it, an alert, or an SSL 2 hello.
#[must_use]
pub fn begins(bytes: &[u8]) -> bool {
    hello_kind(bytes).is_some() || ssl2(bytes).is_some()
}

/// The type of the handshake message that the stream begins with, if it is a hello.
fn hello_kind(bytes: &[u8]) -> Option<u8> {
    let first = records(bytes).next().filter(|record| record.kind == HANDSHAKE)?;
    let mut body = Bytes::new(first.body);
    let kind = body.u8().filter(|kind| [CLIENT_HELLO, SERVER_HELLO].contains(kind))?;
    // A hello is no longer than its record vector allows in practice: three bytes, the first of them nearly always 0.
    body.length(3).is_none_or(|length| length < 0x2_0000).then_some(kind)
}

/// The handshake bytes in front of the first sealed record, joined; and whether the clear part is known to be over.
fn clear_handshake(bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut joined = Vec::new();
    for record in records(bytes) {
        if record.kind != HANDSHAKE {
            return (joined, true);
        }
        joined.extend_from_slice(record.body);
        if !record.complete {
            break;
        }
    }
    (joined, false)
}

/// A ClientHello in SSL 2 framing, or an SSL 2 ServerHello: (message type, version).
fn ssl2(bytes: &[u8]) -> Option<(u8, u16)> {
    let mut left = Bytes::new(bytes);
    let length = left.length(2)?;
    if length & 0x8000 == 0 {
        return None;
    }
    let kind = left.u8()?;
    match kind {
        1 => {
            let version = left.u16()?;
            let [ciphers, session, challenge] = [left.length(2)?, left.length(2)?, left.length(2)?];
            let fits = 9 + ciphers + session + challenge == length & 0x7fff;
            let known = version == 2 || version >> 8 == 3 && version & 0xff <= 4;
            (known && fits && ciphers % 3 == 0 && ciphers > 0 && (16..=32).contains(&challenge)).then_some((kind, version))
        }
        4 => {
            let hit = left.u8()?;
            let format = left.u8()?;
            let version = left.u16()?;
            (hit <= 1 && format <= 1 && version == 2).then_some((kind, version))
        }
        _ => None,
    }
}

/// Read TLS from both streams; `None` where neither begins like it.
#[must_use]
pub fn parse(streams: Streams<'_>) -> Option<Outcome> {
    let Streams { orig, resp, done, .. } = streams;
    let swapped = hello_kind(resp) == Some(CLIENT_HELLO) || hello_kind(orig) == Some(SERVER_HELLO);
    let (client, server) = if swapped { (resp, orig) } else { (orig, resp) };
    if !begins(client) && !begins(server) {
        return sealed(streams);
    }
    let mut outcome = Outcome { services: vec!["ssl"], ..Outcome::default() };
    let (server_done, chose) = read_server(server, &mut outcome);
    let opening = opening(client);
    let client_done = opening.over;
    outcome.want_more = !(done || client_done && server_done);
    // What the client said is asked for once, at the last look.
    if !outcome.want_more || streams.one_sided() || streams.depth > 0 {
        let chosen = outcome.facts.alpn.take();
        opening.tell(&mut outcome);
        if chose {
            outcome.facts.alpn = chosen;
        }
    }
    let waits = [(client, client_done), (server, server_done)].map(|(bytes, read)| if read { usize::MAX } else { bytes.len().saturating_add(missing(bytes)) });
    let [client, server] = waits.map(|wait| wait.min(PATIENCE));
    outcome.wait = if swapped { (server, client) } else { (client, server) };
    Some(outcome)
}

/// Bytes that must follow before there is anything new to read: the rest of a record, or of the message in it.
fn missing(bytes: &[u8]) -> usize {
    let record = records(bytes).last().map_or(0, |record| record.missing);
    let (joined, _) = clear_handshake(bytes);
    let message = handshake::messages(&joined).last().map_or(0, |message| message.missing);
    record.min(message).max(1)
}

/// What the client's stream begins with.
struct Opening {
    /// The handshake messages in the clear, where the first is a ClientHello.
    hello: Option<Vec<u8>>,
    /// Nothing more can come from the client.
    over: bool,
}

fn opening(bytes: &[u8]) -> Opening {
    if ssl2(bytes).is_some() {
        return Opening { hello: None, over: true };
    }
    let (joined, over) = clear_handshake(bytes);
    let complete = handshake::messages(&joined).next().filter(|message| message.kind == CLIENT_HELLO).map(|hello| hello.complete && hello.body.len() >= 2);
    match complete {
        None => Opening { hello: None, over: over || !bytes.is_empty() && !begins(bytes) && bytes.len() >= 16 },
        Some(complete) => Opening { hello: Some(joined), over: over || complete },
    }
}

impl Opening {
    fn tell(&self, outcome: &mut Outcome) {
        let first = self.hello.as_deref().and_then(|joined| handshake::messages(joined).next());
        if let Some(client) = first.and_then(|message| handshake::client_hello(message, false)) {
            client.tell(&mut outcome.facts, &mut outcome.hints, Carrier::Tls);
        }
    }
}

/// Whether the server's clear messages are over, and whether it said which of the offered protocols it took.
fn read_server(bytes: &[u8], outcome: &mut Outcome) -> (bool, bool) {
    if let Some((4, version)) = ssl2(bytes) {
        outcome.facts.tls_version = Some(handshake::version_name(version));
        return (true, false);
    }
    if !bytes.is_empty() && hello_kind(bytes).is_none() {
        // An alert, or no TLS at all, in answer.
        let over = bytes.len() >= 16 || records(bytes).any(|record| record.kind == ALERT && record.complete);
        return (over, false);
    }
    let (joined, over) = clear_handshake(bytes);
    let (mut last, mut chose, mut version) = (over, false, 0);
    for message in handshake::messages(&joined) {
        last |= read_server_message(message, &mut version, &mut chose, outcome);
    }
    (last, chose)
}

/// True when this was the server's last clear message.
fn read_server_message(message: Message<'_>, version: &mut u16, chose: &mut bool, outcome: &mut Outcome) -> bool {
    let facts = &mut outcome.facts;
    match message.kind {
        SERVER_HELLO => {
            let Some(server) = handshake::server_hello(message.body) else { return false };
            let sealed = server.version >= 0x0304 && server.version < 0xfe00;
            if message.complete || !sealed && server.version != 0x0303 {
                facts.tls_version = Some(handshake::version_name(server.version));
            }
            // From TLS 1.3 on the choice is sealed; what was offered stays. Before, the server's word stands, also if it chose none.
            if message.complete && !sealed {
                (facts.alpn, *chose) = (server.alpn, true);
            }
            *version = server.version;
            message.complete && sealed
        }
        CERTIFICATE if *version < 0x0304 => {
            if let Some(der) = handshake::leaf(message.body).filter(|_| facts.cert_fingerprint.is_none()) {
                x509::tell(der, facts);
            }
            false
        }
        SERVER_HELLO_DONE => true,
        _ => false,
    }
}

/// A stream joined in the middle of TLS: whole records of sealed data one after the other, on either side.
fn sealed(streams: Streams<'_>) -> Option<Outcome> {
    let chained = |bytes: &[u8]| {
        let mut whole = 0;
        let mut used = 0;
        for record in records(bytes).take_while(|record| record.kind != HANDSHAKE) {
            whole += usize::from(record.complete);
            used += record.body.len() + 5;
        }
        let kind = bytes.first().copied().unwrap_or_default();
        [ALERT, APPLICATION].contains(&kind) && whole >= 1 && used + 5 > bytes.len()
    };
    (chained(streams.orig) || chained(streams.resp)).then(|| Outcome { services: vec!["ssl"], ..Outcome::default() })
}
