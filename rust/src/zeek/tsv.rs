//! Rows of Zeek's TSV: ends and port are tested before the rest of a conn row is looked at.

use std::borrow::Cow;

use super::columns::{self, Cell, Columns};
use super::header::Header;
use super::plan::{Field, Kind, Plan};
use super::sink::{Row, Sink};
use super::value;

/// Where the cells of one line are, found as far as they were asked for.
#[derive(Default)]
pub struct Cells {
    /// Where each cell ends, after one before the first; the last is the end of the line.
    ends: Vec<usize>,
    looked: usize,
}

impl Cells {
    fn clear(&mut self) {
        self.ends.clear();
        self.ends.push(usize::MAX);
        self.looked = 0;
    }

    #[inline]
    pub fn get<'a>(&self, line: &'a [u8], column: usize) -> Option<&'a [u8]> {
        match self.ends.get(column..)? {
            [before, end, ..] => line.get(before.wrapping_add(1)..*end),
            _ => None,
        }
    }

    /// Find the separators up to that behind `column`, eight bytes at a time: a byte of `x` is 0 where the line has the separator, and
    /// the sum marks exactly those bytes in their top bits.
    #[inline]
    pub fn reach(&mut self, line: &[u8], separator: u8, column: usize) {
        const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
        if self.ends.len() > column.saturating_add(1) || self.looked > line.len() {
            return;
        }
        let pattern = u64::from_le_bytes([separator; 8]);
        let (words, rest) = line.get(self.looked..).unwrap_or_default().as_chunks::<8>();
        let mut at = self.looked;
        for word in words {
            let x = u64::from_le_bytes(*word) ^ pattern;
            let mut marks = !(((x & LOW) + LOW) | x | LOW);
            if marks != 0 {
                while marks != 0 {
                    self.ends.push(at + marks.trailing_zeros() as usize / 8);
                    marks &= marks - 1;
                }
                if self.ends.len() > column.saturating_add(1) {
                    self.looked = at + 8;
                    return;
                }
            }
            at += 8;
        }
        for byte in rest {
            if *byte == separator {
                self.ends.push(at);
            }
            at += 1;
        }
        self.ends.push(line.len());
        self.looked = line.len() + 1;
    }

    /// How many there are, once all were looked for.
    fn count(&self) -> usize {
        self.ends.len() - 1
    }
}

/// One data row.
pub fn row(header: &Header, line: &[u8], plan: &Plan, cells: &mut Cells, sink: &mut Sink<'_>) -> Row {
    let Some(place) = header.place else {
        return Row::Other;
    };
    cells.clear();
    let (mut parsed, mut cold) = (None, None);
    if let (Some(ends), Some(keep)) = (&header.ends, &plan.keep) {
        parsed = ends.parse(header, keep, line, cells);
        if header.conn && !ends.wanted(header, keep, line, cells, parsed.as_ref()) {
            return Row::Dropped;
        }
        cold = keep.cold(parsed.as_ref());
        if cold == Some(false) {
            return Row::Dropped;
        }
    }
    cells.reach(line, header.separator, usize::MAX);
    if cells.count() != header.columns {
        return Row::Refused(format!("{} columns where the header has {}", cells.count(), header.columns));
    }
    let Some(log) = plan.log(place) else {
        return Row::Other;
    };
    let escaped = memchr::memchr(b'\\', line).is_some();
    let Some(columns) = sink.columns.get_mut(place) else {
        return Row::Other;
    };
    if sink.channels.is_none() || plan.checks() {
        let filled = fill(header, &log.fields, line, cells, escaped, columns);
        if filled.is_err() || sink.channels.is_some() || cold.is_some() {
            columns.undo();
        }
        if let Err(reason) = filled {
            return Row::Refused(reason);
        }
    }
    if let (Some(channels), Some(keep)) = (&mut sink.channels, &plan.keep) {
        let cell = |at: usize| {
            let raw = header.at.get(at).copied().flatten().and_then(|column| cells.get(line, column))?;
            (!(raw.is_empty() || header.is_unset(raw) || raw == header.empty)).then_some(raw)
        };
        let added = if escaped { channels.add(keep, parsed, |at| cell(at).map(value::unescape)) } else { channels.add(keep, parsed, cell) };
        return match added {
            Ok(()) => Row::Taken,
            Err((at, reason)) => Row::Refused(format!("{}: {}", log.fields.get(at).map_or("", |field| &field.name), reason.unwrap_or("empty"))),
        };
    }
    if cold.is_some() {
        return Row::Dropped;
    }
    sink.done(place, &header.name, line.len());
    Row::Taken
}

/// All cells of a row to its columns; in vain where one is not what it must be.
fn fill(header: &Header, fields: &[Field], line: &[u8], cells: &Cells, escaped: bool, columns: &mut Columns) -> Result<(), String> {
    let mut out = columns.row();
    for (field, column) in fields.iter().zip(&header.at) {
        let raw = column.and_then(|column| cells.get(line, column)).unwrap_or_default();
        take(header, field, raw, escaped, &mut out).map_err(|reason| format!("{}: {reason}", field.name))?;
    }
    Ok(())
}

/// One cell. Escapes are undone after a list is taken apart, so that an escaped comma stays in its element.
#[inline]
fn take(header: &Header, field: &Field, raw: &[u8], escaped: bool, out: &mut columns::Row<'_>) -> Result<(), value::Bad> {
    if raw.is_empty() || header.is_unset(raw) {
        out.null();
        return if field.filled { Err("empty") } else { Ok(()) };
    }
    if raw == header.empty && field.kind != Kind::List {
        out.null();
        return Ok(());
    }
    if raw == header.empty {
        return out.text(b"");
    }
    if field.kind == Kind::List && memchr::memmem::find(raw, &header.set_separator).is_some() {
        return out.cell(&Cell::Text(Cow::Owned(pieces(raw, &header.set_separator))));
    }
    if escaped && memchr::memchr(b'\\', raw).is_some() {
        return out.cell(&Cell::Text(Cow::Owned(value::unescape(raw))));
    }
    out.text(raw)
}

fn pieces(raw: &[u8], separator: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memmem::find(rest, separator) {
        out.extend(value::unescape(rest.get(..at).unwrap_or_default()));
        out.push(0x1f);
        rest = rest.get(at + separator.len()..).unwrap_or_default();
    }
    out.extend(value::unescape(rest));
    out
}
