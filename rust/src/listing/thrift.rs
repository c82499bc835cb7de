//! Thrift's compact protocol, as much of it as the records in a Parquet file need.

const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// A number of seven bits a byte, the lowest first.
pub fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// One record; its fields are written in the order of their numbers.
#[derive(Default)]
pub struct Record {
    bytes: Vec<u8>,
    last: u8,
}

impl Record {
    fn head(&mut self, number: u8, kind: u8) {
        self.bytes.push((number - self.last) << 4 | kind);
        self.last = number;
    }

    fn zigzag(&mut self, value: i64) {
        varint((value << 1 ^ value >> 63).cast_unsigned(), &mut self.bytes);
    }

    pub fn small(mut self, number: u8, value: i32) -> Self {
        self.head(number, I32);
        self.zigzag(i64::from(value));
        self
    }

    pub fn whole(mut self, number: u8, value: i64) -> Self {
        self.head(number, I64);
        self.zigzag(value);
        self
    }

    pub fn text(mut self, number: u8, value: &[u8]) -> Self {
        self.head(number, BINARY);
        self.string(value);
        self
    }

    fn string(&mut self, value: &[u8]) {
        varint(value.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(value);
    }

    pub fn record(mut self, number: u8, inner: Self) -> Self {
        self.head(number, STRUCT);
        self.bytes.extend(inner.done());
        self
    }

    fn list(&mut self, number: u8, kind: u8, count: usize) {
        self.head(number, LIST);
        if count < 15 {
            self.bytes.push((count as u8) << 4 | kind);
        } else {
            self.bytes.push(0xf0 | kind);
            varint(count as u64, &mut self.bytes);
        }
    }

    pub fn records(mut self, number: u8, inner: Vec<Self>) -> Self {
        self.list(number, STRUCT, inner.len());
        inner.into_iter().for_each(|record| self.bytes.extend(record.done()));
        self
    }

    pub fn texts(mut self, number: u8, values: &[&str]) -> Self {
        self.list(number, BINARY, values.len());
        values.iter().for_each(|value| self.string(value.as_bytes()));
        self
    }

    pub fn smalls(mut self, number: u8, values: &[i32]) -> Self {
        self.list(number, I32, values.len());
        values.iter().for_each(|value| self.zigzag(i64::from(*value)));
        self
    }

    pub fn done(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}
