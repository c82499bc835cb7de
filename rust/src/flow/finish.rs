//! A finished session becomes a record.

use super::conn::{Conn, Count};
use super::key;
use super::tcp::State;
use crate::community_id;
use crate::decode::{self, Packet};
use crate::session::{Quality, Session, Side};

/// Payload bytes that go into the fingerprint of a datagram, in chunks of eight.
const CHUNKS: usize = 16;

/// What tells a packet from its neighbours, and whether its IP header has an identification.
#[inline]
pub fn fingerprint(packet: &Packet<'_>) -> (u32, bool) {
    let id = packet.id.unwrap_or(0);
    let tcp = packet.tcp;
    let mut state = mix(u64::from(packet.length) << 16 | u64::from(id), 1);
    if packet.proto == decode::TCP {
        state = mix(mix(state, u64::from(tcp.seq)), (u64::from(tcp.ack) << 16) | u64::from(tcp.flags));
    } else {
        for chunk in packet.payload.chunks(8).take(CHUNKS) {
            let mut bytes = [0; 8];
            if let Some(place) = bytes.get_mut(..chunk.len()) {
                place.copy_from_slice(chunk);
            }
            state = mix(state, u64::from_le_bytes(bytes));
        }
    }
    (((state >> 32) ^ state) as u32, id != 0)
}

fn mix(state: u64, more: u64) -> u64 {
    (state.rotate_left(5) ^ more).wrapping_mul(0x517c_c1b7_2722_0a95)
}

/// Seconds since 1970. Microseconds are exact in a double until 2255.
fn seconds(nanos: i64) -> f64 {
    if nanos % 1_000 == 0 { (nanos / 1_000) as f64 / 1e6 } else { nanos as f64 / 1e9 }
}

/// The record of a session. `conn` has been looked at by the hellos for the last time.
pub fn session(conn: &mut Conn) -> Session {
    let key = conn.key;
    let (orig, resp) = if conn.orig_is_a { ((key.a, key.a_port), (key.b, key.b_port)) } else { ((key.b, key.b_port), (key.a, key.a_port)) };
    let history = conn.history.text();
    let tcp = key.proto == decode::TCP;
    let lasted = conn.last.saturating_sub(conn.start);
    let duration = (lasted > 0).then(|| if lasted % 1_000 == 0 { (lasted / 1_000) as f64 / 1e6 } else { lasted as f64 / 1e9 });
    let [first, second] = &conn.tcp.ends;
    let sizes = if tcp { (first.size(second), second.size(first)) } else { (counted(conn, 0), counted(conn, 1)) };
    let conn_state = match key.proto {
        decode::TCP => conn.tcp.state(&history),
        decode::UDP => datagram_state(conn),
        _ => "OTH",
    };
    let mut session = Session {
        ts: seconds(conn.start),
        uid: key::uid(&key, conn.start),
        orig_h: key::text(&orig.0),
        orig_p: orig.1,
        resp_h: key::text(&resp.0),
        resp_p: resp.1,
        proto: match key.proto {
            decode::TCP => "tcp",
            decode::UDP => "udp",
            _ => "icmp",
        },
        duration,
        orig: side(conn, 0, duration.map(|_| sizes.0)),
        resp: side(conn, 1, duration.map(|_| sizes.1)),
        conn_state,
        missed_bytes: conn.tcp.missed,
        community_id: community_id::v1(&orig.0, &resp.0, key.proto, orig.1, resp.1, key.one_way),
        tunnel: conn.tunnel.text(),
        history,
        ..Session::default()
    };
    told(conn, &mut session);
    session
}

fn counted(conn: &Conn, index: usize) -> u64 {
    conn.counts.get(index).map_or(0, |count| count.bytes)
}

fn datagram_state(conn: &Conn) -> &'static str {
    let [orig, resp] = &conn.counts;
    match (orig.pkts > 0, resp.pkts > 0) {
        (true, true) => "SF",
        (true, false) => "S0",
        (false, true) => "SHR",
        (false, false) => "OTH",
    }
}

