//! Whether sessions stand in the logs twice: two sensors saw them, or a log reports them while they are open and again at their end.
//!
//! Sums cannot take a session back, so this is only noticed, on a sample by tuple: all sessions of a small log, a share of a large one's.

use super::record::{Address, fold};

/// Sessions in a sample, at most.
const MOST: usize = 1 << 16;
/// As `netexfil/read/merging.py` has it: rows that begin within so many seconds may be one session; within the shorter, they are.
const APART: f64 = 1.0;
const CLOSE: f64 = 0.05;

#[derive(Debug, Clone, Copy)]
pub struct Seen {
    tuple: u64,
    uid: u64,
    ts: f64,
    end: f64,
    file: u32,
    known: bool,
}

/// Addresses in IPv6 form, or both IPv4.
pub type Tuple<A> = (A, u16, A, u16, u8);

fn scrambled(word: u64) -> u64 {
    fold(word, 0xa076_1d64_78bd_642f)
}

/// A tuple's hash; rows that share it count as of one tuple.
#[inline]
pub fn hash<A: Address>((orig, orig_p, resp, resp_p, proto): Tuple<A>) -> u64 {
    let ends = fold(orig.mixed() ^ 0x9e37_79b9_7f4a_7c15, resp.mixed() ^ 0xe703_7ed1_a0b4_28db);
    scrambled(ends ^ (u64::from(orig_p) << 32 | u64::from(resp_p) << 8 | u64::from(proto)))
}

impl Seen {
    /// `known`: TCP or UDP.
    pub fn new(tuple: u64, file: u32, uid: Option<&[u8]>, (ts, end): (f64, f64), known: bool) -> Self {
        // A session without a uid is named by its tuple and start.
        let uid = uid.map_or_else(
            || ts.to_bits(),
            |uid| {
                let (words, rest) = uid.as_chunks::<8>();
                let mut last = [0; 8];
                last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                words.iter().chain([&last]).fold(uid.len() as u64, |hash, word| scrambled(hash ^ u64::from_le_bytes(*word)))
            },
        );
        Self { tuple, uid, ts, end, file, known }
    }

    /// Two rows of one tuple that are one session.
    fn same(&self, other: &Self) -> bool {
        if self.uid == other.uid {
            return true;
        }
        let apart = (self.ts - other.ts).abs();
        let overlap = self.ts <= other.end && other.ts <= self.end;
        self.known && self.file != other.file && apart <= APART && (apart <= CLOSE || overlap)
    }
}

#[derive(Default)]
pub struct Sample {
    rows: Vec<Seen>,
    /// Only tuples without these bits in their hash are kept.
    mask: u64,
}

impl Sample {
    /// An empty sample that wants what this one does.
    pub fn alike(&self) -> Self {
        Self { rows: Vec::new(), mask: self.mask }
    }

    #[inline]
    pub fn wants(&self, tuple: u64) -> bool {
        tuple & self.mask == 0
    }

    /// Add a row that is wanted; where there is no room for it, from now on only half as many are wanted.
    #[inline]
    pub fn add(&mut self, row: Seen) {
        while self.rows.len() == MOST {
            if self.mask == u64::MAX {
                return;
            }
            self.narrow(self.mask << 1 | 1);
            if !self.wants(row.tuple) {
                return;
            }
        }
        self.rows.push(row);
    }

    fn narrow(&mut self, mask: u64) {
        self.mask = mask;
        self.rows.retain(|row| row.tuple & mask == 0);
    }

    pub fn join(&mut self, other: Self) {
        self.narrow(self.mask | other.mask);
        for row in other.rows {
            if self.wants(row.tuple) {
                self.add(row);
            }
        }
    }

    /// Whether two rows of the sample are one session.
    pub fn twice(&mut self) -> bool {
        let mut tuples: Vec<u64> = self.rows.iter().map(|row| row.tuple).collect();
        tuples.sort_unstable();
        let mut again: Vec<u64> = tuples.windows(2).filter_map(|pair| pair.first().filter(|one| pair.last() == Some(one)).copied()).collect();
        again.dedup();
        self.rows.retain(|row| again.binary_search(&row.tuple).is_ok());
        self.rows.sort_unstable_by(|a, b| a.tuple.cmp(&b.tuple).then(a.ts.total_cmp(&b.ts)));
        let groups = self.rows.chunk_by(|a, b| a.tuple == b.tuple);
        groups.into_iter().any(|group| group.iter().enumerate().any(|(at, a)| group.iter().skip(at + 1).take(64).any(|b| a.same(b))))
    }
}
