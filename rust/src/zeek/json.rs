//! JSON lines: a scan that takes only the keys somebody wants; what it does not know is left to serde_json.
//!
//! Keys are compared in lower case with dots as underscores, nested objects flattened (`{"id": {"orig_h": …}}` is `id_orig_h`).

use std::borrow::Cow;
use std::collections::HashMap;

use memchr::{memchr, memchr2};
use serde_json::Value;

use super::columns::{Cell, Ready, ready};
use super::plan::{Field, Plan};
use super::sink::{Row, Sink};
use super::value::{self, BETWEEN};

/// A value as the scan left it.
#[derive(Clone, Copy)]
enum Raw<'a> {
    Missing,
    Text(&'a [u8]),
    /// A string with escapes, without its quotes.
    Escaped(&'a [u8]),
    Bare(&'a [u8]),
    /// An array with its brackets.
    Array(&'a [u8]),
}

/// The keys that somebody wants, numbered.
pub struct Keys {
    ids: HashMap<String, usize>,
    /// Keys as they stood on the line before, in order, with their number: the next line has nearly always the same.
    order: Vec<(Vec<u8>, Option<usize>)>,
    names: Vec<usize>,
    signs: Vec<(usize, String)>,
    uid: usize,
    ts: usize,
    /// For each log, for each field, the numbers of its names.
    fields: Vec<Vec<Vec<usize>>>,
}

impl Keys {
    pub fn new(plan: &Plan) -> Self {
        let mut ids = HashMap::new();
        let mut id = |name: &str| {
            let next = ids.len();
            *ids.entry(name.to_owned()).or_insert(next)
        };
        let (uid, ts) = (id("uid"), id("ts"));
        let names = plan.names.iter().map(|name| id(name)).collect();
        let signs = plan.signs.iter().map(|(key, log)| (id(key), log.clone())).collect();
        let fields = plan.logs.iter().map(|log| log.fields.iter().map(|f| f.names.iter().map(|n| id(n)).collect()).collect()).collect();
        Self { ids, order: Vec::new(), names, signs, uid, ts, fields }
    }

    fn look(&self, normal: &str) -> Option<usize> {
        self.ids.get(normal).copied()
    }

    /// The number of the `index`-th key of a line.
    fn at(&mut self, index: usize, key: &[u8]) -> Option<usize> {
        if let Some((known, id)) = self.order.get(index)
            && known == key
        {
            return *id;
        }
        let id = self.look(&normal(key));
        if let Some(slot) = self.order.get_mut(index) {
            *slot = (key.to_vec(), id);
        } else if self.order.len() < 256 {
            self.order.push((key.to_vec(), id));
        }
        id
    }
}

fn normal(key: &[u8]) -> String {
    String::from_utf8_lossy(key).to_lowercase().replace('.', "_")
}

/// One line, scanned; its values borrow from it.
struct Scan<'a, 'k> {
    line: &'a [u8],
    at: usize,
    keys: &'k mut Keys,
    index: usize,
    values: Vec<Raw<'a>>,
}

/// The scan met something that it does not know.
struct Unknown;

type Step<T> = Result<T, Unknown>;

impl<'a> Scan<'a, '_> {
    fn peek(&mut self) -> Step<u8> {
        loop {
            match self.line.get(self.at) {
                Some(b' ' | b'\t' | b'\r') => self.at += 1,
                Some(byte) => return Ok(*byte),
                None => return Err(Unknown),
            }
        }
    }

    fn expect(&mut self, byte: u8) -> Step<()> {
        if self.peek()? != byte {
            return Err(Unknown);
        }
        self.at += 1;
        Ok(())
    }

    /// A string without its quotes, and whether it holds escapes.
    fn string(&mut self) -> Step<(&'a [u8], bool)> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let found = memchr2(b'"', b'\\', self.line.get(self.at..).ok_or(Unknown)?).ok_or(Unknown)?;
            self.at += found;
            if self.line.get(self.at) == Some(&b'"') {
                let text = self.line.get(start..self.at).ok_or(Unknown)?;
                self.at += 1;
                return Ok((text, escaped));
            }
            escaped = true;
            self.at += 2;
        }
    }

    /// An object; at depth 0 the line's own.
    fn object(&mut self, prefix: &str, depth: usize) -> Step<()> {
        if depth > 8 {
            return Err(Unknown);
        }
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            let (key, escaped) = self.string()?;
            if escaped {
                return Err(Unknown);
            }
            self.expect(b':')?;
            self.member(prefix, key, depth)?;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(Unknown),
            }
            self.peek()?;
        }
    }

    fn member(&mut self, prefix: &str, key: &[u8], depth: usize) -> Step<()> {
        if self.peek()? == b'{' {
            let inner = format!("{prefix}{}_", normal(key));
            return self.object(&inner, depth + 1);
        }
        let id = if depth == 0 {
            self.index += 1;
            self.keys.at(self.index - 1, key)
        } else {
            self.keys.look(&format!("{prefix}{}", normal(key)))
        };
        let value = self.value()?;
        if let Some(slot) = id.and_then(|id| self.values.get_mut(id))
            && matches!(slot, Raw::Missing)
        {
            *slot = value;
        }
        Ok(())
    }

    fn value(&mut self) -> Step<Raw<'a>> {
        match self.peek()? {
            b'"' => {
                let (text, escaped) = self.string()?;
                Ok(if escaped { Raw::Escaped(text) } else { Raw::Text(text) })
            }
            b'[' => self.array(),
            _ => self.bare(),
        }
    }

    /// An array, passed over; what stands in it is looked at when it is asked for.
    fn array(&mut self) -> Step<Raw<'a>> {
        let start = self.at;
        self.at += 1;
        let mut first = true;
        loop {
            match self.peek()? {
                b']' if first => break,
                b'"' => drop(self.string()?),
                b'[' | b'{' => return Err(Unknown),
                _ => drop(self.bare()?),
            }
            first = false;
            match self.peek()? {
                b',' => self.at += 1,
                b']' => break,
                _ => return Err(Unknown),
            }
        }
        self.at += 1;
        Ok(Raw::Array(self.line.get(start..self.at).ok_or(Unknown)?))
    }

    /// A number or literal.
    fn bare(&mut self) -> Step<Raw<'a>> {
        let rest = self.line.get(self.at..).ok_or(Unknown)?;
        let end = rest.iter().position(|b| matches!(b, b',' | b'}' | b']' | b' ' | b'\t' | b'\r')).ok_or(Unknown)?;
        let text = rest.get(..end).ok_or(Unknown)?;
        self.at += end;
        match text {
            b"null" => Ok(Raw::Missing),
            b"true" | b"false" => Ok(Raw::Bare(text)),
            _ if is_number(text) => Ok(Raw::Bare(text)),
            _ => Err(Unknown),
        }
    }
}

