//! Channels spread over many tables by the hashes of their keys, and the rows that wait for them.

use std::sync::Mutex;

use super::record::{Address, Key, Plain, Record, Sums};
use super::table::{Apart, CHUNK, Table};

pub const TABLES: usize = 128;

/// Channels spread by the hashes of their keys.
pub struct Tables<A>(Vec<Mutex<Table<A>>>);

impl<A> Default for Tables<A> {
    fn default() -> Self {
        Self((0..TABLES).map(|_| Mutex::default()).collect())
    }
}

impl<A: Address> Tables<A> {
    pub fn settled(&self, apart: Apart) -> Vec<Table<A>> {
        let one = |table: &Mutex<Table<A>>| {
            let mut table = table.lock().map(|mut table| std::mem::take(&mut *table)).unwrap_or_default();
            table.fold(apart);
            table
        };
        self.0.iter().map(one).collect()
    }
}

/// Rows that wait, by table.
pub struct Waiting<A>(Vec<Vec<Record<A>>>);

impl<A> Default for Waiting<A> {
    fn default() -> Self {
        Self((0..TABLES).map(|_| Vec::new()).collect())
    }
}

impl<A: Address> Waiting<A> {
    /// The room without its rows.
    pub fn emptied(&mut self) -> Option<Self> {
        self.0.iter_mut().for_each(Vec::clear);
        Some(Self(std::mem::take(&mut self.0)))
    }

    #[inline]
    pub fn add(&mut self, row: Record<A>, tables: &Tables<A>, apart: Apart) {
        let place = (row.hash(apart.seed) >> 57) as usize;
        let Some(rows) = self.0.get_mut(place) else { return };
        if rows.capacity() == 0 {
            rows.reserve_exact(CHUNK);
        }
        rows.push(row);
        if rows.len() == CHUNK
            && let Some(Ok(mut table)) = tables.0.get(place).map(Mutex::lock)
        {
            table.take(rows, apart);
        }
    }

    /// One session; `sums` where its numbers are too large or too fine for a record.
    pub fn put(&mut self, key: &Key<A>, plain: Option<&Plain>, sums: Sums, tables: &Tables<A>, apart: Apart) {
        if let Some(row) = plain.and_then(|plain| Record::plain(key, plain, apart.origin)) {
            return self.add(row, tables, apart);
        }
        let place = (Record::wide(key, 0).hash(apart.seed) >> 57) as usize;
        if let Some(Ok(mut table)) = tables.0.get(place).map(Mutex::lock) {
            table.add(key, sums, apart);
        }
    }

    pub fn finish(&mut self, tables: &Tables<A>, apart: Apart) {
        for (rows, table) in self.0.iter_mut().zip(&tables.0) {
            if let (false, Ok(mut table)) = (rows.is_empty(), table.lock()) {
                table.take(rows, apart);
            }
        }
    }
}
