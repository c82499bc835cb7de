//! A portion of the input, to be looked at by several at the same time: frames that stay where they were read, and whose they are.

use std::sync::Arc;

use super::Frame;
use crate::bytes::{after, first};
use crate::error::Note;

/// One frame, as its record describes it.
#[derive(Debug, Clone, Copy)]
pub struct Slip {
    pub time: i64,
    /// Its number in the portion.
    pub index: u32,
    /// Its first byte in the buffer, and how many there are.
    at: u32,
    stored: u32,
    length: u32,
    run: u16,
    link: u16,
    trailer: u8,
    /// It is handed to all.
    pub all: bool,
}

/// Frames that lie in one buffer.
#[derive(Debug)]
struct Run {
    buffer: Arc<Vec<u8>>,
    /// Offset of the buffer's first byte in its file.
    base: i64,
    /// Bytes of a record before the frame.
    skip: usize,
    file: u32,
}

#[derive(Debug)]
pub struct Portion {
    /// The highest time so far, at every frame. It never goes back within a portion.
    pub nows: Vec<i64>,
    runs: Vec<Run>,
    /// The run that frames are added to.
    run: usize,
    /// Frames by whose they are.
    shares: Vec<Vec<Slip>>,
    /// What was lost of the input, and behind which frame.
    pub notes: Vec<(u32, Note)>,
    /// Bytes of all frames, and packets at most.
    pub bytes: usize,
    pub packets: usize,
}

/// Packets that a frame may hold: one a layer that is a packet by itself, down to the depth that is followed.
const NESTED: usize = 13;

/// Runs that are looked through for one that goes on.
const NEAR: usize = 8;

impl Portion {
    /// One for so many, with room for some frames.
    #[must_use]
    pub fn new(shares: usize, room: usize) -> Self {
        let shares = (0..shares.max(1)).map(|_| Vec::with_capacity(room.div_ceil(shares.max(1)))).collect();
        Self { nows: Vec::with_capacity(room), runs: Vec::new(), run: 0, shares, notes: Vec::new(), bytes: 0, packets: 0 }
    }

    /// The following frames lie in this buffer.
    #[inline]
    pub fn lies_in(&mut self, (buffer, base, skip, file): (&Arc<Vec<u8>>, i64, usize, u32)) {
        let same = |run: &Run| Arc::ptr_eq(&run.buffer, buffer) && (run.base, run.skip, run.file) == (base, skip, file);
        if self.runs.get(self.run).is_some_and(same) {
            return;
        }
        // Files that ran in parallel take turns.
        let known = self.runs.iter().rev().take(NEAR).position(same).map(|back| self.runs.len() - 1 - back);
        self.run = known.unwrap_or_else(|| {
            self.runs.push(Run { buffer: Arc::clone(buffer), base, skip, file });
            self.runs.len() - 1
        });
    }

    /// Add a frame; `share` says whose it is, `None` hands it to all.
    #[inline]
    pub fn add(&mut self, frame: &Frame<'_>, now: i64, share: Option<u32>) {
        let Some(run) = self.runs.get(self.run) else { return };
        let at = frame.data.as_ptr().addr().saturating_sub(run.buffer.as_ptr().addr());
        let slip = Slip {
            time: frame.time,
            index: self.nows.len() as u32,
            at: at as u32,
            stored: frame.data.len() as u32,
            length: u32::try_from(frame.length).unwrap_or(u32::MAX),
            run: self.run as u16,
            link: frame.link,
            trailer: frame.trailer,
            all: share.is_none(),
        };
        self.nows.push(now);
        self.bytes += frame.data.len();
        if let Some(share) = share {
            self.packets += 1;
            let whose = self.whose(share);
            if let Some(slips) = self.shares.get_mut(whose) {
                slips.push(slip);
            }
        } else {
            self.packets += NESTED;
            self.shares.iter_mut().for_each(|slips| slips.push(slip));
        }
    }

    /// Is it full, so that another one begins?
    #[must_use]
    pub fn is_full(&self, frames: usize, bytes: usize) -> bool {
        self.nows.len() >= frames || self.bytes >= bytes || self.runs.len() >= usize::from(u16::MAX)
    }

    /// Whose a packet is.
    #[inline]
    #[must_use]
    pub fn whose(&self, share: u32) -> usize {
        ((u64::from(share) * self.shares.len() as u64) >> 32) as usize
    }

    /// How many there are to share it.
    #[must_use]
    pub fn shares(&self) -> usize {
        self.shares.len()
    }

    /// Let one have all frames.
    pub fn unite(&mut self) {
        let mut all: Vec<Slip> = std::mem::take(&mut self.shares).into_iter().flatten().collect();
        all.sort_by_key(|slip| slip.index);
        all.dedup_by_key(|slip| slip.index);
        self.shares = vec![all];
    }

    #[must_use]
    pub fn slips(&self, number: usize) -> &[Slip] {
        self.shares.get(number).map_or(&[], Vec::as_slice)
    }

    fn run_of(&self, slip: &Slip) -> Option<&Run> {
        self.runs.get(usize::from(slip.run))
    }

    #[inline]
    #[must_use]
    pub fn frame(&self, slip: &Slip) -> Frame<'_> {
        let buffer = self.run_of(slip).map_or(&[][..], |run| run.buffer.as_slice());
        let data = first(after(buffer, slip.at as usize), slip.stored as usize);
        Frame { time: slip.time, link: slip.link, trailer: slip.trailer, length: slip.length as usize, data }
    }

    /// Number of the file that a frame comes from.
    #[inline]
    #[must_use]
    pub fn file(&self, slip: &Slip) -> u32 {
        self.run_of(slip).map_or(0, |run| run.file)
    }

    /// Where a frame's record begins in its file.
    #[must_use]
    pub fn place(&self, slip: &Slip) -> u64 {
        self.run_of(slip).map_or(0, |run| (run.base + i64::from(slip.at) - run.skip as i64).unsigned_abs())
    }
}
