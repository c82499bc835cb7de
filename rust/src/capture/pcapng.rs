//! pcapng: sections of either byte order, interfaces with their own link type, clock resolution and offset.

use super::input::{Input, LONGEST};
use super::pcap::number;
use super::{Damage, Here, resume};

/// Type of a section header block, the same in both byte orders.
pub const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE: u32 = 3;
const ENHANCED: u32 = 6;
/// Blocks up to here are checked before they are believed: both their lengths must agree.
const CHECKED: usize = 1024 * 1024;
/// Behind damage, this many blocks must stand one behind the other before they are believed.
const CHAIN: usize = 3;
/// Room for the options of a packet that a cut file ends in.
const OPTIONS: usize = 64 * 1024;
/// The highest code of an ordinary block (the decryption secrets); others are rare enough not to be looked for.
const KNOWN: u32 = 10;
/// More interfaces than that in one section are damage or an attack.
const INTERFACES: usize = 65_536;

/// How the time stamps of an interface count.
#[derive(Clone, Copy)]
enum Resolution {
    /// Units of 10^-n seconds.
    Decimal(u32),
    /// Units of 2^-n seconds.
    Binary(u32),
}

#[derive(Clone, Copy)]
struct Interface {
    link: u16,
    trailer: u8,
    snaplen: usize,
    resolution: Resolution,
    /// Seconds to add.
    offset: i64,
}

#[derive(Default)]
pub struct Pcapng {
    big: bool,
    interfaces: Vec<Interface>,
    /// Time of the last stamped packet, for blocks that carry none.
    last: i64,
}

impl Pcapng {
    #[inline]
    pub fn next(&mut self, input: &mut Input) -> Result<Option<Here>, Damage> {
        loop {
            let place = input.offset();
            if !input.ensure(12) {
                if input.available() == 0 {
                    return input.trouble().map_or(Ok(None), |trouble| Err(Damage::new(place, "damaged", format!("cannot be read on: {trouble}"))));
                }
                return Err(Damage::cut(input, place, "a block header"));
            }
            let kind: [u8; 4] = input.view(0, 4).first_chunk().copied().unwrap_or_default();
            if kind == SECTION {
                self.section(input, place)?;
                continue;
            }
            let length = number(input.view(4, 4), self.big) as usize;
            if length < 12 || !length.is_multiple_of(4) {
                return Err(self.damaged(input, place, &format!("a block claims {length} bytes")));
            }
            if length <= CHECKED && input.ensure(length) && number(input.view(length - 4, 4), self.big) as usize != length {
                return Err(self.damaged(input, place, &format!("a block of {length} bytes whose end says otherwise")));
            }
            match number(&kind, self.big) {
                INTERFACE => self.interface(input, length, place)?,
                code @ (OLD_PACKET | SIMPLE | ENHANCED) => {
                    if let Some(here) = self.packet(input, code, length, place)? {
                        return Ok(Some(here));
                    }
                }
                _ if length <= CHECKED => skip(input, length, place)?,
                _ => {
                    skip(input, length - 4, place)?;
                    if input.ensure(4) && number(input.view(0, 4), self.big) as usize != length {
                        return Err(self.damaged(input, place, &format!("a block of {length} bytes whose end says otherwise")));
                    }
                    skip(input, 4, place)?;
                }
            }
        }
    }

    /// A block that cannot be; read on at the next one that can, if there is one.
    #[cold]
    fn damaged(&self, input: &mut Input, place: u64, what: &str) -> Damage {
        let gone = input.offset().saturating_sub(place);
        let skipped = resume::seek(input, |input, at| self.follow(input, at));
        resume::damage(place, what, skipped.map(|bytes| bytes + gone))
    }

    /// Do blocks that packets come in stand at this place, one behind the other, or one that ends with the file?
    fn follow(&self, input: &mut Input, mut at: usize) -> bool {
        for number in 0..CHAIN {
            if !input.ensure(at + 12) {
                return number > 0 && input.available() == at;
            }
            let Some(length) = self.block(input, at) else { return false };
            at += length;
        }
        true
    }

    /// Length of the block at this place, where its kind is known and both its lengths are the same.
    fn block(&self, input: &mut Input, at: usize) -> Option<usize> {
        let kind = input.view(at, 4);
        let section = kind == SECTION;
        let code = number(kind, self.big);
        if !section && !(1..=KNOWN).contains(&code) {
            return None;
        }
        let big = if section { input.view(at + 8, 4) == [0x1a, 0x2b, 0x3c, 0x4d] } else { self.big };
        let length = number(input.view(at + 4, 4), big) as usize;
        let fits = (12..=CHECKED).contains(&length) && length.is_multiple_of(4) && input.ensure(at + length);
        let interface = code != ENHANCED || (number(input.view(at + 8, 4), big) as usize) < self.interfaces.len();
        (fits && interface && number(input.view(at + length - 4, 4), big) as usize == length).then_some(length)
    }

    fn section(&mut self, input: &mut Input, place: u64) -> Result<(), Damage> {
        self.big = match input.view(8, 4) {
            [0x1a, 0x2b, 0x3c, 0x4d] => true,
            [0x4d, 0x3c, 0x2b, 0x1a] => false,
            _ => return Err(self.damaged(input, place, "a section header of no known byte order")),
        };
        self.interfaces.clear();
        let length = number(input.view(4, 4), self.big) as usize;
        if length < 28 || !length.is_multiple_of(4) {
            return Err(self.damaged(input, place, &format!("a section header claims {length} bytes")));
        }
        skip(input, length, place)
    }

