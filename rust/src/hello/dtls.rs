//! DTLS over datagrams: both hellos, put together from their fragments, and the server's certificate.

use super::bytes::Bytes;
use super::handshake::{self, CERTIFICATE, CLIENT_HELLO, Message, SERVER_HELLO};
use super::{Datagrams, Outcome, x509};
use crate::fingerprint::Carrier;

const HANDSHAKE: u8 = 22;
/// Longest handshake message that is put together.
const LONGEST: usize = 16 * 1024;

/// Clear handshake fragments of one side: (message type, sequence, length, offset, bytes).
struct Fragment<'a> {
    kind: u8,
    sequence: u16,
    length: usize,
    offset: usize,
    bytes: &'a [u8],
}

/// The clear handshake records of a datagram. RFC 6347 4.1.
fn fragments(datagram: &[u8]) -> Vec<Fragment<'_>> {
    let mut left = Bytes::new(datagram);
    std::iter::from_fn(|| record(&mut left)).flatten().collect()
}

/// One record; an inner `None` for a record that is sealed or of another type.
fn record<'a>(left: &mut Bytes<'a>) -> Option<Option<Fragment<'a>>> {
    let kind = left.u8().filter(|kind| (20..=25).contains(kind))?;
    left.u16().filter(|version| matches!(version, 0xfeff | 0xfefd | 0x0100))?;
    let epoch = left.u16()?;
    left.take(6)?;
    let length = left.length(2)?;
    let body = left.up_to(length);
    Some((kind == HANDSHAKE && epoch == 0).then(|| fragment(body)).flatten())
}

fn fragment(body: &[u8]) -> Option<Fragment<'_>> {
    let mut left = Bytes::new(body);
    let kind = left.u8()?;
    let length = left.length(3).filter(|length| *length <= LONGEST)?;
    let sequence = left.u16()?;
    let offset = left.length(3)?;
    let size = left.length(3)?;
    (offset + size <= length).then(|| Fragment { kind, sequence, length, offset, bytes: left.up_to(size) })
}

/// The first message of a type, put together as far as its fragments go.
fn message(side: &[&[u8]], kind: u8) -> Option<(Vec<u8>, bool)> {
    let mut pieces: Vec<Fragment<'_>> = side.iter().flat_map(|datagram| fragments(datagram)).filter(|piece| piece.kind == kind).collect();
    let (sequence, length) = pieces.first().map(|piece| (piece.sequence, piece.length))?;
    pieces.retain(|piece| piece.sequence == sequence && piece.length == length);
    pieces.sort_by_key(|piece| piece.offset);
    let mut joined: Vec<u8> = Vec::new();
    for piece in pieces {
        let Some(known) = joined.len().checked_sub(piece.offset) else { break };
        joined.extend_from_slice(piece.bytes.get(known..).unwrap_or_default());
    }
    let complete = joined.len() == length;
    Some((joined, complete))
}

/// Read DTLS from the first datagrams; `None` where no side sends a hello.
#[must_use]
pub fn parse(datagrams: Datagrams<'_>) -> Option<Outcome> {
    let swapped = message(datagrams.orig, SERVER_HELLO).is_some() || message(datagrams.orig, CLIENT_HELLO).is_none();
    let (client, server) = if swapped { (datagrams.resp, datagrams.orig) } else { (datagrams.orig, datagrams.resp) };
    let (asked, answered) = (message(client, CLIENT_HELLO), message(server, SERVER_HELLO));
    if asked.is_none() && answered.is_none() {
        return None;
    }
    let mut outcome = Outcome { services: vec!["dtls"], want_more: !datagrams.done, ..Outcome::default() };
    let client = asked.as_ref().and_then(|(body, complete)| handshake::client_hello(Message { kind: CLIENT_HELLO, body, missing: usize::from(!*complete), complete: *complete }, true));
    if let Some(client) = &client {
        client.tell(&mut outcome.facts, &mut outcome.hints, Carrier::Dtls);
    }
    if let Some(hello) = answered.as_ref().and_then(|(body, _)| handshake::server_hello(body)) {
        outcome.facts.tls_version = Some(handshake::version_name(hello.version));
        outcome.facts.alpn = hello.alpn.or(outcome.facts.alpn);
    }
    if let Some((body, true)) = message(server, CERTIFICATE)
        && let Some(der) = handshake::leaf(&body)
    {
        x509::tell(der, &mut outcome.facts);
        outcome.want_more = false;
    }
    Some(outcome)
}
