//! Several captures read as one: the files of a ring buffer follow on from each other, parallel ones are merged by time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Capture, Frame, Last};
use crate::error::{Error, Note};

/// A file begins this long before the current packet: it ran in parallel. Less is jitter at the seam of a ring buffer.
const OVERLAP: i64 = 1_000_000_000;
/// Different notes; what else there is, is counted without its reason.
const NOTES: usize = 10_000;
/// Not more files open at a time than that.
const OPEN: usize = 64;

struct Open {
    capture: Capture,
    file: u32,
}

/// All files of a run.
pub struct Set {
    names: Vec<Arc<str>>,
    /// Files not yet opened (their first time stamp, index into `names`), last first.
    waiting: Vec<(i64, u32)>,
    open: Vec<Open>,
    current: usize,
    notes: Vec<Note>,
    /// Where the note of a file, kind and reason stands.
    told: HashMap<(Arc<str>, &'static str, String), usize>,
    read: Arc<AtomicU64>,
}

impl Set {
    /// Look into every file. One that cannot be read becomes a note of kind `unreadable`.
    ///
    /// # Errors
    /// The first file's error, where not a single one can be read.
    pub fn open(paths: &[String]) -> Result<Self, Error> {
        let read = Arc::new(AtomicU64::new(0));
        let mut set = Self { names: Vec::new(), waiting: Vec::new(), open: Vec::new(), current: 0, notes: Vec::new(), told: HashMap::new(), read };
        let mut failed = None;
        for path in paths {
            let file = u32::try_from(set.names.len()).unwrap_or(u32::MAX);
            set.names.push(Arc::from(path.as_str()));
            match set.first(path, file, paths.len() == 1) {
                Ok(()) => {}
                Err(error) => {
                    set.note(file, None, "unreadable", error.reason());
                    failed.get_or_insert(error);
                }
            }
        }
        match failed {
            Some(error) if set.waiting.is_empty() && set.open.is_empty() => Err(error),
            _ => {
                set.waiting.sort_by(|a, b| b.cmp(a));
                if !set.waiting.is_empty() {
                    set.read.store(0, Ordering::Relaxed); // the look at each first packet is no progress
                }
                Ok(set)
            }
        }
    }

    /// Find a file's first time stamp. Standard input, and a file alone, stay open.
    fn first(&mut self, path: &str, file: u32, alone: bool) -> Result<(), Error> {
        let mut capture = Capture::open(path, &self.read)?;
        if alone || path == "-" {
            self.open.push(Open { capture, file });
            let last = self.open.len() - 1;
            self.step(last);
            return Ok(());
        }
        let time = loop {
            match capture.advance() {
                Ok(true) => break capture.frame().time,
                Err(damage) if damage.goes_on => {}
                _ => break i64::MIN,
            }
        };
        self.waiting.push((time, file));
        Ok(())
    }

    /// Bytes (compressed) read so far.
    #[must_use]
    pub fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    /// Names of the files.
    #[must_use]
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Name of a file by its number.
    #[must_use]
    pub fn name(&self, file: u32) -> Arc<str> {
        self.names.get(file as usize).cloned().unwrap_or_default()
    }

    /// What was lost so far; identical notes are one with a count.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        self.notes.clone()
    }

    /// Remember something about a file.
    pub fn note(&mut self, file: u32, place: Option<u64>, kind: &'static str, reason: String) {
        let mut key = (self.name(file), kind, reason);
        if self.notes.len() >= NOTES && !self.told.contains_key(&key) {
            key.2 = "for more reasons than are told".to_owned();
        }
        if let Some(note) = self.told.get(&key).and_then(|at| self.notes.get_mut(*at)) {
            note.count += 1;
            return;
        }
        self.notes.push(Note { file: key.0.to_string(), place, kind, reason: key.2.clone(), count: 1 });
        self.told.insert(key, self.notes.len() - 1);
    }

    /// The current frame and the number of its file; `None` at the end of all.
    #[inline]
    #[must_use]
    pub fn frame(&self) -> Option<(Frame<'_>, u32)> {
        self.open.get(self.current).map(|open| (open.capture.frame(), open.file))
    }

    /// The current frame and those behind it in its file that are at hand and come before those of any other: how many, the last of them,
    /// and the number of the file.
    #[inline]
    pub fn frames<'a>(&'a self, into: &mut [Frame<'a>]) -> Option<(usize, Option<Last>, u32)> {
        let open = self.open.get(self.current)?;
        let until = self.waiting.last().map_or(i64::MAX, |(time, _)| time.saturating_add(OVERLAP));
        let until = if self.open.len() == 1 { until } else { i64::MIN };
        let (count, last) = open.capture.frames(until, into);
        Some((count, last, open.file))
    }

    /// Go to the last of several frames.
    #[inline]
    pub fn pass(&mut self, last: Option<Last>) {
        if let (Some(open), Some(last)) = (self.open.get_mut(self.current), last) {
            open.capture.pass(last);
        }
    }

    /// Where the current frame lies in its file.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.open.get(self.current).map_or(0, |open| open.capture.offset())
    }

    /// Begin: open what comes first. Call once, before the first `frame`.
    pub fn start(&mut self) {
        self.admit();
        self.choose();
    }

    /// Go to the next frame in time.
    #[inline]
    pub fn advance(&mut self) {
        self.step(self.current);
        if self.open.len() != 1 || !self.waiting.is_empty() {
            self.admit();
            self.choose();
        }
    }

    /// Move one open file on; a file that is done or damaged is closed.
    #[inline]
    fn step(&mut self, index: usize) {
        while let Some(open) = self.open.get_mut(index) {
            let file = open.file;
            let damage = match open.capture.advance() {
                Ok(true) => return,
                Ok(false) => {
                    self.open.remove(index);
                    return;
                }
                Err(damage) => damage,
            };
            if !damage.goes_on {
                self.open.remove(index);
            }
            self.note(file, Some(damage.place), damage.kind, damage.reason);
            if !damage.goes_on {
                return;
            }
        }
    }

    /// Open the waiting files whose time has come.
    fn admit(&mut self) {
        while let Some(&(time, file)) = self.waiting.last() {
            let now = self.open.iter().map(|open| open.capture.frame().time).min();
            if self.open.len() >= OPEN || now.is_some_and(|now| time.saturating_add(OVERLAP) >= now) {
                return;
            }
            self.waiting.pop();
            match Capture::open(&self.name(file), &self.read) {
                Ok(capture) => {
                    self.open.push(Open { capture, file });
                    let last = self.open.len() - 1;
                    self.step(last);
                }
                Err(error) => self.note(file, None, "unreadable", error.reason()),
            }
        }
    }

    fn choose(&mut self) {
        self.current = (0..self.open.len()).min_by_key(|&index| self.open.get(index).map(|open| open.capture.frame().time)).unwrap_or(0);
    }
}
