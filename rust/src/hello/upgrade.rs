//! TLS that begins somewhere behind another protocol's first bytes: StartTLS of MySQL, PostgreSQL, LDAP, XMPP, RDP and the like.
//! Neither side's protocol needs to be known: a ClientHello and, on the other side, a ServerHello are looked for by shape.

use super::bytes::Bytes;
use super::{Outcome, Streams, tls};

/// How far into a stream the hello may begin.
const REACH: usize = 4096;

/// What carries the hello, where that is told by its first bytes: Zeek's name, and how its sides begin.
type Carrier = (&'static str, fn(&[u8], &[u8]) -> bool);
const CARRIERS: &[Carrier] = &[
    // A packet of number 0 with protocol version 10 greets.
    ("mysql", |_, resp| matches!(resp, [_, _, 0, 0, 10, ..])),
    ("postgresql", |orig, _| orig.starts_with(&[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f])),
    ("xmpp", |orig, _| opens_xmpp(orig.get(..orig.len().min(256)).unwrap_or_default())),
    // TPKT with an X.224 connection request.
    ("rdp", |orig, _| matches!(orig, [3, 0, _, _, _, 0xe0, ..])),
];

fn opens_xmpp(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'<', bytes).any(|at| bytes.get(at..).is_some_and(|tail| tail.starts_with(b"<stream:stream")))
}

/// The stream from its first TLS hello on; `None` where there is none.
fn behind(bytes: &[u8]) -> Option<&[u8]> {
    let reach = bytes.get(..bytes.len().min(REACH)).unwrap_or_default();
    memchr::memchr_iter(0x16, reach).filter_map(|start| bytes.get(start..)).find(|tail| {
        let mut left = Bytes::new(tail);
        let version = left.take(3).and_then(|_| left.u16());
        version.is_some() && tls::begins(tail) && is_hello(tail)
    })
}

/// A record version, a plausible length and a legacy version in the hello: nine bytes that must fit.
fn is_hello(bytes: &[u8]) -> bool {
    matches!(bytes, [0x16, 3, 0..=4, _, _, 1 | 2, 0, _, _, 3, 0..=4, ..])
}

/// Read what is left of a session that no other parser knew; `None` without a hello.
#[must_use]
pub fn parse(streams: Streams<'_>) -> Option<Outcome> {
    let carrier = CARRIERS.iter().find(|(_, begins)| begins(streams.orig, streams.resp)).map(|(name, _)| *name);
    let (orig, resp) = (behind(streams.orig), behind(streams.resp));
    let upgraded = orig.filter(|_| resp.is_some() || carrier.is_some()).and_then(|orig| {
        tls::parse(Streams { orig, resp: resp.unwrap_or_default(), depth: streams.depth + 1, ..streams })
    });
    if upgraded.is_none() && carrier.is_none() {
        return None;
    }
    let mut outcome = Outcome { want_more: !streams.done, services: carrier.into_iter().collect(), ..Outcome::default() };
    if let Some(inner) = upgraded {
        outcome.absorb(inner);
        outcome.hint_if(true, "starttls");
    }
    Some(outcome)
}
