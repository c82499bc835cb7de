//! Hello messages to fingerprints: JA3, JA4 (client, BSD-licensed) and HASSH. The other methods of the JA4+ family are
//! under another licence and are never computed here; where a Zeek log carries them they are read from there.

use std::cell::RefCell;
use std::collections::HashMap;
use std::thread::LocalKey;

use md5::{Digest, Md5};
use sha2::Sha256;

use crate::hello::bytes::hex;

/// What the fingerprints need of a ClientHello; numbers in the order of the wire, GREASE included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientHello {
    pub version: u16,
    pub ciphers: Vec<u16>,
    pub extensions: Vec<u16>,
    pub groups: Vec<u16>,
    pub points: Vec<u8>,
    pub signatures: Vec<u16>,
    pub versions: Vec<u16>,
    pub alpn: Vec<Vec<u8>>,
}

/// How the ClientHello travelled: the first letter of a JA4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    Tls,
    Dtls,
    Quic,
}

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
/// Where a part of a JA4 has nothing to hash (JA4 technical details, "TLS Client Fingerprint").
const NOTHING: &str = "000000000000";
/// Fingerprints remembered at a time; the same few clients make most of a network's hellos.
const REMEMBERED: usize = 2048;
/// What is longer is no usual client's, and is computed anew.
const LONGEST: usize = 4096;

/// RFC 8701: 0x0a0a, 0x1a1a … 0xfafa.
#[must_use]
pub fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

fn known(values: &[u16]) -> impl Iterator<Item = u16> + '_ {
    values.iter().copied().filter(|value| !is_grease(*value))
}

/// Append numbers, each as `write` puts it, with `by` between them.
fn join(out: &mut String, values: impl Iterator<Item = u16>, by: char, write: fn(&mut String, u16)) {
    for (place, value) in values.enumerate() {
        if place > 0 {
            out.push(by);
        }
        write(out, value);
    }
}

fn digit(value: u16) -> char {
    char::from_digit(u32::from(value & 15), 16).unwrap_or('0')
}

fn decimal(out: &mut String, value: u16) {
    for power in [10_000, 1_000, 100, 10] {
        if value >= power {
            out.push(digit(value / power % 10));
        }
    }
    out.push(digit(value % 10));
}

fn four(out: &mut String, value: u16) {
    out.extend([12, 8, 4, 0].map(|shift| digit(value >> shift)));
}

type Digests = HashMap<String, String>;

thread_local! {
    static MD5: RefCell<Digests> = RefCell::default();
    static SHA256: RefCell<Digests> = RefCell::default();
    static BOTH: RefCell<HashMap<Vec<u16>, (String, String)>> = RefCell::default();
}

/// The digest of a text, from memory where it was computed before. The whole text is the key, so no crafted
/// hello can claim another's fingerprint.
fn remembered(memory: &'static LocalKey<RefCell<Digests>>, text: String, compute: fn(&str) -> String) -> String {
    if text.len() > LONGEST {
        return compute(&text);
    }
    memory.with_borrow_mut(|memory| {
        if let Some(known) = memory.get(&text) {
            return known.clone();
        }
        if memory.len() >= REMEMBERED {
            memory.clear();
        }
        let digest = compute(&text);
        memory.insert(text, digest.clone());
        digest
    })
}

fn md5(text: String) -> String {
    remembered(&MD5, text, |text| hex(&Md5::digest(text)))
}

fn sha256_12(text: String) -> String {
    if text.is_empty() {
        return NOTHING.to_owned();
    }
    remembered(&SHA256, text, |text| hex(&Sha256::digest(text)).chars().take(12).collect())
}

/// What a mark between lists is in a key of `fingerprints`: GREASE stands in none of them.
const MARK: u16 = 0x0a0a;

/// JA3 and JA4, from memory where a hello with the same lists was seen before (GREASE aside, which is random).
#[must_use]
pub fn fingerprints(hello: &ClientHello, carrier: Carrier) -> (String, String) {
    let mut key: Vec<u16> = Vec::with_capacity(ROOM);
    let newest = known(&hello.versions).max().unwrap_or(hello.version);
    key.extend([carrier as u16, hello.version, newest, u16::from(hello.signatures.is_empty())]);
    for list in [&hello.ciphers, &hello.extensions, &hello.groups, &hello.signatures] {
        key.extend(known(list).chain([MARK]));
    }
    key.extend(hello.points.iter().copied().map(u16::from).chain([MARK]));
    key.extend(hello.alpn.first().into_iter().flatten().copied().map(u16::from));
    if key.len() > LONGEST / 2 {
        return (ja3(hello), ja4(hello, carrier));
    }
    BOTH.with_borrow_mut(|memory| {
        if let Some(known) = memory.get(&key) {
            return known.clone();
        }
        if memory.len() >= REMEMBERED {
            memory.clear();
        }
        let both = (ja3(hello), ja4(hello, carrier));
        memory.insert(key, both.clone());
        both
    })
}

/// Room for the text of a large hello's lists.
const ROOM: usize = 512;

/// JA3 (github.com/salesforce/ja3): MD5 over version, ciphers, extensions, groups and point formats, GREASE left out.
#[must_use]
pub fn ja3(hello: &ClientHello) -> String {
    let mut text = String::with_capacity(ROOM);
    decimal(&mut text, hello.version);
    for values in [&hello.ciphers, &hello.extensions, &hello.groups] {
        text.push(',');
        join(&mut text, known(values), '-', decimal);
    }
    text.push(',');
    join(&mut text, hello.points.iter().copied().map(u16::from), '-', decimal);
    md5(text)
}

