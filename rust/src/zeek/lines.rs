//! A file as lines: decompressed, in blocks, each line handed out once, memory bounded by the longest line allowed.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use memchr::{memchr, memrchr};

use super::gunzip;

/// A longer line is refused.
pub const LONGEST: usize = 16 << 20;
const BLOCK: usize = 256 << 10;

/// How a file is wrapped, told by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrap {
    Plain,
    Gzip,
    Zstd,
}

pub fn wrap_of(head: &[u8]) -> Wrap {
    match head {
        [0x1f, 0x8b, ..] => Wrap::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Wrap::Zstd,
        [a, 0x2a, 0x4d, 0x18, ..] if a & 0xf0 == 0x50 => Wrap::Zstd,
        _ => Wrap::Plain,
    }
}

/// The wrap of a file.
///
/// # Errors
/// It cannot be opened or read.
pub fn look(path: &str) -> std::io::Result<Wrap> {
    let mut head = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut head)?;
    Ok(wrap_of(&head))
}

/// The decompressed text of a file.
///
/// # Errors
/// It cannot be opened.
pub fn open(path: &str) -> std::io::Result<Box<dyn Read + Send>> {
    let wrap = look(path)?;
    let file = File::open(path)?;
    Ok(match wrap {
        Wrap::Plain => Box::new(file),
        Wrap::Gzip => Box::new(MultiGzDecoder::new(std::io::BufReader::with_capacity(128 << 10, file))),
        Wrap::Zstd => Box::new(Zstd::new(file)?),
    })
}

/// A zstd reader with a bounded window (128 MB, what `zstd -T0 --long=27` needs).
struct Zstd(zstd::stream::read::Decoder<'static, std::io::BufReader<File>>);

impl Zstd {
    fn new(file: File) -> std::io::Result<Self> {
        let mut inner = zstd::stream::read::Decoder::new(file)?;
        inner.window_log_max(27)?;
        Ok(Self(inner))
    }
}

impl Read for Zstd {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

/// A line and whether its newline was there.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    pub data: &'a [u8],
    pub whole: bool,
    /// Offset of its first byte in the decompressed text.
    pub at: u64,
}

/// What stopped a walk, besides the end of the text.
#[derive(Debug)]
pub enum Stop {
    End,
    Damaged(std::io::Error),
}

/// Part of a file: where to begin (in decompressed bytes) and before which byte a line must start to be handed out.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub start: u64,
    /// Lines that start here or later are another's.
    pub until: u64,
    /// Lines must end here or earlier (a range that the caller set).
    pub end: Option<u64>,
    /// The start may lie inside a line, which is then another's.
    pub inner: bool,
}

impl Span {
    pub const ALL: Self = Self { start: 0, until: u64::MAX, end: None, inner: false };
}

/// What a walk hands out.
pub enum Piece<'a> {
    Line(Line<'a>),
    /// A line longer than `LONGEST` that was passed over.
    TooLong,
}

/// Takes what a walk hands out; false: no more is wanted.
pub trait Taker {
    fn piece(&mut self, piece: Piece<'_>) -> bool;

    /// Whole lines, at an offset of the decompressed text.
    fn block(&mut self, text: &[u8], at: u64) -> bool;
}

impl<F: FnMut(Piece<'_>) -> bool> Taker for F {
    fn piece(&mut self, piece: Piece<'_>) -> bool {
        self(piece)
    }

    fn block(&mut self, text: &[u8], at: u64) -> bool {
        whole(text, at).all(|line| self(Piece::Line(line)))
    }
}

/// The lines of a text that ends with one, from an offset on.
pub fn whole(text: &[u8], mut at: u64) -> impl Iterator<Item = Line<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = memchr(b'\n', rest)?;
        let (line, tail) = rest.split_at_checked(end + 1)?;
        let line = Line { data: line.get(..end)?, whole: true, at };
        (rest, at) = (tail, at + end as u64 + 1);
        Some(line)
    })
}

