//! A finished session becomes a record.

use std::borrow::Cow;

use super::conn::{Conn, Count, Told};
use super::marks::Marks;
use super::tcp::State;
use crate::decode::{self, Packet};
use crate::session::{Quality, Session, Side};

/// Payload bytes that go into the fingerprint of a datagram, in chunks of eight: fewer of one that was cut, as less was stored of its copy with a
/// VLAN tag.
const CHUNKS: usize = 16;
const FEW_CHUNKS: usize = 4;

/// What tells a packet from its neighbours, and whether its IP header has an identification.
#[inline]
pub fn fingerprint(packet: &Packet<'_>) -> (u32, bool) {
    let id = packet.id.unwrap_or(0);
    let tcp = packet.tcp;
    let mut state = mix(u64::from(packet.length) << 16 | u64::from(id), 1);
    if packet.proto == decode::TCP {
        state = mix(mix(state, u64::from(tcp.seq)), (u64::from(tcp.ack) << 16) | u64::from(tcp.flags));
    } else {
        let cut = packet.payload.len() < packet.length as usize;
        for chunk in packet.payload.chunks(8).take(if cut { FEW_CHUNKS } else { CHUNKS }) {
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

/// The record of a session. `conn` has been looked at by the hellos for the last time.
pub fn session(conn: &mut Conn) -> Session {
    let tcp = conn.key.proto == decode::TCP;
    let [first, second] = &conn.tcp.ends;
    let sizes = if tcp { (first.size(second), second.size(first)) } else { (counted(conn, 0), counted(conn, 1)) };
    let history = std::mem::take(&mut conn.history);
    let conn_state = match conn.key.proto {
        decode::TCP => conn.tcp.state(&history),
        decode::UDP => datagram_state(conn),
        _ => "OTH",
    };
    let mut session = Session {
        key: conn.key,
        orig_is_a: conn.orig_is_a,
        start: conn.start,
        last: conn.last,
        conn_state,
        missed_bytes: conn.tcp.missed,
        tunnel: conn.tunnel,
        history,
        file: conn.file,
        ..Session::default()
    };
    let sizes = session.lasted().filter(|_| !tcp || conn.tcp.numbered()).map_or((None, None), |_| (Some(sizes.0), Some(sizes.1)));
    session.orig = side(conn, 0, sizes.0);
    session.resp = side(conn, 1, sizes.1);
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
    let told = conn.told.take();
    let marks = conn.marks;
    let started = conn.counts.iter().any(|count| count.syn);
    let midstream = marks.has(Marks::JOINED) || conn.key.proto == decode::TCP && !started;
    let both = conn.counts.iter().all(|count| count.pkts > 0);
    let words = [
        (marks.has(Marks::OPEN) && !ended(conn), "open"),
        (midstream, "midstream"),
        (conn.key.proto == decode::TCP && !both && lonely(conn), "onesided"),
        (marks.has(Marks::CUT), "cut"),
        (marks.has(Marks::DUPLICATE), "duplicate"),
        (marks.has(Marks::EARLY), "early"),
        (marks.has(Marks::CARRIER), "carrier"),
        (marks.has(Marks::UNHEARD), "unheard"),
    ];
    let mut words = words.into_iter().filter(|word| word.0).map(|word| word.1);
    let Some(told) = told else {
        // Nearly all sessions: at most one word, and nothing to sort.
        session.hints = match (words.next(), words.next()) {
            (first, None) => first.map(Cow::Borrowed),
            (first, second) => joined(first.into_iter().chain(second).chain(words).map(Cow::Borrowed).collect()),
        };
        return;
    };
    let Told { services, hints, facts } = *told;
    // What stands in the middle of a stream says nothing about how it began.
    let said = hints.into_iter().filter(|hint| !midstream || !matches!(hint.as_str(), "clear" | "no_tls")).map(Cow::Owned);
    session.hints = joined(said.chain(words.map(Cow::Borrowed)).collect());
    session.service = joined(services.into_iter().map(Cow::Borrowed).collect());
    session.facts = facts;
}

/// Sorted, each once, comma separated; `None` where there are none.
fn joined(mut words: Vec<Cow<'static, str>>) -> Option<Cow<'static, str>> {
    words.sort_unstable();
    words.dedup();
    match words.len() {
        0 | 1 => words.pop(),
        _ => Some(Cow::Owned(words.join(","))),
    }
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
    let (low, high, quality) = if conn.key.proto == decode::TCP { stream_truth(conn, index, count) } else { datagram_truth(count, conn.marks.has(Marks::JOINED)) };
    Side { bytes, pkts: count.pkts, ip_bytes: count.ip_bytes, low, high, quality }
}

/// Every datagram is counted by its header; one that was captured twice counts once, and one that was perhaps sent twice bounds it. `joined`:
/// what went before was not seen.
fn datagram_truth(count: &Count, joined: bool) -> (u64, Option<u64>, Quality) {
    if count.pkts == 0 {
        return (0, None, Quality::Unknown); // nothing was sent, or nothing of it was seen: the other side does not say
    }
    let seen = count.seen.unique();
    match (joined, count.doubtful) {
        (true, _) => (seen, None, Quality::Bounded),
        (false, 0) => (seen, Some(seen), Quality::Exact),
        (false, doubtful) => (seen, Some(seen + doubtful), Quality::Bounded),
    }
}

/// Was this side seen from its SYN to its FIN, without a reset? It took no more than it acknowledged then.
fn taken_whole(conn: &Conn, index: usize) -> bool {
    // its state, not `did_close`: that waits for payload that a snapshot length cut off
    let closed = conn.tcp.ends.get(index).is_some_and(|end| end.state == State::Closed);
    closed && !conn.marks.has(Marks::HEADLESS) && conn.counts.get(index).is_some_and(|count| count.syn)
}

/// Seen bytes are certain; what the other side acknowledged without their being seen was sent too.
fn stream_truth(conn: &Conn, index: usize, count: &Count) -> (u64, Option<u64>, Quality) {
    let seen = count.seen.unique();
    let proven = count.acknowledged();
    if conn.marks.has(Marks::HEADLESS) && count.pkts > 0 {
        return (seen.max(proven), None, Quality::Bounded);
    }
    if count.pkts == 0 {
        let peer = conn.counts.get(1 - index).is_some_and(|peer| peer.seen.unique() > 0 || peer.pkts > 4);
        if !(peer || conn.marks.has(Marks::HEADLESS)) || matches!(conn.tcp.ends.get(index).map(|end| end.state), Some(State::Reset)) {
            return (0, Some(0), Quality::Exact);
        }
        let low = proven.saturating_sub(1); // the FIN may be counted in what was acknowledged
        return if taken_whole(conn, 1 - index) { (low, Some(proven), Quality::Bounded) } else { (low, None, Quality::Unknown) };
    }
    let span = count.sent().max(seen).max(proven);
    if !count.syn && seen > 0 {
        return (seen.max(proven), None, Quality::Bounded);
    }
    if span == seen { (seen, Some(seen), Quality::Exact) } else { (seen.max(proven), Some(span), Quality::Bounded) }
}
