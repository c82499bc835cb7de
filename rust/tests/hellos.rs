//! What must hold for every hello: the seeds of the fuzz targets, whole, cut anywhere, and cut into other records.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may fail

use std::path::Path;

use netexfil_core::hello::{Hello, Outcome, Proto, inspect};
use proptest::prelude::*;

/// Both sides of every TCP seed: (name, originator, responder).
fn seeds() -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    for folder in ["hello_tcp", "tls", "ssh", "lines"] {
        for entry in Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(folder).read_dir().unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let length = usize::from(u16::from_be_bytes([bytes[1], bytes[2]]));
            let (orig, resp) = bytes[3..].split_at(length);
            all.push((path.file_name().unwrap().to_string_lossy().into_owned(), orig.to_vec(), resp.to_vec()));
        }
    }
    all.sort();
    all
}

fn look(orig: &[u8], resp: &[u8], done: bool) -> Outcome {
    inspect(&Hello { proto: Proto::Tcp, orig, resp, orig_datagrams: &[], resp_datagrams: &[], orig_port: 50_000, resp_port: 443, done })
}

/// The facts that never change once they are told.
fn firm(outcome: &Outcome) -> [Option<String>; 8] {
    let facts = &outcome.facts;
    [&facts.server_name, &facts.ja3, &facts.ja4, &facts.hassh, &facts.hassh_server, &facts.ssh_client, &facts.ssh_server, &facts.cert_fingerprint]
        .map(Clone::clone)
}

/// A TLS stream with its leading handshake bytes cut into records of other sizes.
fn refragmented(stream: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut handshake = Vec::new();
    let mut rest = stream;
    while let [22, 3, _, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if after.len() < length {
            break;
        }
        handshake.extend_from_slice(&after[..length]);
        rest = &after[length..];
    }
    let mut out = Vec::new();
    let mut sizes = sizes.iter().cycle();
    let mut left = handshake.as_slice();
    while !left.is_empty() {
        let (record, after) = left.split_at((*sizes.next().unwrap()).min(left.len()));
        out.extend([22, 3, 1]);
        out.extend(u16::try_from(record.len()).unwrap().to_be_bytes());
        out.extend_from_slice(record);
        left = after;
    }
    out.extend_from_slice(rest);
    out
}

