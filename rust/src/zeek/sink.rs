//! Where rows go: columns that become batches, and the account of what became of every line.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;

use super::channel::Local;
use super::columns::Columns;
use super::plan::Plan;

/// Rows in a batch.
pub const ROWS: usize = 16_384;
/// Bytes of lines after which all batches are closed: rows of many megabytes do not pile up.
const HEAVY: usize = 32 << 20;

/// What became of a line.
pub enum Row {
    Taken,
    Dropped,
    Other,
    Refused(String),
}

/// What became of the lines of a file, or of a part of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub rows: u64,
    pub dropped: u64,
    pub other: u64,
    pub refused: u64,
    pub lines: u64,
    /// Offset after the last complete line.
    pub end: u64,
    /// (kind, reason) -> first line, how often. Lines count from 1 within the part.
    pub notes: BTreeMap<(&'static str, String), (Option<u64>, u64)>,
    /// Logs that were met and not wanted (the first few).
    pub passed: BTreeMap<String, u64>,
}

/// Kinds of reasons kept apart; further ones are counted under the last.
const REASONS: usize = 100;

impl Tally {
    pub fn note(&mut self, kind: &'static str, reason: String, place: Option<u64>) {
        let full = self.notes.len() >= REASONS;
        let key = if full && !self.notes.contains_key(&(kind, reason.clone())) { (kind, "and further reasons".to_owned()) } else { (kind, reason) };
        self.notes.entry(key).or_insert((place, 0)).1 += 1;
    }

    pub fn refuse(&mut self, reason: String, whole: bool) {
        self.refused += 1;
        if whole {
            self.note("refused", reason, Some(self.lines));
        } else {
            self.note("unfinished", "the last line is not complete".to_owned(), Some(self.lines));
        }
    }

    pub fn pass(&mut self, name: &str) {
        self.other += 1;
        if self.passed.len() < 64 || self.passed.contains_key(name) {
            *self.passed.entry(name.to_owned()).or_insert(0) += 1;
        }
    }

    /// Add what a later part of the same file says.
    pub fn add(&mut self, later: Tally) {
        let base = self.lines;
        self.rows += later.rows;
        self.dropped += later.dropped;
        self.other += later.other;
        self.refused += later.refused;
        self.lines += later.lines;
        self.end = self.end.max(later.end);
        for (key, (place, count)) in later.notes {
            self.notes.entry(key).or_insert((place.map(|line| line + base), 0)).1 += count;
        }
        for (name, count) in later.passed {
            *self.passed.entry(name).or_insert(0) += count;
        }
    }
}

/// The columns of every log of one part of a file, and what takes their batches.
pub struct Sink<'a> {
    pub columns: Vec<Columns>,
    weight: usize,
    /// Takes conn rows instead of the columns.
    pub channels: Option<Local>,
    send: &'a mut dyn FnMut(usize, RecordBatch) -> bool,
    /// False once nobody takes batches any more.
    pub open: bool,
}

impl<'a> Sink<'a> {
    pub fn new(plan: &Plan, file: &str, number: usize, send: &'a mut dyn FnMut(usize, RecordBatch) -> bool) -> Self {
        let channels = plan.channels.as_ref().map(|shared| Local::new(shared, u32::try_from(number).unwrap_or(u32::MAX)));
        Self { columns: plan.logs.iter().map(|log| Columns::new(log, file, plan.networks.as_ref())).collect(), weight: 0, channels, send, open: true }
    }

    /// A row is refused.
    pub fn refuse(&mut self) {
        if let Some(channels) = &mut self.channels {
            channels.refuse();
        }
    }

    /// A row of `weight` bytes is complete.
    pub fn done(&mut self, place: usize, logname: &str, weight: usize) {
        let Some(columns) = self.columns.get_mut(place) else {
            return;
        };
        columns.done(logname);
        self.weight += weight;
        if columns.rows >= ROWS {
            self.flush(place);
        }
        if self.weight >= HEAVY {
            self.finish();
        }
    }

    fn flush(&mut self, place: usize) {
        let Some(columns) = self.columns.get_mut(place).filter(|columns| columns.rows > 0) else {
            return;
        };
        if let Ok(batch) = columns.take() {
            self.open &= (self.send)(place, batch);
        }
    }

    pub fn finish(&mut self) {
        self.weight = 0;
        if let Some(channels) = &mut self.channels {
            channels.finish();
        }
        for place in 0..self.columns.len() {
            self.flush(place);
        }
    }
}
