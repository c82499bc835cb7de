//! Two tables become one: from there on a single one sees all packets, as though it always had.

use super::slot::bit;
use super::conn::NEVER;
use super::{Flows, Place};
use crate::decode;

impl Flows {
    /// Take over the open sessions of another table, whose packets were other ones up to the same time.
    pub fn absorb(&mut self, other: Self) {
        let Self { slots, mut wide, attempts, rings, mut followed, live, held, .. } = other;
        for (number, mut slot) in slots.into_all().filter(|(_, slot)| slot.has(bit::LIVE)) {
            if slot.wide == 0 && slot.key.proto != decode::TCP {
                slot.flanks.iter_mut().for_each(|flank| flank.at = self.rings.adopt(&rings, flank.at));
            }
            if let Some(conn) = slot.wide.checked_sub(1).and_then(|room| wide.get_mut(room)) {
                conn.counts.iter_mut().for_each(|count| count.earlier = self.rings.adopt(&rings, count.earlier));
                slot.wide = self.wide.put(std::mem::take(conn)) + 1;
            }
            let (hash, due) = (slot.key.hash(self.seeds), slot.armed);
            let place = Place::whole(self.slots.put(slot));
            self.table.insert(hash, place.0);
            if due != NEVER {
                self.timers.push(due, place.0);
            }
            if let Some(lines) = followed.remove(&Place::whole(number)) {
                self.followed.insert(place, lines);
            }
        }
        for (_, attempt) in attempts.into_all().filter(|(_, attempt)| attempt.is_live()) {
            let (hash, due) = (attempt.key().0.hash(self.seeds), attempt.due());
            let place = Place::attempt(self.attempts.put(attempt));
            self.table.insert(hash, place.0);
            due.into_iter().for_each(|due| self.timers.push(due, place.0));
        }
        self.live += live;
        self.held += held;
    }
}