/// JSON's grammar of a number.
fn is_number(text: &[u8]) -> bool {
    let body = text.strip_prefix(b"-").unwrap_or(text);
    let digits = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = digits(body);
    if whole == 0 || (whole > 1 && body.first() == Some(&b'0')) {
        return false;
    }
    let mut rest = body.get(whole..).unwrap_or_default();
    if let Some(after) = rest.strip_prefix(b".") {
        let count = digits(after);
        if count == 0 {
            return false;
        }
        rest = after.get(count..).unwrap_or_default();
    }
    if let Some(after) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let signed = after.strip_prefix(b"+").or_else(|| after.strip_prefix(b"-")).unwrap_or(after);
        return !signed.is_empty() && digits(signed) == signed.len();
    }
    rest.is_empty()
}

/// One data row.
pub fn row(keys: &mut Keys, line: &[u8], default: &str, plan: &Plan, sink: &mut Sink<'_>, passed: &mut Option<String>) -> Row {
    let plain = !line.iter().any(|b| *b < 0x20 && *b != b'\t') && !line.contains(&b'\t') && std::str::from_utf8(line).is_ok();
    if plain {
        let count = keys.ids.len();
        let mut scan = Scan { line, at: 0, keys, index: 0, values: vec![Raw::Missing; count] };
        let done = scan.object("", 0).is_ok() && scan.at == line.len();
        let values = scan.values;
        if done {
            let there = |id: usize| values.get(id).is_some_and(|raw| !matches!(raw, Raw::Missing));
            if there(keys.uid) || (there(keys.ts) && keys.signs.iter().any(|(id, _)| there(*id))) {
                return take(keys, &|id| cell(values.get(id).copied().unwrap_or(Raw::Missing)), default, plan, sink, passed);
            }
        }
    }
    slow(keys, line, default, plan, sink, passed)
}

