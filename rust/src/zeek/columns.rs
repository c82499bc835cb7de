//! Cells to Arrow columns: one builder a field, and the name and file that every row carries.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, Float64Builder, Int8Builder, Int32Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, Field as ArrowField, Schema, SchemaRef};

use super::plan::{Field, Kind, Log};
use super::sink::ROWS;
use super::value;
use crate::side::Networks;

/// One cell as a log had it.
pub enum Cell<'a> {
    Missing,
    /// Text, escapes undone, perhaps no UTF-8.
    Text(Cow<'a, [u8]>),
    /// A JSON number or literal, as written.
    Bare(&'a [u8]),
    /// A list: its elements joined with `value::BETWEEN`, and joined with commas.
    List(String, String),
}

enum Column {
    Float(Float64Builder),
    Whole(Int64Builder),
    Port(Int32Builder),
    Flag(BooleanBuilder),
    Text(StringBuilder),
    Word(StringBuilder),
}

impl Column {
    /// A builder with room for `rows` values.
    fn new(kind: Kind, rows: usize) -> Self {
        match kind {
            Kind::Time | Kind::Float => Self::Float(Float64Builder::with_capacity(rows)),
            Kind::Int => Self::Whole(Int64Builder::with_capacity(rows)),
            Kind::Port => Self::Port(Int32Builder::with_capacity(rows)),
            Kind::Bool => Self::Flag(BooleanBuilder::with_capacity(rows)),
            Kind::Proto => Self::Word(StringBuilder::with_capacity(rows, rows * 4)),
            Kind::Addr | Kind::Str | Kind::List => Self::Text(StringBuilder::with_capacity(rows, rows * 12)),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Float(b) => Arc::new(b.finish()),
            Self::Whole(b) => Arc::new(b.finish()),
            Self::Port(b) => Arc::new(b.finish()),
            Self::Flag(b) => Arc::new(b.finish()),
            Self::Text(b) => Arc::new(b.finish()),
            Self::Word(b) => Arc::new(b.finish()),
        }
    }
}

/// A value that passed, waiting until its whole row has.
pub enum Ready<'a> {
    Null,
    Float(f64),
    Whole(i64),
    Port(i32),
    Flag(bool),
    Addr(IpAddr),
    /// An IPv4 address that stands there in its canonical form already.
    V4(Cow<'a, [u8]>),
    Text(Cow<'a, [u8]>),
    Str(String),
    Lower(Cow<'a, [u8]>),
}

/// Text without escapes, by its column's kind: what `ready` does, for the many cells that are plain.
///
/// # Errors
/// What was expected.
#[inline]
pub fn plain(kind: Kind, text: &[u8]) -> Result<Ready<'_>, value::Bad> {
    Ok(match kind {
        Kind::Time => Ready::Float(value::time(text)?),
        Kind::Float => Ready::Float(value::number(text).ok_or("not a number")?),
        Kind::Int => Ready::Whole(value::whole(text)?),
        Kind::Port => Ready::Port(value::port(text)?),
        Kind::Bool => Ready::Flag(value::flag(text)?),
        Kind::Addr => match value::address(text)? {
            IpAddr::V4(_) if !text.contains(&b':') => Ready::V4(Cow::Borrowed(text)),
            address => Ready::Addr(address),
        },
        Kind::Proto => Ready::Lower(Cow::Borrowed(text)),
        Kind::Str | Kind::List => Ready::Text(Cow::Borrowed(text)),
    })
}

/// A cell by its column's kind.
///
/// # Errors
/// What was expected.
pub fn ready<'a>(kind: Kind, cell: Cell<'a>) -> Result<Ready<'a>, value::Bad> {
    let text = match (cell, kind) {
        (Cell::Missing, _) => return Ok(Ready::Null),
        (Cell::Text(text), Kind::Str | Kind::List) => return Ok(Ready::Text(text)),
        (Cell::Text(text), Kind::Proto) => return Ok(Ready::Lower(text)),
        (Cell::Bare(text), Kind::Str | Kind::List | Kind::Proto) => {
            return Ok(Ready::Text(Cow::Borrowed(match (text, kind) {
                (b"true", Kind::Proto) => b"t",
                (b"false", Kind::Proto) => b"f",
                (b"true", _) => b"T",
                (b"false", _) => b"F",
                (text, _) => text,
            })));
        }
        (Cell::List(parts, _), Kind::List) => return Ok(Ready::Str(parts)),
        (Cell::List(_, commas), Kind::Str) => return Ok(Ready::Str(commas)),
        (Cell::List(_, commas), Kind::Proto) => return Ok(Ready::Lower(Cow::Owned(commas.into_bytes()))),
        (Cell::Text(text), _) => text,
        (Cell::Bare(text), Kind::Time | Kind::Float | Kind::Int | Kind::Port | Kind::Bool) => Cow::Borrowed(text),
        (Cell::Bare(_) | Cell::List(..), _) => Cow::Borrowed(&b"?"[..]),
    };
    Ok(match kind {
        Kind::Time => Ready::Float(value::time(&text)?),
        Kind::Float => Ready::Float(value::number(&text).ok_or("not a number")?),
        Kind::Int => Ready::Whole(value::whole(&text)?),
        Kind::Port => Ready::Port(value::port(&text)?),
        Kind::Bool => Ready::Flag(value::flag(&text)?),
        Kind::Addr => match value::address(&text)? {
            IpAddr::V4(_) if !text.contains(&b':') => Ready::V4(text),
            address => Ready::Addr(address),
        },
        Kind::Proto | Kind::Str | Kind::List => Ready::Null,
    })
}

