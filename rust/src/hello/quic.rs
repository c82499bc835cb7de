//! QUIC: the client's Initial packets opened with their published keys (RFC 9001 5.2, RFC 9369), CRYPTO frames put in order.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes_gcm::Aes128Gcm;
use aes_gcm::aead::{Aead, Payload};
use hkdf::Hkdf;
use sha2::Sha256;

use super::bytes::Bytes;
use super::handshake::{self, CLIENT_HELLO};
use super::{Datagrams, Outcome};
use crate::fingerprint::Carrier;

/// A version whose Initial packets can be opened.
struct Version {
    first: u32,
    last: u32,
    salt: [u8; 20],
    /// `quic key`, `quicv2 key` …: the part in front of the space.
    label: &'static str,
    /// The two type bits of an Initial packet.
    initial: u8,
}

const SALT_29: [u8; 20] =
    [0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43, 0x90, 0xa8, 0x99];
const SALT_23: [u8; 20] =
    [0xc3, 0xee, 0xf7, 0x12, 0xc7, 0x2e, 0xbb, 0x5a, 0x11, 0xa7, 0xd2, 0x43, 0x2b, 0xb4, 0x63, 0x65, 0xbe, 0xf9, 0xf5, 0x02];
const SALT_1: [u8; 20] = [0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a];
const SALT_2: [u8; 20] = [0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9];
const SALT_T050: [u8; 20] =
    [0x7f, 0xf5, 0x79, 0xe5, 0xac, 0xd0, 0x72, 0x91, 0x55, 0x80, 0x30, 0x4c, 0x43, 0xa2, 0x36, 0x7c, 0x60, 0x48, 0x83, 0x10];
const SALT_T051: [u8; 20] =
    [0x7a, 0x4e, 0xde, 0xf4, 0xe7, 0xcc, 0xee, 0x5f, 0xa4, 0x50, 0x6c, 0x19, 0x12, 0x4f, 0xc8, 0xcc, 0xda, 0x6e, 0x03, 0x3d];

const VERSIONS: &[Version] = &[
    Version { first: 1, last: 1, salt: SALT_1, label: "quic", initial: 0 },
    Version { first: 0x6b33_43cf, last: 0x6b33_43cf, salt: SALT_2, label: "quicv2", initial: 1 },
    Version { first: 0xff00_001d, last: 0xff00_0020, salt: SALT_29, label: "quic", initial: 0 },
    Version { first: 0xff00_0017, last: 0xff00_001c, salt: SALT_23, label: "quic", initial: 0 },
    // Facebook's stack with draft 27.
    Version { first: 0xface_b002, last: 0xface_b002, salt: SALT_23, label: "quic", initial: 0 },
    // Google's T050 and T051: its own wire image with the TLS handshake.
    Version { first: 0x5430_3530, last: 0x5430_3530, salt: SALT_T050, label: "quic", initial: 0 },
    Version { first: 0x5430_3531, last: 0x5430_3531, salt: SALT_T051, label: "quic", initial: 0 },
];

/// Bytes of CRYPTO frames kept per side; a ClientHello larger than this stays unread.
const MOST_CRYPTO: usize = 32 * 1024;
/// RFC 9000 17.2: connection ids of versions 1 and 2 have at most 20 bytes.
const LONGEST_ID: usize = 20;

/// A long-header packet before its protection is taken off.
struct Packet<'a> {
    version: u32,
    kind: u8,
    id: &'a [u8],
    /// The packet from its first byte to the end of its payload, as far as it was captured.
    bytes: &'a [u8],
    number_at: usize,
    complete: bool,
}

struct Keys {
    key: [u8; 16],
    iv: [u8; 12],
    header: [u8; 16],
}

impl Keys {
    /// The client's Initial keys for a destination connection id.
    fn derive(version: &Version, id: &[u8]) -> Option<Self> {
        let initial = Hkdf::<Sha256>::new(Some(&version.salt), id);
        let mut secret = [0; 32];
        expand(&initial, "client in", &mut secret)?;
        let client = Hkdf::<Sha256>::from_prk(&secret).ok()?;
        let mut keys = Self { key: [0; 16], iv: [0; 12], header: [0; 16] };
        expand(&client, &format!("{} key", version.label), &mut keys.key)?;
        expand(&client, &format!("{} iv", version.label), &mut keys.iv)?;
        expand(&client, &format!("{} hp", version.label), &mut keys.header)?;
        Some(keys)
    }

