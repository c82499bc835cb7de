//! One byte stream: opened, counted, decompressed, and read through one reused buffer.

use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, LazyLock};
use std::sync::atomic::{AtomicU64, Ordering};

use super::ahead::{Ahead, Block, HEAD};
use crate::bytes;
use crate::error::Error;

/// Large enough to make calls rare, small enough to stay in the cache.
const BUFFER: usize = if cfg!(fuzzing) { 4096 } else { 256 * 1024 };
/// No record that a sane writer makes is longer; what claims to be is damage.
pub const LONGEST: usize = 16 * 1024 * 1024;

/// Counts the (compressed) bytes taken from the source, for progress.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Where bytes come from.
enum Source {
    Here(Box<dyn Read + Send>),
    Ahead(Ahead),
    Ended,
}

/// A buffered stream that hands out contiguous bytes. Of one that is compressed, what fits the first buffer is read at once; the rest of a longer
/// one is read ahead by a thread of its own, where there is a second core. Plain bytes are better read where they are looked at: the
/// system reads the disk ahead, and a block that another core has filled is not in this one's cache (a seventh more CPU time for a twentieth
/// less waiting, on 3.5 GB).
///
/// Who wants to look at bytes later, or elsewhere, keeps the buffer: it is left as it is then, and reading goes on in another.
pub struct Input {
    source: Source,
    buffer: Arc<Vec<u8>>,
    /// Buffers that others may still look at.
    lent: Vec<Arc<Vec<u8>>>,
    start: usize,
    end: usize,
    offset: u64,
    filled: bool,
    ahead: bool,
    trouble: Option<String>,
}

impl Input {
    /// Open a path (`-` is standard input), looking through gzip and zstd by their magic.
    ///
    /// # Errors
    /// Where the source cannot be opened or its first bytes cannot be read.
    pub fn open(path: &str, count: &Arc<AtomicU64>) -> Result<Self, Error> {
        let failed = |source: io::Error| Error::Open { path: path.to_owned(), source };
        let raw: Box<dyn Read + Send> = if path == "-" { Box::new(io::stdin()) } else { Box::new(open_file(path).map_err(failed)?) };
        let mut plain = Self::new(Box::new(Counted { inner: raw, count: Arc::clone(count) }));
        plain.ensure(4);
        if let Some(trouble) = plain.trouble.take().filter(|_| plain.available() == 0) {
            return Err(failed(io::Error::other(trouble)));
        }
        Ok(match plain.peek(4) {
            Some([0x1f, 0x8b, ..]) => Self::ahead(Box::new(flate2::read::MultiGzDecoder::new(Rest(plain)))),
            Some([0x28, 0xb5, 0x2f, 0xfd]) => Self::ahead(Box::new(zstd::stream::read::Decoder::new(Rest(plain)).map_err(failed)?)),
            _ => plain,
        })
    }

    /// Over any reader.
    #[must_use]
    pub fn new(inner: Box<dyn Read + Send>) -> Self {
        Self { source: Source::Here(inner), buffer: Arc::new(vec![0; BUFFER]), lent: Vec::new(), start: 0, end: 0, offset: 0, filled: false, ahead: false, trouble: None }
    }

    /// Over a reader that has work to do: another thread does it.
    #[must_use]
    fn ahead(inner: Box<dyn Read + Send>) -> Self {
        Self { ahead: true, ..Self::new(inner) }
    }

