//! One column of one row group: values in, Parquet pages out.
//!
//! Pages and encodings: github.com/apache/parquet-format, `README.md` and `Encodings.md`.

use std::io::Result;

use zstd::bulk::Compressor;

use super::seen::{Seen, put};
use super::thrift::{Record, varint};

/// Parquet's numbers for the types that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Truth = 0,
    Small = 1,
    Whole = 2,
    Real = 5,
    Text = 6,
}

/// Parquet's numbers for encodings and codecs.
const PLAIN: i32 = 0;
const RLE: i32 = 3;
const BY_DICTIONARY: i32 = 8;
const ZSTD: i32 = 6;

enum Values {
    /// Each different value once, and which one it is.
    Seen(Seen),
    /// One after the other.
    Plain(Vec<u8>),
    /// One bit each, and how many there are.
    Bits(Vec<u8>, usize),
}

/// What a column of a row group has so far.
pub struct Chunk {
    kind: Kind,
    rows: usize,
    /// One bit a row: whether it has a value. Not kept while all have one, or none.
    valid: Vec<u8>,
    present: usize,
    values: Values,
    /// Least and largest number.
    range: Option<(f64, f64)>,
    whole: Option<(i64, i64)>,
}

impl Chunk {
    /// `unique`: values seldom come twice.
    pub fn new(kind: Kind, unique: bool) -> Self {
        let values = match kind {
            Kind::Truth => Values::Bits(Vec::new(), 0),
            _ if unique => Values::Plain(Vec::new()),
            _ => Values::Seen(Seen::new(kind == Kind::Text)),
        };
        Self { kind, rows: 0, valid: Vec::new(), present: 0, values, range: None, whole: None }
    }

    /// Bytes that it takes, about.
    pub fn size(&self) -> usize {
        match &self.values {
            Values::Seen(seen) => seen.bytes.len(),
            Values::Plain(bytes) | Values::Bits(bytes, _) => bytes.len(),
        }
    }

    fn clear(&mut self) {
        (self.rows, self.present, self.range, self.whole) = (0, 0, None, None);
        self.valid.clear();
        match &mut self.values {
            Values::Seen(seen) => seen.clear(),
            Values::Plain(bytes) => bytes.clear(),
            Values::Bits(bytes, count) => {
                bytes.clear();
                *count = 0;
            }
        }
    }

    /// A row without a value.
    #[inline]
    pub fn skip(&mut self) {
        if self.present > 0 {
            self.mark(false);
        }
        self.rows += 1;
    }

    #[inline]
    fn has(&mut self) {
        if self.present < self.rows {
            self.mark(true);
        }
        self.present += 1;
        self.rows += 1;
    }

    /// The first row that differs from those before it makes the bits of all of them needed.
    fn mark(&mut self, value: bool) {
        if self.present == self.rows || self.present == 0 {
            self.valid.clear();
            self.valid.resize(self.rows / 8, if self.present == 0 { 0 } else { 0xff });
            if !self.rows.is_multiple_of(8) {
                self.valid.push(if self.present == 0 { 0 } else { (1 << (self.rows % 8)) - 1 });
            }
        }
        bit(&mut self.valid, self.rows, value);
    }

    #[inline]
    pub fn text(&mut self, value: &[u8]) {
        self.has();
        match &mut self.values {
            Values::Seen(seen) => seen.push(value),
            Values::Plain(bytes) => put(value, true, bytes),
            Values::Bits(..) => {}
        }
    }

    /// A text that is told by two words, and made where it is new.
    #[inline]
    pub fn told(&mut self, words: (u64, u64), text: &mut String, write: impl FnOnce(&mut String)) {
        self.has();
        if let Values::Seen(seen) = &mut self.values {
            seen.told(words, text, write);
        }
    }

    #[inline]
    pub fn whole(&mut self, value: i64) {
        self.has();
        let (least, most) = self.whole.unwrap_or((value, value));
        self.whole = Some((least.min(value), most.max(value)));
        if let Values::Seen(seen) = &mut self.values {
            seen.number(value.cast_unsigned(), self.kind == Kind::Small);
        }
    }

