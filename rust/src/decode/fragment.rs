//! Fragments of IP packets, kept until they are whole or too old; bounded in number and bytes.

use std::collections::HashMap;

use super::Address;

/// Source, target, identification, protocol.
pub type Key = (Address, Address, u32, u8);

/// Longest time that a fragment waits for the others (RFC 791 suggests 15 s, RFC 8200 says 60 s).
const AGE: i64 = 60_000_000_000;
/// Packets being put together, and pieces of one of them.
const PACKETS: usize = 512;
const PIECES: usize = 256;
const LONGEST: usize = 65_535;

struct Whole {
    since: i64,
    /// Offset and bytes, in order of offset, without overlap.
    pieces: Vec<(usize, Vec<u8>)>,
    /// Bytes in the pieces: overlapping ones count as often as they were sent.
    held: usize,
    length: Option<usize>,
}

#[derive(Default)]
pub struct Fragments {
    waiting: HashMap<Key, Whole>,
}

impl Fragments {
    /// Add one; the whole payload, once nothing is missing.
    pub fn add(&mut self, key: Key, offset: usize, more: bool, data: &[u8], now: i64) -> Option<Vec<u8>> {
        if offset + data.len() > LONGEST {
            return None;
        }
        if self.waiting.len() >= PACKETS && !self.waiting.contains_key(&key) {
            self.drop_oldest();
        }
        let whole = self.waiting.entry(key).or_insert_with(|| Whole { since: now, pieces: Vec::new(), held: 0, length: None });
        if now.saturating_sub(whole.since) > AGE {
            *whole = Whole { since: now, pieces: Vec::new(), held: 0, length: None };
        }
        if !more {
            whole.length = Some(offset + data.len());
        }
        whole.insert(offset, data);
        if !whole.complete() {
            return None;
        }
        self.waiting.remove(&key).map(Whole::join)
    }

    fn drop_oldest(&mut self) {
        if let Some(key) = self.waiting.iter().min_by_key(|(_, whole)| whole.since).map(|(key, _)| *key) {
            self.waiting.remove(&key);
        }
    }
}

impl Whole {
    /// What came first stays; only what is new of a later piece is taken.
    fn insert(&mut self, offset: usize, data: &[u8]) {
        let known = self.pieces.iter().any(|(at, piece)| *at <= offset && offset + data.len() <= at + piece.len());
        if known && !data.is_empty() || self.pieces.len() >= PIECES || self.held + data.len() > 2 * LONGEST {
            return;
        }
        self.held += data.len();
        let at = self.pieces.partition_point(|(at, _)| *at <= offset);
        self.pieces.insert(at, (offset, data.to_vec()));
    }

    fn complete(&self) -> bool {
        let Some(length) = self.length else { return false };
        let mut reached = 0;
        for (at, piece) in &self.pieces {
            if *at > reached {
                return false;
            }
            reached = reached.max(at + piece.len());
        }
        reached >= length
    }

    fn join(self) -> Vec<u8> {
        let mut all: Vec<u8> = Vec::with_capacity(self.length.unwrap_or(0));
        for (at, piece) in self.pieces {
            let new = all.len().saturating_sub(at);
            all.extend_from_slice(piece.get(new..).unwrap_or_default());
        }
        all.truncate(self.length.unwrap_or(all.len()));
        all
    }
}
