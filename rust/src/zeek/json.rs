//! JSON lines: a scan that takes only the keys somebody wants; what it does not know is left to serde_json.
//!
//! Keys are compared in lower case with dots as underscores, nested objects flattened (`{"id": {"orig_h": …}}` is `id_orig_h`).

use std::borrow::Cow;
use std::collections::HashMap;

use memchr::memchr;
use serde_json::Value;

use super::channel::FIELDS;
use super::columns::{Cell, Columns};
use super::keep::Parsed;
use super::plan::{Log, Plan};
use super::scan::{Scan, Slot, What};
use super::shape::{Shape, Use};
use super::sink::{Row, Sink};
use super::value;
use super::wrapped;

/// The keys that somebody wants, numbered.
pub struct Keys {
    ids: HashMap<String, usize>,
    /// Keys as they stood on the line before, in order, in quotes and with their colon, and their number: the next line has nearly always
    /// the same.
    pub order: Vec<(Vec<u8>, Option<usize>)>,
    names: Vec<usize>,
    /// Keys that name a log, and what the log is then called: as the file, where that is a name of the same log.
    pub signs: Vec<(usize, String)>,
    pub uid: usize,
    pub ts: usize,
    ends: Ends,
    /// For each log, for each field, the numbers of its names.
    fields: Vec<Vec<Vec<usize>>>,
    /// The values of the line at hand.
    values: Vec<Slot>,
    /// What the file is called, and the place of that log.
    last: (String, Option<usize>),
}

/// What says whether a conn row is wanted.
struct Ends {
    orig: usize,
    resp: usize,
    port: usize,
    service: usize,
    orig_bytes: usize,
    resp_bytes: usize,
}

impl Keys {
    pub fn new(plan: &Plan, default: &str) -> Self {
        let mut ids = HashMap::new();
        let mut id = |name: &str| {
            let next = ids.len();
            *ids.entry(name.to_owned()).or_insert(next)
        };
        let (uid, ts) = (id("uid"), id("ts"));
        let ends = Ends {
            orig: id("id_orig_h"),
            resp: id("id_resp_h"),
            port: id("id_resp_p"),
            service: id("service"),
            orig_bytes: id("orig_bytes"),
            resp_bytes: id("resp_bytes"),
        };
        let names = plan.names.iter().map(|name| id(name)).collect();
        let file = plan.place(default);
        let called = |log: &str| if file.is_some() && file == plan.place(log) { default.to_owned() } else { log.to_owned() };
        let signs = plan.signs.iter().map(|(key, log)| (id(key), called(log))).collect();
        let fields = plan.logs.iter().map(|log| log.fields.iter().map(|f| f.names.iter().map(|n| id(n)).collect()).collect()).collect();
        let values = vec![Slot::default(); ids.len()];
        Self { ids, order: Vec::new(), names, signs, uid, ts, ends, fields, values, last: (default.to_owned(), file) }
    }

    /// What the lines met so far look like, where rows of conn logs are summed by channel.
    pub fn shape(&self, plan: &Plan, default: &str) -> Shape {
        let fields = plan.place("conn").filter(|place| plan.place(default) == Some(*place)).and_then(|place| self.fields.get(place));
        let (Some(fields), Ends { orig, resp, port, .. }) = (fields, &self.ends) else { return Shape::default() };
        let what = |id: usize| {
            let field = fields.iter().position(|ids| ids.contains(&id));
            let sign = self.signs.iter().find(|(sign, _)| *sign == id);
            match field {
                _ if self.names.contains(&id) => Use::Name,
                _ if sign.is_some_and(|(_, log)| plan.place(log) != plan.place("conn")) => Use::Unknown,
                Some(2 | 4 | 5) if ![orig, resp, port].contains(&&id) => Use::Unknown,
                Some(field) if field >= FIELDS.len() => Use::Flag,
                Some(field) => Use::Field(field),
                None => Use::Nothing,
            }
        };
        Shape::new(self.order.iter().map(|(quoted, id)| (quoted.as_slice(), id.map_or(Use::Nothing, what))))
    }