/// Hand every line of a span to `each`, until it answers false. `held`: the open plain file, where its name may change hands meanwhile.
///
/// # Errors
/// The file cannot be opened.
pub fn walk(path: &str, held: Option<&Arc<File>>, span: Span, each: &mut dyn Taker) -> std::io::Result<Stop> {
    let mut skip_first = false;
    let mut at = 0;
    let mut source: Box<dyn Read> = if held.is_some() || (span.start > 0 && look(path)? == Wrap::Plain) {
        let file = held.map_or_else(|| File::open(path).map(Arc::new), |file| Ok(Arc::clone(file)))?;
        at = if span.inner { span.start - 1 } else { span.start };
        skip_first = span.inner;
        Box::new(From { file, at })
    } else if look(path)? == Wrap::Gzip
        && let Some(text) = gunzip::open(path)
    {
        Box::new(text)
    } else {
        open(path)?
    };
    let mut buffer = SPARE.take();
    buffer.resize(BLOCK, 0);
    let mut walk = Walk { buffer, held: 0, at, skip: skip_first, span };
    let stop = walk.run(&mut *source, each);
    walk.buffer.truncate(BLOCK);
    walk.buffer.shrink_to(BLOCK);
    SPARE.set(walk.buffer);
    Ok(stop)
}

thread_local! {
    /// The buffer of the walk before: memory that is asked for anew costs more than what is read into it.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// An open file read from a place of one's own: what is read stays the same file when its name is given to another (rotation).
struct From {
    file: Arc<File>,
    at: u64,
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.file.read_at(buffer, self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}

struct Walk {
    buffer: Vec<u8>,
    /// Bytes of an unfinished line at the front of the buffer.
    held: usize,
    /// Offset of the buffer's first byte.
    at: u64,
    /// Pass over everything up to the next newline.
    skip: bool,
    span: Span,
}

impl Walk {
    fn run(&mut self, source: &mut dyn Read, each: &mut dyn Taker) -> Stop {
        loop {
            let room = self.buffer.get_mut(self.held..).unwrap_or_default();
            let got = match source.read(room) {
                Ok(0) => break,
                Ok(got) => got,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Stop::Damaged(error),
            };
            let filled = self.held + got;
            let full = memrchr(b'\n', self.buffer.get(self.held..filled).unwrap_or_default()).map(|end| self.held + end + 1);
            let Some(full) = full else {
                if !self.grow(filled, each) {
                    return Stop::End;
                }
                continue;
            };
            if !self.lines(full, each) {
                return Stop::End;
            }
            self.buffer.copy_within(full..filled, 0);
            self.held = filled - full;
            self.at += full as u64;
        }
        let fits = self.span.end.is_none_or(|end| self.at + self.held as u64 <= end) && self.at < self.span.until;
        if self.held > 0 && !self.skip && fits {
            let data = self.buffer.get(..self.held).unwrap_or_default();
            each.piece(Piece::Line(Line { data, whole: false, at: self.at }));
        }
        Stop::End
    }

    /// No newline in the buffer: make room, or pass over a line that is too long.
    fn grow(&mut self, filled: usize, each: &mut dyn Taker) -> bool {
        self.held = filled;
        if filled > LONGEST || self.skip {
            self.at += filled as u64;
            self.held = 0;
            if !self.skip {
                self.skip = true;
                return each.piece(Piece::TooLong);
            }
        } else if filled == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        true
    }

    fn lines(&mut self, full: usize, each: &mut dyn Taker) -> bool {
        let text = self.buffer.get(..full).unwrap_or_default();
        let mut begin = 0;
        if self.skip {
            self.skip = false;
            begin = memchr(b'\n', text).map_or(full, |end| end + 1);
        }
        // Lines that start before `until` and end at `end` or before.
        let within = |limit: u64| usize::try_from(limit.saturating_sub(self.at)).ok().filter(|limit| *limit < full);
        let until = match within(self.span.until) {
            None => full,
            Some(0) => 0,
            Some(until) => text.get(until - 1..).and_then(|text| memchr(b'\n', text)).map_or(full, |at| until + at),
        };
        let end = self.span.end.and_then(within).map_or(full, |end| text.get(..end).and_then(|text| memrchr(b'\n', text)).map_or(0, |at| at + 1));
        let stop = until.min(end);
        match text.get(begin..stop.max(begin)) {
            Some(lines) if !lines.is_empty() && !each.block(lines, self.at + begin as u64) => false,
            _ => stop == full,
        }
    }
}

/// The first `size` bytes of a file's decompressed text, fewer where it is shorter or damaged.
///
/// # Errors
/// It cannot be opened.
pub fn head(path: &str, size: u64) -> std::io::Result<Vec<u8>> {
    let mut found = Vec::new();
    let mut source = open(path)?.take(size);
    let mut block = [0; 16 << 10];
    while let Ok(got @ 1..) = source.read(&mut block) {
        found.extend_from_slice(block.get(..got).unwrap_or_default());
    }
    Ok(found)
}
