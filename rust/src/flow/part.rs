//! Frames of a portion that fall to one of several tables. Time passes in each as though it saw all frames.

use std::hint::black_box;

use super::Flows;
use super::warm::Known;
use crate::capture::{AHEAD, Frame, Portion, Slip};
use crate::decode::{self, Decoder, Packet, Sink};

/// Bytes of a frame in the first and the second line of a cache that headers lie in.
const NEAR: usize = 12;
const FAR: usize = 53;

/// Something that could not be decoded: number of the frame, place of its record, number of the file, kind and reason.
pub type Lost = (u32, u64, u32, &'static str, String);

/// Of what a frame holds, the packets that fall to this table.
struct Own<'a> {
    flows: &'a mut Flows,
    number: usize,
    portion: &'a Portion,
    /// Another one hears of what cannot be decoded.
    deaf: bool,
}

impl Sink for Own<'_> {
    #[inline]
    fn packet(&mut self, packet: &Packet<'_>) {
        self.flows.order += 1;
        if self.portion.whose(decode::share(packet)) == self.number {
            self.flows.packet(packet);
        }
    }

    fn lost(&mut self, kind: &'static str, reason: &str) {
        if !self.deaf {
            Sink::lost(self.flows, kind, reason);
        }
    }
}

impl Flows {
    /// Take the frames of a portion that fall to this table, the one with this number; what could not be decoded of them.
    pub fn part(&mut self, portion: &Portion, number: usize, decoder: &mut Decoder) -> Vec<Lost> {
        let mut lost = Vec::new();
        self.passed = 0;
        let mut chunks = portion.slips(number).chunks(AHEAD).peekable();
        while let Some(slips) = chunks.next() {
            chunks.peek().iter().for_each(|next| touch(portion, next));
            let mut frames = [Frame::default(); AHEAD];
            for (frame, slip) in frames.iter_mut().zip(slips) {
                *frame = portion.frame(slip);
            }
            let mut packets = [Packet::default(); AHEAD];
            let mut known: Known = [None; AHEAD];
            self.look_up(frames.get(..slips.len()).unwrap_or_default(), &mut packets, &mut known);
            for (((packet, known), frame), slip) in packets.iter().zip(&known).zip(&frames).zip(slips) {
                self.pass(&portion.nows, slip.index as usize);
                (self.time, self.file, self.order) = (slip.time, portion.file(slip), u64::from(slip.index) << 8);
                match known {
                    Some(_) if slip.all && portion.whose(decode::share(packet)) != number => {}
                    Some(keyed) => self.take(keyed, packet),
                    None => decoder.frame(frame, &mut Own { flows: self, number, portion, deaf: slip.all && number != 0 }),
                }
                self.passed = slip.index as usize + 1;
                if !self.lost.is_empty() {
                    lost.extend(self.lost().into_iter().map(|(kind, reason)| note(portion, slip, kind, reason)));
                }
            }
        }
        if self.passed < portion.nows.len() {
            self.pass(&portion.nows, portion.nows.len() - 1);
        }
        lost
    }

    /// Time goes on to a frame: what was due at one before it, and behind those passed, is done at the time of that one.
    #[inline]
    fn pass(&mut self, nows: &[i64], to: usize) {
        let Some(&now) = nows.get(to) else { return };
        while let Some((due, place)) = self.timers.pop(now) {
            let between = nows.get(self.passed..to).unwrap_or_default();
            self.passed += between.partition_point(|now| *now < due);
            self.now = nows.get(self.passed).copied().unwrap_or(now);
            self.fire(super::Place(place), due);
        }
        (self.now, self.passed) = (now, to);
    }
}

/// Read something of the headers of frames that come next, so that they are on their way from the other core's cache, or from memory, together.
#[inline]
fn touch(portion: &Portion, slips: &[Slip]) {
    let byte = |data: &[u8], at: usize| data.get(at).copied().unwrap_or(0);
    let both = |slip: &Slip| {
        let data = portion.frame(slip).data;
        byte(data, NEAR) ^ byte(data, FAR)
    };
    black_box(slips.iter().fold(0, |sum, slip| sum ^ both(slip)));
}

fn note(portion: &Portion, slip: &Slip, kind: &'static str, reason: String) -> Lost {
    (slip.index, portion.place(slip), portion.file(slip), kind, reason)
}
