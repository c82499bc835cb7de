//! Whose a packet is, for those who cut packets out by session.

use super::attempt::Attempt;
use super::key::{self, Key};
use super::slot::{Slot, bit};
use super::{Flows, Place};
use crate::decode::Packet;

impl Flows {
    /// Place and start of the open session that a packet was counted in.
    #[must_use]
    pub fn whose(&self, packet: &Packet<'_>) -> Option<(u32, i64)> {
        let (key, _) = Key::of(packet);
        let place = self.find(&key, key.hash(self.seeds))?;
        let start = if place.is_attempt() { self.attempts.get(place.index()).map(Attempt::start) } else { self.slot(place).map(|slot| slot.start) };
        start.map(|start| (place.0, start))
    }

    /// One that is laid out whole may have been turned since.
    fn orig_is_a(&self, slot: &Slot) -> bool {
        slot.wide.checked_sub(1).and_then(|room| self.wide.get(room)).map_or(slot.has(bit::ORIG_IS_A), |conn| conn.orig_is_a)
    }

    /// Uid of the session at a place, with protocol, originator and responder.
    #[must_use]
    pub fn who(&self, place: u32) -> Option<(String, (u8, key::End, key::End))> {
        let place = Place(place);
        let (key, orig_is_a, start) = if place.is_attempt() {
            self.attempts.get(place.index()).map(|attempt| (attempt.key().0, attempt.key().1, attempt.start()))
        } else {
            self.slot(place).map(|slot| (slot.key, self.orig_is_a(slot), slot.start))
        }?;
        let (a, b) = ((key.a, key.a_port), (key.b, key.b_port));
        let (orig, resp) = if orig_is_a { (a, b) } else { (b, a) };
        Some((key::name(&key, start), (key.proto, orig, resp)))
    }
}