    pub fn look(&self, normal: &str) -> Option<usize> {
        self.ids.get(normal).copied()
    }

    /// The number of a key that stood nowhere near `index`; the next line may have it there.
    pub fn learn(&mut self, index: usize, key: &[u8]) -> Option<usize> {
        let id = self.look(&normal(key));
        if self.order.len() < 256 {
            self.order.insert(index.min(self.order.len()), ([b"\"", key, b"\":"].concat(), id));
        }
        id
    }
}

pub fn normal(key: &[u8]) -> String {
    String::from_utf8_lossy(key).to_lowercase().replace('.', "_")
}

/// One data row.
pub fn row(keys: &mut Keys, line: &[u8], default: &str, plan: &Plan, sink: &mut Sink<'_>, passed: &mut Option<String>) -> Row {
    // Without an early exit, so that it runs on many bytes at once.
    let (least, all) = line.iter().fold((u8::MAX, 0), |(least, all), byte| (least.min(*byte), all | *byte));
    let plain = least >= 0x20 && (all < 0x80 || std::str::from_utf8(line).is_ok());
    if plain {
        let mut values = std::mem::take(&mut keys.values);
        values.fill(Slot::default());
        let walked = Scan::walk(line, keys, &mut values).is_ok();
        let there = |id: usize| values.get(id).is_some_and(|slot| slot.what != What::Missing);
        let ours = walked && (there(keys.uid) || (there(keys.ts) && keys.signs.iter().any(|(id, _)| there(*id))));
        let row =
            ours.then(|| take(keys, &|id| values.get(id).map_or(Cell::Missing, |slot| cell(*slot, line)), line.len(), default, plan, sink, passed));
        keys.values = values;
        if let Some(row) = row {
            return row;
        }
    }
    let Some(flat) = wrapped::record(keys, line, plan) else {
        return Row::Refused("not a JSON object".into());
    };
    take(keys, &|id| flat.get(&id).map_or(Cell::Missing, wrapped::Lent::cell), line.len(), default, plan, sink, passed)
}

#[inline]
fn cell(slot: Slot, line: &[u8]) -> Cell<'_> {
    let text = slot.of(line);
    match slot.what {
        What::Missing => Cell::Missing,
        What::Text => Cell::Text(Cow::Borrowed(text)),
        What::Bare => Cell::Bare(text),
        What::Escaped => {
            let quoted = [b"\"", text, b"\""].concat();
            serde_json::from_slice::<String>(&quoted).map_or(Cell::Missing, |text| Cell::Text(Cow::Owned(text.into_bytes())))
        }
        What::Array => serde_json::from_slice::<Value>(text).map_or(Cell::Missing, |value| wrapped::of_value(&value)),
    }
}

/// The row of a record whose values `get` tells by number.
fn take<'a>(
    keys: &mut Keys,
    get: &dyn Fn(usize) -> Cell<'a>,
    weight: usize,
    default: &str,
    plan: &Plan,
    sink: &mut Sink<'_>,
    passed: &mut Option<String>,
) -> Row {
    let name = name_of(keys, get, default);
    let known = if keys.last.0 == name { keys.last.1 } else { plan.place(&name) };
    let Some(place) = known else {
        *passed = Some(name.into_owned());
        return Row::Other;
    };
    let (Some(log), Some(ids)) = (plan.log(place), keys.fields.get(place)) else {
        return Row::Other;
    };
    let conn = log.name == "conn";
    let asked = plan.keep.as_ref().is_some_and(|keep| conn || keep.hot.is_some());
    let cold = if asked { wanted(plan, &keys.ends, get, conn) } else { Wanted::Taken };
    if cold == Wanted::Dropped {
        return Row::Dropped;
    }
    let value_of = |ids: &[usize]| ids.iter().map(|id| get(*id)).find(|cell| !matches!(cell, Cell::Missing)).unwrap_or(Cell::Missing);
    let Some(columns) = sink.columns.get_mut(place) else {
        return Row::Other;
    };
    if sink.channels.is_none() || plan.checks() {
        let filled = fill(log, columns, |at| ids.get(at).map_or(Cell::Missing, |ids| value_of(ids)));
        if filled.is_err() || sink.channels.is_some() || cold == Wanted::Looked {
            columns.undo();
        }
        if let Err(reason) = filled {
            return Row::Refused(reason);
        }
    }
    if let (Some(channels), Some(keep)) = (&mut sink.channels, &plan.keep) {
        let text = |at: usize| ids.get(at).and_then(|ids| value_of(ids).text()).filter(|text| !matches!(&**text, b"" | b"-"));
        return match channels.add(keep, None, text) {
            Ok(()) => Row::Taken,
            Err((at, reason)) => {
                let name = log.fields.get(at).map_or("", |field| &field.name);
                Row::Refused(reason.map_or_else(|| format!("no {name}"), |reason| format!("{name}: {reason}")))
            }
        };
    }
    if cold == Wanted::Looked {
        return Row::Dropped;
    }
    sink.done(place, &name, weight);
    Row::Taken
}

