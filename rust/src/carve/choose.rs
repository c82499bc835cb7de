//! Which sessions a frame belongs to: by their tuple and time, or by the uid that the flow table gives them.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::decode::{Address, Packet, Sink};
use crate::flow::key::{self, End};
use crate::flow::{Flows, Limits};

/// Sessions are given in seconds as a double, which holds a quarter of a microsecond; a frame this close to their ends is theirs.
const SLACK: i64 = 1_000;
/// Files of a set are read by time; this long after the last wanted session nothing can follow.
const AFTER: i64 = 60_000_000_000;

/// Source, target, identification and protocol of a fragmented packet.
pub type Fragment = (Address, Address, u32, u8);

/// What a frame turned out to hold.
#[derive(Debug, Default)]
pub struct Chosen {
    /// The wanted sessions it belongs to.
    pub hits: Vec<usize>,
    pub fragment: Option<Fragment>,
    pub lost: Vec<(&'static str, String)>,
}

/// Chooses the frames of wanted sessions, which are numbered.
pub trait Choose: Sink {
    /// The next frame's time and file; false where no wanted session can reach so far.
    fn begin(&mut self, time: i64, file: u32) -> bool;
    fn chosen(&mut self) -> &mut Chosen;
    /// What the first frame of a session is to say.
    fn comment(&self, place: usize) -> String;
    fn count(&self) -> usize;
}

/// One session to cut out by its tuple. Times are nanoseconds since 1970.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub proto: u8,
    pub ends: (End, End),
    pub from: i64,
    pub until: i64,
    /// Written at its first frame.
    pub comment: String,
}

impl Wanted {
    /// `None` where an address is no address.
    #[must_use]
    pub fn new(proto: u8, one: (&str, u16), other: (&str, u16), times: (f64, f64), comment: String) -> Option<Self> {
        let ends = ((address(one.0)?, one.1), (address(other.0)?, other.1));
        Some(Self { proto, ends, from: nanos(times.0).saturating_sub(SLACK), until: nanos(times.1).saturating_add(SLACK), comment })
    }
}

/// An address from text; `None` where it is none.
#[must_use]
pub fn address(text: &str) -> Option<Address> {
    Some(match text.parse().ok()? {
        IpAddr::V4(four) => four.to_ipv6_mapped().octets(),
        IpAddr::V6(six) => six.octets(),
    })
}

#[allow(clippy::cast_possible_truncation)] // saturates, which is what a time out of range should do
pub fn nanos(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}

/// The unordered tuple.
fn tuple(proto: u8, one: End, other: End) -> (u8, End, End) {
    if one <= other { (proto, one, other) } else { (proto, other, one) }
}

/// Sessions whose tuple and times are known (from logs).
pub struct ByTuple {
    index: HashMap<(u8, End, End), Vec<usize>>,
    wanted: Vec<Wanted>,
    time: i64,
    end: i64,
    chosen: Chosen,
}

impl ByTuple {
    #[must_use]
    pub fn new(wanted: Vec<Wanted>) -> Self {
        let mut index: HashMap<_, Vec<usize>> = HashMap::new();
        for (place, session) in wanted.iter().enumerate() {
            index.entry(tuple(session.proto, session.ends.0, session.ends.1)).or_default().push(place);
        }
        let end = wanted.iter().map(|session| session.until).max().unwrap_or(i64::MIN).saturating_add(AFTER);
        Self { index, wanted, time: 0, end, chosen: Chosen::default() }
    }
}

impl Sink for ByTuple {
    #[inline]
    fn packet(&mut self, packet: &Packet<'_>) {
        let key = tuple(packet.proto, (packet.source, packet.source_port), (packet.target, packet.target_port));
        let Some(places) = self.index.get(&key) else { return };
        for &place in places {
            let inside = self.wanted.get(place).is_some_and(|session| (session.from..=session.until).contains(&self.time));
            if inside && !self.chosen.hits.contains(&place) {
                self.chosen.hits.push(place);
            }
        }
    }

    fn lost(&mut self, kind: &'static str, reason: &str) {
        self.chosen.lost.push((kind, reason.to_owned()));
    }

    fn fragment(&mut self, source: &Address, target: &Address, id: u32, proto: u8) {
        self.chosen.fragment = Some((*source, *target, id, proto));
    }
}

impl Choose for ByTuple {
    fn begin(&mut self, time: i64, _file: u32) -> bool {
        self.time = time;
        time <= self.end
    }

    fn chosen(&mut self) -> &mut Chosen {
        &mut self.chosen
    }

