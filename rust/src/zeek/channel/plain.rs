//! Rows of the plain kind, read as they stand in a block of text: from inside to outside or of no interest, every cell as Zeek writes it.
//! Whatever is not so plain is left to `Local::add`, which knows all that a row can be.

use super::Local;
use super::places::{Layout, MOST, Places, Spans, Starts, Tabbed};
use super::record::{Address, Halves, Key, Plain, Record, halves};
use super::service::Service;
use super::sieve::{Met, mapped};
use super::truth::{self, Counts, Ends, Given, Moved, Quality, Sent};
use super::twice::{self, Seen};
use crate::side::Side;
use crate::zeek::keep::Keep;
use crate::zeek::marks::Marks;
use crate::zeek::window::{BEFORE, Room, Window};
use crate::zeek::{cell, ipv4, quick};

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Summed,
    Dropped,
}

/// A block of text, its separators, and what its rows look like.
pub struct Block<'a> {
    pub text: &'a [u8],
    pub marks: &'a Marks,
    pub layout: &'a Layout,
}

/// Room for what is found in a row, kept from row to row.
pub struct Scratch {
    starts: Starts,
    room: Room,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { starts: [0; MOST], room: Room::default() }
    }
}

impl Scratch {
    /// For rows at the edges of a block.
    pub fn room(&mut self) -> &mut Room {
        &mut self.room
    }
}

/// A row in its text.
struct Row<'a, P> {
    text: Window<'a>,
    places: P,
}

impl<P: Places> Row<'_, P> {
    #[inline]
    fn cell(&self, field: usize) -> Option<(usize, usize)> {
        self.places.cell(field)
    }

    #[inline]
    fn bytes(&self, field: usize) -> Option<&[u8]> {
        let (start, end) = self.cell(field)?;
        self.text.get(start, end)
    }

    #[inline]
    fn count(&self, field: usize) -> Option<u64> {
        let (start, end) = self.cell(field)?;
        cell::digits(self.text, start, end)
    }

    #[inline]
    fn port(&self, field: usize) -> Option<u16> {
        u16::try_from(self.count(field)?).ok()
    }

    #[inline]
    fn ipv4(&self, field: usize) -> Option<u32> {
        let (start, end) = self.cell(field)?;
        ipv4::ipv4(self.text, start, end)
    }

    /// An address that has no IPv4 form.
    #[inline]
    fn ipv6(&self, field: usize) -> Option<u128> {
        quick::ipv6(self.bytes(field)?).filter(|bits| bits >> 32 != 0xffff)
    }

    /// A count; `Some(None)`: it is unset.
    #[inline]
    fn known(&self, field: usize) -> Option<Option<i64>> {
        let (start, end) = self.cell(field)?;
        match cell::digits(self.text, start, end) {
            Some(count) => Some(Some(count.cast_signed())),
            None if matches!(self.text.get(start, end)?, b"" | b"-") => Some(None),
            None => None,
        }
    }

    /// What is sure of both directions' bytes; where the IP bytes bear them out and nothing was missed, they themselves.
    #[inline]
    fn sent(&self, tcp: bool, v6: bool) -> Option<[Sent; 2]> {
        let history = self.bytes(12)?;
        let head = if v6 { 40 } else { 20 } + if tcp { 20 } else { 8 };
        let side = |bytes: usize, pkts: usize, ip_bytes: usize| {
            let (bytes, pkts, ip_bytes) = (self.count(bytes)?, self.count(pkts)?, self.count(ip_bytes)?);
            (bytes > 0 && pkts > 0 && bytes + pkts * head <= ip_bytes).then_some(Sent { low: bytes.cast_signed(), high: bytes.cast_signed(), quality: Quality::Exact })
        };
        if self.bytes(11)? == b"0"
            && (!tcp || history.first() == Some(&b'S'))
            && let (Some(orig), Some(resp)) = (side(9, 13, 14), side(10, 15, 16))
        {
            return Some([orig, resp]);
        }
        self.bounded(history, tcp, v6)
    }

    /// By the general rules.
    fn bounded(&self, history: &[u8], tcp: bool, v6: bool) -> Option<[Sent; 2]> {
        let side = |bytes, pkts, ip_bytes| Some(Counts { bytes: self.known(bytes)?, pkts: self.known(pkts)?, ip_bytes: self.known(ip_bytes)? });
        let history = match history {
            b"" | b"-" | b"(empty)" => &[],
            escaped if memchr::memchr(b'\\', escaped).is_some() => return None,
            letters => letters,
        };
        Some(Given { orig: side(9, 13, 14)?, resp: side(10, 15, 16)?, history, gaps: self.known(11)?.unwrap_or(0), tcp, v6 }.sides())
    }

    /// For the sample of sessions that may stand twice.
    fn seen(&self, tuple: u64, file: u32, cells: &Cells) -> Option<Seen> {
        let uid = self.bytes(1)?;
        if memchr::memchr(b'\\', uid).is_some() {
            return None;
        }
        let uid = Some(uid).filter(|uid| !matches!(*uid, b"" | b"-" | b"(empty)"));
        #[allow(clippy::cast_precision_loss)] // below 2^53
        let (start, duration) = (cells.start as f64 / 1e6, cells.duration as f64 / 1e6);
        Some(Seen::new(tuple, file, uid, (start, start + duration), true))
    }
}

