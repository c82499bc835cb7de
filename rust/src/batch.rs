//! Sessions to Arrow: one table says every column once.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int8Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};

use crate::session::Session;
use crate::side::Networks;

/// One column: its name, its type, and how to read it from the sessions.
type Column = (&'static str, DataType, fn(&[Session]) -> ArrayRef);

macro_rules! column {
    ($name:literal, $ty:ident, $array:ident, |$s:ident| $value:expr) => {
        ($name, DataType::$ty, |rows| Arc::new(rows.iter().map(|$s: &Session| $value).collect::<$array>()) as ArrayRef)
    };
}

fn whole(value: u64) -> Option<i64> {
    Some(i64::try_from(value).unwrap_or(i64::MAX))
}

/// The columns of `netexfil.tables.SESSION` that a reader fills, in their order.
const COLUMNS: &[Column] = &[
    column!("ts", Float64, Float64Array, |s| Some(s.ts)),
    column!("uid", Utf8, StringArray, |s| Some(s.uid.as_str())),
    column!("orig_h", Utf8, StringArray, |s| Some(s.orig_h.as_str())),
    column!("orig_p", Int32, Int32Array, |s| Some(i32::from(s.orig_p))),
    column!("resp_h", Utf8, StringArray, |s| Some(s.resp_h.as_str())),
    column!("resp_p", Int32, Int32Array, |s| Some(i32::from(s.resp_p))),
    column!("proto", Utf8, StringArray, |s| Some(s.proto)),
    column!("service", Utf8, StringArray, |s| s.service.as_deref()),
    column!("duration", Float64, Float64Array, |s| s.duration),
    column!("orig_bytes", Int64, Int64Array, |s| s.orig.bytes.and_then(whole)),
    column!("resp_bytes", Int64, Int64Array, |s| s.resp.bytes.and_then(whole)),
    column!("conn_state", Utf8, StringArray, |s| Some(s.conn_state)),
    column!("local_orig", Boolean, BooleanArray, |_s| None::<bool>),
    column!("local_resp", Boolean, BooleanArray, |_s| None::<bool>),
    column!("missed_bytes", Int64, Int64Array, |s| whole(s.missed_bytes)),
    column!("history", Utf8, StringArray, |s| Some(s.history.as_str())),
    column!("orig_pkts", Int64, Int64Array, |s| whole(s.orig.pkts)),
    column!("orig_ip_bytes", Int64, Int64Array, |s| whole(s.orig.ip_bytes)),
    column!("resp_pkts", Int64, Int64Array, |s| whole(s.resp.pkts)),
    column!("resp_ip_bytes", Int64, Int64Array, |s| whole(s.resp.ip_bytes)),
    column!("community_id", Utf8, StringArray, |s| Some(s.community_id.as_str())),
    column!("server_name", Utf8, StringArray, |s| s.facts.server_name.as_deref()),
    column!("tls_version", Utf8, StringArray, |s| s.facts.tls_version.as_deref()),
    column!("alpn", Utf8, StringArray, |s| s.facts.alpn.as_deref()),
    column!("ja3", Utf8, StringArray, |s| s.facts.ja3.as_deref()),
    column!("ja4", Utf8, StringArray, |s| s.facts.ja4.as_deref()),
    column!("cert_subject", Utf8, StringArray, |s| s.facts.cert_subject.as_deref()),
    column!("cert_issuer", Utf8, StringArray, |s| s.facts.cert_issuer.as_deref()),
    column!("cert_fingerprint", Utf8, StringArray, |s| s.facts.cert_fingerprint.as_deref()),
    column!("cert_self_signed", Boolean, BooleanArray, |s| s.facts.cert_self_signed),
    column!("ssh_client", Utf8, StringArray, |s| s.facts.ssh_client.as_deref()),
    column!("ssh_server", Utf8, StringArray, |s| s.facts.ssh_server.as_deref()),
    column!("hassh", Utf8, StringArray, |s| s.facts.hassh.as_deref()),
    column!("hassh_server", Utf8, StringArray, |s| s.facts.hassh_server.as_deref()),
    column!("orig_low", Int64, Int64Array, |s| whole(s.orig.low)),
    column!("orig_high", Int64, Int64Array, |s| s.orig.high.and_then(whole)),
    column!("orig_quality", Utf8, StringArray, |s| Some(s.orig.quality.name())),
    column!("resp_low", Int64, Int64Array, |s| whole(s.resp.low)),
    column!("resp_high", Int64, Int64Array, |s| s.resp.high.and_then(whole)),
    column!("resp_quality", Utf8, StringArray, |s| Some(s.resp.quality.name())),
    column!("tunnel", Utf8, StringArray, |s| s.tunnel.as_deref()),
    column!("hints", Utf8, StringArray, |s| s.hints.as_deref()),
    column!("source", Utf8, StringArray, |s| Some(s.source.as_str())),
];

/// The schema of every session stream: the columns, and where either end stands (`Side` as a number).
pub fn schema() -> SchemaRef {
    let sides = ["orig_side", "resp_side"].map(|name| Field::new(name, DataType::Int8, true));
    Arc::new(Schema::new(COLUMNS.iter().map(|(name, kind, _)| Field::new(*name, kind.clone(), true)).chain(sides).collect::<Vec<_>>()))
}

fn sides<'a>(addresses: impl Iterator<Item = &'a str>, networks: Option<&Networks>) -> ArrayRef {
    let side = |text: &str| Some(networks?.side(text.parse().ok()?) as i8);
    Arc::new(addresses.map(side).collect::<Int8Array>())
}

/// One batch of finished sessions. Without networks their sides are null.
///
/// # Errors
/// Never for well-formed columns; Arrow's own complaint otherwise.
pub fn batch(schema: &SchemaRef, sessions: &[Session], networks: Option<&Networks>) -> Result<RecordBatch, ArrowError> {
    let ends = [
        sides(sessions.iter().map(|session| session.orig_h.as_str()), networks),
        sides(sessions.iter().map(|session| session.resp_h.as_str()), networks),
    ];
    RecordBatch::try_new(Arc::clone(schema), COLUMNS.iter().map(|(_, _, read)| read(sessions)).chain(ends).collect())
}
