//! The session record: one transport conversation with the meaning of Zeek's conn.log.

/// How far the bytes of one direction are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quality {
    /// Every payload byte was counted.
    #[default]
    Exact,
    /// The truth lies between the low and the high bound.
    Bounded,
    /// Nothing bounds it from above.
    Unknown,
}

impl Quality {
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Bounded => "bounded",
            Self::Unknown => "unknown",
        }
    }
}

/// What one side sent.
#[derive(Debug, Clone, Default)]
pub struct Side {
    /// Payload bytes as Zeek counts them (by sequence numbers); `None` where Zeek writes `-`.
    pub bytes: Option<u64>,
    pub pkts: u64,
    /// Bytes of the IP packets, headers included.
    pub ip_bytes: u64,
    /// Unique payload bytes: no fewer than `low`, no more than `high` (`None`: no upper bound).
    pub low: u64,
    pub high: Option<u64>,
    pub quality: Quality,
}

/// What the hellos of a session said. Strings are lossy UTF-8 of what stood on the wire.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub server_name: Option<String>,
    pub tls_version: Option<String>,
    pub alpn: Option<String>,
    pub ja3: Option<String>,
    pub ja4: Option<String>,
    pub cert_subject: Option<String>,
    pub cert_issuer: Option<String>,
    /// SHA-256 of the DER certificate, lower-case hex.
    pub cert_fingerprint: Option<String>,
    pub cert_self_signed: Option<bool>,
    pub ssh_client: Option<String>,
    pub ssh_server: Option<String>,
    pub hassh: Option<String>,
    pub hassh_server: Option<String>,
}

/// One session. Times are seconds since 1970 (UTC).
#[derive(Debug, Clone, Default)]
pub struct Session {
    pub ts: f64,
    pub uid: String,
    pub orig_h: String,
    pub orig_p: u16,
    pub resp_h: String,
    pub resp_p: u16,
    pub proto: &'static str,
    /// Zeek's service names, comma separated, sorted; `None` where nothing was recognised.
    pub service: Option<String>,
    pub duration: Option<f64>,
    pub orig: Side,
    pub resp: Side,
    pub conn_state: &'static str,
    pub missed_bytes: u64,
    pub history: String,
    pub community_id: String,
    pub facts: Facts,
    /// Outer encapsulation, e.g. `vxlan`, `gre,erspan`; `None` for plain traffic.
    pub tunnel: Option<String>,
    /// Words for what was seen besides: see `docs/sessions.md`. Comma separated, sorted.
    pub hints: Option<String>,
    /// The file that the session's first packet or row came from.
    pub source: String,
}
