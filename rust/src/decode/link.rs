//! From the link layer to IP: one function per layer, each saying which layer follows and where it begins.

use super::tunnel::Tunnel;
use super::types::layer;
use super::{Context, Decoder, Sink};
use crate::bytes::{after, array, u8_at, u16_at, u32_at};

/// What bytes are to be read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    Ethernet,
    /// An EtherType's payload.
    Type(u16),
    Ip,
    Null,
    Ppp,
    /// PPP with its address and control bytes, or Cisco HDLC.
    Hdlc,
    Sll,
    Sll2,
    Radiotap,
    Prism,
    Avs,
    Ppi,
    Wifi,
    Nflog,
    Pflog,
    Mpls,
    /// IEEE 802.2 logical link control.
    Llc,
    Fddi,
    TokenRing,
    FrameRelay,
    /// Bytes to skip before another layer.
    PppDirection,
    Mpacket,
    Ieee1394,
    FibreChannelIp,
    Enc,
    Tzsp,
    /// GRE over UDP (RFC 8086).
    Gre,
}

/// The next layer and the bytes before it.
type Next = Option<(Layer, usize)>;

fn ethernet(data: &[u8]) -> Next {
    let kind = u16_at(data, 12)?;
    Some(if kind >= 0x600 { (Layer::Type(kind), 14) } else { (Layer::Llc, 14) })
}

fn ethertype(kind: u16, data: &[u8]) -> Next {
    match kind {
        0x0800 | 0x86dd => Some((Layer::Ip, 0)),
        0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x8926 => vlan(data, if kind == 0x8926 { 4 } else { 2 }),
        0x8864 => Some((Layer::Ppp, 6)),
        0x880b => Some((Layer::Ppp, 0)),
        0x8847 | 0x8848 => Some((Layer::Mpls, 0)),
        0x6558 => Some((Layer::Ethernet, 0)),
        0x88e7 => Some((Layer::Ethernet, 4)), // provider backbone bridge
        _ => None,
    }
}

/// Behind a tag of `size` bytes stands a type, or (below 0x600) the length of an LLC frame.
fn vlan(data: &[u8], size: usize) -> Next {
    let kind = u16_at(data, size)?;
    Some((if kind >= 0x600 { Layer::Type(kind) } else { Layer::Llc }, size + 2))
}

fn llc(data: &[u8]) -> Next {
    match array::<3>(data, 0)? {
        [0xaa, 0xaa, 3] => match array::<3>(data, 3)? {
            [0, 0, 0] | [0, 0, 0xf8] => Some((Layer::Type(u16_at(data, 6)?), 8)),
            [0, 0x80, 0xc2] if matches!(u16_at(data, 6)?, 1 | 7) => Some((Layer::Ethernet, 10)),
            _ => None,
        },
        [6, 6, 3] => Some((Layer::Ip, 3)),
        [0xfe, 0xfe, 3] => (u8_at(data, 3)? == 0xcc).then_some((Layer::Ip, 4)),
        _ => None,
    }
}

/// BSD loopback: the address family in the writer's own byte order.
fn null(data: &[u8]) -> Next {
    let family = u32_at(data, 0)?;
    let family = if family & 0xffff == 0 { family.swap_bytes() } else { family };
    matches!(family, 2 | 10 | 24 | 28 | 30).then_some((Layer::Ip, 4))
}

fn ppp(data: &[u8]) -> Next {
    // Address and control (RFC 1662) stand there once, or not at all.
    let framed = if array::<2>(data, 0)? == [0xff, 3] { 2 } else { 0 };
    let data = after(data, framed);
    let first = u8_at(data, 0)?;
    let (kind, skip) = if first & 1 == 1 { (u16::from(first), framed + 1) } else { (u16_at(data, 0)?, framed + 2) };
    match kind {
        0x21 | 0x57 => Some((Layer::Ip, skip)),
        0x281 | 0x283 => Some((Layer::Mpls, skip)),
        0x31 => Some((Layer::Ethernet, skip + 2)),
        _ => None,
    }
}

fn hdlc(data: &[u8]) -> Next {
    match array::<2>(data, 0)? {
        [0x0f | 0x8f, _] => Some((Layer::Type(u16_at(data, 2)?), 4)),
        _ => ppp(data),
    }
}

