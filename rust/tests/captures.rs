//! Sameness that must hold for any capture: however it is split, cut, shuffled or stored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;

use common::{Folder, Frame, pcap, pcapng, tcp, udp};
use netexfil_core::flow::Limits;
use netexfil_core::reader::Reader;
use netexfil_core::session::Session;
use proptest::prelude::*;

fn ethernet(source: u8, target: u8, proto: u8, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, target, 2, 0, 0, 0, 0, source, 8, 0];
    frame.extend([0x45, 0]);
    frame.extend((20 + payload.len() as u16).to_be_bytes());
    frame.extend(id.to_be_bytes());
    frame.extend([0x40, 0, 64, proto, 0, 0, 10, 0, 0, source, 192, 0, 2, target]);
    frame.extend(payload);
    frame
}

/// One conversation: who, when, and how much each side says in turn.
#[derive(Debug, Clone)]
struct Talk {
    host: u8,
    port: u16,
    start: u64,
    seq: u32,
    turns: Vec<(bool, u16)>,
    fin: bool,
    datagrams: bool,
}

fn talk() -> impl Strategy<Value = Talk> {
    (1..4_u8, 40_000..40_004_u16, 0..20_000_000_u64, any::<u32>(), prop::collection::vec((any::<bool>(), 1..1400_u16), 0..8), any::<bool>(), prop::bool::weighted(0.3))
        .prop_map(|(host, port, start, seq, turns, fin, datagrams)| Talk { host, port, start, seq, turns, fin, datagrams })
}

fn frames(talks: &[Talk]) -> Vec<Frame> {
    let mut all = Vec::new();
    for talk in talks {
        let mut time = talk.start;
        let (mut mine, mut yours) = (talk.seq, talk.seq.wrapping_mul(7));
        let mut id = 1;
        let mut say = |time: u64, out: bool, segment: Vec<u8>| {
            id += 1;
            let proto = if talk.datagrams { 17 } else { 6 };
            let (source, target) = if out { (talk.host, 9) } else { (9, talk.host) };
            let mut frame = ethernet(source, target, proto, id, &segment);
            if !out {
                frame[26..30].copy_from_slice(&[192, 0, 2, 9]);
                frame[30..34].copy_from_slice(&[10, 0, 0, talk.host]);
            }
            all.push((time, frame));
        };
        let (there, back) = ((talk.port, 443), (443, talk.port));
        if talk.datagrams {
            for (out, size) in &talk.turns {
                time += 1_000;
                say(time, *out, udp(if *out { there } else { back }, &vec![*size as u8; usize::from(*size)]));
            }
            continue;
        }
        say(time, true, tcp(there, mine, 0, 2, b""));
        say(time + 900, false, tcp(back, yours, mine.wrapping_add(1), 18, b""));
        (mine, yours) = (mine.wrapping_add(1), yours.wrapping_add(1));
        say(time + 1_800, true, tcp(there, mine, yours, 16, b""));
        time += 2_000;
        for (out, size) in &talk.turns {
            time += 1_000;
            let data = vec![*size as u8; usize::from(*size)];
            if *out {
                say(time, true, tcp(there, mine, yours, 24, &data));
                mine = mine.wrapping_add(u32::from(*size));
            } else {
                say(time, false, tcp(back, yours, mine, 24, &data));
                yours = yours.wrapping_add(u32::from(*size));
            }
        }
        if talk.fin {
            say(time + 1_000, true, tcp(there, mine, yours, 17, b""));
            say(time + 2_000, false, tcp(back, yours, mine.wrapping_add(1), 17, b""));
            say(time + 3_000, true, tcp(there, mine.wrapping_add(1), yours.wrapping_add(1), 16, b""));
        }
    }
    all.sort_by_key(|frame| frame.0);
    all
}

fn read(paths: &[String]) -> Vec<Session> {
    read_with(paths, Limits::default())
}

fn read_with(paths: &[String], limits: Limits) -> Vec<Session> {
    let mut reader = Reader::open(paths, limits).unwrap();
    let mut all = Vec::new();
    while let Some(part) = reader.sessions() {
        all.extend(part);
    }
    all.sort_by_key(Session::uid);
    all
}

fn flip(frame: &mut [u8], at: usize, bits: u8) {
    if let Some(byte) = frame.get_mut(at) {
        *byte ^= bits;
    }
}

/// Everything but the name of the file.
fn told(sessions: &[Session]) -> Vec<String> {
    sessions.iter().map(|session| format!("{:?}", Session { file: 0, ..session.clone() })).collect()
}

