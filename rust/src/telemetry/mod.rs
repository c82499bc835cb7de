//! Telemetry in JSON lines: lines of layouts that the caller knows become columns; every other line is the caller's.
//!
//! What records mean is said in Python (`netexfil/endpoint/`), which reads every line itself where this module is not there.

mod column;
mod layout;
mod scan;

use memchr::memchr;

pub use column::{Column, How, Listed, Values};
use layout::Layouts;
use scan::{Cursor, Span};

/// Kinds of records of one layout.
const KINDS: usize = 64;
/// Kinds of records in all.
const MOST: usize = 1000;

/// Records of one kind in one layout.
struct Kind {
    /// Values that must be there, or must not.
    there: Vec<(usize, bool)>,
    /// Values that tell the kind, as they stand.
    keys: Vec<(usize, Vec<u8>)>,
    /// Values that must be whole numbers.
    whole: Vec<usize>,
    wanted: Vec<usize>,
    columns: Vec<Column>,
    pub lines: Vec<i64>,
    pub ids: Vec<i64>,
}

impl Kind {
    #[inline]
    fn fits(&self, line: &[u8], spans: &[Span]) -> bool {
        let token = |at: usize| spans.get(at).map_or(&b""[..], |span| span.of(line));
        self.keys.iter().all(|(at, key)| token(*at) == key)
            && self.there.iter().all(|(at, there)| (token(*at) != b"null") == *there)
            && self.whole.iter().all(|at| is_whole(token(*at)))
    }
}

/// `4711`, `"4711"` or `"0x1267"`.
fn is_whole(token: &[u8]) -> bool {
    let text = token.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(token);
    match text.strip_prefix(b"0x") {
        Some(digits) => !digits.is_empty() && digits.len() < 16 && digits.iter().all(u8::is_ascii_hexdigit),
        None => !text.is_empty() && text.len() < 19 && text.iter().all(u8::is_ascii_digit),
    }
}

/// A line without the space that JSON allows behind it, of which a form feed is none.
fn bare(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).map_or(0, |last| last + 1);
    line.get(..end).unwrap_or_default()
}

/// What a caller says of one kind of record: paths of names.
pub struct Wish {
    pub there: Vec<Vec<String>>,
    pub keys: Vec<Vec<String>>,
    pub whole: Vec<Vec<String>>,
    pub wanted: Vec<(Vec<String>, How)>,
}

/// The columns of one kind, taken.
pub struct Taken {
    pub columns: Vec<Column>,
    pub lines: Vec<i64>,
    pub ids: Vec<i64>,
}

/// Layouts, their kinds of records, and what was collected of each.
#[derive(Default)]
pub struct Table {
    layouts: Layouts,
    /// By layout: its kinds, the one met last first.
    kinds: Vec<Vec<usize>>,
    all: Vec<Kind>,
    spans: Vec<Span>,
    /// Bytes of values kept.
    pub kept: usize,
}

impl Table {
    /// Take the lines of a block from byte `at` on, up to the first that is not known; gives where that one begins, and how many were
    /// taken. `line` and `id` are the numbers of the first.
    pub fn feed(&mut self, block: &[u8], mut at: usize, mut line: i64, mut id: i64) -> (usize, i64) {
        let first = line;
        while let Some(rest) = block.get(at..).filter(|rest| !rest.is_empty()) {
            let end = memchr(b'\n', rest).unwrap_or(rest.len());
            let text = bare(rest.get(..end).unwrap_or_default());
            if self.row(text, line, id).is_none() {
                break;
            }
            at = (at + end + 1).min(block.len());
            line += 1;
            id += 1;
        }
        (at, line - first)
    }

    #[inline]
    fn row(&mut self, text: &[u8], line: i64, id: i64) -> Option<()> {
        let layout = self.layouts.walk(&mut Cursor::new(text)?, &mut self.spans)?;
        let order = self.kinds.get_mut(layout)?;
        let place = order.iter().position(|kind| self.all.get(*kind).is_some_and(|kind| kind.fits(text, &self.spans)))?;
        order.get_mut(..=place)?.rotate_right(1);
        let kind = self.all.get_mut(*order.first()?)?;
        for (at, column) in kind.wanted.iter().zip(&mut kind.columns) {
            let token = self.spans.get(*at)?.of(text);
            self.kept += token.len();
            column.push(token);
        }
        kind.lines.push(line);
        kind.ids.push(id);
        Some(())
    }

    /// Take lines like this one from now on; gives the number of their kind. `None` where they cannot be taken: a path leads to no value,
    /// or a value is not what it must be.
    pub fn learn(&mut self, line: &[u8], wish: &Wish) -> Option<usize> {
        let line = bare(line);
        (self.all.len() < MOST).then_some(())?;
        let layout = self.layouts.learn(line)?;
        if layout != self.layouts.walk(&mut Cursor::new(line)?, &mut self.spans)? {
            return None;
        }
        let places = self.layouts.places.get(layout)?;
        let place = |path: &Vec<String>| places.get(path).copied();
        let token = |at: usize| self.spans.get(at).map_or(&b""[..], |span| span.of(line));
        let wanted = wish.wanted.iter().map(|(path, _)| place(path));
        let kind = Kind {
            there: wish.there.iter().map(|path| place(path).map(|at| (at, token(at) != b"null"))).collect::<Option<_>>()?,
            keys: wish.keys.iter().map(|path| place(path).map(|at| (at, token(at).to_vec()))).collect::<Option<_>>()?,
            whole: wish.whole.iter().map(|path| place(path).filter(|at| is_whole(token(*at)))).collect::<Option<_>>()?,
            wanted: wanted.collect::<Option<_>>()?,
            columns: wish.wanted.iter().map(|(_, how)| Column::new(*how)).collect(),
            lines: Vec::new(),
            ids: Vec::new(),
        };
        if self.kinds.len() <= layout {
            self.kinds.resize_with(layout + 1, Vec::new);
        }
        let order = self.kinds.get_mut(layout)?;
        (order.len() < KINDS).then_some(())?;
        order.push(self.all.len());
        self.all.push(kind);
        Some(self.all.len() - 1)
    }

    /// Rows that wait, by kind.
    pub fn waiting(&self) -> Vec<usize> {
        self.all.iter().map(|kind| kind.ids.len()).collect()
    }

    /// What was collected of one kind.
    pub fn take(&mut self, kind: usize) -> Option<Taken> {
        let kind = self.all.get_mut(kind)?;
        let taken = Taken {
            columns: kind.columns.iter_mut().map(Column::take).collect(),
            lines: std::mem::take(&mut kind.lines),
            ids: std::mem::take(&mut kind.ids),
        };
        if self.all.iter().all(|kind| kind.ids.is_empty()) {
            self.kept = 0;
        }
        Some(taken)
    }
}
