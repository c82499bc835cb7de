//! JSON lines that have the keys of the line before, nearly always in the same order: where their values are, found without looking at
//! what nobody asks for twice. `None`: not that plain, `json` decides.

use super::cell::{all_digits, digits, micros, stamp};
use super::channel::Spans;
use super::marks::{MOST, Marks};
use super::window::{BEFORE, Window};

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
    fn here(&self, row: Window<'_>, at: usize) -> bool {
        let [(first, first_mask), (second, second_mask), (third, third_mask)] = self.words;
        row.word(at) & first_mask == first
            && (second_mask == 0 || row.word(at + 8) & second_mask == second)
            && (third_mask == 0 || row.word(at + 16) & third_mask == third)
    }
}

impl Shape {
    /// From the keys in their order; one that is longer than usual ends what is known.
    pub fn new<'a>(keys: impl Iterator<Item = (&'a [u8], Use)>) -> Self {
        Self(keys.map_while(|(quoted, what)| Known::new(quoted, what)).collect())
    }

    /// The values of a line of a block, which has no byte that a plain line has not.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // windows are far shorter than 4 GB
    pub fn find(&self, row: Window<'_>, marks: &Marks, start: usize, end: usize, spans: &mut Spans) -> Option<()> {
        let mut quotes = [0; MOST];
        marks.all(start, end, &mut quotes)?;
        let quote = |number: usize| quotes.get(number).map(|at| *at as usize);
        if row.byte(BEFORE) != b'{' || quote(0)? != BEFORE + 1 {
            return None;
        }
        *spans = Spans::default();
        let (mut number, mut met, mut keys) = (0, 0_u32, self.0.iter());
        loop {
            let at = quote(number)?;
            let known = keys.by_ref().take(AHEAD + 1).find(|known| known.here(row, at))?;
            let value = at + known.length;
            // A value without quotes ends before the comma that the next key's quote follows, the last one before the brace.
            let next = quote(number + 2)?;
            let quoted = next == value;
            let (from, to) = if quoted { (value + 1, quote(number + 3)?) } else { (value, next.wrapping_sub(1)) };
            number += if quoted { 4 } else { 2 };
            let behind = to + usize::from(quoted);
            if behind >= end || !usable(row, from, to, quoted, known.what) {
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
            match row.byte(behind) {
                b',' if quote(number)? == behind + 1 => {}
                // A line without a uid may be another's wrapping.
                b'}' => return (behind + 1 == end && met & 2 != 0).then_some(()),
                _ => return None,
            }
        }
    }
}

/// Fields that are numbers.
const NUMBERS: [usize; 10] = [0, 3, 8, 9, 10, 11, 13, 14, 15, 16];

/// Whether those values are numbers that nobody has read, as of a row that is dropped for its ends.
pub fn numbers(row: Window<'_>, spans: &Spans) -> bool {
    NUMBERS.iter().filter_map(|field| spans.get(*field)).all(|(from, to)| {
        let (from, to) = (*from as usize, *to as usize);
        from == to || all_digits(row, from, to) || micros(row, from, to).is_some() || stamp(row, from, to).is_some()
    })
}

/// Whether a value is what it must be for its use, and JSON.
#[inline]
fn usable(row: Window<'_>, from: usize, to: usize, quoted: bool, what: Use) -> bool {
    let (first, second) = (row.byte(from), row.byte(from + 1));
    // Numbers have no leading zeros; what else may follow is seen when they are read.
    let number = first.is_ascii_digit() && (first != b'0' || to == from + 1 || second == b'.');
    match what {
        Use::Field(_) if quoted => first != b'(',
        Use::Field(_) => number,
        Use::Name => quoted && row.get(from, to) == Some(b"conn"),
        Use::Flag => !quoted && matches!(row.get(from, to), Some(b"true" | b"false")),
        Use::Nothing => quoted || matches!(row.get(from, to), Some(b"true" | b"false")) || (number && digits(row, from, to).is_some()),
        Use::Unknown => false,
    }
}
