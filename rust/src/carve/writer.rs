//! The pcapng that is written: nanosecond stamps, one interface per link type and frame check sequence, comments.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use crate::capture::Frame;

/// Longest comment; a pcapng option holds less than 64 KiB.
const COMMENT: usize = 8192;
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED: u32 = 6;

/// A pcapng with nanosecond stamps, created with its first frame; one interface per link type and frame check sequence.
pub struct Writer<'a> {
    path: &'a str,
    comment: &'a str,
    out: Option<Box<dyn Write>>,
    interfaces: Vec<(u16, u8)>,
    pub frames: u64,
    pub bytes: u64,
}

impl<'a> Writer<'a> {
    pub fn new(path: &'a str, comment: &'a str) -> Self {
        Self { path, comment, out: None, interfaces: Vec::new(), frames: 0, bytes: 0 }
    }

    pub fn frame(&mut self, frame: &Frame<'_>, comment: &str) -> io::Result<()> {
        if self.out.is_none() {
            self.out = Some(if self.path == "-" { Box::new(BufWriter::new(io::stdout())) } else { Box::new(BufWriter::with_capacity(1 << 18, File::create(self.path)?)) });
            let mut body = [0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0].to_vec();
            body.extend_from_slice(&u64::MAX.to_le_bytes());
            options(&mut body, &[(1, self.comment.as_bytes()), (4, b"netexfil carve")]);
            self.block(SECTION, &body)?;
        }
        let interface = self.interface(frame)?;
        let time = u64::try_from(frame.time).unwrap_or(0);
        let mut body = Vec::with_capacity(frame.data.len() + 32);
        for word in [interface, u32::try_from(time >> 32).unwrap_or(0), u32::try_from(time & 0xffff_ffff).unwrap_or(0), size(frame.data.len()), size(frame.length)] {
            body.extend_from_slice(&word.to_le_bytes());
        }
        body.extend_from_slice(frame.data);
        pad(&mut body);
        options(&mut body, &[(1, comment.as_bytes())]);
        self.frames += 1;
        self.bytes += frame.data.len() as u64;
        self.block(ENHANCED, &body)
    }

    fn interface(&mut self, frame: &Frame<'_>) -> io::Result<u32> {
        let kind = (frame.link, frame.trailer);
        if let Some(place) = self.interfaces.iter().position(|known| *known == kind) {
            return Ok(size(place));
        }
        let mut body = frame.link.to_le_bytes().to_vec();
        body.extend_from_slice(&[0; 6]);
        options(&mut body, &[(9, &[9]), (13, if frame.trailer == 0 { &[] } else { std::slice::from_ref(&frame.trailer) })]);
        self.interfaces.push(kind);
        self.block(INTERFACE, &body)?;
        Ok(size(self.interfaces.len() - 1))
    }

    fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let Some(out) = &mut self.out else { return Ok(()) };
        let length = size(body.len() + 12).to_le_bytes();
        out.write_all(&kind.to_le_bytes())?;
        out.write_all(&length)?;
        out.write_all(body)?;
        out.write_all(&length)
    }

    pub fn finish(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), Write::flush)
    }
}

fn size(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

/// Options that are not empty, each padded, and their end.
fn options(body: &mut Vec<u8>, list: &[(u16, &[u8])]) {
    let mut any = false;
    for (code, value) in list.iter().filter(|(_, value)| !value.is_empty()) {
        let value = crate::bytes::first(value, COMMENT);
        any = true;
        body.extend_from_slice(&code.to_le_bytes());
        body.extend_from_slice(&u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
        body.extend_from_slice(value);
        pad(body);
    }
    if any {
        body.extend_from_slice(&[0; 4]);
    }
}