/// JA4 (github.com/FoxIO-LLC/ja4, technical_details/JA4.md).
#[must_use]
pub fn ja4(hello: &ClientHello, carrier: Carrier) -> String {
    let mut ciphers: Vec<u16> = known(&hello.ciphers).collect();
    ciphers.sort_unstable();
    let mut extensions: Vec<u16> = known(&hello.extensions).filter(|kind| ![SERVER_NAME, ALPN].contains(kind)).collect();
    extensions.sort_unstable();
    let (mut listed, mut hashed) = (String::with_capacity(ROOM), String::with_capacity(ROOM));
    join(&mut listed, ciphers.iter().copied(), ',', four);
    join(&mut hashed, extensions.into_iter(), ',', four);
    if !hello.signatures.is_empty() && !hashed.is_empty() {
        hashed.push('_');
        join(&mut hashed, known(&hello.signatures), ',', four);
    }
    format!(
        "{}{}{}{:02}{:02}{}_{}_{}",
        match carrier {
            Carrier::Tls => 't',
            Carrier::Dtls => 'd',
            Carrier::Quic => 'q',
        },
        version_letters(known(&hello.versions).max().unwrap_or(hello.version)),
        if hello.extensions.contains(&SERVER_NAME) { 'd' } else { 'i' },
        ciphers.len().min(99),
        known(&hello.extensions).count().min(99),
        alpn_letters(hello.alpn.first().map_or(&[], Vec::as_slice)),
        sha256_12(listed),
        sha256_12(hashed),
    )
}

fn version_letters(version: u16) -> &'static str {
    const LETTERS: &[(u16, &str)] = &[
        (0x0304, "13"),
        (0x0303, "12"),
        (0x0302, "11"),
        (0x0301, "10"),
        (0x0300, "s3"),
        (0x0002, "s2"),
        (0xfeff, "d1"),
        (0xfefd, "d2"),
        (0xfefc, "d3"),
    ];
    LETTERS.iter().find(|(number, _)| *number == version).map_or("00", |(_, letters)| letters)
}

/// First and last character of the first protocol name; of its hex where either is no ASCII letter or digit.
fn alpn_letters(name: &[u8]) -> String {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return "00".to_owned() };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [char::from(*first), char::from(*last)].iter().collect();
    }
    let all = hex(name);
    all.chars().take(1).chain(all.chars().last()).collect()
}

/// HASSH and hasshServer (github.com/salesforce/hassh): MD5 over the algorithm lists of one direction.
#[must_use]
pub fn hassh(lists: [&[u8]; 4]) -> String {
    md5(lists.map(crate::hello::bytes::text).join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grease_is_both_bytes_alike() {
        assert!(is_grease(0x0a0a) && is_grease(0xfafa));
        assert!(!is_grease(0x0a1a) && !is_grease(0x1301));
    }

    #[test]
    fn a_ja3_of_the_method_s_own_readme() {
        let hello = ClientHello {
            version: 769,
            ciphers: vec![47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4],
            extensions: vec![0, 10, 11],
            groups: vec![23, 24, 25],
            points: vec![0],
            ..ClientHello::default()
        };
        assert_eq!(ja3(&hello), "ada70206e40642a3e4461f35503241d5");
        let bare = ClientHello { version: 769, ciphers: vec![4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99], ..ClientHello::default() };
        assert_eq!(ja3(&bare), "de350869b8c85de67a350c8d186f11e6");
    }

    #[test]
    fn a_ja4_of_the_method_s_own_page() {
        let hello = ClientHello {
            version: 0x0303,
            ciphers: vec![
                0x0a0a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
            ],
            extensions: vec![
                0x1a1a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a,
                0x0015,
            ],
            signatures: vec![0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
            versions: vec![0x2a2a, 0x0304, 0x0303],
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            ..ClientHello::default()
        };
        assert_eq!(ja4(&hello, Carrier::Tls), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        assert_eq!(ja4(&ClientHello::default(), Carrier::Quic), "q00i000000_000000000000_000000000000");
    }

    #[test]
    fn from_memory_they_are_the_same() {
        let one = ClientHello { version: 0x0303, ciphers: vec![0x0a0a, 0x1301], extensions: vec![0, 10], ..ClientHello::default() };
        let others = [
            ClientHello { ciphers: vec![0x1a1a, 0x1301], ..one.clone() },
            ClientHello { ciphers: vec![0x1301, 0], extensions: vec![10], ..one.clone() },
            ClientHello { groups: vec![10], ..one.clone() },
            ClientHello { points: vec![10], ..one.clone() },
            ClientHello { signatures: vec![0x0a0a], ..one.clone() },
            ClientHello { versions: vec![0x0304], ..one.clone() },
            ClientHello { alpn: vec![b"h2".to_vec()], ..one.clone() },
        ];
        for hello in [&one].into_iter().chain(&others) {
            for carrier in [Carrier::Tls, Carrier::Quic, Carrier::Tls] {
                assert_eq!(fingerprints(hello, carrier), (ja3(hello), ja4(hello, carrier)));
            }
        }
    }

    #[test]
    fn odd_protocol_names_are_told_in_hex() {
        assert_eq!(alpn_letters(b"h"), "hh");
        assert_eq!(alpn_letters(&[0xab]), "ab");
        assert_eq!(alpn_letters(&[0x30, 0xab, 0xcd, 0x31]), "01");
        assert_eq!(alpn_letters(&[0x30, 0xab]), "3b");
    }
}
