//! What the services that a conn row names say, remembered for the few that there are.

use crate::zeek::window::Window;

/// See `netexfil/outbound.py` and `netexfil/read/merging.py`.
#[allow(clippy::struct_excessive_bools)] // each is a word of its own
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Service {
    /// None is named, or all were taken back.
    pub none: bool,
    pub tls: bool,
    /// TLS by Zeek's own name for it.
    pub ssl: bool,
    pub ssh: bool,
    pub quic: bool,
    pub ftp: bool,
    pub http: bool,
    pub dns: bool,
    /// An FTP data session.
    pub data: bool,
    /// FTP that went on under TLS.
    pub auth: bool,
}

impl Service {
    /// Names that Zeek took back (`-ssl`) count for nothing, but a mark of FTP data stands.
    fn new(raw: &[u8]) -> Self {
        let text = String::from_utf8_lossy(raw);
        let listed = text.contains(',') || text.starts_with('-');
        let words: Vec<String> = match listed {
            true => text.to_lowercase().split(',').filter(|word| !word.is_empty() && !word.starts_with('-')).map(ToOwned::to_owned).collect(),
            false => vec![text.to_string()],
        };
        let has = |name: &str| words.iter().any(|word| word.contains(name));
        let data = text.contains("ftp-data");
        let auth = !data && text.contains("ftp") && text.contains("ssl");
        Self {
            none: words.is_empty(),
            tls: has("ssl") || has("tls"),
            ssl: has("ssl"),
            ssh: has("ssh"),
            quic: has("quic"),
            ftp: has("ftp") || auth,
            http: has("http"),
            dns: has("dns"),
            data,
            auth,
        }
    }
}

/// Services met so far; those of at most eight bytes also as a word, as they stand in a block of text.
#[derive(Default)]
pub struct Services(Vec<(Vec<u8>, Service)>, Vec<(u64, Service)>);

const MOST: usize = 64;

impl Services {
    pub fn of(&mut self, raw: Option<&[u8]>) -> Service {
        let Some(raw) = raw else { return Service { none: true, ..Service::default() } };
        if let Some((_, known)) = self.0.iter().find(|(name, _)| name == raw) {
            return *known;
        }
        let made = Service::new(raw);
        if self.0.len() < MOST {
            self.0.push((raw.to_vec(), made));
        }
        made
    }

    /// The service of a cell between two places of a row, where it has no escapes.
    #[inline]
    pub fn plain(&mut self, row: Window<'_>, start: usize, end: usize) -> Option<Service> {
        let length = end.wrapping_sub(start);
        if length == 0 {
            return Some(self.of(None));
        }
        if length.wrapping_sub(1) > 7 {
            let raw = row.get(start, end).filter(|raw| memchr::memchr(b'\\', raw).is_none())?;
            return Some(self.of(Some(raw)));
        }
        let word = row.word(start) & u64::MAX >> (64 - 8 * length);
        if let Some((_, known)) = self.1.iter().find(|(name, _)| *name == word) {
            return Some(*known);
        }
        let raw = row.get(start, end).filter(|raw| memchr::memchr(b'\\', raw).is_none())?;
        let made = self.of(Some(raw).filter(|raw| !matches!(*raw, b"-" | b"(empty)")));
        if self.1.len() < MOST {
            self.1.push((word, made));
        }
        Some(made)
    }
}
