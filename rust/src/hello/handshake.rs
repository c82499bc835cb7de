//! TLS handshake messages, however they travelled (TLS records, DTLS records, QUIC CRYPTO frames): ClientHello, ServerHello, Certificate.

use super::bytes::{Bytes, text};
use crate::fingerprint::{Carrier, ClientHello, fingerprints, is_grease};
use crate::session::Facts;

pub const CLIENT_HELLO: u8 = 1;
pub const SERVER_HELLO: u8 = 2;
pub const CERTIFICATE: u8 = 11;
pub const SERVER_HELLO_DONE: u8 = 14;

/// One handshake message. `complete` is false where the bytes ended before its own length said.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub kind: u8,
    pub body: &'a [u8],
    pub complete: bool,
    pub missing: usize,
}

/// The messages of a run of handshake bytes; the last one may be incomplete.
pub fn messages(bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut left = Bytes::new(bytes);
    std::iter::from_fn(move || {
        let kind = left.u8()?;
        let length = left.length(3)?;
        let body = left.up_to(length);
        Some(Message { kind, body, complete: body.len() == length, missing: length - body.len() })
    })
}

/// What a ClientHello says besides what its fingerprints need.
#[derive(Debug, Clone, Default)]
pub struct Client {
    pub hello: ClientHello,
    pub server_name: Option<String>,
    pub ech: bool,
    /// Every extension was read to its end: the fingerprints hold.
    pub complete: bool,
}

type Read = fn(&mut Client, Bytes<'_>) -> Option<()>;

/// The extensions that are looked into. An odd body is no reason to lose the rest of the hello.
const EXTENSIONS: &[(u16, Read)] = &[
    (0x0000, |client, mut body| {
        let mut names = body.vector(2)?;
        names.u8()?;
        client.server_name = names.vector(2).map(|name| text(name.rest())).filter(|name| !name.is_empty());
        Some(())
    }),
    (0x000a, |client, mut body| {
        client.hello.groups = body.vector(2)?.all_u16();
        Some(())
    }),
    (0x000b, |client, mut body| {
        client.hello.points = body.vector(1)?.rest().to_vec();
        Some(())
    }),
    (0x000d, |client, mut body| {
        client.hello.signatures = body.vector(2)?.all_u16();
        Some(())
    }),
    (0x0010, |client, body| {
        client.hello.alpn = protocols(body)?;
        Some(())
    }),
    (0x002b, |client, mut body| {
        client.hello.versions = body.vector(1)?.all_u16();
        Some(())
    }),
    // draft-ietf-tls-esni: the real name is sealed. Browsers send the extension with random content too.
    (0xfe0d, |client, _| {
        client.ech = true;
        Some(())
    }),
];

fn protocols(mut body: Bytes<'_>) -> Option<Vec<Vec<u8>>> {
    let mut list = body.vector(2)?;
    Some(std::iter::from_fn(|| list.vector(1).map(|name| name.rest().to_vec())).collect())
}

/// Read as much of a ClientHello as there is. `dtls`: with the cookie that DTLS puts into it.
#[must_use]
pub fn client_hello(message: Message<'_>, dtls: bool) -> Option<Client> {
    let mut client = Client::default();
    let mut left = Bytes::new(message.body);
    client.hello.version = left.u16()?;
    let whole = head_and_extensions(&mut client, &mut left, dtls);
    client.complete = message.complete && whole.is_some();
    Some(client)
}

fn head_and_extensions(client: &mut Client, left: &mut Bytes<'_>, dtls: bool) -> Option<()> {
    left.take(32)?;
    left.vector(1)?;
    if dtls {
        left.vector(1)?;
    }
    client.hello.ciphers = left.vector(2)?.all_u16();
    left.vector(1)?;
    if left.is_empty() {
        return Some(());
    }
    let length = left.length(2)?;
    let mut extensions = Bytes::new(left.up_to(length));
    while !extensions.is_empty() {
        let kind = extensions.u16()?;
        let body = extensions.vector(2)?;
        client.hello.extensions.push(kind);
        if let Some((_, read)) = EXTENSIONS.iter().find(|(number, _)| *number == kind) {
            // A body that does not read leaves its facts empty.
            let _ = read(client, body);
        }
    }
    Some(())
}

impl Client {
    /// Put what the hello says into the facts of its session.
    pub fn tell(&self, facts: &mut Facts, hints: &mut Vec<String>, carrier: Carrier) {
        facts.server_name.clone_from(&self.server_name);
        let offered: Vec<String> = self.hello.alpn.iter().filter(|name| !is_grease_name(name)).map(|name| text(name)).collect();
        facts.alpn = Some(offered.join(",")).filter(|names| !names.is_empty());
        if self.complete {
            let (ja3, ja4) = fingerprints(&self.hello, carrier);
            (facts.ja3, facts.ja4) = (Some(ja3), Some(ja4));
        }
        if self.ech {
            hints.push("ech".to_owned());
        }
    }
}

fn is_grease_name(name: &[u8]) -> bool {
    Bytes::new(name).u16().is_some_and(|value| name.len() == 2 && is_grease(value))
}

/// What a ServerHello chose.
#[derive(Debug, Clone, Default)]
pub struct Server {
    pub version: u16,
    pub alpn: Option<String>,
}

/// Read a ServerHello; the version is the one chosen in `supported_versions` where that stands.
#[must_use]
pub fn server_hello(body: &[u8]) -> Option<Server> {
    let mut left = Bytes::new(body);
    let mut server = Server { version: left.u16()?, alpn: None };
    let _ = server_extensions(&mut server, left);
    Some(server)
}

fn server_extensions(server: &mut Server, mut left: Bytes<'_>) -> Option<()> {
    left.take(32)?;
    // TLS 1.3 drafts up to 21 leave out the session id and the compression method and say so in the version.
    let old_draft = (0x7f00..=0x7f15).contains(&server.version);
    if !old_draft {
        left.vector(1)?;
    }
    left.take(if old_draft { 2 } else { 3 })?;
    let mut extensions = left.vector(2)?;
    while !extensions.is_empty() {
        let kind = extensions.u16()?;
        let mut body = extensions.vector(2)?;
        match kind {
            0x002b => server.version = body.u16().unwrap_or(server.version),
            0x0010 => server.alpn = protocols(body).and_then(|names| names.first().map(|name| text(name))),
            _ => {}
        }
    }
    Some(())
}

/// A protocol version as Zeek prints it.
#[must_use]
pub fn version_name(version: u16) -> String {
    const NAMES: &[(u16, &str)] = &[
        (0x0002, "SSLv2"),
        (0x0300, "SSLv3"),
        (0x0301, "TLSv10"),
        (0x0302, "TLSv11"),
        (0x0303, "TLSv12"),
        (0x0304, "TLSv13"),
        (0xfeff, "DTLSv10"),
        (0xfefd, "DTLSv12"),
        (0xfefc, "DTLSv13"),
    ];
    match NAMES.iter().find(|(number, _)| *number == version) {
        Some((_, name)) => (*name).to_owned(),
        None if version >> 8 == 0x7f => format!("TLSv13-draft{}", version & 0xff),
        None => format!("unknown-{version}"),
    }
}

/// The first certificate of a Certificate message of TLS 1.2 or older.
#[must_use]
pub fn leaf(body: &[u8]) -> Option<&[u8]> {
    let mut left = Bytes::new(body);
    left.take(3)?;
    left.vector(3).map(|certificate| certificate.rest())
}
