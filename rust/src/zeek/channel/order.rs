//! Channels in the order of what was sent, without a second copy of them: the largest few thousand at a time are looked for.

use std::cmp::Ordering;
use std::vec::IntoIter;

use super::{Channel, Channels, Settled};

/// Sums over all channels.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    pub channels: u64,
    pub sessions: u64,
    pub out: i64,
    pub back: i64,
}

/// So many are put in order at once.
const AT_ONCE: usize = 1 << 17;

/// Where a channel stands, and what decides its place in the order.
#[derive(Debug, Clone, Copy)]
struct Ranked {
    out: i64,
    first: f64,
    table: u32,
    place: u32,
}

/// Largest first; those of one size by their first session, then in the order of their words.
#[derive(Default)]
pub struct Order {
    channels: Settled,
    ready: IntoIter<Ranked>,
    /// The last that was put in order.
    after: Option<Ranked>,
    /// So many are still wanted.
    left: usize,
    pub totals: Totals,
}

impl Order {
    /// The `top` largest channels; all where there is no number. Nothing is left of the sums.
    pub fn new(channels: &Channels, top: Option<usize>) -> Self {
        let channels = channels.settled();
        let mut totals = Totals::default();
        channels.each(|_, _, _, sums| {
            let sums = sums();
            totals.channels += 1;
            totals.sessions += u64::from(sums.sessions);
            totals.out = totals.out.saturating_add(sums.out);
            totals.back = totals.back.saturating_add(sums.back);
        });
        Self { channels, left: top.unwrap_or(usize::MAX), totals, ..Self::default() }
    }

    /// The next channels, none at the end.
    pub fn next(&mut self, count: usize) -> Vec<Channel> {
        let mut found = Vec::new();
        while found.len() < count {
            if let Some(next) = self.ready.next() {
                found.extend(self.channels.get(next.table, next.place));
                continue;
            }
            // Its memory is to be free before as much is asked for.
            self.ready = IntoIter::default();
            let ranked = self.best(AT_ONCE.min(self.left));
            let Some(last) = ranked.last() else { break };
            self.left -= ranked.len();
            self.after = Some(*last);
            self.ready = ranked.into_iter();
        }
        found
    }

    /// The first `count` of those that come after the last ones, in order.
    fn best(&self, count: usize) -> Vec<Ranked> {
        let mut found: Vec<Ranked> = Vec::with_capacity(2 * count.min(self.totals.channels.try_into().unwrap_or(count)));
        let mut worst: Option<Ranked> = None;
        if count == 0 {
            return found;
        }
        self.channels.each(|table, place, out, sums| {
            if worst.is_some_and(|worst| out < worst.out) || self.after.is_some_and(|after| out > after.out) {
                return;
            }
            let one = Ranked { out, first: sums().first, table, place };
            let late = self.after.is_none_or(|after| self.compared(&one, &after) == Ordering::Greater);
            if late && worst.is_none_or(|worst| self.compared(&one, &worst) == Ordering::Less) {
                found.push(one);
                if found.len() == 2 * count {
                    worst = Some(*found.select_nth_unstable_by(count - 1, |a, b| self.compared(a, b)).1);
                    found.truncate(count);
                }
            }
        });
        found.sort_unstable_by(|a, b| self.compared(a, b));
        found.truncate(count);
        found
    }

    fn compared(&self, a: &Ranked, b: &Ranked) -> Ordering {
        let words = |one: &Ranked| {
            self.channels.get(one.table, one.place).map(|channel| {
                let Channel { inside, remote, port, proto, pull, day, .. } = channel;
                (inside.to_string(), remote.to_string(), port, proto, pull, day)
            })
        };
        b.out.cmp(&a.out).then_with(|| a.first.total_cmp(&b.first)).then_with(|| words(a).cmp(&words(b)))
    }
}
