//! Which conn rows an analysis must see one by one: learned in a first reading that keeps no row, so that the second takes only those.
//!
//! What a pair of hosts moved is added up in slots by the pair's hash. Pairs that share a slot only make it look larger, so a pair that
//! moved enough is always found; its last row is met when the slot has reached the limit. Nothing here says that a pair is worth a
//! finding, only that all others are not (`netexfil/read/sift.py` says why).

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use super::hot::{Addresses, Families, Quick};
use super::reach::{self, Reach, Reached, Wanted};
use super::record::{Address, Halves, fold};
use super::service::Service;
use super::truth::{self, Ends, Moved, Quality, Sent};
use crate::side::Side;

/// Bytes from which a pair counts; above `CAP` a lower one is taken, which only finds more.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Whatever the pair spoke.
    pub small: i64,
    /// Where it spoke something odd or in clear.
    pub least: i64,
    /// What a host sent to all addresses of a family.
    pub family: i64,
    /// A silent upload of so many bytes counts as outbound.
    pub large: i64,
}

const CAP: i64 = 1 << 24;
/// The bit of a slot in which something odd or in clear was met; the others are the sum.
const LOOSE: u32 = 1 << 31;
/// An upload in clear of so many bytes may belong to a session beside it (`netexfil/channels.py`).
const LEG: i64 = 65_536;
/// More addresses, or hosts and days, than this are too many to be worth it.
const MOST: usize = 1 << 20;
const MOST_DAYS: usize = 1 << 21;

/// What was found.
#[derive(Default)]
pub struct Found {
    /// Outside addresses of pairs that moved enough.
    pub remotes: Addresses,
    /// Inside hosts that handed out enough to someone who asked.
    pub servers: Addresses,
    pub families: HashSet<u32, Quick>,
    /// Outside addresses to which something else than HTTPS and QUIC was spoken.
    pub spoken: Addresses,
    /// (inside host, day since 1970) -> `SURE`: it sent something outward; `MAYBE`: other logs must say.
    pub days: HashMap<(Halves, i32), u8, Quick>,
    /// File -> TCP sessions, and those whose originator no sensor saw.
    pub counts: HashMap<u32, (u64, u64)>,
    /// What a join asks for, where there is one.
    pub reached: Reached,
    /// A row was refused.
    pub refused: bool,
    /// There is too much to be told apart, or rows were read with the wrong header.
    pub lost: bool,
}

pub const SURE: u8 = 1;
pub const MAYBE: u8 = 2;

impl Found {
    fn join(&mut self, other: Self) {
        self.remotes.extend(other.remotes);
        self.servers.extend(other.servers);
        self.families.extend(other.families);
        self.spoken.extend(other.spoken);
        for (key, bits) in other.days {
            *self.days.entry(key).or_default() |= bits;
        }
        for (file, (tcp, lost)) in other.counts {
            let sums = self.counts.entry(file).or_default();
            *sums = (sums.0 + tcp, sums.1 + lost);
        }
        self.reached.join(other.reached);
        self.refused |= other.refused;
        self.lost |= other.lost || [&self.remotes, &self.servers, &self.spoken].iter().any(|set| set.len() > MOST) || self.days.len() > MOST_DAYS;
    }
}

pub struct Sieve {
    limits: Limits,
    pairs: Vec<AtomicU32>,
    wide: Vec<AtomicU32>,
    shift: u32,
    families: Families,
    /// Hashes of the uids of which other logs say something that decides.
    special: HashSet<u64, Quick>,
    /// What telemetry can speak of; pairs that it may be tied to count as much as those that spoke something odd.
    reach: Option<Reach>,
    found: Mutex<Found>,
}

impl Sieve {
    /// `bits`: the binary logarithm of the number of slots.
    pub fn new(limits: Limits, bits: u32, families: Families, special: &[String], reach: Option<Reach>) -> Self {
        let bits = bits.clamp(4, 26);
        let slots = |wanted: bool| (0..if wanted { 1_usize << bits } else { 0 }).map(|_| AtomicU32::new(0)).collect();
        let capped = |limit: i64| limit.clamp(1, CAP);
        let limits = Limits { small: capped(limits.small), least: capped(limits.least), family: capped(limits.family), large: limits.large };
        let special = special.iter().map(|uid| word(uid.as_bytes())).collect();
        Self { limits, pairs: slots(true), wide: slots(!families.is_empty()), shift: 64 - bits, families, special, reach, found: Mutex::default() }
    }

    pub fn found(&self) -> Found {
        self.found.lock().map(|mut found| std::mem::take(&mut *found)).unwrap_or(Found { lost: true, ..Found::default() })
    }

    /// What a join wants of what was found; `None`: there is none.
    pub fn wanted(&self, found: &Found) -> Option<Wanted> {
        self.reach.as_ref().map(|reach| found.reached.wanted(reach))
    }

    pub fn lose(&self) {
        if let Ok(mut found) = self.found.lock() {
            found.lost = true;
        }
    }

    pub fn large(&self) -> i64 {
        self.limits.large
    }

    /// Whether uids must be looked at.
    pub fn names_sessions(&self) -> bool {
        !self.special.is_empty()
    }

    /// Add to a slot; the sum, and whether something loose was met there.
    #[inline]
    fn grow(&self, slots: &[AtomicU32], hash: u64, amount: u32, loose: bool) -> (i64, bool) {
        let Some(slot) = slots.get((hash >> self.shift) as usize) else { return (i64::MAX, true) };
        let mut now = slot.load(Ordering::Relaxed);
        if i64::from(now & !LOOSE) < CAP {
            now = slot.fetch_add(amount, Ordering::Relaxed) + amount;
        }
        if loose && now & LOOSE == 0 {
            now = slot.fetch_or(LOOSE, Ordering::Relaxed) | LOOSE;
        }
        (i64::from(now & !LOOSE), now & LOOSE != 0)
    }
}

