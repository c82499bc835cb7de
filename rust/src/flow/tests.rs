//! Parts of the session table by themselves.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use crate::capture::Frame;
use crate::decode::{self, Decoder, Packet, Sink};

use super::{Flows, HELLO_TOTAL, Limits};
use super::ranges::Ranges;
use super::table::Table;
use super::wheel::Wheel;

/// The first packet, as text.
#[derive(Default)]
struct First(Option<String>);

impl Sink for First {
    fn packet(&mut self, packet: &Packet<'_>) {
        self.0.get_or_insert(format!("{packet:?}"));
    }
    fn lost(&mut self, _kind: &'static str, _reason: &str) {}
}

#[test]
fn a_plain_frame_holds_what_the_decoder_finds() {
    let ports = [0xc0, 0, 1, 0xbb];
    for (proto, rest) in [(6, &[0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 1, 0, 0, 0, 0, 0][..]), (17, &[0, 8, 0, 0])] {
        let size = 4 + rest.len() as u8;
        let four = [&[0x46, 0, 0, 24 + size, 0, 0, 0, 0, 64, proto, 0, 0, 10, 0, 0, 9, 192, 0, 2, 1, 1, 1, 1, 1][..], &ports, rest].concat();
        let six = [&[0x60, 0, 0, 0, 0, size, proto, 64][..], &[0x20; 16], &[0x26; 16], &ports, rest].concat();
        for (kind, packet) in [([8, 0], four), ([0x86, 0xdd], six)] {
            for tag in [&[][..], &[0x81, 0, 0, 5]] {
                let data = [&[2; 12][..], tag, &kind, &packet].concat();
                let mut first = First::default();
                let frame = Frame { time: 0, link: 1, trailer: 0, length: data.len(), data: &data };
                Decoder::default().frame(&frame, &mut first);
                let mut packet = Packet::default();
                let plain = decode::plain(&frame, &mut packet).map(|()| format!("{packet:?}"));
                assert_eq!((first.0.is_some(), plain), (true, first.0.filter(|_| data.get(14 + tag.len()) != Some(&0x46))));
            }
        }
    }
}

#[test]
fn without_room_for_first_bytes_a_session_says_so() {
    let hello = Packet { proto: 17, source_port: 40_000, target_port: 9999, length: 3, payload: b"abc", ..Packet::default() };
    let told = |held| {
        let mut flows = Flows::new(Limits::default());
        flows.held = held;
        flows.packet(&hello);
        while flows.close() {}
        flows.done().pop().and_then(|session| session.hints)
    };
    assert_eq!(told(0).as_deref(), Some("open"));
    assert_eq!(told(HELLO_TOTAL).as_deref(), Some("open,unheard"));
}

/// Plain frames, and whatever becomes of them: the short way takes none that the decoder takes otherwise.
fn spoilt() -> impl Strategy<Value = Vec<u8>> {
    let head = prop::sample::select(vec![[8, 0], [0x86, 0xdd], [0x81, 0]]);
    let spoils = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (head, any::<bool>(), any::<bool>(), 0..80_usize, spoils).prop_map(|(kind, six, udp, size, spoils)| {
        let tag = [&[0, 5][..], if six { &[0x86, 0xdd] } else { &[8, 0] }].concat();
        let proto = if udp { 17 } else { 6 };
        let ip = if six { [&[0x60, 0, 0, 0, 0, size as u8, proto, 64][..], &[7; 32]].concat() } else { [&[0x45, 0, 0, 20 + size as u8, 0, 1, 0, 0, 64, proto, 0, 0][..], &[9; 8]].concat() };
        let mut frame = [&[2; 12][..], &kind, if kind[0] == 0x81 { &tag } else { &[] }, &ip, &vec![0x50; size]].concat();
        for (at, value) in spoils {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        frame
    })
}

proptest! {
    #[test]
    fn a_plain_frame_is_never_another(data in spoilt(), cut in 0..90_usize, more in 0..9_usize, trailer in 0..2_u8) {
        let data = &data[..data.len() - cut.min(data.len())];
        let frame = Frame { time: 0, link: 1, trailer, length: data.len() + more, data };
        let (mut first, mut packet) = (First::default(), Packet::default());
        Decoder::default().frame(&frame, &mut first);
        if decode::plain(&frame, &mut packet).is_some() {
            prop_assert_eq!(first.0, Some(format!("{packet:?}")));
        }
    }

    #[test]
    fn ranges_count_each_byte_once(parts in prop::collection::vec((0..400_i64, 1..40_i64), 1..60)) {
        let (mut ranges, mut bytes) = (Ranges::default(), BTreeSet::new());
        for (from, size) in parts {
            let before = bytes.len();
            bytes.extend(from..from + size);
            prop_assert_eq!(ranges.add(from, from + size), (bytes.len() - before) as u64);
        }
        prop_assert_eq!(ranges.unique(), bytes.len() as u64);
        prop_assert_eq!(ranges.span(), Some((*bytes.first().unwrap(), bytes.last().unwrap() + 1)));
    }

    #[test]
    fn table_is_a_map(steps in prop::collection::vec((0..64_u64, any::<bool>()), 1..400)) {
        let (mut table, mut map) = (Table::default(), HashMap::new());
        // Few distinct tags, so that entries push each other aside.
        let hash = |key: u64| (key % 7) << 32;
        for (key, insert) in steps {
            let place = key as u32;
            if insert && map.contains_key(&key) {
                // Somewhere else and back.
                table.replace(hash(key), place, place + 1000);
                prop_assert_eq!(table.find(hash(key), |found| found == place + 1000), Some(place + 1000));
                table.replace(hash(key), place + 1000, place);
            }
            if insert && !map.contains_key(&key) {
                table.insert(hash(key), place);
                map.insert(key, place);
            } else if !insert && map.remove(&key).is_some() {
                table.remove(hash(key), place);
            }
            for other in 0..64_u64 {
                prop_assert_eq!(table.find(hash(other), |place| u64::from(place) == other), map.get(&other).copied());
            }
        }
    }

    #[test]
    fn wheel_reminds_in_time(dues in prop::collection::vec(0..4_000_000_000_000_i64, 1..50), steps in prop::collection::vec(0..900_000_000_000_i64, 1..20)) {
        let mut wheel = Wheel::default();
        let mut now = 1_700_000_000_000_000_000;
        wheel.pop(now);
        let mut open: BTreeSet<(i64, u32)> = dues.iter().enumerate().map(|(place, due)| (now + due, place as u32)).collect();
        for (due, place) in &open {
            wheel.push(*due, *place);
        }
        for step in steps {
            now += step;
            let mut told = Vec::new();
            while let Some(entry) = wheel.pop(now) {
                told.push(entry);
            }
            let due: Vec<_> = open.iter().copied().filter(|entry| entry.0 <= now).collect();
            open.retain(|entry| entry.0 > now);
            told.sort_unstable();
            prop_assert_eq!(told, due);
        }
    }
}
