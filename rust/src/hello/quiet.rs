//! The short answer on streams of which no parser can know anything yet.

use super::{ENOUGH, Streams, TLS_PORTS, UNKNOWN_AFTER, dns, http, text};

/// `Some` where every parser says that it does not know these streams, at once and by their first bytes: whether more bytes are wanted.
/// A test holds it against `inspect`.
#[must_use]
pub fn quiet(streams: Streams<'_>) -> Option<bool> {
    let Streams { orig, resp, .. } = streams;
    // TLS records and SSL 2; HTTP, SSH, SOCKS, RDP, PostgreSQL; the answers of HTTP and SSH, MySQL's greeting.
    let tls = |bytes: &[u8]| matches!(bytes, [20..=24, 3 | 0x7f, ..] | [0x80..=0xff, _, 1 | 4, ..]);
    let asks = matches!(orig, [0 | 3..=5 | b'S', ..]) || http::may_begin(orig);
    let answers = matches!(resp, [b'H' | b'S', ..] | [_, _, 0, 0, 10, ..]);
    let begun = tls(orig) || tls(resp) || asks || answers || dns::parse_stream(streams).is_some();
    if begun || text::in_lines(orig, resp) || further(orig) || further(resp) {
        return None;
    }
    // On a port of TLS it is told in the end that there was none.
    Some(streams.unknown_yet()).filter(|more| *more || !TLS_PORTS.contains(&streams.resp_port))
}

/// What SSH behind other lines, XMPP and TLS further on cannot be without: how a banner, a stream and a hello begin.
fn further(bytes: &[u8]) -> bool {
    memchr::memchr3_iter(b'\n', b'<', 0x16, bytes).any(|at| matches!(bytes.get(at..), Some([b'\n', b'S', ..] | [b'<', b's', ..] | [0x16, 3, ..])))
}

impl Streams<'_> {
    /// Streams that no parser knows: can one still come to know them?
    pub(super) fn unknown_yet(&self) -> bool {
        let (orig, resp) = (self.orig.len(), self.resp.len());
        (orig < ENOUGH || resp < ENOUGH) && orig + resp < UNKNOWN_AFTER && !self.done && !self.one_sided()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Hello, Proto, inspect};
    use super::*;
    use proptest::prelude::*;

    /// Bytes that parsers look for, and others.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            prop::sample::select(&b"\x16\x03\x01\x00\x05ZGPSHr *+2\n<\x04\x0a\x80-"[..]).prop_map(|byte| vec![byte]),
            prop::sample::select(vec![&b"SSH-2.0-x"[..], b"GET / HTTP/1.1\r\n", b"220 FTP", b"USER x\r\n", b"<stream:stream", b"PRI * HTTP/2.0\r\n", b"\0\x12\0\x01\x01\0\0\x01\0\0\0\0\0\0\0\0\x01\0\x01"]).prop_map(<[u8]>::to_vec),
            any::<u8>().prop_map(|byte| vec![byte]),
            (any::<u8>(), 0..40_usize).prop_map(|(byte, count)| vec![byte; count]),
        ];
        prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn what_is_quiet_is_unknown_to_all(
            orig in bytes(), resp in bytes(), resp_port in prop::sample::select(vec![21, 25, 53, 443, 1883, 5222]), done in any::<bool>(),
        ) {
            let short = quiet(Streams { orig: &orig, resp: &resp, resp_port, done, depth: 0 });
            let all = inspect(&Hello { proto: Proto::Tcp, orig: &orig, resp: &resp, orig_datagrams: &[], resp_datagrams: &[], orig_port: 40_000, resp_port, done });
            if let Some(want_more) = short {
                let unknown = super::super::Outcome { want_more, ..Default::default() };
                prop_assert_eq!(format!("{all:?}"), format!("{unknown:?}"));
            }
        }
    }

    #[test]
    fn every_method_is_heard() {
        assert!(!http::may_begin(b"Z") && !http::may_begin(b""));
        assert_eq!(quiet(Streams { orig: b"ZZ", resp: b"", resp_port: 1883, done: false, depth: 0 }), Some(true));
    }
}
