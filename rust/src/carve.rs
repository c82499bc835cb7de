//! Frames of named sessions, cut out of captures into one pcapng with comments that say why.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;

use crate::capture::{Frame, Set};
use crate::decode::{Address, Decoder, Packet, Sink};
use crate::error::{Error, Note};

/// Sessions are given in seconds as a double, which holds a quarter of a microsecond; a frame this close to their ends is theirs.
const SLACK: i64 = 1_000;
/// Files of a set are read by time; this long after the last wanted session nothing can follow.
const AFTER: i64 = 60_000_000_000;
/// Fragments kept until the packet that they belong to is known: frames and bytes.
const HELD: usize = 4096;
const HELD_BYTES: usize = 32 * 1024 * 1024;
/// Longest comment; a pcapng option holds less than 64 KiB.
const COMMENT: usize = 8192;

type End = (Address, u16);
type Fragment = (Address, Address, u32, u8);

/// One session to cut out. Times are nanoseconds since 1970.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub proto: u8,
    pub ends: (End, End),
    pub from: i64,
    pub until: i64,
    /// Written at its first frame.
    pub comment: String,
}

impl Wanted {
    /// `None` where an address is no address.
    #[must_use]
    pub fn new(proto: u8, one: (&str, u16), other: (&str, u16), times: (f64, f64), comment: String) -> Option<Self> {
        let ends = ((address(one.0)?, one.1), (address(other.0)?, other.1));
        Some(Self { proto, ends, from: nanos(times.0).saturating_sub(SLACK), until: nanos(times.1).saturating_add(SLACK), comment })
    }
}

fn address(text: &str) -> Option<Address> {
    Some(match text.parse().ok()? {
        IpAddr::V4(four) => four.to_ipv6_mapped().octets(),
        IpAddr::V6(six) => six.octets(),
    })
}

#[allow(clippy::cast_possible_truncation)] // saturates, which is what a time out of range should do
fn nanos(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}

/// What was written, and how many frames each wanted session has.
#[derive(Debug, Default)]
pub struct Carved {
    pub frames: u64,
    pub bytes: u64,
    pub found: Vec<u64>,
    pub notes: Vec<Note>,
}

/// The unordered tuple.
fn tuple(proto: u8, one: End, other: End) -> (u8, End, End) {
    if one <= other { (proto, one, other) } else { (proto, other, one) }
}

/// Takes what a frame holds and remembers which sessions want it.
struct Matcher {
    index: HashMap<(u8, End, End), Vec<usize>>,
    wanted: Vec<Wanted>,
    time: i64,
    hits: Vec<usize>,
    fragment: Option<Fragment>,
    lost: Vec<(&'static str, String)>,
}

impl Matcher {
    fn new(wanted: Vec<Wanted>) -> Self {
        let mut index: HashMap<_, Vec<usize>> = HashMap::new();
        for (place, session) in wanted.iter().enumerate() {
            index.entry(tuple(session.proto, session.ends.0, session.ends.1)).or_default().push(place);
        }
        Self { index, wanted, time: 0, hits: Vec::new(), fragment: None, lost: Vec::new() }
    }
}

impl Sink for Matcher {
    #[inline]
    fn packet(&mut self, packet: &Packet<'_>) {
        let key = tuple(packet.proto, (packet.source, packet.source_port), (packet.target, packet.target_port));
        let Some(places) = self.index.get(&key) else { return };
        for &place in places {
            let inside = self.wanted.get(place).is_some_and(|session| (session.from..=session.until).contains(&self.time));
            if inside && !self.hits.contains(&place) {
                self.hits.push(place);
            }
        }
    }

    fn lost(&mut self, kind: &'static str, reason: &str) {
        self.lost.push((kind, reason.to_owned()));
    }

