//! Outbound sessions summed by channel while a conn log is read: no row is made for a session.
//!
//! A thread collects rows by the hash of their channel and hands some dozens at a time to one of many tables, each small enough for
//! the cache; a channel stands in one table only, whichever thread met it. Rows of the plain kind are read by `plain` as they stand in
//! their block, all others cell by cell; both say the same (a test holds them together).

mod order;
mod plain;
mod record;
mod service;
mod sieve;
mod table;
pub(crate) mod truth;
mod twice;

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

pub use order::Order;
pub use plain::{Block, Layout, MOST, Spans, Taken};
pub use sieve::{Addresses, Families, Found, Hot, Limits, SURE, Sieve, addresses, written};
pub use truth::PROTOCOLS;

use super::keep::{Keep, Parsed};
use super::value;
use crate::side::Side;
use record::{Address, Halves, Key, Plain, Record, Sums, exact, halves};
use service::Services;
use sieve::{Met, Sifting};
use table::{Apart, CHUNK, Table};
use truth::{Counts, Ends, Given, Moved, Way};
use twice::{Sample, Seen};

/// The fields that are asked of a conn log, in this order.
pub const FIELDS: [&str; 17] = [
    "ts",
    "uid",
    "orig_h",
    "orig_p",
    "resp_h",
    "resp_p",
    "proto",
    "service",
    "duration",
    "orig_bytes",
    "resp_bytes",
    "missed_bytes",
    "history",
    "orig_pkts",
    "orig_ip_bytes",
    "resp_pkts",
    "resp_ip_bytes",
];

/// What a sieve asks beside them: the cells that may be refused and that no sum needs.
pub const FLAGS: [&str; 2] = ["local_orig", "local_resp"];

const TABLES: usize = 128;
/// The number of the first table of IPv6 channels.
const V6: u32 = 128;
/// Transports other than TCP and UDP that are told apart.
const PROTOS: usize = 250;

/// What the rows of many files add up to.
pub struct Channels {
    /// A silent upload of so many bytes counts whatever its port (`outbound_volume`).
    large: i64,
    /// Every row goes the general way, also those of the plain kind: for tests that compare the two.
    pub general: bool,
    apart: Apart,
    v4: Tables<u32>,
    v6: Tables<Halves>,
    protos: Mutex<Vec<String>>,
    seen: Mutex<Sample>,
    /// Learn which rows matter, and sum nothing.
    sieve: Option<Arc<Sieve>>,
    /// The sums may be wrong: a later part of a file was read with the wrong header.
    unsure: AtomicBool,
}

/// One channel: its ends as addresses; `day` (since 1970) is 0 where days are not told apart.
#[derive(Debug)]
pub struct Channel {
    pub inside: IpAddr,
    pub remote: IpAddr,
    pub port: u16,
    pub proto: u8,
    pub pull: bool,
    pub day: u32,
    pub sums: Sums,
}

impl Channels {
    pub fn new(large: i64, daily: bool) -> Self {
        Self {
            large,
            general: false,
            apart: Apart { seed: RandomState::new().hash_one(0), daily },
            v4: Tables::default(),
            v6: Tables::default(),
            protos: Mutex::new(vec!["tcp".into(), "udp".into()]),
            seen: Mutex::default(),
            sieve: None,
            unsure: AtomicBool::new(false),
        }
    }

    /// Nothing is summed: the rows teach a sieve.
    pub fn sieve(sieve: &Arc<Sieve>) -> Self {
        Self { sieve: Some(Arc::clone(sieve)), ..Self::new(sieve.large(), false) }
    }

    /// Whether every cell of a row must be what it must be, also those that nobody sums.
    pub fn checks(&self) -> bool {
        self.sieve.is_some()
    }

    pub fn doubt(&self) {
        self.unsure.store(true, Ordering::Relaxed);
        if let Some(sieve) = &self.sieve {
            sieve.lose();
        }
    }

