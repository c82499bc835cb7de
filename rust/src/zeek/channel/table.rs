//! Sums by channel. Rows are put one behind another, and equal ones are added up when there are many: what a row costs is one write, and a
//! channel costs no more than its record.

use super::record::{Address, Key, Record, Sums};

/// Records in one piece of memory: of IPv4 4 bytes less than 2 kB, of IPv6 8 less than 4, as allocators have room for powers of two.
pub const CHUNK: usize = 73;
/// Records from which equal ones are looked for.
const LEAST: usize = 4096;

/// A share of all channels.
pub struct Table<A> {
    /// All full but the last.
    chunks: Vec<Vec<Record<A>>>,
    wide: Vec<Sums>,
    next: usize,
}

impl<A> Default for Table<A> {
    fn default() -> Self {
        Self { chunks: Vec::new(), wide: Vec::new(), next: LEAST }
    }
}

/// How records are told apart.
#[derive(Clone, Copy, Default)]
pub struct Apart {
    pub seed: u64,
    pub daily: bool,
    /// Where starts are counted from.
    pub origin: u64,
}

impl<A: Address> Table<A> {
    /// Take rows over; of the vector nothing is left.
    pub fn take(&mut self, rows: &mut Vec<Record<A>>, apart: Apart) {
        if rows.len() == CHUNK {
            let last = self.chunks.len();
            let part = self.chunks.last().is_some_and(|chunk| chunk.len() < CHUNK);
            self.chunks.push(std::mem::take(rows));
            if part {
                self.chunks.swap(last - 1, last);
            }
        } else {
            for row in rows.drain(..) {
                self.push(row);
            }
        }
        if self.len() >= self.next {
            self.fold(apart);
        }
    }

    /// One session or several whose sums fit in no record of their own.
    pub fn add(&mut self, key: &Key<A>, sums: Sums, apart: Apart) {
        let place = self.wide.len();
        self.wide.push(sums);
        self.push(Record::wide(key, place));
        if self.len() >= self.next {
            self.fold(apart);
        }
    }

    fn push(&mut self, row: Record<A>) {
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(row),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(row);
                self.chunks.push(chunk);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    #[inline]
    fn get(&self, place: usize) -> Option<&Record<A>> {
        self.chunks.get(place / CHUNK)?.get(place % CHUNK)
    }

    #[inline]
    fn get_mut(&mut self, place: usize) -> Option<&mut Record<A>> {
        self.chunks.get_mut(place / CHUNK)?.get_mut(place % CHUNK)
    }

    /// A record and its sums.
    pub fn at(&self, place: usize, origin: u64) -> Option<(Key<A>, u32, Sums)> {
        let row = self.get(place)?;
        Some((row.key(), row.day(&self.wide, origin), row.sums(&self.wide, origin)?))
    }

    /// Every record in order: what went out, and a way to ask for all its sums.
    pub fn each(&self, origin: u64, mut each: impl FnMut(u32, i64, &dyn Fn() -> Sums)) {
        for (row, place) in self.chunks.iter().flatten().zip(0..) {
            each(place, row.out(&self.wide), &|| row.sums(&self.wide, origin).unwrap_or_default());
        }
    }

    /// Add up records of one channel.
    pub fn fold(&mut self, apart: Apart) {
        let count = self.len();
        let size = (count * 2).next_power_of_two();
        // 0, or the place of a record that stays plus one.
        let mut index = vec![0_u32; size];
        let old = std::mem::take(&mut self.wide);
        let mut wide = Vec::new();
        let mut kept = 0;
        for place in 0..count {
            let Some(row) = self.get(place).copied() else { break };
            let day = if apart.daily { row.day(&old, apart.origin) } else { 0 };
            #[allow(clippy::cast_possible_truncation)] // cut to the index
            let mut at = (row.hash(apart.seed ^ u64::from(day)) as usize) & (size - 1);
            while let Some(slot) = index.get_mut(at) {
                if *slot == 0 {
                    *slot = u32::try_from(kept + 1).unwrap_or(u32::MAX);
                    let row = row.moved(&old, &mut wide);
                    if let Some(to) = self.get_mut(kept) {
                        *to = row;
                    }
                    kept += 1;
                    break;
                }
                let known = *slot as usize - 1;
                if let Some(one) = self.get_mut(known)
                    && one.same(&row)
                    && (!apart.daily || one.day(&wide, apart.origin) == day)
                {
                    if let Some(more) = row.sums(&old, apart.origin) {
                        one.add(&more, &mut wide, apart.origin);
                    }
                    break;
                }
                at = (at + 1) & (size - 1);
            }
        }
        self.chunks.truncate(kept.div_ceil(CHUNK));
        if let Some(last) = self.chunks.last_mut() {
            last.truncate((kept + CHUNK - 1) % CHUNK + 1);
        }
        wide.shrink_to_fit();
        self.wide = wide;
        // Where few were equal, few will be.
        self.next = if kept * 10 >= count * 9 { kept * 3 } else { kept * 3 / 2 }.max(LEAST);
    }
}
