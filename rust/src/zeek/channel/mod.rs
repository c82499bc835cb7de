//! Outbound sessions summed by channel while a conn log is read: no row is made for a session.
//!
//! A thread collects rows by the hash of their channel and adds some hundred at a time to one of many tables, each small enough for
//! the cache; a channel stands in one table only, whichever thread met it.

mod order;
mod service;
mod table;
mod truth;
mod twice;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

pub use order::Order;
pub use table::{Key, Sums};
pub use truth::PROTOCOLS;

use super::keep::{Keep, Parsed};
use super::value;
use crate::side::Side;
use service::Services;
use table::{Address, Table};
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

const TABLES: usize = 64;
/// The number of the first table of IPv6 channels.
const V6: u32 = 64;
/// Rows that wait for one table.
const WAITING: usize = 128;
/// Transports other than TCP and UDP that are told apart.
const PROTOS: usize = 250;

/// What the rows of many files add up to.
pub struct Channels {
    /// A silent upload of so many bytes counts whatever its port (`outbound_volume`).
    large: i64,
    /// Tell days apart.
    daily: bool,
    v4: Vec<Mutex<Table<u32>>>,
    v6: Vec<Mutex<Table<u128>>>,
    protos: Mutex<Vec<String>>,
    seen: Mutex<Sample>,
    /// The sums may be wrong: a later part of a file was read with the wrong header.
    unsure: AtomicBool,
}

/// One channel: its ends as addresses.
pub struct Channel {
    pub inside: IpAddr,
    pub remote: IpAddr,
    pub key: Key<()>,
    pub sums: Sums,
}

impl Channels {
    pub fn new(large: i64, daily: bool) -> Self {
        Self {
            large,
            daily,
            v4: (0..TABLES).map(|_| Mutex::default()).collect(),
            v6: (0..TABLES).map(|_| Mutex::default()).collect(),
            protos: Mutex::new(vec!["tcp".into(), "udp".into()]),
            seen: Mutex::default(),
            unsure: AtomicBool::new(false),
        }
    }

    pub fn doubt(&self) {
        self.unsure.store(true, Ordering::Relaxed);
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

    /// Show every channel: its table, its place there, its sums.
    fn each(&self, each: &mut dyn FnMut(u32, u32, &Sums)) {
        fn all<A: Address>(tables: &[Mutex<Table<A>>], from: u32, each: &mut dyn FnMut(u32, u32, &Sums)) {
            for (table, number) in tables.iter().zip(from..) {
                let Ok(table) = table.lock() else { continue };
                for ((_, sums), place) in table.entries.iter().zip(0..) {
                    each(number, place, sums);
                }
            }
        }
        all(&self.v4, 0, each);
        all(&self.v6, V6, each);
    }

    fn get(&self, table: u32, place: u32) -> Option<Channel> {
        fn one<A: Address>(tables: &[Mutex<Table<A>>], table: u32, place: u32, address: fn(A) -> IpAddr) -> Option<Channel> {
            let table = tables.get(table as usize)?.lock().ok()?;
            let (Key { inside, remote, day, port, proto, pull }, sums) = *table.entries.get(place as usize)?;
            let key = Key { inside: (), remote: (), day, port, proto, pull };
            Some(Channel { inside: address(inside), remote: address(remote), key, sums })
        }
        match table.checked_sub(V6) {
            None => one(&self.v4, table, place, |bits| IpAddr::V4(bits.into())),
            Some(table) => one(&self.v6, table, place, |bits| value::canonical(bits.into())),
        }
    }
}

/// What a thread holds back of one part of a file.
pub struct Local {
    shared: Arc<Channels>,
    v4: Waiting<u32>,
    v6: Waiting<u128>,
    services: Services,
    proto: (String, u8),
    seen: Sample,
    file: u32,
}

struct Waiting<A>(Vec<Vec<(Key<A>, u64, Sums)>>);

impl<A: Address> Waiting<A> {
    fn new() -> Self {
        Self((0..TABLES).map(|_| Vec::new()).collect())
    }

    #[inline]
    fn add(&mut self, tables: &[Mutex<Table<A>>], key: Key<A>, sums: Sums) {
        let hash = key.hash();
        let place = usize::try_from(hash >> 58).unwrap_or(0);
        let Some(rows) = self.0.get_mut(place) else { return };
        rows.push((key, hash, sums));
        if rows.len() >= WAITING {
            Self::flush(rows, tables, place);
        }
    }

    fn flush(rows: &mut Vec<(Key<A>, u64, Sums)>, tables: &[Mutex<Table<A>>], place: usize) {
        if let Some(Ok(mut table)) = tables.get(place).map(Mutex::lock) {
            for (key, hash, sums) in rows.drain(..) {
                table.add(key, hash, &sums);
            }
        }
    }

    fn finish(&mut self, tables: &[Mutex<Table<A>>]) {
        for (place, rows) in self.0.iter_mut().enumerate() {
            Self::flush(rows, tables, place);
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
            seen: Sample::default(),
            file,
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
        let duration = get(8).map(|text| value::number(text.as_ref()).ok_or((8, Some("not a number")))).transpose()?;
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
        let last = ts + duration.unwrap_or(0.0);
        let tuple = twice::hash((orig, orig_p, resp, resp_p, proto));
        if self.seen.wants(tuple) {
            self.seen.add(Seen::new(tuple, self.file, get(1).as_ref().map(AsRef::as_ref), (ts, last), tcp || udp));
        }
        let moved = Moved::new(&ends, given.sides());
        let Some(way) = truth::way(&ends, service, &moved, self.shared.large) else { return Ok(()) };
        let sums = Sums {
            out: moved.out.low,
            back: moved.back.unwrap_or(0),
            first: ts,
            last,
            sessions: 1,
            blind: u32::from(moved.back.is_none()),
            protocols: 1 << truth::protocol(&ends, service, &moved),
            quality: moved.out.quality as u8,
        };
        let inward = ends.orig == Side::Public && ends.resp == Side::Inside;
        let (inside, remote) = if inward { (resp, orig) } else { (orig, resp) };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // times are not negative; later ones end at the last day
        let day = if self.shared.daily { (ts / 86_400.0) as u32 } else { 0 };
        let (port, pull) = (resp_p, way == Way::Pull);
        if let (IpAddr::V4(inside), IpAddr::V4(remote)) = (inside, remote) {
            self.v4.add(&self.shared.v4, Key { inside: inside.into(), remote: remote.into(), day, port, proto, pull }, sums);
        } else {
            self.v6.add(&self.shared.v6, Key { inside: value::bits(inside), remote: value::bits(remote), day, port, proto, pull }, sums);
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
        self.v4.finish(&self.shared.v4);
        self.v6.finish(&self.shared.v6);
        if let Ok(mut seen) = self.shared.seen.lock() {
            seen.join(std::mem::take(&mut self.seen));
        }
    }
}

fn port(text: &[u8], at: usize) -> Result<u16, Refused> {
    value::port(text).ok().and_then(|port| u16::try_from(port).ok()).ok_or((at, Some("not a port")))
}