/// The rows of one log that wait to become a batch.
pub struct Columns {
    schema: SchemaRef,
    /// Made when the first row of a batch comes.
    fields: Vec<Column>,
    kinds: Vec<Kind>,
    /// Names that rows were written under: the few there are, and for each row which.
    lognames: Vec<String>,
    logname: Vec<i32>,
    file: String,
    sides: Option<Sides>,
    scratch: String,
    pub rows: usize,
}

/// Where the ends of a conn row stand.
struct Sides {
    networks: Option<Networks>,
    /// The fields `orig_h` and `resp_h`.
    at: [usize; 2],
    found: [Int8Builder; 2],
}

impl Sides {
    /// `None` for a log whose rows are no sessions.
    fn new(log: &Log, networks: Option<&Networks>) -> Option<Self> {
        Some(Self { networks: networks.cloned(), at: ends(log)?, found: Default::default() })
    }

    fn push(&mut self, cells: &[Ready<'_>]) {
        for (at, found) in self.at.iter().zip(&mut self.found) {
            let address = match cells.get(*at) {
                Some(Ready::Addr(address)) => Some(*address),
                Some(Ready::V4(text)) => value::address(text).ok(),
                _ => None,
            };
            found.append_option(self.networks.as_ref().zip(address).map(|(networks, address)| networks.side(address) as i8));
        }
    }
}

/// The fields of a conn log that the columns `orig_side` and `resp_side` speak of.
fn ends(log: &Log) -> Option<[usize; 2]> {
    let at = |name: &str| log.fields.iter().position(|field| field.name == name);
    if log.name == "conn" { Some([at("orig_h")?, at("resp_h")?]) } else { None }
}

/// The schema of a log's rows.
pub fn schema(log: &Log) -> SchemaRef {
    let word = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let kind = |field: &Field| match field.kind {
        Kind::Time | Kind::Float => DataType::Float64,
        Kind::Int => DataType::Int64,
        Kind::Port => DataType::Int32,
        Kind::Bool => DataType::Boolean,
        Kind::Addr | Kind::Str | Kind::List | Kind::Proto => DataType::Utf8,
    };
    let mut fields: Vec<_> = log.fields.iter().map(|field| ArrowField::new(&field.name, kind(field), true)).collect();
    fields.extend(["logname", "file"].map(|name| ArrowField::new(name, word.clone(), true)));
    if ends(log).is_some() {
        fields.extend(["orig_side", "resp_side"].map(|name| ArrowField::new(name, DataType::Int8, true)));
    }
    Arc::new(Schema::new(fields))
}

impl Columns {
    pub fn new(log: &Log, file: &str, networks: Option<&Networks>) -> Self {
        Self {
            schema: schema(log),
            fields: Vec::new(),
            kinds: log.fields.iter().map(|field| field.kind).collect(),
            lognames: Vec::new(),
            logname: Vec::new(),
            file: file.to_owned(),
            sides: Sides::new(log, networks),
            scratch: String::new(),
            rows: 0,
        }
    }