    #[inline]
    pub fn real(&mut self, value: f64) {
        self.has();
        let (least, most) = self.range.unwrap_or((value, value));
        self.range = Some((least.min(value), most.max(value)));
        if let Values::Plain(bytes) = &mut self.values {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
    }

    #[inline]
    pub fn truth(&mut self, value: bool) {
        self.has();
        if let Values::Bits(bytes, count) = &mut self.values {
            bit(bytes, *count, value);
            *count += 1;
        }
    }

    /// Append the pages to `out`, which stands at `offset` of the file, and forget the rows. Returns Parquet's record of the column.
    ///
    /// # Errors
    /// Where there is no memory to compress.
    pub fn close(&mut self, name: &str, offset: u64, out: &mut Vec<u8>, press: &mut Press) -> Result<Record> {
        let at = |out: &Vec<u8>| (offset + out.len() as u64).cast_signed();
        let (start, mut whole) = (at(out), 0);
        // more than half of the values differ: to say which one it is would only cost
        let listed = matches!(&self.values, Values::Seen(seen) if seen.count() > 0 && seen.count() * 2 <= seen.picks.len());
        let mut encodings = vec![PLAIN, RLE];
        if let (true, Values::Seen(seen)) = (listed, &self.values) {
            encodings.push(BY_DICTIONARY);
            let head = Record::default().small(1, seen.count() as i32).small(2, PLAIN);
            whole += press.page(2, &seen.bytes, 7, head, out)?;
        }
        let data_at = at(out);
        let mut page = std::mem::take(&mut press.scratch);
        page.clear();
        self.levels(&mut page);
        match &self.values {
            Values::Seen(seen) if listed => indices(seen, &mut page),
            Values::Seen(seen) => seen.plain(&mut page),
            Values::Plain(bytes) | Values::Bits(bytes, _) => page.extend_from_slice(bytes),
        }
        let encoding = if listed { BY_DICTIONARY } else { PLAIN };
        let head = Record::default().small(1, self.rows as i32).small(2, encoding).small(3, RLE).small(4, RLE);
        whole += press.page(0, &page, 5, head, out)?;
        press.scratch = page;
        let record = Record::default().small(1, self.kind as i32).smalls(2, &encodings).texts(3, &[name]).small(4, ZSTD);
        let record = record.whole(5, self.rows as i64).whole(6, whole as i64).whole(7, at(out) - start).whole(9, data_at);
        let record = if listed { record.whole(11, start) } else { record }.record(12, self.known());
        self.clear();
        Ok(record)
    }

    /// Which rows have a value: runs, or bits.
    fn levels(&self, page: &mut Vec<u8>) {
        let mut levels = Vec::with_capacity(self.valid.len() + 8);
        if self.present == 0 || self.present == self.rows {
            varint((self.rows as u64) << 1, &mut levels);
            levels.push(u8::from(self.present > 0));
        } else {
            varint((self.rows.div_ceil(8) as u64) << 1 | 1, &mut levels);
            levels.extend_from_slice(&self.valid);
        }
        put(&levels, true, page);
    }

    fn known(&self) -> Record {
        let range: Option<[Vec<u8>; 2]> = match self.kind {
            Kind::Real => self.range.map(|(least, most)| [most, least].map(|value| value.to_le_bytes().to_vec())),
            Kind::Whole => self.whole.map(|(least, most)| [most, least].map(|value| value.to_le_bytes().to_vec())),
            Kind::Small => self.whole.map(|(least, most)| [most, least].map(|value| (value as i32).to_le_bytes().to_vec())),
            Kind::Truth | Kind::Text => None,
        };
        let record = Record::default().whole(3, (self.rows - self.present) as i64);
        match range {
            Some([most, least]) => record.text(5, &most).text(6, &least),
            None => record,
        }
    }
}

/// Set the bit at `place`, which is the next one.
#[inline]
fn bit(bytes: &mut Vec<u8>, place: usize, value: bool) {
    if place.is_multiple_of(8) {
        bytes.push(u8::from(value));
    } else if let Some(last) = bytes.last_mut() {
        *last |= u8::from(value) << (place % 8);
    }
}

/// Which value each row has: the width of a number, then one run where all are the same, else the numbers packed.
fn indices(seen: &Seen, page: &mut Vec<u8>) {
    let count = seen.count() as u32;
    let width = (u32::BITS - (count - 1).leading_zeros()).max(1);
    page.push(width as u8);
    if count == 1 {
        varint((seen.picks.len() as u64) << 1, page);
        page.push(0);
        return;
    }
    varint((seen.picks.len().div_ceil(8) as u64) << 1 | 1, page);
    for eight in seen.picks.chunks(8) {
        let (mut word, mut used) = (0_u64, 0);
        for pick in eight.iter().chain(std::iter::repeat_n(&0, 8 - eight.len())) {
            word |= u64::from(*pick) << used;
            used += width;
            while used >= 8 {
                page.push(word as u8);
                word >>= 8;
                used -= 8;
            }
        }
    }
}

/// Compresses pages; what it needs for that is kept.
pub struct Press {
    zstd: Compressor<'static>,
    scratch: Vec<u8>,
}

impl Press {
    /// # Errors
    /// Where there is no memory for it.
    pub fn new() -> Result<Self> {
        Ok(Self { zstd: Compressor::new(1)?, scratch: Vec::new() })
    }

    /// Append a page; `head` is the field of its header that says what it holds. Returns what it takes uncompressed, header included.
    fn page(&mut self, kind: i32, body: &[u8], number: u8, head: Record, out: &mut Vec<u8>) -> Result<usize> {
        let packed = self.zstd.compress(body)?;
        let header = Record::default().small(1, kind).small(2, body.len() as i32).small(3, packed.len() as i32).record(number, head).done();
        out.extend_from_slice(&header);
        out.extend_from_slice(&packed);
        Ok(header.len() + body.len())
    }
}
