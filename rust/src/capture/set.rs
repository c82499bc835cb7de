//! Several captures read as one: the files of a ring buffer follow on from each other, parallel ones are merged by time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Capture, Frame, Last};
use crate::error::{Error, Note, Notes};

/// A file begins this long before the current packet: it ran in parallel. Less is jitter at the seam of a ring buffer.
const OVERLAP: i64 = 1_000_000_000;
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
    notes: Notes,
    read: Arc<AtomicU64>,
}

impl Set {
    /// Look into every file. One that cannot be read becomes a note of kind `unreadable`.
    ///
    /// # Errors
    /// The first file's error, where not a single one can be read.
    pub fn open(paths: &[String]) -> Result<Self, Error> {
        let read = Arc::new(AtomicU64::new(0));
        let mut set = Self { names: Vec::new(), waiting: Vec::new(), open: Vec::new(), current: 0, notes: Notes::default(), read };
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

    /// What was lost, since the last call of this.
    #[must_use]
    pub fn notes(&mut self) -> Vec<Note> {
        self.notes.take()
    }

    /// Whether something was lost since then.
    #[inline]
    #[must_use]
    pub fn noted(&self) -> bool {
        !self.notes.all().is_empty()
    }

    /// Remember something about a file.
    pub fn note(&mut self, file: u32, place: Option<u64>, kind: &'static str, reason: String) {
        self.notes.add(Note { file: self.name(file).to_string(), place, kind, reason, count: 1 });
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

    /// The buffer that the current frame lies in, the offset of its first byte in the file, how far a frame's bytes stand behind the begin of
    /// its record, and the number of the file.
    #[inline]
    #[must_use]
    pub fn buffer(&self) -> Option<(&Arc<Vec<u8>>, i64, usize, u32)> {
        self.open.get(self.current).map(|open| {
            let (buffer, base, skip) = open.capture.buffer();
            (buffer, base, skip, open.file)
        })
    }

    /// Where the current frame lies in its file.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.open.get(self.current).map_or(0, |open| open.capture.offset())
    }

    /// Bytes of all files, as they lie on the disk; `None` where that is not known of one.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        let size = |name: &Arc<str>| std::fs::metadata(&**name).ok().filter(std::fs::Metadata::is_file).map(|file| file.len());
        self.names.iter().map(size).sum()
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