/// Per unordered tuple: packets, IP bytes, unique payload.
fn totals(sessions: &[Session]) -> BTreeMap<(String, String, &'static str), (u64, u64, u64)> {
    let mut all = BTreeMap::new();
    for session in sessions {
        let mut ends = [format!("{:?}", session.origin()), format!("{:?}", session.responder())];
        ends.sort();
        let [first, second] = ends;
        let sum: &mut (u64, u64, u64) = all.entry((first, second, session.proto())).or_default();
        sum.0 += session.orig.pkts + session.resp.pkts;
        sum.1 += session.orig.ip_bytes + session.resp.ip_bytes;
        sum.2 += session.orig.low + session.resp.low;
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn split_into_files_is_the_whole(talks in prop::collection::vec(talk(), 1..6), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4)) {
        let frames = frames(&talks);
        let folder = Folder::new();
        let whole = read(&[folder.write("whole.pcap", &pcap(&frames, false, false))]);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(frames.len() + 1)).collect();
        cuts.extend([0, frames.len()]);
        cuts.sort_unstable();
        // Names in no order: the time of the first packet decides.
        let parts: Vec<String> = cuts.windows(2).enumerate()
            .map(|(index, pair)| folder.write(&format!("part{}.pcap", 9 - index), &pcap(&frames[pair[0]..pair[1]], index % 2 == 0, index % 3 == 0)))
            .collect();
        prop_assert_eq!(told(&whole), told(&read(&parts)));
    }

    #[test]
    fn however_it_is_stored_it_is_the_same(talks in prop::collection::vec(talk(), 1..5)) {
        let frames = frames(&talks);
        let folder = Folder::new();
        let plain = pcap(&frames, false, false);
        let whole = told(&read(&[folder.write("whole.pcap", &plain)]));
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gz, &plain).unwrap();
        let others = [
            pcap(&frames, true, false), pcap(&frames, false, true), pcap(&frames, true, true), pcapng(&frames, false), pcapng(&frames, true),
            gz.finish().unwrap(), zstd::encode_all(&plain[..], 1).unwrap(),
        ];
        for (index, other) in others.iter().enumerate() {
            prop_assert_eq!(&whole, &told(&read(&[folder.write(&format!("other{index}"), other)])), "form {}", index);
        }
    }

    #[test]
    fn cut_anywhere_it_still_reads(talks in prop::collection::vec(talk(), 1..4), at in any::<prop::sample::Index>(), ng in any::<bool>()) {
        let frames = frames(&talks);
        let folder = Folder::new();
        let bytes = if ng { pcapng(&frames, false) } else { pcap(&frames, false, false) };
        let cut = at.index(bytes.len());
        let path = folder.write("cut", &bytes[..cut]);
        if let Ok(mut reader) = Reader::open(&[path], Limits::default()) {
            let mut count = 0;
            while let Some(part) = reader.sessions() {
                count += part.len();
            }
            prop_assert!(count <= frames.len());
            let notes = reader.notes();
            prop_assert!(notes.len() <= 1);
            for note in notes {
                prop_assert!(note.place.is_some_and(|place| place <= cut as u64), "{note:?}");
            }
        }
    }

    #[test]
    fn damaged_bytes_never_stop_it(talks in prop::collection::vec(talk(), 1..4), hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40), ng in any::<bool>()) {
        let frames = frames(&talks);
        let folder = Folder::new();
        let mut bytes = if ng { pcapng(&frames, true) } else { pcap(&frames, false, false) };
        for (at, value) in hits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(mut reader) = Reader::open(&[folder.write("hit", &bytes)], Limits { sessions: 3, ..Limits::default() }) {
            while reader.sessions().is_some() {}
        }
    }

    #[test]
    fn shuffling_neighbours_changes_no_total(talks in prop::collection::vec(talk(), 1..6), swaps in prop::collection::vec(any::<prop::sample::Index>(), 0..30)) {
        // Ports are used once here: a second conversation on the same ports is another session, and its SYN decides where it begins.
        let talks: Vec<Talk> = talks.into_iter().enumerate().map(|(index, talk)| Talk { port: 41_000 + index as u16, ..talk }).collect();
        let mut frames = frames(&talks);
        let folder = Folder::new();
        let before = totals(&read(&[folder.write("before.pcap", &pcap(&frames, false, false))]));
        for swap in swaps {
            let at = swap.index(frames.len().max(2) - 1);
            // Not across a silence, in which timers end what is out of its order.
            if at + 1 < frames.len() && frames[at + 1].0 - frames[at].0 < 1_000_000 {
                let (left, right) = (frames[at].0, frames[at + 1].0);
                frames.swap(at, at + 1);
                (frames[at].0, frames[at + 1].0) = (left, right);
            }
        }
        prop_assert_eq!(before, totals(&read(&[folder.write("after.pcap", &pcap(&frames, false, false))])));
    }

    #[test]
    fn few_open_sessions_lose_nothing(talks in prop::collection::vec(talk(), 1..8), limit in 1..4_usize) {
        let frames = frames(&talks);
        let folder = Folder::new();
        let path = folder.write("all.pcap", &pcap(&frames, false, false));
        let mut reader = Reader::open(&[path], Limits { sessions: limit, ..Limits::default() }).unwrap();
        let mut packets = 0;
        while let Some(part) = reader.sessions() {
            packets += part.iter().map(|session| session.orig.pkts + session.resp.pkts).sum::<u64>();
        }
        prop_assert_eq!(packets, frames.len() as u64);
    }

    #[test]
    fn the_short_way_is_the_general_way(
        talks in prop::collection::vec(talk(), 1..6), swaps in prop::collection::vec((any::<prop::sample::Index>(), 0..5_u8, any::<u8>()), 0..30), few in any::<bool>(),
    ) {
        let mut frames = frames(&talks);
        for (at, what, value) in swaps {
            let at = at.index(frames.len().max(1));
            let Some(frame) = frames.get(at).cloned() else { continue };
            match what {
                0 => frames.insert((at + usize::from(value)).min(frames.len()), frame), // comes once more, later
                1 => drop(frames.remove(at)),
                2 if at + 1 < frames.len() => frames.swap(at, at + 1),
                3 => flip(&mut frames[at].1, 47, value & 0x17), // other flags, or another byte of a datagram
                _ => flip(&mut frames[at].1, 38 + usize::from(value % 8), value), // other numbers
            }
        }
        let folder = Folder::new();
        let path = [folder.write("all.pcap", &pcap(&frames, false, false))];
        let limits = Limits { sessions: if few { 3 } else { 1000 }, ..Limits::default() };
        prop_assert_eq!(told(&read_with(&path, limits)), told(&read_with(&path, Limits { general: true, ..limits })));
    }
}
