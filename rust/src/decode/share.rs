//! Whose a frame is, where several share the work: all packets of a session fall to the same one. What is to be known of a frame for that is
//! less than what it holds: where its packet goes from and to.

use super::ip::{TCP, UDP};
use super::tunnel::by_port;
use super::types::ETHERNET;
use super::Packet;
use crate::bytes::{array, u16_at};
use crate::capture::Frame;

/// The number of a packet's session, the same for both directions; close to evenly spread, and the same in every run.
#[inline]
#[must_use]
pub fn share(packet: &Packet<'_>) -> u32 {
    let half = |address: &[u8; 16], at: usize| array(address, at).map_or(0, u64::from_be_bytes);
    let both = |at: usize| half(&packet.source, at).wrapping_add(half(&packet.target, at));
    number(both(0), both(8), packet.source_port, packet.target_port)
}

/// The same for a frame that holds one packet, of which ports and addresses can be told at once: Ethernet with a VLAN tag or without, IP without
/// options, no fragment, TCP, or UDP that is no tunnel. `None`: only who decodes it can say whose its packets are, if there are any.
#[inline]
#[must_use]
pub fn share_of(frame: &Frame<'_>) -> Option<u32> {
    let data = frame.data;
    let skip = match u16_at(data, 12).filter(|_| frame.link == ETHERNET)? {
        0x0800 | 0x86dd => 14,
        0x8100 if matches!(u16_at(data, 16)?, 0x0800 | 0x86dd) => 18,
        _ => return None,
    };
    let ip = data.get(skip..)?;
    let (high, low, proto, ports) = match ip.first()? {
        0x45 => {
            let head = ip.first_chunk::<24>()?;
            let part = u16::from_be_bytes([head[6], head[7]]) & 0x3fff;
            let address = |bytes: [u8; 4]| 0xffff_0000_0000 | u64::from(u32::from_be_bytes(bytes));
            let low = address([head[12], head[13], head[14], head[15]]) + address([head[16], head[17], head[18], head[19]]);
            (0, low, (part == 0).then_some(head[9])?, [head[20], head[21], head[22], head[23]])
        }
        0x60..=0x6f => {
            let half = |at: usize| array(ip, at).map(u64::from_be_bytes);
            (half(8)?.wrapping_add(half(24)?), half(16)?.wrapping_add(half(32)?), *ip.get(6)?, array(ip, 40)?)
        }
        _ => return None,
    };
    let [a, b, c, d] = ports;
    let (from, to) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    (proto == TCP || proto == UDP && !by_port(from, to)).then(|| number(high, low, from, to))
}

#[inline]
fn number(high: u64, low: u64, from: u16, to: u16) -> u32 {
    let ports = u64::from(from) + u64::from(to);
    let product = u128::from(low ^ 0xa076_1d64_78bd_642f) * u128::from(high.rotate_left(32) ^ ports.wrapping_mul(0xe703_7ed1_a0b4_28db) ^ 0x8ebc_6af0_9c88_c6e3);
    ((product >> 64) as u64 ^ product as u64) as u32
}
