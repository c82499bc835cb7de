//! One part of a log: its lines to the header, to rows, to sums.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow_array::RecordBatch;

use super::channel::{Block, Scratch, Spans, Taken};
use super::header::Header;
use super::json;
use super::lines::{self, Line, Piece, Span, Stop, Taker, Wrap};
use super::marks::Marks;
use super::plan::{File, Plan};
use super::quotes::{self, Quotes};
use super::shape::{self, Shape};
use super::sink::{Row, Sink, Tally};
use super::tsv::{self, Cells};
use super::window::Window;

/// What the parts of all files share.
pub struct Common {
    pub plan: Plan,
    /// Nobody waits for more.
    pub stop: AtomicBool,
    /// Bytes of text read.
    pub done: Arc<AtomicU64>,
}

impl Common {
    pub fn new(plan: Plan) -> Self {
        Self { plan, stop: AtomicBool::new(false), done: Arc::default() }
    }
}

/// Batches of a log's text that is in memory already, and what became of its lines.
pub fn text(plan: Plan, file: &File, data: &[u8]) -> (Vec<(usize, RecordBatch)>, Tally) {
    let shared = Common::new(plan);
    let mut batches = Vec::new();
    let mut forward = |place, batch| {
        batches.push((place, batch));
        true
    };
    let mut part = Part::new(&shared, file, 0, None, &mut forward);
    let full = memchr::memrchr(b'\n', data).map_or(0, |end| end + 1);
    let (lines, last) = data.split_at_checked(full).unwrap_or((data, &[]));
    part.block(lines, 0);
    if !last.is_empty() {
        part.line(Line { data: last, whole: false, at: full as u64 });
    }
    part.sink.finish();
    let tally = std::mem::take(&mut part.tally);
    drop(part);
    (batches, tally)
}

/// A part and where in its text it begins; what is before is passed over.
struct From<'p, 'a> {
    part: &'p mut Part<'a>,
    skip_to: u64,
}

impl From<'_, '_> {
    fn wanted(&self) -> bool {
        self.part.sink.open && !self.part.shared.stop.load(Ordering::Relaxed)
    }
}

impl Taker for From<'_, '_> {
    fn piece(&mut self, piece: Piece<'_>) -> bool {
        match piece {
            Piece::Line(line) if line.at < self.skip_to => self.part.tally.lines += 1,
            Piece::Line(line) => self.part.line(line),
            Piece::TooLong => {
                self.part.tally.lines += 1;
                self.part.tally.refused += 1;
                self.part.tally.note("refused", "a line longer than 16 MB".into(), Some(self.part.tally.lines));
                self.part.sink.refuse();
            }
        }
        self.wanted()
    }

    fn block(&mut self, text: &[u8], at: u64) -> bool {
        if at < self.skip_to {
            return lines::whole(text, at).all(|line| self.piece(Piece::Line(line)));
        }
        self.part.block(text, at);
        self.wanted()
    }
}

pub struct Part<'a> {
    shared: &'a Common,
    pub held: Option<Arc<fs::File>>,
    file: &'a File,
    pub header: Header,
    keys: json::Keys,
    /// For so many keys.
    shape: (usize, Shape),
    cells: Cells,
    marks: Marks,
    quotes: Quotes,
    scratch: Scratch,
    pub sink: Sink<'a>,
    pub tally: Tally,
    pub begun: bool,
    /// A header line changed something after rows had been read.
    pub changed: bool,
    rows_seen: bool,
    pub start: u64,
    counted: u64,
}

impl<'a> Part<'a> {
    pub fn new(
        shared: &'a Common,
        file: &'a File,
        number: usize,
        header: Option<Header>,
        forward: &'a mut dyn FnMut(usize, RecordBatch) -> bool,
    ) -> Self {
        Self {
            shared,
            held: None,
            file,
            header: header.unwrap_or_else(|| Header::new(&file.name, &shared.plan)),
            keys: json::Keys::new(&shared.plan, &file.name),
            shape: (0, Shape::default()),
            cells: Cells::default(),
            marks: Marks::default(),
            quotes: Quotes::default(),
            scratch: Scratch::default(),
            sink: Sink::new(&shared.plan, &file.path, number, forward),
            tally: Tally::default(),
            begun: true,
            changed: false,
            rows_seen: false,
            start: 0,
            counted: 0,
        }
    }

