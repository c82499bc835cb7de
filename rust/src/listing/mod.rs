//! Captures' sessions as they are listed: a row with the columns of `netexfil.tables.SESSION_OUTPUT`, written without a table between.

mod number;
#[cfg(feature = "python")]
pub mod parquet;
pub mod text;
pub mod turned;

use crate::batch::seconds;
use crate::decode::Address;
use crate::session::{Facts, Session};
use turned::Turned;

/// A session, what it is towards outside, and the file that it comes from.
pub struct Row<'a> {
    pub session: &'a Session,
    pub turned: Turned,
    pub source: &'a str,
}

impl<'a> Row<'a> {
    fn fact<T>(&self, read: impl FnOnce(&'a Facts) -> Option<T>) -> Option<T> {
        self.session.facts.as_deref().and_then(read)
    }
}

/// How a column is read from a row; the values of `Unique`, which appends text, seldom come twice.
pub enum Read {
    Text(for<'a> fn(&Row<'a>) -> Option<&'a str>),
    Address(for<'a> fn(&Row<'a>) -> &'a Address),
    History,
    Unique(fn(&Row<'_>, &mut String)),
    Small(fn(&Row<'_>) -> i32),
    Whole(fn(&Row<'_>) -> Option<i64>),
    Real(fn(&Row<'_>) -> Option<f64>),
    Truth(fn(&Row<'_>) -> Option<bool>),
    /// Named by what a tunnel is, where there is one.
    Tunnel,
}

/// A whole number as DuckDB's BIGINT.
#[must_use]
pub fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn letters(out: &mut String, ascii: &[u8]) {
    out.push_str(std::str::from_utf8(ascii).unwrap_or_default());
}

macro_rules! fact {
    ($field:ident) => {
        Read::Text(|row| row.fact(|facts| facts.$field.as_deref()))
    };
}

/// The columns, in their order.
pub const COLUMNS: [(&str, Read); 43] = [
    ("ts", Read::Real(|row| Some(seconds(row.session.start)))),
    ("uid", Read::Unique(|row, out| letters(out, &row.session.uid()))),
    ("id.orig_h", Read::Address(|row| row.session.origin().0)),
    ("id.orig_p", Read::Small(|row| i32::from(row.session.origin().1))),
    ("id.resp_h", Read::Address(|row| row.session.responder().0)),
    ("id.resp_p", Read::Small(|row| i32::from(row.session.responder().1))),
    ("proto", Read::Text(|row| Some(row.session.proto()))),
    ("service", Read::Text(|row| row.session.service.as_deref())),
    ("duration", Read::Real(|row| row.turned.duration)),
    ("orig_bytes", Read::Whole(|row| row.session.orig.bytes.map(whole))),
    ("resp_bytes", Read::Whole(|row| row.session.resp.bytes.map(whole))),
    ("conn_state", Read::Text(|row| Some(row.session.conn_state))),
    ("local_orig", Read::Truth(|_| None)),
    ("local_resp", Read::Truth(|_| None)),
    ("missed_bytes", Read::Whole(|row| Some(whole(row.session.missed_bytes)))),
    ("history", Read::History),
    ("orig_pkts", Read::Whole(|row| Some(whole(row.session.orig.pkts)))),
    ("orig_ip_bytes", Read::Whole(|row| Some(whole(row.session.orig.ip_bytes)))),
    ("resp_pkts", Read::Whole(|row| Some(whole(row.session.resp.pkts)))),
    ("resp_ip_bytes", Read::Whole(|row| Some(whole(row.session.resp.ip_bytes)))),
    ("community_id", Read::Unique(|row, out| letters(out, &row.session.community_id()))),
    ("server_name", fact!(server_name)),
    ("tls_version", fact!(tls_version)),
    ("alpn", fact!(alpn)),
    ("ja3", fact!(ja3)),
    ("ja4", fact!(ja4)),
    ("cert_subject", fact!(cert_subject)),
    ("cert_issuer", fact!(cert_issuer)),
    ("cert_fingerprint", fact!(cert_fingerprint)),
    ("cert_self_signed", Read::Truth(|row| row.fact(|facts| facts.cert_self_signed))),
    ("ssh_client", fact!(ssh_client)),
    ("ssh_server", fact!(ssh_server)),
    ("hassh", fact!(hassh)),
    ("hassh_server", fact!(hassh_server)),
    ("outbound", Read::Text(|row| row.turned.outbound)),
    ("protocol", Read::Text(|row| Some(row.turned.protocol))),
    ("pcr", Read::Real(|row| row.turned.pcr)),
    ("rate_out", Read::Real(|row| row.turned.rate)),
    ("bytes_out_low", Read::Whole(|row| Some(row.turned.low))),
    ("bytes_out_high", Read::Whole(|row| row.turned.high)),
    ("byte_quality", Read::Text(|row| Some(row.turned.quality))),
    ("tunnel", Read::Tunnel),
    ("source", Read::Text(|row| Some(row.source))),
];
