//! A packet into its session: counts, truth about bytes, and what the state machine makes of it.

use super::conn::{Conn, NEVER};
use super::expire::next_look;
use super::marks::Marks;
use super::{ATTEMPT, CLOSE, Flows, LOGIN_IDLE, LOGIN_PORTS, LOOK_AGAIN, Place, TCP_IDLE, finish, tcp};
use crate::decode::Packet;

impl Flows {
    pub(super) fn tcp(&mut self, place: Place, mut orig: bool, packet: &Packet<'_>) {
        let time = self.time;
        let Some(conn) = self.conn_mut(place) else { return };
        if packet.headless {
            return headless(conn, orig, packet, time);
        }
        let stored = packet.payload.len() >= packet.length as usize;
        let [first, second] = &conn.tcp.ends;
        if !(first.did_close && second.did_close) {
            conn.last = time;
        }
        let late = packet.tcp.flags & tcp::SYN != 0 && conn.opened_late(orig, packet.tcp) == Some(true);
        if late {
            orig = conn.open_late(orig, packet.tcp);
        }
        let effect = conn.tcp.segment(orig, packet.tcp, packet.length, stored, late, &mut conn.history);
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
            conn.expire = conn.last.saturating_add(LOOK_AGAIN).min(next_look(conn.start, time));
        }
        if effect.complete {
            (conn.attempt, conn.expire) = (NEVER, NEVER);
            conn.remove = conn.last.saturating_add(CLOSE);
        }
        let at = truth(conn, orig, packet);
        let count = conn.count(orig);
        count.pkts += 1;
        count.ip_bytes += u64::from(packet.ip_bytes);
        let (content, known) = finish::fingerprint(packet);
        if packet.length > 0 && known && count.recent.repeated(content, time, count.pkts) {
            conn.marks.set(Marks::DUPLICATE, true);
        }
        if effect.turned {
            conn.flip();
            orig = !orig;
        }
        if at.is_some() && self.keep(place, orig, packet, at) {
            self.look(place, false);
        }
    }

    pub(super) fn datagram(&mut self, place: Place, orig: bool, packet: &Packet<'_>) {
        let time = self.time;
        let Some(conn) = self.here.filter(|here| here.0 == place).and_then(|here| self.wide.get_mut(here.1)) else { return };
        conn.last = time;
        let udp = packet.proto == crate::decode::UDP;
        let bit = if orig { 1 } else { 2 };
        if udp && conn.letters & bit == 0 {
            conn.letters |= bit;
            conn.history.push(if orig { b'D' } else { b'd' });
        }
        conn.marks.set(Marks::CARRIER, packet.carrier);
        conn.marks.set(Marks::JOINED, udp && conn.counts.iter().all(|count| count.pkts == 0) && in_the_middle(packet));
        let count = conn.count(orig);
        count.pkts += 1;
        count.ip_bytes += u64::from(packet.ip_bytes);
        count.bytes += u64::from(packet.length);
        let fingerprint = finish::fingerprint(packet);
        if count.recent.recalled(&mut count.earlier, &mut self.rings, fingerprint, time, count.pkts) {
            count.doubtful += u64::from(doubtful(packet, fingerprint.1));
            conn.marks.set(Marks::DUPLICATE, true);
            return;
        }
        let from = i64::try_from(count.seen.unique()).unwrap_or(0);
        count.seen.add(from, from + i64::from(packet.length));
        conn.marks.set(Marks::CUT, packet.payload.len() < packet.length as usize);
        if udp && !packet.carrier && self.keep(place, orig, packet, None) {
            self.look(place, false);
        }
    }
}

/// A TCP packet without its flags and numbers: it is counted, and keeps its session open.
#[cold]
fn headless(conn: &mut Conn, orig: bool, packet: &Packet<'_>, time: i64) {
    conn.last = time;
    conn.idle = conn.idle.max(TCP_IDLE);
    conn.marks.set(Marks::CUT, true);
    conn.marks.set(Marks::HEADLESS, true);
    let count = conn.count(orig);
    count.pkts += 1;
    count.ip_bytes += u64::from(packet.ip_bytes);
}

/// UDP ports on which QUIC is spoken.
const QUIC_PORTS: [u16; 2] = [443, 8443];

/// Is it a datagram on QUIC's ports whose first byte is one of these?
fn quic(packet: &Packet<'_>, mask: u8, value: u8) -> bool {
    let port = QUIC_PORTS.contains(&packet.target_port) || QUIC_PORTS.contains(&packet.source_port);
    port && packet.payload.first().is_some_and(|first| first & mask == value)
}

/// Is a session's first datagram one of QUIC's short headers (RFC 9000, 17.3.1)? A conversation opens with long ones.
fn in_the_middle(packet: &Packet<'_>) -> bool {
    quic(packet, 0xc0, 0x40)
}

/// Payload of a repeated datagram that may have been sent twice: without an identification, a copy is not told from that. QUIC, whose packets
/// have the fixed bit set (RFC 9000, 17.2), never seals two packets alike (RFC 9001, 5.3).
#[inline]
pub(super) fn doubtful(packet: &Packet<'_>, known: bool) -> u32 {
    if known || quic(packet, 0x40, 0x40) { 0 } else { packet.length }
}

/// Count the payload bytes seen, each once; where the segment lies in its stream (0: first byte), if that is known.
pub(super) fn truth(conn: &mut Conn, orig: bool, packet: &Packet<'_>) -> Option<u64> {
    let flags = packet.tcp.flags;
    let syn = flags & tcp::SYN != 0;
    conn.marks.set(Marks::CUT, packet.payload.len() < packet.length as usize);
    let count = conn.count(orig);
    let seq = count.unwrap(packet.tcp.seq) + i64::from(syn);
    let lower = count.begins(seq, syn, packet.length > 0);
    let begin = count.begin;
    if packet.length > 0 && flags & tcp::RST == 0 {
        count.seen.add(seq, seq + i64::from(packet.length));
    }
    if flags & tcp::ACK != 0 && flags & tcp::RST == 0 {
        conn.count(!orig).acknowledge(packet.tcp.ack);
    }
    if let Some(stream) = conn.stream.as_mut().filter(|_| lower > 0) {
        stream.shift(orig, lower);
    }
    u64::try_from(seq - begin).ok()
}
