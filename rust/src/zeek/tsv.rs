//! Zeek's TSV: the header says which column stands where; ends and port are tested before the rest of a conn row is looked at.

use std::borrow::Cow;

use memchr::memchr_iter;

use super::columns::{Cell, Ready, plain, ready};
use super::plan::{Field, Kind, Plan};
use super::sink::{Row, Sink};
use super::{keep, value};

/// What the `#` lines of a file say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub name: String,
    separator: u8,
    set_separator: Vec<u8>,
    empty: Vec<u8>,
    unset: Vec<u8>,
    columns: usize,
    place: Option<usize>,
    /// For each field of the log its column.
    at: Vec<Option<usize>>,
    /// Columns of orig_h, resp_h, resp_p, service, orig_bytes, resp_bytes of a conn log, for the early test.
    ends: Option<[usize; 6]>,
    usable: bool,
}

impl Header {
    pub fn new(name: &str, plan: &Plan) -> Self {
        Self {
            name: name.to_owned(),
            separator: b'\t',
            set_separator: b",".to_vec(),
            empty: b"(empty)".to_vec(),
            unset: b"-".to_vec(),
            columns: 0,
            place: plan.place(name),
            at: Vec::new(),
            ends: None,
            usable: false,
        }
    }

    /// Learn from one `#` line.
    ///
    /// # Errors
    /// A required column is missing: the reason.
    pub fn take(&mut self, data: &[u8], plan: &Plan) -> Result<(), String> {
        let separator = if data.starts_with(b"#separator") { b' ' } else { self.separator };
        let cut = memchr::memchr(separator, data).unwrap_or(data.len());
        let rest = data.get(cut + 1..).unwrap_or_default();
        match data.get(..cut).unwrap_or_default() {
            b"#separator" => self.separator = value::unescape(rest.trim_ascii()).first().copied().unwrap_or(b'\t'),
            b"#set_separator" if !rest.is_empty() => self.set_separator = value::unescape(rest),
            b"#empty_field" => self.empty = rest.to_vec(),
            b"#unset_field" => self.unset = rest.to_vec(),
            b"#fields" => return self.fields(rest, plan),
            _ => {}
        }
        Ok(())
    }

    fn fields(&mut self, rest: &[u8], plan: &Plan) -> Result<(), String> {
        let names: Vec<String> = rest.split(|b| *b == self.separator).map(normal).collect();
        self.columns = names.len();
        self.usable = true;
        self.at.clear();
        self.ends = None;
        let Some(log) = self.place.and_then(|place| plan.log(place)) else { return Ok(()) };
        for field in &log.fields {
            let column = field.names.iter().find_map(|name| names.iter().position(|known| known == name));
            if column.is_none() && field.required {
                self.usable = false;
                let first = field.names.first().map_or("", String::as_str);
                let shown = if first.starts_with("id_") { first.replace('_', ".") } else { first.to_owned() };
                return Err(format!("{}: no column {shown}", self.name));
            }
            self.at.push(column);
        }
        if log.name == "conn" && plan.keep.is_some() {
            let find = |name: &str| names.iter().position(|known| known == name);
            let some = |name: &str| find(name).unwrap_or(usize::MAX);
            if let (Some(orig), Some(resp), Some(port)) = (find("id_orig_h"), find("id_resp_h"), find("id_resp_p")) {
                self.ends = Some([orig, resp, port, some("service"), some("orig_bytes"), some("resp_bytes")]);
            }
        }
        Ok(())
    }

    pub fn usable(&self) -> bool {
        self.usable
    }
}

/// A column's name as fields are compared: lower case, dots as underscores, without what labelled logs put behind it.
fn normal(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let text = text.trim();
    let first = text.find("  ").map_or(text, |at| text.get(..at).unwrap_or(text));
    first.to_lowercase().replace('.', "_")
}

/// Where the cells of one line are: the offsets of its separators.
#[derive(Default)]
pub struct Cells {
    tabs: Vec<usize>,
}

impl Cells {
    fn get<'a>(&self, line: &'a [u8], column: usize) -> Option<&'a [u8]> {
        let start = if column == 0 { 0 } else { self.tabs.get(column - 1)? + 1 };
        let end = self.tabs.get(column).copied().unwrap_or(line.len());
        line.get(start..end)
    }
}

