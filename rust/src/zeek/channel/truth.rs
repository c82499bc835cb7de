//! What a conn row's bytes are worth, whether it counts as outbound, and what it speaks.
//!
//! The same rules as the SQL of `netexfil/read/truth.py` and `netexfil/outbound.py`, which say why; a test holds the two together.

pub use super::service::Service;
use crate::side::Side;

/// One direction of a conn row as the log has it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub bytes: Option<i64>,
    pub pkts: Option<i64>,
    pub ip_bytes: Option<i64>,
}

/// What says how far the bytes can be believed.
pub struct Given<'a> {
    pub orig: Counts,
    pub resp: Counts,
    pub history: &'a [u8],
    pub gaps: i64,
    pub tcp: bool,
    pub v6: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quality {
    Exact,
    Bounded,
    Unknown,
}

/// The least that a side sent, what it cannot have surpassed (`i64::MAX`: nobody knows), and how sure that is.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    pub low: i64,
    pub high: i64,
    pub quality: Quality,
}

impl Given<'_> {
    fn has(&self, letter: u8) -> bool {
        self.history.contains(&letter)
    }

    /// Counters that are all zero beside payload were switched off.
    fn idle(&self) -> bool {
        let bytes = self.orig.bytes.unwrap_or(0).saturating_add(self.resp.bytes.unwrap_or(0));
        self.orig.pkts == Some(0) && self.resp.pkts == Some(0) && bytes > 0
    }

    /// Bytes of IP and transport headers without options.
    fn head(&self) -> i64 {
        (if self.v6 { 40 } else { 20 }) + if self.tcp { 20 } else { 8 }
    }

    /// What the outward side cannot have surpassed (`i64::MAX`: nobody knows), by its IP bytes too where they speak against its count.
    pub fn high(&self, inward: bool, out: &Sent) -> i64 {
        let (counts, data) = if inward { (&self.resp, b'd') } else { (&self.orig, b'D') };
        let (Some(pkts), Some(bytes), false) = (counts.pkts, counts.ip_bytes, self.idle()) else { return out.high };
        let most = bytes.saturating_sub(pkts.saturating_mul(self.head())).max(0);
        let count = counts.bytes.unwrap_or(0);
        if out.high == i64::MAX || count <= most || self.has(data) || self.gaps >= count - most { out.high } else { most }
    }

    /// Both sides: originator, responder.
    pub fn sides(&self) -> [Sent; 2] {
        let idle = self.idle();
        let started = !self.tcp || self.history.is_empty() || self.history.iter().any(|letter| matches!(letter, b's' | b'S' | b'h' | b'H'));
        let seen = |counts: &Counts, spoke: fn(&u8) -> bool| match (counts.pkts, counts.ip_bytes) {
            (Some(pkts), Some(_)) if !idle => pkts > 0,
            _ => self.history.is_empty() || self.history.iter().any(spoke),
        };
        let orig_seen = seen(&self.orig, u8::is_ascii_uppercase);
        let resp_seen = seen(&self.resp, u8::is_ascii_lowercase);
        let went_on = self.tcp && (self.has(b'A') || self.has(b'D'));
        let lost = |counts: &Counts, bad: u8, me: bool, other: bool| counts.bytes.unwrap_or(0) == 0 && (self.has(bad) || (!me && other));
        [
            self.sent(&self.orig, idle, started, lost(&self.orig, b'C', orig_seen, resp_seen)),
            self.sent(&self.resp, idle, started, lost(&self.resp, b'c', resp_seen, went_on)),
        ]
    }

    fn sent(&self, counts: &Counts, idle: bool, started: bool, lost: bool) -> Sent {
        if lost {
            return Sent { low: 0, high: i64::MAX, quality: Quality::Unknown };
        }
        let count = counts.bytes.unwrap_or(0);
        let head = self.head();
        let options = if self.tcp { 40 } else { 0 };
        let counted = counts.pkts.zip(counts.ip_bytes).filter(|_| !idle);
        let bound = |head: i64| counted.map(|(pkts, bytes)| bytes.saturating_sub(pkts.saturating_mul(head)).max(0));
        let within = bound(head).is_none_or(|most| count <= most);
        let exact = within && (self.gaps == 0 || count == 0) && started;
        let least = bound(head + options).map_or(count, |least| least.min(count));
        let low = match within {
            true if exact || self.gaps == 0 => count,
            true => count.saturating_sub(self.gaps).max(least).max(0),
            false => least,
        };
        let high = if started { count } else { i64::MAX };
        Sent { low, high, quality: if exact { Quality::Exact } else { Quality::Bounded } }
    }
}