/// All values of a row to its columns; in vain where one is not what it must be.
fn fill<'a>(log: &Log, columns: &mut Columns, value: impl Fn(usize) -> Cell<'a>) -> Result<(), String> {
    let mut out = columns.row();
    for (at, field) in log.fields.iter().enumerate() {
        let found = value(at);
        let empty = match &found {
            Cell::Missing => true,
            Cell::Text(text) => matches!(&**text, b"" | b"-"),
            _ => false,
        };
        match empty {
            true if field.filled => return Err(format!("no {}", field.name)),
            true => out.null(),
            false => out.cell(&found).map_err(|reason| format!("{}: {reason}", field.name))?,
        }
    }
    Ok(())
}

/// What is to become of a conn row.
#[derive(PartialEq, Eq)]
enum Wanted {
    Taken,
    /// It is looked at whole and then dropped.
    Looked,
    Dropped,
}

/// Whether a conn row, or one of a log that speaks of sessions, is wanted; one whose ends are not what they should be is looked at whole.
fn wanted<'a>(plan: &Plan, ends: &Ends, get: &dyn Fn(usize) -> Cell<'a>, conn: bool) -> Wanted {
    let Some(keep) = &plan.keep else { return Wanted::Taken };
    let text = |id| get(id).text().unwrap_or_default();
    let (Some(orig), Some(resp)) = (keep.place(&text(ends.orig)), keep.place(&text(ends.resp))) else {
        return Wanted::Taken;
    };
    let Some(port) = value::port(&text(ends.port)).ok().and_then(|port| u16::try_from(port).ok()) else {
        return Wanted::Taken;
    };
    let by_content = || {
        let count = |id| value::whole(&text(id)).unwrap_or(0);
        keep.by_content(orig.1, resp.1, &text(ends.service), count(ends.orig_bytes), count(ends.resp_bytes))
    };
    let chosen = !conn || keep.by_ends(orig.1, resp.1, port).unwrap_or_else(by_content);
    match keep.cold(Some(&Parsed { orig, resp, port })) {
        Some(true) if chosen => Wanted::Looked,
        None if chosen => Wanted::Taken,
        _ => Wanted::Dropped,
    }
}

/// The log a record belongs to: what it says, else what its keys say, else what the file is called.
fn name_of<'a, 'n>(keys: &'n Keys, get: &dyn Fn(usize) -> Cell<'a>, default: &'n str) -> Cow<'n, str>
where
    'a: 'n,
{
    for id in &keys.names {
        if let Cell::Text(text) = get(*id) {
            return match text {
                Cow::Borrowed(text) => String::from_utf8_lossy(text),
                Cow::Owned(text) => Cow::Owned(String::from_utf8_lossy(&text).into_owned()),
            };
        }
    }
    let sign = keys.signs.iter().find(|(id, _)| !matches!(get(*id), Cell::Missing));
    Cow::Borrowed(sign.map_or(default, |(_, log)| log.as_str()))
}

/// The first object of a JSON line begins here; a UTF-8 byte order mark is passed over.
pub fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii();
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    debug_assert!(memchr(b'\n', line).is_none());
    line
}
