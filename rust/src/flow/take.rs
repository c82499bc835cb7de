//! A packet to its session: the short way where it fits, else by all the rules.

use super::key::Key;
use super::{Flows, Place, tcp};
use crate::decode::{self, Packet};

/// A packet's key, whether it goes from `a` to `b`, and the key's hash.
pub(super) type Keyed = (Key, bool, u64);

impl Flows {
    #[inline]
    pub(super) fn keyed(&self, packet: &Packet<'_>) -> Keyed {
        let (key, forward) = Key::of(packet);
        (key, forward, key.hash(self.seeds))
    }

    #[inline]
    pub(super) fn take(&mut self, (key, forward, hash): &Keyed, packet: &Packet<'_>) {
        let Self { table, attempts, slots, rings, time, limits, .. } = self;
        let mut taken = false;
        let found = table.find(*hash, |place| {
            let place = Place(place);
            if place.is_attempt() {
                return attempts.get(place.index()).is_some_and(|attempt| attempt.key().0 == *key);
            }
            let Some(slot) = slots.get_mut(place.index()).filter(|slot| slot.key == *key) else { return false };
            taken = !limits.general && slot.take(rings, *forward, packet, *time);
            true
        });
        if !taken {
            self.general(*key, *hash, *forward, packet, found.map(Place));
        }
    }

    /// Take a packet by all the rules.
    fn general(&mut self, key: Key, hash: u64, forward: bool, packet: &Packet<'_>, mut found: Option<Place>) {
        match found {
            Some(place) if place.is_attempt() => {
                found = self.promote(place);
                found.into_iter().for_each(|place| self.arm(place));
            }
            Some(place) => found = self.enter(place).map(|_| place),
            None => {}
        }
        let is_tcp = packet.proto == decode::TCP;
        if let Some(place) = found.filter(|_| is_tcp && packet.tcp.flags & tcp::SYN != 0)
            && self.conn(place).is_some_and(|conn| conn.opened_late(conn.orig_is_a == forward, packet.tcp) == Some(false))
        {
            self.finish(place);
            found = None;
        }
        let new = found.is_none();
        let Some(place) = found.or_else(|| self.open(key, hash, forward, packet)) else { return };
        let orig = self.conn(place).is_none_or(|conn| conn.orig_is_a == forward);
        if is_tcp {
            self.tcp(place, orig, packet);
        } else {
            self.datagram(place, orig, packet);
        }
        if new || is_tcp {
            self.arm(place);
        }
        self.leave(place);
    }
}