/// Which way a session counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Out,
    Pull,
}

/// What decides whether a session counts, besides its bytes.
pub struct Ends {
    pub orig: Side,
    pub resp: Side,
    pub port: u16,
    pub tcp: bool,
    pub udp: bool,
    pub watched: bool,
}

impl Ends {
    /// The responder is the inside host.
    pub fn inward(&self) -> bool {
        self.orig == Side::Public && self.resp == Side::Inside
    }
}

/// What an inside host sent and got: which of the two sides is which depends on who began.
pub struct Moved {
    pub out: Sent,
    /// `None`: no sensor saw it.
    pub back: Option<i64>,
}

impl Moved {
    pub fn new(ends: &Ends, [orig, resp]: [Sent; 2]) -> Self {
        let (out, back) = if ends.inward() { (resp, orig) } else { (orig, resp) };
        Self { out, back: (back.quality != Quality::Unknown).then_some(back.low) }
    }
}

/// Whether a session counts as outbound. `large`: the bytes from which a one-sided upload of an unknown kind counts.
pub fn way(ends: &Ends, service: Service, moved: &Moved, large: i64) -> Option<Way> {
    let known = ends.tcp || ends.udp;
    let watched = ends.watched && (ends.tcp || (ends.udp && matches!(ends.port, 443 | 8443)));
    let content = known && (service.tls || service.ssh || service.quic);
    let low = moved.out.low;
    let back = moved.back.unwrap_or(0);
    let silent = service.none && known && low >= large && back.saturating_mul(9) <= low;
    let named = watched || content || service.data;
    match (ends.orig, ends.resp) {
        (Side::Inside, Side::Public) if named || silent => Some(Way::Out),
        (Side::Public, Side::Public) if named => Some(Way::Out),
        (Side::Public, Side::Inside) if (named || silent) && low > back => Some(Way::Pull),
        _ => None,
    }
}

/// Names of protocols in the order of their bits.
pub const PROTOCOLS: [&str; 11] = ["DNS", "FTP", "FTPS", "HTTP", "HTTPS", "IMAPS", "QUIC", "SFTP/SCP", "SMTPS", "SSH", "Unknown"];

/// The protocol of a session: its place in `PROTOCOLS`.
pub fn protocol(ends: &Ends, service: Service, moved: &Moved) -> u8 {
    let (out, back) = (moved.out.low, moved.back.unwrap_or(0));
    let all = out.saturating_add(back);
    #[allow(clippy::cast_precision_loss)] // as DuckDB compares a whole number with a decimal fraction
    let bulk = all >= 65_536 && i128::from(out.max(back)) * 100 >= i128::from(all) * 85;
    let ssh = if bulk { 7 } else { 9 };
    if service.ssh {
        return ssh;
    }
    if service.quic || (ends.udp && matches!(ends.port, 443 | 8443) && !service.tls) {
        return 6;
    }
    match service {
        Service { data: true, .. } => 2,
        Service { ftp: true, .. } => {
            if service.tls || ends.port == 990 || service.auth {
                2
            } else {
                1
            }
        }
        Service { tls: true, .. } => match ends.port {
            990 | 989 | 21 => 2,
            465 | 587 | 25 => 8,
            993 | 143 => 5,
            _ => 4,
        },
        Service { http: true, .. } => 3,
        Service { dns: true, .. } => 0,
        _ if !ends.tcp => 10,
        _ => match ends.port {
            22 => ssh,
            443 | 8443 => 4,
            990 | 21 => 2,
            465 | 587 => 8,
            993 => 5,
            _ => 10,
        },
    }
}
