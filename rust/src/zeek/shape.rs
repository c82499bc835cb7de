//! JSON lines that have the keys of the line before, nearly always in the same order: where their values are, found without looking at
//! what nobody asks for twice. `None`: not that plain, `json` decides.

use super::cell::{digits, micros, stamp, word};
use super::channel::Spans;
use super::marks::zeros;

/// Keys of the lines before that may be missing one after another.
const AHEAD: usize = 8;

/// What a key's value is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A field of `channel::FIELDS` by its place.
    Field(usize),
    /// One of `channel::FLAGS`: true or false.
    Flag,
    /// It names the log: `conn`, or the line is not looked at.
    Name,
    Nothing,
    /// Only `json` knows what to make of it.
    Unknown,
}

/// A key in quotes with its colon, as words.
struct Known {
    words: [(u64, u64); 3],
    length: usize,
    what: Use,
}

/// The keys of a file's lines in their order.
#[derive(Default)]
pub struct Shape(Vec<Known>);

/// Fields that are text; where their value stands without quotes `json` looks at it.
const TEXTS: u32 = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 12;

impl Known {
    fn new(quoted: &[u8], what: Use) -> Option<Self> {
        let mut words = [(0, 0); 3];
        for ((to, mask), from) in words.iter_mut().zip(quoted.chunks(8)) {
            let mut bytes = [0; 8];
            bytes.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            (*to, *mask) = (u64::from_le_bytes(bytes), u64::MAX >> (64 - 8 * from.len()));
        }
        (quoted.len() <= 24).then_some(Self { words, length: quoted.len(), what })
    }

    #[inline]
    fn here(&self, text: &[u8], at: usize) -> Option<bool> {
        let [(first, first_mask), (second, second_mask), (third, third_mask)] = self.words;
        Some(
            word(text, at)? & first_mask == first
                && (second_mask == 0 || word(text, at + 8)? & second_mask == second)
                && (third_mask == 0 || word(text, at + 16)? & third_mask == third),
        )
    }
}

/// Where the first byte is that `marks` marks in a word.
#[inline]
fn find(text: &[u8], mut at: usize, marks: impl Fn(u64) -> u64) -> Option<usize> {
    loop {
        let found = marks(word(text, at)?);
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
}

#[inline]
fn quote(text: &[u8], at: usize) -> Option<usize> {
    find(text, at, |word| zeros(word ^ 0x2222_2222_2222_2222))
}

/// The comma or brace behind a value without quotes.
#[inline]
fn behind(text: &[u8], at: usize) -> Option<usize> {
    find(text, at, |word| zeros(word ^ 0x2c2c_2c2c_2c2c_2c2c) | zeros(word ^ 0x7d7d_7d7d_7d7d_7d7d))
}

impl Shape {
    /// From the keys in their order; one that is longer than usual ends what is known.
    pub fn new<'a>(keys: impl Iterator<Item = (&'a [u8], Use)>) -> Self {
        Self(keys.map_while(|(quoted, what)| Known::new(quoted, what)).collect())
    }

    /// The values of a line between two places of a text.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // blocks are far shorter than 4 GB
    pub fn find(&self, text: &[u8], start: usize, end: usize, spans: &mut Spans) -> Option<()> {
        let line = text.get(start..end)?;
        // Without an early exit, so that it runs on many bytes at once.
        let (least, most) = line.iter().fold((u8::MAX, 0), |(least, most), byte| (least.min(*byte), most.max(*byte)));
        if least < 0x20 || most >= 0x80 || line.first() != Some(&b'{') || memchr::memchr(b'\\', line).is_some() {
            return None;
        }
        *spans = Spans::default();
        let (mut at, mut met, mut keys) = (start + 1, 0_u32, self.0.iter());
        loop {
            let mut missing = 0;
            let known = loop {
                let known = keys.next()?;
                if known.here(text, at)? {
                    break known;
                }
                missing += 1;
                if missing > AHEAD {
                    return None;
                }
            };
            at += known.length;
            let quoted = *text.get(at)? == b'"';
            let from = at + usize::from(quoted);
            let to = if quoted { quote(text, from)? } else { behind(text, from)? };
            at = to + usize::from(quoted);
            if at >= end || !usable(text, from, to, quoted, known.what) {
                return None;
            }
            if let Use::Field(field) = known.what {
                let bit = 1 << field;
                if met & bit != 0 || (!quoted && TEXTS & bit != 0) {
                    return None;
                }
                met |= bit;
                *spans.get_mut(field)? = (from as u32, to as u32);
            }
            match *text.get(at)? {
                b',' => at += 1,
                // A line without a uid may be another's wrapping.
                b'}' => return (at + 1 == end && met & 2 != 0).then_some(()),
                _ => return None,
            }
        }
    }
}

/// Fields that are numbers.
const NUMBERS: [usize; 10] = [0, 3, 8, 9, 10, 11, 13, 14, 15, 16];

/// Whether those values are numbers that nobody has read, as of a row that is dropped for its ends.
pub fn numbers(text: &[u8], spans: &Spans) -> bool {
    NUMBERS.iter().filter_map(|field| spans.get(*field)).all(|(from, to)| {
        let (from, to) = (*from as usize, *to as usize);
        from == to || digits(text, from, to).is_some() || micros(text, from, to).is_some() || stamp(text, from, to).is_some()
    })
}

/// Whether a value is what it must be for its use, and JSON.
#[inline]
fn usable(text: &[u8], from: usize, to: usize, quoted: bool, what: Use) -> bool {
    let (first, second) = (text.get(from), text.get(from + 1));
    // Numbers have no leading zeros; what else may follow is seen when they are read.
    let number = first.is_some_and(u8::is_ascii_digit) && (first != Some(&b'0') || to == from + 1 || second == Some(&b'.'));
    match what {
        Use::Field(_) if quoted => first != Some(&b'('),
        Use::Field(_) => number,
        Use::Name => quoted && text.get(from..to) == Some(b"conn"),
        Use::Flag => !quoted && matches!(text.get(from..to), Some(b"true" | b"false")),
        Use::Nothing => quoted || matches!(text.get(from..to), Some(b"true" | b"false")) || (number && digits(text, from, to).is_some()),
        Use::Unknown => false,
    }
}
