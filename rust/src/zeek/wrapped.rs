//! JSON lines that a shipper wrapped, or that are not UTF-8: read by serde_json, unwrapped, flattened.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::columns::Cell;
use super::ecs;
use super::json::{Keys, normal};
use super::plan::Plan;
use super::value::BETWEEN;

/// The values of a line by their keys' numbers; `None`: it is no JSON object, or the text in its wrapping is none.
pub fn record(keys: &Keys, line: &[u8], plan: &Plan) -> Option<HashMap<usize, Lent>> {
    let text = String::from_utf8_lossy(line);
    let Ok(Value::Object(record)) = serde_json::from_str::<Value>(&text) else {
        return None;
    };
    let flat = unwrap(keys, &record, plan, 0)?;
    Some(flat.iter().filter_map(|(name, value)| keys.look(name).map(|id| (id, Lent::of(value)))).collect())
}

/// A value with the text that a cell can borrow.
pub enum Lent {
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

    pub fn cell(&self) -> Cell<'_> {
        match self {
            Self::Text(text) => Cell::Text(Cow::Borrowed(text)),
            Self::Bare(text) => Cell::Bare(text),
            Self::List(parts, commas) => Cell::List(parts.clone(), commas.clone()),
            Self::Missing => Cell::Missing,
        }
    }
}

/// Lists and strings as cells; numbers, literals and objects are `Missing`.
pub fn of_value<'a>(value: &Value) -> Cell<'a> {
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
pub type Flat = Vec<(String, Value)>;

/// Keys in one level; the first of two equal keys stays.
fn flat(record: &Record, prefix: &str, seen: &mut HashSet<String>, out: &mut Flat) {
    for (key, value) in record {
        let name = format!("{prefix}{}", normal(key.as_bytes()));
        match value {
            Value::Object(inner) => flat(inner, &format!("{name}_"), seen, out),
            Value::Null => {}
            _ if seen.insert(name.clone()) => out.push((name, value.clone())),
            _ => {}
        }
    }
}

/// The log's own record, taken out of what a shipper put around it; `None` where the inner text is no JSON object.
fn unwrap(keys: &Keys, record: &Record, plan: &Plan, depth: usize) -> Option<Flat> {
    let mut outer = Flat::new();
    flat(record, "", &mut HashSet::new(), &mut outer);
    let has = |id: usize| outer.iter().any(|(name, _)| keys.look(name) == Some(id));
    if depth > 8 || has(keys.uid) || (has(keys.ts) && keys.signs.iter().any(|(id, _)| has(*id))) {
        return Some(outer);
    }
    if let Some(found) = ecs::record(&outer, &plan.ecs) {
        let original = outer.iter().find(|(name, _)| name == "event_original").and_then(|(_, text)| text.as_str());
        return match original.filter(|text| text.trim_start().starts_with('{')).map(serde_json::from_str) {
            None => Some(found),
            Some(Ok(Value::Object(inner))) => Some(named(unwrap(keys, &inner, plan, depth + 1)?, &found, plan)),
            Some(_) => None,
        };
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
    if let Some(name) = outer.iter().find(|(name, _)| name == "_path") {
        inner.push(name.clone());
        return inner;
    }
    for key in ["log_file_path", "sourcetype", "source", "path", "file"] {
        let Some((_, value)) = outer.iter().find(|(name, _)| name == key) else {
            continue;
        };
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
