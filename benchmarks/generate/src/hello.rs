//! First bytes of encrypted protocols, well enough made that parsers read all of them.

use crate::random::Random;

pub static QUIC_INITIAL: &[u8] = include_bytes!("quic_initial.bin");
static LEAF: &[u8] = include_bytes!("leaf.der");

/// Four families of clients, as browsers and libraries differ: ciphers, extensions, ALPN, post-quantum share.
const FAMILIES: [(&[u16], &[u16], &[&str], bool); 4] = [
    (&[0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x9c, 0x9d, 0x2f, 0x35], &[23, 65281, 35, 5, 18, 27], &["h2", "http/1.1"], true),
    (&[0x1301, 0x1303, 0x1302, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0xc02c, 0xc030, 0xc00a, 0xc009], &[23, 65281, 35, 5, 34, 28], &["h2", "http/1.1"], true),
    (&[0x1302, 0x1303, 0x1301, 0xc02c, 0xc030, 0x9f, 0xcca9, 0xcca8, 0xccaa, 0xc02b, 0xc02f, 0x9e, 0xff], &[22, 23, 49], &["http/1.1"], false),
    (&[0x1301, 0x1302, 0x1303, 0xc02f, 0xc02b, 0xc030, 0xc02c, 0xc027, 0xc023], &[5, 65281], &[], false),
];

fn list16(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(&(body.len() as u16).to_be_bytes());
    out.extend_from_slice(body);
}

fn extension(out: &mut Vec<u8>, kind: u16, body: &[u8]) {
    out.extend_from_slice(&kind.to_be_bytes());
    list16(out, body);
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, 3, 3];
    list16(&mut out, body);
    out
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, 0];
    list16(&mut out, body);
    out
}

fn noise(random: &mut Random, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        out.extend_from_slice(&random.next().to_le_bytes());
    }
    out.truncate(length);
    out
}

fn plain_body(kind: u16) -> &'static [u8] {
    match kind {
        5 => &[1, 0, 0, 0, 0],
        27 => &[2, 0, 2],
        28 => &[0x40, 1],
        34 => &[0, 2, 4, 3],
        65281 => &[0],
        _ => &[],
    }
}

/// The header of a record of application data; a record holds 16 KiB at most.
pub fn data_record(length: usize) -> Vec<u8> {
    let [high, low] = (length.min(16_384) as u16).to_be_bytes();
    vec![23, 3, 3, high, low]
}

pub fn name(random: &mut Random) -> String {
    format!("host{}.site{}.example", random.below(40), random.skewed(5000))
}

/// A ClientHello; the first two families carry an X25519MLKEM768 share and need two segments.
pub fn client_hello(random: &mut Random, server: &str) -> Vec<u8> {
    let pick = if random.chance(0.45) { random.below(2) } else { 2 + random.below(2) };
    let (ciphers, plain, alpns, quantum) = FAMILIES[pick as usize];
    let mut body = vec![3, 3];
    body.extend_from_slice(&noise(random, 32));
    body.push(32);
    body.extend_from_slice(&noise(random, 32));
    list16(&mut body, &ciphers.iter().flat_map(|c| c.to_be_bytes()).collect::<Vec<u8>>());
    body.extend_from_slice(&[1, 0]);

    let mut ext = Vec::with_capacity(1800);
    let mut sni = vec![0];
    list16(&mut sni, server.as_bytes());
    let mut names = Vec::new();
    list16(&mut names, &sni);
    extension(&mut ext, 0, &names);
    for kind in plain {
        extension(&mut ext, *kind, plain_body(*kind));
    }
    extension(&mut ext, 11, &[1, 0]);
    extension(&mut ext, 10, if quantum { &[0, 8, 0x11, 0xec, 0, 29, 0, 23, 0, 24] } else { &[0, 6, 0, 29, 0, 23, 0, 24] });
    if !alpns.is_empty() {
        let mut list = Vec::new();
        for alpn in alpns {
            list.push(alpn.len() as u8);
            list.extend_from_slice(alpn.as_bytes());
        }
        let mut alpn = Vec::new();
        list16(&mut alpn, &list);
        extension(&mut ext, 16, &alpn);
    }
    extension(&mut ext, 13, &[0, 16, 4, 3, 8, 4, 4, 1, 5, 3, 8, 5, 5, 1, 8, 6, 6, 1]);
    extension(&mut ext, 43, &[4, 3, 4, 3, 3]);
    extension(&mut ext, 45, &[1, 1]);
    let mut shares = Vec::new();
    if quantum {
        shares.extend_from_slice(&[0x11, 0xec]);
        list16(&mut shares, &noise(random, 1216));
    }
    shares.extend_from_slice(&[0, 29]);
    list16(&mut shares, &noise(random, 32));
    let mut key_share = Vec::new();
    list16(&mut key_share, &shares);
    extension(&mut ext, 51, &key_share);
    list16(&mut body, &ext);
    let mut out = record(22, &handshake(1, &body));
    out[2] = 1;
    out
}

