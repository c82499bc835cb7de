//! Finished sessions kept until all are there, to be handed out by their start: who lists them need not sort the wide rows.

use std::borrow::Cow;
use std::collections::VecDeque;

use crate::batch::seconds;
use crate::decode::{Address, Tunnel};
use crate::flow::history::History;
use crate::flow::key::{self, Key};
use crate::session::{Facts, Quality, Session, Side};

/// Start in seconds, as it is shown, as a number that comes in the same order; block and place in it.
type Place = (i64, u32, u32);

/// The order of `f64::total_cmp`.
fn ordered(value: f64) -> i64 {
    let bits = value.to_bits().cast_signed();
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

/// Different services, hints and states that have a number; sessions with another one are kept as they are.
const NAMES: usize = 128;
/// What a count cannot be, so that it says that there is none.
const NONE: u32 = u32::MAX;

/// A session in less than half of its room.
struct Packed {
    a: Address,
    b: Address,
    start: i64,
    last: i64,
    history: u64,
    facts: Option<Box<Facts>>,
    /// Bytes, packets, IP bytes, low, high; of the originator, then of the responder. Of a session kept as it is: its place.
    counts: [u32; 10],
    missed: u32,
    network: u32,
    file: u32,
    ports: (u16, u16),
    proto: u8,
    service: u8,
    hints: u8,
    state: u8,
    quality: (Quality, Quality),
    one_way: bool,
    orig_is_a: bool,
    whole: bool,
}

/// Names that sessions share, by number.
struct Names<T>(Vec<T>);

impl<T: PartialEq + Clone> Names<T> {
    fn number(&mut self, name: &T) -> Option<u8> {
        let found = self.0.iter().position(|known| known == name);
        let number = found.unwrap_or(self.0.len());
        if number == self.0.len() {
            if number == NAMES {
                return None;
            }
            self.0.push(name.clone());
        }
        u8::try_from(number).ok()
    }
}

#[derive(Default)]
pub struct Held {
    blocks: VecDeque<Vec<Packed>>,
    /// Those that do not fit into `Packed`.
    whole: Vec<Option<Session>>,
    services: Names<Option<Cow<'static, str>>>,
    states: Names<&'static str>,
    /// Bytes that they take, about.
    size: usize,
    order: Option<std::vec::IntoIter<Place>>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl Held {
    /// Keep some more; false where all together take more than `limit` bytes.
    pub fn put(&mut self, block: Vec<Session>, limit: usize) -> bool {
        // not collected, which would go on using the room of the block
        let mut packed = Vec::with_capacity(block.len());
        packed.extend(block.into_iter().map(|session| self.pack(session)));
        self.blocks.push_back(packed);
        self.size <= limit
    }

    /// From now on they come by start, and by uid where it is the same.
    pub fn sort(&mut self) {
        let places = |(number, block): (usize, &Vec<Packed>)| {
            let number = number as u32;
            block.iter().enumerate().map(move |(place, packed)| (ordered(seconds(packed.start)), number, place as u32)).collect::<Vec<Place>>()
        };
        let mut order: Vec<Place> = Vec::with_capacity(self.blocks.iter().map(Vec::len).sum());
        order.extend(self.blocks.iter().enumerate().flat_map(places));
        // Few begin at the same time, so that they come into order by themselves.
        order.sort_unstable();
        let uid = |place: &Place| self.blocks.get(place.1 as usize)?.get(place.2 as usize).map(|packed| key::uid(&packed.key(), packed.start));
        order.chunk_by_mut(|one, other| one.0 == other.0).filter(|same| same.len() > 1).for_each(|same| same.sort_by_cached_key(uid));
        self.order = Some(order.into_iter());
    }

    /// The two ends of each.
    pub fn ends(&self) -> impl Iterator<Item = (&Address, &Address)> {
        self.blocks.iter().flatten().map(|packed| (&packed.a, &packed.b))
    }

    /// The next ones, at most `count` where they are sorted; `None` where none is left.
    pub fn take(&mut self, count: usize) -> Option<Vec<Session>> {
        let mut order = self.order.take();
        let Some(places) = &mut order else {
            let mut block = self.blocks.pop_front()?;
            return Some(block.iter_mut().map(|packed| self.unpack(packed)).collect());
        };
        let mut next = Vec::with_capacity(count.min(places.len()));
        let mut blocks = std::mem::take(&mut self.blocks);
        for (_, block, place) in places.take(count) {
            next.extend(blocks.get_mut(block as usize).and_then(|block| block.get_mut(place as usize)).map(|packed| self.unpack(packed)));
        }
        if next.is_empty() {
            *self = Self::default();
            return None;
        }
        (self.blocks, self.order) = (blocks, order);
        Some(next)
    }

    fn pack(&mut self, mut session: Session) -> Packed {
        self.size += size_of::<Packed>() + session.facts.as_deref().map_or(0, told);
        let Key { a, b, a_port, b_port, proto, one_way, network } = session.key;
        let mut packed = Packed {
            a, b, start: session.start, last: session.last, history: 0, facts: None, counts: [0; 10], missed: 0, network, file: session.file,
            ports: (a_port, b_port), proto, service: 0, hints: 0, state: 0, quality: (session.orig.quality, session.resp.quality), one_way,
            orig_is_a: session.orig_is_a, whole: false,
        };
        if self.fit(&mut packed, &session).is_some() {
            packed.facts = session.facts.take();
        } else {
            self.size += size_of::<Session>();
            packed.whole = true;
            packed.counts = [self.whole.len() as u32; 10];
            self.whole.push(Some(session));
        }
        packed
    }

    /// All of a session that may not fit.
    fn fit(&mut self, packed: &mut Packed, session: &Session) -> Option<()> {
        let [ob, op, oi, ol, oh] = counts(&session.orig)?;
        let [rb, rp, ri, rl, rh] = counts(&session.resp)?;
        packed.counts = [ob, op, oi, ol, oh, rb, rp, ri, rl, rh];
        packed.history = session.history.word()?;
        packed.missed = count(Some(session.missed_bytes))?;
        packed.service = self.services.number(&session.service)?;
        packed.hints = self.services.number(&session.hints)?;
        packed.state = self.states.number(&session.conn_state)?;
        (session.tunnel == Tunnel::default()).then_some(())
    }

    fn unpack(&mut self, packed: &mut Packed) -> Session {
        let [ob, op, oi, ol, oh, rb, rp, ri, rl, rh] = packed.counts;
        if packed.whole {
            return self.whole.get_mut(ob as usize).and_then(Option::take).unwrap_or_default();
        }
        let name = |number: u8| self.services.0.get(usize::from(number)).cloned().flatten();
        Session {
            key: packed.key(),
            orig_is_a: packed.orig_is_a,
            start: packed.start,
            last: packed.last,
            service: name(packed.service),
            orig: side([ob, op, oi, ol, oh], packed.quality.0),
            resp: side([rb, rp, ri, rl, rh], packed.quality.1),
            conn_state: self.states.0.get(usize::from(packed.state)).copied().unwrap_or_default(),
            missed_bytes: u64::from(packed.missed),
            history: History::of(packed.history),
            facts: packed.facts.take(),
            tunnel: Tunnel::default(),
            hints: name(packed.hints),
            file: packed.file,
        }
    }
}

impl Packed {
    fn key(&self) -> Key {
        let Self { a, b, ports: (a_port, b_port), proto, one_way, network, .. } = *self;
        Key { a, b, a_port, b_port, proto, one_way, network }
    }
}

fn count(value: Option<u64>) -> Option<u32> {
    value.map_or(Some(NONE), |value| u32::try_from(value).ok().filter(|count| *count != NONE))
}

fn counts(side: &Side) -> Option<[u32; 5]> {
    Some([count(side.bytes)?, count(Some(side.pkts))?, count(Some(side.ip_bytes))?, count(Some(side.low))?, count(side.high)?])
}

fn side([bytes, pkts, ip_bytes, low, high]: [u32; 5], quality: Quality) -> Side {
    let some = |count: u32| (count != NONE).then_some(u64::from(count));
    let [pkts, ip_bytes, low] = [pkts, ip_bytes, low].map(u64::from);
    Side { bytes: some(bytes), pkts, ip_bytes, low, high: some(high), quality }
}

/// What its hellos take.
fn told(facts: &Facts) -> usize {
    let texts = [
        &facts.server_name, &facts.tls_version, &facts.alpn, &facts.ja3, &facts.ja4, &facts.cert_subject, &facts.cert_issuer,
        &facts.cert_fingerprint, &facts.ssh_client, &facts.ssh_server, &facts.hassh, &facts.hassh_server,
    ];
    size_of::<Facts>() + texts.into_iter().flatten().map(String::len).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: i64, port: u16) -> Session {
        let mut session = Session { start, ..Session::default() };
        session.key.a_port = port;
        session
    }

    /// Sessions that fit, and such that do not for one reason each.
    fn various() -> Vec<Session> {
        let mut long = History::default();
        b"ShADadFfRrTtCcGg".iter().for_each(|letter| long.push(*letter));
        let side = |bytes, high, low| Side { bytes, high, low, pkts: 3, ip_bytes: 99, quality: Quality::Bounded };
        let facts = Some(Box::new(Facts { alpn: Some("h2".into()), ..Facts::default() }));
        vec![
            Session { orig_is_a: true, service: Some("ssl".into()), facts, conn_state: "SF", last: 7, missed_bytes: 5, file: 2, ..at(1, 2) },
            Session { orig: side(None, None, 8), resp: side(Some(0), Some(9), 1), hints: Some("open".into()), ..at(2, 1) },
            Session { orig: side(Some(u64::from(NONE)), Some(1 << 40), 0), ..at(3, 1) },
            Session { history: long, conn_state: "RSTO", ..at(4, 1) },
            Session { tunnel: Tunnel::GRE, missed_bytes: 1 << 33, ..at(5, 1) },
        ]
    }

    #[test]
    fn they_come_out_as_they_went_in() {
        let mut held = Held::default();
        assert!(held.put(various(), usize::MAX));
        let told = |sessions: &[Session]| format!("{sessions:?}");
        assert_eq!(held.whole.len(), 3);
        held.sort();
        assert_eq!(held.take(9).map(|found| told(&found)), Some(told(&various())));
    }

    #[test]
    fn more_names_than_have_a_number() {
        let mut held = Held::default();
        let names = || (0..300).map(|n| Session { service: Some(format!("s{n}").into()), ..at(n, 1) }).collect::<Vec<_>>();
        assert!(held.put(names(), usize::MAX));
        let found: Vec<_> = std::iter::from_fn(|| held.take(1)).flatten().map(|s| s.service).collect();
        assert_eq!(found, names().into_iter().map(|s| s.service).collect::<Vec<_>>());
    }

    #[test]
    fn sorted_by_the_start_that_is_shown_then_by_uid() {
        let mut held = Held::default();
        let starts = [3_000, 1_000, 2_000, 2_000, 2_000, 0];
        let blocks: Vec<Vec<Session>> = starts.chunks(2).enumerate().map(|(n, c)| c.iter().map(|s| at(*s, n as u16)).collect()).collect();
        for block in blocks {
            assert!(held.put(block, usize::MAX));
        }
        held.sort();
        let mut found = Vec::new();
        while let Some(some) = held.take(4) {
            assert!(some.len() <= 4);
            found.extend(some);
        }
        let told: Vec<_> = found.iter().map(|s| (s.start, s.uid())).collect();
        let mut expected = told.clone();
        expected.sort();
        assert_eq!((told.len(), told), (6, expected));
        assert!(held.take(1).is_none());
    }

    #[test]
    fn unsorted_they_come_as_they_were_put_and_the_limit_is_told() {
        let mut held = Held::default();
        assert!(held.put(vec![at(5, 1)], size_of::<Packed>()));
        assert!(!held.put(vec![at(3, 1)], size_of::<Packed>()));
        let starts: Vec<i64> = std::iter::from_fn(|| held.take(1)).flatten().map(|s| s.start).collect();
        assert_eq!(starts, [5, 3]);
    }
}