/// One data row.
pub fn row(header: &Header, line: &[u8], plan: &Plan, cells: &mut Cells, sink: &mut Sink<'_>) -> Row {
    let Some(place) = header.place else { return Row::Other };
    cells.tabs.clear();
    let mut wanted = Some(true);
    if let (Some(ends), Some(keep)) = (header.ends, &plan.keep) {
        let [orig, resp, port, ..] = ends;
        let mut first = memchr_iter(header.separator, line);
        cells.tabs.extend(first.by_ref().take(orig.max(resp).max(port) + 1));
        wanted = wanted_by_ends(&ends, keep, line, cells);
        if wanted == Some(false) {
            return Row::Dropped;
        }
    }
    let from = cells.tabs.last().map_or(0, |at| at + 1);
    separators(line, from, header.separator, &mut cells.tabs);
    if cells.tabs.len() + 1 != header.columns {
        return Row::Refused(format!("{} columns where the header has {}", cells.tabs.len() + 1, header.columns));
    }
    if let (None, Some(ends), Some(keep)) = (wanted, header.ends, &plan.keep)
        && !wanted_by_content(&ends, keep, line, cells, header)
    {
        return Row::Dropped;
    }
    let Some(log) = plan.log(place) else { return Row::Other };
    let mut out: Vec<Ready<'_>> = Vec::with_capacity(log.fields.len());
    let escaped = memchr::memchr(b'\\', line).is_some();
    for (field, column) in log.fields.iter().zip(&header.at) {
        let raw = column.and_then(|column| cells.get(line, column)).unwrap_or_default();
        match take(header, field, raw, escaped) {
            Ok(value) => out.push(value),
            Err(reason) => return Row::Refused(format!("{}: {reason}", field.name)),
        }
    }
    sink.push(place, &out, &header.name);
    Row::Taken
}

/// Add the offsets of every separator from `from` on, eight bytes at a time: a byte of `x` is 0 where the line has the separator,
/// and the sum marks exactly those bytes in their top bits.
fn separators(line: &[u8], from: usize, separator: u8, found: &mut Vec<usize>) {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let pattern = u64::from_le_bytes([separator; 8]);
    let (words, rest) = line.get(from..).unwrap_or_default().as_chunks::<8>();
    let mut at = from;
    for word in words {
        let x = u64::from_le_bytes(*word) ^ pattern;
        let mut marks = !(((x & LOW) + LOW) | x | LOW);
        while marks != 0 {
            found.push(at + marks.trailing_zeros() as usize / 8);
            marks &= marks - 1;
        }
        at += 8;
    }
    found.extend(rest.iter().enumerate().filter(|(_, byte)| **byte == separator).map(|(index, _)| at + index));
}

/// The early test; `None` where it does not say, or where a cell is not what it should be (then the row is looked at whole).
fn wanted_by_ends(ends: &[usize; 6], keep: &keep::Keep, line: &[u8], cells: &Cells) -> Option<bool> {
    let [orig, resp, port, ..] = *ends;
    let port = value::port(cells.get(line, port)?).ok().and_then(|port| u16::try_from(port).ok())?;
    let orig = keep.side(value::address(cells.get(line, orig)?).ok()?);
    let resp = keep.side(value::address(cells.get(line, resp)?).ok()?);
    keep.by_ends(orig, resp, port)
}

fn wanted_by_content(ends: &[usize; 6], keep: &keep::Keep, line: &[u8], cells: &Cells, header: &Header) -> bool {
    let [orig, resp, _, service, orig_bytes, resp_bytes] = *ends;
    let side = |column| cells.get(line, column).and_then(|text| value::address(text).ok()).map(|address| keep.side(address));
    let (Some(orig), Some(resp)) = (side(orig), side(resp)) else { return true };
    let text = |column| cells.get(line, column).filter(|text| *text != header.unset).unwrap_or_default();
    let count = |column| value::whole(text(column)).unwrap_or(0);
    keep.by_content(orig, resp, &String::from_utf8_lossy(text(service)), count(orig_bytes), count(resp_bytes))
}

/// One cell. Escapes are undone after a list is taken apart, so that an escaped comma stays in its element.
fn take<'a>(header: &Header, field: &Field, raw: &'a [u8], escaped: bool) -> Result<Ready<'a>, value::Bad> {
    if raw.is_empty() || raw == header.unset {
        return if field.filled { Err("empty") } else { Ok(Ready::Null) };
    }
    if raw == header.empty {
        return Ok(if field.kind == Kind::List { Ready::Text(Cow::Borrowed(b"")) } else { Ready::Null });
    }
    if !escaped && field.kind != Kind::List {
        return plain(field.kind, raw);
    }
    let text = if field.kind == Kind::List && memchr::memmem::find(raw, &header.set_separator).is_some() {
        Cow::Owned(pieces(raw, &header.set_separator))
    } else if escaped && memchr::memchr(b'\\', raw).is_some() {
        Cow::Owned(value::unescape(raw))
    } else {
        Cow::Borrowed(raw)
    };
    ready(field.kind, Cell::Text(text))
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
