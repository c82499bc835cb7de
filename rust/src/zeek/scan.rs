//! One JSON line, walked once: where the values of the wanted keys are. What the walk does not know is left to serde_json.

use memchr::memchr2;

use super::json::{Keys, normal};

/// A value as the walk left it: where it is in the line.
#[derive(Clone, Copy, Default)]
pub struct Slot {
    pub what: What,
    start: u32,
    end: u32,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum What {
    #[default]
    Missing,
    Text,
    /// A string with escapes, without its quotes.
    Escaped,
    Bare,
    /// An array with its brackets.
    Array,
}

impl Slot {
    pub fn of<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        line.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Lines are far shorter than 4 GB (`lines::LONGEST`).
    fn new(what: What, start: usize, end: usize) -> Self {
        let short = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Self { what, start: short(start), end: short(end) }
    }
}

/// How many keys that earlier lines had may be missing in a row.
const AHEAD: usize = 8;

/// The scan met something that it does not know.
pub struct Unknown;

type Step<T> = Result<T, Unknown>;

/// One line; the values are put where their keys' numbers say.
pub struct Scan<'a, 'k> {
    line: &'a [u8],
    at: usize,
    keys: &'k mut Keys,
    index: usize,
    values: &'k mut [Slot],
}

impl<'a, 'k> Scan<'a, 'k> {
    /// Walk a line of printable bytes.
    pub fn walk(line: &'a [u8], keys: &'k mut Keys, values: &'k mut [Slot]) -> Step<()> {
        let mut scan = Self { line, at: 0, keys, index: 0, values };
        scan.object("", 0)?;
        if scan.at == line.len() { Ok(()) } else { Err(Unknown) }
    }

    #[inline]
    fn peek(&mut self) -> Step<u8> {
        loop {
            match self.line.get(self.at) {
                Some(b' ' | b'\t' | b'\r') => self.at += 1,
                Some(byte) => return Ok(*byte),
                None => return Err(Unknown),
            }
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Step<()> {
        if self.peek()? != byte {
            return Err(Unknown);
        }
        self.at += 1;
        Ok(())
    }

    /// A string without its quotes.
    #[inline]
    fn string(&mut self) -> Step<Slot> {
        self.expect(b'"')?;
        let start = self.at;
        let mut what = What::Text;
        loop {
            self.at += mark(self.line.get(self.at..).ok_or(Unknown)?).ok_or(Unknown)?;
            if self.line.get(self.at) == Some(&b'"') {
                self.at += 1;
                return Ok(Slot::new(what, start, self.at - 1));
            }
            // What only serde_json can judge is left to it.
            let simple = matches!(self.line.get(self.at + 1), Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't'));
            if !simple {
                return Err(Unknown);
            }
            what = What::Escaped;
            self.at += 2;
        }
    }

    /// An object; at depth 0 the line's own.
    fn object(&mut self, prefix: &str, depth: usize) -> Step<()> {
        if depth > 8 {
            return Err(Unknown);
        }
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            let before = self.index;
            match if depth == 0 { self.usual() } else { None } {
                Some(id) => self.member("", b"", 0, Some(id))?,
                None => {
                    self.index = before;
                    let key = self.string()?;
                    if key.what == What::Escaped {
                        return Err(Unknown);
                    }
                    self.expect(b':')?;
                    self.member(prefix, key.of(self.line), depth, None)?;
                }
            }
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(Unknown),
            }
            self.peek()?;
        }
    }

    /// The number of the key that stands here, where earlier lines had it about here and its value is no object. Keys whose values are
    /// unset are left out, so some are passed over.
    #[inline]
    fn usual(&mut self) -> Option<Option<usize>> {
        let rest = self.line.get(self.at..)?;
        for (quoted, id) in self.keys.order.get(self.index..)?.iter().take(AHEAD) {
            self.index += 1;
            let Some(value) = rest.strip_prefix(quoted.as_slice()) else { continue };
            if value.first() == Some(&b'{') {
                return None;
            }
            self.at += quoted.len();
            return Some(*id);
        }
        None
    }

