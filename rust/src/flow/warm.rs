//! Looking ahead: what the next frames will need of a large table is read before their turn, all at once, so that its way from memory is waited
//! for once in several packets and not several times in each. Nothing comes of it but speed.

use std::hint::black_box;

use super::conn::Conn;
use super::key::Key;
use super::{Flows, Place};
use crate::decode;

/// Open sessions (20 MB of them) from which on it is worth its cost: few fit the caches by themselves, and large frames (benchmark P1) took 7 %
/// longer with it, while a flood of small ones (P2) takes 4 to 12 % less.
const FEW: usize = if cfg!(fuzzing) { 0 } else { 32_768 };
/// Timers that may be due meanwhile.
const SOON: usize = 4;

impl Flows {
    /// `frames` hands over the next frames.
    #[inline]
    pub fn warm(&self, frames: impl FnOnce(&mut dyn FnMut(&[u8]))) {
        if self.live < FEW {
            return;
        }
        let (mut hashes, mut count) = ([0_u64; 16], 0);
        frames(&mut |frame| {
            if let (Some((source, target, proto)), Some(hash)) = (decode::glance(frame), hashes.get_mut(count)) {
                *hash = Key::between(source, target, proto, false).0.hash(self.seeds);
                count += 1;
            }
        });
        let hashes = hashes.get(..count).unwrap_or_default();
        let mut places = [0; 16];
        let mut found = 0;
        for (place, known) in places.iter_mut().zip(hashes.iter().filter_map(|hash| self.table.first(*hash))) {
            *place = known;
            found += 1;
        }
        let mut sum = 0_u64;
        for place in places.into_iter().take(found).chain(self.timers.next_few(SOON)).map(Place) {
            sum ^= if place.is_attempt() {
                self.attempts.get(place.index()).map_or(0, |attempt| attempt.start().cast_unsigned())
            } else {
                self.conn(place).map_or(0, Conn::touch)
            };
        }
        black_box(sum);
    }
}
