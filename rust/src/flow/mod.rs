//! The table of open sessions: packets in, finished sessions out, by Zeek's rules and timeouts.

mod absorb;
mod attempt;
mod conn;
mod count;
pub mod expect;
mod expire;
mod fast;
mod finish;
mod follow;
pub mod history;
pub mod key;
mod listen;
mod marks;
mod open;
mod part;
mod ports;
mod ranges;
mod recent;
mod slab;
mod slot;
mod table;
mod take;
pub mod tcp;
mod warm;
mod wheel;
mod who;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use attempt::Attempt;
use conn::{Conn, SECOND};
use expect::{Event, What};
use key::Key;
use marks::Marks;
pub use part::Lost;
use recent::Rings;
use slab::Slab;
use slot::{Slot, bit};
use table::Table;
use wheel::Wheel;

use crate::decode::{Packet, Sink};
use crate::session::Session;
use crate::stream::Stream;

/// Zeek's defaults (scripts/base/init-bare.zeek).
const ATTEMPT: i64 = 5 * SECOND;
const LINGER: i64 = 5 * SECOND;
const CLOSE: i64 = 5 * SECOND;
/// Time only goes on, as Zeek's does; but a packet ten years older means that a stamp before it was wrong.
pub(crate) const STEP: i64 = 10 * 365 * 86_400 * SECOND;
const UDP_IDLE: i64 = 60 * SECOND;
const LOOK_AGAIN: i64 = 6 * SECOND;
const TCP_IDLE: i64 = 300 * SECOND;
/// SSH, FTP and other logins (scripts/base/protocols/conn/inactivity.zeek).
const LOGIN_IDLE: i64 = 3600 * SECOND;
const LOGIN_PORTS: &[u16] = &[21, 22, 23, 513];
const LOGIN_SERVICES: &[&str] = &["ssh", "ftp"];
/// Zeek's DNS analyzer ends its sessions itself: every 10 s it looks whether there were 9 of silence.
const DNS_PORTS: &[u16] = &[53, 137, 5353, 5355];
const DNS_LOOK: i64 = 10 * SECOND;
const DNS_IDLE: i64 = 9 * SECOND;
/// First bytes of all open sessions together; beyond it new ones go without.
const HELLO_TOTAL: usize = 256 * 1024 * 1024;
/// Packets without payload (or without room for it) after which a session's first bytes are given up.
const FIRST_PACKETS: u64 = 64;
/// Streams kept for the next sessions; at their longest they hold 32 KiB each.
const SPARES: usize = 64;

/// Bounds of the memory that a run may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open sessions; beyond it those that would time out first are handed out early.
    pub sessions: usize,
    /// First bytes kept per direction.
    pub hello: usize,
    /// Take every packet the general way, and keep every session whole: slower, and the same.
    pub general: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sessions: 1_000_000, hello: 16 * 1024, general: false }
    }
}

/// What the limits of a run are about.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    /// Open sessions.
    pub live: usize,
    /// First bytes kept.
    pub held: usize,
    /// Control sessions read line by line.
    pub followed: usize,
    /// Sides whose datagrams are remembered.
    pub recalled: usize,
}

impl Load {
    /// Could it be more than the limits allow? (What is read line by line grows so slowly that half of what is allowed is early enough.)
    #[must_use]
    pub fn exceeds(self, limits: Limits) -> bool {
        self.live > limits.sessions || self.held > HELLO_TOTAL || self.followed > follow::FOLLOWED / 2 || self.recalled > recent::MOST
    }
}

impl std::ops::AddAssign for Load {
    fn add_assign(&mut self, more: Self) {
        (self.live, self.held) = (self.live + more.live, self.held + more.held);
        (self.followed, self.recalled) = (self.followed + more.followed, self.recalled + more.recalled);
    }
}

pub struct Flows {
    limits: Limits,
    seeds: (u64, u64),
    table: Table,
    slots: Slab<Slot>,
    /// Sessions that are laid out whole.
    wide: Slab<Conn>,
    /// The one that is worked on.
    here: Option<(Place, u32)>,
    attempts: Slab<Attempt>,
    /// Datagrams before the last two, of sides that send many.
    rings: Rings,
    live: usize,
    timers: Wheel,
    /// Highest time so far; timers never go back.
    now: i64,
    /// Frames of a portion whose timers are done.
    passed: usize,
    time: i64,
    file: u32,
    /// Bytes in all streams.
    held: usize,
    /// Streams that are no longer needed, for the next sessions.
    #[allow(clippy::vec_box)] // they go back and forth between here and their sessions
    spares: Vec<Box<Stream>>,
    /// Places that the end of the input has closed.
    closed: u32,
    /// What happened to sessions, for `expect::Expected`, and the number of the next.
    events: Vec<Event>,
    order: u64,
    /// Control sessions that are read line by line, by place.
    followed: HashMap<Place, follow::Lines>,
    done: Vec<Session>,
    lost: Vec<(&'static str, String)>,
}

/// Sessions that the end of the input closes in one step.
const CLOSE_AT_ONCE: usize = 2048;

/// Where an open session stands: twice its number among the whole ones, or that of an attempt and one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place(u32);

impl Place {
    fn whole(index: u32) -> Self {
        Self(index << 1)
    }

