//! P1: a day's mix of an office line, with whole hellos. 44 % TLS on 443, SSH, mail, FTP over TLS, SMB, HTTP, DNS, QUIC, scans;
//! 15 % VLAN tagged, 12 % IPv6, 75 % of TCP with time stamps, 0.2 % of segments sent twice.

use crate::frame::{ACK, Endpoint, FIN, Link, PSH, Pcap, RST, SYN, Tcp};
use crate::random::Random;
use crate::talk::{Kind, MIX, Turn, turns};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::path::Path;

const SESSIONS: f64 = 165_000.0;
const SECONDS: f64 = 600.0;
const START: f64 = 1_700_000_000.0;
const SEGMENT: usize = 1448;

struct Session {
    link: Link,
    turns: Vec<Turn>,
    turn: usize,
    offset: usize,
    /// 0 SYN, 1 SYN ACK, 2 ACK, 3 data, 4 FIN, 5 FIN, 6 ACK, 7 done
    phase: u8,
    seq: [u32; 2],
    /// Segments that wait for an acknowledgement, and who sends it.
    unacked: u8,
    acker: bool,
    stamps: bool,
    trip: f64,
    random: Random,
}

pub fn write(path: &Path, scale: f64) -> io::Result<()> {
    let mut out = Pcap::create(path)?;
    let count = (SESSIONS * scale) as u64;
    let mut noise = Vec::with_capacity(1 << 20);
    let mut random = Random::new(1);
    while noise.len() < 1 << 20 {
        noise.extend_from_slice(&random.next().to_le_bytes());
    }
    let mut open: Vec<Option<Session>> = Vec::new();
    let mut free = Vec::new();
    let mut due: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    for number in 0..count {
        let start = SECONDS * number as f64 / count as f64;
        run_until(&mut out, &mut open, &mut free, &mut due, (start * 1e6) as u64, &noise)?;
        let session = begin(number);
        let at = free.pop().unwrap_or_else(|| {
            open.push(None);
            open.len() - 1
        });
        open[at] = Some(session);
        due.push(Reverse(((start * 1e6) as u64, at)));
    }
    run_until(&mut out, &mut open, &mut free, &mut due, u64::MAX, &noise)?;
    out.finish()
}

fn run_until(
    out: &mut Pcap,
    open: &mut [Option<Session>],
    free: &mut Vec<usize>,
    due: &mut BinaryHeap<Reverse<(u64, usize)>>,
    limit: u64,
    noise: &[u8],
) -> io::Result<()> {
    while let Some(&Reverse((time, at))) = due.peek() {
        if time >= limit {
            break;
        }
        due.pop();
        let Some(session) = open[at].as_mut() else { continue };
        match session.step(out, START + time as f64 / 1e6, noise)? {
            Some(wait) => due.push(Reverse((time + 1 + (wait * 1e6) as u64, at))),
            None => {
                open[at] = None;
                free.push(at);
            }
        }
    }
    Ok(())
}

fn begin(number: u64) -> Session {
    let mut random = Random::new(number ^ 0x5151);
    let mut pick = random.unit();
    let (_, port, kind) = MIX
        .into_iter()
        .find(|(share, _, _)| {
            pick -= share;
            pick < 0.0
        })
        .unwrap_or(MIX[0]);
    let udp = matches!(kind, Kind::Dns | Kind::Quic | Kind::Ntp);
    let inside_only = kind == Kind::Plain;
    let v6 = random.chance(0.12) && !inside_only;
    let link = Link {
        client: Endpoint { address: inside(&mut random, v6), port: 32768 + random.below(28000) as u16 },
        server: Endpoint { address: if inside_only { inside(&mut random, false) } else { outside(&mut random, v6) }, port },
        v6,
        vlan: random.chance(0.15).then(|| 100 + random.below(20) as u16),
        udp,
    };
    let turns = turns(kind, &mut random);
    Session {
        link,
        turns,
        turn: 0,
        offset: 0,
        phase: if udp { 3 } else { 0 },
        seq: [random.next() as u32, random.next() as u32],
        unacked: 0,
        acker: false,
        stamps: random.chance(0.75),
        trip: 0.004 + random.unit() * 0.05,
        random,
    }
}

pub fn inside(random: &mut Random, v6: bool) -> [u8; 16] {
    let host = random.skewed(6000) as u16;
    let mut address = [0u8; 16];
    if v6 {
        address[..4].copy_from_slice(&[0xfd, 0, 0, 10]);
        address[14..].copy_from_slice(&host.to_be_bytes());
    } else {
        let [high, low] = host.to_be_bytes();
        address[..4].copy_from_slice(&[10, 20, high, low.max(1)]);
    }
    address
}

pub fn outside(random: &mut Random, v6: bool) -> [u8; 16] {
    let value = crate::random::mix(random.skewed(40_000)).to_be_bytes();
    let mut address = [0u8; 16];
    if v6 {
        address[..4].copy_from_slice(&[0x2a, 2, value[0], value[1]]);
        address[8..16].copy_from_slice(&value);
    } else {
        address[..4].copy_from_slice(&[[23, 34, 52, 93, 104, 142, 151, 185][(value[0] & 7) as usize], value[1], value[2], value[3].max(1)]);
    }
    address
}