    /// Whether sessions stand in the logs more than once (two sensors, reports of one session), or the sums may be wrong otherwise.
    pub fn doubtful(&self) -> bool {
        self.unsure.load(Ordering::Relaxed) || self.seen.lock().is_ok_and(|mut seen| seen.twice())
    }

    /// The names of transports by their numbers.
    pub fn protos(&self) -> Vec<String> {
        self.protos.lock().map(|protos| protos.clone()).unwrap_or_default()
    }

    fn proto(&self, name: &str) -> u8 {
        let Ok(mut protos) = self.protos.lock() else { return u8::MAX };
        let place = protos.iter().position(|known| known == name).or_else(|| {
            (protos.len() < PROTOS).then(|| {
                protos.push(name.to_owned());
                protos.len() - 1
            })
        });
        place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
    }

    /// Everything that was summed; nothing is left of it here.
    fn settled(&self) -> Settled {
        Settled { v4: self.v4.settled(self.apart), v6: self.v6.settled(self.apart), daily: self.apart.daily }
    }
}

/// Channels spread by the hashes of their keys.
struct Tables<A>(Vec<Mutex<Table<A>>>);

impl<A> Default for Tables<A> {
    fn default() -> Self {
        Self((0..TABLES).map(|_| Mutex::default()).collect())
    }
}

impl<A: Address> Tables<A> {
    fn settled(&self, apart: Apart) -> Vec<Table<A>> {
        let one = |table: &Mutex<Table<A>>| {
            let mut table = table.lock().map(|mut table| std::mem::take(&mut *table)).unwrap_or_default();
            table.fold(apart);
            table
        };
        self.0.iter().map(one).collect()
    }
}

/// All channels once everything is read.
#[derive(Default)]
pub struct Settled {
    v4: Vec<Table<u32>>,
    v6: Vec<Table<Halves>>,
    daily: bool,
}

impl Settled {
    /// Show every channel: its table, its place there, what went out, and a way to ask for all its sums.
    fn each(&self, mut each: impl FnMut(u32, u32, i64, &dyn Fn() -> Sums)) {
        for (table, number) in self.v4.iter().zip(0..) {
            table.each(|place, out, sums| each(number, place, out, sums));
        }
        for (table, number) in self.v6.iter().zip(V6..) {
            table.each(|place, out, sums| each(number, place, out, sums));
        }
    }

    fn get(&self, table: u32, place: u32) -> Option<Channel> {
        fn one<A: Address>(table: Option<&Table<A>>, place: u32) -> Option<Channel> {
            let (Key { inside, remote, port, proto, pull }, day, sums) = table?.at(place as usize)?;
            Some(Channel { inside: inside.address(), remote: remote.address(), port, proto, pull, day, sums })
        }
        let found = match table.checked_sub(V6) {
            None => one(self.v4.get(table as usize), place),
            Some(table) => one(self.v6.get(table as usize), place),
        }?;
        Some(Channel { day: if self.daily { found.day } else { 0 }, ..found })
    }
}

/// What a thread holds back of one part of a file.
pub struct Local {
    shared: Arc<Channels>,
    v4: Waiting<u32>,
    v6: Waiting<Halves>,
    services: Services,
    proto: (String, u8),
    seen: Sample,
    sieve: Option<(Arc<Sieve>, Sifting)>,
    file: u32,
}

/// Rows that wait, by table.
struct Waiting<A>(Vec<Vec<Record<A>>>);

impl<A: Address> Waiting<A> {
    fn new() -> Self {
        Self((0..TABLES).map(|_| Vec::new()).collect())
    }

    #[inline]
    fn add(&mut self, row: Record<A>, tables: &Tables<A>, apart: Apart) {
        let place = (row.hash(apart.seed) >> 57) as usize;
        let Some(rows) = self.0.get_mut(place) else { return };
        if rows.capacity() == 0 {
            rows.reserve_exact(CHUNK);
        }
        rows.push(row);
        if rows.len() == CHUNK
            && let Some(Ok(mut table)) = tables.0.get(place).map(Mutex::lock)
        {
            table.take(rows, apart);
        }
    }

