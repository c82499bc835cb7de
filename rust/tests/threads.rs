//! Several threads read what one would: the same sessions in every field, the same notes, whatever the frames hold and however the input is stored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::{Folder, Frame, pcap, pcapng, tcp, udp};
use netexfil_core::error::Note;
use netexfil_core::flow::Limits;
use netexfil_core::reader::{Reader, Threads};
use netexfil_core::session::Session;
use proptest::prelude::*;

fn ip(hosts: (u8, u8), proto: u8, id: u16, payload: &[u8], part: u16) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((20 + payload.len() as u16).to_be_bytes());
    packet.extend(id.to_be_bytes());
    packet.extend(part.to_be_bytes());
    packet.extend([64, proto, 0, 0, 10, 0, 0, hosts.0, 10, 0, 0, hosts.1]);
    packet.extend(payload);
    packet
}

fn ip6(hosts: (u8, u8), proto: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([proto, 64]);
    for host in [hosts.0, hosts.1] {
        packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
    }
    packet.extend(payload);
    packet
}

fn ethernet(packet: &[u8], tag: bool) -> Vec<u8> {
    let kind: [u8; 2] = if packet.first().is_some_and(|first| first >> 4 == 6) { [0x86, 0xdd] } else { [8, 0] };
    let tag: &[u8] = if tag { &[0x81, 0, 0, 5] } else { &[] };
    [&[2; 12][..], tag, &kind, packet].concat()
}

/// What carries a packet.
#[derive(Debug, Clone, Copy)]
enum Way {
    Plain,
    Tag,
    Vxlan,
    Gre,
    Pieces,
}

/// Frames of a packet that goes this way.
fn carried(way: Way, hosts: (u8, u8), id: u16, packet: Vec<u8>) -> Vec<Vec<u8>> {
    let around = (hosts.0 % 2 + 100, hosts.1 % 3 + 100);
    match way {
        Way::Plain => vec![ethernet(&packet, false)],
        Way::Tag => vec![ethernet(&packet, true)],
        Way::Vxlan => vec![ethernet(&ip(around, 17, id, &udp((5000 + id % 3, 4789), &[&[8, 0, 0, 0, 0, 0, 7, 0][..], &ethernet(&packet, false)].concat()), 0), false)],
        Way::Gre => vec![ethernet(&ip(around, 47, id, &[&[0, 0, 8, 0][..], &packet].concat(), 0), false)],
        Way::Pieces if packet[0] == 0x45 && packet.len() > 20 + 24 => {
            let body = &packet[20..];
            let (first, second) = body.split_at(16);
            vec![ethernet(&ip(hosts, packet[9], id, first, 0x2000), false), ethernet(&ip(hosts, packet[9], id, second, 2), false)]
        }
        Way::Pieces => vec![ethernet(&packet, false)],
    }
}

/// What two hosts do.
#[derive(Debug, Clone)]
enum Act {
    /// A conversation: server's port, sizes of what is said in turn, and how it ends.
    Talk(u16, Vec<(bool, u16)>, u8),
    /// A clear FTP control session that announces these ports of the server (of another host, where odd), and who opens them.
    Ftp(Vec<(u8, u16, u8)>),
    Datagrams(u16, Vec<(bool, u16)>),
    Ping(u8),
    Syn(u16),
}

#[derive(Debug, Clone)]
struct Deed {
    hosts: (u8, u8),
    port: u16,
    start: u64,
    pace: u64,
    way: Way,
    six: bool,
    act: Act,
}

fn act() -> impl Strategy<Value = Act> {
    let turns = || prop::collection::vec((any::<bool>(), 1..900_u16), 0..6);
    let burst = prop::collection::vec((prop::bool::weighted(0.9), 1..30_u16), 0..60);
    prop_oneof![
        (prop::sample::select(vec![443_u16, 22, 8080, 53]), turns(), 0..4_u8).prop_map(|(port, turns, end)| Act::Talk(port, turns, end)),
        prop::collection::vec((0..6_u8, 2000..2004_u16, 0..6_u8), 1..4).prop_map(Act::Ftp),
        (prop::sample::select(vec![53_u16, 443, 9999]), prop_oneof![turns(), burst]).prop_map(|(port, turns)| Act::Datagrams(port, turns)),
        (0..3_u8).prop_map(Act::Ping),
        (1..5_u16).prop_map(Act::Syn),
    ]
}

