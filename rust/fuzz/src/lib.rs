//! What every fuzz target feeds its parser with, and what must hold whatever the bytes are.
//!
//! A target is a function from bytes; the same functions run over the seeds and over every input that once failed
//! (`tests/inputs.rs`), without a fuzzer.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use netexfil_core::capture::{Capture, Frame, Input};
use netexfil_core::decode::Decoder;
use netexfil_core::flow::{Flows, Limits};
use netexfil_core::hello::{self, Datagrams, Hello, Outcome, Proto, Streams};
use netexfil_core::telemetry::{How, Table, Wish};
use netexfil_core::zeek::{self, Ecs, Field, File, Keep, Kind, Log, Plan};

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
    ("capture", capture),
    ("decode", decode),
    ("zeek", zeek),
    ("telemetry", telemetry),
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
    for parse in [hello::http::parse, hello::text::parse, hello::socks::parse] {
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

/// Few sessions and first bytes, so that the bounds are met.
const LIMITS: Limits = Limits { sessions: 32, hello: 2048, general: false };

fn close(mut flows: Flows, packets: u64) {
    flows.close();
    let done = flows.done();
    let counted: u64 = done.iter().map(|session| session.orig.pkts + session.resp.pkts).sum();
    assert!(counted <= packets, "{counted} packets of {packets}");
    for session in done {
        for side in [&session.orig, &session.resp] {
            assert!(side.high.is_none_or(|high| side.low <= high), "bounds the wrong way round");
        }
    }
}

/// A whole capture file, as it lies on the disk.
pub fn capture(data: &[u8]) {
    let input = Input::new(Box::new(std::io::Cursor::new(data.to_vec())));
    let Ok(mut capture) = Capture::over(input, "fuzz") else { return };
    let (mut flows, mut decoder, mut frames) = (Flows::new(LIMITS), Decoder::default(), 0);
    loop {
        match capture.advance() {
            Ok(true) => {}
            Err(damage) if damage.goes_on => continue,
            _ => break,
        }
        let frame = capture.frame();
        assert!(frame.data.len() <= frame.length && frame.data.len() <= data.len());
        flows.tick(frame.time, 0);
        decoder.frame(&frame, &mut flows);
        frames += 1;
    }
    // A frame may carry packets inside packets, up to the depth that is followed.
    close(flows, frames * 16);
}

/// Link types worth telling apart; the first byte of an input picks one.
const LINKS: &[u16] = &[1, 101, 113, 276, 0, 9, 51, 104, 105, 107, 117, 119, 127, 163, 192, 219, 239, 274, 6, 10, 100, 109, 122, 138, 204, 999];

/// Frames of one link type: each behind its length in two bytes and a byte that moves the clock.
pub fn decode(data: &[u8]) {
    let [choice, rest @ ..] = data else { return };
    let (mut flows, mut decoder, mut frames) = (Flows::new(LIMITS), Decoder::default(), 0);
    let mut time = 1_700_000_000_000_000_000;
    for part in cut(rest) {
        let [clock, wire, stored @ ..] = part else { continue };
        time += (i64::from(*clock) - 8) * 1_000_000_000;
        let frame = Frame { time, link: LINKS[usize::from(*choice) % LINKS.len()], trailer: 0, length: stored.len() + usize::from(*wire / 128) * 9, data: stored };
        flows.tick(time, 0);
        decoder.frame(&frame, &mut flows);
        frames += 1;
    }
    close(flows, frames * 16);
}

/// Two logs with a field of every kind.
fn plan() -> &'static Plan {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    PLAN.get_or_init(|| {
        let field = |name: &str, kind: Kind, required: bool| Field { name: name.into(), kind, names: vec![name.into()], required, filled: false };
        let ends = [("id_orig_h", Kind::Addr), ("id_orig_p", Kind::Port), ("id_resp_h", Kind::Addr), ("id_resp_p", Kind::Port)];
        let others = [
            ("service", Kind::Str),
            ("duration", Kind::Float),
            ("orig_bytes", Kind::Int),
            ("resp_bytes", Kind::Int),
            ("local_orig", Kind::Bool),
            ("tunnel_parents", Kind::List),
        ];
        let mut conn = vec![field("ts", Kind::Time, true), field("uid", Kind::Str, true), field("proto", Kind::Proto, true)];
        conn.extend(ends.iter().map(|(name, kind)| field(name, *kind, true)));
        conn.extend(others.iter().map(|(name, kind)| field(name, *kind, false)));
        let ssl = vec![field("ts", Kind::Time, false), field("uid", Kind::Str, true), field("server_name", Kind::Str, false)];
        Plan {
            logs: vec![Log { name: "conn".into(), fields: conn }, Log { name: "ssl".into(), fields: ssl }],
            places: HashMap::from([("conn".into(), 0), ("ssl".into(), 1)]),
            words: vec!["conn".into(), "ssl".into(), "dns".into()],
            signs: vec![("conn_state".into(), "conn".into()), ("established".into(), "ssl".into())],
            names: vec!["_path".into()],
            wraps: vec!["message".into()],
            ecs: ecs(),
            keep: None,
            networks: None,
            channels: None,
        }
    })
}