    /// Bytes in the buffer.
    #[inline]
    #[must_use]
    pub fn available(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Offset of the next byte in the decompressed stream.
    #[inline]
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Why the stream ended before its end, once.
    pub fn trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    /// Make `size` bytes contiguous; false where the stream ends before (or `size` is beyond reason).
    #[inline]
    pub fn ensure(&mut self, size: usize) -> bool {
        self.available() >= size || self.fill(size)
    }

    #[cold]
    fn fill(&mut self, size: usize) -> bool {
        if size > LONGEST {
            return false;
        }
        if self.filled && self.ahead && several_cores() {
            self.source = match std::mem::replace(&mut self.source, Source::Ended) {
                Source::Here(inner) => Source::Ahead(Ahead::start(inner)),
                other => other,
            };
        }
        if matches!(self.source, Source::Here(_)) {
            self.bring_front(size);
        }
        while self.available() < size {
            match &mut self.source {
                Source::Ended => return false,
                Source::Here(inner) => match inner.read(Arc::make_mut(&mut self.buffer).get_mut(self.end..).unwrap_or_default()) {
                    Ok(0) => self.source = Source::Ended,
                    Ok(read) => self.end = self.end.saturating_add(read).min(self.buffer.len()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => self.stop(&error),
                },
                Source::Ahead(ahead) => {
                    let block = ahead.next();
                    self.take(block);
                }
            }
        }
        self.filled = true;
        true
    }

    fn stop(&mut self, error: &io::Error) {
        self.trouble = Some(error.to_string());
        self.source = Source::Ended;
    }

    /// What is left goes to the front of a buffer that nobody else looks at, which holds at least `size` bytes.
    fn bring_front(&mut self, size: usize) {
        let rest = self.start..self.end;
        if let Some(own) = Arc::get_mut(&mut self.buffer) {
            own.copy_within(rest, 0);
        } else {
            let mut fresh = self.returned().filter(|buffer| buffer.len() == BUFFER).unwrap_or_default();
            let rest = self.buffer.get(rest).unwrap_or_default();
            fresh.resize(BUFFER.max(rest.len()), 0);
            if let Some(front) = fresh.get_mut(..rest.len()) {
                front.copy_from_slice(rest);
            }
            self.lend(fresh);
        }
        self.end = self.available();
        self.start = 0;
        if self.buffer.len() < size {
            Arc::make_mut(&mut self.buffer).resize(size, 0);
        }
    }

    /// Go on with another buffer; this one is taken back once nobody looks at it.
    fn lend(&mut self, next: Vec<u8>) {
        let old = std::mem::replace(&mut self.buffer, Arc::new(next));
        self.lent.push(old);
    }

    /// Of the buffers that were lent and nobody looks at any more the last one, which is the likeliest to be in a cache.
    fn returned(&mut self) -> Option<Vec<u8>> {
        let at = self.lent.iter().rposition(|buffer| Arc::strong_count(buffer) == 1)?;
        Arc::try_unwrap(self.lent.remove(at)).ok()
    }

    /// Go on to a block: what is left of the buffer comes in front of it.
    fn take(&mut self, mut block: Block) {
        let left = self.available();
        let rest = self.buffer.get(self.start..self.end).unwrap_or_default();
        match HEAD.checked_sub(left).and_then(|start| Some((start, block.buffer.get_mut(start..HEAD)?))) {
            Some((start, head)) => {
                head.copy_from_slice(rest);
                self.lend(block.buffer);
                (self.start, self.end) = (start, block.end);
            }
            None => {
                let own = Arc::make_mut(&mut self.buffer);
                own.truncate(self.end);
                own.extend_from_slice(block.buffer.get(HEAD..block.end).unwrap_or_default());
                self.end = own.len();
                self.lent.push(Arc::new(block.buffer));
            }
        }
        while let Some(buffer) = self.returned() {
            if let Source::Ahead(ahead) = &self.source {
                ahead.back(buffer);
            }
        }
        match block.last {
            Some(Ok(())) => self.source = Source::Ended,
            Some(Err(error)) => self.stop(&error),
            None => {}
        }
    }

    /// The next `size` bytes, if they are in the buffer.
    #[inline]
    #[must_use]
    pub fn peek(&self, size: usize) -> Option<&[u8]> {
        self.buffer.get(self.start..self.end)?.get(..size)
    }

    /// All that is in the buffer.
    #[inline]
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Bytes `skip..skip + size` from here, if they are in the buffer.
    #[inline]
    #[must_use]
    pub fn view(&self, skip: usize, size: usize) -> &[u8] {
        bytes::first(bytes::after(self.buffer.get(self.start..self.end).unwrap_or_default(), skip), size)
    }

    /// The buffer, to be kept as long as wanted, and the offset of its first byte in the decompressed stream (which may lie before its start).
    #[inline]
    #[must_use]
    pub fn buffer(&self) -> (&Arc<Vec<u8>>, i64) {
        (&self.buffer, self.offset.cast_signed() - self.start as i64)
    }

    /// Step over bytes that are in the buffer.
    #[inline]
    pub fn consume(&mut self, size: usize) {
        let size = size.min(self.available());
        self.start += size;
        self.offset += size as u64;
    }

    /// Step over bytes, wherever they are; false where the stream ends before.
    pub fn skip(&mut self, mut size: u64) -> bool {
        while size > 0 {
            if self.available() == 0 && !self.ensure(1) {
                return false;
            }
            let step = size.min(self.available() as u64);
            self.consume(usize::try_from(step).unwrap_or(usize::MAX));
            size -= step;
        }
        true
    }
}

fn several_cores() -> bool {
    static CORES: LazyLock<bool> = LazyLock::new(|| !cfg!(fuzzing) && std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1));
    *CORES
}

/// A file that is no directory: reading one fails only later and less clearly.
fn open_file(path: &str) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a directory"));
    }
    Ok(file)
}

/// An input as a plain reader, for a decompressor.
struct Rest(Input);

impl Read for Rest {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.0.ensure(1) {
            return self.0.trouble().map_or(Ok(0), |trouble| Err(io::Error::other(trouble)));
        }
        let size = self.0.available().min(into.len());
        let (Some(target), Some(source)) = (into.get_mut(..size), self.0.peek(size)) else { return Ok(0) };
        target.copy_from_slice(source);
        self.0.consume(size);
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    /// Gives a few bytes at a time, then breaks off.
    struct Broken(usize);

    impl Read for Broken {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let size = into.len().min(self.0).min(50_000);
            self.0 -= size;
            into[..size].fill(7);
            if size == 0 { Err(io::Error::other("worn out")) } else { Ok(size) }
        }
    }

    #[test]
    fn blocks_read_ahead_are_one_stream() {
        let bytes: Vec<u8> = (0..6_000_000_u32).map(|place| (place.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for mut input in [Input::ahead(Box::new(io::Cursor::new(bytes.clone()))), Input::new(Box::new(io::Cursor::new(bytes.clone())))] {
            one_stream(&mut input, &bytes);
        }
    }

    fn one_stream(input: &mut Input, bytes: &[u8]) {
        let mut at = 0;
        // Records shorter and longer than what fits in front of a block, and longer than a block.
        for size in [16, 1_500, 70, 70_000, 3, 300_000, 1_200_000, 16, 65_536].into_iter().cycle() {
            if !input.ensure(size) {
                assert!(at + size > bytes.len(), "ended at {at}");
                break;
            }
            assert!(input.peek(size) == bytes.get(at..at + size), "{size} bytes at {at}");
            input.consume(size);
            at += size;
            assert_eq!(input.offset(), at as u64);
        }
        assert_eq!(input.view(0, usize::MAX), &bytes[at..]);
        assert_eq!(input.trouble(), None);
    }

    #[test]
    fn what_was_read_before_trouble_counts() {
        for mut input in [Input::ahead(Box::new(Broken(2_000_000))), Input::new(Box::new(Broken(2_000_000)))] {
            assert!(!input.skip(3_000_000));
            assert_eq!(input.offset(), 2_000_000);
            assert_eq!(input.trouble().as_deref(), Some("worn out"));
        }
    }
}
