//! Channels in the order of what was sent, without a second copy of them.

use std::cmp::Reverse;

use super::{Channel, Channels};

/// Sums over all channels.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    pub channels: u64,
    pub sessions: u64,
    pub out: i64,
    pub back: i64,
}

/// Which channels stand in which table and place, largest first; those of one size by their first session.
#[derive(Default)]
pub struct Order {
    places: Vec<(i64, f64, u32)>,
    tables: Vec<u32>,
    at: usize,
    pub totals: Totals,
}

impl Order {
    /// The `top` largest channels; all where there is no number.
    pub fn new(channels: &Channels, top: Option<usize>) -> Self {
        let mut made = Self::default();
        let mut sizes = Vec::new();
        channels.each(&mut |_, _, sums| {
            made.totals.channels += 1;
            made.totals.sessions += u64::from(sums.sessions);
            made.totals.out = made.totals.out.saturating_add(sums.out);
            made.totals.back = made.totals.back.saturating_add(sums.back);
            if top.is_some() {
                sizes.push(Reverse(sums.out));
            }
        });
        let mut least = i64::MIN;
        if let Some(top) = top.filter(|top| *top < sizes.len()) {
            least = if top == 0 { i64::MAX } else { sizes.select_nth_unstable(top - 1).1.0 };
        }
        drop(sizes);
        channels.each(&mut |table, place, sums| {
            if sums.out >= least {
                made.places.push((sums.out, sums.first, place));
                made.tables.push(table);
            }
        });
        let mut order: Vec<u32> = (0..u32::try_from(made.places.len()).unwrap_or(u32::MAX)).collect();
        let key = |at: &u32| made.places.get(*at as usize).copied().unwrap_or_default();
        order.sort_unstable_by(|a, b| {
            let (a, b) = (key(a), key(b));
            b.0.cmp(&a.0).then(a.1.total_cmp(&b.1))
        });
        made.tables = order.iter().filter_map(|at| made.tables.get(*at as usize).copied()).collect();
        made.places = order.iter().map(key).collect();
        made
    }

    /// The next channels, those of one size and first second together and then in the order of their words.
    pub fn next(&mut self, channels: &Channels, count: usize) -> Vec<Channel> {
        let mut found: Vec<Channel> = Vec::new();
        while let (Some((out, first, place)), Some(table)) = (self.places.get(self.at), self.tables.get(self.at)) {
            let equal = found.last().is_some_and(|last| last.sums.out == *out && last.sums.first.to_bits() == first.to_bits());
            if found.len() >= count && !equal {
                break;
            }
            found.extend(channels.get(*table, *place));
            self.at += 1;
        }
        for run in found.chunk_by_mut(|a, b| a.sums.out == b.sums.out && a.sums.first.to_bits() == b.sums.first.to_bits()) {
            if run.len() > 1 {
                run.sort_by_cached_key(|one| {
                    (one.inside.to_string(), one.remote.to_string(), one.key.port, one.key.proto, one.key.pull, one.key.day)
                });
            }
        }
        found
    }
}
