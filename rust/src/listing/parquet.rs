//! Rows to a Parquet file, a row group at a time (format: github.com/apache/parquet-format, `parquet.thrift`).

use std::io::Result;

use super::chunk::{Chunk, Kind, Press};
use super::thrift::Record;
use super::{COLUMNS, Read, Row};
use crate::flow::key;

/// A row group ends with so many rows, or bytes.
const ROWS: usize = 1 << 17;
const BYTES: usize = 32 << 20;

const MAGIC: &[u8; 4] = b"PAR1";
/// The file's version, and that a value may be missing.
const VERSION: i32 = 1;
const OPTIONAL: i32 = 1;

/// The file so far.
pub struct Parquet {
    chunks: Vec<Chunk>,
    press: Press,
    rows: usize,
    written: u64,
    total: u64,
    groups: Vec<Record>,
    text: String,
}

impl Read {
    fn kind(&self) -> (Kind, bool) {
        match self {
            Self::Text(_) | Self::Address(_) | Self::History | Self::Tunnel => (Kind::Text, false),
            Self::Unique(_) => (Kind::Text, true),
            Self::Small(_) => (Kind::Small, false),
            Self::Whole(_) => (Kind::Whole, false),
            Self::Real(_) => (Kind::Real, true),
            Self::Truth(_) => (Kind::Truth, true),
        }
    }
}

/// Some rows of one column.
fn fill(chunk: &mut Chunk, read: &Read, rows: &[Row<'_>], text: &mut String) {
    match read {
        Read::Text(read) => rows.iter().for_each(|row| match read(row) {
            Some(value) => chunk.text(value.as_bytes()),
            None => chunk.skip(),
        }),
        Read::Address(read) => {
            for address in rows.iter().map(read) {
                let whole = u128::from_le_bytes(*address);
                chunk.told((whole as u64, (whole >> 64) as u64), text, |text| key::write(address, text));
            }
        }
        Read::History => {
            for history in rows.iter().map(|row| &row.session.history) {
                if let Some(word) = history.word() {
                    chunk.told((word, 0), text, |text| history.write(text));
                } else {
                    text.clear();
                    history.write(text);
                    chunk.text(text.as_bytes());
                }
            }
        }
        Read::Unique(write) => {
            for row in rows {
                text.clear();
                write(row, text);
                chunk.text(text.as_bytes());
            }
        }
        Read::Small(read) => rows.iter().for_each(|row| chunk.whole(i64::from(read(row)))),
        Read::Whole(read) => rows.iter().for_each(|row| match read(row) {
            Some(value) => chunk.whole(value),
            None => chunk.skip(),
        }),
        Read::Real(read) => rows.iter().for_each(|row| match read(row) {
            Some(value) => chunk.real(value),
            None => chunk.skip(),
        }),
        Read::Truth(read) => rows.iter().for_each(|row| match read(row) {
            Some(value) => chunk.truth(value),
            None => chunk.skip(),
        }),
        Read::Tunnel => rows.iter().for_each(|row| match row.session.tunnel.text() {
            Some(value) => chunk.text(value.as_bytes()),
            None => chunk.skip(),
        }),
    }
}

impl Parquet {
    /// # Errors
    /// Where there is no memory to compress.
    pub fn new() -> Result<Self> {
        let chunks = COLUMNS.iter().map(|(_, read)| read.kind()).map(|(kind, unique)| Chunk::new(kind, unique)).collect();
        Ok(Self { chunks, press: Press::new()?, rows: 0, written: 0, total: 0, groups: Vec::new(), text: String::new() })
    }

    /// Take some rows; returns the next piece of the file where it is large enough.
    ///
    /// # Errors
    /// Where there is no memory to compress.
    pub fn add(&mut self, rows: &[Row<'_>]) -> Result<Vec<u8>> {
        for (chunk, (_, read)) in self.chunks.iter_mut().zip(&COLUMNS) {
            fill(chunk, read, rows, &mut self.text);
        }
        self.rows += rows.len();
        if self.rows < ROWS && self.chunks.iter().map(Chunk::size).sum::<usize>() < BYTES {
            return Ok(Vec::new());
        }
        self.group()
    }

    /// What is left of the file.
    ///
    /// # Errors
    /// Where there is no memory to compress.
    pub fn end(&mut self) -> Result<Vec<u8>> {
        let mut piece = if self.rows > 0 || self.groups.is_empty() { self.group()? } else { Vec::new() };
        let footer = self.footer();
        piece.extend_from_slice(&footer);
        piece.extend_from_slice(&(footer.len() as u32).to_le_bytes());
        piece.extend_from_slice(MAGIC);
        Ok(piece)
    }

    fn group(&mut self) -> Result<Vec<u8>> {
        let mut piece = if self.written == 0 { MAGIC.to_vec() } else { Vec::new() };
        if self.rows == 0 {
            return Ok(piece);
        }
        let mut columns = Vec::with_capacity(COLUMNS.len());
        for (chunk, (name, _)) in self.chunks.iter_mut().zip(&COLUMNS) {
            let start = self.written + piece.len() as u64;
            let record = chunk.close(name, self.written, &mut piece, &mut self.press)?;
            columns.push(Record::default().whole(2, start.cast_signed()).record(3, record));
        }
        let group = Record::default().records(1, columns).whole(2, piece.len() as i64).whole(3, self.rows as i64);
        self.groups.push(group);
        self.written += piece.len() as u64;
        self.total += self.rows as u64;
        self.rows = 0;
        Ok(piece)
    }

    fn footer(&mut self) -> Vec<u8> {
        let text = || Record::default().record(1, Record::default());
        let element = |(name, read): &(&str, Read)| {
            let kind = read.kind().0;
            let record = Record::default().small(1, kind as i32).small(3, OPTIONAL).text(4, name.as_bytes());
            if kind == Kind::Text { record.small(6, 0).record(10, text()) } else { record }
        };
        let root = Record::default().text(4, b"session").small(5, COLUMNS.len() as i32);
        let schema: Vec<Record> = std::iter::once(root).chain(COLUMNS.iter().map(element)).collect();
        let orders = COLUMNS.iter().map(|_| text()).collect();
        let made = concat!("netexfil ", env!("CARGO_PKG_VERSION"));
        let groups = std::mem::take(&mut self.groups);
        Record::default().small(1, VERSION).records(2, schema).whole(3, self.total.cast_signed()).records(4, groups).text(6, made.as_bytes()).records(7, orders).done()
    }
}
