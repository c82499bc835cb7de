//! What a join with telemetry asks of conn rows that it leaves out: whose they are, how much they sent, and when all of them were.

use std::collections::HashMap;

use super::hot::{Addresses, Quick};
use super::record::Halves;

/// Which sessions telemetry can speak of.
#[derive(Default)]
pub struct Reach {
    /// Addresses of hosts with telemetry.
    pub mine: Addresses,
    /// Outside addresses whose sessions may be tied whoever the inside host is.
    pub theirs: Addresses,
}

/// One inside host.
#[derive(Debug, Default, Clone, Copy)]
struct Host {
    /// What all sessions sent that may count as outbound; what those sent that do, and that nothing can be tied to.
    most: i64,
    least: i64,
    bits: u8,
}

const OUTWARD: u8 = 1;
/// A session counts as outbound, and nothing can be tied to it.
const BLIND: u8 = 2;
/// Other logs must say whether a session counts.
const MAYBE: u8 = 4;
/// So many hosts that sent most are told with all their sessions; `join/gaps.py` names five.
const FIRST: usize = 8;
/// The hosts of so many rows that are the first, or the last, are told.
const OUTER: usize = 16;

/// One conn row that an analysis takes.
pub struct Row {
    pub inside: Halves,
    pub inward: bool,
    /// It counts as outbound, whatever other logs say; something may be tied to it.
    pub counts: bool,
    pub tied: bool,
    pub out: i64,
    pub back: i64,
    pub start: f64,
    pub end: f64,
}

/// The rows with the least values, and whose they are.
#[derive(Default)]
struct Outer {
    held: Vec<(f64, Halves)>,
    /// All rows below it are held; `None`: all are.
    line: Option<f64>,
}

impl Outer {
    #[inline]
    fn add(&mut self, value: f64, host: Halves) {
        if self.line.is_some_and(|line| value >= line) {
            return;
        }
        self.held.push((value, host));
        if self.held.len() >= 8 * OUTER {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.held.len() > OUTER {
            let (_, (line, _), _) = self.held.select_nth_unstable_by(OUTER, |(one, _), (other, _)| one.total_cmp(other));
            self.line = Some(*line);
            self.held.truncate(OUTER);
        }
    }

    fn join(&mut self, other: Self) {
        self.held.extend(other.held);
        self.line = [self.line, other.line].into_iter().flatten().min_by(f64::total_cmp);
        let line = self.line.unwrap_or(f64::INFINITY);
        self.held.retain(|(value, _)| *value < line);
        self.cut();
    }
}

/// What the rows told.
#[derive(Default)]
pub struct Reached {
    hosts: HashMap<Halves, Host, Quick>,
    /// By start, by start from the last on, by end from the last on.
    outer: [Outer; 3],
}

/// What is to be kept of what the rows told.
pub struct Wanted {
    /// Addresses of `mine` of which a session is sure to be taken.
    pub here: Addresses,
    /// Inside hosts all of whose sessions are wanted.
    pub whole: Addresses,
    /// Of all others those that sent outward.
    pub away: Addresses,
    /// No host of `away` sent so much, and `FIRST` others did.
    pub line: i64,
    /// Before, after and again after these moments nothing starts, starts, ends but sessions of `whole`; `None`: there are none.
    pub outer: [Option<f64>; 3],
}

impl Reached {
    #[inline]
    pub fn met(&mut self, row: &Row) {
        let [first, last, end] = &mut self.outer;
        first.add(row.start, row.inside);
        last.add(-row.start, row.inside);
        end.add(-row.end, row.inside);
        if row.inward && row.out <= row.back {
            return; // more came in than went out: no pull, whatever other logs say
        }
        let host = self.hosts.entry(row.inside).or_default();
        host.most = host.most.saturating_add(row.out);
        host.bits |= if row.inward { 0 } else { OUTWARD };
        if row.counts && !row.tied {
            host.least = host.least.saturating_add(row.out);
            host.bits |= BLIND;
        } else if !row.counts {
            host.bits |= MAYBE;
        }
    }

