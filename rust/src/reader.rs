//! Captures to batches of sessions: the loop that joins the parts.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};

use crate::batch;
use crate::capture::{AHEAD, Frame, Set};
use crate::decode::{Address, Decoder};
use crate::error::{Error, Note};
use crate::flow::{Flows, Limits, key};
use crate::held::Held;
use crate::listing::Row;
use crate::listing::turned::{Rules, Turned};
use crate::session::Session;
use crate::side::{Networks, Side};

/// Sessions in a batch.
const BATCH: usize = 2048;

/// Some frames, or rounds of closing, between two looks at whether to stop.
const PATIENCE: usize = 1 << 13;

/// Reads captures and hands out finished sessions in batches.
pub struct Reader {
    set: Set,
    decoder: Decoder,
    flows: Flows,
    schema: SchemaRef,
    networks: Option<Networks>,
    state: State,
    held: Held,
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
        Ok(Self { set: Set::open(paths)?, decoder: Decoder::default(), flows: Flows::new(limits), schema: batch::schema(), networks: None, state: State::New, held: Held::default() })
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
        if let Some(held) = self.held.take(BATCH) {
            return Some(held);
        }
        self.begin();
        while !self.ready() {
            self.step();
        }
        self.finished()
    }

    /// Read on and keep finished sessions, to hand them out in the order of `ts` and `uid`.
    ///
    /// `None`: a good part is read, and more is to come. True: all are kept, and in order. False: they take more than `limit` bytes; they and
    /// the rest come in no order.
    pub fn hold(&mut self, limit: usize) -> Option<bool> {
        self.begin();
        for _ in 0..PATIENCE {
            if !self.ready() {
                self.step();
            } else if let Some(sessions) = self.finished() {
                if !self.held.put(sessions, limit) {
                    return Some(false);
                }
            } else {
                self.held.sort();
                return Some(true);
            }
        }
        None
    }

    /// Whether a session that is kept runs between public addresses.
    #[must_use]
    pub fn unplaced(&self) -> bool {
        let public = |end: &Address| self.networks.as_ref().is_some_and(|networks| networks.side(key::ip(end)) == Side::Public);
        self.held.ends().any(|(one, other)| public(one) && public(other))
    }

    /// Hand the next sessions to `each`, turned, or only those that count as outbound; false where none is left.
    pub fn list(&mut self, rules: &Rules, outbound_only: bool, each: &mut dyn FnMut(&[Row<'_>])) -> bool {
        let Some(sessions) = self.sessions() else { return false };
        let names = self.set.names();
        let source = |session: &Session| names.get(session.file as usize).map_or("", AsRef::as_ref);
        let rows = sessions.iter().map(|session| Row { session, turned: Turned::new(session, rules), source: source(session) });
        let rows: Vec<Row<'_>> = rows.filter(|row| !outbound_only || row.turned.outbound.is_some()).collect();
        each(&rows);
        true
    }

    fn begin(&mut self) {
        if self.state == State::New {
            self.state = State::Reading;
            self.set.start();
        }
    }

    fn ready(&mut self) -> bool {
        self.state == State::Done || self.flows.done().len() >= BATCH
    }

    /// A batch of what is finished; `None` where nothing is.
    fn finished(&mut self) -> Option<Vec<Session>> {
        let done = self.flows.done();
        let take = done.len().min(BATCH);
        if take == 0 {
            self.flows.clear();
            return None;
        }
        Some(done.drain(..take).collect())
    }

    /// Read some frames, or close some of what is open at the end.
    #[inline]
    fn step(&mut self) {
        let mut frames = [Frame::default(); AHEAD];
        let Some((count, mut last, file)) = self.set.frames(&mut frames) else {
            self.state = if self.flows.close() { State::Closing } else { State::Done };
            return;
        };
        let taken = self.flows.frames(frames.get(..count).unwrap_or_default(), file, &mut self.decoder);
        if taken < count {
            last = frames.get_mut(..taken).and_then(|frames| self.set.frames(frames)).and_then(|found| found.1);
        }
        self.set.pass(last);
        for (kind, reason) in self.flows.lost() {
            self.set.note(file, Some(self.set.place()), kind, reason);
        }
        self.set.advance();
    }

    /// The next batch.
    pub fn batch(&mut self) -> Option<Result<RecordBatch, ArrowError>> {
        self.sessions().map(|sessions| batch::batch(&self.schema, &sessions, self.set.names(), self.networks.as_ref()))
    }
}