/// What stands behind the ends of a row that runs to outside.
struct Rest {
    orig_p: u16,
    start: u64,
    duration: u64,
    service: Service,
    ends: Ends,
    sides: [Sent; 2],
}

/// What stands in its cells, as far as it is summed.
struct Cells {
    orig_p: u16,
    resp_p: u16,
    proto: u8,
    start: u64,
    duration: u64,
    /// `None`: it does not count.
    plain: Option<Plain>,
}

/// Whether a row is dropped for its ends; `None`: they alone do not say (`Keep::by_ends`).
#[inline]
fn dropped(orig: Side, resp: Side) -> Option<bool> {
    match (orig, resp) {
        (Side::Inside, Side::Public) => Some(false),
        (Side::Public, Side::Inside | Side::Public) => None,
        _ => Some(true),
    }
}

impl Local {
    /// One row, if it is of the plain kind. Nothing has happened where it is not.
    #[inline]
    pub fn plain(&mut self, keep: &Keep, block: &Block<'_>, scratch: &mut Scratch, start: usize, end: usize) -> Option<Taken> {
        let Block { text, marks, layout } = *block;
        let Layout { near, columns, .. } = *layout;
        let Scratch { starts, room } = scratch;
        let text = Window::new(text, start, end, room)?;
        let end = BEFORE + (end - start);
        *starts.first_mut()? = u32::try_from(BEFORE).ok()?;
        let at = marks.starts(start, BEFORE, starts.get_mut(1..=near)?)?;
        if at > end {
            return None;
        }
        self.row(keep, &mut Row { text, places: Tabbed { layout, starts } }, |row| {
            let starts = &mut row.places.starts;
            let last = marks.starts(start, at, starts.get_mut(near + 1..columns)?)?;
            *starts.get_mut(columns)? = u32::try_from(end + 1).ok()?;
            marks.none(start, last, end).then_some(())
        })
    }

    /// One JSON row whose values have been found, if it is of the plain kind. Nothing has happened where it is not.
    #[inline]
    pub fn plain_json(&mut self, keep: &Keep, text: Window<'_>, spans: &Spans) -> Option<Taken> {
        self.row(keep, &mut Row { text, places: spans }, |_| Some(()))
    }

