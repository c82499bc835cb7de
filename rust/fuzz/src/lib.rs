//! What every fuzz target feeds its parser with, and what must hold whatever the bytes are.
//!
//! A target is a function from bytes; the same functions run over the seeds and over every input that once failed
//! (`tests/inputs.rs`), without a fuzzer.

use netexfil_core::hello::{self, Datagrams, Hello, Outcome, Proto, Streams};

/// A target: its name, which is also that of its folder of seeds, and what it does.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("hello_tcp", hello_tcp),
    ("hello_udp", hello_udp),
    ("tls", tls),
    ("ssh", ssh),
    ("lines", lines),
    ("quic", quic),
    ("x509", x509),
];

/// Ports worth telling apart; the first byte of an input picks one.
const PORTS: &[u16] = &[443, 21, 25, 53, 110, 143, 465, 587, 990, 993, 1080, 3306, 8443, 40_000];

/// The input as port, a flag, and two sides: one byte, then the first side's length in two bytes.
fn sides(data: &[u8]) -> (u16, bool, &[u8], &[u8]) {
    let [choice, high, low, rest @ ..] = data else { return (443, true, data, &[]) };
    let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
    let (orig, resp) = rest.split_at(length);
    (PORTS[usize::from(choice & 0x7f) % PORTS.len()], choice & 0x80 == 0, orig, resp)
}

fn streams(data: &[u8]) -> Streams<'_> {
    let (resp_port, done, orig, resp) = sides(data);
    Streams { orig, resp, resp_port, done, depth: 0 }
}

/// Datagrams stand behind their lengths in two bytes.
fn cut(mut side: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let [high, low, rest @ ..] = side {
        let (part, after) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])).min(rest.len()));
        parts.push(part);
        side = after;
    }
    parts
}

/// What holds for every outcome.
fn check(outcome: &Outcome, done: bool, size: usize) {
    assert!(!(done && outcome.want_more), "asks for more where there is none");
    let facts = &outcome.facts;
    let texts = [&facts.server_name, &facts.alpn, &facts.cert_subject, &facts.cert_issuer, &facts.ssh_client, &facts.ssh_server];
    // A byte may become a replacement character of three bytes, or an escape or a dotted number of some more.
    assert!(texts.iter().filter_map(|text| text.as_ref()).all(|text| text.len() <= 16 * size + 64), "text out of nothing");
    assert!(outcome.hints.iter().all(|hint| !hint.contains(',')), "a comma in a hint");
    assert!(outcome.expect.len() <= size / 4 + 1, "endpoints out of nothing");
}

fn check_found(outcome: Option<Outcome>, done: bool, size: usize) {
    if let Some(outcome) = outcome {
        check(&outcome, done, size);
    }
}

pub fn hello_tcp(data: &[u8]) {
    let (resp_port, done, orig, resp) = sides(data);
    let input =
        Hello { proto: Proto::Tcp, orig, resp, orig_datagrams: &[], resp_datagrams: &[], orig_port: 50_000, resp_port, done };
    let outcome = hello::inspect(&input);
    check(&outcome, done, data.len());
    assert!(outcome.services.is_sorted());
}

pub fn hello_udp(data: &[u8]) {
    let (resp_port, done, orig, resp) = sides(data);
    let (orig, resp) = (cut(orig), cut(resp));
    let input =
        Hello { proto: Proto::Udp, orig: &[], resp: &[], orig_datagrams: &orig, resp_datagrams: &resp, orig_port: 50_000, resp_port, done };
    check(&hello::inspect(&input), done, data.len());
}

pub fn tls(data: &[u8]) {
    let streams = streams(data);
    check_found(hello::tls::parse(streams), streams.done, data.len());
    check_found(hello::upgrade::parse(streams), streams.done, data.len());
}

pub fn ssh(data: &[u8]) {
    let streams = streams(data);
    check_found(hello::ssh::parse(streams), streams.done, data.len());
}

pub fn lines(data: &[u8]) {
    let streams = streams(data);
    for parse in [hello::http::parse, hello::ftp::parse, hello::smtp::parse, hello::imap::parse, hello::imap::parse_pop3, hello::socks::parse] {
        check_found(parse(streams), streams.done, data.len());
    }
}

/// The frames of a QUIC packet as they are once it is open (a fuzzer cannot guess a tag), and the packets themselves.
pub fn quic(data: &[u8]) {
    let joined = hello::quic::crypto_of(data);
    assert!(joined.len() <= data.len());
    let datagrams = cut(data);
    let found = hello::quic::parse(Datagrams { orig: &datagrams, resp: &[], resp_port: 443, done: true });
    check_found(found, true, data.len());
}

pub fn x509(data: &[u8]) {
    let mut outcome = Outcome::default();
    hello::x509::tell(data, &mut outcome.facts);
    check(&outcome, true, data.len());
}
