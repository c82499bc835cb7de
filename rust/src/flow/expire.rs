//! When a session is over: the timers, by packet time, with Zeek's defaults.

use super::conn::{Conn, NEVER};
use super::attempt::Attempt;
use super::marks::Marks;
use super::slot::bit;
use super::{ATTEMPT, DNS_IDLE, DNS_LOOK, Flows, LINGER, LOOK_AGAIN, Place};
use super::tcp;

impl Flows {
    pub(super) fn fire(&mut self, place: Place, due: i64) {
        let now = self.now;
        if !self.limits.general
            && let Some(slot) = self.slots.get_mut(place.index()).filter(|slot| !place.is_attempt() && slot.has(bit::LIVE) && slot.armed == due)
            && let Some(due) = slot.waits(now)
        {
            slot.armed = due;
            self.timers.push(due, place.0);
            return;
        }
        let Some(place) = self.reminded(place, due) else { return };
        let Some(conn) = self.conn_mut(place) else { return };
        if over(conn, now) {
            self.finish(place);
        } else {
            self.arm(place);
            self.leave(place);
        }
    }

    /// The whole session that a timer was set for, to work on, now without one; `None` where the timer is out of date.
    fn reminded(&mut self, place: Place, due: i64) -> Option<Place> {
        if place.is_attempt() {
            self.attempts.get(place.index()).and_then(Attempt::due).filter(|set| *set == due)?;
            return self.promote(place);
        }
        let slot = self.slots.get_mut(place.index()).filter(|slot| slot.has(bit::LIVE) && slot.armed == due)?;
        slot.armed = NEVER;
        self.enter(place).map(|_| place)
    }

    /// Make sure that a timer stands no later than the session's next time.
    pub(super) fn arm(&mut self, place: Place) {
        let Some(due) = self.conn(place).map(Conn::due) else { return };
        if let Some(slot) = self.slots.get_mut(place.index()).filter(|slot| due < slot.armed) {
            slot.armed = due;
            self.timers.push(due, place.0);
        }
    }

    /// Hand out the session that would time out first.
    pub(super) fn evict(&mut self) {
        while let Some((due, place)) = self.timers.pop_any() {
            let Some(place) = self.reminded(Place(place), due) else { continue };
            let Some(conn) = self.conn_mut(place) else { continue };
            if conn.due() > due {
                self.arm(place);
                self.leave(place);
                continue;
            }
            conn.marks.set(Marks::EARLY, true);
            conn.marks.set(Marks::OPEN, true);
            self.finish(place);
            return;
        }
    }
}

/// When Zeek looks at a session next: 5 s after its start, and every 6 s from then.
pub(super) fn next_look(start: i64, now: i64) -> i64 {
    let first = start.saturating_add(ATTEMPT);
    let past = now.saturating_sub(first).max(-1);
    first.saturating_add((past / LOOK_AGAIN + 1).saturating_mul(LOOK_AGAIN))
}

/// Would Zeek take the session away now? Timers that are due and did nothing are set anew.
pub(super) fn over(conn: &mut Conn, now: i64) -> bool {
    use tcp::State;
    if conn.key.proto == crate::decode::UDP {
        if conn.expire <= now {
            if now.saturating_sub(conn.last) >= DNS_IDLE {
                return true;
            }
            conn.expire = now.saturating_add(DNS_LOOK);
        }
        return conn.last.saturating_add(conn.idle) <= now;
    }
    let [orig, resp] = &conn.tcp.ends;
    if conn.attempt <= now {
        conn.attempt = NEVER;
        if !conn.tcp.inactive && matches!(orig.state, State::SynSent | State::SynAckSent) && resp.state == State::Inactive {
            return true;
        }
    }
    if conn.expire <= now {
        conn.expire = NEVER;
        if !conn.tcp.inactive {
            if conn.last.saturating_add(LINGER) < now {
                let gone = |state| matches!(state, State::Reset | State::Inactive);
                let closed = orig.did_close || resp.did_close;
                if closed && (orig.did_close && resp.did_close || gone(orig.state) || gone(resp.state)) {
                    return true;
                }
            }
            // Zeek looks again and again; while both sides are open nothing can come of it, so the next time is set by the first close.
            if orig.did_close || resp.did_close {
                conn.expire = now.saturating_add(LOOK_AGAIN);
            }
        }
    }
    conn.remove <= now || conn.last.saturating_add(conn.idle) <= now
}
