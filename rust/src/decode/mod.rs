//! A frame to transport packets: link layers, IP with fragments and extension headers, tunnels.

mod fragment;
mod icmp;
mod ip;
mod link;
mod plain;
mod share;
mod tunnel;
mod types;

pub use ip::{ICMP, ICMP6, TCP, UDP};
pub use plain::plain;
pub use share::{share, share_of};
pub use tunnel::Tunnel;
pub use types::{known as known_link, unknown as unknown_link};

use crate::capture::Frame;

/// Layers inside layers; more are an attack.
const DEPTH: u8 = 12;

/// An address as 16 bytes; IPv4 is mapped (`::ffff:a.b.c.d`).
pub type Address = [u8; 16];

/// Address and port.
pub type End = (Address, u16);

/// The TCP header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tcp {
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
}

/// One TCP segment, UDP datagram or ICMP message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Packet<'a> {
    pub source: Address,
    pub target: Address,
    /// IP protocol number: 6, 17, 1 or 58.
    pub proto: u8,
    /// For ICMP: type and the type of the answer (or the code, where there is no answer).
    pub source_port: u16,
    pub target_port: u16,
    /// ICMP that has no answer: a session of its own per direction.
    pub one_way: bool,
    /// IP header and payload on the wire, as the header says.
    pub ip_bytes: u32,
    /// IPv4 identification (and its absence for IPv6): equal in a packet that was captured twice.
    pub id: Option<u16>,
    pub tcp: Tcp,
    /// Payload bytes on the wire, as the headers say.
    pub length: u32,
    /// What was stored of the payload.
    pub payload: &'a [u8],
    pub tunnel: Tunnel,
    /// Virtual network (VXLAN, GENEVE) plus one; addresses in different ones are different hosts.
    pub network: u32,
    /// The snapshot length cut the TCP header before its flags: ports are known, and nothing else.
    pub headless: bool,
    /// The payload is read as a tunnel: its sessions are counted on their own.
    pub carrier: bool,
}

/// Takes what a frame holds.
pub trait Sink {
    fn packet(&mut self, packet: &Packet<'_>);
    /// Something that cannot be decoded, by kind and reason.
    fn lost(&mut self, kind: &'static str, reason: &str);
    /// The frame holds a fragment of this IP packet; `packet` follows with the frame that makes it whole.
    fn fragment(&mut self, _source: &Address, _target: &Address, _id: u32, _proto: u8) {}
}

/// What is carried along while going down the layers.
#[derive(Debug, Clone, Copy, Default)]
struct Context {
    tunnel: Tunnel,
    network: u32,
    depth: u8,
}

impl Context {
    fn deeper(self) -> Option<Self> {
        (self.depth < DEPTH).then_some(Self { depth: self.depth + 1, ..self })
    }

    fn inside(self, kind: Tunnel) -> Option<Self> {
        self.deeper().map(|next| Self { tunnel: next.tunnel.push(kind), ..next })
    }
}

/// Turns frames into packets; keeps fragments until they are whole.
#[derive(Default)]
pub struct Decoder {
    fragments: fragment::Fragments,
    time: i64,
}

impl Decoder {
    /// Decode one frame.
    #[inline]
    pub fn frame<S: Sink>(&mut self, frame: &Frame<'_>, sink: &mut S) {
        self.time = frame.time;
        let length = frame.length.saturating_sub(usize::from(frame.trailer));
        match types::layer(frame.link) {
            Some(layer) => self.walk(layer, crate::bytes::first(frame.data, length), length, Context::default(), sink),
            None => sink.lost("link_type", &types::unknown(frame.link)),
        }
    }
}
