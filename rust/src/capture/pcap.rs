//! Classic pcap: both byte orders, micro- and nanoseconds, and the modified header of Alexey Kuznetzov's patch.

use super::input::{Input, LONGEST};
use super::{Damage, Frame, Here, Last, resume};

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

/// Behind damage, this many records must stand one behind the other, each within a day of the last, before they are believed.
const CHAIN: usize = 3;
const DAY: u32 = 86_400;

pub struct Pcap {
    big: bool,
    nanos: bool,
    header: usize,
    link: u16,
    trailer: u8,
    longest: usize,
    /// As the file says, where it says something.
    snaplen: usize,
    /// Second of the last packet.
    last: Option<u32>,
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
            snaplen: if snaplen == 0 { SNAPLEN } else { snaplen.min(SNAPLEN) },
            last: None,
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
        let record = self.record(input.view(0, 16));
        if record.stored > self.longest || record == Record::default() {
            return Err(self.damaged(input, place, &record));
        }
        if !input.ensure(self.header + record.stored) {
            // The last packet of a cut file has a header like any other; a spoilt length may reach beyond the end as well.
            return Err(if self.sane(&record, self.last) { Damage::cut(input, place, "a packet") } else { self.damaged(input, place, &record) });
        }
        self.last = Some(record.seconds);
        Ok(Some(self.here(&record)))
    }

    /// The records behind this one that are whole in the buffer, sane and no later than `until`: how many, and the last of them.
    #[inline]
    pub fn frames<'a>(&self, input: &'a Input, here: &Here, until: i64, into: &mut [Frame<'a>]) -> (usize, Option<Last>) {
        let (mut rest, mut behind, mut count, mut last) = (input.rest().get(here.whole..).unwrap_or_default(), here.whole, 0, None);
        for frame in into {
            let record = self.record(rest);
            let next = self.here(&record);
            let Some((bytes, after)) = rest.split_at_checked(next.whole) else { break };
            if record.stored > self.longest || record == Record::default() || next.time > until {
                break;
            }
            *frame = Frame { time: next.time, link: next.link, trailer: next.trailer, length: next.length, data: bytes.get(self.header..).unwrap_or_default() };
            last = Some((next, behind, record.seconds));
            (rest, behind, count) = (after, behind + next.whole, count + 1);
        }
        (count, last.map(|(here, behind, seconds)| Last { here, behind, seconds }))
    }

    /// Frames up to one of this second were taken.
    pub fn passed(&mut self, seconds: u32) {
        self.last = Some(seconds);
    }

    #[inline]
    fn here(&self, record: &Record) -> Here {
        let &Record { seconds, fraction, stored, length } = record;
        let time = i64::from(seconds) * 1_000_000_000 + i64::from(fraction) * self.unit();
        Here { time, link: self.link, trailer: self.trailer, skip: self.header, stored, length: length.max(stored), whole: self.header + stored }
    }

    fn unit(&self) -> i64 {
        if self.nanos { 1 } else { 1_000 }
    }

    #[inline]
    fn record(&self, head: &[u8]) -> Record {
        let Some(&[a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]) = head.first_chunk::<16>() else { return Record::default() };
        let word = |bytes: [u8; 4]| if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        let (mut stored, mut length) = (word([i, j, k, l]) as usize, word([m, n, o, p]) as usize);
        if self.swapped.unwrap_or(stored > length) {
            std::mem::swap(&mut stored, &mut length);
        }
        Record { seconds: word([a, b, c, d]), fraction: word([e, f, g, h]), stored, length }
    }

    /// A record that cannot be; read on at the next one that can, if there is one.
    #[cold]
    fn damaged(&mut self, input: &mut Input, place: u64, record: &Record) -> Damage {
        let skipped = resume::seek(input, |input, at| self.follow(input, at));
        let what = if record.stored == 0 { "a record header of zeros".to_owned() } else { format!("a record claims {} bytes", record.stored) };
        resume::damage(place, &what, skipped)
    }

    /// Do records stand at this place, one behind the other, or one that ends with the file?
    fn follow(&self, input: &mut Input, mut at: usize) -> bool {
        let mut before = self.last;
        for number in 0..CHAIN {
            if !input.ensure(at + self.header) {
                return number > 0 && input.available() == at;
            }
            let record = self.record(input.view(at, 16));
            if !self.sane(&record, before) {
                return false;
            }
            before = Some(record.seconds);
            at += self.header + record.stored;
        }
        true
    }

    /// Could a writer have written that behind a packet of this second?
    fn sane(&self, record: &Record, before: Option<u32>) -> bool {
        (1..=self.snaplen).contains(&record.stored)
            && (record.stored..=SNAPLEN.max(self.snaplen)).contains(&record.length)
            && i64::from(record.fraction) * self.unit() < 1_000_000_000
            && before.is_none_or(|before| before.abs_diff(record.seconds) <= DAY)
    }
}

/// What a record header says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Record {
    seconds: u32,
    fraction: u32,
    stored: usize,
    length: usize,
}

/// A number of up to four bytes in the file's byte order.
pub fn number(bytes: &[u8], big: bool) -> u32 {
    let shift = |sum: u32, byte: &u8| (sum << 8) | u32::from(*byte);
    if big { bytes.iter().fold(0, shift) } else { bytes.iter().rev().fold(0, shift) }
}