    fn comment(&self, place: usize) -> String {
        self.wanted.get(place).map(|session| session.comment.clone()).unwrap_or_default()
    }

    fn count(&self) -> usize {
        self.wanted.len()
    }
}

/// A session found by its uid: protocol, originator, responder.
pub type Found = (u8, End, End);

/// Sessions of which only the uid is known: the flow table counts along and says whose each packet is.
pub struct ByUid {
    flows: Flows,
    index: HashMap<String, usize>,
    /// Comments, which the session's ends are added to.
    about: Vec<String>,
    /// Only sessions of these hosts, in order; all where empty.
    hosts: Vec<Address>,
    end: i64,
    /// By place in the flow table: start of the session that was there when we asked, and its number if it is wanted.
    known: Vec<(i64, Option<usize>)>,
    found: Vec<Option<Found>>,
    chosen: Chosen,
}

impl ByUid {
    /// `wanted` are uids with what is to be said about them; `hosts` and `until` (seconds) bound where they can be.
    #[must_use]
    pub fn new(wanted: Vec<(String, String)>, hosts: Vec<Address>, until: Option<f64>) -> Self {
        let (mut index, mut about, mut hosts) = (HashMap::new(), Vec::new(), hosts);
        hosts.sort_unstable();
        for (place, (uid, text)) in wanted.into_iter().enumerate() {
            index.insert(uid, place);
            about.push(text);
        }
        let end = until.map_or(i64::MAX, |until| nanos(until).saturating_add(AFTER));
        let found = vec![None; about.len()];
        Self { flows: Flows::new(Limits::default()), index, about, hosts, end, known: Vec::new(), found, chosen: Chosen::default() }
    }

    /// Who the sessions are between, of those that were found.
    #[must_use]
    pub fn found(&self) -> &[Option<Found>] {
        &self.found
    }

    /// The number of the session at a place of the flow table, if it is wanted.
    fn number(&mut self, place: u32, start: i64) -> Option<usize> {
        let place_ = place as usize;
        if self.known.len() <= place_ {
            self.known.resize(place_ + 1, (i64::MIN, None));
        }
        if let Some(&(since, number)) = self.known.get(place_)
            && since == start
        {
            return number;
        }
        let (uid, session) = self.flows.who(place)?;
        let number = self.index.get(&uid).copied();
        if let Some(slot) = self.known.get_mut(place_) {
            *slot = (start, number);
        }
        if let Some(slot) = number.and_then(|number| self.found.get_mut(number)) {
            slot.get_or_insert(session);
        }
        number
    }
}

impl Sink for ByUid {
    #[inline]
    fn packet(&mut self, packet: &Packet<'_>) {
        let ours = |address: &Address| self.hosts.binary_search(address).is_ok();
        if !(self.hosts.is_empty() || ours(&packet.source) || ours(&packet.target)) {
            return;
        }
        self.flows.packet(packet);
        let Some((place, start)) = self.flows.whose(packet) else { return };
        if let Some(number) = self.number(place, start).filter(|number| !self.chosen.hits.contains(number)) {
            self.chosen.hits.push(number);
        }
    }

    fn lost(&mut self, kind: &'static str, reason: &str) {
        self.chosen.lost.push((kind, reason.to_owned()));
    }

    fn fragment(&mut self, source: &Address, target: &Address, id: u32, proto: u8) {
        self.chosen.fragment = Some((*source, *target, id, proto));
    }
}

impl Choose for ByUid {
    fn begin(&mut self, time: i64, file: u32) -> bool {
        self.flows.tick(time, file);
        self.flows.done().clear();
        self.flows.events().clear();
        time <= self.end
    }

    fn chosen(&mut self) -> &mut Chosen {
        &mut self.chosen
    }

    fn comment(&self, place: usize) -> String {
        let text = self.about.get(place).map(String::as_str).unwrap_or_default();
        match self.found.get(place) {
            Some(Some((proto, orig, resp))) => {
                let end = |(address, port): &End| format!("{}:{port}", key::text(address));
                format!("{text}, {} to {}/{}", end(orig), end(resp), name(*proto))
            }
            _ => text.to_owned(),
        }
    }

    fn count(&self) -> usize {
        self.about.len()
    }
}

/// A protocol number's word.
#[must_use]
pub fn name(proto: u8) -> &'static str {
    match proto {
        6 => "tcp",
        17 => "udp",
        1 => "icmp",
        58 => "icmp6",
        _ => "ip",
    }
}
