//! The letters of the history.

use super::{ACK, Conversation, FIN, RST, SYN, Segment};
use crate::flow::history::History;

impl Conversation {
    /// First of its kind from this side: write the letter. True where it was written before.
    pub(super) fn known(&mut self, bit: u32, code: u8, orig: bool, history: &mut History) -> bool {
        let mask = if orig { bit } else { bit << 16 };
        let known = self.letters & mask != 0;
        if !known {
            self.letters |= mask;
            history.push(letter(code, orig));
        }
        known
    }

    #[inline]
    pub(super) fn letters_of(&mut self, seg: &Segment, rel: u64, history: &mut History) {
        let orig = seg.orig;
        let control = seg.tcp.flags & (SYN | FIN | RST);
        let low = |number: u64| u32::try_from(number & 0xffff_ffff).unwrap_or(0);
        match control.count_ones() {
            0 if seg.length > 0 => {
                self.known(0x10, b'D', orig, history);
            }
            0 if seg.has(ACK) => {
                self.known(0x20, b'A', orig, history);
            }
            0 => {}
            1 if control == SYN => {
                let code = if seg.has(ACK) { b'H' } else { b'S' };
                if self.known(1, code, orig, history) && low(rel) != self.end(orig).syn_at {
                    history.push(letter(code, orig));
                }
                self.end(orig).syn_at = low(rel);
            }
            1 if control == FIN => {
                let at = low(rel.wrapping_add(u64::from(seg.length)));
                if self.known(2, b'F', orig, history) && at != self.end(orig).fin_letter_at {
                    history.push(letter(b'F', orig));
                }
                self.end(orig).fin_letter_at = at;
            }
            1 => {
                if self.known(4, b'R', orig, history) && low(rel) != self.end(orig).rst_at {
                    history.push(letter(b'R', orig));
                }
                self.end(orig).rst_at = low(rel);
            }
            _ if control & (FIN | RST) == FIN | RST => {
                self.known(8, b'I', orig, history);
            }
            _ => {
                self.known(0x40, b'Q', orig, history);
            }
        }
    }
}

/// The first, tenth, hundredth … of its kind is written.
pub(super) fn is_power(count: u32) -> bool {
    matches!(count, 1 | 10 | 100 | 1_000 | 10_000 | 100_000 | 1_000_000 | 10_000_000 | 100_000_000 | 1_000_000_000)
}

pub(super) fn letter(code: u8, orig: bool) -> u8 {
    if orig { code } else { code.to_ascii_lowercase() }
}
