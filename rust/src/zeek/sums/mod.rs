//! Outbound sessions summed by channel and day while the rows of conn logs are handed out: what conn rows alone say, by the rules of
//! `netexfil/outbound.py` and `netexfil/channels.py` (a test holds them together).

mod ends;
mod sum;

use std::collections::{HashMap, HashSet};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int8Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrowPrimitiveType, PrimitiveArray, RecordBatch, StringArray};
use arrow_schema::ArrowError;

use super::channel::{Services, fold};
use super::truth::{self, Counts, Ends, Given, Moved, PROTOCOLS, Way};
use crate::side::Side;
use ends::Words;
use sum::{CLEAR, Key, ODD, One, SSH, Sum, TLS};

/// Microseconds that a double holds one by one.
const EXACT: i64 = 1 << 53;

/// Tables that channels are spread over, and the rows that wait for one: each table is small enough for the cache while its rows are added.
const SHARES: usize = 128;
const WAITING: usize = 2_048;

#[derive(Default)]
struct Share {
    waiting: Vec<One>,
    places: HashMap<Key, usize>,
    sums: Vec<Sum>,
}

/// Rows of conn logs, summed.
pub struct Sums {
    large: i64,
    watched: HashSet<u16>,
    served: HashSet<u16>,
    ranks: Vec<u64>,
    most: usize,
    shares: Vec<Share>,
    reads: HashSet<(u64, i32)>,
    ends: Words,
    pub rows: u64,
    /// The sums are not those of the rows.
    lost: bool,
    services: Services,
}

