//! Zeek's TSV: the header says which column stands where; ends and port are tested before the rest of a conn row is looked at.

use std::borrow::Cow;

use super::channel::Layout;
use super::columns::{self, Cell, Columns};
use super::keep::{Keep, Parsed};
use super::plan::{Field, Kind, Plan};
use super::sink::{Row, Sink};
use super::value;

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
    ends: Option<Ends>,
    conn: bool,
    /// Where rows are summed by channel: how those of the plain kind are read.
    layout: Option<Layout>,
    usable: bool,
}

/// Columns of a conn log, for the early test; `usize::MAX` where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ends {
    orig: usize,
    resp: usize,
    port: usize,
    service: usize,
    orig_bytes: usize,
    resp_bytes: usize,
    /// The last of the first three that are there, and of all.
    near: usize,
    far: usize,
}

impl Ends {
    fn new(names: &[String]) -> Option<Self> {
        let find = |name: &str| names.iter().position(|known| known == name);
        let (orig, resp, port) = (find("id_orig_h")?, find("id_resp_h")?, find("id_resp_p")?);
        let content = ["service", "orig_bytes", "resp_bytes"].map(find);
        let near = orig.max(resp).max(port);
        let far = content.into_iter().flatten().fold(near, usize::max);
        let [service, orig_bytes, resp_bytes] = content.map(|column| column.unwrap_or(usize::MAX));
        Some(Self { orig, resp, port, service, orig_bytes, resp_bytes, near, far })
    }

    /// Columns of originator, responder and its port.
    fn places(&self) -> [Option<usize>; 3] {
        [self.orig, self.resp, self.port].map(Some)
    }

    /// The ends of a row; `None` where they are not what they should be.
    #[inline]
    fn parse(&self, header: &Header, keep: &Keep, line: &[u8], cells: &mut Cells) -> Option<Parsed> {
        cells.reach(line, header.separator, self.near);
        let port = u16::try_from(value::port(cells.get(line, self.port)?).ok()?).ok()?;
        Some(Parsed { orig: keep.place(cells.get(line, self.orig)?)?, resp: keep.place(cells.get(line, self.resp)?)?, port })
    }

    /// Whether a row is wanted. One whose ends are not what they should be is: it is looked at whole, and refused.
    #[inline]
    fn wanted(&self, header: &Header, keep: &Keep, line: &[u8], cells: &mut Cells, parsed: Option<&Parsed>) -> bool {
        let Some(Parsed { orig: (_, orig), resp: (_, resp), port }) = parsed else { return true };
        keep.by_ends(*orig, *resp, *port).unwrap_or_else(|| {
            cells.reach(line, header.separator, self.far);
            let text = |column| cells.get(line, column).filter(|text| *text != header.unset).unwrap_or_default();
            let count = |column| value::whole(text(column)).unwrap_or(0);
            keep.by_content(*orig, *resp, text(self.service), count(self.orig_bytes), count(self.resp_bytes))
        })
    }
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
            conn: false,
            layout: None,
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
        (self.ends, self.layout) = (None, None);
        let Some(log) = self.place.and_then(|place| plan.log(place)) else {
            return Ok(());
        };
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
        self.conn = log.name == "conn";
        if plan.keep.as_ref().is_some_and(|keep| self.conn || keep.hot.is_some()) {
            self.ends = Ends::new(&names);
            let there = self.ends.as_ref().is_some_and(|ends| [2, 4, 5].map(|field| self.at.get(field).copied().flatten()) == ends.places());
            self.layout = if there && plan.channels.as_ref().is_some_and(|channels| !channels.general) { Layout::new(&self.at, self.columns) } else { None };
        }
        Ok(())
    }

    /// How rows of the plain kind are read.
    pub fn layout(&self) -> Option<&Layout> {
        let usual = self.usable && self.separator == b'\t' && self.unset == b"-" && self.empty == b"(empty)";
        self.layout.as_ref().filter(|_| usual)
    }

    #[inline]
    fn is_unset(&self, raw: &[u8]) -> bool {
        match (raw, self.unset.as_slice()) {
            ([byte], [unset]) => byte == unset,
            (raw, unset) => raw.len() == unset.len() && raw == unset,
        }
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
    fn get<'a>(&self, line: &'a [u8], column: usize) -> Option<&'a [u8]> {
        match self.ends.get(column..)? {
            [before, end, ..] => line.get(before.wrapping_add(1)..*end),
            _ => None,
        }
    }

    /// Find the separators up to that behind `column`, eight bytes at a time: a byte of `x` is 0 where the line has the separator, and
    /// the sum marks exactly those bytes in their top bits.
    #[inline]
    fn reach(&mut self, line: &[u8], separator: u8, column: usize) {
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