    /// `more` finds the cells behind those of the ends.
    #[inline]
    fn row<P: Places>(&mut self, keep: &Keep, row: &mut Row<'_, P>, more: impl FnOnce(&mut Row<'_, P>) -> Option<()>) -> Option<Taken> {
        let port = row.port(5)?;
        if let Some(orig) = row.ipv4(2) {
            let resp = row.ipv4(4)?;
            if dropped(keep.side_v4(orig), keep.side_v4(resp))? {
                return Some(Taken::Dropped);
            }
            more(row)?;
            if self.sieve.is_some() {
                return self.sift(keep, row, port, [mapped(orig), mapped(resp)], false);
            }
            let cells = self.cells(keep, row, port, false)?;
            let found = self.session((orig, resp), row, &cells)?;
            if let Some(record) = found {
                self.v4.add(record, &self.shared.v4, self.shared.apart_from(cells.start));
            }
        } else {
            let (orig, resp) = (row.ipv6(2)?, row.ipv6(4)?);
            if dropped(keep.side_v6(orig), keep.side_v6(resp))? {
                return Some(Taken::Dropped);
            }
            more(row)?;
            if self.sieve.is_some() {
                return self.sift(keep, row, port, [halves(orig), halves(resp)], true);
            }
            let cells = self.cells(keep, row, port, true)?;
            let found = self.session((halves(orig), halves(resp)), row, &cells)?;
            if let Some(record) = found {
                self.v6.add(record, &self.shared.v6, self.shared.apart_from(cells.start));
            }
        }
        Some(Taken::Summed)
    }

    /// The rest of a row that runs to outside.
    #[inline]
    fn rest<P: Places>(&mut self, keep: &Keep, row: &Row<'_, P>, port: u16, v6: bool) -> Option<Rest> {
        let text = row.text;
        let tcp = match row.bytes(6)? {
            b"tcp" => true,
            b"udp" => false,
            _ => return None,
        };
        let (from, to) = row.cell(0)?;
        let start = cell::stamp(text, from, to)?;
        let (from, to) = row.cell(8)?;
        let unset = matches!(text.get(from, to)?, b"" | b"-");
        let duration = if unset { 0 } else { cell::micros(text, from, to)? };
        let (from, to) = row.cell(7)?;
        let service = self.services.plain(text, from, to)?;
        let ends = Ends { orig: Side::Inside, resp: Side::Public, port, tcp, udp: !tcp, watched: keep.watched(port) };
        Some(Rest { orig_p: row.port(3)?, start, duration, service, sides: row.sent(tcp, v6)?, ends })
    }

    /// What is to be summed of it.
    #[inline]
    fn cells<P: Places>(&mut self, keep: &Keep, row: &Row<'_, P>, resp_p: u16, v6: bool) -> Option<Cells> {
        let Rest { orig_p, start, duration, service, ends, sides } = self.rest(keep, row, resp_p, v6)?;
        let moved = Moved::new(&ends, sides);
        let counts = truth::way(&ends, service, &moved, self.shared.large).is_some();
        let plain = counts.then(|| Plain {
            start,
            duration,
            out: moved.out.low.cast_unsigned(),
            back: moved.back.map(i64::cast_unsigned),
            protocol: truth::protocol(&ends, service, &moved),
            quality: moved.out.quality as u8,
        });
        Some(Cells { orig_p, resp_p, proto: u8::from(!ends.tcp), start, duration, plain })
    }

    /// What the sieve learns of it.
    fn sift<P: Places>(&mut self, keep: &Keep, row: &Row<'_, P>, port: u16, [orig, resp]: [Halves; 2], v6: bool) -> Option<Taken> {
        let Rest { start, duration, service, ends, sides, .. } = self.rest(keep, row, port, v6)?;
        let (sieve, sifting) = self.sieve.as_mut()?;
        let uid = if sieve.names_sessions() { Some(row.bytes(1)?) } else { None };
        if !row.places.flags(row.text) || uid.is_some_and(|uid| memchr::memchr(b'\\', uid).is_some()) {
            return None;
        }
        #[allow(clippy::cast_precision_loss)] // below 2^53
        let (start, duration) = (start as f64 / 1e6, duration as f64 / 1e6);
        sifting.met(sieve, &Met { orig, resp, uid, start, duration, ends: &ends, service, sides });
        Some(Taken::Summed)
    }

    /// Remember that a session was met, and give what is to be summed of it.
    #[inline]
    fn session<A: Address, P: Places>(&mut self, (orig, resp): (A, A), row: &Row<'_, P>, cells: &Cells) -> Option<Option<Record<A>>> {
        let key = Key { inside: orig, remote: resp, port: cells.resp_p, proto: cells.proto, pull: false };
        let record = match &cells.plain {
            Some(plain) => Some(Record::plain(&key, plain, self.shared.apart_from(plain.start).origin)?),
            None => None,
        };
        let tuple = twice::hash((orig, cells.orig_p, resp, cells.resp_p, cells.proto));
        if self.seen.wants(tuple) {
            self.seen.add(row.seen(tuple, self.file, cells)?);
        }
        Some(record)
    }
}
