//! JSON lines that have the keys of a line before, in the same order: what stands between their values is compared as it stood there, and
//! values are looked at only as far as somebody asks for them. `None`: not that plain, `json` decides.

use wide::u8x16;

use super::cell::{all_digits, digits, micros, stamp};
use super::channel::Spans;
use super::quotes;
use super::window::{BEFORE, LONGEST, Window};

/// Keys of the lines before that may be missing one after another.
const AHEAD: usize = 8;
/// Forms that are remembered; Zeek leaves out keys whose values are unset, so a log has a few.
const FORMS: usize = 32;

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

/// The keys of a file's lines in their order, each in quotes with its colon, and the forms of lines met.
#[derive(Default)]
pub struct Shape {
    keys: Vec<(Vec<u8>, Use)>,
    /// Those met more often tend to the front.
    forms: Vec<Form>,
}

/// Fields that are text; where their value stands without quotes `json` looks at it.
const TEXTS: u32 = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 12;

/// Quotes of a line, at most.
const MOST: usize = quotes::MORE;

/// So far behind a line's quote of that number; negative numbers wrap.
#[derive(Clone, Copy)]
struct Place {
    quote: usize,
    by: u32,
}

/// Bytes that stand at a place.
struct Fixed {
    at: Place,
    bytes: u8x16,
    mask: u8x16,
}

/// A value between two places.
struct Value {
    from: Place,
    to: Place,
    quoted: bool,
    what: Use,
}

/// Which keys lines have, and which of their values are in quotes.
#[derive(Default)]
struct Form {
    quotes: usize,
    fixed: Vec<Fixed>,
    /// Values of fields, and others that are looked at.
    fields: Vec<(usize, Value)>,
    others: Vec<Value>,
}

/// The quotes of the line whose window it is and what comes behind them, by their places in the block, where the line begins at `start`.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    pub window: Window<'a>,
    pub start: usize,
    pub quotes: &'a [u32; MOST],
}

impl Line<'_> {
    /// A place in the window.
    #[inline(always)]
    fn place(&self, Place { quote, by }: Place) -> usize {
        let at = self.quotes.get(quote % MOST).copied().unwrap_or_default();
        #[allow(clippy::cast_possible_truncation)] // blocks are far shorter than 4 GB
        let before = (self.start as u32).wrapping_sub(BEFORE as u32);
        at.wrapping_add(by).wrapping_sub(before) as usize
    }

    #[inline]
    fn quote(&self, quote: usize) -> usize {
        self.place(Place { quote, by: 0 })
    }
}

impl Shape {
    /// From the keys in their order.
    pub fn new<'a>(keys: impl Iterator<Item = (&'a [u8], Use)>) -> Self {
        Self { keys: keys.map(|(quoted, what)| (quoted.to_vec(), what)).collect(), forms: Vec::new() }
    }

    /// The values of a line, and how many quotes it has.
    #[inline]
    pub fn find(&mut self, line: Line<'_>, spans: &mut Spans) -> Option<usize> {
        let found = self.forms.iter().position(|form| form.find(line, spans).is_some());
        match found {
            Some(0) => self.forms.first().map(|form| form.quotes),
            Some(place) => {
                self.forms.swap(place - 1, place);
                self.forms.get(place - 1).map(|form| form.quotes)
            }
            None => self.learn(line, spans),
        }
    }

    /// The form of a line whose keys are among those known, which is remembered.
    #[cold]
    fn learn(&mut self, line: Line<'_>, spans: &mut Spans) -> Option<usize> {
        let form = self.form(line)?;
        form.find(line, spans)?;
        let quotes = form.quotes;
        if self.forms.len() < FORMS {
            self.forms.push(form);
        }
        Some(quotes)
    }

    fn form(&self, line: Line<'_>) -> Option<Form> {
        const BACK: u32 = 1_u32.wrapping_neg();
        let (mut form, mut met, mut keys) = (Form::default(), 0_u32, self.keys.iter());
        // What stands from a place on, up to the next value.
        let (mut since, mut fixed) = (Place { quote: 0, by: BACK }, b"{".to_vec());
        while line.window.byte(line.quote(form.quotes)) != b'\n' {
            let key = form.quotes;
            let at = line.quote(key);
            let (quoted, what) = keys.by_ref().take(AHEAD + 1).find(|(quoted, _)| line.window.get(at, at + quoted.len()) == Some(quoted))?;
            fixed.extend_from_slice(quoted);
            let text = line.quote(key + 2) == at + quoted.len();
            let from = Place { quote: key, by: u32::try_from(quoted.len()).ok()? };
            form.quotes += if text { 4 } else { 2 };
            let (from, to, next) = if text {
                fixed.push(b'"');
                (Place { quote: key + 2, by: 1 }, Place { quote: key + 3, by: 0 }, &b"\","[..])
            } else {
                // Up to the comma before the next key, or the brace.
                (from, Place { quote: form.quotes, by: BACK }, &b","[..])
            };
            form.fix(since, &fixed)?;
            (since, fixed) = (to, next.to_vec());
            let value = Value { from, to, quoted: text, what: *what };
            match what {
                Use::Field(field) if met >> field & 1 == 1 || (!text && TEXTS >> field & 1 == 1) => return None,
                Use::Field(field) => {
                    met |= 1 << field;
                    form.fields.push((*field, value));
                }
                Use::Nothing if text => {}
                _ => form.others.push(value),
            }
            if form.quotes + 4 >= MOST {
                return None;
            }
        }
        fixed.pop();
        fixed.extend_from_slice(b"}\n");
        form.fix(since, &fixed)?;
        // A line without a uid may be another's wrapping.
        (met & 2 != 0).then_some(form)
    }
}

