//! WebSocket behind an HTTP upgrade (RFC 6455): the frames' content joined, and what it is.

use super::bytes::Bytes;
use super::text::mentions;
use super::{Outcome, Streams, stream};

/// Continuation, text, binary: the frames that carry content.
const CONTENT: [u8; 3] = [0, 1, 2];

/// Whether this head of an HTTP answer switches to WebSocket.
#[must_use]
pub fn accepted(head: &[u8]) -> bool {
    head.get(8..).is_some_and(|status| status.starts_with(b" 101")) && mentions(head, "upgrade: websocket")
}

/// The next frame: its first byte, and its content without the mask. A cut frame gives what there is of it.
fn frame(left: &mut Bytes<'_>) -> Option<(u8, Vec<u8>)> {
    let first = left.u8()?;
    let second = left.u8()?;
    let length = match second & 0x7f {
        126 => left.length(2)?,
        127 => left.length(8)?,
        short => usize::from(short),
    };
    let mask = if second & 0x80 == 0 { &[] } else { left.take(4)? };
    let content = left.up_to(length);
    if mask.is_empty() {
        return Some((first, content.to_vec()));
    }
    Some((first, content.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()))
}

/// Everything that the frames carry, up to the first that an extension has changed.
fn content(bytes: &[u8]) -> Vec<u8> {
    let mut left = Bytes::new(bytes);
    let mut joined = Vec::new();
    while let Some((first, part)) = frame(&mut left).filter(|(first, _)| first & 0x70 == 0) {
        if CONTENT.contains(&(first & 0x0f)) {
            joined.extend(part);
        }
    }
    joined
}

/// What is behind both heads.
#[must_use]
pub fn parse(streams: Streams<'_>) -> Outcome {
    let (orig, resp) = (content(streams.orig), content(streams.resp));
    let mut outcome = Outcome { services: vec!["websocket"], ..Outcome::default() };
    outcome.absorb(stream(Streams { orig: &orig, resp: &resp, depth: streams.depth + 1, ..streams }));
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_joined_and_unmasked() {
        let masked = [0x02, 0x83, 1, 2, 3, 4, b'S' ^ 1, b'S' ^ 2, b'H' ^ 3];
        let ping = [0x89, 0x01, b'x'];
        let plain = [0x80, 126, 0, 2, b'-', b'2'];
        assert_eq!(content(&[&masked[..], &ping, &plain].concat()), b"SSH-2");
        assert_eq!(content(&[0xc2, 1, b'x']), b"");
        assert_eq!(content(&[0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, b'a']), b"a");
    }
}
