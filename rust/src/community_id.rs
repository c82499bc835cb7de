//! Community ID version 1 (github.com/corelight/community-id-spec), seed 0.

use sha1::{Digest, Sha1};

use crate::decode::Address;

/// The identifier of a conversation; the same for both directions, except for one-way ICMP.
#[must_use]
pub fn v1(source: &Address, target: &Address, proto: u8, source_port: u16, target_port: u16, one_way: bool) -> [u8; 30] {
    let (low, high) = ((short(source), source_port), (short(target), target_port));
    let (first, second) = if one_way || low <= high { (low, high) } else { (high, low) };
    let mut hash = Sha1::new();
    hash.update([0, 0]);
    hash.update(first.0);
    hash.update(second.0);
    hash.update([proto, 0]);
    hash.update(first.1.to_be_bytes());
    hash.update(second.1.to_be_bytes());
    let mut text = *b"1:============================";
    base64(&hash.finalize(), &mut text);
    text
}

/// Four bytes for IPv4, sixteen for IPv6.
fn short(address: &Address) -> &[u8] {
    match address {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, rest @ ..] => rest,
        whole => whole,
    }
}

/// The digits of 20 bytes, behind the version.
fn base64(bytes: &[u8], text: &mut [u8; 30]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (_, digits) = text.split_at_mut(2);
    for (chunk, places) in bytes.chunks(3).zip(digits.chunks_mut(4)) {
        let whole = chunk.iter().fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for (place, digit) in places.iter_mut().take(chunk.len() + 1).enumerate() {
            *digit = DIGITS.get(((whole >> (18 - 6 * place)) & 63) as usize).copied().unwrap_or(b'=');
        }
    }
}
