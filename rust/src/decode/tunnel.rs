//! Tunnels: which there are, how they are noted, and where their payload begins.

use super::link::Layer;
use super::{Context, Decoder, Packet, Sink};
use crate::bytes::{after, array, u8_at, u16_at, u32_at};

/// The tunnels around a packet, outermost first: up to four kinds, one byte each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Tunnel(u32);

impl Tunnel {
    pub const IPIP: Self = Self(1);
    pub const SIX: Self = Self(2);
    pub const GRE: Self = Self(3);
    pub const ERSPAN: Self = Self(4);
    pub const VXLAN: Self = Self(5);
    pub const GENEVE: Self = Self(6);
    pub const TEREDO: Self = Self(7);
    pub const GTP: Self = Self(8);
    pub const ETHERIP: Self = Self(9);
    pub const MPLS: Self = Self(10);
    pub const AYIYA: Self = Self(11);
    pub const TZSP: Self = Self(12);
    const NAMES: [&'static str; 13] = ["", "ipip", "6in4", "gre", "erspan", "vxlan", "geneve", "teredo", "gtp", "etherip", "mpls", "ayiya", "tzsp"];

    /// One more, inside the others; beyond four the innermost is not noted.
    #[must_use]
    pub fn push(self, kind: Self) -> Self {
        let used = (32 - self.0.leading_zeros()).div_ceil(8) * 8;
        if used >= 32 { self } else { Self(self.0 | (kind.0 << used)) }
    }

    /// `gre,erspan`; `None` where there is none.
    #[must_use]
    pub fn text(self) -> Option<String> {
        let names: Vec<&str> =
            self.0.to_le_bytes().iter().take_while(|kind| **kind != 0).filter_map(|kind| Self::NAMES.get(usize::from(*kind)).copied()).collect();
        (!names.is_empty()).then(|| names.join(","))
    }
}

/// What a UDP payload holds.
pub(super) struct Inner {
    pub kind: Tunnel,
    pub layer: Layer,
    pub skip: usize,
    /// Virtual network identifier.
    pub network: Option<u32>,
}

fn vxlan(data: &[u8]) -> Option<Inner> {
    // The I flag says that the network identifier is valid; a VXLAN without it is none.
    (u8_at(data, 0)? & 0x08 != 0 && data.len() >= 8 + 14).then_some(())?;
    Some(Inner { kind: Tunnel::VXLAN, layer: Layer::Ethernet, skip: 8, network: Some(u32_at(data, 4)? >> 8) })
}

fn geneve(data: &[u8]) -> Option<Inner> {
    let first = u8_at(data, 0)?;
    (first >> 6 == 0).then_some(())?;
    let layer = Layer::Type(u16_at(data, 2)?);
    Some(Inner { kind: Tunnel::GENEVE, layer, skip: 8 + usize::from(first & 0x3f) * 4, network: Some(u32_at(data, 4)? >> 8) })
}

/// Teredo (RFC 4380): optional authentication and origin indications, then IPv6.
fn teredo(data: &[u8], length: usize) -> Option<Inner> {
    let mut skip = 0;
    if array::<2>(data, skip)? == [0, 1] {
        skip += 13 + usize::from(u8_at(data, skip + 2)?) + usize::from(u8_at(data, skip + 3)?);
    }
    if array::<2>(data, skip)? == [0, 0] {
        skip += 8;
    }
    let inside = after(data, skip);
    let whole = 40 + usize::from(u16_at(inside, 4)?);
    (u8_at(inside, 0)? >> 4 == 6 && whole <= length.checked_sub(skip)?).then_some(Inner { kind: Tunnel::TEREDO, layer: Layer::Ip, skip, network: None })
}

/// GTP version 1, user plane: a packet of a mobile's session.
fn gtp(data: &[u8]) -> Option<Inner> {
    let [flags, kind] = array::<2>(data, 0)?;
    (flags & 0xf0 == 0x30 && kind == 255).then_some(())?;
    let mut skip = 8;
    if flags & 7 != 0 {
        skip = 12;
        let mut next = if flags & 4 != 0 { u8_at(data, 11)? } else { 0 };
        while next != 0 {
            let size = usize::from(u8_at(data, skip)?) * 4;
            (size > 0).then_some(())?;
            next = u8_at(data, skip + size - 1)?;
            skip += size;
        }
    }
    matches!(u8_at(data, skip)? >> 4, 4 | 6).then_some(Inner { kind: Tunnel::GTP, layer: Layer::Ip, skip, network: None })
}

/// Anything in anything: identity, signature, then IPv6.
fn ayiya(data: &[u8]) -> Option<Inner> {
    let [id, signature, operation, next] = array::<4>(data, 0)?;
    let skip = 8 + (1_usize << (id >> 4)) + usize::from(signature >> 4) * 4;
    (operation & 15 == 1 && matches!(next, 41 | 4) && matches!(u8_at(data, skip)? >> 4, 4 | 6)).then_some(Inner {
        kind: Tunnel::AYIYA,
        layer: Layer::Ip,
        skip,
        network: None,
    })
}

fn tzsp(data: &[u8]) -> Option<Inner> {
    let [version, kind] = array::<2>(data, 0)?;
    (version == 1 && kind == 0).then_some(Inner { kind: Tunnel::TZSP, layer: Layer::Tzsp, skip: 0, network: None })
}

/// Is this datagram a tunnel? By port, like Zeek, and only where the header fits.
#[inline]
pub(super) fn inside_udp(packet: &Packet<'_>) -> Option<Inner> {
    let data = packet.payload;
    let (from, to) = (packet.source_port, packet.target_port);
    match (from, to) {
        (_, 4789 | 8472) | (4789, _) => vxlan(data),
        (_, 6081) | (6081, _) => geneve(data),
        (_, 4754) => Some(Inner { kind: Tunnel::GRE, layer: Layer::Gre, skip: 0, network: None }),
        (3544, _) | (_, 3544) => teredo(data, packet.length as usize),
        (2152, _) | (_, 2152) => gtp(data),
        (5072, _) | (_, 5072) => ayiya(data),
        (_, 37008) => tzsp(data),
        _ => None,
    }
}

/// May a datagram between these ports be a tunnel?
#[inline]
pub(super) fn by_port(from: u16, to: u16) -> bool {
    let known = |port: u16| matches!(port, 2152 | 3544 | 4754 | 4789 | 5072 | 6081 | 8472 | 37008);
    known(from) || known(to)
}

impl Decoder {
    /// GRE versions 0 and 1 (RFC 2784, 2890, 2637), with ERSPAN I to III inside.
    pub(super) fn gre<S: Sink>(&mut self, data: &[u8], length: usize, context: Context, sink: &mut S) {
        let Some((kind, layer, skip)) = gre(data) else { return };
        let Some(context) = context.inside(Tunnel::GRE) else { return };
        let rest = length.saturating_sub(skip);
        match kind {
            Some(kind) => self.tunnel(kind, layer, after(data, skip), rest, context, sink),
            None => self.walk(layer, after(data, skip), rest, context, sink),
        }
    }
}

pub(super) fn gre(data: &[u8]) -> Option<(Option<Tunnel>, Layer, usize)> {
    let (flags, proto) = (u16_at(data, 0)?, u16_at(data, 2)?);
    let mut skip = 4;
    if flags & 0xc000 != 0 {
        skip += 4; // checksum and offset stand together
    }
    skip += if flags & 0x2000 != 0 { 4 } else { 0 } + if flags & 0x1000 != 0 { 4 } else { 0 };
    if flags & 7 == 1 && flags & 0x80 != 0 {
        skip += 4;
    }
    if flags & 0x4000 != 0 && flags & 7 == 0 {
        while u8_at(data, skip + 3)? != 0 {
            skip += 4 + usize::from(u8_at(data, skip + 3)?);
        }
        skip += 4;
    }
    match proto {
        0x88be if flags & 0x1000 == 0 => Some((Some(Tunnel::ERSPAN), Layer::Ethernet, skip)),
        0x88be => Some((Some(Tunnel::ERSPAN), Layer::Ethernet, skip + 8)),
        0x22eb => {
            let more = if u8_at(data, skip + 11)? & 1 == 1 { 8 } else { 0 };
            Some((Some(Tunnel::ERSPAN), Layer::Ethernet, skip + 12 + more))
        }
        0x8200 | 0x8210 | 0x8220 | 0x8230 | 0x8240 | 0x8250 | 0x8260 | 0x8270 | 0x8280 | 0x8290 | 0x82a0 | 0x82b0 | 0x82c0 | 0x82d0 | 0x82e0
        | 0x82f0 | 0x9000 => Some((None, Layer::Wifi, skip)),
        kind => Some((None, Layer::Type(kind), skip)),
    }
}