fn cell(raw: Raw<'_>) -> Cell<'_> {
    match raw {
        Raw::Missing => Cell::Missing,
        Raw::Text(text) => Cell::Text(Cow::Borrowed(text)),
        Raw::Bare(text) => Cell::Bare(text),
        Raw::Escaped(text) => {
            let mut quoted = Vec::with_capacity(text.len() + 2);
            quoted.push(b'"');
            quoted.extend_from_slice(text);
            quoted.push(b'"');
            serde_json::from_slice::<String>(&quoted).map_or(Cell::Missing, |text| Cell::Text(Cow::Owned(text.into_bytes())))
        }
        Raw::Array(text) => serde_json::from_slice::<Value>(text).map_or(Cell::Missing, |value| of_value(&value)),
    }
}

/// The row of a record whose values `get` tells by number.
fn take<'a>(
    keys: &Keys,
    get: &dyn Fn(usize) -> Cell<'a>,
    default: &str,
    plan: &Plan,
    sink: &mut Sink<'_>,
    passed: &mut Option<String>,
) -> Row {
    let name = name_of(keys, get, default, plan);
    let Some(place) = plan.place(&name) else {
        *passed = Some(name);
        return Row::Other;
    };
    let (Some(log), Some(ids)) = (plan.log(place), keys.fields.get(place)) else { return Row::Other };
    let mut out = Vec::with_capacity(log.fields.len());
    for (field, ids) in log.fields.iter().zip(ids) {
        let found = ids.iter().map(|id| get(*id)).find(|cell| !matches!(cell, Cell::Missing)).unwrap_or(Cell::Missing);
        match field_value(field, found) {
            Ok(value) => out.push(value),
            Err(reason) => return Row::Refused(reason),
        }
    }
    if log.name == "conn" && !wanted(plan, &out) {
        return Row::Dropped;
    }
    sink.push(place, &out, &name);
    Row::Taken
}

fn field_value<'a>(field: &Field, cell: Cell<'a>) -> Result<Ready<'a>, String> {
    let empty = match &cell {
        Cell::Missing => true,
        Cell::Text(text) => matches!(&**text, b"" | b"-"),
        _ => false,
    };
    if empty {
        return if field.filled { Err(format!("no {}", field.name)) } else { Ok(Ready::Null) };
    }
    ready(field.kind, cell).map_err(|reason| format!("{}: {reason}", field.name))
}

/// Whether a conn row is wanted, asked of its typed cells; their order is that of `fields.LOGS["conn"]`.
fn wanted(plan: &Plan, out: &[Ready<'_>]) -> bool {
    let Some(keep) = &plan.keep else { return true };
    let [_, _, orig, _, resp, Ready::Port(port), _, service, _, orig_bytes, resp_bytes, ..] = out else { return true };
    let address = |cell: &Ready<'_>| match cell {
        Ready::Addr(address) => Some(*address),
        Ready::V4(text) => value::address(text).ok(),
        _ => None,
    };
    let (Some(orig), Some(resp)) = (address(orig), address(resp)) else { return true };
    let (orig, resp) = (keep.side(orig), keep.side(resp));
    let count = |cell: &Ready<'_>| if let Ready::Whole(value) = cell { *value } else { 0 };
    let service = if let Ready::Text(text) = service { String::from_utf8_lossy(text) } else { Cow::Borrowed("") };
    keep.by_ends(orig, resp, u16::try_from(*port).unwrap_or(0))
        .unwrap_or_else(|| keep.by_content(orig, resp, &service, count(orig_bytes), count(resp_bytes)))
}

/// The log a record belongs to: what it says, else what its keys say, else what the file is called.
fn name_of<'a>(keys: &Keys, get: &dyn Fn(usize) -> Cell<'a>, default: &str, plan: &Plan) -> String {
    for id in &keys.names {
        if let Cell::Text(text) = get(*id) {
            return String::from_utf8_lossy(&text).into_owned();
        }
    }
    let sign = keys.signs.iter().find(|(id, _)| !matches!(get(*id), Cell::Missing)).map(|(_, log)| log.as_str());
    match sign {
        Some(log) if plan.place(default).is_some_and(|place| Some(place) == plan.place(log)) => default.to_owned(),
        Some(log) => log.to_owned(),
        None => default.to_owned(),
    }
}

/// A line that the scan left: not UTF-8, wrapped by a shipper, or no JSON at all.
fn slow(keys: &Keys, line: &[u8], default: &str, plan: &Plan, sink: &mut Sink<'_>, passed: &mut Option<String>) -> Row {
    let text = String::from_utf8_lossy(line);
    let Ok(Value::Object(record)) = serde_json::from_str::<Value>(&text) else { return Row::Refused("not a JSON object".into()) };
    let Some(flat) = unwrap(keys, &record, plan, 0) else { return Row::Refused("not a JSON object".into()) };
    let by_id: HashMap<usize, &Value> = flat.iter().filter_map(|(name, value)| keys.look(name).map(|id| (id, value))).collect();
    let lent: HashMap<usize, Lent> = by_id.iter().map(|(id, value)| (*id, Lent::of(value))).collect();
    take(keys, &|id| lent.get(&id).map_or(Cell::Missing, Lent::cell), default, plan, sink, passed)
}

