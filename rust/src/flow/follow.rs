//! Clear FTP control sessions behind their first bytes: line by line, for the data channels that they go on to announce.

use std::net::IpAddr;

use super::marks::Marks;
use super::{Flows, Place};
use crate::decode::Packet;
use crate::hello::ftp;

/// No line of a control session that matters is longer.
const LINE: usize = 512;
/// Control sessions followed at once; more go without.
pub(super) const FOLLOWED: usize = 65_536;

/// The unfinished line of one direction.
#[derive(Debug, Default)]
struct Side {
    line: Vec<u8>,
    /// Offset of the next byte in the stream.
    next: u64,
    /// The line began in a hole, or is too long: nothing until its end.
    lost: bool,
}

impl Side {
    /// Hand payload at its place in the stream to `hear`, line by line.
    fn feed(&mut self, at: u64, data: &[u8], mut hear: impl FnMut(&[u8])) {
        let end = at.saturating_add(data.len() as u64);
        if end <= self.next {
            return;
        }
        if at > self.next {
            self.line.clear();
            self.lost = true;
        }
        let fresh = crate::bytes::after(data, usize::try_from(self.next.saturating_sub(at)).unwrap_or(usize::MAX));
        self.next = end;
        for piece in fresh.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + piece.len() > LINE {
                self.lost = true;
                self.line.clear();
            } else if !self.lost {
                self.line.extend_from_slice(piece);
            }
            if piece.last() == Some(&b'\n') {
                if !self.lost {
                    hear(&self.line);
                }
                self.line.clear();
                self.lost = false;
            }
        }
    }
}

/// Both directions, originator first.
#[derive(Debug, Default)]
pub struct Lines {
    sides: [Side; 2],
}

impl Flows {
    /// Follow a session from these offsets in its two streams on.
    pub(super) fn follow(&mut self, place: Place, (orig, resp): (u64, u64)) {
        if self.followed.len() >= FOLLOWED {
            return;
        }
        let Some(conn) = self.conn_mut(place).filter(|conn| !conn.marks.has(Marks::LINES)) else { return };
        conn.marks.set(Marks::LINES, true);
        let side = |next| Side { next, ..Side::default() };
        self.followed.insert(place, Lines { sides: [side(orig), side(resp)] });
    }

    /// The session is over, or encrypted from here on.
    pub(super) fn unfollow(&mut self, place: Place) {
        if let Some(conn) = self.conn_mut(place) {
            conn.marks.clear(Marks::LINES);
        }
        self.followed.remove(&place);
    }

    /// Payload of a followed session.
    #[cold]
    pub(super) fn hear_lines(&mut self, place: Place, orig: bool, packet: &Packet<'_>, at: u64) {
        let Some(lines) = self.followed.get_mut(&place) else { return };
        let [first, second] = &mut lines.sides;
        let (mut announced, mut over): (Vec<(Option<IpAddr>, u16)>, bool) = (Vec::new(), false);
        let side = if orig { first } else { second };
        side.feed(at, packet.payload, |line| {
            announced.extend(ftp::announcement(line));
            over |= orig && ftp::upgrades(line);
        });
        if over {
            self.unfollow(place);
        }
        if !announced.is_empty() {
            self.expect(place, announced);
        }
    }
}