/// Some of `fields.ECS`.
fn ecs() -> Ecs {
    let names = [
        ("", "@timestamp", "ts"),
        ("", "zeek_session_id", "uid"),
        ("", "source_ip", "id_orig_h"),
        ("", "source_port", "id_orig_p"),
        ("", "destination_ip", "id_resp_h"),
        ("", "destination_port", "id_resp_p"),
        ("", "network_transport", "proto"),
        ("connection", "network_application", "service"),
        ("connection", "event_duration", "duration"),
    ];
    Ecs {
        datasets: vec!["event_dataset".into()],
        logs: HashMap::from([("connection".into(), "conn".into())]),
        names: names.iter().map(|(only, theirs, ours)| ((*only).into(), (*theirs).into(), (*ours).into())).collect(),
        duration: "event_duration".into(),
    }
}

/// The same lines summed by channel: no more sessions than rows, every channel told once, and rows of the plain kind summed as all others.
fn channels(mut plan: Plan, file: &File, text: &[u8]) {
    let kind = |name: &str| match name {
        "ts" => Kind::Time,
        "orig_h" | "resp_h" => Kind::Addr,
        "orig_p" | "resp_p" => Kind::Port,
        "uid" | "service" | "history" => Kind::Str,
        "proto" => Kind::Proto,
        "duration" => Kind::Float,
        _ => Kind::Int,
    };
    let called = |name: &str| if name.ends_with("_h") || name.ends_with("_p") { format!("id_{name}") } else { name.to_owned() };
    let field = |name: &&str| Field { name: (*name).into(), kind: kind(name), names: vec![called(name)], required: false, filled: false };
    plan.logs = vec![Log { name: "conn".into(), fields: zeek::FIELDS.iter().map(field).collect() }];
    plan.places = HashMap::from([("conn".into(), 0)]);
    let [quick, general] = [false, true].map(|general| {
        let mut sums = zeek::Channels::new(1000, true);
        sums.general = general;
        let sums = Arc::new(sums);
        let (_, tally) = zeek::text(Plan { channels: Some(Arc::clone(&sums)), ..plan.clone() }, file, text);
        let mut order = zeek::Order::new(&sums, None);
        assert!(order.totals.sessions <= tally.rows);
        let found = order.next(usize::MAX);
        assert_eq!(found.len() as u64, order.totals.channels);
        (format!("{found:?}"), sums.doubtful(), tally)
    });
    assert_eq!(quick, general);
}

/// The lines of a Zeek log, TSV (header and all) or JSON, with and without the filter on conn rows.
pub fn zeek(data: &[u8]) {
    let [choice, text @ ..] = data else { return };
    let mut plan = plan().clone();
    if choice & 1 == 1 {
        plan.keep = Keep::new(&["10.0.0.0/8".into(), "2001:db8::/32".into()], &["127.0.0.0/8".into()], vec![443, 22], choice & 4 == 4);
    }
    let file = File { path: "fuzz".into(), json: choice & 2 == 2, name: "conn".into(), start: 0, end: None };
    if choice & 9 == 9 {
        return channels(plan, &file, text);
    }
    let (batches, tally) = zeek::text(plan, &file, text);
    let rows: usize = batches.iter().map(|(_, batch)| batch.num_rows()).sum();
    assert_eq!(rows as u64, tally.rows, "rows told and rows handed out");
    assert!(tally.rows + tally.dropped + tally.refused <= tally.lines);
}

/// The first line is learned, the others are offered: what is taken must be JSON for any other parser, too.
pub fn telemetry(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (first, rest) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let Ok(serde_json::Value::Object(names)) = serde_json::from_slice(first) else { return };
    let hows = [How::Words, How::Time, How::Guid, How::Text, How::Id, How::Ip, How::Port, How::Pid];
    let plain = names.iter().filter(|(_, value)| !value.is_object()).map(|(name, _)| vec![name.clone()]);
    let wanted = plain.zip(hows.into_iter().cycle()).collect();
    let mut table = Table::default();
    let Some(kind) = table.learn(first, &Wish { there: Vec::new(), keys: Vec::new(), whole: Vec::new(), wanted }) else { return };
    let (at, count) = table.feed(rest, 0, 1, 0);
    let count = usize::try_from(count).unwrap();
    for line in rest[..at].split(|byte| *byte == b'\n').take(count) {
        assert!(serde_json::from_slice::<serde_json::Value>(line).is_ok_and(|value| value.is_object()), "taken, but no JSON object");
    }
    let taken = table.take(kind).unwrap();
    assert_eq!((taken.lines.len(), taken.ids.len()), (count, count));
    for mut column in taken.columns {
        assert!(serde_json::from_slice::<Vec<serde_json::Value>>(&column.left.done()).is_ok(), "left, but no JSON");
    }
}
