//! IPv4 and IPv6 to TCP, UDP and ICMP.

use super::icmp::icmp;
use super::link::Layer;
use super::tunnel::{Tunnel, inside_udp};
use super::{Address, Context, Decoder, Packet, Sink, Tcp};
use crate::bytes::{self, after, array, first, u8_at, u16_at, u32_at};

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMP6: u8 = 58;

/// An IP packet, header read.
#[derive(Clone, Copy)]
pub(super) struct Ip {
    pub source: Address,
    pub target: Address,
    pub proto: u8,
    /// Header and payload, by the header; what the frame held where the header says nothing (offload).
    pub total: usize,
    /// Header length, extension headers included.
    pub header: usize,
    pub id: Option<u16>,
    /// Bytes of fragment headers (IPv6), which the whole packet does not have.
    pub extra: usize,
    /// Identification, offset in bytes and "more follow", where it is a fragment.
    pub fragment: Option<(u32, usize, bool)>,
}

impl Ip {
    pub(super) fn payload(&self) -> usize {
        self.total.saturating_sub(self.header)
    }
}

#[inline]
pub(super) fn mapped([a, b, c, d]: [u8; 4]) -> Address {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

#[inline]
fn v4(data: &[u8], length: usize) -> Option<Ip> {
    let head = data.first_chunk::<20>()?;
    let total = match u16::from_be_bytes([head[2], head[3]]) {
        0 => length,
        total => usize::from(total),
    };
    let header = usize::from(head[0] & 15) * 4;
    if header < 20 || header > total || length < total || header > data.len() {
        return None;
    }
    let id = u16::from_be_bytes([head[4], head[5]]);
    let part = u16::from_be_bytes([head[6], head[7]]);
    let fragment = (part & 0x3fff != 0).then(|| (u32::from(id), usize::from(part & 0x1fff) * 8, part & 0x2000 != 0));
    let source = mapped([head[12], head[13], head[14], head[15]]);
    let target = mapped([head[16], head[17], head[18], head[19]]);
    Some(Ip { source, target, proto: head[9], total, header, id: Some(id), extra: 0, fragment })
}

fn v6(data: &[u8], length: usize) -> Option<Ip> {
    let head = data.first_chunk::<40>()?;
    let total = match u16::from_be_bytes([head[4], head[5]]) {
        0 => length,
        payload => usize::from(payload) + 40,
    };
    if length < total {
        return None;
    }
    let mut ip = Ip { source: array(data, 8)?, target: array(data, 24)?, proto: head[6], total, header: 40, id: None, extra: 0, fragment: None };
    extensions(data, &mut ip)?;
    (ip.header <= total && ip.header <= data.len()).then_some(ip)
}

/// Step over extension headers; the last destination of a routing header is the packet's.
fn extensions(data: &[u8], ip: &mut Ip) -> Option<()> {
    for _ in 0..16 {
        let at = ip.header;
        let size = match ip.proto {
            0 | 43 | 60 | 135 | 139 | 140 => usize::from(u8_at(data, at + 1)?) * 8 + 8,
            51 => usize::from(u8_at(data, at + 1)?) * 4 + 8,
            44 => 8,
            _ => return Some(()),
        };
        if ip.proto == 44 {
            ip.extra = 8;
            let part = u16_at(data, at + 2)?;
            if part & 0xfff9 != 0 {
                ip.fragment = Some((u32_at(data, at + 4)?, usize::from(part & 0xfff8), part & 1 != 0));
            }
        }
        if ip.proto == 43 && u8_at(data, at + 2)? == 0 && u8_at(data, at + 3)? > 0 && size >= 24 {
            ip.target = array(data, at + size - 16)?;
        }
        if ip.proto == 60 {
            home(bytes::first(after(data, at), size), ip);
        }
        ip.proto = u8_at(data, at)?;
        ip.header += size;
        if ip.fragment.is_some() {
            return Some(()); // what follows is part of the whole, and read with it
        }
    }
    Some(())
}

/// Step over the extension headers (IPv6) that what was in fragments begins with.
fn unfolded(ip: Ip, body: &[u8]) -> Option<(Ip, &[u8])> {
    if ip.id.is_some() {
        return Some((ip, body));
    }
    let mut inner = Ip { header: 0, fragment: None, ..ip };
    extensions(body, &mut inner)?;
    let rest = body.get(inner.header..).filter(|_| inner.fragment.is_none())?;
    Some((Ip { header: ip.header + inner.header, fragment: ip.fragment, ..inner }, rest))
}

/// Mobile IPv6: the address at home is the source.
fn home(options: &[u8], ip: &mut Ip) {
    let mut at = 2;
    while let Some(kind) = u8_at(options, at) {
        let size = if kind == 0 { 1 } else { 2 + usize::from(u8_at(options, at + 1).unwrap_or(0)) };
        if kind == 201 && size == 18 {
            ip.source = array(options, at + 2).unwrap_or(ip.source);
        }
        at += size;
    }
}

impl Decoder {
    #[inline]
    pub(super) fn ip<S: Sink>(&mut self, data: &[u8], length: usize, context: Context, sink: &mut S) {
        let Some(version) = u8_at(data, 0) else { return };
        let ip = match version >> 4 {
            4 => v4(data, length),
            6 => v6(data, length),
            _ => None,
        };
        let Some(ip) = ip else {
            sink.lost("malformed", "IP header that does not fit its packet");
            return;
        };
        let data = first(data, ip.total);
        if let Some((id, offset, more)) = ip.fragment {
            return self.fragment(&ip, data, (id, offset, more), context, sink);
        }
        self.transport(&ip, after(data, ip.header), context, sink);
    }

    /// A fragment: once all are there, the whole packet is one, with the length of the whole.
    fn fragment<S: Sink>(&mut self, ip: &Ip, data: &[u8], part: (u32, usize, bool), context: Context, sink: &mut S) {
        let (id, offset, more) = part;
        if data.len() < ip.total {
            // Cut by the snapshot length: cannot be put together. The first one still tells the session.
            if offset == 0 {
                self.unfold(*ip, after(data, ip.header), context, sink);
            }
            return;
        }
        sink.fragment(&ip.source, &ip.target, id, ip.proto);
        let key = (ip.source, ip.target, id, ip.proto);
        let Some(body) = self.fragments.add(key, offset, more, after(data, ip.header), self.time) else { return };
        let whole = Ip { total: ip.header + body.len(), fragment: None, ..*ip };
        self.unfold(whole, &body, context, sink);
    }

    fn unfold<S: Sink>(&mut self, ip: Ip, body: &[u8], context: Context, sink: &mut S) {
        match unfolded(ip, body) {
            Some((ip, rest)) => self.transport(&ip, rest, context, sink),
            None => sink.lost("malformed", "IP header that does not fit its packet"),
        }
    }

    #[inline]
    fn transport<S: Sink>(&mut self, ip: &Ip, data: &[u8], context: Context, sink: &mut S) {
        match ip.proto {
            TCP => tcp(ip, data, context, sink),
            UDP => self.udp(ip, data, context, sink),
            ICMP | ICMP6 => icmp(ip, data, context, sink),
            4 => self.tunnel(Tunnel::IPIP, Layer::Ip, data, ip.payload(), context, sink),
            41 => self.tunnel(Tunnel::SIX, Layer::Ip, data, ip.payload(), context, sink),
            47 => self.gre(data, ip.payload(), context, sink),
            97 => self.tunnel(Tunnel::ETHERIP, Layer::Ethernet, after(data, 2), ip.payload().saturating_sub(2), context, sink),
            137 => self.tunnel(Tunnel::MPLS, Layer::Mpls, data, ip.payload(), context, sink),
            _ => {}
        }
    }

    #[inline]
    fn udp<S: Sink>(&mut self, ip: &Ip, data: &[u8], context: Context, sink: &mut S) {
        let Some(mut packet) = datagram(ip, data, context) else { return };
        let payload = packet.payload;
        let inner = inside_udp(&packet);
        packet.carrier = inner.is_some();
        sink.packet(&packet);
        if let Some(inner) = inner {
            let context = Context { network: inner.network.map_or(context.network, |network| network + 1), ..context };
            let rest = (packet.length as usize).saturating_sub(inner.skip);
            self.tunnel(inner.kind, inner.layer, after(payload, inner.skip), rest, context, sink);
        }
    }
}

/// Bytes of a transport header up to and with its ports, UDP's length, TCP's flags and its window.
const PORTS: usize = 4;
const LENGTH: usize = 6;
const FLAGS: usize = 14;
const WINDOW: usize = 16;

/// The first bytes of a header, zeros where the snapshot length cut them off; `None` where fewer than `least` are left, or where it was not cut.
fn stored<const N: usize>(data: &[u8], whole: usize, least: usize) -> Option<[u8; N]> {
    if let Some(head) = data.first_chunk::<N>() {
        return (whole >= N).then_some(*head);
    }
    let mut head = [0; N];
    head.get_mut(..data.len()).filter(|_| data.len() >= least && whole >= N)?.copy_from_slice(data);
    Some(head)
}

pub(super) fn blank<'a>(ip: &Ip, context: Context) -> Packet<'a> {
    Packet {
        source: ip.source,
        target: ip.target,
        proto: ip.proto,
        source_port: 0,
        target_port: 0,
        one_way: false,
        ip_bytes: u32::try_from(ip.total - ip.extra).unwrap_or(u32::MAX),
        id: ip.id,
        tcp: Tcp::default(),
        length: 0,
        payload: &[],
        tunnel: context.tunnel,
        network: context.network,
        headless: false,
        carrier: false,
    }
}

#[inline]
fn tcp<S: Sink>(ip: &Ip, data: &[u8], context: Context, sink: &mut S) {
    match segment(ip, data, context) {
        Ok(packet) => packet.iter().for_each(|packet| sink.packet(packet)),
        Err(reason) => sink.lost("malformed", reason),
    }
}

/// A TCP packet; `None` where not even its ports were stored.
///
/// # Errors
/// What is wrong with its header.
#[inline]
fn segment<'a>(ip: &Ip, data: &'a [u8], context: Context) -> Result<Option<Packet<'a>>, &'static str> {
    let Some(head) = stored::<20>(data, ip.payload(), PORTS) else { return Ok(None) };
    let header = usize::from(head[12] >> 4) * 4;
    let mut packet = blank(ip, context);
    packet.source_port = u16::from_be_bytes([head[0], head[1]]);
    packet.target_port = u16::from_be_bytes([head[2], head[3]]);
    if data.len() < FLAGS {
        packet.headless = true;
        return Ok(Some(packet));
    }
    if header < 20 || header > ip.payload() {
        return Err("TCP header that does not fit its packet");
    }
    packet.tcp = Tcp {
        seq: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        ack: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
        flags: head[13],
        window: if data.len() < WINDOW { 1 } else { u16::from_be_bytes([head[14], head[15]]) },
    };
    let length = ip.payload() - header;
    packet.length = u32::try_from(length).unwrap_or(u32::MAX);
    packet.payload = first(after(data, header), length);
    Ok(Some(packet))
}

/// A UDP packet; `None` where not even its ports were stored.
#[inline]
fn datagram<'a>(ip: &Ip, data: &'a [u8], context: Context) -> Option<Packet<'a>> {
    let [a, b, c, d, e, f, _, _] = stored::<8>(data, ip.payload(), PORTS)?;
    // Zero where offload left it to the network card; not believed where it was cut.
    let said = if data.len() < LENGTH { 0 } else { usize::from(u16::from_be_bytes([e, f])) };
    let room = ip.payload() - 8;
    let length = match (said.checked_sub(8), ip.fragment) {
        (None, _) => room,
        (Some(said), None) => said.min(room), // more than its packet holds was not sent
        (Some(said), Some(_)) => said,        // the first fragment, cut: it speaks for all
    };
    let mut packet = blank(ip, context);
    packet.source_port = u16::from_be_bytes([a, b]);
    packet.target_port = u16::from_be_bytes([c, d]);
    packet.length = u32::try_from(length).unwrap_or(u32::MAX);
    packet.payload = first(after(data, 8), length);
    Some(packet)
}
