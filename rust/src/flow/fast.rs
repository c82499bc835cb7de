//! The packets that most are: the next one in order of an open session that is plain and stays so. They change a few numbers of its slot;
//! what the general path would make of them is the same (`Limits::general` leaves only that one; tests hold them against each other).

use super::count::doubtful;
use super::finish;
use super::marks::Marks;
use super::recent::{Recent, Rings};
use super::slot::{Flank, Slot, bit, side};
use super::tcp::{ACK, FIN, INITIAL_WINDOW, RST, SYN, WITHOUT_ACKS};
use crate::decode::{self, Packet};

/// Positions are told apart within half of the sequence space.
const HALF: u32 = i32::MAX.cast_unsigned();
/// Letters of the history: data, and an acknowledgement without.
const DATA: u8 = 0x10;
const ACKED: u8 = 0x20;
/// A side that is not at its end, and whose numbers are known.
const ENDED: u8 = side::DID_CLOSE | side::DID_EOF | side::FIN | side::RESET;

impl Slot {
    /// Take a packet of this session; false where it is one for the general path.
    #[inline]
    pub fn take(&mut self, rings: &mut Rings, forward: bool, packet: &Packet<'_>, time: i64) -> bool {
        let orig = self.has(bit::ORIG_IS_A) == forward;
        match packet.proto {
            _ if self.wide != 0 => false,
            decode::TCP => self.segment(usize::from(!orig), packet, time),
            _ => self.datagram(rings, usize::from(!orig), packet, time),
        }
    }

    /// Does a segment only carry on, on both sides, with what was there before?
    #[inline]
    fn goes_on(&self, side: usize, packet: &Packet<'_>, time: i64) -> Option<()> {
        let (end, peer) = (self.flanks.get(side)?, self.flanks.get(1 - side)?);
        let (tcp, length) = (packet.tcp, packet.length);
        let (top, peer_top) = (end.last.wrapping_sub(end.start), peer.last.wrapping_sub(peer.start));
        let (acked, peer_acked) = (end.acked.wrapping_sub(end.start), peer.acked.wrapping_sub(peer.start));
        let (ack, next) = (tcp.ack.wrapping_sub(peer.start), top.checked_add(length)?);
        let sides = self.sides.iter().all(|bits| bits & (ENDED | side::BEGUN) == side::BEGUN);
        let here = tcp.flags & (SYN | FIN | RST | ACK) == ACK && tcp.window != 0 && !packet.headless && tcp.seq == end.last;
        let order = (1..=HALF).contains(&top) && next <= HALF && end.at.wrapping_sub(end.start) <= top && end.last.checked_add(length).is_some();
        let there = peer_top <= HALF && (peer_acked.max(1)..=peer_top).contains(&ack) && tcp.ack >= peer.acked && peer.pkts > 0;
        let known = self.letters.get(side)? & if length > 0 { DATA } else { ACKED } != 0;
        let whole = packet.payload.len() >= length as usize && (length == 0 || self.has(bit::HEARD));
        let held = acked.min(top).max(1);
        let room = length == 0 || (acked > 1 || u64::from(next) <= INITIAL_WINDOW) && u64::from(next - held) <= WITHOUT_ACKS;
        (self.established() && sides && here && order && there && known && whole && room && time >= self.last).then_some(())
    }

    /// A timer is due: when the next one is, where nothing comes of this one but that it is done. `None`: one for the general path.
    pub fn waits(&mut self, now: i64) -> Option<i64> {
        let open = self.sides.iter().all(|bits| bits & side::DID_CLOSE == 0) && self.established();
        if self.wide != 0 || !open || self.key.proto != decode::TCP || self.has(bit::REMOVE) {
            return None;
        }
        self.next_due(now)
    }

    #[inline]
    fn segment(&mut self, side: usize, packet: &Packet<'_>, time: i64) -> bool {
        if self.goes_on(side, packet, time).is_none() || !self.count(side, packet) {
            return false;
        }
        self.last = time;
        let [first, second] = &mut self.flanks;
        let (end, peer) = if side == 0 { (first, second) } else { (second, first) };
        end.at = packet.tcp.seq;
        end.last = end.last.wrapping_add(packet.length);
        peer.acked = packet.tcp.ack;
        if let Some(bits) = self.sides.get_mut(1 - side) {
            *bits |= side::PROVEN;
        }
        if packet.length > 0 {
            let (content, known) = finish::fingerprint(packet);
            let repeated = known && self.recall(side, |recent, flank| recent.repeated(content, time, u64::from(flank.pkts)));
            self.marks.set(Marks::DUPLICATE, repeated);
        }
        true
    }

    #[inline]
    fn datagram(&mut self, rings: &mut Rings, side: usize, packet: &Packet<'_>, time: i64) -> bool {
        let udp = packet.proto == decode::UDP;
        let lettered = !udp || self.letters[0] & (1 << side) != 0;
        let heard = !udp || packet.carrier || packet.payload.is_empty() || self.has(bit::HEARD);
        // What is different or doubtful is no more than what is there in all.
        let room = self.flanks.get(side).is_some_and(|flank| flank.last.checked_add(packet.length).is_some());
        if !(lettered && heard && room && self.count(side, packet)) {
            return false;
        }
        self.last = time;
        self.marks.set(Marks::CARRIER, packet.carrier);
        let fingerprint = finish::fingerprint(packet);
        let repeated = self.recall(side, |recent, flank| recent.recalled(&mut flank.at, rings, fingerprint, time, u64::from(flank.pkts)));
        if let Some(flank) = self.flanks.get_mut(side) {
            flank.last += packet.length;
            let (new, doubt) = if repeated { (0, doubtful(packet, fingerprint.1)) } else { (packet.length, 0) };
            (flank.acked, flank.start) = (flank.acked + new, flank.start + doubt);
        }
        self.marks.set(Marks::DUPLICATE, repeated);
        self.marks.set(Marks::CUT, !repeated && packet.payload.len() < packet.length as usize);
        true
    }

    /// Count a packet; false, and nothing done, where the numbers would not fit.
    #[inline]
    fn count(&mut self, side: usize, packet: &Packet<'_>) -> bool {
        let Some(flank) = self.flanks.get_mut(side) else { return false };
        let (Some(pkts), Some(ip_bytes)) = (flank.pkts.checked_add(1), flank.ip_bytes.checked_add(packet.ip_bytes)) else { return false };
        (flank.pkts, flank.ip_bytes) = (pkts, ip_bytes);
        true
    }

    /// Ask what is remembered of the last packets of a side.
    #[inline]
    fn recall(&mut self, at: usize, ask: impl FnOnce(&mut Recent, &mut Flank) -> bool) -> bool {
        let (Some(last), Some(bits), Some(flank)) = (self.recent.get_mut(at), self.sides.get_mut(at), self.flanks.get_mut(at)) else { return false };
        let mut recent = Recent { last: *last, next: *bits & side::NEXT != 0 };
        let repeated = ask(&mut recent, flank);
        *last = recent.last;
        *bits = *bits & !side::NEXT | if recent.next { side::NEXT } else { 0 };
        repeated
    }
}
