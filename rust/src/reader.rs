//! Captures to batches of sessions: the loop that joins the parts.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};

use crate::batch;
use crate::capture::Set;
use crate::decode::Decoder;
use crate::error::{Error, Note};
use crate::flow::{Flows, Limits};
use crate::session::Session;
use crate::side::Networks;

/// Sessions in a batch.
const BATCH: usize = 2048;

/// Reads captures and hands out finished sessions in batches.
pub struct Reader {
    set: Set,
    decoder: Decoder,
    flows: Flows,
    schema: SchemaRef,
    networks: Option<Networks>,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    New,
    Reading,
    Closing,
    Done,
}

impl Reader {
    /// Open the captures.
    ///
    /// # Errors
    /// Where not one of them can be read.
    pub fn open(paths: &[String], limits: Limits) -> Result<Self, Error> {
        Ok(Self { set: Set::open(paths)?, decoder: Decoder::default(), flows: Flows::new(limits), schema: batch::schema(), networks: None, state: State::New })
    }

    /// Say of each session where its ends stand.
    pub fn place(&mut self, networks: Networks) {
        self.networks = Some(networks);
    }

    /// Bytes read so far.
    #[must_use]
    pub fn counter(&self) -> Arc<AtomicU64> {
        self.set.counter()
    }

    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        self.set.notes()
    }

    /// Finished sessions, some thousands at a time; `None` at the end.
    pub fn sessions(&mut self) -> Option<Vec<Session>> {
        if self.state == State::New {
            self.state = State::Reading;
            self.set.start();
        }
        while self.state != State::Done && self.flows.done().len() < BATCH {
            self.step();
        }
        let done = self.flows.done();
        let take = done.len().min(BATCH);
        if take == 0 {
            self.flows.clear();
            return None;
        }
        Some(done.drain(..take).collect())
    }

    /// Read one frame, or close some of what is open at the end.
    #[inline]
    fn step(&mut self) {
        let Some((frame, file)) = self.set.frame() else {
            self.state = if self.flows.close() { State::Closing } else { State::Done };
            return;
        };
        self.flows.tick(frame.time, file);
        self.decoder.frame(&frame, &mut self.flows);
        let lost = self.flows.lost();
        if !lost.is_empty() {
            let place = self.set.place();
            for (kind, reason) in lost {
                self.set.note(file, Some(place), kind, reason);
            }
        }
        self.set.advance();
    }

    /// The next batch.
    pub fn batch(&mut self) -> Option<Result<RecordBatch, ArrowError>> {
        self.sessions().map(|sessions| batch::batch(&self.schema, &sessions, self.set.names(), self.networks.as_ref()))
    }
}
