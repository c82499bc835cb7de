//! The first bytes of each direction, in order and bounded, for the hellos.

use crate::hello::{self, Hello, Outcome, Proto, Streams};

/// Pieces that may wait above a hole, per direction.
const WAITING: usize = 32;
/// Datagrams kept per direction.
const DATAGRAMS: usize = 8;
/// How often a conversation is looked at, at most.
const LOOKS: u16 = 200;

#[derive(Debug, Default)]
struct Side {
    bytes: Vec<u8>,
    waiting: Vec<(usize, Vec<u8>)>,
    datagrams: Vec<Vec<u8>>,
}

impl Side {
    /// Add payload at its place in the stream; true where it made the ordered part longer.
    fn add(&mut self, at: usize, data: &[u8], limit: usize) -> bool {
        let have = self.bytes.len();
        if at > have {
            let held: usize = self.waiting.iter().map(|piece| piece.1.len()).sum();
            if at < limit && self.waiting.len() < WAITING && held + data.len() <= limit {
                self.waiting.push((at, data.to_vec()));
            }
            return false;
        }
        let fresh = data.get(have - at..).unwrap_or_default();
        let room = limit.saturating_sub(have);
        self.bytes.extend_from_slice(fresh.get(..room).unwrap_or(fresh));
        while let Some(index) = self.waiting.iter().position(|piece| piece.0 <= self.bytes.len()) {
            let (at, piece) = self.waiting.swap_remove(index);
            let skip = self.bytes.len() - at;
            let fresh = piece.get(skip..).unwrap_or_default();
            let room = limit.saturating_sub(self.bytes.len());
            self.bytes.extend_from_slice(fresh.get(..room).unwrap_or(fresh));
        }
        self.bytes.len() > have
    }

    fn datagram(&mut self, data: &[u8], limit: usize) -> bool {
        let held: usize = self.datagrams.iter().map(Vec::len).sum();
        let kept = crate::bytes::first(data, limit.saturating_sub(held));
        if kept.is_empty() || self.datagrams.len() >= DATAGRAMS {
            return false;
        }
        self.datagrams.push(kept.to_vec());
        true
    }
}

/// The first bytes of a conversation and what they told so far.
#[derive(Debug)]
pub struct Stream {
    sides: [Side; 2],
    looks: u16,
    limit: usize,
    held: usize,
    /// Nothing was recognised so far, and every look could see that at once.
    quiet: bool,
    pub outcome: Outcome,
}

impl Stream {
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { sides: Default::default(), looks: 0, limit, held: 0, quiet: true, outcome: Outcome { want_more: true, ..Outcome::default() } }
    }

    /// Read something of where it lies, and of its last bytes.
    #[inline]
    #[must_use]
    pub fn touch(&self) -> u64 {
        let [orig, resp] = self.sides.each_ref().map(|side| u64::from(side.bytes.last().copied().unwrap_or(0)));
        orig ^ resp ^ u64::from(self.outcome.want_more) ^ self.outcome.wait.0 as u64
    }

    /// Bytes taken up by what is kept.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Originator and responder changed places.
    pub fn flip(&mut self) {
        let [first, second] = &mut self.sides;
        std::mem::swap(first, second);
        self.outcome.wait = (0, 0);
    }

    /// A side's stream begins this much before what was taken for its first byte.
    pub fn shift(&mut self, orig: bool, by: usize) {
        let side = self.side(orig);
        side.waiting.iter_mut().for_each(|piece| piece.0 += by);
        side.waiting.push((by, std::mem::take(&mut side.bytes)));
        self.outcome.wait = (0, 0);
    }

    /// As new, with the room that it has.
    pub fn clear(&mut self) {
        for side in &mut self.sides {
            side.bytes.clear();
            side.waiting.clear();
            side.datagrams.clear();
        }
        (self.looks, self.held, self.quiet) = (0, 0, true);
        self.outcome = Outcome { want_more: true, ..Outcome::default() };
    }

    fn side(&mut self, orig: bool) -> &mut Side {
        let [first, second] = &mut self.sides;
        if orig { first } else { second }
    }

    /// Something of it will not be looked at before the end: one side is full, or it was looked at as often as it may be.
    #[must_use]
    pub fn tired(&self) -> bool {
        self.looks >= LOOKS || self.sides.iter().any(|side| side.bytes.len() >= self.limit)
    }

    /// Bytes of both directions that are in order.
    #[must_use]
    pub fn ordered(&self) -> (u64, u64) {
        let [orig, resp] = &self.sides;
        (orig.bytes.len() as u64, resp.bytes.len() as u64)
    }

    /// TCP payload at its offset in the stream. True where there is something new to look at.
    pub fn segment(&mut self, orig: bool, at: u64, data: &[u8]) -> bool {
        let limit = self.limit;
        let Ok(at) = usize::try_from(at) else { return false };
        self.held += data.len().min(limit);
        self.side(orig).add(at, data, limit)
    }

    /// A UDP payload.
    pub fn datagram(&mut self, orig: bool, data: &[u8]) -> bool {
        let limit = self.limit;
        self.held += data.len().min(limit);
        self.side(orig).datagram(data, limit)
    }

    /// What a look at all there is said.
    pub fn looked(&mut self, outcome: Outcome) {
        self.looks += 1;
        self.outcome = outcome;
    }

    /// Look at what there is. `done`: nothing more will come.
    pub fn look(&mut self, proto: Proto, ports: (u16, u16), done: bool) {
        if !self.outcome.want_more || (self.looks >= LOOKS && !done) {
            return;
        }
        let [orig, resp] = &self.sides;
        let wait = self.outcome.wait;
        if !done && orig.bytes.len() < wait.0 && resp.bytes.len() < wait.1 {
            return;
        }
        self.looks += 1;
        let full = match proto {
            Proto::Tcp => orig.bytes.len() >= self.limit && resp.bytes.len() >= self.limit,
            Proto::Udp => orig.datagrams.len() >= DATAGRAMS && resp.datagrams.len() >= DATAGRAMS,
        };
        let done = done || full;
        let (orig_port, resp_port) = ports;
        if self.quiet
            && proto == Proto::Tcp
            && let Some(want_more) = hello::quiet(Streams { orig: &orig.bytes, resp: &resp.bytes, resp_port, done, depth: 0 })
        {
            self.outcome.want_more = want_more;
            return;
        }
        self.quiet = false;
        let first: Vec<&[u8]> = orig.datagrams.iter().map(Vec::as_slice).collect();
        let second: Vec<&[u8]> = resp.datagrams.iter().map(Vec::as_slice).collect();
        self.outcome = hello::inspect(&Hello {
            proto,
            orig: &orig.bytes,
            resp: &resp.bytes,
            orig_datagrams: &first,
            resp_datagrams: &second,
            orig_port,
            resp_port,
            done,
        });
        self.outcome.want_more &= !done;
    }
}

/// What the first datagram of a session tells by itself, without keeping it.
#[must_use]
pub fn first_datagram(orig: bool, data: &[u8], (orig_port, resp_port): (u16, u16)) -> Outcome {
    let one = [data];
    let (first, second): (&[&[u8]], &[&[u8]]) = if orig { (&one, &[]) } else { (&[], &one) };
    hello::inspect(&Hello {
        proto: Proto::Udp,
        orig: &[],
        resp: &[],
        orig_datagrams: first,
        resp_datagrams: second,
        orig_port,
        resp_port,
        done: false,
    })
}
