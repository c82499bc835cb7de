//! DNS over UDP and TCP, known by the shape of its first message.

use super::bytes::Bytes;
use super::{Datagrams, Outcome, Streams};

/// RFC 1035 4.1, and RFC 6762 for multicast: a header whose counts can be true, and a first question that reads.
fn is_message(bytes: &[u8]) -> bool {
    read(Bytes::new(bytes)).unwrap_or(false)
}

fn read(mut left: Bytes<'_>) -> Option<bool> {
    left.u16()?;
    let flags = left.u16()?;
    let [questions, answers, authorities, additional] = [left.u16()?, left.u16()?, left.u16()?, left.u16()?];
    let counts = questions <= 4 && answers <= 256 && authorities <= 64 && additional <= 64 && questions + answers > 0;
    let asks = flags & 0x8000 != 0 || answers == 0 || questions == 0;
    if flags & 0x40 != 0 || !counts || !asks {
        return Some(false);
    }
    name(&mut left)?;
    let kind = left.u16()?;
    let class = left.u16()? & 0x7fff;
    Some(kind != 0 && (matches!(class, 1..=4 | 254 | 255)))
}

fn name(left: &mut Bytes<'_>) -> Option<()> {
    for _ in 0..128 {
        match left.u8()? {
            0 => return Some(()),
            length @ 1..=63 => {
                left.take(usize::from(length))?;
            }
            0xc0.. => {
                left.u8()?;
                return Some(());
            }
            _ => return None,
        }
    }
    None
}

fn found() -> Outcome {
    Outcome { services: vec!["dns"], ..Outcome::default() }
}

/// Ports on which anything with a header's length is DNS to Zeek too: DNS, NetBIOS names, mDNS, LLMNR.
const PORTS: &[u16] = &[53, 137, 5353, 5355];

#[must_use]
pub fn parse(datagrams: Datagrams<'_>) -> Option<Outcome> {
    let first = datagrams.orig.first().or(datagrams.resp.first())?;
    (is_message(first) || PORTS.contains(&datagrams.resp_port) && first.len() >= 12).then(found)
}

/// Over TCP each message stands behind its length in two bytes.
#[must_use]
pub fn parse_stream(streams: Streams<'_>) -> Option<Outcome> {
    let mut left = Bytes::new(streams.orig);
    let length = left.length(2).filter(|length| *length >= 17)?;
    let message = left.up_to(length);
    (is_message(message) && (message.len() == length || streams.resp_port == 53)).then(found)
}
