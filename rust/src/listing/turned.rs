//! Sessions turned towards outside, by the rules of `netexfil/outbound.py`, which says why; a test holds the two together.

use super::{Session, whole};
use crate::batch::seconds;
use crate::decode::{TCP, UDP};
use crate::flow::key;
use crate::session::Side as Sent;
use crate::zeek::{Keep, truth};

/// What decides whether a session counts.
pub struct Rules {
    pub keep: Keep,
    /// A silent upload of so many bytes counts whatever its port.
    pub large: i64,
}

/// What a session is towards outside.
pub struct Turned {
    pub outbound: Option<&'static str>,
    pub protocol: &'static str,
    pub pcr: Option<f64>,
    pub rate: Option<f64>,
    pub low: i64,
    pub high: Option<i64>,
    pub quality: &'static str,
    pub duration: Option<f64>,
}

fn sent(side: &Sent) -> truth::Sent {
    let quality = match side.quality {
        crate::session::Quality::Exact => truth::Quality::Exact,
        crate::session::Quality::Bounded => truth::Quality::Bounded,
        crate::session::Quality::Unknown => truth::Quality::Unknown,
    };
    truth::Sent { low: whole(side.low), high: side.high.map_or(i64::MAX, whole), quality }
}

/// What the content says.
fn service(session: &Session) -> truth::Service {
    let named = session.service.as_deref();
    let has = |word: &str| named.is_some_and(|named| named.contains(word));
    let hinted = |word: &str| session.hints.as_deref().is_some_and(|hints| hints.contains(word));
    let facts = session.facts.as_deref();
    let auth = hinted("auth_tls");
    truth::Service {
        none: named.is_none(),
        ssl: has("ssl"),
        tls: has("ssl") || has("tls") || facts.is_some_and(|facts| facts.tls_version.is_some()),
        ssh: has("ssh") || facts.is_some_and(|facts| facts.ssh_client.is_some() || facts.ssh_server.is_some()),
        quic: has("quic"),
        ftp: has("ftp") || auth || hinted("prot_p"),
        http: has("http"),
        dns: has("dns"),
        data: hinted("ftp_data"),
        auth,
    }
}

impl Turned {
    #[must_use]
    pub fn new(session: &Session, rules: &Rules) -> Self {
        let ((orig, _), (resp, port)) = (session.origin(), session.responder());
        let ends = truth::Ends {
            orig: rules.keep.side_of(key::ip(orig)),
            resp: rules.keep.side_of(key::ip(resp)),
            port,
            tcp: session.key.proto == TCP,
            udp: session.key.proto == UDP,
            watched: rules.keep.watched(port),
        };
        let service = service(session);
        let moved = truth::Moved::new(&ends, [sent(&session.orig), sent(&session.resp)]);
        let outward = if ends.inward() { &session.resp } else { &session.orig };
        let (low, duration) = (moved.out.low, session.lasted().map(seconds));
        let back = moved.back.filter(|back| moved.out.quality != truth::Quality::Unknown && low.saturating_add(*back) > 0);
        Self {
            outbound: truth::way(&ends, service, &moved, rules.large).map(|way| if way == truth::Way::Out { "true" } else { "pull" }),
            protocol: protocol(session, &ends, service, &moved),
            pcr: back.map(|back| low.saturating_sub(back) as f64 / low.saturating_add(back) as f64),
            rate: duration.map(|duration| low as f64 / duration),
            low,
            high: outward.high.map(whole),
            quality: outward.quality.name(),
            duration,
        }
    }
}

/// By name where TLS is spoken to a WebDAV server; conn logs, for which `truth` is, have no names.
fn protocol(session: &Session, ends: &truth::Ends, service: truth::Service, moved: &truth::Moved) -> &'static str {
    let name = truth::PROTOCOLS.get(usize::from(truth::protocol(ends, service, moved))).copied().unwrap_or("Unknown");
    let server = session.facts.as_deref().and_then(|facts| facts.server_name.as_deref()).unwrap_or_default();
    let dav = name == "HTTPS" && service.tls && (server.starts_with("dav.") || server.starts_with("webdav."));
    if dav { "WebDAV/HTTPS" } else { name }
}
