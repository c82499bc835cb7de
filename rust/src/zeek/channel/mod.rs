//! Outbound sessions summed by channel while a conn log is read: no row is made for a session.
//!
//! A thread collects rows by the hash of their channel and hands some dozens at a time to one of many tables, each small enough for
//! the cache; a channel stands in one table only, whichever thread met it. Rows of the plain kind are read by `plain` as they stand in
//! their block, all others cell by cell; both say the same (a test holds them together).

mod hot;
mod lines;
mod local;
mod order;
mod places;
mod plain;
mod reach;
mod record;
mod service;
mod sieve;
mod spread;
mod table;
pub(crate) mod truth;
mod twice;

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

pub use hot::{Addresses, Families, Hot, addresses, written};
pub use local::Local;
pub use order::Order;
pub(super) use record::fold;
pub(super) use service::Services;
pub use places::{Layout, Spans};
pub use plain::{Block, Scratch, Taken};
pub use reach::{Reach, Wanted};
pub use sieve::{Found, Limits, SURE, Sieve};
pub use truth::PROTOCOLS;

use record::{Address, Halves, Key, Origin, Sums};
use spread::Tables;
use table::{Apart, Table};
use twice::Sample;

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
    origin: Origin,
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
            apart: Apart { seed: RandomState::new().hash_one(0), daily, origin: 0 },
            origin: Origin::default(),
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
        let apart = self.apart();
        Settled { v4: self.v4.settled(apart), v6: self.v6.settled(apart), apart }
    }

    /// For records that are there.
    fn apart(&self) -> Apart {
        Apart { origin: self.origin.get(), ..self.apart }
    }

    /// For a record that begins then, in microseconds.
    #[inline]
    fn apart_from(&self, start: u64) -> Apart {
        Apart { origin: self.origin.of(start), ..self.apart }
    }
}

/// All channels once everything is read.
#[derive(Default)]
pub struct Settled {
    v4: Vec<Table<u32>>,
    v6: Vec<Table<Halves>>,
    apart: Apart,
}

impl Settled {
    /// Show every channel: its table, its place there, what went out, and a way to ask for all its sums.
    fn each(&self, mut each: impl FnMut(u32, u32, i64, &dyn Fn() -> Sums)) {
        for (table, number) in self.v4.iter().zip(0..) {
            table.each(self.apart.origin, |place, out, sums| each(number, place, out, sums));
        }
        for (table, number) in self.v6.iter().zip(V6..) {
            table.each(self.apart.origin, |place, out, sums| each(number, place, out, sums));
        }
    }

    fn get(&self, table: u32, place: u32) -> Option<Channel> {
        fn one<A: Address>(table: Option<&Table<A>>, place: u32, origin: u64) -> Option<Channel> {
            let (Key { inside, remote, port, proto, pull }, day, sums) = table?.at(place as usize, origin)?;
            Some(Channel { inside: inside.address(), remote: remote.address(), port, proto, pull, day, sums })
        }
        let found = match table.checked_sub(V6) {
            None => one(self.v4.get(table as usize), place, self.apart.origin),
            Some(table) => one(self.v6.get(table as usize), place, self.apart.origin),
        }?;
        Some(Channel { day: if self.apart.daily { found.day } else { 0 }, ..found })
    }
}