    /// Append a row whose cells all passed.
    pub fn push(&mut self, cells: &[Ready<'_>], logname: &str) {
        if self.fields.is_empty() {
            self.fields = self.kinds.iter().map(|kind| Column::new(*kind, ROWS)).collect();
        }
        for (column, cell) in self.fields.iter_mut().zip(cells) {
            put(column, cell, &mut self.scratch);
        }
        if let Some(sides) = &mut self.sides {
            sides.push(cells);
        }
        let known = self.lognames.iter().position(|name| name == logname).unwrap_or_else(|| {
            self.lognames.push(logname.to_owned());
            self.lognames.len() - 1
        });
        self.logname.push(i32::try_from(known).unwrap_or(0));
        self.rows += 1;
    }

    /// What was appended since the last time.
    ///
    /// # Errors
    /// Never for columns of one length.
    pub fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut arrays: Vec<ArrayRef> = self.fields.iter_mut().map(Column::finish).collect();
        self.fields.clear();
        let names = Arc::new(StringArray::from_iter_values(self.lognames.drain(..)));
        let keys = Int32Array::from(std::mem::take(&mut self.logname));
        arrays.push(Arc::new(DictionaryArray::try_new(keys, names)?));
        let file = Arc::new(StringArray::from_iter_values([&self.file]));
        arrays.push(Arc::new(DictionaryArray::try_new(Int32Array::from(vec![0; self.rows]), file)?));
        if let Some(sides) = &mut self.sides {
            arrays.extend(sides.found.iter_mut().map(|found| Arc::new(found.finish()) as ArrayRef));
        }
        self.rows = 0;
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }
}

fn text(builder: &mut StringBuilder, value: &[u8]) {
    match std::str::from_utf8(value) {
        Ok(value) => builder.append_value(value),
        Err(_) => builder.append_value(String::from_utf8_lossy(value)),
    }
}

fn put(column: &mut Column, cell: &Ready<'_>, scratch: &mut String) {
    match (column, cell) {
        (Column::Float(b), Ready::Float(v)) => b.append_value(*v),
        (Column::Float(b), _) => b.append_null(),
        (Column::Whole(b), Ready::Whole(v)) => b.append_value(*v),
        (Column::Whole(b), _) => b.append_null(),
        (Column::Port(b), Ready::Port(v)) => b.append_value(*v),
        (Column::Port(b), _) => b.append_null(),
        (Column::Flag(b), Ready::Flag(v)) => b.append_value(*v),
        (Column::Flag(b), _) => b.append_null(),
        (Column::Text(b), Ready::Addr(v)) => {
            // Writing to a string builder never fails.
            let _ = write!(b, "{v}");
            b.append_value("");
        }
        (Column::Text(b), Ready::V4(v) | Ready::Text(v)) => text(b, v),
        (Column::Text(b), Ready::Str(v)) => b.append_value(v),
        (Column::Text(b), _) => b.append_null(),
        (Column::Word(b), Ready::Lower(v) | Ready::Text(v)) => {
            scratch.clear();
            scratch.push_str(&String::from_utf8_lossy(v));
            scratch.make_ascii_lowercase();
            b.append_value(&*scratch);
        }
        (Column::Word(b), _) => b.append_null(),
    }
}
