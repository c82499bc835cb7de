//! The values of one name in many lines: either the different ones as JSON and which line has which, or converted right here where they
//! have the form that nearly all have. What is not of that form is kept as JSON for the caller.

use std::collections::HashMap;
use std::net::Ipv4Addr;

/// What is done with values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The different values are handed out as they stand.
    Words,
    /// `2026-03-04 05:06:07.891`, also with `T` and `Z`.
    Time,
    /// Without braces, in lower case.
    Guid,
    /// Text of eight characters and more (shorter ones may be words for nothing).
    Text,
    /// Text, or a whole number as text.
    Id,
    /// IPv4 in its one form.
    Ip,
    /// 1 to 65535, as a number or in quotes; 0 is none.
    Port,
    /// A whole number from 0, as a number or in quotes.
    Pid,
}

impl How {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "words" => Self::Words,
            "time" => Self::Time,
            "guid" => Self::Guid,
            "text" => Self::Text,
            "id" => Self::Id,
            "ip" => Self::Ip,
            "port" => Self::Port,
            "pid" => Self::Pid,
            _ => return None,
        })
    }
}

/// JSON values one after the other, in brackets: an array.
#[derive(Default)]
pub struct Listed {
    json: Vec<u8>,
    pub count: usize,
}

impl Listed {
    fn push(&mut self, token: &[u8]) {
        self.json.push(if self.count == 0 { b'[' } else { b',' });
        self.json.extend_from_slice(token);
        self.count += 1;
    }

    pub fn done(&mut self) -> Vec<u8> {
        self.count = 0;
        let mut json = std::mem::take(&mut self.json);
        json.extend_from_slice(if json.is_empty() { b"[]" } else { b"]" });
        json
    }
}

/// Texts one after the other; `None` where there is none.
#[derive(Default)]
pub struct Texts {
    text: String,
    ends: Vec<Option<usize>>,
}

impl Texts {
    pub fn iter(&self) -> impl Iterator<Item = Option<&str>> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let end = (*end)?;
            let found = self.text.get(start..end);
            start = end;
            found
        })
    }
}

pub enum Values {
    Words { codes: Vec<i32>, seen: HashMap<Vec<u8>, i32>, last: (Vec<u8>, i32) },
    Times(Vec<Option<f64>>),
    Whole(Vec<Option<i64>>),
    Texts(Texts),
}

pub struct Column {
    how: How,
    pub values: Values,
    /// The different values, or those of an odd form.
    pub left: Listed,
    /// The rows of the odd ones.
    pub odd: Vec<usize>,
}

impl Column {
    pub fn new(how: How) -> Self {
        let values = match how {
            How::Words => Values::Words { codes: Vec::new(), seen: HashMap::new(), last: (Vec::new(), 0) },
            How::Time => Values::Times(Vec::new()),
            How::Port | How::Pid => Values::Whole(Vec::new()),
            How::Guid | How::Text | How::Id | How::Ip => Values::Texts(Texts::default()),
        };
        Self { how, values, left: Listed::default(), odd: Vec::new() }
    }

    /// What was collected; the column begins anew.
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(self.how))
    }

    /// One more value, as it stands in the line.
    #[inline]
    pub fn push(&mut self, token: &[u8]) {
        match &mut self.values {
            Values::Words { codes, seen, last } => {
                if last.0 != token || codes.is_empty() {
                    let next = i32::try_from(seen.len()).unwrap_or(i32::MAX);
                    last.1 = if let Some(code) = seen.get(token) {
                        *code
                    } else {
                        seen.insert(token.to_vec(), next);
                        self.left.push(token);
                        next
                    };
                    last.0.clear();
                    last.0.extend_from_slice(token);
                }
                codes.push(last.1);
            }
            Values::Times(times) => {
                let time = if nothing(token) { None } else { time(token) };
                if time.is_none() && !nothing(token) {
                    self.odd.push(times.len());
                    self.left.push(token);
                }
                times.push(time);
            }
            Values::Whole(numbers) => {
                let found = if nothing(token) { Some(None) } else { whole(self.how, token) };
                if found.is_none() {
                    self.odd.push(numbers.len());
                    self.left.push(token);
                }
                numbers.push(found.flatten());
            }
            Values::Texts(texts) => {
                let start = texts.text.len();
                let taken = nothing(token) || put(self.how, token, &mut texts.text).is_some();
                if !taken {
                    texts.text.truncate(start);
                    self.odd.push(texts.ends.len());
                    self.left.push(token);
                }
                let end = texts.text.len();
                texts.ends.push((end > start).then_some(end));
            }
        }
    }
}

