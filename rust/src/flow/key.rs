//! What makes packets one session: the unordered tuple, its hash, and the names derived from it.

use std::net::{IpAddr, Ipv6Addr};

pub use crate::decode::End;
use crate::decode::{Address, Packet};

/// The tuple in a fixed order, so that both directions have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Key {
    pub a: Address,
    pub b: Address,
    pub a_port: u16,
    pub b_port: u16,
    pub proto: u8,
    pub one_way: bool,
    pub network: u32,
}

impl Key {
    /// The key of a packet, and whether it goes from `a` to `b`.
    #[inline]
    #[must_use]
    pub fn of(packet: &Packet<'_>) -> (Self, bool) {
        let (source, target) = ((packet.source, packet.source_port), (packet.target, packet.target_port));
        let (key, forward) = Self::between(source, target, packet.proto, packet.one_way);
        (Self { network: packet.network, ..key }, forward)
    }

    /// The same from the ends.
    #[inline]
    #[must_use]
    pub fn between(source: End, target: End, proto: u8, one_way: bool) -> (Self, bool) {
        let place = |end: End| (u128::from_be_bytes(end.0), end.1);
        let forward = one_way || place(source) <= place(target);
        let ((a, a_port), (b, b_port)) = if forward { (source, target) } else { (target, source) };
        (Self { a, b, a_port, b_port, proto, one_way, network: 0 }, forward)
    }

    /// A hash that an outsider cannot steer without knowing the seeds.
    #[inline]
    #[must_use]
    pub fn hash(&self, seeds: (u64, u64)) -> u64 {
        let mut state = seeds.0;
        for half in [&self.a, &self.b] {
            let whole = u128::from_le_bytes(*half);
            state = fold(state ^ low(whole), seeds.1 ^ low(whole >> 64));
        }
        let tail = (u64::from(self.a_port) << 48) | (u64::from(self.b_port) << 32) | (u64::from(self.network) << 8) | u64::from(self.proto);
        fold(state ^ tail, seeds.1 ^ 0x9e37_79b9_7f4a_7c15)
    }
}

#[inline]
fn low(whole: u128) -> u64 {
    (whole & u128::from(u64::MAX)) as u64
}

/// Both halves of a product: the mixing step of wyhash.
#[inline]
#[must_use]
pub fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    low(product) ^ low(product >> 64)
}

/// Write an address as text, IPv4 where it is mapped.
pub fn write(address: &Address, out: &mut String) {
    use std::fmt::Write;
    let [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, parts @ ..] = *address else {
        let _ = write!(out, "{}", Ipv6Addr::from(*address));
        return;
    };
    for (place, part) in parts.into_iter().enumerate() {
        if place > 0 {
            out.push('.');
        }
        if part >= 100 {
            out.push(char::from(b'0' + part / 100));
        }
        if part >= 10 {
            out.push(char::from(b'0' + part / 10 % 10));
        }
        out.push(char::from(b'0' + part % 10));
    }
}

/// An address as text.
#[must_use]
pub fn text(address: &Address) -> String {
    let mut text = String::new();
    write(address, &mut text);
    text
}

/// An address as the standard library's.
#[must_use]
pub fn ip(address: &Address) -> IpAddr {
    let six = Ipv6Addr::from(*address);
    six.to_ipv4_mapped().map_or(IpAddr::V6(six), IpAddr::V4)
}

/// A name like Zeek's (`C` and base 62) that is the same in every run: from the tuple, in its fixed order, and the start.
#[must_use]
pub fn uid(key: &Key, start: i64) -> [u8; 18] {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    /// 62^10, the largest power that divides the number into halves of one word each.
    const HALF: u128 = 839_299_365_868_340_224;
    let one = mix(key.hash((0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344)) ^ start.cast_unsigned());
    let two = mix(key.hash((0xa409_3822_299f_31d0, 0x082e_fa98_ec4e_6c89)).wrapping_add(start.cast_unsigned()));
    let whole = (u128::from(one) << 32) | u128::from(two & 0xffff_ffff);
    let mut rest = low(whole % HALF);
    let mut text = [b'C'; 18];
    for (place, letter) in text.iter_mut().skip(1).enumerate() {
        if place == 10 {
            rest = low(whole / HALF);
        }
        *letter = DIGITS.get((rest % 62) as usize).copied().unwrap_or(b'0');
        rest /= 62;
    }
    text
}

/// The same as text.
#[must_use]
pub fn name(key: &Key, start: i64) -> String {
    uid(key, start).into_iter().map(char::from).collect()
}

/// The finaliser of splitmix64.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