    fn member(&mut self, prefix: &str, key: &[u8], depth: usize, known: Option<Option<usize>>) -> Step<()> {
        if known.is_none() && self.peek()? == b'{' {
            let inner = format!("{prefix}{}_", normal(key));
            return self.object(&inner, depth + 1);
        }
        let id = match known {
            Some(id) => id,
            None if depth == 0 => {
                self.index += 1;
                self.keys.learn(self.index - 1, key)
            }
            None => self.keys.look(&format!("{prefix}{}", normal(key))),
        };
        let value = self.value()?;
        if let Some(slot) = id.and_then(|id| self.values.get_mut(id))
            && slot.what == What::Missing
        {
            *slot = value;
        }
        Ok(())
    }

    #[inline]
    fn value(&mut self) -> Step<Slot> {
        match self.peek()? {
            b'"' => self.string(),
            b'[' => self.array(),
            _ => self.bare(),
        }
    }

    /// An array, passed over; what stands in it is looked at when it is asked for.
    fn array(&mut self) -> Step<Slot> {
        let start = self.at;
        self.at += 1;
        let mut first = true;
        loop {
            match self.peek()? {
                b']' if first => break,
                b'"' => drop(self.string()?),
                b'[' | b'{' => return Err(Unknown),
                _ => drop(self.bare()?),
            }
            first = false;
            match self.peek()? {
                b',' => self.at += 1,
                b']' => break,
                _ => return Err(Unknown),
            }
        }
        self.at += 1;
        Ok(Slot::new(What::Array, start, self.at))
    }

    /// A number or literal.
    #[inline]
    fn bare(&mut self) -> Step<Slot> {
        let rest = self.line.get(self.at..).ok_or(Unknown)?;
        let start = self.at;
        if let Some(end) = plain_number(rest) {
            self.at += end;
            return Ok(Slot::new(What::Bare, start, self.at));
        }
        let end = rest.iter().position(|b| ends_value(*b)).ok_or(Unknown)?;
        let text = rest.get(..end).ok_or(Unknown)?;
        self.at += end;
        match text {
            b"null" => Ok(Slot::default()),
            b"true" | b"false" => Ok(Slot::new(What::Bare, start, self.at)),
            _ if is_number(text) => Ok(Slot::new(What::Bare, start, self.at)),
            _ => Err(Unknown),
        }
    }
}

/// Where the first quote or backslash is: most strings are short.
#[inline]
pub fn mark(text: &[u8]) -> Option<usize> {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let zeros = |x: u64| !(((x & LOW) + LOW) | x | LOW);
    let (words, _) = text.as_chunks::<8>();
    for (at, word) in words.iter().take(4).enumerate() {
        let word = u64::from_le_bytes(*word);
        let marks = zeros(word ^ 0x2222_2222_2222_2222) | zeros(word ^ 0x5c5c_5c5c_5c5c_5c5c);
        if marks != 0 {
            return Some(at * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    memchr2(b'"', b'\\', text)
}

fn ends_value(byte: u8) -> bool {
    matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r')
}

/// The length of a number of the usual form: digits, perhaps with a fraction.
#[inline]
pub fn plain_number(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text.get(from..).map_or(0, |rest| rest.iter().take_while(|byte| byte.is_ascii_digit()).count());
    let mut end = digits(0);
    if end == 0 || (end > 1 && text.first() == Some(&b'0')) {
        return None;
    }
    if text.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        if fraction == 0 {
            return None;
        }
        end += 1 + fraction;
    }
    ends_value(*text.get(end)?).then_some(end)
}

/// JSON's grammar of a number.
fn is_number(text: &[u8]) -> bool {
    let body = text.strip_prefix(b"-").unwrap_or(text);
    let digits = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = digits(body);
    if whole == 0 || (whole > 1 && body.first() == Some(&b'0')) {
        return false;
    }
    let mut rest = body.get(whole..).unwrap_or_default();
    if let Some(after) = rest.strip_prefix(b".") {
        let count = digits(after);
        if count == 0 {
            return false;
        }
        rest = after.get(count..).unwrap_or_default();
    }
    if let Some(after) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let signed = after.strip_prefix(b"+").or_else(|| after.strip_prefix(b"-")).unwrap_or(after);
        return !signed.is_empty() && digits(signed) == signed.len();
    }
    rest.is_empty()
}
