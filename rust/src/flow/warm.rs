//! Several frames at a time: what they will need of a large table is read before their turn, all at once, so that its way from memory is waited
//! for once in several packets and not several times in each. Nothing comes of it but speed.

use std::hint::black_box;

use super::key::Key;
use super::slot::Slot;
use super::{Flows, Place};
use crate::capture::{AHEAD, Frame};
use crate::decode::{self, Decoder, Packet};

/// Open sessions from which on it is worth its cost: fewer fit the caches by themselves.
const FEW: usize = if cfg!(fuzzing) { 0 } else { 4096 };
/// Timers that may be due meanwhile.
const SOON: usize = 4;

/// A packet with its key, whether it goes from `a` to `b`, and the key's hash.
type Known<'a> = Option<(Packet<'a>, Key, bool, u64)>;

impl Flows {
    /// Take frames of one file, in their order, up to one with something that cannot be decoded; how many were taken.
    pub fn frames(&mut self, frames: &[Frame<'_>], file: u32, decoder: &mut Decoder) -> usize {
        let mut known: [Known<'_>; AHEAD] = [const { None }; AHEAD];
        for (known, frame) in known.iter_mut().zip(frames) {
            *known = decode::plain(frame).map(|packet| {
                let (key, forward) = Key::of(&packet);
                (packet, key, forward, key.hash(self.seeds))
            });
        }
        if self.live >= FEW {
            self.warm(&known);
        }
        for (number, (known, frame)) in known.iter().zip(frames).enumerate() {
            self.tick(frame.time, file);
            match known {
                Some((packet, key, forward, hash)) => self.take(key, *hash, *forward, packet),
                None => decoder.frame(frame, self),
            }
            if !self.lost.is_empty() {
                return number + 1;
            }
        }
        frames.len()
    }

    #[inline]
    fn warm(&self, known: &[Known<'_>; AHEAD]) {
        let mut places = [None; AHEAD];
        for (place, known) in places.iter_mut().zip(known) {
            *place = known.as_ref().and_then(|known| self.table.first(known.3));
        }
        let mut sum = 0_u64;
        for place in places.into_iter().flatten().chain(self.timers.next_few(SOON)).map(Place) {
            sum ^= if place.is_attempt() {
                self.attempts.get(place.index()).map_or(0, |attempt| attempt.start().cast_unsigned())
            } else {
                self.slot(place).map_or(0, Slot::touch)
            };
        }
        black_box(sum);
    }
}
