//! A DER certificate to subject, issuer and fingerprint. Names read as Zeek (OpenSSL, RFC 2253/4514) writes them.

use std::cell::RefCell;
use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::bytes::{Bytes, hex};
use crate::session::Facts;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;

/// Certificates remembered at a time, and the longest of them: the same few servers show most of a network's.
const REMEMBERED: usize = 512;
const LONGEST: usize = 4096;

thread_local! {
    static KNOWN: RefCell<HashMap<Vec<u8>, Told>> = RefCell::default();
}

/// What a certificate says: its SHA-256, then (self-signed, issuer, subject) where its names could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    fingerprint: String,
    names: Option<(bool, String, String)>,
}

/// Put a certificate's names and SHA-256 into the facts, from memory where the very same was seen before. Self-signed means here: subject
/// and issuer are the same bytes; the signature is not verified.
pub fn tell(der: &[u8], facts: &mut Facts) {
    let Told { fingerprint, names } = KNOWN.with_borrow_mut(|known| {
        if let Some(told) = known.get(der) {
            return told.clone();
        }
        let told = read(der);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        if der.len() <= LONGEST {
            known.insert(der.to_vec(), told.clone());
        }
        told
    });
    facts.cert_fingerprint = Some(fingerprint);
    if let Some((own, issuer, subject)) = names {
        facts.cert_self_signed = Some(own);
        facts.cert_issuer = Some(issuer).filter(|text| !text.is_empty());
        facts.cert_subject = Some(subject).filter(|text| !text.is_empty());
    }
}

fn read(der: &[u8]) -> Told {
    Told { fingerprint: hex(&Sha256::digest(der)), names: names(der).map(|(issuer, subject)| (issuer == subject, name(issuer), name(subject))) }
}

/// Tag and content of the next DER element.
fn element<'a>(left: &mut Bytes<'a>) -> Option<(u8, &'a [u8])> {
    let mut ahead = *left;
    let tag = ahead.u8()?;
    let first = usize::from(ahead.u8()?);
    let length = match first {
        0..=0x7f => first,
        0x81..=0x84 => ahead.length(first & 0x7f)?,
        _ => return None,
    };
    let content = ahead.take(length)?;
    *left = ahead;
    Some((tag, content))
}

fn expect<'a>(left: &mut Bytes<'a>, tag: u8) -> Option<Bytes<'a>> {
    element(left).filter(|(found, _)| *found == tag).map(|(_, content)| Bytes::new(content))
}

/// Issuer and subject of `Certificate ::= SEQUENCE { tbsCertificate SEQUENCE { [0] version, serial, algorithm, issuer, validity, subject …`.
fn names(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut certificate = expect(&mut Bytes::new(der), SEQUENCE)?;
    let mut body = expect(&mut certificate, SEQUENCE)?;
    let (tag, _) = element(&mut body)?;
    if tag == 0xa0 {
        element(&mut body)?;
    }
    element(&mut body)?;
    let issuer = expect(&mut body, SEQUENCE)?;
    element(&mut body)?;
    let subject = expect(&mut body, SEQUENCE)?;
    Some((issuer.rest(), subject.rest()))
}

/// `CN=…,O=…,C=…`: last component first, parts of one component joined by `+`.
fn name(der: &[u8]) -> String {
    let mut left = Bytes::new(der);
    let mut components: Vec<String> = std::iter::from_fn(|| expect(&mut left, SET).map(component)).collect();
    components.reverse();
    components.join(",")
}

fn component(mut set: Bytes<'_>) -> String {
    std::iter::from_fn(|| expect(&mut set, SEQUENCE)).filter_map(attribute).collect::<Vec<_>>().join("+")
}

fn attribute(mut pair: Bytes<'_>) -> Option<String> {
    let oid = dotted(expect(&mut pair, OID)?.rest());
    let whole = pair.rest();
    let (tag, value) = element(&mut pair)?;
    let known = SHORT.iter().find(|(dots, _)| *dots == oid).map(|(_, short)| *short);
    Some(match (known, decoded(tag, value)) {
        (Some(short), Some(text)) => format!("{short}={}", escaped(&text)),
        (short, _) => format!("{}=#{}", short.unwrap_or(&oid), hex(whole).to_uppercase()),
    })
}

/// OpenSSL's short names of the attributes that certificates carry.
const SHORT: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.16", "postalAddress"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.18", "postOfficeBox"),
    ("2.5.4.20", "telephoneNumber"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("2.5.4.97", "organizationIdentifier"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("1.2.840.113549.1.9.2", "unstructuredName"),
    ("1.2.840.113549.1.9.8", "unstructuredAddress"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.3.6.1.4.1.311.60.2.1.1", "jurisdictionL"),
    ("1.3.6.1.4.1.311.60.2.1.2", "jurisdictionST"),
    ("1.3.6.1.4.1.311.60.2.1.3", "jurisdictionC"),
];

/// An object identifier in dots; the numbers are cut at 64 bits.
fn dotted(content: &[u8]) -> String {
    let mut numbers: Vec<u64> = Vec::new();
    let mut number = 0_u64;
    for byte in content {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.push(first);
                number -= first * 40;
            }
            numbers.push(number);
            number = 0;
        }
    }
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

/// The characters of a string type; `None` for what is none.
fn decoded(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        0x0c => Some(super::bytes::text(value)),
        // Numeric, printable, T61 (as Latin-1, like OpenSSL), IA5, UTC and generalised time, visible.
        0x12..=0x14 | 0x16..=0x18 | 0x1a => Some(value.iter().copied().map(char::from).collect()),
        0x1e => Some(char::decode_utf16(Bytes::new(value).all_u16()).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()),
        _ => None,
    }
}

/// RFC 2253 escapes as OpenSSL sets them: `,+"\<>;`, a `#` or space in front, a space at the end, controls and non-ASCII as hex.
fn escaped(text: &str) -> String {
    let last = text.len().saturating_sub(1);
    text.bytes()
        .enumerate()
        .map(|(place, byte)| match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => format!("\\{}", char::from(byte)),
            b'#' if place == 0 => "\\#".to_owned(),
            b' ' if place == 0 || place == last => "\\ ".to_owned(),
            0x20..=0x7e => char::from(byte).to_string(),
            _ => format!("\\{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_backwards_and_escaped() {
        // C=US, O="Net, exfil", CN=a
        let der = [
            0x31, 11, 0x30, 9, 6, 3, 0x55, 4, 6, 0x13, 2, b'U', b'S', 0x31, 19, 0x30, 17, 6, 3, 0x55, 4, 10, 0x0c, 10, b'N', b'e', b't', b',', b' ',
            b'e', b'x', b'f', b'i', b'l', 0x31, 10, 0x30, 8, 6, 3, 0x55, 4, 3, 0x0c, 1, b'a',
        ];
        assert_eq!(name(&der), "CN=a,O=Net\\, exfil,C=US");
    }

    #[test]
    fn identifiers_read_in_dots() {
        assert_eq!(dotted(&[0x55, 4, 3]), "2.5.4.3");
        assert_eq!(dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1]), "1.2.840.113549.1.9.1");
    }

    #[test]
    fn letters_beyond_ascii_are_told_by_their_bytes() {
        assert_eq!(escaped("Köln "), "K\\C3\\B6ln\\ ");
    }

    #[test]
    fn cut_certificates_have_a_fingerprint_only() {
        let mut facts = Facts::default();
        tell(&[0x30, 0x82, 1], &mut facts);
        assert!(facts.cert_fingerprint.is_some() && facts.cert_subject.is_none());
    }
}
