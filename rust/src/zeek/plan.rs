//! What is to be read: logs, their fields, how lines name their log, and which conn rows are wanted.

use std::collections::HashMap;
use std::sync::Arc;

use super::channel::Channels;
use super::keep::Keep;
use crate::side::Networks;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Time,
    Addr,
    Port,
    Proto,
    Str,
    Int,
    Float,
    Bool,
    List,
}

impl Kind {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "time" => Self::Time,
            "addr" => Self::Addr,
            "port" => Self::Port,
            "proto" => Self::Proto,
            "str" => Self::Str,
            "int" => Self::Int,
            "float" => Self::Float,
            "bool" => Self::Bool,
            "list" => Self::List,
            _ => return None,
        })
    }
}

/// One column that is taken from a log; see `netexfil/read/fields.py`, which says them all.
#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    pub kind: Kind,
    pub names: Vec<String>,
    pub required: bool,
    pub filled: bool,
}

#[derive(Debug, Clone)]
pub struct Log {
    pub name: String,
    pub fields: Vec<Field>,
}

/// How records of Elastic's Common Schema are turned back; see `netexfil/read/fields.py`.
#[derive(Debug, Clone, Default)]
pub struct Ecs {
    /// Keys in which a record names its dataset.
    pub datasets: Vec<String>,
    /// Dataset -> log, where they are not called the same.
    pub logs: HashMap<String, String>,
    /// (dataset or nothing, their key, Zeek's).
    pub names: Vec<(String, String, String)>,
    /// The key of a duration in nanoseconds.
    pub duration: String,
}

#[derive(Clone, Default)]
pub struct Plan {
    pub logs: Vec<Log>,
    /// Every name of a wanted log, aliases included -> its place in `logs`.
    pub places: HashMap<String, usize>,
    /// The names of every log that can be read, wanted now or not.
    pub words: Vec<String>,
    /// (key, log): a JSON line that names no log is of the first log whose key it has.
    pub signs: Vec<(String, String)>,
    pub names: Vec<String>,
    pub wraps: Vec<String>,
    pub ecs: Ecs,
    /// Which rows of `conn` are wanted; `None`: all.
    pub keep: Option<Keep>,
    /// For the columns `orig_side` and `resp_side` of `conn`; `None`: they are null.
    pub networks: Option<Arc<Networks>>,
    /// Sum conn rows by channel instead of handing them out; `keep` must be set.
    pub channels: Option<Arc<Channels>>,
}

impl Plan {
    /// The place of the log that a `_path`, `#path` or file name speaks of.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name.trim().to_lowercase().as_str()).copied()
    }

    /// Whether a word is the name of a log that we read.
    pub fn known(&self, word: &str) -> bool {
        self.words.iter().any(|known| known == word)
    }

    /// Whether the cells of rows that are summed must be what they must be, also those that no sum needs.
    pub fn checks(&self) -> bool {
        self.channels.as_ref().is_some_and(|channels| channels.checks())
    }

    pub fn log(&self, place: usize) -> Option<&Log> {
        self.logs.get(place)
    }
}

/// One file to read. `end`: bytes of decompressed text, exclusive.
#[derive(Debug, Clone)]
pub struct File {
    pub path: String,
    pub json: bool,
    /// What the file's header or name says it is.
    pub name: String,
    pub start: u64,
    pub end: Option<u64>,
}
