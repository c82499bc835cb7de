//! The frames that most are: Ethernet with a VLAN tag or without, one whole IP packet without options, TCP or UDP, no tunnel.

use super::ip::{TCP, UDP, mapped};
use super::tunnel::inside_udp;
use super::types::ETHERNET;
use super::{Packet, Tcp};
use crate::bytes::{first, u16_at};
use crate::capture::Frame;

/// The packet of such a frame, as `Decoder::frame` would hand it over; `None` where it is for that one to say what is in there.
#[inline]
#[must_use]
pub fn plain<'a>(frame: &Frame<'a>, into: &mut Packet<'a>) -> Option<()> {
    let data = frame.data;
    if frame.link != ETHERNET || frame.trailer != 0 || data.len() > frame.length {
        return None;
    }
    let skip = match u16_at(data, 12)? {
        0x0800 | 0x86dd => 14,
        0x8100 if matches!(u16_at(data, 16)?, 0x0800 | 0x86dd) => 18,
        _ => return None,
    };
    let ip = data.get(skip..)?;
    let (header, total) = match ip.first()? {
        0x45 => (20, version4(ip, into)?),
        0x60..=0x6f => (40, version6(ip, into)?),
        _ => return None,
    };
    let rest = first(ip, total).get(header..)?;
    if frame.length - skip < total {
        return None;
    }
    into.ip_bytes = u32::try_from(total).ok()?;
    match into.proto {
        TCP => segment(rest, total - header, into),
        UDP => datagram(rest, total - header, into),
        _ => None,
    }
}

/// Addresses, protocol and identification of a header; the length of the packet.
#[inline]
fn version4(ip: &[u8], into: &mut Packet<'_>) -> Option<usize> {
    let head = ip.first_chunk::<20>()?;
    let total = usize::from(u16::from_be_bytes([head[2], head[3]]));
    // Neither a fragment, nor without a length.
    if u16::from_be_bytes([head[6], head[7]]) & 0x3fff != 0 || total < 20 {
        return None;
    }
    into.source = mapped([head[12], head[13], head[14], head[15]]);
    into.target = mapped([head[16], head[17], head[18], head[19]]);
    into.proto = head[9];
    into.id = Some(u16::from_be_bytes([head[4], head[5]]));
    Some(total)
}

#[inline]
fn version6(ip: &[u8], into: &mut Packet<'_>) -> Option<usize> {
    let head = ip.first_chunk::<40>()?;
    let payload = u16::from_be_bytes([head[4], head[5]]);
    into.source = *head.get(8..)?.first_chunk()?;
    into.target = *head.get(24..)?.first_chunk()?;
    into.proto = head[6];
    into.id = None;
    (payload > 0).then_some(usize::from(payload) + 40)
}

#[inline]
fn segment<'a>(data: &'a [u8], whole: usize, into: &mut Packet<'a>) -> Option<()> {
    let head = data.first_chunk::<20>()?;
    let header = usize::from(head[12] >> 4) * 4;
    let length = whole.checked_sub(header).filter(|_| header >= 20)?;
    into.source_port = u16::from_be_bytes([head[0], head[1]]);
    into.target_port = u16::from_be_bytes([head[2], head[3]]);
    into.tcp = Tcp {
        seq: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        ack: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
        flags: head[13],
        window: u16::from_be_bytes([head[14], head[15]]),
    };
    into.length = u32::try_from(length).ok()?;
    into.payload = data.get(header..).unwrap_or_default();
    Some(())
}

#[inline]
fn datagram<'a>(data: &'a [u8], whole: usize, into: &mut Packet<'a>) -> Option<()> {
    let head = data.first_chunk::<8>()?;
    let said = usize::from(u16::from_be_bytes([head[4], head[5]]));
    let length = if said >= 8 { said.min(whole) } else { whole }.checked_sub(8)?;
    into.source_port = u16::from_be_bytes([head[0], head[1]]);
    into.target_port = u16::from_be_bytes([head[2], head[3]]);
    into.tcp = Tcp::default();
    into.length = u32::try_from(length).ok()?;
    into.payload = first(data.get(8..)?, length);
    inside_udp(into).is_none().then_some(())
}
