//! Ethernet frames with right checksums, and the pcap file they go into.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

#[derive(Clone)]
pub struct Link {
    pub client: Endpoint,
    pub server: Endpoint,
    pub v6: bool,
    pub vlan: Option<u16>,
    pub udp: bool,
}

#[derive(Clone)]
pub struct Endpoint {
    pub address: [u8; 16],
    pub port: u16,
}

/// What of a TCP header changes from packet to packet.
pub struct Tcp {
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub stamps: Option<(u32, u32)>,
}

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;

pub struct Pcap {
    out: BufWriter<File>,
    frame: Vec<u8>,
    pub packets: u64,
    pub bytes: u64,
}

impl Pcap {
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        out.write_all(&0xa1b2_c3d4u32.to_le_bytes())?;
        out.write_all(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
        out.write_all(&262_144u32.to_le_bytes())?;
        out.write_all(&1u32.to_le_bytes())?;
        Ok(Self { out, frame: Vec::with_capacity(2048), packets: 0, bytes: 24 })
    }

    pub fn tcp(&mut self, time: f64, link: &Link, to_server: bool, tcp: &Tcp, payload: &[u8]) -> io::Result<()> {
        let mut options = [0u8; 12];
        let mut used = 0;
        if tcp.flags & SYN != 0 {
            options[..4].copy_from_slice(&[2, 4, 5, 180]);
            used = 4;
        } else if let Some((value, echo)) = tcp.stamps {
            options[..4].copy_from_slice(&[1, 1, 8, 10]);
            options[4..8].copy_from_slice(&value.to_be_bytes());
            options[8..].copy_from_slice(&echo.to_be_bytes());
            used = 12;
        }
        let (source, target) = ends(link, to_server);
        let mut header = [0u8; 32];
        header[..2].copy_from_slice(&source.port.to_be_bytes());
        header[2..4].copy_from_slice(&target.port.to_be_bytes());
        header[4..8].copy_from_slice(&tcp.seq.to_be_bytes());
        header[8..12].copy_from_slice(&tcp.ack.to_be_bytes());
        header[12] = (((20 + used) / 4) << 4) as u8;
        header[13] = tcp.flags;
        header[14..16].copy_from_slice(&0xfaf0u16.to_be_bytes());
        header[20..20 + used].copy_from_slice(&options[..used]);
        self.write(time, link, to_server, 6, &mut header[..20 + used], 16, payload)
    }

    pub fn udp(&mut self, time: f64, link: &Link, to_server: bool, payload: &[u8]) -> io::Result<()> {
        let (source, target) = ends(link, to_server);
        let mut header = [0u8; 8];
        header[..2].copy_from_slice(&source.port.to_be_bytes());
        header[2..4].copy_from_slice(&target.port.to_be_bytes());
        header[4..6].copy_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
        self.write(time, link, to_server, 17, &mut header, 6, payload)
    }

    #[allow(clippy::too_many_arguments)]
    fn write(&mut self, time: f64, link: &Link, to_server: bool, proto: u8, header: &mut [u8], at: usize, payload: &[u8]) -> io::Result<()> {
        let (source, target) = ends(link, to_server);
        let width = if link.v6 { 16 } else { 4 };
        let mut sum = ones(&source.address[..width], 0);
        sum = ones(&target.address[..width], sum);
        sum += u64::from(proto) + (header.len() + payload.len()) as u64;
        sum = ones(header, sum);
        sum = ones(payload, sum);
        let check = !fold(sum);
        header[at..at + 2].copy_from_slice(&check.to_be_bytes());

        let frame = &mut self.frame;
        frame.clear();
        let (near, far) = if to_server { (1u8, 2u8) } else { (2, 1) };
        frame.extend_from_slice(&[2, 0, 0, 0, 0, far, 2, 0, 0, 0, 0, near]);
        if let Some(vlan) = link.vlan {
            frame.extend_from_slice(&[0x81, 0]);
            frame.extend_from_slice(&vlan.to_be_bytes());
        }
        let length = header.len() + payload.len();
        if link.v6 {
            frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
            frame.extend_from_slice(&[proto, 64]);
        } else {
            frame.extend_from_slice(&[8, 0]);
            let total = ((20 + length) as u16).to_be_bytes();
            let mut ip = [0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, proto, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            ip[12..16].copy_from_slice(&source.address[..4]);
            ip[16..20].copy_from_slice(&target.address[..4]);
            let check = !fold(ones(&ip, 0));
            ip[10..12].copy_from_slice(&check.to_be_bytes());
            frame.extend_from_slice(&ip);
        }
        if link.v6 {
            frame.extend_from_slice(&source.address);
            frame.extend_from_slice(&target.address);
        }
        frame.extend_from_slice(header);
        frame.extend_from_slice(payload);

        let seconds = time as u32;
        let micros = ((time - f64::from(seconds)) * 1e6) as u32;
        let size = frame.len() as u32;
        for word in [seconds, micros, size, size] {
            self.out.write_all(&word.to_le_bytes())?;
        }
        self.out.write_all(frame)?;
        self.packets += 1;
        self.bytes += 16 + u64::from(size);
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()?;
        println!("{} packets, {} bytes", self.packets, self.bytes);
        Ok(())
    }
}

fn ends(link: &Link, to_server: bool) -> (&Endpoint, &Endpoint) {
    if to_server { (&link.client, &link.server) } else { (&link.server, &link.client) }
}

/// Ones' complement sum of big-endian 16-bit words, not folded.
fn ones(bytes: &[u8], start: u64) -> u64 {
    let mut words = bytes.chunks_exact(4);
    let mut sum = start;
    for word in &mut words {
        sum += u64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    }
    let rest = words.remainder();
    let mut last = [0u8; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum + u64::from(u32::from_be_bytes(last))
}

fn fold(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
