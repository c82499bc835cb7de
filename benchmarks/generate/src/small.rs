//! P2: small packets. 40 % scans, 30 % DNS, 30 % chatty TCP of small payloads, over a million 5-tuples.

use crate::frame::{ACK, Endpoint, FIN, Link, PSH, Pcap, RST, SYN, Tcp};
use crate::mixed::{inside, outside};
use crate::random::Random;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::path::Path;

const SESSIONS: f64 = 1_000_000.0;
const SECONDS: f64 = 600.0;
const START: f64 = 1_700_000_000.0;

struct Session {
    number: u64,
    step: u32,
    steps: u32,
    seq: [u32; 2],
}

pub fn write(path: &Path, scale: f64) -> io::Result<()> {
    let mut out = Pcap::create(path)?;
    let count = (SESSIONS * scale) as u64;
    let mut due: BinaryHeap<Reverse<(u64, u64)>> = BinaryHeap::new();
    let mut open: std::collections::HashMap<u64, Session> = std::collections::HashMap::new();
    for number in 0..=count {
        let start = if number == count { u64::MAX } else { (SECONDS * 1e6 * number as f64 / count as f64) as u64 };
        while let Some(&Reverse((time, id))) = due.peek() {
            if time >= start {
                break;
            }
            due.pop();
            let Some(session) = open.get_mut(&id) else { continue };
            let wait = session.emit(&mut out, START + time as f64 / 1e6)?;
            if session.step < session.steps {
                due.push(Reverse((time + 1 + wait, id)));
            } else {
                open.remove(&id);
            }
        }
        if number < count {
            let mut random = Random::new(number ^ 0x2222);
            let steps = match random.below(10) {
                0..4 => 1 + random.below(2) as u32,
                4..7 => 2,
                _ => 8 + random.below(46) as u32,
            };
            open.insert(number, Session { number, step: 0, steps, seq: [number as u32, !number as u32] });
            due.push(Reverse((start, number)));
        }
    }
    out.finish()
}

impl Session {
    fn emit(&mut self, out: &mut Pcap, now: f64) -> io::Result<u64> {
        let mut random = Random::new(self.number ^ 0x2222);
        let kind = random.below(10);
        let udp = (4..7).contains(&kind);
        let port = if udp { 53 } else if kind < 4 { 1 + random.below(10_000) as u16 } else { [443, 8883, 5222, 1883][random.below(4) as usize] };
        let link = Link {
            client: Endpoint { address: inside(&mut random, false), port: 1024 + random.below(64_000) as u16 },
            server: Endpoint { address: outside(&mut random, false), port },
            v6: false,
            vlan: None,
            udp,
        };
        let step = self.step;
        self.step += 1;
        if udp {
            let mut query = [7u8, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, b'w', b'w', b'w', 7, b'e', b'x', b'a', b'm', b'p', b'l', b'e', 3, b'o', b'r', b'g', 0, 0, 1, 0, 1];
            if step == 1 {
                query[2] = 0x81;
                query[3] = 0x83;
            }
            out.udp(now, &link, step == 0, &query)?;
            return Ok(20_000);
        }
        let to_server = step == 0 || (step > 1 && step % 2 == 0);
        let flags = match step {
            0 => SYN,
            1 if self.steps == 2 => RST | ACK,
            1 => SYN | ACK,
            _ if step + 2 >= self.steps => FIN | ACK,
            2 => ACK,
            _ => PSH | ACK,
        };
        let payload = [0x5au8; 64];
        let length = if flags & PSH != 0 { 8 + (step as usize * 7) % 40 } else { 0 };
        let side = usize::from(!to_server);
        let ack = if flags & ACK != 0 { self.seq[1 - side] } else { 0 };
        out.tcp(now, &link, to_server, &Tcp { seq: self.seq[side], ack, flags, stamps: None }, &payload[..length])?;
        self.seq[side] = self.seq[side].wrapping_add(length as u32 + u32::from(flags & (SYN | FIN) != 0));
        Ok(200_000 + (self.number % 97) * 3_000)
    }
}
