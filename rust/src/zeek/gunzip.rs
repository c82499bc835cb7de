//! Small gzip files, unpacked at once: faster than piece by piece. Whatever is not quite as it should be is left to the reader that gives the
//! good part of anything.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;

use libdeflater::{Decompressor, crc32};
use memchr::memmem;

/// A larger file is unpacked piece by piece.
const PACKED: usize = 8 << 20;
const UNPACKED: usize = 16 << 20;

thread_local! {
    /// Room that the files of a thread are unpacked in, one after the other.
    static ROOM: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// The text of a file.
pub struct Text {
    room: Vec<u8>,
    at: usize,
    end: usize,
}

impl Read for Text {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.room.get(self.at..self.end).unwrap_or_default().read(buffer)?;
        self.at += got;
        Ok(got)
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        let room = std::mem::take(&mut self.room);
        ROOM.with_borrow_mut(|(_, unpacked)| *unpacked = room);
    }
}

/// The text of an undamaged file of one member. `None`: it is none, or too large.
pub fn open(path: &str) -> Option<Text> {
    let file = File::open(path).ok()?;
    if file.metadata().ok()?.len() > PACKED as u64 {
        return None;
    }
    let (mut packed, mut room) = ROOM.take();
    packed.clear();
    let found = file.take(PACKED as u64 + 1).read_to_end(&mut packed);
    let end = found.ok().filter(|size| *size <= PACKED).and_then(|_| unpack(&packed, &mut room));
    ROOM.replace((packed, Vec::new()));
    match end {
        Some(end) => Some(Text { room, at: 0, end }),
        None => {
            ROOM.with_borrow_mut(|(_, unpacked)| *unpacked = room);
            None
        }
    }
}

fn unpack(packed: &[u8], room: &mut Vec<u8>) -> Option<usize> {
    let begin = header(packed)?;
    let (body, end) = packed.split_at_checked(packed.len().checked_sub(8)?)?;
    let (sum, size) = (end.first_chunk()?, end.last_chunk()?);
    let size = usize::try_from(u32::from_le_bytes(*size)).ok().filter(|size| (1..=UNPACKED).contains(size))?;
    // What looks like a further member's beginning may be one.
    let again = |at: usize| packed.get(at + 3).is_some_and(|flags| *flags < 32);
    if memmem::find_iter(body.get(begin..)?, b"\x1f\x8b\x08").any(|at| again(begin + at)) {
        return None;
    }
    if room.len() < size {
        room.resize(size, 0);
    }
    let text = room.get_mut(..size)?;
    let got = Decompressor::new().deflate_decompress(body.get(begin..)?, text).ok()?;
    (got == size && crc32(text) == u32::from_le_bytes(*sum)).then_some(size)
}

/// Where the packed bytes of a file begin, whose header has a name at most.
fn header(packed: &[u8]) -> Option<usize> {
    match *packed.get(..4)? {
        [0x1f, 0x8b, 8, 0] => Some(10),
        [0x1f, 0x8b, 8, 8] => Some(10 + memchr::memchr(0, packed.get(10..)?)? + 1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::io::Write;

    use flate2::{Compression, GzBuilder};

    use super::*;

    fn packed(text: &[u8], name: bool) -> Vec<u8> {
        let builder = if name { GzBuilder::new().filename("conn.log") } else { GzBuilder::new() };
        let mut writer = builder.write(Vec::new(), Compression::new(6));
        writer.write_all(text).unwrap();
        writer.finish().unwrap()
    }

    fn read(name: &str, data: &[u8]) -> Option<Vec<u8>> {
        let path = std::env::temp_dir().join(format!("netexfil-gunzip-{}-{name}", std::process::id()));
        std::fs::write(&path, data).unwrap();
        let mut found = Vec::new();
        let read = open(path.to_str().unwrap()).map(|mut text| text.read_to_end(&mut found).unwrap());
        std::fs::remove_file(&path).unwrap();
        read.map(|_| found)
    }

    #[test]
    fn only_what_is_whole_and_of_one_member() {
        let long: Vec<u8> = (0..300_000_u32).map(|place| (place.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for (text, name) in [(&b"one\ntwo\n"[..], true), (&long, true), (b"short", false)] {
            let whole = packed(text, name);
            assert_eq!(read("whole", &whole).as_deref(), Some(text));
            assert_eq!(read("cut", &whole[..whole.len() - 1]), None);
            assert_eq!(read("twice", &[&whole[..], &whole[..]].concat()), None);
            assert_eq!(read("tail", &[&whole[..], b"\0\0"].concat()), None);
            let mut damaged = whole.clone();
            let at = damaged.len() - 6;
            damaged[at] ^= 1;
            assert_eq!(read("damaged", &damaged), None);
        }
        assert_eq!(read("empty", &packed(b"", false)), None);
        assert_eq!(read("plain", b"#fields\tts\n"), None);
    }
}
