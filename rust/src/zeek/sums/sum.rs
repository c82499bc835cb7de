//! What the sessions of a channel add up to, and the rows that say it.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::ArrowError;

use super::super::truth::PROTOCOLS;
use super::ends::Words;
use crate::batch::written;

/// Where sums stop, as in `netexfil/channels.py`.
const CAP: i64 = 1_000_000_000_000_000_000;
/// A session that sent at least so much, and so many times what it got, pushed something.
const PUSH: (i64, i64) = (16_384, 3);
/// A channel; its ends as `Words` knows them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    pub inside: u64,
    pub remote: u64,
    pub day: i32,
    pub port: u16,
    pub udp: bool,
    pub pull: bool,
}

/// What one session gives.
#[derive(Clone, Copy)]
pub struct One {
    pub key: Key,
    /// Bits of `service`: SSH, TLS, out of place, in clear.
    pub told: u8,
    pub quality: u8,
    pub protocol: u8,
    pub ts: f64,
    pub last: f64,
    pub busy: i64,
    pub low: i64,
    /// `i64::MAX`: nobody knows.
    pub high: i64,
    /// Less than 0: nobody knows.
    pub back: i64,
}

pub const SSH: u8 = 1;
pub const TLS: u8 = 2;
pub const ODD: u8 = 4;
pub const CLEAR: u8 = 8;

/// What the sessions of a channel add up to.
pub struct Sum {
    pub key: Key,
    pub clear: bool,
    pub quality: u8,
    pub protocol: u8,
    pub first: f64,
    pub last: f64,
    pub low: i64,
    pub high: Option<i64>,
    pub back: Option<i64>,
    pub busy: i64,
    /// The most that a session sent, and the rank of what it spoke.
    pub most: (i64, u64),
    pub push_low: i64,
    pub push_in: i64,
    pub push_sessions: u32,
    pub sessions: u32,
    pub blind: u32,
    pub ssh: u32,
    pub tls: u32,
    pub odd: u32,
}

fn plus(a: i64, b: i64) -> i64 {
    a.saturating_add(b).min(CAP)
}

impl Sum {
    pub fn new(one: &One, rank: u64) -> Self {
        let mut sum = Self {
            key: one.key,
            clear: true,
            quality: 0,
            protocol: one.protocol,
            first: one.ts,
            last: one.last,
            low: 0,
            high: Some(0),
            back: None,
            busy: 0,
            most: (one.low, rank),
            push_low: 0,
            push_in: 0,
            push_sessions: 0,
            sessions: 0,
            blind: 0,
            ssh: 0,
            tls: 0,
            odd: 0,
        };
        sum.add(one, rank);
        sum
    }

    pub fn add(&mut self, one: &One, rank: u64) {
        self.first = self.first.min(one.ts);
        self.last = self.last.max(one.last);
        self.sessions += 1;
        self.low = plus(self.low, one.low);
        self.high = self.high.filter(|_| one.high != i64::MAX).map(|high| plus(high, one.high));
        self.busy = self.busy.saturating_add(one.busy);
        self.quality = self.quality.max(one.quality);
        if (one.low, rank) > self.most {
            (self.most, self.protocol) = ((one.low, rank), one.protocol);
        }
        if one.back < 0 {
            self.blind += 1;
        } else {
            self.back = Some(plus(self.back.unwrap_or(0), one.back));
            if one.low >= PUSH.1.saturating_mul(one.back) && one.low >= PUSH.0 {
                self.push_low = plus(self.push_low, one.low);
                self.push_in = plus(self.push_in, one.back);
                self.push_sessions += 1;
            }
        }
        let is = |bit: u8| u32::from(one.told & bit != 0);
        self.ssh += is(SSH);
        self.tls += is(TLS);
        self.odd += is(ODD);
        self.clear &= is(CLEAR) == 1;
    }
}

/// Sums as columns of `netexfil.tables.CHANNEL`.
pub fn batch(found: &[&Sum], ends: &Words) -> Result<RecordBatch, ArrowError> {
    let word = |get: fn(&Sum) -> &'static str| -> ArrayRef { Arc::new(found.iter().map(|sum| Some(get(sum))).collect::<StringArray>()) };
    let long = |get: fn(&Sum) -> Option<i64>| -> ArrayRef { Arc::new(found.iter().map(|sum| get(sum)).collect::<Int64Array>()) };
    let count = |get: fn(&Sum) -> u32| -> ArrayRef { Arc::new(found.iter().map(|sum| Some(i64::from(get(sum)))).collect::<Int64Array>()) };
    let float = |get: fn(&Sum) -> f64| -> ArrayRef { Arc::new(found.iter().map(|sum| Some(get(sum))).collect::<Float64Array>()) };
    let small = |get: fn(&Sum) -> i32| -> ArrayRef { Arc::new(found.iter().map(|sum| Some(get(sum))).collect::<Int32Array>()) };
    #[allow(clippy::cast_precision_loss)] // below 2^53
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("day", small(|sum| sum.key.day)),
        ("inside_h", written(found, |sum, out| ends.write(sum.key.inside, out))),
        ("remote_h", written(found, |sum, out| ends.write(sum.key.remote, out))),
        ("remote_p", small(|sum| i32::from(sum.key.port))),
        ("proto", word(|sum| if sum.key.udp { "udp" } else { "tcp" })),
        ("direction", word(|sum| if sum.key.pull { "pull" } else { "out" })),
        ("protocol", word(|sum| PROTOCOLS.get(usize::from(sum.protocol)).copied().unwrap_or_default())),
        ("first_ts", float(|sum| sum.first)),
        ("last_ts", float(|sum| sum.last)),
        ("sessions", count(|sum| sum.sessions)),
        ("bytes_low", long(|sum| Some(sum.low))),
        ("bytes_high", long(|sum| sum.high)),
        ("bytes_in", long(|sum| sum.back)),
        ("in_unknown", count(|sum| sum.blind)),
        ("quality", small(|sum| i32::from(sum.quality))),
        ("push_low", long(|sum| Some(sum.push_low))),
        ("push_in", long(|sum| Some(sum.push_in))),
        ("push_sessions", count(|sum| sum.push_sessions)),
        ("max_low", long(|sum| Some(sum.most.0))),
        ("busy", float(|sum| sum.busy as f64 / 1e6)),
        ("ssh_sessions", count(|sum| sum.ssh)),
        ("tls_sessions", count(|sum| sum.tls)),
        ("odd_sessions", count(|sum| sum.odd)),
        ("clear_leg", Arc::new(found.iter().map(|sum| Some(sum.clear)).collect::<BooleanArray>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
}
