//! A table of open sessions, with what decodes the frames for it.

use crate::capture::Portion;
use crate::decode::Decoder;
use crate::flow::expect::Event;
use crate::flow::{Flows, Load, Lost};
use crate::session::Session;

/// Places of a table that the end of the input closes in one step.
const CLOSE: usize = 512;

/// What came of a portion in one table.
#[derive(Default)]
pub struct Yield {
    pub sessions: Vec<Session>,
    pub events: Vec<Event>,
    pub lost: Vec<Lost>,
}

pub struct Seat {
    flows: Flows,
    decoder: Decoder,
    pub number: usize,
}

impl Seat {
    pub fn new(flows: Flows, number: usize) -> Self {
        Self { flows, decoder: Decoder::default(), number }
    }

    pub fn load(&self) -> Load {
        self.flows.load()
    }

    fn told(&mut self, lost: Vec<Lost>) -> Yield {
        Yield { sessions: all_of(self.flows.done()), events: all_of(self.flows.events()), lost }
    }

    pub fn take(&mut self, portion: &Portion) -> Yield {
        let lost = self.flows.part(portion, self.number, &mut self.decoder);
        self.told(lost)
    }

    /// Close some of what is open; whether something may still be.
    pub fn close(&mut self) -> (Yield, bool) {
        let open = self.flows.close_some(CLOSE);
        if !open {
            let told = self.told(Vec::new());
            self.flows.clear();
            return (told, open);
        }
        (self.told(Vec::new()), open)
    }

    pub fn absorb(&mut self, other: Self) {
        self.flows.absorb(other.flows);
    }
}

/// What is in there; about as much will come again.
fn all_of<T>(things: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(things.len() + things.len() / 4);
    std::mem::replace(things, room)
}