impl Form {
    /// Bytes that stand at a place; `None`: there are too many.
    fn fix(&mut self, at: Place, bytes: &[u8]) -> Option<()> {
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= 32)?;
        let mut put = |skip: u32| {
            let (mut text, mut mask) = ([0; 16], [0; 16]);
            for ((text, mask), byte) in text.iter_mut().zip(&mut mask).zip(bytes.iter().skip(skip as usize)) {
                (*text, *mask) = (*byte, u8::MAX);
            }
            self.fixed.push(Fixed { at: Place { quote: at.quote, by: at.by.wrapping_add(skip) }, bytes: u8x16::new(text), mask: u8x16::new(mask) });
        };
        put(0);
        if length > 16 {
            put(length - 16);
        }
        Some(())
    }

    /// The values of a line, if it has this form and nothing in it is odd.
    #[inline]
    fn find(&self, line: Line<'_>, spans: &mut Spans) -> Option<()> {
        let row = line.window;
        let end = line.quote(self.quotes);
        if end > BEFORE + LONGEST || row.byte(end) != b'\n' || line.quote(0) != BEFORE + 1 {
            return None;
        }
        for some in self.fixed.chunks(8) {
            let mut other = u8x16::splat(0);
            for Fixed { at, bytes, mask } in some {
                other |= (u8x16::new(row.bytes(line.place(*at))?) ^ *bytes) & *mask;
            }
            if other.cmp_eq(u8x16::splat(0)).move_mask() != 0xffff {
                return None;
            }
        }
        *spans = Spans::default();
        let mut fine = true;
        for (field, Value { from, to, quoted, .. }) in &self.fields {
            let (from, to) = (line.place(*from), line.place(*to));
            let [first, second, ..] = row.word(from).to_le_bytes();
            fine &= if *quoted { first != b'(' } else { number(first, second, to == from + 1) };
            #[allow(clippy::cast_possible_truncation)] // windows are far shorter than 4 GB
            let span = (from as u32, to as u32);
            *spans.get_mut(*field)? = span;
        }
        for Value { from, to, quoted, what } in &self.others {
            fine &= usable(row, line.place(*from), line.place(*to), *quoted, *what);
        }
        fine.then_some(())
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

/// Whether a number may begin so: without leading zeros. What else follows is seen when it is read.
#[inline(always)]
fn number(first: u8, second: u8, alone: bool) -> bool {
    (first.wrapping_sub(b'1') <= 8) | ((first == b'0') & (alone | (second == b'.')))
}

/// Whether a value of no field is what it must be for its use, and JSON.
#[inline]
fn usable(row: Window<'_>, from: usize, to: usize, quoted: bool, what: Use) -> bool {
    let word = || (to == from + 4 && row.bytes(from) == Some(*b"true")) || (to == from + 5 && row.bytes(from) == Some(*b"false"));
    match what {
        Use::Name => quoted && row.get(from, to) == Some(b"conn"),
        Use::Flag => !quoted && word(),
        Use::Nothing => quoted || word() || (number(row.byte(from), row.byte(from + 1), to == from + 1) && digits(row, from, to).is_some()),
        Use::Field(_) | Use::Unknown => false,
    }
}