#[test]
fn every_seed_is_recognised() {
    for (name, orig, resp) in seeds() {
        let services = look(&orig, &resp, true).services.join("-");
        let expected = name.rsplit_once('-').map_or(name.as_str(), |(services, _)| services);
        if name.chars().rev().take(6).all(|digit| digit.is_ascii_hexdigit()) {
            assert_eq!(services, expected, "{name}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Cutting never fails, and what a part of the bytes tells, all of them tell too.
    #[test]
    fn a_part_of_a_hello_tells_nothing_else(pick in any::<prop::sample::Index>(), first in any::<prop::sample::Index>(), second in any::<prop::sample::Index>()) {
        let seeds = seeds();
        let (_, orig, resp) = &seeds[pick.index(seeds.len())];
        let whole = look(orig, resp, true);
        let part = look(&orig[..first.index(orig.len() + 1)], &resp[..second.index(resp.len() + 1)], false);
        for (told, known) in firm(&part).into_iter().zip(firm(&whole)) {
            prop_assert!(told.is_none() || told == known, "{told:?} became {known:?}");
        }
        if !part.want_more && !part.services.is_empty() {
            prop_assert_eq!(firm(&part), firm(&whole), "asked for no more, and more came");
        }
    }

    /// Records are only a wrapping: any other cut of the same handshake is the same hello.
    #[test]
    fn any_split_into_records_is_the_same_hello(pick in any::<prop::sample::Index>(), sizes in prop::collection::vec(12_usize..400, 1..8)) {
        let seeds: Vec<_> = seeds().into_iter().filter(|(name, ..)| name.starts_with("ssl-")).collect();
        let (_, orig, resp) = &seeds[pick.index(seeds.len())];
        let whole = look(orig, resp, true);
        let other = look(&refragmented(orig, &sizes), &refragmented(resp, &sizes), true);
        prop_assert_eq!(firm(&other), firm(&whole));
        prop_assert_eq!(other.facts.tls_version, whole.facts.tls_version);
        prop_assert_eq!(other.services, whole.services);
    }

    /// Bytes of no protocol are survived.
    #[test]
    fn noise_is_survived(orig in prop::collection::vec(any::<u8>(), 0..300), resp in prop::collection::vec(any::<u8>(), 0..300)) {
        look(&orig, &resp, false);
        prop_assert!(!look(&orig, &resp, true).want_more);
    }
}

/// A parser written by others reads the same numbers from every complete ClientHello that it accepts.
#[test]
fn a_proven_tls_parser_agrees() {
    use netexfil_core::fingerprint::{Carrier, ClientHello, ja3, ja4};
    use tls_parser::{TlsExtension as Ext, TlsMessage, TlsMessageHandshake, parse_tls_client_hello_extensions, parse_tls_plaintext};

    let mut agreed = 0;
    for (name, orig, resp) in seeds() {
        let Ok((_, record)) = parse_tls_plaintext(&orig) else { continue };
        let Some(TlsMessage::Handshake(TlsMessageHandshake::ClientHello(theirs))) = record.msg.first() else { continue };
        let Ok(([], extensions)) = parse_tls_client_hello_extensions(theirs.ext.unwrap_or_default()) else { continue };
        let mut hello = ClientHello { version: theirs.version.0, ciphers: theirs.ciphers.iter().map(|cipher| cipher.0).collect(), ..ClientHello::default() };
        let mut server_name = None;
        for extension in &extensions {
            hello.extensions.push(tls_parser::TlsExtensionType::from(extension).0);
            match extension {
                Ext::SNI(names) => server_name = names.first().map(|(_, name)| String::from_utf8_lossy(name).into_owned()),
                Ext::EllipticCurves(groups) => hello.groups = groups.iter().map(|group| group.0).collect(),
                Ext::EcPointFormats(points) => hello.points = points.to_vec(),
                Ext::SignatureAlgorithms(list) => hello.signatures = list.clone(),
                Ext::SupportedVersions(list) => hello.versions = list.iter().map(|version| version.0).collect(),
                Ext::ALPN(list) => hello.alpn = list.iter().map(|name| name.to_vec()).collect(),
                _ => {}
            }
        }
        let ours = look(&orig, &resp, true).facts;
        assert_eq!(ours.server_name, server_name, "{name}");
        assert_eq!(ours.ja3, Some(ja3(&hello)), "{name}");
        assert_eq!(ours.ja4, Some(ja4(&hello, Carrier::Tls)), "{name}");
        agreed += 1;
    }
    assert!(agreed >= 10, "{agreed} hellos compared");
}

/// What is carried is the same hello: behind a proxy, behind STARTTLS, in WebSocket frames.
#[test]
fn carried_hellos_are_the_bare_hello() {
    let all = seeds();
    let of = |wanted: &str| {
        let (_, orig, resp) = all.iter().find(|(name, ..)| name == wanted).unwrap();
        look(orig, resp, true)
    };
    let bare = of("two-records");
    assert_eq!(bare.services, ["ssl"]);
    for (name, services) in [
        ("http-connect", vec!["http", "ssl"]),
        ("websocket-tls", vec!["http", "ssl", "websocket"]),
        ("socks5", vec!["socks", "ssl"]),
        ("socks5-user", vec!["socks", "ssl"]),
        ("socks4a", vec!["socks", "ssl"]),
        ("ftps", vec!["ftp", "ssl"]),
        ("imap-starttls", vec!["imap", "ssl"]),
        ("pop3-stls", vec!["pop3", "ssl"]),
        ("mysql-upgrade", vec!["mysql", "ssl"]),
    ] {
        let carried = of(name);
        assert_eq!(carried.services, services, "{name}");
        assert_eq!(firm(&carried), firm(&bare), "{name}");
    }
    assert_eq!(of("http-connect").hints, ["connect=files.example:443"]);
    assert_eq!(of("socks4a").hints, ["connect=example.org:443"]);
    assert_eq!(of("ftp-active").expect.len(), 4);
}