    fn attempt(index: u32) -> Self {
        Self(index << 1 | 1)
    }

    fn is_attempt(self) -> bool {
        self.0 & 1 == 1
    }

    fn index(self) -> u32 {
        self.0 >> 1
    }
}

impl Flows {
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let random = RandomState::new();
        Self {
            limits,
            seeds: (random.hash_one(1_u8), random.hash_one(2_u8) | 1),
            table: Table::default(),
            slots: Slab::default(),
            wide: Slab::default(),
            here: None,
            attempts: Slab::default(),
            rings: Rings::default(),
            live: 0,
            timers: Wheel::default(),
            now: i64::MIN,
            passed: 0,
            time: 0,
            file: 0,
            held: 0,
            spares: Vec::new(),
            closed: 0,
            events: Vec::new(),
            order: 0,
            followed: HashMap::new(),
            done: Vec::new(),
            lost: Vec::new(),
        }
    }

    /// Give the memory back: nothing follows.
    pub fn clear(&mut self) {
        *self = Self::new(self.limits);
    }

    /// A new frame at this time, from this file: what has timed out until then is done.
    #[inline]
    pub fn tick(&mut self, time: i64, file: u32) {
        self.time = time;
        self.file = file;
        self.now = if self.now.saturating_sub(time) > STEP { time } else { self.now.max(time) };
        while let Some((due, place)) = self.timers.pop(self.now) {
            self.fire(Place(place), due);
        }
    }

    #[must_use]
    pub fn load(&self) -> Load {
        Load { live: self.live, held: self.held, followed: self.followed.len(), recalled: self.rings.used }
    }

    /// Sessions that are done.
    pub fn done(&mut self) -> &mut Vec<Session> {
        &mut self.done
    }

    /// What happened to sessions.
    pub fn events(&mut self) -> &mut Vec<Event> {
        &mut self.events
    }

    fn event(&mut self, what: What) {
        self.events.push(Event { order: self.order, what });
    }

    /// What could not be decoded since the last call.
    pub fn lost(&mut self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut self.lost)
    }

    /// The end of the input: everything still open is done, some thousands a call, so that the records never stand
    /// in memory together. False once nothing is left.
    pub fn close(&mut self) -> bool {
        self.close_some(CLOSE_AT_ONCE)
    }

    /// The same with a number of places to look at.
    pub fn close_some(&mut self, count: usize) -> bool {
        // Attempts first: they become whole ones, and are done at once.
        let attempts = self.attempts.end();
        for _ in 0..count {
            let place = match self.closed.checked_sub(attempts) {
                None => self.promote(Place::attempt(self.closed)),
                Some(whole) if whole >= self.slots.end() => return false,
                Some(whole) => Some(Place::whole(whole)).filter(|place| self.slot(*place).is_some_and(|slot| slot.has(bit::LIVE))),
            };
            self.closed += 1;
            let Some(place) = place else { continue };
            if let Some(conn) = self.enter(place) {
                conn.marks.set(Marks::OPEN, true);
                self.finish(place);
            }
        }
        true
    }

    #[inline]
    fn find(&self, key: &Key, hash: u64) -> Option<Place> {
        let same = |place: Place| {
            if place.is_attempt() {
                self.attempts.get(place.index()).is_some_and(|attempt| attempt.key().0 == *key)
            } else {
                self.slot(place).is_some_and(|slot| slot.key == *key)
            }
        };
        self.table.find(hash, |place| same(Place(place))).map(Place)
    }

    /// A session that its first packet opens.
    fn open(&mut self, key: Key, hash: u64, forward: bool, packet: &Packet<'_>) -> Option<Place> {
        if self.live >= self.limits.sessions.max(1) {
            self.evict();
        }
        if Attempt::fits(packet) {
            self.attempt(hash, packet);
            self.event(What::Opened { key, start: self.time, to_a: !forward });
            return None;
        }
        let place = self.begin(key, forward, packet);
        let to_a = self.conn(place).is_some_and(|conn| !conn.orig_is_a);
        self.event(What::Opened { key, start: self.time, to_a });
        self.table.insert(hash, place.0);
        self.live += 1;
        Some(place)
    }
}

impl Sink for Flows {
    #[inline]
    fn packet(&mut self, packet: &Packet<'_>) {
        self.take(&self.keyed(packet), packet);
    }

    fn lost(&mut self, kind: &'static str, reason: &str) {
        self.lost.push((kind, reason.to_owned()));
    }
}