    /// The frames of a packet; `None` where these are not its keys.
    fn open(&self, packet: &Packet<'_>) -> Option<Vec<u8>> {
        let mut left = Bytes::new(packet.bytes);
        let head = left.take(packet.number_at)?;
        let mut sampled = left;
        sampled.take(4)?;
        let mut mask = [0; 16];
        mask.copy_from_slice(sampled.take(16)?);
        encrypt(&self.header, &mut mask);
        let [first_mask, number_mask @ ..] = mask;
        let (first, head) = head.split_first()?;
        let first = first ^ first_mask & 0x0f;
        let sealed_number = left.take(usize::from(first & 3) + 1)?;
        let number: Vec<u8> = sealed_number.iter().zip(number_mask).map(|(byte, mask)| byte ^ mask).collect();
        let mut nonce = self.iv;
        nonce.iter_mut().rev().zip(number.iter().rev()).for_each(|(byte, part)| *byte ^= part);
        if !packet.complete {
            return Some(self.open_cut(nonce, left.rest()));
        }
        let header = [&[first], head, &number].concat();
        let payload = Payload { msg: left.rest(), aad: &header };
        Aes128Gcm::new(&self.key.into()).decrypt(&nonce.into(), payload).ok()
    }

    /// What a cut packet still shows. Its tag is gone, so nothing vouches for it but that frames can be read.
    fn open_cut(&self, nonce: [u8; 12], sealed: &[u8]) -> Vec<u8> {
        let mut open = sealed.to_vec();
        for (counter, chunk) in (2_u32..).zip(open.chunks_mut(16)) {
            let mut block = [0; 16];
            let counted = nonce.iter().copied().chain(counter.to_be_bytes());
            block.iter_mut().zip(counted).for_each(|(to, from)| *to = from);
            encrypt(&self.key, &mut block);
            chunk.iter_mut().zip(block).for_each(|(byte, pad)| *byte ^= pad);
        }
        open
    }
}

fn encrypt(key: &[u8; 16], block: &mut [u8; 16]) {
    Aes128::new(&(*key).into()).encrypt_block(block.into());
}

/// HKDF-Expand-Label of TLS 1.3 (RFC 8446 7.1) with an empty context.
fn expand(from: &Hkdf<Sha256>, label: &str, into: &mut [u8]) -> Option<()> {
    let length = u16::try_from(into.len()).ok()?.to_be_bytes();
    let label_length = [u8::try_from(label.len() + 6).ok()?];
    from.expand_multi_info(&[&length, &label_length, b"tls13 ", label.as_bytes(), &[0]], into).ok()
}

/// RFC 9000 16: a number whose first two bits say its length.
fn varint(left: &mut Bytes<'_>) -> Option<u64> {
    let width = 1 << (left.rest().first()? >> 6);
    left.number(width).map(|value| value & (u64::MAX >> (64 - 8 * width + 2)))
}

fn size(left: &mut Bytes<'_>) -> Option<usize> {
    varint(left).and_then(|value| usize::try_from(value).ok())
}

/// The next long-header packet of a datagram and what follows it.
fn packet(datagram: &[u8]) -> Option<(Packet<'_>, &[u8])> {
    let mut left = Bytes::new(datagram);
    let first = left.u8().filter(|first| first & 0xc0 == 0xc0)?;
    let version = left.u32()?;
    let id = left.vector(1).map(|id| id.rest()).filter(|id| id.len() <= LONGEST_ID)?;
    left.vector(1).filter(|id| id.rest().len() <= LONGEST_ID)?;
    let kind = first >> 4 & 3;
    if find(version).is_some_and(|version| version.initial == kind) {
        let token = size(&mut left)?;
        left.take(token)?;
    }
    let length = size(&mut left)?;
    let number_at = datagram.len() - left.rest().len();
    let end = number_at.checked_add(length)?;
    let (bytes, rest) = datagram.split_at_checked(end).unwrap_or((datagram, &[]));
    Some((Packet { version, kind, id, bytes, number_at, complete: bytes.len() == end }, rest))
}

fn find(version: u32) -> Option<&'static Version> {
    VERSIONS.iter().find(|known| (known.first..=known.last).contains(&version))
}

/// Whether a datagram begins with a long header of some version of QUIC.
fn begins(datagram: &[u8]) -> bool {
    let mut left = Bytes::new(datagram);
    let long = left.u8().is_some_and(|first| first & 0x80 != 0);
    long && left.u32().is_some_and(|version| find(version).is_some() || matches!(version.to_be_bytes(), [b'Q' | b'T', b'0', b'0'..=b'9', b'0'..=b'9']))
}

/// The client's handshake bytes, from as many datagrams as there are.
#[derive(Default)]
struct Crypto {
    pieces: Vec<(usize, Vec<u8>)>,
    kept: usize,
}

impl Crypto {
    fn keep(&mut self, offset: usize, data: &[u8]) {
        if self.kept + data.len() <= MOST_CRYPTO && offset <= MOST_CRYPTO {
            self.kept += data.len();
            self.pieces.push((offset, data.to_vec()));
        }
    }