    /// Read the `#` lines before a span: those at the beginning of the file, and for a range that the caller set all others too, as a
    /// header may change in mid-file. Parts that we cut ourselves learn of such a change from the part before.
    pub fn learn(&mut self, span: Span) -> std::io::Result<()> {
        let plan = &self.shared.plan;
        let (header, tally) = (&mut self.header, &mut self.tally);
        let before = Span { until: span.start, ..Span::ALL };
        let (mut rows, mut changed) = (false, false);
        lines::walk(&self.file.path, self.held.as_ref(), before, &mut |piece: Piece<'_>| {
            let Piece::Line(Line { data, .. }) = piece else { return !span.inner };
            let data = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
            let data = data.strip_suffix(b"\r").unwrap_or(data);
            if data.starts_with(b"#") {
                let known = header.clone();
                if let Err(reason) = header.take(data, plan) {
                    tally.note("unreadable", reason, None);
                }
                changed |= rows && *header != known;
            }
            rows |= !data.starts_with(b"#") && !data.is_empty();
            !rows || !span.inner
        })?;
        self.changed |= changed;
        self.begun = true;
        Ok(())
    }

    pub fn run(&mut self, span: Span) -> std::io::Result<Stop> {
        let skip_to = if span.start > 0 && !self.seeks()? { span.start } else { 0 };
        let held = self.held.clone();
        lines::walk(&self.file.path, held.as_ref(), span, &mut From { part: self, skip_to })
    }

    /// True where a walk can begin at an offset without reading what is before it.
    fn seeks(&self) -> std::io::Result<bool> {
        Ok(self.held.is_some() || lines::look(&self.file.path)? == Wrap::Plain)
    }

    /// Whole lines; rows of the plain kind are read where they stand.
    fn block(&mut self, text: &[u8], at: u64) {
        if self.file.json && self.shared.plan.channels.as_ref().is_some_and(|channels| !channels.general) {
            return self.objects(text, at);
        }
        let Some(layout) = self.header.layout().filter(|_| !self.file.json).cloned() else {
            lines::whole(text, at).for_each(|line| self.line(line));
            return;
        };
        let mut marks = std::mem::take(&mut self.marks);
        marks.read(text, b'\t');
        let block = Block { text, marks: &marks, layout: &layout };
        let (mut changed, mut start) = (false, 0);
        for end in marks.ends() {
            let taken = match (&self.shared.plan.keep, &mut self.sink.channels) {
                (Some(keep), Some(channels)) if !changed && text.get(start) != Some(&b'#') => channels.plain(keep, &block, &mut self.scratch, start, end),
                _ => None,
            };
            match taken {
                None => {
                    self.line(Line { data: text.get(start..end).unwrap_or_default(), whole: true, at: at + start as u64 });
                    changed = self.header.layout() != Some(&layout);
                }
                Some(taken) => {
                    self.took(taken);
                    self.rows_seen = true;
                }
            }
            start = end + 1;
        }
        self.tally.end = at + text.len() as u64;
        self.told(self.tally.end);
        self.marks = marks;
    }

    /// Whole JSON lines; those that look like the ones before are read where they stand.
    fn objects(&mut self, text: &[u8], at: u64) {
        let mut quotes = std::mem::take(&mut self.quotes);
        let mut start = 0;
        while let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) {
            // As many lines as fit in a piece, or one that does not.
            let piece = rest.get(..quotes::PIECE).and_then(|piece| memchr::memrchr(b'\n', piece));
            let piece = piece.or_else(|| if rest.len() > quotes::PIECE { memchr::memchr(b'\n', rest) } else { None });
            let end = start + piece.map_or(rest.len(), |last| last + 1);
            quotes.read(text.get(start..end).unwrap_or_default(), start);
            self.piece(text, (start, end), quotes.all(), at);
            start = end;
        }
        self.tally.end = at + text.len() as u64;
        self.told(self.tally.end);
        self.quotes = quotes;
    }

    /// Those of a piece of a block, with its quotes.
    fn piece(&mut self, text: &[u8], (mut start, last): (usize, usize), mut quotes: &[u32], at: u64) {
        while start < last {
            if self.shape.0 != self.keys.order.len() {
                self.shape = (self.keys.order.len(), self.keys.shape(&self.shared.plan, &self.file.name));
            }
            let end;
            if let Some((taken, marks)) = self.object(text, start, quotes) {
                self.took(taken);
                end = quotes.get(marks).map_or(last, |end| *end as usize);
                quotes = quotes.get(marks + 1..).unwrap_or_default();
            } else {
                let rest = text.get(start..last).unwrap_or_default();
                end = start + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                self.line(Line { data: text.get(start..end).unwrap_or_default(), whole: true, at: at + start as u64 });
                quotes = quotes.get(quotes.iter().take_while(|place| **place as usize <= end).count()..).unwrap_or_default();
            }
            start = end + 1;
        }
    }

    /// One JSON line, if it is of the plain kind, and how many quotes it has.
    #[inline]
    fn object(&mut self, text: &[u8], start: usize, quotes: &[u32]) -> Option<(Taken, usize)> {
        let (keep, channels) = (self.shared.plan.keep.as_ref()?, self.sink.channels.as_mut()?);
        let mut spans = Spans::default();
        let window = Window::at(text, start, self.scratch.room())?;
        let marks = self.shape.1.find(shape::Line { window, start, quotes: quotes.first_chunk()? }, &mut spans)?;
        let taken = channels.plain_json(keep, window, &spans)?;
        (taken == Taken::Summed || shape::numbers(window, &spans)).then_some((taken, marks))
    }

    fn took(&mut self, taken: Taken) {
        match taken {
            Taken::Summed => self.tally.rows += 1,
            Taken::Dropped => self.tally.dropped += 1,
        }
        self.tally.lines += 1;
    }

    /// Tell how far the reading is, now and then.
    fn told(&mut self, end: u64) {
        if end - self.start - self.counted > 1 << 20 {
            self.shared.done.fetch_add(end - self.start - self.counted, Ordering::Relaxed);
            self.counted = end - self.start;
        }
    }

    fn line(&mut self, line: Line<'_>) {
        self.tally.lines += 1;
        let end = line.at + line.data.len() as u64 + u64::from(line.whole);
        if line.whole {
            self.tally.end = end;
        }
        self.told(end);
        let mut passed = None;
        let row = if self.file.json { self.json(line.data, &mut passed) } else { self.tsv(line.data, line.at) };
        match row {
            None => {}
            Some(Row::Taken) => self.tally.rows += 1,
            Some(Row::Dropped) => self.tally.dropped += 1,
            Some(Row::Other) => self.tally.pass(passed.as_deref().unwrap_or(&self.header.name)),
            Some(Row::Refused(reason)) => {
                self.tally.refuse(reason, line.whole);
                self.sink.refuse();
            }
        }
    }

    fn json(&mut self, data: &[u8], passed: &mut Option<String>) -> Option<Row> {
        let data = json::trimmed(data);
        (!data.is_empty()).then(|| json::row(&mut self.keys, data, &self.file.name, &self.shared.plan, &mut self.sink, passed))
    }

    fn tsv(&mut self, data: &[u8], at: u64) -> Option<Row> {
        let data = data.strip_suffix(b"\r").unwrap_or(data);
        let data = if at == 0 { data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data) } else { data };
        if data.starts_with(b"#") {
            let before = self.header.clone();
            if let Err(reason) = self.header.take(data, &self.shared.plan) {
                self.tally.note("unreadable", reason, Some(self.tally.lines));
            }
            self.changed |= self.rows_seen && self.header != before;
            return None;
        }
        if data.is_empty() {
            return None;
        }
        self.rows_seen = true;
        if !self.header.usable() {
            return Some(Row::Refused("rows without a usable header".into()));
        }
        Some(tsv::row(&self.header, data, &self.shared.plan, &mut self.cells, &mut self.sink))
    }
}
