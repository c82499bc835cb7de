//! Parts of the session table by themselves.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use super::ranges::Ranges;
use super::table::Table;
use super::wheel::Wheel;

proptest! {
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