    /// One session; `sums` where its numbers are too large or too fine for a record.
    fn put(&mut self, key: &Key<A>, plain: Option<&Plain>, sums: Sums, tables: &Tables<A>, apart: Apart) {
        if let Some(row) = plain.and_then(|plain| Record::plain(key, plain)) {
            return self.add(row, tables, apart);
        }
        let place = (Record::wide(key, 0).hash(apart.seed) >> 57) as usize;
        if let Some(Ok(mut table)) = tables.0.get(place).map(Mutex::lock) {
            table.add(key, sums, apart);
        }
    }

    fn finish(&mut self, tables: &Tables<A>, apart: Apart) {
        for (rows, table) in self.0.iter_mut().zip(&tables.0) {
            if let (false, Ok(mut table)) = (rows.is_empty(), table.lock()) {
                table.take(rows, apart);
            }
        }
    }
}

/// Why a row is refused: the place of its field, and what was expected there (`None`: anything).
pub type Refused = (usize, Option<value::Bad>);

impl Local {
    pub fn new(shared: &Arc<Channels>, file: u32) -> Self {
        Self {
            shared: Arc::clone(shared),
            v4: Waiting::new(),
            v6: Waiting::new(),
            services: Services::default(),
            proto: ("tcp".into(), 0),
            // What is not to be kept at the end need not be looked at.
            seen: shared.seen.lock().map(|seen| seen.alike()).unwrap_or_default(),
            sieve: shared.sieve.as_ref().map(|sieve| (Arc::clone(sieve), Sifting::default())),
            file,
        }
    }

    /// A row is refused.
    pub fn refuse(&mut self) {
        if let Some((_, sifting)) = &mut self.sieve {
            sifting.refuse();
        }
    }

