//! Sessions between their slots and where they are worked on.

use super::conn::{Conn, NEVER};
use super::key::Key;
use super::marks::Marks;
use super::slot::Slot;
use super::{ATTEMPT, DNS_LOOK, DNS_PORTS, Flows, Place, finish, ports};
use crate::decode::{self, Packet};

impl Flows {
    #[inline]
    pub(super) fn slot(&self, place: Place) -> Option<&Slot> {
        self.slots.get(place.index())
    }

    /// The session that is worked on.
    #[inline]
    pub(super) fn conn(&self, place: Place) -> Option<&Conn> {
        self.here.filter(|here| here.0 == place).and_then(|here| self.wide.get(here.1))
    }

    #[inline]
    pub(super) fn conn_mut(&mut self, place: Place) -> Option<&mut Conn> {
        self.here.filter(|here| here.0 == place).and_then(|here| self.wide.get_mut(here.1))
    }

    /// Lay a session out whole, to work on it.
    #[inline]
    pub(super) fn enter(&mut self, place: Place) -> Option<&mut Conn> {
        let slot = self.slots.get_mut(place.index())?;
        let packed = slot.wide == 0;
        let room = if packed { self.wide.take() } else { slot.wide - 1 };
        slot.wide = room + 1;
        self.here = Some((place, room));
        let conn = self.wide.get_mut(room)?;
        if packed {
            slot.unpack(conn);
        }
        Some(conn)
    }

    /// What was worked on goes back into its slot, where it is plain enough.
    #[inline]
    pub(super) fn leave(&mut self, place: Place) {
        let Some((_, room)) = self.here.take_if(|here| here.0 == place) else { return };
        let (Some(slot), Some(conn)) = (self.slots.get_mut(place.index()), self.wide.get_mut(room)) else { return };
        if !self.limits.general && slot.pack(conn) {
            slot.wide = 0;
            self.wide.free(room);
        }
    }

    /// A whole session that begins with this packet, not yet in the table; it is worked on from here.
    pub(super) fn begin(&mut self, key: Key, forward: bool, packet: &Packet<'_>) -> Place {
        let turned = ports::turned(packet);
        let mut conn = Conn::new(key, forward != turned, packet, self.time, self.file);
        if turned {
            conn.history.push(b'^');
        }
        match packet.proto {
            decode::TCP => conn.expire = self.now.saturating_add(ATTEMPT),
            decode::UDP if DNS_PORTS.contains(&conn.ports().1) => conn.expire = self.now.saturating_add(DNS_LOOK),
            _ => {}
        }
        let start = conn.start;
        let room = self.wide.put(conn);
        let slot = Slot::new(key, start, room + 1);
        let place = Place::whole(self.slots.put(slot));
        self.here = Some((place, room));
        place
    }

    /// The session that is worked on is over.
    pub(super) fn finish(&mut self, place: Place) {
        self.look(place, true);
        if self.conn(place).is_some_and(|conn| conn.marks.has(Marks::LINES)) {
            self.unfollow(place);
        }
        let Some((_, room)) = self.here.take_if(|here| here.0 == place) else { return };
        let Some(conn) = self.wide.get_mut(room) else { return };
        self.table.remove(conn.key.hash(self.seeds), place.0);
        let session = finish::session(conn);
        conn.counts.iter().for_each(|count| self.rings.free(count.earlier));
        (conn.stream, conn.told) = (None, None);
        self.done.push(session);
        self.wide.free(room);
        if let Some(slot) = self.slots.get_mut(place.index()) {
            (slot.bits, slot.wide, slot.armed) = (0, 0, NEVER);
        }
        self.slots.free(place.index());
        self.live -= 1;
    }
}