/// A value with the text that a cell can borrow.
enum Lent {
    Text(Vec<u8>),
    Bare(Vec<u8>),
    List(String, String),
    Missing,
}

impl Lent {
    fn of(value: &Value) -> Self {
        match of_value(value) {
            Cell::List(parts, commas) => Self::List(parts, commas),
            Cell::Text(text) => Self::Text(text.into_owned()),
            _ => match value {
                Value::Number(number) => Self::Bare(number.to_string().into_bytes()),
                Value::Bool(flag) => Self::Bare(flag.to_string().into_bytes()),
                _ => Self::Missing,
            },
        }
    }

    fn cell(&self) -> Cell<'_> {
        match self {
            Self::Text(text) => Cell::Text(Cow::Borrowed(text)),
            Self::Bare(text) => Cell::Bare(text),
            Self::List(parts, commas) => Cell::List(parts.clone(), commas.clone()),
            Self::Missing => Cell::Missing,
        }
    }
}

/// Lists and strings as cells; numbers, literals and objects are `Missing`.
fn of_value<'a>(value: &Value) -> Cell<'a> {
    match value {
        Value::String(text) => Cell::Text(Cow::Owned(text.clone().into_bytes())),
        Value::Array(items) => {
            let words: Vec<String> = items.iter().map(word).collect();
            Cell::List(words.join(&BETWEEN.to_string()), words.join(","))
        }
        _ => Cell::Missing,
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "T".into(),
        Value::Bool(false) => "F".into(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) => items.iter().map(word).collect::<Vec<_>>().join(","),
        Value::Null | Value::Object(_) => String::new(),
    }
}

type Record = serde_json::Map<String, Value>;
type Flat = Vec<(String, Value)>;

/// Keys in one level; the first of two equal keys stays.
fn flat(record: &Record, prefix: &str, out: &mut Flat) {
    for (key, value) in record {
        let name = format!("{prefix}{}", normal(key.as_bytes()));
        match value {
            Value::Object(inner) => flat(inner, &format!("{name}_"), out),
            Value::Null => {}
            _ if out.iter().any(|(known, _)| *known == name) => {}
            _ => out.push((name, value.clone())),
        }
    }
}

/// The log's own record, taken out of what a shipper put around it; `None` where the inner text is no JSON object.
fn unwrap(keys: &Keys, record: &Record, plan: &Plan, depth: usize) -> Option<Flat> {
    let mut outer = Flat::new();
    flat(record, "", &mut outer);
    let has = |id: usize| outer.iter().any(|(name, _)| keys.look(name) == Some(id));
    if depth > 8 || has(keys.uid) || (has(keys.ts) && keys.signs.iter().any(|(id, _)| has(*id))) {
        return Some(outer);
    }
    for key in &plan.wraps {
        let inner = match record.get(key) {
            Some(Value::String(text)) if text.trim_start().starts_with('{') => match serde_json::from_str(text) {
                Ok(Value::Object(inner)) => inner,
                _ => return None,
            },
            Some(Value::Object(inner)) => inner.clone(),
            _ => continue,
        };
        return Some(named(unwrap(keys, &inner, plan, depth + 1)?, &outer, plan));
    }
    Some(outer)
}

/// A wrapper's word for the log (a path or a source type), where the record itself has none.
fn named(mut inner: Flat, outer: &Flat, plan: &Plan) -> Flat {
    if inner.iter().any(|(name, _)| plan.names.contains(name)) {
        return inner;
    }
    for key in ["log_file_path", "sourcetype", "source", "path", "file"] {
        let Some((_, value)) = outer.iter().find(|(name, _)| name == key) else { continue };
        let text = word(value).to_lowercase();
        let text = text.strip_suffix(".log").unwrap_or(&text);
        let part = text.rsplit(['/', '\\', ':', '_', '.']).find(|part| plan.known(part));
        if let Some(part) = part {
            inner.push(("_path".into(), Value::String(part.into())));
            break;
        }
    }
    inner
}

/// The first object of a JSON line begins here; a UTF-8 byte order mark is passed over.
pub fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii();
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    debug_assert!(memchr(b'\n', line).is_none());
    line
}

