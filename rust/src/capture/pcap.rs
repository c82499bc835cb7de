//! Classic pcap: both byte orders, micro- and nanoseconds, and the modified header of Alexey Kuznetzov's patch.

use super::input::{Input, LONGEST};
use super::{Damage, Here};

/// Magic (as stored big endian), nanoseconds?, length of a record header.
const MAGICS: &[(u32, bool, usize)] = &[
    (0xa1b2_c3d4, false, 16),
    (0xa1b2_3c4d, true, 16),
    (0xa1b2_cd34, false, 24), // Kuznetzov: interface, protocol and packet type follow each header
    (0xa1b2_34cd, false, 24), // the same with more fields, by Francisco Mesquita
    (0xa12b_3c4d, false, 16), // Navtel
];
/// The largest snapshot length that libpcap accepts.
const SNAPLEN: usize = 262_144;

pub struct Pcap {
    big: bool,
    nanos: bool,
    header: usize,
    link: u16,
    trailer: u8,
    longest: usize,
    /// Old versions store the two lengths the other way round.
    swapped: Option<bool>,
}

impl Pcap {
    /// Read the file header; `None` where the magic is not a pcap's.
    pub fn header(input: &mut Input, magic: [u8; 4]) -> Option<Result<Self, String>> {
        let (big, &(_, nanos, header)) = [(true, u32::from_be_bytes(magic)), (false, u32::from_le_bytes(magic))]
            .into_iter()
            .find_map(|(big, value)| MAGICS.iter().find(|row| row.0 == value).map(|row| (big, row)))?;
        if !input.ensure(24) {
            return Some(Err("ends inside the file header".into()));
        }
        let word = |at: usize| number(input.view(at, 4), big);
        let minor = number(input.view(6, 2), big);
        let link = word(20);
        let snaplen = usize::try_from(word(16)).unwrap_or(usize::MAX);
        let trailer = if link & 0x0400_0000 == 0 { 0 } else { u8::try_from((link >> 28) * 2).unwrap_or(0) };
        let pcap = Self {
            big,
            nanos,
            header,
            link: u16::try_from(link & 0xffff).unwrap_or(0),
            trailer,
            longest: snaplen.clamp(SNAPLEN, LONGEST - 64),
            swapped: match minor {
                0..3 => Some(true),
                3 => None,
                _ => Some(false),
            },
        };
        input.consume(24);
        Some(Ok(pcap))
    }

    pub fn link(&self) -> u16 {
        self.link
    }

    #[inline]
    pub fn next(&mut self, input: &mut Input) -> Result<Option<Here>, Damage> {
        let place = input.offset();
        if !input.ensure(self.header) {
            if input.available() == 0 {
                return input.trouble().map_or(Ok(None), |trouble| Err(Damage::new(place, "damaged", format!("cannot be read on: {trouble}"))));
            }
            return Err(Damage::cut(input, place, "a record header"));
        }
        let head: [u8; 16] = input.view(0, 16).first_chunk().copied().unwrap_or_default();
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = head;
        let word = |bytes: [u8; 4]| if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        let (seconds, fraction) = (word([a, b, c, d]), word([e, f, g, h]));
        let (mut stored, mut length) = (word([i, j, k, l]) as usize, word([m, n, o, p]) as usize);
        if self.swapped.unwrap_or(stored > length) {
            std::mem::swap(&mut stored, &mut length);
        }
        if stored > self.longest {
            return Err(Damage::new(place, "damaged", format!("a record claims {stored} bytes; the rest of the file is not read")));
        }
        if !input.ensure(self.header + stored) {
            return Err(Damage::cut(input, place, "a packet"));
        }
        let unit = if self.nanos { 1 } else { 1_000 };
        let time = i64::from(seconds) * 1_000_000_000 + i64::from(fraction) * unit;
        Ok(Some(Here { time, link: self.link, trailer: self.trailer, skip: self.header, stored, length: length.max(stored), whole: self.header + stored }))
    }
}

/// A number of up to four bytes in the file's byte order.
pub fn number(bytes: &[u8], big: bool) -> u32 {
    let shift = |sum: u32, byte: &u8| (sum << 8) | u32::from(*byte);
    if big { bytes.iter().fold(0, shift) } else { bytes.iter().rev().fold(0, shift) }
}
