//! SOCKS 4 and 5 proxies: the host asked for, and what follows behind it.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::bytes::{Bytes, text};
use super::http::connect_hint;
use super::{Outcome, Streams, stream};

const CONNECT: u8 = 1;

/// What a client asks for, and the stream behind it.
struct Request<'a> {
    target: String,
    orig: &'a [u8],
    resp: &'a [u8],
}

/// Read SOCKS from both streams; `None` where they do not begin like it.
#[must_use]
pub fn parse(streams: Streams<'_>) -> Option<Outcome> {
    let request = match streams.orig.first()? {
        4 => version4(streams)?,
        5 => version5(streams)?,
        _ => return None,
    };
    let mut outcome = Outcome { services: vec!["socks"], hints: vec![connect_hint(&request.target)], ..Outcome::default() };
    outcome.absorb(stream(Streams { orig: request.orig, resp: request.resp, depth: streams.depth + 1, ..streams }));
    Some(outcome)
}

fn ipv4(bytes: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)
}

/// Text up to a zero byte, at most 255 bytes of it.
fn zero_ended<'a>(left: &mut Bytes<'a>) -> Option<&'a [u8]> {
    let length = left.rest().iter().take(256).position(|byte| *byte == 0)?;
    let found = left.take(length)?;
    left.u8()?;
    Some(found)
}

fn version4(streams: Streams<'_>) -> Option<Request<'_>> {
    let mut asked = Bytes::new(streams.orig);
    asked.u8()?;
    asked.u8().filter(|command| *command == CONNECT)?;
    let port = asked.u16()?;
    let address = ipv4(asked.take(4)?)?;
    zero_ended(&mut asked)?;
    // 4a: 0.0.0.x says that a name follows.
    let by_name = matches!(address.octets(), [0, 0, 0, 1..=255]);
    let host = if by_name { text(zero_ended(&mut asked)?) } else { address.to_string() };
    let mut answer = Bytes::new(streams.resp);
    let reply = answer.take(8)?;
    matches!(reply, [0, 0x5a..=0x5d, ..]).then(|| Request { target: format!("{host}:{port}"), orig: asked.rest(), resp: answer.rest() })
}

fn version5(streams: Streams<'_>) -> Option<Request<'_>> {
    let mut asked = Bytes::new(streams.orig);
    asked.u8()?;
    asked.vector(1).filter(|methods| !methods.is_empty())?;
    let mut answer = Bytes::new(streams.resp);
    let method = match answer.take(2)? {
        [5, method] => *method,
        _ => return None,
    };
    if method == 2 {
        // RFC 1929: user and password.
        asked.u8().filter(|version| *version == 1)?;
        asked.vector(1)?;
        asked.vector(1)?;
        answer.take(2)?;
    }
    let (command, target) = endpoint5(&mut asked)?;
    let (_, _) = endpoint5(&mut answer)?;
    (command == CONNECT).then(|| Request { target, orig: asked.rest(), resp: answer.rest() })
}

/// Command or reply code, and the address as text.
fn endpoint5(left: &mut Bytes<'_>) -> Option<(u8, String)> {
    left.u8().filter(|version| *version == 5)?;
    let code = left.u8()?;
    left.u8()?;
    let host = match left.u8()? {
        1 => ipv4(left.take(4)?)?.to_string(),
        3 => text(left.vector(1)?.rest()),
        4 => format!("[{}]", <[u8; 16]>::try_from(left.take(16)?).ok().map(Ipv6Addr::from)?),
        _ => return None,
    };
    Some((code, format!("{host}:{}", left.u16()?)))
}
