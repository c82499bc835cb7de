//! One Arrow column of each kind: a cell is parsed straight into it, and what a refused row left behind is cut off.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use arrow_array::builder::{BooleanBufferBuilder, NullBufferBuilder};
use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int8Type, Int32Type, Int64Type};
use arrow_array::{ArrayRef, BooleanArray, PrimitiveArray, StringArray};
use arrow_buffer::{ArrowNativeType, OffsetBuffer};
use arrow_schema::ArrowError;

use super::plan::Kind;
use super::{quick, value};
use crate::side::{Networks, Side};

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

impl<'a> Cell<'a> {
    /// The cell as plain text, a list with commas.
    pub fn text(self) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Missing => None,
            Self::Text(text) => Some(text),
            Self::Bare(text) => Some(Cow::Borrowed(text)),
            Self::List(_, commas) => Some(Cow::Owned(commas.into_bytes())),
        }
    }
}

/// Numbers of one type.
pub struct Numbers<T> {
    values: Vec<T>,
    valid: NullBufferBuilder,
}

impl<T: ArrowNativeType> Numbers<T> {
    fn new(rows: usize) -> Self {
        Self { values: Vec::with_capacity(rows), valid: NullBufferBuilder::new(rows) }
    }

    fn put(&mut self, value: T) {
        self.values.push(value);
        self.valid.append_non_null();
    }

    fn null(&mut self) {
        self.values.push(T::default());
        self.valid.append_null();
    }

    fn cut(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.valid.truncate(rows);
    }

    fn finish<P: ArrowPrimitiveType<Native = T>>(self) -> Result<ArrayRef, ArrowError> {
        let Self { values, mut valid } = self;
        Ok(Arc::new(PrimitiveArray::<P>::try_new(values.into(), valid.finish())?))
    }
}

pub struct Texts {
    /// Where each value ends in `data`; the first is where the first begins.
    ends: Vec<i32>,
    data: Vec<u8>,
    valid: NullBufferBuilder,
}

impl Texts {
    fn new(rows: usize) -> Self {
        let mut ends = Vec::with_capacity(rows + 1);
        ends.push(0);
        Self { ends, data: Vec::with_capacity(rows * 12), valid: NullBufferBuilder::new(rows) }
    }

    fn put(&mut self, value: &[u8]) {
        self.data.extend_from_slice(value);
        self.close();
        self.valid.append_non_null();
    }

    fn lower(&mut self, value: &[u8]) {
        let from = self.data.len();
        self.put(value);
        self.data.get_mut(from..).unwrap_or_default().make_ascii_lowercase();
    }

    /// A batch is closed long before its text is 2 GB (`sink::HEAVY`).
    fn close(&mut self) {
        self.ends.push(i32::try_from(self.data.len()).unwrap_or(i32::MAX));
    }

    fn null(&mut self) {
        self.close();
        self.valid.append_null();
    }

    fn cut(&mut self, rows: usize) {
        self.ends.truncate(rows + 1);
        self.valid.truncate(rows);
        self.data.truncate(self.ends.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or(0));
    }

    /// UTF-8 is checked once for all values; where it fails, each is mended by itself.
    fn finish(self) -> Result<ArrayRef, ArrowError> {
        let Self { ends, data, mut valid } = self;
        let valid = valid.finish();
        let offsets = OffsetBuffer::new(ends.into());
        if let Ok(array) = StringArray::try_new(offsets.clone(), data.as_slice().into(), valid.clone()) {
            return Ok(Arc::new(array));
        }
        let texts = offsets.windows(2).enumerate().map(|(row, pair)| {
            let &[from, to] = pair else { return None };
            let cell = data.get(usize::try_from(from).ok()?..usize::try_from(to).ok()?)?;
            valid.as_ref().is_none_or(|valid| valid.is_valid(row)).then(|| String::from_utf8_lossy(cell))
        });
        Ok(Arc::new(texts.collect::<StringArray>()))
    }
}

/// Addresses, and where those of a conn row's ends stand.
pub struct Addresses {
    texts: Texts,
    sides: Option<Sides>,
}

pub struct Sides {
    networks: Option<Arc<Networks>>,
    found: Numbers<i8>,
}

impl Addresses {
    fn put(&mut self, text: &[u8]) -> Result<(), value::Bad> {
        let side = if let Some(address) = quick::ipv4(text) {
            self.texts.put(text);
            self.networks().map(|networks| networks.side_v4(address))
        } else {
            let address = value::address(text)?;
            let mut canonical = String::new();
            // Writing to a string never fails.
            let _ = write!(canonical, "{address}");
            self.texts.put(canonical.as_bytes());
            self.networks().map(|networks| networks.side(address))
        };
        self.place(side);
        Ok(())
    }

    fn networks(&self) -> Option<&Networks> {
        self.sides.as_ref()?.networks.as_deref()
    }

    fn place(&mut self, side: Option<Side>) {
        match (&mut self.sides, side) {
            (Some(sides), Some(side)) => sides.found.put(side as i8),
            (Some(sides), None) => sides.found.null(),
            (None, _) => {}
        }
    }