impl Session {
    /// Writes one packet; the seconds until the next, or nothing after the last.
    fn step(&mut self, out: &mut Pcap, now: f64, noise: &[u8]) -> io::Result<Option<f64>> {
        if self.link.udp {
            return self.datagram(out, now, noise);
        }
        match self.phase {
            0 => {
                self.bare(out, now, true, SYN)?;
                self.seq[0] = self.seq[0].wrapping_add(1);
                self.phase = if self.turns.is_empty() && self.random.chance(0.7) { 7 } else { 1 };
            }
            1 if self.turns.is_empty() => {
                self.bare(out, now, false, RST | ACK)?;
                self.phase = 7;
            }
            1 => {
                self.bare(out, now, false, SYN | ACK)?;
                self.seq[1] = self.seq[1].wrapping_add(1);
                self.phase = 2;
            }
            2 => {
                self.bare(out, now, true, ACK)?;
                self.phase = 3;
            }
            3 => return self.data(out, now, noise).map(Some),
            4 | 5 => {
                let side = usize::from(self.phase == 5);
                self.bare(out, now, side == 0, FIN | ACK)?;
                self.seq[side] = self.seq[side].wrapping_add(1);
                self.phase += 1;
            }
            _ => {
                self.bare(out, now, true, ACK)?;
                self.phase = 7;
            }
        }
        Ok((self.phase < 7).then_some(self.trip / 2.0))
    }

    fn tcp(&self, to_server: bool, flags: u8, now: f64) -> Tcp {
        let side = usize::from(!to_server);
        let clock = ((now - START) * 1000.0) as u32;
        let ack = if flags & ACK == 0 { 0 } else { self.seq[1 - side] };
        Tcp { seq: self.seq[side], ack, flags, stamps: self.stamps.then_some((clock, clock.saturating_sub(20))) }
    }

    fn bare(&self, out: &mut Pcap, now: f64, to_server: bool, flags: u8) -> io::Result<()> {
        out.tcp(now, &self.link, to_server, &self.tcp(to_server, flags, now), &[])
    }

    fn data(&mut self, out: &mut Pcap, now: f64, noise: &[u8]) -> io::Result<f64> {
        let Some(turn) = self.turns.get(self.turn) else {
            self.phase = 4;
            return Ok(self.trip);
        };
        let to_server = turn.to_server;
        if self.unacked >= 2 {
            self.unacked = 0;
            self.bare(out, now, self.acker, ACK)?;
            return Ok(0.000_03);
        }
        let total = turn.head.len() + turn.bulk;
        let length = (total - self.offset).min(SEGMENT);
        let joined;
        let payload = if self.offset + length <= turn.head.len() {
            &turn.head[self.offset..self.offset + length]
        } else if self.offset >= turn.head.len() {
            let from = self.random.below((noise.len() - SEGMENT) as u64) as usize;
            &noise[from..from + length]
        } else {
            joined = [&turn.head[self.offset..], &noise[..length - (turn.head.len() - self.offset)]].concat();
            &joined
        };
        let last = self.offset + length == total;
        let tcp = self.tcp(to_server, if last { PSH | ACK } else { ACK }, now);
        out.tcp(now, &self.link, to_server, &tcp, payload)?;
        if self.random.chance(0.002) {
            out.tcp(now + 1e-6, &self.link, to_server, &tcp, payload)?;
        }
        let side = usize::from(!to_server);
        self.seq[side] = self.seq[side].wrapping_add(length as u32);
        self.unacked += 1;
        self.acker = !to_server;
        if !last {
            self.offset += length;
            return Ok(0.000_05);
        }
        self.turn += 1;
        self.offset = 0;
        self.unacked = if self.random.chance(0.6) { 2 } else { 0 };
        Ok(self.trip / 2.0)
    }

    fn datagram(&mut self, out: &mut Pcap, now: f64, noise: &[u8]) -> io::Result<Option<f64>> {
        let Some(turn) = self.turns.get(self.turn) else { return Ok(None) };
        let total = turn.head.len() + turn.bulk;
        let length = (total - self.offset).min(1200);
        let payload = if self.offset < turn.head.len() { &turn.head[self.offset..(self.offset + length).min(turn.head.len())] } else { &noise[7..7 + length] };
        // Short header of QUIC: no long packet may follow by chance.
        let mut bytes = payload.to_vec();
        if turn.head.is_empty() {
            bytes[0] = 0x40 | (bytes[0] & 0x3f);
        }
        out.udp(now, &self.link, turn.to_server, &bytes)?;
        self.offset += length;
        if self.offset < total {
            return Ok(Some(0.000_1));
        }
        self.turn += 1;
        self.offset = 0;
        Ok((self.turn < self.turns.len()).then_some(self.trip / 2.0))
    }
}
