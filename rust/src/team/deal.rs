//! Reading the input in portions, and saying whose each frame is.

use crate::capture::{AHEAD, Frame, Portion, Set};
use crate::decode;
use crate::flow::STEP;

/// A portion's frames and bytes, about: so much that handing it over costs nothing, so little that what is being worked on fits the caches.
const FRAMES: usize = 4096;
const BYTES: usize = 256 * 1024;

pub struct Dealer {
    set: Set,
    /// Highest time so far.
    now: i64,
    /// Frames of the portion before.
    usual: usize,
}

impl Dealer {
    /// Over files that were begun.
    pub fn new(set: Set) -> Self {
        Self { set, now: i64::MIN, usual: 0 }
    }

    /// The next portion, for so many; `None` at the end. Time goes back only between two.
    pub fn deal(&mut self, shares: usize, size: usize) -> Option<Portion> {
        let mut portion = Portion::new(shares, self.usual + self.usual / 4);
        self.note(&mut portion);
        while !portion.is_full(FRAMES.min(size), BYTES) && self.some(&mut portion) {}
        self.usual = portion.nows.len();
        (!portion.nows.is_empty() || !portion.notes.is_empty()).then_some(portion)
    }

    /// Some frames; false where there are none, or the portion ends before the next one.
    fn some(&mut self, portion: &mut Portion) -> bool {
        let mut frames = [Frame::default(); AHEAD];
        let Some((count, mut last, _)) = self.set.frames(&mut frames) else { return false };
        let mut taken = 0;
        if let Some(lies) = self.set.buffer() {
            portion.lies_in(lies);
            for frame in frames.get(..count).unwrap_or_default() {
                if self.now.saturating_sub(frame.time) > STEP {
                    if !portion.nows.is_empty() {
                        break;
                    }
                    self.now = frame.time;
                }
                self.now = self.now.max(frame.time);
                portion.add(frame, self.now, decode::share_of(frame));
                taken += 1;
            }
        }
        if taken < count {
            if taken == 0 {
                return false;
            }
            last = frames.get_mut(..taken).and_then(|frames| self.set.frames(frames)).and_then(|found| found.1);
        }
        self.set.pass(last);
        self.set.advance();
        self.note(portion);
        taken == count
    }

    /// What was lost behind the last frame.
    fn note(&mut self, portion: &mut Portion) {
        if self.set.noted() {
            let at = portion.nows.len() as u32;
            portion.notes.extend(self.set.notes().into_iter().map(|note| (at, note)));
        }
    }
}
