//! QUIC: the client's Initial packets opened, CRYPTO frames put in order.

mod keys;

use keys::{Keys, find};

use super::bytes::Bytes;
use super::handshake::{self, CLIENT_HELLO};
use super::{Datagrams, Outcome};
use crate::fingerprint::Carrier;

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
        let (mut rest, mut id) = (*datagram, None);
        while let Some((packet, after)) = packet(rest) {
            rest = after;
            // Packets of one datagram have one destination; others are to be ignored (RFC 9000 12.2).
            if *id.get_or_insert(packet.id) != packet.id {
                continue;
            }
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

    use aes_gcm::Aes128Gcm;
    use aes_gcm::aead::{Aead, KeyInit, Payload};

    use super::keys::{encrypt, tests::{ID, keys}};
    use super::*;

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
    fn packets_for_another_destination_in_a_datagram_are_ignored() {
        let hello = seal(1, 1, &crypto_frame(0, &client_hello(0)));
        let mut other = vec![0xc0, 0, 0, 0, 1, 1, 9, 0, 0, 20];
        other.extend([0; 20]);
        let told = |packets: &[&[u8]]| parse(Datagrams { orig: &[&packets.concat()], resp: &[], resp_port: 443, done: true }).unwrap().facts.server_name;
        assert_eq!(told(&[&hello, &other]).as_deref(), Some("example.org"));
        assert_eq!(told(&[&other, &hello]), None);
    }

    #[test]
    fn a_packet_cut_by_the_snaplen_still_shows_its_start() {
        let packet = seal(1, 1, &crypto_frame(0, &client_hello(0)));
        let found = parse(Datagrams { orig: &[&packet[..200]], resp: &[], resp_port: 443, done: true }).unwrap();
        assert_eq!(found.facts.server_name.as_deref(), Some("example.org"));
    }
}