/// The columns of a batch that are asked.
struct Rows<'a> {
    floats: [&'a PrimitiveArray<Float64Type>; 2],
    texts: [&'a StringArray; 5],
    port: &'a PrimitiveArray<Int32Type>,
    counts: [&'a PrimitiveArray<Int64Type>; 7],
    sides: [&'a PrimitiveArray<Int8Type>; 2],
}

fn value<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    (!column.is_null(row)).then(|| column.value(row))
}

fn text(column: &StringArray, row: usize) -> Option<&str> {
    (!column.is_null(row)).then(|| column.value(row))
}

impl<'a> Rows<'a> {
    fn new(batch: &'a RecordBatch) -> Option<Self> {
        let get = |name: &str| batch.column_by_name(name);
        let float = |name| get(name)?.as_primitive_opt::<Float64Type>();
        let string = |name| get(name)?.as_string_opt::<i32>();
        let count = |name| get(name)?.as_primitive_opt::<Int64Type>();
        let side = |name| get(name)?.as_primitive_opt::<Int8Type>();
        Some(Self {
            floats: [float("ts")?, float("duration")?],
            texts: [string("orig_h")?, string("resp_h")?, string("proto")?, string("service")?, string("history")?],
            port: get("resp_p")?.as_primitive_opt::<Int32Type>()?,
            counts: [
                count("missed_bytes")?,
                count("orig_bytes")?,
                count("orig_pkts")?,
                count("orig_ip_bytes")?,
                count("resp_bytes")?,
                count("resp_pkts")?,
                count("resp_ip_bytes")?,
            ],
            sides: [side("orig_side")?, side("resp_side")?],
        })
    }
}

fn placed(code: Option<i8>) -> Side {
    match code {
        Some(1) => Side::Inside,
        Some(2) => Side::Public,
        _ => Side::Other,
    }
}

impl Sums {
    /// `large`: a silent upload of so many bytes counts whatever its port. `served`: ports that data is read from within. `ranks`: for each of `PROTOCOLS` what decides between sessions that
    /// sent as much, the larger one. Of more than `most` channels none is summed.
    #[must_use]
    pub fn new(large: i64, watched: Vec<u16>, served: Vec<u16>, ranks: Vec<u64>, most: usize) -> Self {
        Self {
            large,
            watched: watched.into_iter().collect(),
            served: served.into_iter().collect(),
            ranks,
            most,
            shares: (0..SHARES).map(|_| Share::default()).collect(),
            reads: HashSet::new(),
            ends: Words::default(),
            rows: 0,
            lost: false,
            services: Services::default(),
        }
    }

    /// Add the rows of a batch of conn.
    pub fn add(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows() as u64;
        if !self.lost && self.batch(batch).is_none() {
            self.lose();
        }
    }

    fn lose(&mut self) {
        self.lost = true;
        self.shares = Vec::new();
        self.reads = HashSet::new();
        self.ends = Words::default();
    }

    /// `None`: some row cannot be summed.
    fn batch(&mut self, batch: &RecordBatch) -> Option<()> {
        let rows = Rows::new(batch)?;
        for row in 0..batch.num_rows() {
            let Some(one) = self.one(&rows, row)? else { continue };
            let ends = fold(one.key.inside.rotate_left(32) ^ one.key.remote, 0xa076_1d64_78bd_642f);
            #[allow(clippy::cast_possible_truncation)] // cut to the shares
            let share = self.shares.get_mut(ends as usize % SHARES)?;
            share.waiting.push(one);
            if share.waiting.len() == WAITING {
                share.settle(&self.ranks);
                if self.reads.len() + self.shares.iter().map(|share| share.sums.len()).sum::<usize>() > self.most {
                    return None;
                }
            }
        }
        Some(())
    }

    /// What a row gives; `Some(None)`: it does not count. `None`: it cannot be summed.
    fn one(&mut self, rows: &Rows<'_>, row: usize) -> Option<Option<One>> {
        let [orig, resp, proto, service, history] = rows.texts.map(|column| text(column, row));
        let (orig, resp, proto) = (orig?, resp?, proto?);
        let port = u16::try_from(value(rows.port, row)?).ok()?;
        let [gaps, a, b, c, d, e, f] = rows.counts.map(|column| value(column, row));
        let (tcp, udp) = (proto == "tcp", proto == "udp");
        let given = Given {
            orig: Counts { bytes: a, pkts: b, ip_bytes: c },
            resp: Counts { bytes: d, pkts: e, ip_bytes: f },
            history: history.unwrap_or_default().as_bytes(),
            gaps: gaps.unwrap_or(0),
            tcp,
            v6: orig.contains(':'),
        };
        let [from, to] = rows.sides.map(|column| placed(value(column, row)));
        let ends = Ends { orig: from, resp: to, port, tcp, udp, watched: self.watched.contains(&port) };
        let service = self.services.of(service.map(str::as_bytes));
        let moved = Moved::new(&ends, given.sides());
        let [ts, duration] = rows.floats.map(|column| value(column, row));
        let (ts, duration) = (ts?, duration.unwrap_or(0.0));
        #[allow(clippy::cast_possible_truncation)] // times are within years that have four digits
        let (day, busy) = ((ts / 86_400.0).floor() as i32, (duration * 1e6).round() as i64);
        if !matches!((from, to), (Side::Inside | Side::Public, Side::Public) | (Side::Public, Side::Inside)) && self.served.contains(&port) {
            let host = self.ends.number(orig);
            self.reads.insert((host, day));
        }
        let Some(way) = truth::way(&ends, service, &moved, self.large) else { return Some(None) };
        if !(tcp || udp) {
            return None;
        }
        let protocol = truth::protocol(&ends, service, &moved);
        let (inside, remote) = if ends.inward() { (resp, orig) } else { (orig, resp) };
        let key = Key { inside: self.ends.number(inside), remote: self.ends.number(remote), day, port, udp, pull: way == Way::Pull };
        let tls = service.ssl || service.quic;
        let odd = (service.ssh && port != 22) || (tls && matches!(port, 22 | 80 | 53 | 21) && !(port == 21 && service.ftp));
        let clear = tcp && !tls && !service.ssh && matches!(PROTOCOLS.get(usize::from(protocol)), Some(&("HTTP" | "Unknown" | "FTP")));
        let told = [(service.ssh, SSH), (tls, TLS), (odd, ODD), (clear, CLEAR)];
        Some(Some(One {
            key,
            told: told.iter().map(|(is, bit)| u8::from(*is) * bit).sum(),
            quality: moved.out.quality as u8,
            protocol,
            ts,
            last: ts + duration,
            busy,
            low: moved.out.low,
            high: given.high(ends.inward(), &moved.out),
            back: moved.back.unwrap_or(-1),
        }))
    }

    /// Hosts and days with sessions that do not run to outside or from there, on ports that data is read from.
    #[must_use]
    pub fn reads(&self) -> Vec<(String, i32)> {
        let text = |number| {
            let mut text = String::new();
            self.ends.write(number, &mut text);
            text
        };
        self.reads.iter().map(|(host, day)| (text(*host), *day)).collect()
    }

    /// One row a channel; nothing is left here. `None`: the sums are not those of the rows.
    pub fn take(&mut self) -> Option<Result<RecordBatch, ArrowError>> {
        for share in &mut self.shares {
            share.settle(&self.ranks);
        }
        let found: Vec<&Sum> = self.shares.iter().flat_map(|share| &share.sums).collect();
        let sound = !self.lost && found.len() <= self.most && found.iter().all(|sum| sum.busy < EXACT);
        let made = sound.then(|| sum::batch(&found, &self.ends));
        self.lose();
        made
    }
}

impl Share {
    /// Add what waits.
    fn settle(&mut self, ranks: &[u64]) {
        for one in self.waiting.drain(..) {
            let rank = ranks.get(usize::from(one.protocol)).copied().unwrap_or(0);
            let place = *self.places.entry(one.key).or_insert(self.sums.len());
            match self.sums.get_mut(place) {
                Some(sum) => sum.add(&one, rank),
                None => self.sums.push(Sum::new(&one, rank)),
            }
        }
    }
}
