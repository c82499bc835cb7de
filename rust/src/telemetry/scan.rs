//! One JSON line, walked once and strictly: what is taken here is what any other JSON parser takes too. Everything that is not plain
//! (control characters, escapes of surrogates, exponents, deep nesting) is left to the caller's parser.

use crate::zeek::scan::{mark, plain_number};

/// How deep arrays and objects may stand in each other.
pub const DEPTH: usize = 16;

/// Where a value stands in its line: with its quotes or brackets.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Self {
        let short = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: short(start), end: short(end) }
    }

    #[inline]
    pub fn of<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        line.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

pub struct Cursor<'a> {
    pub line: &'a [u8],
    pub at: usize,
}

impl<'a> Cursor<'a> {
    /// At the first byte of a line; `None` where it has bytes that are not plain text in UTF-8.
    pub fn new(line: &'a [u8]) -> Option<Self> {
        // Without an early exit, so that it runs on many bytes at once.
        let (least, all) = line.iter().fold((u8::MAX, 0), |(least, all), byte| (least.min(*byte), all | *byte));
        (least >= 0x20 && (all < 0x80 || std::str::from_utf8(line).is_ok())).then_some(Self { line, at: 0 })
    }

    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.line.get(self.at..).unwrap_or_default()
    }

    /// The next byte that is no space, which is not passed.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            match self.line.get(self.at) {
                Some(b' ') => self.at += 1,
                found => return found.copied(),
            }
        }
    }

    #[inline]
    pub fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// A whole value, passed over.
    #[inline]
    pub fn value(&mut self, depth: usize) -> Option<Span> {
        let first = self.peek()?;
        let start = self.at;
        match first {
            b'"' => self.string()?,
            b'[' | b'{' => self.nested(depth)?,
            _ => self.bare()?,
        }
        Some(Span::new(start, self.at))
    }

    /// A string, begun at its quote.
    #[inline]
    pub fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            self.at += mark(self.rest())?;
            if self.line.get(self.at) == Some(&b'"') {
                self.at += 1;
                return Some(());
            }
            self.at += match self.line.get(self.at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                b'u' => {
                    let digits = self.line.get(self.at + 2..self.at + 6)?;
                    let surrogate = digits.first().is_some_and(|d| matches!(d, b'd' | b'D')) && digits.get(1).is_some_and(|d| !(b'0'..=b'7').contains(d));
                    if surrogate || !digits.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                    6
                }
                _ => return None,
            };
        }
    }

    fn nested(&mut self, depth: usize) -> Option<()> {
        if depth >= DEPTH {
            return None;
        }
        let object = self.line.get(self.at) == Some(&b'{');
        let close = if object { b'}' } else { b']' };
        self.at += 1;
        if self.peek()? == close {
            self.at += 1;
            return Some(());
        }
        loop {
            if object {
                if self.peek()? != b'"' {
                    return None;
                }
                self.string()?;
                self.expect(b':')?;
            }
            self.value(depth + 1)?;
            match self.peek()? {
                b',' => self.at += 1,
                byte if byte == close => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    #[inline]
    fn bare(&mut self) -> Option<()> {
        let rest = self.rest();
        let signed = rest.strip_prefix(b"-");
        let length = match plain_number(signed.unwrap_or(rest)) {
            Some(length) => length + usize::from(signed.is_some()),
            None => [&b"true"[..], b"false", b"null"].iter().find(|word| rest.starts_with(word))?.len(),
        };
        self.at += length;
        matches!(self.line.get(self.at), Some(b',' | b'}' | b']' | b' ')).then_some(())
    }
}