    /// RFC 9000 19: padding, ping, acknowledgements and CRYPTO are what an Initial may carry.
    fn read_frames(&mut self, frames: &[u8]) -> Option<()> {
        let mut left = Bytes::new(frames);
        while let Some(kind) = left.u8() {
            match kind {
                0 | 1 => {}
                2 | 3 => skip_ack(&mut left, kind)?,
                6 => {
                    let offset = size(&mut left)?;
                    let length = size(&mut left)?;
                    self.keep(offset, left.up_to(length));
                }
                _ => return None,
            }
        }
        Some(())
    }

    /// The bytes from offset 0 on, without a gap.
    fn joined(mut self) -> Vec<u8> {
        self.pieces.sort_by_key(|(offset, _)| *offset);
        let mut joined: Vec<u8> = Vec::new();
        for (offset, data) in self.pieces {
            let Some(known) = joined.len().checked_sub(offset) else { break };
            joined.extend_from_slice(data.get(known..).unwrap_or_default());
        }
        joined
    }
}

fn skip_ack(left: &mut Bytes<'_>, kind: u8) -> Option<()> {
    varint(left)?;
    varint(left)?;
    let ranges = varint(left)?;
    let counts = if kind == 3 { 3 } else { 0 };
    for _ in 0..ranges.checked_mul(2)?.checked_add(1 + counts)? {
        varint(left)?;
    }
    Some(())
}

/// The client's CRYPTO bytes of these datagrams.
fn client_crypto(datagrams: &[&[u8]]) -> Vec<u8> {
    let mut crypto = Crypto::default();
    let mut keys: Vec<(u32, Vec<u8>, Keys)> = Vec::new();
    for datagram in datagrams {
        let mut rest = *datagram;
        while let Some((packet, after)) = packet(rest) {
            rest = after;
            let Some(version) = find(packet.version).filter(|version| version.initial == packet.kind) else { continue };
            // The first id the client chose makes the keys; after a Retry, the new one does.
            let known = keys.iter().find_map(|(number, _, keys)| (*number == packet.version).then(|| keys.open(&packet)).flatten());
            let frames = known.or_else(|| {
                if keys.iter().any(|(number, id, _)| *number == packet.version && id == packet.id) {
                    return None;
                }
                let fresh = Keys::derive(version, packet.id)?;
                let frames = fresh.open(&packet);
                keys.insert(0, (packet.version, packet.id.to_vec(), fresh));
                frames
            });
            // Frames that cannot be read end their packet, not the search.
            let _ = crypto.read_frames(&frames.unwrap_or_default());
        }
    }
    crypto.joined()
}

/// The CRYPTO bytes of one packet's open frames.
#[must_use]
pub fn crypto_of(frames: &[u8]) -> Vec<u8> {
    let mut crypto = Crypto::default();
    // Frames that cannot be read end the packet.
    let _ = crypto.read_frames(frames);
    crypto.joined()
}