fn deed() -> impl Strategy<Value = Deed> {
    let way = prop_oneof![6 => Just(Way::Plain), 1 => Just(Way::Tag), 1 => Just(Way::Vxlan), 1 => Just(Way::Gre), 1 => Just(Way::Pieces)];
    let pace = prop::sample::select(vec![1_u64, 700, 40_000, 4_000_000, 9_000_000]);
    ((0..6_u8, 0..6_u8), 40_000..40_004_u16, 0..30_000_000_u64, pace, way, prop::bool::weighted(0.2), act())
        .prop_map(|(hosts, port, start, pace, way, six, act)| Deed { hosts, port, start, pace, way, six, act })
}

/// Packets of a deed, each with who sends it: protocol, transport bytes.
fn packets(deed: &Deed) -> Vec<((u8, u8), u8, Vec<u8>)> {
    let (there, back) = (deed.hosts, (deed.hosts.1, deed.hosts.0));
    match &deed.act {
        Act::Talk(port, turns, end) => talk(there, (deed.port, *port), turns.iter().map(|(out, size)| (*out, vec![*size as u8; usize::from(*size)])), *end),
        Act::Ftp(announced) => {
            let mut said = vec![(false, b"220 FTP server ready\r\n".to_vec()), (true, b"USER a\r\n".to_vec()), (false, b"230 Login\r\n".to_vec())];
            for (host, port, _) in announced {
                said.push((true, b"PASV\r\n".to_vec()));
                said.push((false, format!("227 Entering Passive Mode (10,0,0,{host},{},{})\r\n", port >> 8, port & 255).into_bytes()));
            }
            let mut all = talk(there, (deed.port, 21), said.into_iter(), 1);
            for (host, port, who) in announced {
                all.extend(talk((*who, *host), (deed.port + 1, *port), [(true, vec![7; 300])].into_iter(), 1));
            }
            all
        }
        Act::Datagrams(port, turns) => turns.iter().map(|(out, size)| {
            let ports = if *out { (deed.port, *port) } else { (*port, deed.port) };
            (if *out { there } else { back }, 17, udp(ports, &vec![*size as u8; usize::from(*size)]))
        }).collect(),
        Act::Ping(kind) => [(there, [8, 0]), (back, [0, 0]), (back, [3, *kind])].map(|(hosts, head)| (hosts, 1, [&head[..], &[0; 30]].concat())).to_vec(),
        Act::Syn(ports) => (0..*ports).map(|port| (there, 6, tcp((deed.port, 80 + port), 5, 0, 2, b""))).collect(),
    }
}

fn talk(there: (u8, u8), (port, to): (u16, u16), said: impl Iterator<Item = (bool, Vec<u8>)>, end: u8) -> Vec<((u8, u8), u8, Vec<u8>)> {
    let back = (there.1, there.0);
    let (mut mine, mut yours) = (1000_u32, 9000_u32);
    let mut all = vec![(there, 6, tcp((port, to), 999, 0, 2, b"")), (back, 6, tcp((to, port), 8999, mine, 18, b"")), (there, 6, tcp((port, to), mine, yours, 16, b""))];
    for (out, data) in said {
        if out {
            all.push((there, 6, tcp((port, to), mine, yours, 24, &data)));
            mine += data.len() as u32;
        } else {
            all.push((back, 6, tcp((to, port), yours, mine, 24, &data)));
            yours += data.len() as u32;
        }
    }
    if end & 1 == 1 {
        all.push((there, 6, tcp((port, to), mine, yours, 17, b"")));
        all.push((back, 6, tcp((to, port), yours, mine + 1, 17, b"")));
    }
    if end & 2 == 2 {
        all.push((back, 6, tcp((to, port), yours, mine, 20, b"")));
    }
    all
}

fn frames(deeds: &[Deed]) -> Vec<Frame> {
    let mut all = Vec::new();
    for deed in deeds {
        for (number, (hosts, proto, body)) in packets(deed).into_iter().enumerate() {
            let id = deed.port + number as u16;
            let packet = if deed.six && proto != 1 { ip6(hosts, proto, &body) } else { ip(hosts, proto, id, &body, 0) };
            let time = deed.start + number as u64 * deed.pace;
            all.extend(carried(deed.way, hosts, id, packet).into_iter().map(|frame| (time, frame)));
        }
    }
    all.sort_by_key(|frame| frame.0);
    all
}

fn read(paths: &[String], limits: Limits, threads: Threads) -> (Vec<String>, Vec<Note>) {
    let mut reader = Reader::open(paths, limits).unwrap();
    reader.share(threads);
    let mut all = Vec::new();
    while let Some(part) = reader.sessions() {
        all.extend(part);
    }
    all.sort_by_key(|session: &Session| (session.start, session.uid(), session.last));
    (all.iter().map(|session| format!("{session:?}")).collect(), reader.notes())
}

