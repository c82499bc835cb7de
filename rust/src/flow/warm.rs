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

/// What a frame holds, where it is plain: the hash of its key (and 0 where it is not).
type Hashes = [u64; AHEAD];

impl Flows {
    /// Take frames of one file, in their order, up to one with something that cannot be decoded; how many were taken.
    pub fn frames(&mut self, frames: &[Frame<'_>], file: u32, decoder: &mut Decoder) -> usize {
        let mut packets = [Packet::default(); AHEAD];
        let mut hashes: Hashes = [0; AHEAD];
        for ((packet, hash), frame) in packets.iter_mut().zip(&mut hashes).zip(frames) {
            if decode::plain(frame, packet).is_some() {
                *hash = Key::of(packet).0.hash(self.seeds).max(1);
            }
        }
        if self.live >= FEW {
            self.warm(&hashes);
        }
        for (number, ((packet, hash), frame)) in packets.iter().zip(hashes).zip(frames).enumerate() {
            self.tick(frame.time, file);
            if hash > 0 {
                self.take(hash, packet);
            } else {
                decoder.frame(frame, self);
            }
            if !self.lost.is_empty() {
                return number + 1;
            }
        }
        frames.len()
    }

    #[inline]
    fn warm(&self, hashes: &Hashes) {
        let mut places = [None; AHEAD];
        for (place, hash) in places.iter_mut().zip(hashes) {
            *place = self.table.first(*hash);
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
