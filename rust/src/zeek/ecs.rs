//! Records of Zeek's logs that were turned into Elastic's Common Schema, turned back; `netexfil/read/ecs.py` does the same.

use std::collections::HashSet;

use serde_json::{Number, Value};

use super::plan::Ecs;
use super::wrapped::Flat;

const FROM: &str = "zeek.";

/// Under Zeek's names; `None` where a record (its keys flattened) does not say that it is of one of Zeek's logs.
pub fn record(outer: &Flat, ecs: &Ecs) -> Option<Flat> {
    let get = |key: &str| outer.iter().find(|(name, _)| name == key).map(|(_, value)| value);
    let dataset = ecs.datasets.iter().find_map(|key| get(key)?.as_str()?.strip_prefix(FROM))?;
    let prefix = format!("zeek_{dataset}_");
    let log = ecs.logs.get(dataset).map_or(dataset, String::as_str);
    let mut found: Flat = vec![("_path".into(), Value::String(log.into()))];
    let mut seen = HashSet::from(["_path".to_owned()]);
    let mut put = |ours: &str, value: Value| {
        if seen.insert(ours.to_owned()) {
            found.push((ours.to_owned(), value));
        }
    };
    for (only, theirs, ours) in &ecs.names {
        let value = if *theirs == ecs.duration { get(theirs).and_then(seconds) } else { get(theirs).cloned() };
        if let Some(value) = value.filter(|_| only.is_empty() || only == dataset) {
            put(ours, value);
        }
    }
    for (key, value) in outer {
        if let Some(ours) = key.strip_prefix(&prefix) {
            put(ours, value.clone());
        }
    }
    Some(found)
}

/// Of nanoseconds.
fn seconds(value: &Value) -> Option<Value> {
    Number::from_f64(value.as_f64()? / 1e9).map(Value::Number)
}