    fn null(&mut self) {
        self.texts.null();
        self.place(None);
    }

    fn cut(&mut self, rows: usize) {
        self.texts.cut(rows);
        if let Some(sides) = &mut self.sides {
            sides.found.cut(rows);
        }
    }
}

pub struct Flags {
    values: BooleanBufferBuilder,
    valid: NullBufferBuilder,
}

pub enum Column {
    Time(Numbers<f64>),
    Float(Numbers<f64>),
    Whole(Numbers<i64>),
    Port(Numbers<i32>),
    Flag(Flags),
    Addr(Addresses),
    Word(Texts),
    Text(Texts),
    List(Texts),
}

impl Column {
    /// Let an address column say where its addresses stand.
    pub fn place(&mut self, networks: Option<Arc<Networks>>, rows: usize) {
        if let Self::Addr(addresses) = self {
            addresses.sides = Some(Sides { networks, found: Numbers::new(rows) });
        }
    }

    /// A cell by the column's kind.
    ///
    /// # Errors
    /// What was expected.
    pub fn cell(&mut self, cell: &Cell<'_>) -> Result<(), value::Bad> {
        match (cell, &*self) {
            (Cell::Missing, _) => self.null(),
            (Cell::Text(text), _) => self.put(text)?,
            (Cell::Bare(b"true"), Self::Text(_) | Self::Word(_) | Self::List(_)) => self.put(b"T")?,
            (Cell::Bare(b"false"), Self::Text(_) | Self::Word(_) | Self::List(_)) => self.put(b"F")?,
            (Cell::List(parts, _), Self::List(_)) => self.put(parts.as_bytes())?,
            (Cell::List(_, commas), Self::Text(_) | Self::Word(_)) => self.put(commas.as_bytes())?,
            (Cell::List(..), _) | (Cell::Bare(_), Self::Addr(_)) => self.put(b"?")?,
            (Cell::Bare(text), _) => self.put(text)?,
        }
        Ok(())
    }

    /// A column with room for `rows` values.
    pub fn new(kind: Kind, rows: usize) -> Self {
        match kind {
            Kind::Time => Self::Time(Numbers::new(rows)),
            Kind::Float => Self::Float(Numbers::new(rows)),
            Kind::Int => Self::Whole(Numbers::new(rows)),
            Kind::Port => Self::Port(Numbers::new(rows)),
            Kind::Bool => Self::Flag(Flags { values: BooleanBufferBuilder::new(rows), valid: NullBufferBuilder::new(rows) }),
            Kind::Addr => Self::Addr(Addresses { texts: Texts::new(rows), sides: None }),
            Kind::Proto => Self::Word(Texts::new(rows)),
            Kind::Str => Self::Text(Texts::new(rows)),
            Kind::List => Self::List(Texts::new(rows)),
        }
    }

    /// A cell that is there, its escapes undone.
    pub fn put(&mut self, text: &[u8]) -> Result<(), value::Bad> {
        match self {
            Self::Time(to) => to.put(value::time(text)?),
            Self::Float(to) => to.put(value::seconds(text).ok_or("not a number")?),
            Self::Whole(to) => to.put(value::whole(text)?),
            Self::Port(to) => to.put(value::port(text)?),
            Self::Flag(to) => {
                to.values.append(value::flag(text)?);
                to.valid.append_non_null();
            }
            Self::Addr(to) => to.put(text)?,
            Self::Word(to) => to.lower(text),
            Self::Text(to) | Self::List(to) => to.put(text),
        }
        Ok(())
    }

    pub fn null(&mut self) {
        match self {
            Self::Time(to) | Self::Float(to) => to.null(),
            Self::Whole(to) => to.null(),
            Self::Port(to) => to.null(),
            Self::Flag(to) => {
                to.values.append(false);
                to.valid.append_null();
            }
            Self::Addr(to) => to.null(),
            Self::Word(to) | Self::Text(to) | Self::List(to) => to.null(),
        }
    }

    pub fn cut(&mut self, rows: usize) {
        match self {
            Self::Time(to) | Self::Float(to) => to.cut(rows),
            Self::Whole(to) => to.cut(rows),
            Self::Port(to) => to.cut(rows),
            Self::Flag(to) => {
                to.values.truncate(rows);
                to.valid.truncate(rows);
            }
            Self::Addr(to) => to.cut(rows),
            Self::Word(to) | Self::Text(to) | Self::List(to) => to.cut(rows),
        }
    }

    /// The column, and that of the sides it may have beside it.
    pub fn finish(self, beside: &mut Vec<ArrayRef>) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Time(from) | Self::Float(from) => from.finish::<Float64Type>(),
            Self::Whole(from) => from.finish::<Int64Type>(),
            Self::Port(from) => from.finish::<Int32Type>(),
            Self::Flag(mut from) => Ok(Arc::new(BooleanArray::new(from.values.finish(), from.valid.finish()))),
            Self::Addr(from) => {
                if let Some(sides) = from.sides {
                    beside.push(sides.found.finish::<Int8Type>()?);
                }
                from.texts.finish()
            }
            Self::Word(from) | Self::Text(from) | Self::List(from) => from.finish(),
        }
    }
}