/// ServerHello and what follows it: TLS 1.3, or 1.2 with a certificate in clear.
pub fn server_hello(random: &mut Random, modern: bool) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&noise(random, 32));
    body.push(32);
    body.extend_from_slice(&noise(random, 32));
    body.extend_from_slice(if modern { &[0x13, 1, 0] } else { &[0xc0, 0x2b, 0] });
    let mut ext = Vec::new();
    if modern {
        extension(&mut ext, 43, &[3, 4]);
        let mut share = vec![0, 29];
        list16(&mut share, &noise(random, 32));
        extension(&mut ext, 51, &share);
    } else {
        extension(&mut ext, 65281, &[0]);
        extension(&mut ext, 16, &[0, 3, 2, b'h', b'2']);
    }
    list16(&mut body, &ext);
    let mut out = record(22, &handshake(2, &body));
    if modern {
        out.extend_from_slice(&record(20, &[1]));
        out.extend_from_slice(&record(23, &noise(random, 2600)));
    } else {
        let mut chain = vec![0];
        list16(&mut chain, LEAF);
        let mut list = vec![0];
        list16(&mut list, &chain);
        out.extend_from_slice(&record(22, &handshake(11, &list)));
        out.extend_from_slice(&record(22, &handshake(12, &noise(random, 144))));
        out.extend_from_slice(&record(22, &handshake(14, &[])));
    }
    out
}

const CLIENTS: [&str; 6] = ["OpenSSH_9.2p1 Debian-2+deb12u3", "OpenSSH_8.9p1 Ubuntu-3", "PuTTY_Release_0.81", "rclone/v1.69.0", "paramiko_3.4.0", "Go"];

pub fn ssh_banner(random: &mut Random, client: bool) -> Vec<u8> {
    let name = if client { CLIENTS[random.skewed(6) as usize] } else { "OpenSSH_9.2p1 Debian-2+deb12u10" };
    format!("SSH-2.0-{name}\r\n").into_bytes()
}

pub fn ssh_kexinit(random: &mut Random) -> Vec<u8> {
    const LISTS: [&str; 10] = [
        "sntrup761x25519-sha512@openssh.com,curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,diffie-hellman-group16-sha512,ext-info-c",
        "ssh-ed25519-cert-v01@openssh.com,ecdsa-sha2-nistp256,ssh-ed25519,rsa-sha2-512,rsa-sha2-256",
        "chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com",
        "umac-64-etm@openssh.com,umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-256",
        "umac-64-etm@openssh.com,umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-256",
        "none,zlib@openssh.com",
        "none,zlib@openssh.com",
        "",
        "",
    ];
    let mut body = vec![20];
    body.extend_from_slice(&noise(random, 16));
    for list in LISTS {
        body.extend_from_slice(&(list.len() as u32).to_be_bytes());
        body.extend_from_slice(list.as_bytes());
    }
    body.extend_from_slice(&[0, 0, 0, 0, 0]);
    let pad = 4 + (8 - (body.len() + 5 + 4) % 8) % 8;
    let mut out = ((body.len() + 1 + pad) as u32).to_be_bytes().to_vec();
    out.push(pad as u8);
    out.extend_from_slice(&body);
    out.extend_from_slice(&noise(random, pad));
    out
}