    /// One conn row that runs to outside or from there, whose cells `get` gives by their places in `FIELDS`.
    ///
    /// # Errors
    /// A cell is not what it must be.
    #[inline]
    pub fn add<T: AsRef<[u8]>>(&mut self, keep: &Keep, parsed: Option<Parsed>, get: impl Fn(usize) -> Option<T>) -> Result<(), Refused> {
        let need = |at: usize| get(at).ok_or((at, None));
        let ts = value::time(need(0)?.as_ref()).map_err(|bad| (0, Some(bad)))?;
        let place = |at: usize| keep.place(need(at)?.as_ref()).ok_or((at, Some("not an address")));
        let orig_p = port(need(3)?.as_ref(), 3)?;
        let Parsed { orig: (orig, orig_side), resp: (resp, resp_side), port: resp_p } = match parsed {
            Some(parsed) => parsed,
            None => Parsed { orig: place(2)?, resp: place(4)?, port: port(need(5)?.as_ref(), 5)? },
        };
        let proto = self.proto(need(6)?.as_ref());
        let service = self.services.of(get(7).as_ref().map(AsRef::as_ref));
        let duration = get(8).map(|text| value::seconds(text.as_ref()).ok_or((8, Some("not a number")))).transpose()?;
        let count = |at: usize| get(at).map(|text| value::whole(text.as_ref())).transpose().map_err(|bad| (at, Some(bad)));
        let bytes = [count(9)?, count(10)?];
        let gaps = count(11)?.unwrap_or(0);
        let history = get(12);
        let orig_counts = Counts { bytes: bytes[0], pkts: count(13)?, ip_bytes: count(14)? };
        let resp_counts = Counts { bytes: bytes[1], pkts: count(15)?, ip_bytes: count(16)? };
        let (tcp, udp) = (proto == 0, proto == 1);
        let given = Given {
            orig: orig_counts,
            resp: resp_counts,
            history: history.as_ref().map(AsRef::as_ref).unwrap_or_default(),
            gaps,
            tcp,
            v6: orig.is_ipv6(),
        };
        let ends = Ends { orig: orig_side, resp: resp_side, port: resp_p, tcp, udp, watched: keep.watched(resp_p) };
        if let Some((sieve, sifting)) = &mut self.sieve {
            let [orig, resp] = [orig, resp].map(|address| halves(value::bits(address)));
            let uid = if sieve.names_sessions() { get(1) } else { None };
            let uid = uid.as_ref().map(AsRef::as_ref);
            #[allow(clippy::cast_possible_truncation)] // a day, or the nearest that there is
            let day = (ts / 86_400.0).floor() as i32;
            sifting.met(sieve, &Met { orig, resp, uid, day, ends: &ends, service, sides: given.sides() });
            return Ok(());
        }
        let last = ts + duration.unwrap_or(0.0);
        let tuple = match (orig, resp) {
            (IpAddr::V4(orig), IpAddr::V4(resp)) => twice::hash((u32::from(orig), orig_p, resp.into(), resp_p, proto)),
            _ => twice::hash((halves(value::bits(orig)), orig_p, halves(value::bits(resp)), resp_p, proto)),
        };
        if self.seen.wants(tuple) {
            self.seen.add(Seen::new(tuple, self.file, get(1).as_ref().map(AsRef::as_ref), (ts, last), tcp || udp));
        }
        let moved = Moved::new(&ends, given.sides());
        let Some(way) = truth::way(&ends, service, &moved, self.shared.large) else { return Ok(()) };
        let inward = ends.orig == Side::Public && ends.resp == Side::Inside;
        let (inside, remote) = if inward { (resp, orig) } else { (orig, resp) };
        let (port, pull) = (resp_p, way == Way::Pull);
        let protocol = truth::protocol(&ends, service, &moved);
        let count = |bytes: i64| u64::try_from(bytes).ok();
        let plain = exact(ts).zip(exact(duration.unwrap_or(0.0))).zip(count(moved.out.low)).map(|((start, duration), out)| Plain {
            start,
            duration,
            out,
            back: moved.back.and_then(count),
            protocol,
            quality: moved.out.quality as u8,
        });
        let sums = Sums {
            out: moved.out.low,
            back: moved.back.unwrap_or(0),
            first: ts,
            last,
            sessions: 1,
            blind: u32::from(moved.back.is_none()),
            protocols: 1 << protocol,
            quality: moved.out.quality as u8,
        };
        if let (IpAddr::V4(inside), IpAddr::V4(remote)) = (inside, remote) {
            let key = Key { inside: inside.into(), remote: remote.into(), port, proto, pull };
            self.v4.put(&key, plain.as_ref(), sums, &self.shared.v4, self.shared.apart);
        } else {
            let [inside, remote] = [inside, remote].map(|address| halves(value::bits(address)));
            let key = Key { inside, remote, port, proto, pull };
            self.v6.put(&key, plain.as_ref(), sums, &self.shared.v6, self.shared.apart);
        }
        Ok(())
    }

    fn proto(&mut self, raw: &[u8]) -> u8 {
        match raw {
            b"tcp" => 0,
            b"udp" => 1,
            _ => {
                let name = String::from_utf8_lossy(raw).to_ascii_lowercase();
                if self.proto.0 != name {
                    self.proto = (name.clone(), self.shared.proto(&name));
                }
                self.proto.1
            }
        }
    }

    /// Add everything that waits.
    pub fn finish(&mut self) {
        self.v4.finish(&self.shared.v4, self.shared.apart);
        self.v6.finish(&self.shared.v6, self.shared.apart);
        if let Some((sieve, sifting)) = &mut self.sieve {
            sifting.finish(sieve, self.file);
            return;
        }
        if let Ok(mut seen) = self.shared.seen.lock() {
            seen.join(std::mem::take(&mut self.seen));
        }
    }
}

fn port(text: &[u8], at: usize) -> Result<u16, Refused> {
    value::port(text).ok().and_then(|port| u16::try_from(port).ok()).ok_or((at, Some("not a port")))
}
