//! The table of open sessions: packets in, finished sessions out, by Zeek's rules and timeouts.

mod attempt;
mod conn;
mod count;
mod expire;
mod fast;
mod finish;
mod follow;
pub mod history;
pub mod key;
mod listen;
mod marks;
mod open;
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
use std::net::IpAddr;

use attempt::Attempt;
use conn::{Conn, SECOND};
use key::Key;
use marks::Marks;
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
const STEP: i64 = 10 * 365 * 86_400 * SECOND;
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
/// Announced data channels remembered.
const EXPECTED: usize = 65_536;

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
    live: usize,
    timers: Wheel,
    /// Highest time so far; timers never go back.
    now: i64,
    time: i64,
    file: u32,
    /// Bytes in all streams.
    held: usize,
    /// Streams that are no longer needed, for the next sessions.
    #[allow(clippy::vec_box)] // they go back and forth between here and their sessions
    spares: Vec<Box<Stream>>,
    /// Places that the end of the input has closed.
    closed: u32,
    /// Announced FTP data endpoints: who listens, and the control session's uid.
    expected: HashMap<(IpAddr, u16), (i64, Box<str>)>,
    /// When those too old were last looked for.
    swept: i64,
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
            live: 0,
            timers: Wheel::default(),
            now: i64::MIN,
            time: 0,
            file: 0,
            held: 0,
            spares: Vec::new(),
            closed: 0,
            expected: HashMap::new(),
            swept: i64::MIN,
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

    /// Sessions that are done.
    pub fn done(&mut self) -> &mut Vec<Session> {
        &mut self.done
    }

    /// What could not be decoded since the last call.
    pub fn lost(&mut self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut self.lost)
    }

    /// The end of the input: everything still open is done, some thousands a call, so that the records never stand
    /// in memory together. False once nothing is left.
    pub fn close(&mut self) -> bool {
        // Attempts first: they become whole ones, and are done at once.
        let attempts = self.attempts.end();
        for _ in 0..CLOSE_AT_ONCE {
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
        let announced = || self.expected.contains_key(&(key::ip(&packet.target), packet.target_port));
        if Attempt::fits(packet) && (self.expected.is_empty() || !announced()) {
            self.attempt(hash, packet);
            return None;
        }
        let place = self.begin(key, forward, packet);
        if !self.expected.is_empty() {
            self.announced(place);
        }
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