    fn fragment(&mut self, source: &Address, target: &Address, id: u32, proto: u8) {
        self.fragment = Some((*source, *target, id, proto));
    }
}

/// A frame that waits for the rest of its packet.
struct Held {
    time: i64,
    link: u16,
    trailer: u8,
    length: usize,
    data: Vec<u8>,
}

/// Cut the frames of `wanted` out of `paths` into a new pcapng file `out` (`-`: standard output). Nothing found, nothing written.
///
/// # Errors
/// Where not one capture can be read, or the output cannot be written.
pub fn carve(paths: &[String], wanted: Vec<Wanted>, comment: &str, out: &str) -> Result<Carved, Error> {
    let failed = |source: io::Error| Error::Open { path: out.to_owned(), source };
    let mut set = Set::open(paths)?;
    let end = wanted.iter().map(|session| session.until).max().unwrap_or(i64::MIN).saturating_add(AFTER);
    let mut carved = Carved { found: vec![0; wanted.len()], ..Carved::default() };
    let mut matcher = Matcher::new(wanted);
    let mut decoder = Decoder::default();
    let mut writer = Writer::new(out, comment);
    let mut held = Waiting::default();
    set.start();
    while let Some((frame, file)) = set.frame() {
        if frame.time > end {
            break;
        }
        matcher.time = frame.time;
        decoder.frame(&frame, &mut matcher);
        let fragment = matcher.fragment.take();
        if matcher.hits.is_empty() {
            if let Some(key) = fragment {
                held.keep(key, &frame);
            }
        } else {
            for earlier in fragment.map(|key| held.release(key)).unwrap_or_default() {
                writer.frame(&earlier.frame(), "").map_err(failed)?;
            }
            let text = first_comments(&mut carved, &matcher);
            writer.frame(&frame, &text).map_err(failed)?;
            matcher.hits.clear();
        }
        if !matcher.lost.is_empty() {
            let place = set.place();
            for (kind, reason) in matcher.lost.drain(..) {
                set.note(file, Some(place), kind, reason);
            }
        }
        set.advance();
    }
    writer.finish().map_err(failed)?;
    (carved.frames, carved.bytes, carved.notes) = (writer.frames, writer.bytes, set.notes());
    Ok(carved)
}

/// Count the frame for its sessions; the comments of those that begin with it.
fn first_comments(carved: &mut Carved, matcher: &Matcher) -> String {
    let mut text = String::new();
    for &place in &matcher.hits {
        let Some(count) = carved.found.get_mut(place) else { continue };
        if let (0, Some(session)) = (*count, matcher.wanted.get(place)) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&session.comment);
        }
        *count += 1;
    }
    text
}

#[derive(Default)]
struct Waiting {
    frames: HashMap<Fragment, Vec<Held>>,
    count: usize,
    bytes: usize,
}

impl Waiting {
    fn keep(&mut self, key: Fragment, frame: &Frame<'_>) {
        if self.count >= HELD || self.bytes + frame.data.len() > HELD_BYTES {
            *self = Self::default();
        }
        self.count += 1;
        self.bytes += frame.data.len();
        let held = Held { time: frame.time, link: frame.link, trailer: frame.trailer, length: frame.length, data: frame.data.to_vec() };
        self.frames.entry(key).or_default().push(held);
    }

    fn release(&mut self, key: Fragment) -> Vec<Held> {
        let held = self.frames.remove(&key).unwrap_or_default();
        self.count -= held.len();
        self.bytes -= held.iter().map(|frame| frame.data.len()).sum::<usize>();
        held
    }
}

impl Held {
    fn frame(&self) -> Frame<'_> {
        Frame { time: self.time, link: self.link, trailer: self.trailer, length: self.length, data: &self.data }
    }
}

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED: u32 = 6;

/// A pcapng with nanosecond stamps, created with its first frame; one interface per link type and frame check sequence.
struct Writer<'a> {
    path: &'a str,
    comment: &'a str,
    out: Option<Box<dyn Write>>,
    interfaces: Vec<(u16, u8)>,
    frames: u64,
    bytes: u64,
}

impl<'a> Writer<'a> {
    fn new(path: &'a str, comment: &'a str) -> Self {
        Self { path, comment, out: None, interfaces: Vec::new(), frames: 0, bytes: 0 }
    }

    fn frame(&mut self, frame: &Frame<'_>, comment: &str) -> io::Result<()> {
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

    fn finish(&mut self) -> io::Result<()> {
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