    fn interface(&mut self, input: &mut Input, length: usize, place: u64) -> Result<(), Damage> {
        if !(20..=LONGEST).contains(&length) || self.interfaces.len() >= INTERFACES {
            return Err(self.damaged(input, place, "an interface description that cannot be"));
        }
        if !input.ensure(length) {
            return Err(Damage::cut(input, place, "an interface description"));
        }
        let mut interface = Interface {
            link: u16::try_from(number(input.view(8, 2), self.big)).unwrap_or(0),
            trailer: 0,
            snaplen: number(input.view(12, 4), self.big) as usize,
            resolution: Resolution::Decimal(6),
            offset: 0,
        };
        let options = input.view(16, length - 20);
        self.options(options, &mut interface);
        self.interfaces.push(interface);
        input.consume(length);
        Ok(())
    }

    fn options(&self, mut rest: &[u8], interface: &mut Interface) {
        while let (Some(code), Some(size)) = (rest.get(..2), rest.get(2..4)) {
            let (code, size) = (number(code, self.big), number(size, self.big) as usize);
            let Some(value) = rest.get(4..4 + size) else { return };
            match (code, value) {
                (0, _) => return,
                (9, [units]) => {
                    let power = u32::from(units & 0x7f);
                    interface.resolution = if units & 0x80 == 0 { Resolution::Decimal(power) } else { Resolution::Binary(power) };
                }
                (13, [length]) => interface.trailer = *length,
                (14, bytes) => {
                    if let Ok(eight) = <[u8; 8]>::try_from(bytes) {
                        interface.offset = if self.big { i64::from_be_bytes(eight) } else { i64::from_le_bytes(eight) };
                    }
                }
                _ => {}
            }
            rest = rest.get(4 + size.next_multiple_of(4)..).unwrap_or_default();
        }
    }

    fn packet(&mut self, input: &mut Input, code: u32, length: usize, place: u64) -> Result<Option<Here>, Damage> {
        let fixed = if code == SIMPLE { 12 } else { 28 };
        if length > LONGEST || length < fixed + 4 {
            return Err(self.damaged(input, place, &format!("a packet block claims {length} bytes")));
        }
        if !input.ensure(length) {
            // The last packet of a cut file has a head like any other; a spoilt length may reach beyond the end as well.
            let whole = (number(input.view(20, 4), self.big) as usize).saturating_add(fixed + 4);
            let sane = code == SIMPLE || input.available() < fixed || (whole..whole.saturating_add(OPTIONS)).contains(&length);
            return Err(if sane { Damage::cut(input, place, "a packet") } else { self.damaged(input, place, &format!("a packet block claims {length} bytes")) });
        }
        let word = |at: usize| number(input.view(at, 4), self.big);
        let index = match code {
            ENHANCED => word(8) as usize,
            OLD_PACKET => number(input.view(8, 2), self.big) as usize,
            _ => 0,
        };
        let Some(interface) = self.interfaces.get(index) else {
            input.consume(length);
            return Err(Damage { goes_on: true, ..Damage::new(place, "damaged", "a packet of an interface that was not described") });
        };
        let room = length - fixed - 4;
        let (time, stored, wire) = if code == SIMPLE {
            let wire = word(8) as usize;
            let limit = if interface.snaplen == 0 { wire } else { wire.min(interface.snaplen) };
            (self.last, limit, wire)
        } else {
            (stamp(interface, (u64::from(word(12)) << 32) | u64::from(word(16))), word(20) as usize, word(24) as usize)
        };
        if stored > room && code != SIMPLE {
            return Err(self.damaged(input, place, &format!("a packet of {stored} bytes in a block of {length}")));
        }
        let stored = stored.min(room);
        let here = Here { time, link: interface.link, trailer: interface.trailer, skip: fixed, stored, length: wire.max(stored), whole: length };
        self.last = time;
        Ok(Some(here))
    }
}

/// Time in nanoseconds since 1970.
#[inline]
fn stamp(interface: &Interface, units: u64) -> i64 {
    let nanos = match interface.resolution {
        Resolution::Decimal(6) => i128::from(units) * 1_000,
        Resolution::Decimal(9) => i128::from(units),
        Resolution::Decimal(power @ 0..9) => i128::from(units) * i128::from(10_u32.pow(9 - power)),
        Resolution::Decimal(power) => 10_i128.checked_pow(power.saturating_sub(9)).map_or(0, |scale| i128::from(units) / scale),
        Resolution::Binary(power) => (i128::from(units) * 1_000_000_000) >> power.min(126),
    };
    let total = nanos + i128::from(interface.offset) * 1_000_000_000;
    i64::try_from(total).unwrap_or(if total < 0 { i64::MIN / 4 } else { i64::MAX / 4 })
}

fn skip(input: &mut Input, length: usize, place: u64) -> Result<(), Damage> {
    if input.skip(length as u64) { Ok(()) } else { Err(Damage::cut(input, place, "a block")) }
}
