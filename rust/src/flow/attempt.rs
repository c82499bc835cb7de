//! A SYN that nothing has followed yet: the smallest that a session can be. Scans and floods consist of them, so only what is needed to
//! take the packet once more is kept; whatever happens next makes a whole session of it first.

use super::key::Key;
use super::{ATTEMPT, Flows, Place, tcp};
use crate::decode::{self, Address, Packet, Tcp, Tunnel};

pub struct Attempt {
    source: Address,
    target: Address,
    time: i64,
    /// The highest time when it came.
    now: i64,
    source_port: u16,
    target_port: u16,
    network: u32,
    tunnel: Tunnel,
    file: u32,
    seq: u32,
    ack: u32,
    ip_bytes: u32,
    window: u16,
    id: u16,
    flags: u8,
    identified: bool,
    live: bool,
}

impl Attempt {
    /// Is the packet one that can be kept like this?
    #[inline]
    pub fn fits(packet: &Packet<'_>) -> bool {
        const ALL: u8 = tcp::SYN | tcp::ACK | tcp::FIN | tcp::RST;
        packet.proto == decode::TCP && packet.tcp.flags & ALL == tcp::SYN && packet.length == 0
    }

    fn packet(&self) -> Packet<'static> {
        Packet {
            source: self.source,
            target: self.target,
            proto: decode::TCP,
            source_port: self.source_port,
            target_port: self.target_port,
            one_way: false,
            ip_bytes: self.ip_bytes,
            id: self.identified.then_some(self.id),
            tcp: Tcp { seq: self.seq, ack: self.ack, flags: self.flags, window: self.window },
            length: 0,
            payload: &[],
            tunnel: self.tunnel,
            network: self.network,
            headless: false,
            carrier: false,
        }
    }

    pub fn key(&self) -> (Key, bool) {
        Key::of(&self.packet())
    }

    pub fn is_live(&self) -> bool {
        self.live
    }

    pub fn start(&self) -> i64 {
        self.time
    }

    /// Its only timer.
    pub fn due(&self) -> Option<i64> {
        self.live.then(|| self.time.saturating_add(ATTEMPT))
    }
}

impl Flows {
    /// Keep a session's first packet.
    pub(super) fn attempt(&mut self, hash: u64, packet: &Packet<'_>) {
        let kept = Attempt {
            source: packet.source,
            target: packet.target,
            time: self.time,
            now: self.now,
            source_port: packet.source_port,
            target_port: packet.target_port,
            network: packet.network,
            tunnel: packet.tunnel,
            file: self.file,
            seq: packet.tcp.seq,
            ack: packet.tcp.ack,
            ip_bytes: packet.ip_bytes,
            window: packet.tcp.window,
            id: packet.id.unwrap_or(0),
            flags: packet.tcp.flags,
            identified: packet.id.is_some(),
            live: true,
        };
        let due = self.time.saturating_add(ATTEMPT);
        let place = Place::attempt(self.attempts.put(kept));
        self.table.insert(hash, place.0);
        self.timers.push(due, place.0);
        self.live += 1;
    }

    /// Make a whole session of it by taking its packet once more, at its time. Its timer is still to be set.
    pub(super) fn promote(&mut self, place: Place) -> Option<Place> {
        let kept = self.attempts.get_mut(place.index()).filter(|kept| kept.live)?;
        kept.live = false;
        let (packet, time, now, file) = (kept.packet(), kept.time, kept.now, kept.file);
        self.attempts.free(place.index());
        let (key, forward) = Key::of(&packet);
        let hash = key.hash(self.seeds);
        let later = (self.time, self.now, self.file);
        (self.time, self.now, self.file) = (time, now, file);
        let whole = self.begin(key, forward, &packet);
        self.table.replace(hash, place.0, whole.0);
        let orig = self.conn(whole).is_none_or(|conn| conn.orig_is_a == forward);
        self.tcp(whole, orig, &packet);
        (self.time, self.now, self.file) = later;
        Some(whole)
    }
}