fn sll(data: &[u8]) -> Next {
    linux(u16_at(data, 2)?, u16_at(data, 14)?, 16)
}

fn sll2(data: &[u8]) -> Next {
    linux(u16_at(data, 8)?, u16_at(data, 0)?, 20)
}

/// Linux cooked: by hardware type, then by protocol.
fn linux(hardware: u16, kind: u16, skip: usize) -> Next {
    match (hardware, kind) {
        (778, 0x0800) | (778, 0x86dd) => Some((Layer::Ip, skip)),
        (803, _) => Some((Layer::Radiotap, skip)),
        (_, 4) => Some((Layer::Llc, skip)),
        (_, 0x0600..) => Some((Layer::Type(kind), skip)),
        _ => None,
    }
}

fn radiotap(data: &[u8]) -> Next {
    let [low, high] = array::<2>(data, 2)?;
    Some((Layer::Wifi, usize::from(u16::from_le_bytes([low, high]))))
}

/// IEEE 802.11: plain data frames only.
fn wifi(data: &[u8]) -> Next {
    let [first, second] = array::<2>(data, 0)?;
    let (kind, subtype) = ((first >> 2) & 3, first >> 4);
    let protected = second & 0x40 != 0;
    if kind != 2 || subtype & 4 != 0 || protected {
        return None;
    }
    let mut skip = if second & 3 == 3 { 30 } else { 24 };
    if subtype & 8 != 0 {
        if u8_at(data, skip)? & 0x80 != 0 {
            // An aggregate: the first of its frames, behind addresses and length.
            return Some((Layer::Llc, skip + 2 + 14));
        }
        skip += if second & 0x80 != 0 { 6 } else { 2 };
    }
    Some((Layer::Llc, skip))
}

/// Netfilter log: a header, then type-length-value records; 9 is the packet.
fn nflog(data: &[u8]) -> Next {
    let mut at = 4;
    loop {
        let [a, b, c, d] = array::<4>(data, at)?;
        let (length, kind) = (usize::from(u16::from_le_bytes([a, b])), u16::from_le_bytes([c, d]));
        if length < 4 {
            return None;
        }
        if kind == 9 {
            return Some((Layer::Ip, at + 4));
        }
        at += length.next_multiple_of(4);
    }
}

/// OpenBSD's packet filter log: the first byte is the header's length without padding.
fn pflog(data: &[u8]) -> Next {
    let length = usize::from(u8_at(data, 0)?);
    (length >= 24).then_some((Layer::Ip, length.next_multiple_of(4)))
}

/// Down to the label at the bottom of the stack, then a guess by the first nibble.
fn mpls(data: &[u8]) -> Next {
    let mut at = 0;
    loop {
        let label = u32_at(data, at)?;
        at += 4;
        if label & 0x100 != 0 {
            break;
        }
    }
    match u8_at(data, at)? >> 4 {
        4 | 6 => Some((Layer::Ip, at)),
        0 => Some((Layer::Ethernet, at + 4)),
        _ => Some((Layer::Ethernet, at)),
    }
}

fn token_ring(data: &[u8]) -> Next {
    let routed = u8_at(data, 8)? & 0x80 != 0;
    let route = if routed { usize::from(u8_at(data, 14)? & 0x1f) } else { 0 };
    Some((Layer::Llc, 14 + route))
}

fn frame_relay(data: &[u8]) -> Next {
    let address = data.iter().take(4).position(|byte| byte & 1 == 1)? + 1;
    match array::<2>(data, address)? {
        [3, 0xcc | 0x8e] => Some((Layer::Ip, address + 2)),
        [3, 0] => Some((Layer::Type(u16_at(data, address + 6)?), address + 8)),
        [8, 0] => Some((Layer::Ip, address + 2)),
        _ => Some((Layer::Type(u16_at(data, address)?), address + 2)),
    }
}

fn ppi(data: &[u8]) -> Next {
    let [_, _, low, high, link, ..] = array::<8>(data, 0)?;
    let next = layer(u16::from(link))?;
    (next != Layer::Ppi).then_some((next, usize::from(u16::from_le_bytes([low, high]))))
}

