//! The frames that most are: Ethernet with a VLAN tag or without, one whole IP packet, TCP or UDP, no tunnel.

use super::ip::{TCP, UDP, datagram, segment, v4, v6};
use super::{Context, Packet};
use super::link::ETHERNET;
use super::tunnel::inside_udp;
use crate::bytes::{after, first, u8_at, u16_at};
use crate::capture::Frame;

/// The packet of such a frame, as `Decoder::frame` would hand it over; `None` where it is for that one to say what is in there.
#[inline]
#[must_use]
pub fn plain<'a>(frame: &Frame<'a>) -> Option<Packet<'a>> {
    let length = frame.length.saturating_sub(usize::from(frame.trailer));
    let data = first(frame.data, length);
    let (kind, skip) = match u16_at(data, 12)? {
        0x8100 => (u16_at(data, 16)?, 18),
        kind => (kind, 14),
    };
    if frame.link != ETHERNET || !matches!(kind, 0x0800 | 0x86dd) {
        return None;
    }
    let (data, length) = (after(data, skip), length - skip);
    let ip = match u8_at(data, 0)? >> 4 {
        4 => v4(data, length),
        6 => v6(data, length),
        _ => None,
    }?;
    let rest = after(first(data, ip.total), ip.header);
    match ip.proto {
        _ if ip.fragment.is_some() => None,
        TCP => segment(&ip, rest, Context::default()).ok().flatten(),
        UDP => datagram(&ip, rest, Context::default()).filter(|packet| inside_udp(packet).is_none()),
        _ => None,
    }
}
