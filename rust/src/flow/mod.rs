//! The table of open sessions: packets in, finished sessions out, by Zeek's rules and timeouts.

mod conn;
mod count;
mod expire;
mod finish;
mod follow;
pub mod history;
pub mod key;
mod listen;
mod ports;
mod ranges;
mod table;
pub mod tcp;
mod wheel;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use conn::{Conn, SECOND};
use key::Key;
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
}

impl Default for Limits {
    fn default() -> Self {
        Self { sessions: 1_000_000, hello: 16 * 1024 }
    }
}

pub struct Flows {
    limits: Limits,
    seeds: (u64, u64),
    table: Table,
    conns: Vec<Vec<Conn>>,
    free: Vec<u32>,
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
    /// Control sessions that are read line by line, by place.
    followed: HashMap<u32, follow::Lines>,
    done: Vec<Session>,
    lost: Vec<(&'static str, String)>,
}

/// Sessions that the end of the input closes in one step.
const CLOSE_AT_ONCE: usize = 2048;
/// Conns lie in chunks, so that growing never copies them all.
const CHUNK: usize = 1024;

impl Flows {
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let random = RandomState::new();
        Self {
            limits,
            seeds: (random.hash_one(1_u8), random.hash_one(2_u8) | 1),
            table: Table::default(),
            conns: Vec::new(),
            free: Vec::new(),
            live: 0,
            timers: Wheel::default(),
            now: i64::MIN,
            time: 0,
            file: 0,
            held: 0,
            spares: Vec::new(),
            closed: 0,
            expected: HashMap::new(),
            followed: HashMap::new(),
            done: Vec::new(),
            lost: Vec::new(),
        }
    }

    #[inline]
    fn conn(&self, place: u32) -> Option<&Conn> {
        self.conns.get(place as usize / CHUNK)?.get(place as usize % CHUNK)
    }

    #[inline]
    fn conn_mut(&mut self, place: u32) -> Option<&mut Conn> {
        self.conns.get_mut(place as usize / CHUNK)?.get_mut(place as usize % CHUNK)
    }

    /// A new frame at this time, from this file: what has timed out until then is done.
    #[inline]
    pub fn tick(&mut self, time: i64, file: u32) {
        self.time = time;
        self.file = file;
        self.now = if self.now.saturating_sub(time) > STEP { time } else { self.now.max(time) };
        while let Some((due, place)) = self.timers.pop(self.now) {
            self.fire(place, due);
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
        let end = u32::try_from(self.conns.len() * CHUNK).unwrap_or(u32::MAX);
        for _ in 0..CLOSE_AT_ONCE {
            if self.closed >= end {
                return false;
            }
            let place = self.closed;
            self.closed += 1;
            if let Some(conn) = self.conn_mut(place).filter(|conn| conn.live) {
                conn.marks.open = true;
                self.finish(place);
            }
        }
        true
    }

    fn create(&mut self, key: Key, hash: u64, forward: bool, packet: &Packet<'_>) -> u32 {
        if self.live >= self.limits.sessions.max(1) {
            self.evict();
        }
        let turned = ports::turned(packet);
        let mut conn = Conn::new(key, forward != turned, packet, self.time, self.file);
        if turned {
            conn.history.push(b'^');
        }
        match packet.proto {
            crate::decode::TCP => conn.expire = self.now.saturating_add(ATTEMPT),
            crate::decode::UDP if DNS_PORTS.contains(&conn.ports().1) => conn.expire = self.now.saturating_add(DNS_LOOK),
            _ => {}
        }
        if !self.expected.is_empty() {
            self.announced(&mut conn);
        }
        let place = if let Some(place) = self.free.pop() {
            if let Some(old) = self.conn_mut(place) {
                *old = conn;
            }
            place
        } else {
            if self.conns.last().is_none_or(|chunk| chunk.len() >= CHUNK) {
                self.conns.push(Vec::with_capacity(CHUNK));
            }
            let full = (self.conns.len() - 1) * CHUNK;
            let chunk = self.conns.last_mut().map_or(0, |chunk| {
                chunk.push(conn);
                chunk.len() - 1
            });
            u32::try_from(full + chunk).unwrap_or(u32::MAX)
        };
        self.table.insert(hash, place);
        self.live += 1;
        place
    }

    fn finish(&mut self, place: u32) {
        self.look(place, true);
        if self.conn(place).is_some_and(|conn| conn.marks.lines) {
            self.unfollow(place);
        }
        let hash = self.conn(place).map(|conn| conn.key.hash(self.seeds));
        if let Some(hash) = hash {
            self.table.remove(hash, place);
        }
        let mut session = None;
        if let Some(conn) = self.conn_mut(place) {
            session = Some(finish::session(conn));
            conn.live = false;
            conn.control = None;
            conn.told = None;
        }
        self.done.extend(session);
        self.free.push(place);
        self.live -= 1;
    }

    /// Place and start of the open session that a packet was counted in.
    #[must_use]
    pub fn whose(&self, packet: &Packet<'_>) -> Option<(u32, i64)> {
        let (key, _) = Key::of(packet);
        let place = self.find(&key, key.hash(self.seeds))?;
        self.conn(place).map(|conn| (place, conn.start))
    }

    /// Uid of the session at a place, with protocol, originator and responder.
    #[must_use]
    pub fn who(&self, place: u32) -> Option<(String, (u8, key::End, key::End))> {
        let conn = self.conn(place)?;
        let (a, b) = ((conn.key.a, conn.key.a_port), (conn.key.b, conn.key.b_port));
        let (orig, resp) = if conn.orig_is_a { (a, b) } else { (b, a) };
        Some((key::name(&conn.key, conn.start), (conn.key.proto, orig, resp)))
    }

    fn find(&self, key: &Key, hash: u64) -> Option<u32> {
        self.table.find(hash, |place| self.conn(place).is_some_and(|conn| conn.key == *key))
    }
}

impl Sink for Flows {
    #[inline]
    fn packet(&mut self, packet: &Packet<'_>) {
        let (key, forward) = Key::of(packet);
        let hash = key.hash(self.seeds);
        let mut found = self.find(&key, hash);
        let is_tcp = packet.proto == crate::decode::TCP;
        if let Some(place) = found.filter(|_| is_tcp && packet.tcp.flags & tcp::SYN != 0)
            && self.conn(place).is_some_and(|conn| conn.tcp.is_reuse(packet.tcp))
        {
            self.finish(place);
            found = None;
        }
        let new = found.is_none();
        let place = found.unwrap_or_else(|| self.create(key, hash, forward, packet));
        let orig = self.conn(place).is_none_or(|conn| conn.orig_is_a == forward);
        if is_tcp {
            self.tcp(place, orig, packet);
        } else {
            self.datagram(place, orig, packet);
        }
        if new || is_tcp {
            self.arm(place);
        }
    }

    fn lost(&mut self, kind: &'static str, reason: &str) {
        self.lost.push((kind, reason.to_owned()));
    }
}