/// What every converter takes for no value.
fn nothing(token: &[u8]) -> bool {
    matches!(token, b"null" | b"\"-\"")
}

/// Append a value in the form of its column; `None` where it is odd (some of it may be appended then).
#[inline]
fn put(how: How, token: &[u8], out: &mut String) -> Option<()> {
    let Some(text) = token.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        let digits = how == How::Id && token.len() <= 18 && token.iter().all(u8::is_ascii_digit);
        return digits.then(|| out.push_str(std::str::from_utf8(token).unwrap_or_default()));
    };
    let text = std::str::from_utf8(text).ok()?;
    match how {
        How::Guid => return guid(text, out),
        How::Ip => return text.parse::<Ipv4Addr>().is_ok().then(|| out.push_str(text)),
        _ => {}
    }
    let start = out.len();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut letters = after.chars();
        out.push(match letters.next()? {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => return None,
            other => other,
        });
        rest = letters.as_str();
    }
    out.push_str(rest);
    let made = out.get(start..)?;
    (made.len() >= 32 || made.chars().nth(7).is_some()).then_some(())
}

/// A port or process id of the usual form; `Some(None)` for port 0, which is none.
fn whole(how: How, token: &[u8]) -> Option<Option<i64>> {
    let digits = token.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(token);
    let longest = if how == How::Port { 5 } else { 18 };
    if digits.is_empty() || digits.len() > longest || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Some((how == How::Pid || (1..65_536).contains(&number)).then_some(number))
}

/// A GUID, or any other ASCII key of some length, as `plain.guid` writes it.
fn guid(text: &str, out: &mut String) -> Option<()> {
    if text.len() < 8 || !text.is_ascii() || text.contains('\\') {
        return None;
    }
    let start = out.len();
    out.push_str(text.trim_matches(['{', '}', ' ']));
    let made = out.get_mut(start..)?;
    made.make_ascii_lowercase();
    (made.bytes().any(|byte| !matches!(byte, b'0' | b'-'))).then_some(())
}

/// Seconds since 1970 of `"YYYY-MM-DD?HH:MM:SS.f…"`, with or without a `Z`; at most 15 digits, so that the fraction is exact.
#[inline]
fn time(token: &[u8]) -> Option<f64> {
    let text = token.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let text = text.strip_suffix(b"Z").unwrap_or(text);
    let (stamp, digits) = (text.first_chunk::<20>()?, text.get(20..)?);
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b' ' | b'T', h1, h2, b':', n1, n2, b':', s1, s2, b'.'] = stamp else {
        return None;
    };
    let number = |digits: &[u8]| digits.iter().try_fold(0_i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')));
    let (year, month, day) = (number(&[*y1, *y2, *y3, *y4])?, number(&[*m1, *m2])?, number(&[*d1, *d2])?);
    let (hour, minute, second) = (number(&[*h1, *h2])?, number(&[*n1, *n2])?, number(&[*s1, *s2])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if year < 1 || !(1..=longest).contains(&day) || hour > 23 || minute > 59 || second > 59 || digits.is_empty() || digits.len() > 15 {
        return None;
    }
    // Days since 1970 of the Gregorian calendar, years begun in March, so that the leap day is the last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(real(seconds) + real(number(digits)?) / TENTHS.get(digits.len()).copied()?)
}

/// Exact below 2^53, which seconds and 15 digits are.
#[allow(clippy::cast_precision_loss)]
fn real(value: i64) -> f64 {
    value as f64
}

const TENTHS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
