//! The rows of a log that become a batch; a row that is refused half-way is taken back.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, Field as ArrowField, Schema, SchemaRef};

pub use super::column::Cell;
use super::column::Column;
use super::plan::{Field, Kind, Log};
use super::sink::ROWS;
use super::value;
use crate::side::Networks;

/// The rows of one log that wait to become a batch.
pub struct Columns {
    schema: SchemaRef,
    /// Made when the first row of a batch comes.
    fields: Vec<Column>,
    kinds: Vec<Kind>,
    /// The fields that are ends of sessions, whose sides have columns of their own.
    ends: Option<[usize; 2]>,
    networks: Option<Arc<Networks>>,
    /// Names that rows were written under: the few there are, and for each row which.
    lognames: Vec<String>,
    logname: Vec<i32>,
    file: String,
    pub rows: usize,
}

/// The fields of a conn log that the columns `orig_side` and `resp_side` speak of.
fn ends(log: &Log) -> Option<[usize; 2]> {
    let at = |name: &str| log.fields.iter().position(|field| field.name == name);
    let found = if log.name == "conn" {
        [at("orig_h")?, at("resp_h")?]
    } else {
        return None;
    };
    found.is_sorted().then_some(found)
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

/// The columns of a row that is being put together, in the order of the log's fields.
pub struct Row<'a>(std::slice::IterMut<'a, Column>);

impl Row<'_> {
    pub fn null(&mut self) {
        if let Some(column) = self.0.next() {
            column.null();
        }
    }

    /// Text without escapes.
    ///
    /// # Errors
    /// What was expected.
    #[inline]
    pub fn text(&mut self, text: &[u8]) -> Result<(), value::Bad> {
        self.0.next().map_or(Ok(()), |column| column.put(text))
    }

    /// A cell by its column's kind.
    ///
    /// # Errors
    /// What was expected.
    pub fn cell(&mut self, cell: &Cell<'_>) -> Result<(), value::Bad> {
        self.0.next().map_or(Ok(()), |column| column.cell(cell))
    }
}

impl Columns {
    pub fn new(log: &Log, file: &str, networks: Option<&Arc<Networks>>) -> Self {
        Self {
            schema: schema(log),
            fields: Vec::new(),
            kinds: log.fields.iter().map(|field| field.kind).collect(),
            ends: ends(log),
            networks: networks.cloned(),
            lognames: Vec::new(),
            logname: Vec::new(),
            file: file.to_owned(),
            rows: 0,
        }
    }

    /// Begin a row: `done` or `undo` ends it.
    pub fn row(&mut self) -> Row<'_> {
        if self.fields.is_empty() {
            self.fields = self.kinds.iter().map(|kind| Column::new(*kind, ROWS)).collect();
            for end in self.ends.iter().flatten() {
                if let Some(column) = self.fields.get_mut(*end) {
                    column.place(self.networks.clone(), ROWS);
                }
            }
        }
        Row(self.fields.iter_mut())
    }

    /// Every cell of the row passed.
    pub fn done(&mut self, logname: &str) {
        let known = self.lognames.iter().position(|name| name == logname).unwrap_or_else(|| {
            self.lognames.push(logname.to_owned());
            self.lognames.len() - 1
        });
        self.logname.push(i32::try_from(known).unwrap_or(0));
        self.rows += 1;
    }

    /// A cell did not pass: forget those before it.
    pub fn undo(&mut self) {
        for column in &mut self.fields {
            column.cut(self.rows);
        }
    }

    /// What was appended since the last time.
    ///
    /// # Errors
    /// Never for columns of one length.
    pub fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut sides = Vec::new();
        let mut arrays = self.fields.drain(..).map(|column| column.finish(&mut sides)).collect::<Result<Vec<_>, _>>()?;
        let names = Arc::new(StringArray::from_iter_values(self.lognames.drain(..)));
        let keys = Int32Array::from(std::mem::take(&mut self.logname));
        arrays.push(Arc::new(DictionaryArray::try_new(keys, names)?));
        let file = Arc::new(StringArray::from_iter_values([&self.file]));
        arrays.push(Arc::new(DictionaryArray::<Int32Type>::try_new(Int32Array::from(vec![0; self.rows]), file)?));
        arrays.extend(sides);
        self.rows = 0;
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }
}
