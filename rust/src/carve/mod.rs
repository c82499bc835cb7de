//! Frames of named sessions, cut out of captures into one pcapng with comments that say why.

mod choose;
mod writer;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::Ordering;

pub use choose::{ByTuple, ByUid, Choose, Wanted, address, name};
use choose::Fragment;
use writer::Writer;

use crate::capture::{Frame, Set};
use crate::decode::Decoder;
use crate::error::{Error, Note};

/// Fragments kept until the packet that they belong to is known: frames and bytes.
const HELD: usize = 4096;
const HELD_BYTES: usize = 32 * 1024 * 1024;
/// Frames between two words about how far the reading is.
const TOLD: u64 = 16_384;

/// What was written, and how many frames each wanted session has.
#[derive(Debug, Default)]
pub struct Carved {
    pub frames: u64,
    pub bytes: u64,
    pub found: Vec<u64>,
    pub notes: Vec<Note>,
}

/// A frame that waits for the rest of its packet.
struct Held {
    time: i64,
    link: u16,
    trailer: u8,
    length: usize,
    data: Vec<u8>,
}

/// Cut the frames that `choose` wants out of `paths` into a new pcapng file `out` (`-`: standard output). Nothing found, nothing written.
/// `tell` hears from time to time how many bytes were read, and ends it by saying no.
///
/// # Errors
/// Where not one capture can be read, or the output cannot be written.
pub fn carve<C: Choose>(paths: &[String], choose: &mut C, comment: &str, out: &str, mut tell: impl FnMut(u64) -> bool) -> Result<Carved, Error> {
    let failed = |source: io::Error| Error::Open { path: out.to_owned(), source };
    let mut set = Set::open(paths)?;
    let mut carved = Carved { found: vec![0; choose.count()], ..Carved::default() };
    let mut decoder = Decoder::default();
    let mut writer = Writer::new(out, comment);
    let mut held = Waiting::default();
    let (counter, mut seen) = (set.counter(), 0_u64);
    set.start();
    while let Some((frame, file)) = set.frame() {
        seen += 1;
        let on = !seen.is_multiple_of(TOLD) || tell(counter.load(Ordering::Relaxed));
        if !on || !choose.begin(frame.time, file) {
            break;
        }
        decoder.frame(&frame, choose);
        let chosen = std::mem::take(choose.chosen());
        if !chosen.hits.is_empty() {
            for earlier in chosen.fragment.map(|key| held.release(key)).unwrap_or_default() {
                writer.frame(&earlier.frame(), "").map_err(failed)?;
            }
            let text = first_comments(&mut carved, &chosen.hits, choose);
            writer.frame(&frame, &text).map_err(failed)?;
        } else if let Some(key) = chosen.fragment {
            held.keep(key, &frame);
        }
        if !chosen.lost.is_empty() {
            let place = set.place();
            for (kind, reason) in chosen.lost {
                set.note(file, Some(place), kind, reason);
            }
        }
        set.advance();
    }
    writer.finish().map_err(failed)?;
    (carved.frames, carved.bytes, carved.notes) = (writer.frames, writer.bytes, set.notes());
    Ok(carved)
}

/// Count the frame for its sessions; the comments of those that begin with it.
fn first_comments<C: Choose>(carved: &mut Carved, hits: &[usize], choose: &C) -> String {
    let mut texts = Vec::new();
    for &place in hits {
        let Some(count) = carved.found.get_mut(place) else { continue };
        if *count == 0 {
            texts.push(choose.comment(place));
        }
        *count += 1;
    }
    texts.join("\n")
}

#[derive(Default)]
struct Waiting {
    frames: HashMap<Fragment, Vec<Held>>,
    count: usize,
    bytes: usize,
}

impl Waiting {
    fn keep(&mut self, key: Fragment, frame: &Frame<'_>) {
        if self.count >= HELD || self.bytes + frame.data.len() > HELD_BYTES {
            *self = Self::default();
        }
        self.count += 1;
        self.bytes += frame.data.len();
        let held = Held { time: frame.time, link: frame.link, trailer: frame.trailer, length: frame.length, data: frame.data.to_vec() };
        self.frames.entry(key).or_default().push(held);
    }

    fn release(&mut self, key: Fragment) -> Vec<Held> {
        let held = self.frames.remove(&key).unwrap_or_default();
        self.count -= held.len();
        self.bytes -= held.iter().map(|frame| frame.data.len()).sum::<usize>();
        held
    }
}

impl Held {
    fn frame(&self) -> Frame<'_> {
        Frame { time: self.time, link: self.link, trailer: self.trailer, length: self.length, data: &self.data }
    }
}