/// One thread, then two and three, with portions that end within what happens.
fn same(paths: &[String], limits: Limits, portion: usize) -> Result<(Vec<String>, Vec<Note>), TestCaseError> {
    let one = read(paths, limits, Threads::default());
    for count in [2, 3] {
        let several = read(paths, limits, Threads { count, least: 0, portion });
        prop_assert_eq!(&one.1, &several.1, "notes of {} threads", count);
        prop_assert_eq!(&one.0, &several.0, "{} threads", count);
    }
    Ok(one)
}

/// Few cases where nothing else is said (a debug build takes half a second each): NETEXFIL_CASES for more.
fn cases() -> ProptestConfig {
    ProptestConfig::with_cases(std::env::var("NETEXFIL_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(12))
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn several_threads_read_what_one_does(
        deeds in prop::collection::vec(deed(), 1..14), portion in 1..60_usize, cut in prop::option::of(any::<prop::sample::Index>()), ng in any::<bool>(),
        spoils in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), swaps in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut frames = frames(&deeds);
        for swap in swaps {
            let at = swap.index(frames.len().max(2) - 1);
            if at + 1 < frames.len() {
                frames.swap(at, at + 1); // time goes back a little
            }
        }
        let store = |frames: &[Frame]| if ng { pcapng(frames, false) } else { pcap(frames, false, false) };
        let folder = Folder::new();
        let whole = folder.write("whole", &store(&frames));
        same(std::slice::from_ref(&whole), Limits::default(), portion)?;
        let mut spoilt = store(&frames);
        for (at, value) in spoils {
            let at = 48 + at.index(spoilt.len().max(49) - 48);
            spoilt.get_mut(at).into_iter().for_each(|byte| *byte = value);
        }
        same(&[folder.write("spoilt", &spoilt)], Limits::default(), portion)?;
        let cut = cut.map_or(frames.len(), |cut| cut.index(frames.len() + 1));
        let (first, second) = frames.split_at(cut);
        same(&[folder.write("first", &store(first)), folder.write("second", &store(second))], Limits::default(), portion)?;
        let (even, odd): (Vec<_>, Vec<_>) = frames.iter().cloned().enumerate().partition(|(number, _)| number % 3 == 0);
        let side = |part: Vec<(usize, Frame)>| store(&part.into_iter().map(|(_, frame)| frame).collect::<Vec<_>>());
        same(&[folder.write("even", &side(even)), folder.write("odd", &side(odd)), whole], Limits::default(), portion)?;
    }

    #[test]
    fn the_same_is_handed_out_early(deeds in prop::collection::vec(deed(), 1..30), portion in 1..60_usize, sessions in 1..40_usize) {
        // No two packets at the same time: which of two sessions would time out first is told by nothing else.
        let mut frames = frames(&deeds);
        frames.iter_mut().enumerate().for_each(|(number, frame)| frame.0 = frame.0 * 64 + number as u64 % 64);
        frames.dedup_by_key(|frame| frame.0);
        let folder = Folder::new();
        same(&[folder.write("all", &pcap(&frames, false, false))], Limits { sessions, ..Limits::default() }, portion)?;
    }
}

#[test]
fn a_clock_that_was_years_ahead() {
    let mut frames: Vec<Frame> = (0..400_u64).map(|number| (number * 50_000, ethernet(&ip((1, (number % 7) as u8), 17, 1, &udp((5, 53), b"x"), 0), false))).collect();
    for frame in &mut frames[100..200] {
        frame.0 += 500_000_000 * 1_000_000;
    }
    let folder = Folder::new();
    same(&[folder.write("all", &pcap(&frames, false, false))], Limits::default(), 37).unwrap();
}

#[test]
fn ftp_data_is_known_across_tables() {
    let hosts: Vec<(u8, u16, u8)> = (0..6).flat_map(|host| (0..3).map(move |port| (host, 2000 + port, 5 - host))).collect();
    let deed = Deed { hosts: (1, 2), port: 40_000, start: 0, pace: 900, way: Way::Plain, six: false, act: Act::Ftp(hosts) };
    let folder = Folder::new();
    let (sessions, _) = same(&[folder.write("all", &pcap(&frames(&[deed]), false, false))], Limits::default(), 5).unwrap();
    assert_eq!(sessions.iter().filter(|session| session.contains("ftp_data") && session.contains("control=C")).count(), 18);
}