/// What the hellos said, and the hints.
fn told(conn: &mut Conn, session: &mut Session) {
    let mut services: Vec<&'static str> = Vec::new();
    let mut hints: Vec<String> = Vec::new();
    if let Some(told) = conn.told.take() {
        services = told.services;
        hints = told.hints;
        session.facts = told.facts;
    }
    let marks = conn.marks;
    if marks.ftp_data {
        services.push("ftp-data");
    }
    let started = conn.counts.iter().any(|count| count.syn);
    if conn.key.proto == decode::TCP && !started {
        // What stands in the middle of a stream says nothing about how it began.
        hints.retain(|hint| !matches!(hint.as_str(), "clear" | "no_tls"));
    }
    let both = conn.counts.iter().all(|count| count.pkts > 0);
    let words = [
        (marks.open && !ended(conn), "open"),
        (conn.key.proto == decode::TCP && !started, "midstream"),
        (conn.key.proto == decode::TCP && !both && lonely(conn), "onesided"),
        (marks.cut, "cut"),
        (marks.duplicate, "duplicate"),
        (marks.early, "early"),
        (marks.carrier, "carrier"),
        (marks.ftp_data, "ftp_data"),
    ];
    hints.extend(words.into_iter().filter(|word| word.0).map(|word| word.1.to_owned()));
    hints.extend(conn.control.take().map(|control| format!("control={control}")));
    services.sort_unstable();
    services.dedup();
    hints.sort_unstable();
    hints.dedup();
    session.service = (!services.is_empty()).then(|| services.join(","));
    session.hints = (!hints.is_empty()).then(|| hints.join(","));
}

/// Did it come to an end before the input did?
fn ended(conn: &Conn) -> bool {
    let [orig, resp] = &conn.tcp.ends;
    let reset = orig.state == State::Reset || resp.state == State::Reset;
    conn.key.proto == decode::TCP && (reset || orig.state == State::Closed && resp.state == State::Closed)
}

/// Only one side was seen although the other must have been there.
fn lonely(conn: &Conn) -> bool {
    conn.counts.iter().any(|count| count.seen.unique() > 0 || count.pkts > 4)
}

/// One side: what Zeek writes, and how many bytes it is certain to have sent.
fn side(conn: &Conn, index: usize, bytes: Option<u64>) -> Side {
    let Some(count) = conn.counts.get(index) else { return Side::default() };
    let (low, high, quality) = if conn.key.proto == decode::TCP { stream_truth(conn, index, count) } else { datagram_truth(count) };
    Side { bytes, pkts: count.pkts, ip_bytes: count.ip_bytes, low, high, quality }
}

/// Every datagram is counted by its header; one that was captured twice counts once.
fn datagram_truth(count: &Count) -> (u64, Option<u64>, Quality) {
    if count.pkts == 0 {
        return (0, None, Quality::Unknown); // nothing was sent, or nothing of it was seen: the other side does not say
    }
    (count.seen.unique(), Some(count.seen.unique()), Quality::Exact)
}

/// Seen bytes are certain; what the other side acknowledged without their being seen was sent too.
fn stream_truth(conn: &Conn, index: usize, count: &Count) -> (u64, Option<u64>, Quality) {
    let seen = count.seen.unique();
    let proven = count.acknowledged();
    if count.pkts == 0 {
        let peer = conn.counts.get(1 - index).is_some_and(|peer| peer.seen.unique() > 0 || peer.pkts > 4);
        return if peer && !matches!(conn.tcp.ends.get(index).map(|end| end.state), Some(State::Reset)) {
            (proven.saturating_sub(1), None, Quality::Unknown) // the FIN may be counted in what was acknowledged
        } else {
            (0, Some(0), Quality::Exact)
        };
    }
    let span = count.sent().max(seen).max(proven);
    if !count.syn && seen > 0 {
        return (seen.max(proven), None, Quality::Bounded);
    }
    if span == seen { (seen, Some(seen), Quality::Exact) } else { (seen.max(proven), Some(span), Quality::Bounded) }
}
