//! Several frames at a time: what they will need of a large table is read before their turn, all at once, so that its way from memory is waited
//! for once in several packets and not several times in each. Nothing comes of it but speed.

use std::hint::black_box;

use super::conn::Conn;
use super::slot::Slot;
use super::take::Keyed;
use super::{Flows, Place};
use crate::capture::{AHEAD, Frame};
use crate::decode::{self, Decoder, Packet};

/// Open sessions from which on it is worth its cost: fewer fit the caches by themselves.
const FEW: usize = if cfg!(fuzzing) { 0 } else { 4096 };
/// Timers that may be due meanwhile.
const SOON: usize = 4;

/// Keys of the frames that are plain.
pub(super) type Known = [Option<Keyed>; AHEAD];

impl Flows {
    /// Take frames of one file, in their order, up to one with something that cannot be decoded; how many were taken.
    pub fn frames(&mut self, frames: &[Frame<'_>], file: u32, decoder: &mut Decoder) -> usize {
        let mut packets = [Packet::default(); AHEAD];
        let mut known: Known = [None; AHEAD];
        self.look_up(frames, &mut packets, &mut known);
        for (number, ((packet, known), frame)) in packets.iter().zip(&known).zip(frames).enumerate() {
            self.tick(frame.time, file);
            match known {
                Some(keyed) => self.take(keyed, packet),
                None => decoder.frame(frame, self),
            }
            if !self.lost.is_empty() {
                return number + 1;
            }
        }
        frames.len()
    }

    /// Decode the frames that are plain, and bring what they will need into the caches.
    #[inline]
    pub(super) fn look_up<'a>(&self, frames: &[Frame<'a>], packets: &mut [Packet<'a>; AHEAD], known: &mut Known) {
        for ((packet, known), frame) in packets.iter_mut().zip(known.iter_mut()).zip(frames) {
            if decode::plain(frame, packet).is_some() {
                *known = Some(self.keyed(packet));
            }
        }
        if self.live >= FEW {
            self.warm(known);
        }
    }

    #[inline]
    fn warm(&self, known: &Known) {
        let mut places = [None; AHEAD];
        for (place, keyed) in places.iter_mut().zip(known) {
            *place = keyed.and_then(|keyed| self.table.first(keyed.2));
        }
        let mut sum = 0_u64;
        let mut slots = [None; AHEAD + SOON];
        for (slot, place) in slots.iter_mut().zip(places.into_iter().flatten().chain(self.timers.next_few(SOON)).map(Place)) {
            if place.is_attempt() {
                sum ^= self.attempts.get(place.index()).map_or(0, |attempt| attempt.start().cast_unsigned());
            } else {
                *slot = self.slot(place);
                sum ^= slot.map_or(0, Slot::touch);
            }
        }
        // Those that are kept whole, and then their first bytes.
        let mut whole = [None; AHEAD + SOON];
        for (conn, slot) in whole.iter_mut().zip(slots) {
            *conn = slot.and_then(|slot| self.wide.get(slot.wide.checked_sub(1)?));
            sum ^= conn.map_or(0, Conn::touch);
        }
        black_box(whole.into_iter().flatten().filter_map(|conn| conn.stream.as_deref()).fold(sum, |sum, stream| sum ^ stream.touch()));
    }
}
