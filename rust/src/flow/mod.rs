//! The table of open sessions: packets in, finished sessions out, by Zeek's rules and timeouts.

mod conn;
mod finish;
mod history;
pub mod key;
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

use conn::{Conn, NEVER, SECOND, UNKNOWN};
use key::Key;
use table::Table;
use wheel::Wheel;

use crate::decode::{Packet, Sink};
use crate::hello::Proto;
use crate::session::Session;
use crate::stream::{self, Stream};

/// Zeek's defaults (scripts/base/init-bare.zeek).
const ATTEMPT: i64 = 5 * SECOND;
const LINGER: i64 = 5 * SECOND;
const CLOSE: i64 = 5 * SECOND;
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
        Self { sessions: 2_000_000, hello: 16 * 1024 }
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
    /// Announced FTP data endpoints: who listens, and the control session's uid.
    expected: HashMap<(IpAddr, u16), (i64, Box<str>)>,
    done: Vec<(u32, Session)>,
    lost: Vec<(&'static str, String)>,
}

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
            expected: HashMap::new(),
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
        self.now = self.now.max(time);
        while let Some((due, place)) = self.timers.pop(self.now) {
            self.fire(place, due);
        }
    }

    /// Sessions that are done, with the number of the file they began in.
    pub fn done(&mut self) -> &mut Vec<(u32, Session)> {
        &mut self.done
    }

    /// What could not be decoded since the last call.
    pub fn lost(&mut self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut self.lost)
    }

    /// The end of the input: everything still open is done.
    pub fn close(&mut self) {
        for place in 0..u32::try_from(self.conns.len() * CHUNK).unwrap_or(u32::MAX) {
            if self.conn(place).is_some_and(|conn| conn.live) {
                if let Some(conn) = self.conn_mut(place) {
                    conn.marks.open = true;
                }
                self.finish(place);
            }
        }
    }

    fn fire(&mut self, place: u32, due: i64) {
        let now = self.now;
        let Some(conn) = self.conn_mut(place) else { return };
        if !conn.live || conn.armed != due {
            return;
        }
        conn.armed = NEVER;
        if over(conn, now) {
            self.finish(place);
        } else {
            self.arm(place);
        }
    }

    /// Make sure that a timer stands no later than the session's next time.
    fn arm(&mut self, place: u32) {
        let Some(conn) = self.conn_mut(place) else { return };
        let due = conn.due();
        if due < conn.armed {
            conn.armed = due;
            self.timers.push(due, place);
        }
    }

    /// Hand out the session that would time out first.
    fn evict(&mut self) {
        while let Some((due, place)) = self.timers.pop_any() {
            let Some(conn) = self.conn_mut(place) else { continue };
            if !conn.live || conn.armed != due {
                continue;
            }
            conn.armed = NEVER;
            if conn.due() > due {
                self.arm(place);
                continue;
            }
            conn.marks.early = true;
            conn.marks.open = true;
            self.finish(place);
            return;
        }
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

    /// Is it the data channel that an FTP session announced?
    fn announced(&mut self, conn: &mut Conn) {
        let (address, port) = if conn.orig_is_a { (&conn.key.b, conn.key.b_port) } else { (&conn.key.a, conn.key.a_port) };
        if let Some((_, control)) = self.expected.remove(&(key::ip(address), port)) {
            conn.marks.ftp_data = true;
            conn.control = Some(control);
        }
    }

    fn finish(&mut self, place: u32) {
        self.look(place, true);
        let hash = self.conn(place).map(|conn| conn.key.hash(self.seeds));
        if let Some(hash) = hash {
            self.table.remove(hash, place);
        }
        let mut session = None;
        if let Some(conn) = self.conn_mut(place) {
            session = Some((conn.file, finish::session(conn)));
            conn.live = false;
            conn.control = None;
            conn.history = history::History::default();
            conn.told = None;
        }
        self.done.extend(session);
        self.free.push(place);
        self.live -= 1;
    }

    /// Let the hellos look at the first bytes.
    fn look(&mut self, place: u32, done: bool) {
        let Some(conn) = self.conn_mut(place) else { return };
        let ports = conn.ports();
        let proto = if conn.key.proto == crate::decode::TCP { Proto::Tcp } else { Proto::Udp };
        let Some(stream) = &mut conn.stream else { return };
        stream.look(proto, ports, done);
        let held = stream.held();
        let expect = std::mem::take(&mut stream.outcome.expect);
        if stream.outcome.services.iter().any(|service| LOGIN_SERVICES.contains(service)) {
            conn.idle = LOGIN_IDLE;
        }
        if !stream.outcome.want_more {
            let outcome = std::mem::take(&mut stream.outcome);
            conn.stream = None;
            conn.hear(outcome);
            self.held = self.held.saturating_sub(held);
        }
        if !expect.is_empty() && !done {
            self.expect(place, expect);
        }
    }

    /// An FTP session announced where data will go.
    fn expect(&mut self, place: u32, announced: Vec<(Option<IpAddr>, u16)>) {
        let now = self.now;
        let Some(conn) = self.conn(place) else { return };
        let resp = if conn.orig_is_a { key::ip(&conn.key.b) } else { key::ip(&conn.key.a) };
        let uid: Box<str> = key::uid(&conn.key, conn.start).into();
        for (address, port) in announced {
            if self.expected.len() >= EXPECTED {
                self.expected.retain(|_, (since, _)| now.saturating_sub(*since) < TCP_IDLE);
            }
            if self.expected.len() < EXPECTED {
                self.expected.insert((address.unwrap_or(resp), port), (now, uid.clone()));
            }
        }
    }

    fn find(&self, key: &Key, hash: u64) -> Option<u32> {
        self.table.find(hash, |place| self.conn(place).is_some_and(|conn| conn.key == *key))
    }

    /// First bytes for the hellos; true where there is something new to look at.
    #[inline]
    fn keep(&mut self, place: u32, orig: bool, packet: &Packet<'_>, at: Option<u64>) -> bool {
        let limit = self.limits.hello;
        let room = self.held < HELLO_TOTAL;
        let Some(conn) = self.conn_mut(place) else { return false };
        if conn.heard || packet.payload.is_empty() || limit == 0 {
            return false;
        }
        if conn.stream.is_none() {
            if !room || conn.counts.iter().map(|count| count.pkts).sum::<u64>() > FIRST_PACKETS {
                conn.heard = true;
                return false;
            }
            if at.is_none() {
                let outcome = stream::first_datagram(orig, packet.payload, conn.ports());
                if !outcome.want_more {
                    conn.hear(outcome);
                    return false;
                }
            }
            conn.stream = Some(Box::new(Stream::new(limit)));
        }
        let Some(stream) = &mut conn.stream else { return false };
        let before = stream.held();
        let new = match at {
            Some(at) => stream.segment(orig, at, packet.payload),
            None => stream.datagram(orig, packet.payload),
        };
        let more = stream.held().saturating_sub(before);
        self.held += more;
        new
    }

    fn tcp(&mut self, place: u32, mut orig: bool, packet: &Packet<'_>) {
        let time = self.time;
        let Some(conn) = self.conn_mut(place) else { return };
        let stored = packet.payload.len() >= packet.length as usize;
        let [first, second] = &conn.tcp.ends;
        if !(first.did_close && second.did_close) {
            conn.last = time;
        }
        let effect = conn.tcp.segment(orig, packet.tcp, packet.length, stored, &mut conn.history);
        if effect.flipped {
            conn.flip();
            orig = !orig;
        }
        if effect.attempt {
            conn.attempt = time.saturating_add(ATTEMPT);
        }
        if effect.past_handshake {
            conn.idle = TCP_IDLE;
        }
        if effect.established && LOGIN_PORTS.contains(&conn.ports().1) {
            conn.idle = LOGIN_IDLE;
        }
        if effect.half {
            conn.expire_half = conn.last.saturating_add(LOOK_AGAIN);
            conn.expire = next_look(conn.start, time);
        }
        if effect.complete {
            (conn.attempt, conn.expire, conn.expire_half) = (NEVER, NEVER, NEVER);
            conn.remove = conn.last.saturating_add(CLOSE);
        }
        let at = truth(conn, orig, packet);
        let count = conn.count(orig);
        count.pkts += 1;
        count.ip_bytes += u64::from(packet.ip_bytes);
        let (content, known) = finish::fingerprint(packet);
        if packet.length > 0 && known && count.repeated(content, known, time) {
            conn.marks.duplicate = true;
        }
        if effect.turned {
            conn.flip();
            orig = !orig;
        }
        if at.is_some() && self.keep(place, orig, packet, at) {
            self.look(place, false);
        }
    }

    fn datagram(&mut self, place: u32, orig: bool, packet: &Packet<'_>) {
        let time = self.time;
        let Some(conn) = self.conn_mut(place) else { return };
        conn.last = time;
        let udp = packet.proto == crate::decode::UDP;
        let bit = if orig { 1 } else { 2 };
        if udp && conn.letters & bit == 0 {
            conn.letters |= bit;
            conn.history.push(if orig { b'D' } else { b'd' });
        }
        conn.marks.carrier |= packet.carrier;
        let count = conn.count(orig);
        count.pkts += 1;
        count.ip_bytes += u64::from(packet.ip_bytes);
        count.bytes += u64::from(packet.length);
        let (content, known) = finish::fingerprint(packet);
        if count.repeated(content, known, time) {
            conn.marks.duplicate = true;
            return;
        }
        let from = i64::try_from(count.seen.unique()).unwrap_or(0);
        count.seen.add(from, from + i64::from(packet.length));
        conn.marks.cut |= packet.payload.len() < packet.length as usize;
        if udp && !packet.carrier && self.keep(place, orig, packet, None) {
            self.look(place, false);
        }
    }
}

