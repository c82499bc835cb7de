//! Capture files to frames: pcap and pcapng, plain or compressed, several files as one.

mod ahead;
mod input;
mod pcap;
mod pcapng;
mod portion;
mod resume;
mod set;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

pub use input::Input;
pub use portion::{Portion, Slip};
pub use set::Set;

use crate::decode;
use crate::error::Error;

/// One captured frame. `data` holds what was stored of it, `length` is what was on the wire.
#[derive(Debug, Clone, Copy, Default)]
pub struct Frame<'a> {
    /// Nanoseconds since 1970 (UTC).
    pub time: i64,
    /// `LINKTYPE_…` number.
    pub link: u16,
    /// Bytes of frame check sequence at the end of a whole frame.
    pub trailer: u8,
    pub length: usize,
    pub data: &'a [u8],
}

/// Where a file stopped being readable, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub place: u64,
    pub kind: &'static str,
    pub reason: String,
    /// What follows can be read again: `advance` goes on there.
    pub goes_on: bool,
}

impl Damage {
    fn new(place: u64, kind: &'static str, reason: impl Into<String>) -> Self {
        Self { place, kind, reason: reason.into(), goes_on: false }
    }

    /// The stream ended inside something.
    fn cut(input: &mut Input, place: u64, what: &str) -> Self {
        match input.trouble() {
            Some(trouble) => Self::new(place, "damaged", format!("cannot be read on: {trouble}")),
            None => Self::new(place, "truncated", format!("ends inside {what}")),
        }
    }
}

/// Where the current frame lies in the input's buffer.
#[derive(Debug, Clone, Copy, Default)]
struct Here {
    time: i64,
    link: u16,
    trailer: u8,
    skip: usize,
    stored: usize,
    length: usize,
    whole: usize,
}

/// Frames that are looked at together.
pub const AHEAD: usize = 16;

/// The last of several frames, and how far behind the first it begins.
#[derive(Debug, Clone, Copy)]
pub struct Last {
    here: Here,
    behind: usize,
    seconds: u32,
}

/// One capture file, read frame by frame: `advance`, then `frame`.
pub struct Capture {
    input: Input,
    format: Format,
    here: Here,
}

enum Format {
    Pcap(pcap::Pcap),
    Pcapng(pcapng::Pcapng),
}

impl Capture {
    /// Open one file and read its header.
    ///
    /// # Errors
    /// Where it cannot be opened or is no capture.
    pub fn open(path: &str, count: &Arc<AtomicU64>) -> Result<Self, Error> {
        Self::over(Input::open(path, count)?, path)
    }

    /// A capture over any input.
    ///
    /// # Errors
    /// Where the first bytes are no capture's.
    pub fn over(mut input: Input, path: &str) -> Result<Self, Error> {
        let refused = |reason: String| Error::Refused { path: path.to_owned(), reason };
        if !input.ensure(4) {
            let reason = input.trouble().unwrap_or_else(|| if input.available() == 0 { "is empty".into() } else { "is too short to be a capture".into() });
            return Err(refused(reason));
        }
        let magic: [u8; 4] = input.peek(4).and_then(|bytes| bytes.first_chunk().copied()).unwrap_or_default();
        let format = if magic == pcapng::SECTION {
            Format::Pcapng(pcapng::Pcapng::default())
        } else {
            match pcap::Pcap::header(&mut input, magic) {
                Some(Ok(pcap)) if decode::known_link(pcap.link()) => Format::Pcap(pcap),
                Some(Ok(pcap)) => return Err(refused(decode::unknown_link(pcap.link()))),
                Some(Err(reason)) => return Err(refused(reason)),
                None => return Err(refused(format!("is no pcap or pcapng capture (it begins {:02x?})", magic))),
            }
        };
        Ok(Self { input, format, here: Here::default() })
    }

    /// Go to the next frame; false at the end.
    ///
    /// # Errors
    /// Where something cannot be understood: the rest of the file, or, where the damage `goes_on`, what lay up to the next record that fits.
    #[inline]
    pub fn advance(&mut self) -> Result<bool, Damage> {
        self.input.consume(self.here.whole);
        self.here = Here::default();
        let found = match &mut self.format {
            Format::Pcap(pcap) => pcap.next(&mut self.input)?,
            Format::Pcapng(pcapng) => pcapng.next(&mut self.input)?,
        };
        let Some(here) = found else { return Ok(false) };
        self.here = here;
        Ok(true)
    }

    /// The frame that `advance` found.
    #[inline]
    #[must_use]
    pub fn frame(&self) -> Frame<'_> {
        let here = &self.here;
        Frame { time: here.time, link: here.link, trailer: here.trailer, length: here.length, data: self.input.view(here.skip, here.stored) }
    }

    /// This frame and those behind it that are at hand in a pcap and no later than `until`: how many, and the last of them.
    #[inline]
    pub fn frames<'a>(&'a self, until: i64, into: &mut [Frame<'a>]) -> (usize, Option<Last>) {
        let [first, more @ ..] = into else { return (0, None) };
        *first = self.frame();
        match &self.format {
            Format::Pcap(pcap) => {
                let (count, last) = pcap.frames(&self.input, &self.here, until, more);
                (count + 1, last)
            }
            Format::Pcapng(_) => (1, None),
        }
    }

    /// Go to the last of several frames.
    #[inline]
    pub fn pass(&mut self, last: Last) {
        self.input.consume(last.behind);
        self.here = last.here;
        if let Format::Pcap(pcap) = &mut self.format {
            pcap.passed(last.seconds);
        }
    }

    /// The buffer that the current frame lies in, the offset of its first byte in the decompressed file, and how far a frame's bytes stand
    /// behind the begin of its record.
    #[inline]
    #[must_use]
    pub fn buffer(&self) -> (&Arc<Vec<u8>>, i64, usize) {
        let (buffer, base) = self.input.buffer();
        (buffer, base, self.here.skip)
    }

    /// Offset of the current record in the decompressed file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.input.offset()
    }
}
