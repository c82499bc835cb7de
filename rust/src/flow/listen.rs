//! First bytes to the hellos, and what they say back.

use std::net::IpAddr;

use super::expect::{self, What};
use super::{FIRST_PACKETS, Flows, HELLO_TOTAL, LOGIN_IDLE, LOGIN_SERVICES, Place, SPARES, key};
use super::marks::Marks;
use crate::decode::Packet;
use crate::hello::{Proto, ftp};
use crate::stream::{self, Stream};

impl Flows {
    /// Let the hellos look at the first bytes.
    pub(super) fn look(&mut self, place: Place, done: bool) {
        let Some(conn) = self.conn_mut(place) else { return };
        let ports = conn.ports();
        let proto = if conn.key.proto == crate::decode::TCP { Proto::Tcp } else { Proto::Udp };
        let Some(stream) = &mut conn.stream else { return };
        stream.look(proto, ports, done);
        let held = stream.held();
        // Clear FTP may announce data channels for hours: what the first bytes do not cover is read line by line.
        let ended = !stream.outcome.want_more || stream.tired();
        let clear = stream.outcome.services.contains(&"ftp") && !stream.outcome.hints.iter().any(|hint| hint == ftp::AUTH_TLS);
        let from = (ended && clear && !done).then(|| stream.ordered());
        let expect = std::mem::take(&mut stream.outcome.expect);
        if stream.outcome.services.iter().any(|service| LOGIN_SERVICES.contains(service)) {
            conn.idle = LOGIN_IDLE;
        }
        if !stream.outcome.want_more {
            let outcome = std::mem::take(&mut stream.outcome);
            let spare = conn.stream.take();
            conn.hear(outcome);
            self.held = self.held.saturating_sub(held);
            self.spares.extend(spare.filter(|_| self.spares.len() < SPARES));
        }
        if !expect.is_empty() && !done {
            self.expect(place, expect);
        }
        if let Some(from) = from {
            self.follow(place, from);
        }
    }

    /// An FTP session announced where data will go.
    pub(super) fn expect(&mut self, place: Place, announced: Vec<(Option<IpAddr>, u16)>) {
        let now = self.now;
        let Some(conn) = self.conn(place) else { return };
        let resp = if conn.orig_is_a { conn.key.b } else { conn.key.a };
        let uid = key::name(&conn.key, conn.start);
        for (address, port) in announced {
            let to = address.map_or((resp, port), |address| expect::end(address, port));
            self.event(What::Announced { now, to, control: uid.clone().into() });
        }
    }

    /// First bytes for the hellos; true where there is something new to look at.
    #[inline]
    pub(super) fn keep(&mut self, place: Place, orig: bool, packet: &Packet<'_>, at: Option<u64>) -> bool {
        let limit = self.limits.hello;
        let room = self.held < HELLO_TOTAL;
        if self.conn(place).is_some_and(|conn| conn.marks.has(Marks::LINES)) {
            self.hear_lines(place, orig, packet, at.unwrap_or(0));
        }
        let Some(conn) = self.here.filter(|here| here.0 == place).and_then(|here| self.wide.get_mut(here.1)) else { return false };
        if conn.heard || packet.payload.is_empty() || limit == 0 {
            return false;
        }
        let mut first = None;
        if conn.stream.is_none() {
            if !room || conn.counts.iter().map(|count| count.pkts).sum::<u64>() > FIRST_PACKETS {
                conn.heard = true;
                conn.marks.set(Marks::UNHEARD, !room);
                return false;
            }
            if at.is_none() {
                let outcome = stream::first_datagram(orig, packet.payload, conn.ports());
                if !outcome.want_more {
                    conn.hear(outcome);
                    return false;
                }
                first = Some(outcome).filter(|_| packet.payload.len() <= limit);
            }
            conn.stream = Some(self.spares.pop().map_or_else(
                || Box::new(Stream::new(limit)),
                |mut spare| {
                    spare.clear();
                    spare
                },
            ));
        }
        let Some(stream) = &mut conn.stream else { return false };
        let before = stream.held();
        let new = match at {
            Some(at) => stream.segment(orig, at, packet.payload),
            None => stream.datagram(orig, packet.payload),
        };
        let more = stream.held().saturating_sub(before);
        self.held += more;
        match first {
            // It is kept whole, so another look would say the same.
            Some(outcome) => stream.looked(outcome),
            None => return new,
        }
        false
    }
}
