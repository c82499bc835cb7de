//! A reader over foreign bytes that never goes past their end and never copies.

/// What is left to read. Every step returns `None` where the bytes end first, and then has taken nothing.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next `count` bytes, or as many of them as there are.
    pub fn up_to(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(count).unwrap_or((self.0, &[]));
        self.0 = rest;
        taken
    }

    /// A big-endian number of `width` bytes (at most 8).
    pub fn number(&mut self, width: usize) -> Option<u64> {
        self.take(width).map(|bytes| bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    pub fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn u16(&mut self) -> Option<u16> {
        let (first, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*first))
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.number(4).and_then(|value| u32::try_from(value).ok())
    }

    /// A length in bytes, as `width` bytes say it.
    pub fn length(&mut self, width: usize) -> Option<usize> {
        self.number(width).and_then(|value| usize::try_from(value).ok())
    }

    /// The content of a vector whose length stands before it in `width` bytes.
    pub fn vector(&mut self, width: usize) -> Option<Self> {
        let mut ahead = *self;
        let length = ahead.length(width)?;
        let content = ahead.take(length)?;
        *self = ahead;
        Some(Self(content))
    }

    /// All two-byte numbers that are left; an odd last byte is left out.
    #[must_use]
    pub fn all_u16(mut self) -> Vec<u16> {
        let mut all = Vec::with_capacity(self.0.len() / 2);
        all.extend(std::iter::from_fn(|| self.u16()));
        all
    }
}

/// Text for a fact: UTF-8 where it is, replacement characters where it is not, control characters as `\xNN` (as Zeek's logs write them).
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let text = String::from_utf8_lossy(bytes);
    if !text.bytes().any(|byte| byte.is_ascii_control()) {
        return text.into_owned();
    }
    text.chars().fold(String::new(), |mut out, char| {
        if char.is_ascii_control() {
            let _ = write!(out, "\\x{:02x}", u32::from(char));
        } else {
            out.push(char);
        }
        out
    })
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