    pub fn join(&mut self, other: Self) {
        for (address, host) in other.hosts {
            let sums = self.hosts.entry(address).or_default();
            *sums = Host { most: sums.most.saturating_add(host.most), least: sums.least.saturating_add(host.least), bits: sums.bits | host.bits };
        }
        self.outer.iter_mut().zip(other.outer).for_each(|(to, from)| to.join(from));
    }

    pub fn wanted(&self, reach: &Reach) -> Wanted {
        let mut sent: Vec<i64> = self.hosts.iter().filter(|(address, host)| host.bits & BLIND != 0 && !reach.mine.contains(*address)).map(|(_, host)| host.least).collect();
        sent.sort_unstable_by(|one, other| other.cmp(one));
        let line = sent.get(FIRST - 1).copied().unwrap_or(0);
        let [mut here, mut whole, mut away] = [(); 3].map(|()| Addresses::default());
        whole.extend(self.outer.iter().flat_map(|outer| outer.held.iter().map(|(_, host)| *host)));
        for (address, host) in &self.hosts {
            let asked = reach.mine.contains(address);
            if asked && host.bits & OUTWARD != 0 {
                here.insert(*address);
            }
            if asked || host.most >= line || (host.bits & MAYBE != 0 && host.bits & BLIND == 0) {
                whole.insert(*address);
            }
        }
        away.extend(self.hosts.iter().filter(|(address, host)| host.bits & BLIND != 0 && !whole.contains(*address)).map(|(address, _)| *address));
        let [first, last, end] = [0, 1, 2].map(|at| self.outer.get(at).and_then(|outer| outer.line));
        Wanted { here, whole, away, line, outer: [first, last.map(|value| -value), end.map(|value| -value)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(host: u64, out: i64, start: f64) -> Row {
        Row { inside: [host, 0], inward: false, counts: true, tied: false, out, back: 0, start, end: start + 1.0 }
    }

    #[test]
    fn those_that_sent_most_are_wanted_whole_and_the_others_are_counted() {
        let mut told = Reached::default();
        for host in 1..=100_u64 {
            let mut part = Reached::default();
            part.met(&row(host, i64::try_from(host).unwrap_or(0), 5.0));
            part.met(&row(host, 0, 5.0));
            told.join(part);
        }
        told.outer = Default::default();
        let wanted = told.wanted(&Reach { mine: [[100, 0], [1, 0]].into_iter().collect(), ..Reach::default() });
        assert_eq!(wanted.line, 92);
        assert_eq!((wanted.whole.len(), wanted.away.len(), wanted.here.len()), (10, 90, 2));
        assert!(wanted.away.contains(&[91, 0]) && wanted.whole.contains(&[92, 0]) && wanted.whole.contains(&[1, 0]));
    }

    #[test]
    fn a_host_of_which_other_logs_must_say_is_wanted_whole() {
        let mut told = Reached::default();
        told.met(&Row { counts: false, ..row(1, 0, 5.0) });
        told.met(&Row { tied: true, ..row(2, 0, 5.0) });
        told.met(&Row { inward: true, back: 3, ..row(3, 3, 5.0) });
        told.met(&row(4, 0, 5.0));
        for host in 10..20 {
            told.met(&row(host, 1000, 5.0));
        }
        told.outer = Default::default();
        let wanted = told.wanted(&Reach::default());
        let mut whole: Vec<u64> = wanted.whole.iter().map(|[low, _]| *low).collect();
        whole.sort_unstable();
        assert_eq!(whole, [1].into_iter().chain(10..20).collect::<Vec<_>>());
        assert_eq!(wanted.away.len(), 1);
    }

    #[test]
    fn the_outermost_rows_are_held_however_they_come() {
        for turn in [1_u64, 7, 389] {
            let mut parts = [Reached::default(), Reached::default()];
            for index in 0..2000 {
                let at = index * turn % 2000;
                #[allow(clippy::cast_precision_loss)]
                parts.get_mut(usize::from(at % 3 == 0)).into_iter().for_each(|part| part.met(&row(at, 0, at as f64)));
            }
            let [mut told, other] = parts;
            told.join(other);
            let wanted = told.wanted(&Reach::default());
            assert_eq!(wanted.outer, [Some(16.0), Some(1983.0), Some(1984.0)]);
            assert!((0..16).chain(1984..2000).all(|host| wanted.whole.contains(&[host, 0])));
        }
    }
}