/// Read QUIC from the first datagrams; `None` where neither side sends long headers of a known version.
#[must_use]
pub fn parse(datagrams: Datagrams<'_>) -> Option<Outcome> {
    let speaks = |side: &[&[u8]]| side.iter().take(4).any(|datagram| begins(datagram));
    if !speaks(datagrams.orig) && !speaks(datagrams.resp) {
        return None;
    }
    let mut outcome = Outcome { services: vec!["quic"], want_more: !datagrams.done, ..Outcome::default() };
    for (client, server) in [(datagrams.orig, datagrams.resp), (datagrams.resp, datagrams.orig)] {
        let joined = client_crypto(client);
        let Some(message) = handshake::messages(&joined).next().filter(|message| message.kind == CLIENT_HELLO) else { continue };
        let Some(hello) = handshake::client_hello(message, false) else { continue };
        hello.tell(&mut outcome.facts, &mut outcome.hints, Carrier::Quic);
        outcome.services.push("ssl");
        // QUIC is never anything else (RFC 9001 4.2); the ServerHello needs no opening for it.
        outcome.facts.tls_version = speaks(server).then(|| "TLSv13".to_owned());
        outcome.want_more = !datagrams.done && (!message.complete || server.is_empty());
        break;
    }
    Some(outcome)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may fail
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

    fn keys(version: u32) -> Keys {
        Keys::derive(find(version).unwrap(), &ID).unwrap()
    }

    #[test]
    fn keys_are_those_of_rfc_9001_and_rfc_9369() {
        let told = |version| {
            let keys = keys(version);
            [super::super::bytes::hex(&keys.key), super::super::bytes::hex(&keys.iv), super::super::bytes::hex(&keys.header)]
        };
        assert_eq!(told(1), ["1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c", "9f50449e04a0e810283a1e9933adedd2"]);
        assert_eq!(told(0x6b33_43cf), ["8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f", "45b95e15235d6f45a6b19cbcb0294ba9"]);
    }

    fn put_varint(out: &mut Vec<u8>, value: usize) {
        out.extend_from_slice(&(0x8000_0000_u32 | u32::try_from(value).unwrap()).to_be_bytes());
    }

    /// A protected Initial packet with these frames, padded to 1200 bytes.
    fn seal(version: u32, number: u32, frames: &[u8]) -> Vec<u8> {
        let keys = keys(version);
        let mut plain = frames.to_vec();
        plain.resize(plain.len().max(1150), 0);
        let mut packet = vec![0xc3 | find(version).unwrap().initial << 4];
        packet.extend_from_slice(&version.to_be_bytes());
        packet.extend_from_slice(&[8]);
        packet.extend_from_slice(&ID);
        packet.extend_from_slice(&[0, 0]);
        put_varint(&mut packet, 4 + plain.len() + 16);
        let number_at = packet.len();
        packet.extend_from_slice(&number.to_be_bytes());
        let mut nonce = keys.iv;
        nonce.iter_mut().rev().zip(number.to_be_bytes().iter().rev()).for_each(|(byte, part)| *byte ^= part);
        let sealed = Aes128Gcm::new(&keys.key.into()).encrypt(&nonce.into(), Payload { msg: &plain, aad: &packet }).unwrap();
        packet.extend(sealed);
        let mut mask = [0; 16];
        mask.copy_from_slice(&packet[number_at + 4..number_at + 20]);
        encrypt(&keys.header, &mut mask);
        packet[0] ^= mask[0] & 0x0f;
        (0..4).for_each(|place| packet[number_at + place] ^= mask[place + 1]);
        packet
    }

    fn crypto_frame(offset: usize, data: &[u8]) -> Vec<u8> {
        let mut frame = vec![6];
        put_varint(&mut frame, offset);
        put_varint(&mut frame, data.len());
        frame.extend_from_slice(data);
        frame
    }

    /// A ClientHello for `example.org` as a handshake message, with a session id of `padding` bytes' worth of ciphers.
    fn client_hello(padding: usize) -> Vec<u8> {
        let ciphers = [0x13, 0x01].repeat(padding + 1);
        let name = b"example.org";
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.push(0);
        body.extend(u16::try_from(ciphers.len()).unwrap().to_be_bytes());
        body.extend(ciphers);
        body.extend([1, 0]);
        body.extend([0, 20, 0, 0, 0, 16, 0, 14, 0, 0, 11]);
        body.extend(name);
        let mut message = vec![1];
        message.extend(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
        message.extend(body);
        message
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_split_and_order_of_crypto_frames_is_the_same_hello(
            version in prop_oneof![Just(1), Just(0x6b33_43cf)],
            padding in 0_usize..700,
            cuts in prop::collection::vec(1_usize..1000, 1..6),
            order in any::<prop::sample::Index>(),
        ) {
            let message = client_hello(padding);
            let mut ends: Vec<usize> = cuts.into_iter().map(|cut| cut % message.len()).chain([0, message.len()]).collect();
            ends.sort_unstable();
            ends.dedup();
            let mut frames: Vec<Vec<u8>> = ends.windows(2).map(|ends| crypto_frame(ends[0], &message[ends[0]..ends[1]])).collect();
            let turn = order.index(frames.len());
            frames.rotate_left(turn);
            let packets: Vec<Vec<u8>> = (1..).zip(&frames).map(|(number, frames)| seal(version, number, frames)).collect();
            let datagrams: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
            let found = parse(Datagrams { orig: &datagrams, resp: &[], resp_port: 443, done: true }).unwrap();
            prop_assert_eq!(found.facts.server_name.as_deref(), Some("example.org"));
            prop_assert!(found.facts.ja4.unwrap().starts_with('q'));
        }

        #[test]
        fn a_damaged_packet_is_not_believed(place in 30_usize..1200, bit in 0_u8..8) {
            let mut packet = seal(1, 1, &crypto_frame(0, &client_hello(0)));
            let place = place % packet.len();
            packet[place] ^= 1 << bit;
            let found = parse(Datagrams { orig: &[&packet], resp: &[], resp_port: 443, done: true });
            prop_assert!(found.is_none_or(|found| found.facts.server_name.is_none()));
        }
    }

    #[test]
    fn a_packet_cut_by_the_snaplen_still_shows_its_start() {
        let packet = seal(1, 1, &crypto_frame(0, &client_hello(0)));
        let found = parse(Datagrams { orig: &[&packet[..200]], resp: &[], resp_port: 443, done: true }).unwrap();
        assert_eq!(found.facts.server_name.as_deref(), Some("example.org"));
    }
}