/// When Zeek looks at a session next: 5 s after its start, and every 6 s from then.
fn next_look(start: i64, now: i64) -> i64 {
    let first = start.saturating_add(ATTEMPT);
    let past = now.saturating_sub(first).max(-1);
    first.saturating_add((past / LOOK_AGAIN + 1).saturating_mul(LOOK_AGAIN))
}

/// Would Zeek take the session away now? Timers that are due and did nothing are set anew.
fn over(conn: &mut Conn, now: i64) -> bool {
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
    if conn.expire.min(conn.expire_half) <= now {
        conn.expire_half = NEVER;
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

/// Count the payload bytes seen, each once; where the segment lies in its stream (0: first byte), if that is known.
fn truth(conn: &mut Conn, orig: bool, packet: &Packet<'_>) -> Option<u64> {
    let flags = packet.tcp.flags;
    let syn = flags & tcp::SYN != 0;
    conn.marks.cut |= packet.payload.len() < packet.length as usize;
    let count = conn.count(orig);
    let mut seq = count.unwrap(packet.tcp.seq);
    if syn {
        seq += 1;
        if !count.syn && count.seen.unique() == 0 {
            count.begin = seq;
        }
        count.syn = true;
    }
    if count.begin == UNKNOWN {
        count.begin = seq;
    }
    let begin = count.begin;
    if packet.length > 0 && flags & tcp::RST == 0 {
        count.seen.add(seq, seq + i64::from(packet.length));
    }
    if flags & tcp::ACK != 0 && flags & tcp::RST == 0 {
        conn.count(!orig).acknowledge(packet.tcp.ack);
    }
    u64::try_from(seq - begin).ok()
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