fn word(uid: &[u8]) -> u64 {
    let (words, rest) = uid.as_chunks::<8>();
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    words.iter().chain([&last]).fold(uid.len() as u64, |hash, word| fold(hash ^ u64::from_le_bytes(*word), 0xe703_7ed1_a0b4_28db))
}

/// An IPv4 address in its IPv6 form.
#[inline]
pub fn mapped(address: u32) -> Halves {
    [0xffff_0000_0000 | u64::from(address), 0]
}

/// One conn row.
pub struct Met<'a> {
    pub orig: Halves,
    pub resp: Halves,
    pub uid: Option<&'a [u8]>,
    /// Seconds since 1970.
    pub start: f64,
    pub duration: f64,
    pub ends: &'a Ends,
    pub service: Service,
    pub sides: [Sent; 2],
}

/// What one part of a file adds.
#[derive(Default)]
pub struct Sifting {
    found: Found,
    tcp: u64,
    lost: u64,
}

impl Sifting {
    pub fn refuse(&mut self) {
        self.found.refused = true;
    }

    #[inline]
    pub fn met(&mut self, sieve: &Sieve, row: &Met<'_>) {
        let ends = row.ends;
        let [orig, _] = &row.sides;
        self.tcp += u64::from(ends.tcp);
        self.lost += u64::from(ends.tcp && orig.quality == Quality::Unknown);
        if ends.orig == Side::Public && ends.resp == Side::Public {
            return; // all of these are kept
        }
        let inward = ends.orig == Side::Public;
        let (inside, remote) = if inward { (row.resp, row.orig) } else { (row.orig, row.resp) };
        let moved = Moved::new(ends, row.sides);
        let limits = &sieve.limits;
        let named = truth::way(ends, row.service, &moved, i64::MAX).is_some();
        let counts = named || truth::way(ends, row.service, &moved, limits.large).is_some();
        let protocol = truth::protocol(ends, row.service, &moved);
        let special = !sieve.special.is_empty() && row.uid.is_some_and(|uid| sieve.special.contains(&word(uid)));
        let tied = sieve.reach.as_ref().map(|reach| (reach.mine.contains(&inside), reach.theirs.contains(&remote)));
        if let Some((_, tied)) = tied {
            let (out, back) = (moved.out.low, moved.back.unwrap_or(0));
            self.found.reached.met(&reach::Row { inside, inward, counts: named, tied, out, back, start: row.start, end: row.start + row.duration });
        }
        let linked = matches!(tied, Some((true, _) | (_, true)));
        let loose = special || linked || odd(ends, row.service) || (counts && matches!(truth::PROTOCOLS.get(usize::from(protocol)), Some(&("DNS" | "FTP" | "HTTP" | "Unknown"))));
        let most = if moved.out.quality == Quality::Exact { moved.out.low } else { moved.out.low.max(moved.out.high) };
        let amount = u32::try_from(most.clamp(0, CAP)).unwrap_or(0);
        let pair = fold(inside.mixed() ^ 0x9e37_79b9_7f4a_7c15, remote.mixed() ^ 0xe703_7ed1_a0b4_28db);
        let (sum, odd) = sieve.grow(&sieve.pairs, fold(pair, 0xa076_1d64_78bd_642f), amount, loose);
        if sum >= limits.small || (odd && sum >= limits.least) || special || leg(row, &moved, counts) {
            self.found.remotes.insert(remote);
            if inward {
                self.found.servers.insert(inside);
            }
        }
        for family in sieve.families.of(&remote) {
            let hash = fold(fold(inside.mixed() ^ 0x9e37_79b9_7f4a_7c15, u64::from(*family) ^ 0xe703_7ed1_a0b4_28db), 0xa076_1d64_78bd_642f);
            if sieve.grow(&sieve.wide, hash, amount, false).0 >= limits.family {
                self.found.families.insert(*family);
            }
        }
        if !inward {
            let sure = named && ends.orig == Side::Inside;
            #[allow(clippy::cast_possible_truncation)] // a day, or the nearest that there is
            let day = (row.start / 86_400.0).floor() as i32;
            *self.found.days.entry((inside, day)).or_default() |= if sure { SURE } else { MAYBE };
            let other = counts && !matches!(truth::PROTOCOLS.get(usize::from(protocol)), Some(&("HTTPS" | "QUIC")));
            if other || matches!(ends.port, 21 | 25 | 143 | 465 | 587 | 989 | 990 | 993) {
                self.found.spoken.insert(remote);
            }
        }
    }

    pub fn finish(&mut self, sieve: &Sieve, file: u32) {
        let (tcp, lost) = (std::mem::take(&mut self.tcp), std::mem::take(&mut self.lost));
        self.found.counts.insert(file, (tcp, lost));
        if let Ok(mut found) = sieve.found.lock() {
            found.join(std::mem::take(&mut self.found));
        }
    }
}

/// Content that does not belong on its port.
#[inline]
fn odd(ends: &Ends, service: Service) -> bool {
    (service.ssh && ends.port != 22) || ((service.tls || service.quic) && matches!(ends.port, 22 | 80 | 53 | 21) && !(ends.port == 21 && service.ftp))
}

/// A one-sided upload in clear, or of an unknown kind, that may belong to a session beside it.
#[inline]
fn leg(row: &Met<'_>, moved: &Moved, counts: bool) -> bool {
    let service = row.service;
    let (out, back) = (moved.out.low, moved.back.unwrap_or(0));
    !counts && row.ends.tcp && out >= LEG && back.saturating_mul(3) <= out && (service.none || service.http || service.ftp || service.data)
}
