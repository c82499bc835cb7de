//! Sessions to Arrow: one table says every column once.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int8Array, Int32Array, Int64Array, RecordBatch, new_null_array};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};

use crate::decode::{Address, Tunnel};
use crate::flow::key;
use crate::session::{Facts, Session};
use crate::side::Networks;

/// Names of the files, by their numbers.
pub type Names = [Arc<str>];

/// One column: its name, its type, and how to read it from the sessions.
type Column = (&'static str, DataType, fn(&[Session], &Names) -> ArrayRef);

macro_rules! column {
    ($name:literal, Utf8, |$s:ident| $value:expr) => {
        ($name, DataType::Utf8, |rows, _| texts(rows, |$s| $value))
    };
    ($name:literal, $ty:ident, $array:ident, |$s:ident| $value:expr) => {
        ($name, DataType::$ty, |rows, _| Arc::new(rows.iter().map(|$s: &Session| $value).collect::<$array>()) as ArrayRef)
    };
}

/// A fact of the hellos.
macro_rules! fact {
    ($name:literal, $field:ident) => {
        ($name, DataType::Utf8, |rows, _| facts(rows, |facts| facts.$field.as_deref()))
    };
}

fn whole(value: u64) -> Option<i64> {
    Some(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Seconds. Microseconds are exact in a double until 2255.
pub fn seconds(nanos: i64) -> f64 {
    if nanos % 1_000 == 0 { (nanos / 1_000) as f64 / 1e6 } else { nanos as f64 / 1e9 }
}

/// Bytes of text that a value of a column takes, to begin with.
const USUAL: usize = 16;

fn texts<'a>(rows: &'a [Session], read: impl Fn(&'a Session) -> Option<&'a str>) -> ArrayRef {
    let mut column = StringBuilder::with_capacity(rows.len(), rows.len() * USUAL);
    rows.iter().for_each(|row| column.append_option(read(row)));
    Arc::new(column.finish())
}

fn facts(rows: &[Session], read: fn(&Facts) -> Option<&str>) -> ArrayRef {
    if rows.iter().all(|row| row.facts.is_none()) {
        return new_null_array(&DataType::Utf8, rows.len());
    }
    let size = rows.iter().filter_map(|row| row.facts.as_deref().and_then(read)).map(str::len).sum();
    let mut column = StringBuilder::with_capacity(rows.len(), size);
    rows.iter().for_each(|row| column.append_option(row.facts.as_deref().and_then(read)));
    Arc::new(column.finish())
}

/// A column whose values are written into one reused string.
pub fn written<Row>(rows: &[Row], write: impl Fn(&Row, &mut String)) -> ArrayRef {
    let mut column = StringBuilder::with_capacity(rows.len(), rows.len() * USUAL);
    let mut text = String::new();
    for row in rows {
        text.clear();
        write(row, &mut text);
        column.append_value(&text);
    }
    Arc::new(column.finish())
}

/// A column of ASCII.
fn letters<const N: usize>(rows: &[Session], read: fn(&Session) -> [u8; N]) -> ArrayRef {
    let mut column = StringBuilder::with_capacity(rows.len(), rows.len() * N);
    rows.iter().for_each(|row| column.append_value(std::str::from_utf8(&read(row)).unwrap_or_default()));
    Arc::new(column.finish())
}

fn tunnels(rows: &[Session]) -> ArrayRef {
    if rows.iter().all(|row| row.tunnel == Tunnel::default()) {
        return new_null_array(&DataType::Utf8, rows.len());
    }
    let mut column = StringBuilder::new();
    rows.iter().for_each(|row| column.append_option(row.tunnel.text()));
    Arc::new(column.finish())
}

/// The columns of `netexfil.tables.SESSION` that a reader fills, in their order.
const COLUMNS: &[Column] = &[
    column!("ts", Float64, Float64Array, |s| Some(seconds(s.start))),
    ("uid", DataType::Utf8, |rows, _| letters(rows, Session::uid)),
    ("orig_h", DataType::Utf8, |rows, _| written(rows, |s: &Session, out| key::write(s.origin().0, out))),
    column!("orig_p", Int32, Int32Array, |s| Some(i32::from(s.origin().1))),
    ("resp_h", DataType::Utf8, |rows, _| written(rows, |s: &Session, out| key::write(s.responder().0, out))),
    column!("resp_p", Int32, Int32Array, |s| Some(i32::from(s.responder().1))),
    column!("proto", Utf8, |s| Some(s.proto())),
    column!("service", Utf8, |s| s.service.as_deref()),
    column!("duration", Float64, Float64Array, |s| s.lasted().map(seconds)),
    column!("orig_bytes", Int64, Int64Array, |s| s.orig.bytes.and_then(whole)),
    column!("resp_bytes", Int64, Int64Array, |s| s.resp.bytes.and_then(whole)),
    column!("conn_state", Utf8, |s| Some(s.conn_state)),
    column!("local_orig", Boolean, BooleanArray, |_s| None::<bool>),
    column!("local_resp", Boolean, BooleanArray, |_s| None::<bool>),
    column!("missed_bytes", Int64, Int64Array, |s| whole(s.missed_bytes)),
    ("history", DataType::Utf8, |rows, _| written(rows, |s: &Session, out| s.history.write(out))),
    column!("orig_pkts", Int64, Int64Array, |s| whole(s.orig.pkts)),
    column!("orig_ip_bytes", Int64, Int64Array, |s| whole(s.orig.ip_bytes)),
    column!("resp_pkts", Int64, Int64Array, |s| whole(s.resp.pkts)),
    column!("resp_ip_bytes", Int64, Int64Array, |s| whole(s.resp.ip_bytes)),
    ("community_id", DataType::Utf8, |rows, _| letters(rows, Session::community_id)),
    fact!("server_name", server_name),
    fact!("tls_version", tls_version),
    fact!("alpn", alpn),
    fact!("ja3", ja3),
    fact!("ja4", ja4),
    fact!("cert_subject", cert_subject),
    fact!("cert_issuer", cert_issuer),
    fact!("cert_fingerprint", cert_fingerprint),
    column!("cert_self_signed", Boolean, BooleanArray, |s| s.facts.as_deref().and_then(|facts| facts.cert_self_signed)),
    fact!("ssh_client", ssh_client),
    fact!("ssh_server", ssh_server),
    fact!("hassh", hassh),
    fact!("hassh_server", hassh_server),
    column!("orig_low", Int64, Int64Array, |s| whole(s.orig.low)),
    column!("orig_high", Int64, Int64Array, |s| s.orig.high.and_then(whole)),
    column!("orig_quality", Utf8, |s| Some(s.orig.quality.name())),
    column!("resp_low", Int64, Int64Array, |s| whole(s.resp.low)),
    column!("resp_high", Int64, Int64Array, |s| s.resp.high.and_then(whole)),
    column!("resp_quality", Utf8, |s| Some(s.resp.quality.name())),
    ("tunnel", DataType::Utf8, |rows, _| tunnels(rows)),
    column!("hints", Utf8, |s| s.hints.as_deref()),
    ("source", DataType::Utf8, |rows, names| texts(rows, |s| Some(names.get(s.file as usize).map_or("", AsRef::as_ref)))),
];

/// The schema of every session stream: the columns, and where either end stands (`Side` as a number).
pub fn schema() -> SchemaRef {
    let sides = ["orig_side", "resp_side"].map(|name| Field::new(name, DataType::Int8, true));
    Arc::new(Schema::new(COLUMNS.iter().map(|(name, kind, _)| Field::new(*name, kind.clone(), true)).chain(sides).collect::<Vec<_>>()))
}

fn sides(rows: &[Session], networks: Option<&Networks>, end: for<'a> fn(&'a Session) -> (&'a Address, u16)) -> ArrayRef {
    Arc::new(rows.iter().map(|row| Some(networks?.side(key::ip(end(row).0)) as i8)).collect::<Int8Array>())
}

/// One batch of finished sessions. Without networks their sides are null.
///
/// # Errors
/// Never for well-formed columns; Arrow's own complaint otherwise.
pub fn batch(schema: &SchemaRef, sessions: &[Session], names: &Names, networks: Option<&Networks>) -> Result<RecordBatch, ArrowError> {
    let ends = [sides(sessions, networks, Session::origin), sides(sessions, networks, Session::responder)];
    RecordBatch::try_new(Arc::clone(schema), COLUMNS.iter().map(|(_, _, read)| read(sessions, names)).chain(ends).collect())
}