fn prism(data: &[u8]) -> Next {
    // Some drivers say "Prism" and write AVS.
    if array::<3>(data, 0)? == [0x80, 0x21, 0x10] || u16_at(data, 0)? == 0x8021 {
        return avs(data);
    }
    Some((Layer::Wifi, 144))
}

fn avs(data: &[u8]) -> Next {
    Some((Layer::Wifi, u32_at(data, 4)? as usize))
}

/// Frame preemption's preamble is in front.
fn mpacket(data: &[u8]) -> Next {
    let _ = u8_at(data, 8)?;
    Some((Layer::Ethernet, 8))
}

/// Tazmen sniffer protocol over UDP: a mirrored frame behind tagged fields.
fn tzsp(data: &[u8]) -> Next {
    let encapsulated = u16_at(data, 2)?;
    let mut at = 4;
    loop {
        match u8_at(data, at)? {
            1 => break,
            0 => at += 1,
            _ => at += 2 + usize::from(u8_at(data, at + 1)?),
        }
    }
    let next = match encapsulated {
        1 => Layer::Ethernet,
        18 => Layer::Wifi,
        119 => Layer::Prism,
        127 => Layer::Avs,
        _ => return None,
    };
    Some((next, at + 1))
}

fn next(layer: Layer, data: &[u8]) -> Next {
    match layer {
        Layer::Ethernet => ethernet(data),
        Layer::Type(kind) => ethertype(kind, data),
        Layer::Ip => None,
        Layer::Null => null(data),
        Layer::Ppp => ppp(data),
        Layer::Hdlc => hdlc(data),
        Layer::Sll => sll(data),
        Layer::Sll2 => sll2(data),
        Layer::Radiotap => radiotap(data),
        Layer::Prism => prism(data),
        Layer::Avs => avs(data),
        Layer::Ppi => ppi(data),
        Layer::Wifi => wifi(data),
        Layer::Nflog => nflog(data),
        Layer::Pflog => pflog(data),
        Layer::Mpls => mpls(data),
        Layer::Llc => llc(data),
        Layer::Fddi => Some((Layer::Llc, 13)),
        Layer::TokenRing => token_ring(data),
        Layer::FrameRelay => frame_relay(data),
        Layer::PppDirection => Some((Layer::Ppp, 1)),
        Layer::Mpacket => mpacket(data),
        Layer::Ieee1394 => Some((Layer::Type(u16_at(data, 16)?), 18)),
        Layer::FibreChannelIp => Some((Layer::Llc, 16)),
        Layer::Enc => Some((Layer::Ip, 12)),
        Layer::Tzsp => tzsp(data),
        Layer::Gre => super::tunnel::gre(data).map(|(_, layer, skip)| (layer, skip)),
    }
}

/// More tags than that in a row are an attack.
const LAYERS: usize = 16;

impl Decoder {
    /// Follow the layers down to IP. `length` is what was on the wire, `data` what was stored.
    #[inline]
    pub(super) fn walk<S: Sink>(&mut self, mut layer: Layer, mut data: &[u8], mut length: usize, context: Context, sink: &mut S) {
        for _ in 0..LAYERS {
            if layer == Layer::Ip {
                return self.ip(data, length, context, sink);
            }
            let Some((below, skip)) = next(layer, data) else { return };
            if data.len() < skip {
                return;
            }
            layer = below;
            data = after(data, skip);
            length = length.saturating_sub(skip);
        }
    }

    /// Follow a tunnel's payload.
    pub(super) fn tunnel<S: Sink>(&mut self, kind: Tunnel, layer: Layer, data: &[u8], length: usize, context: Context, sink: &mut S) {
        if let Some(context) = context.inside(kind) {
            self.walk(layer, data, length, context, sink);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_ppp_one_behind_the_other_are_no_ladder() {
        assert!(ppp(&[0xff, 3].repeat(8 << 20)).is_none());
        assert_eq!(ppp(&[0xff, 3, 0, 0x21, 0x45]), Some((Layer::Ip, 4)));
        assert_eq!(ppp(&[0x21, 0x45]), Some((Layer::Ip, 1)));
    }
}
