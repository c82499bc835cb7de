//! Rows to a Parquet file, some at a time.

use std::io::Result;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::{COLUMNS, Read, Row};
use crate::batch::written;
use crate::flow::key;

/// A row group ends with so many rows, or bytes.
const ROWS: usize = 1 << 17;
const BYTES: usize = 32 << 20;
/// Bytes of text that a value of a column takes, to begin with.
const USUAL: usize = 16;

/// The file so far; what is complete of it is taken away.
pub struct Parquet {
    writer: ArrowWriter<Vec<u8>>,
    schema: SchemaRef,
}

impl Read {
    fn kind(&self) -> DataType {
        match self {
            Self::Text(_) | Self::Address(_) | Self::History | Self::Unique(_) | Self::Tunnel => DataType::Utf8,
            Self::Small(_) => DataType::Int32,
            Self::Whole(_) => DataType::Int64,
            Self::Real(_) => DataType::Float64,
            Self::Truth(_) => DataType::Boolean,
        }
    }

    /// Whether values seldom come twice, so that a dictionary would only cost.
    fn unique(&self) -> bool {
        matches!(self, Self::Unique(_) | Self::Real(_))
    }

    /// Some rows of the column.
    fn column(&self, rows: &[Row<'_>]) -> ArrayRef {
        match self {
            Self::Text(read) => texts(rows, |row| read(row)),
            Self::Tunnel => texts(rows, |row| row.session.tunnel.text()),
            Self::Address(read) => written(rows, |row, text| key::write(read(row), text)),
            Self::History => written(rows, |row, text| row.session.history.write(text)),
            Self::Unique(write) => written(rows, write),
            Self::Small(read) => Arc::new(rows.iter().map(|row| Some(read(row))).collect::<Int32Array>()),
            Self::Whole(read) => Arc::new(rows.iter().map(read).collect::<Int64Array>()),
            Self::Real(read) => Arc::new(rows.iter().map(read).collect::<Float64Array>()),
            Self::Truth(read) => Arc::new(rows.iter().map(read).collect::<BooleanArray>()),
        }
    }
}

fn texts<'a, T: AsRef<str>>(rows: &'a [Row<'a>], read: impl Fn(&'a Row<'a>) -> Option<T>) -> ArrayRef {
    let mut column = StringBuilder::with_capacity(rows.len(), rows.len() * USUAL);
    let mut found = false;
    for value in rows.iter().map(read) {
        found |= value.is_some();
        column.append_option(value);
    }
    if found { Arc::new(column.finish()) } else { new_null_array(&DataType::Utf8, rows.len()) }
}

impl Parquet {
    /// # Errors
    /// Where the first bytes cannot be made.
    pub fn new() -> Result<Self> {
        let schema = Arc::new(Schema::new(COLUMNS.iter().map(|(name, read)| Field::new(*name, read.kind(), true)).collect::<Vec<_>>()));
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("netexfil ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_max_row_group_row_count(Some(ROWS))
            .set_max_row_group_bytes(Some(BYTES));
        for (name, read) in &COLUMNS {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(*name), !read.unique());
        }
        let options = ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&schema), options)?;
        Ok(Self { writer, schema })
    }

    /// Take some rows; returns the next piece of the file, empty where none is complete.
    ///
    /// # Errors
    /// Where there is no memory for them.
    pub fn add(&mut self, rows: &[Row<'_>]) -> Result<Vec<u8>> {
        let columns = COLUMNS.iter().map(|(_, read)| read.column(rows)).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(std::io::Error::other)?;
        self.writer.write(&batch)?;
        Ok(std::mem::take(self.writer.inner_mut()))
    }

    /// What is left of the file.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn end(&mut self) -> Result<Vec<u8>> {
        self.writer.finish()?;
        Ok(std::mem::take(self.writer.inner_mut()))
    }
}
