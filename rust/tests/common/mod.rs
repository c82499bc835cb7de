//! What tests of whole captures share: a folder of files, segments, and the two ways to store frames.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// Time in microseconds and the bytes of an Ethernet frame.
pub type Frame = (u64, Vec<u8>);

static NEXT: AtomicU64 = AtomicU64::new(0);

pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("netexfil-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn tcp(ports: (u16, u16), seq: u32, ack: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(ports.0.to_be_bytes());
    segment.extend(ports.1.to_be_bytes());
    segment.extend(seq.to_be_bytes());
    segment.extend(ack.to_be_bytes());
    segment.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    segment.extend(data);
    segment
}

pub fn udp(ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    datagram.extend(ports.0.to_be_bytes());
    datagram.extend(ports.1.to_be_bytes());
    datagram.extend((8 + data.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(data);
    datagram
}

pub fn pcap(frames: &[Frame], big: bool, nanos: bool) -> Vec<u8> {
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let half = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut file = Vec::new();
    file.extend(word(if nanos { 0xa1b2_3c4d } else { 0xa1b2_c3d4 }));
    file.extend([half(2), half(4)].concat());
    file.extend([word(0), word(0), word(65_535), word(1)].concat());
    for (time, frame) in frames {
        let fraction = (time % 1_000_000) as u32 * if nanos { 1_000 } else { 1 };
        let size = frame.len() as u32;
        file.extend([word(1_700_000_000 + (time / 1_000_000) as u32), word(fraction), word(size), word(size)].concat());
        file.extend(frame);
    }
    file
}

pub fn pcapng(frames: &[Frame], big: bool) -> Vec<u8> {
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let half = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let block = |kind: u32, body: &[u8]| {
        let size = word(12 + body.len() as u32);
        [&word(kind)[..], &size, body, &size].concat()
    };
    let mut file = block(0x0a0d_0d0a, &[&word(0x1a2b_3c4d)[..], &half(1), &half(0), &[0xff; 8]].concat());
    // An interface with nanoseconds.
    file.extend(block(1, &[&half(1)[..], &half(0), &word(0), &half(9), &half(1), &[9, 0, 0, 0], &word(0)].concat()));
    for (time, frame) in frames {
        let stamp = (1_700_000_000_000_000 + time) * 1_000;
        let mut body = [word(0), word((stamp >> 32) as u32), word((stamp & 0xffff_ffff) as u32), word(frame.len() as u32), word(frame.len() as u32)].concat();
        body.extend(frame);
        body.resize(body.len().next_multiple_of(4), 0);
        file.extend(block(6, &body));
    }
    file
}
