//! Captures to batches of sessions: the loop that joins the parts.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};

use crate::batch;
use crate::capture::{AHEAD, Frame, Set};
use crate::decode::{Address, Decoder};
use crate::error::{Error, Note, Notes};
use crate::flow::expect::{Event, Expected};
use crate::flow::{Flows, Limits, key};
use crate::held::Held;
use crate::listing::Row;
use crate::listing::turned::{Rules, Turned};
use crate::session::Session;
use crate::side::{Networks, Side};
use crate::team::{Behind, Team, Yield};

/// Sessions in a batch.
const BATCH: usize = 2048;

/// Some frames, or rounds of closing, between two looks at whether to stop; and portions, where several threads read.
const PATIENCE: usize = 1 << 13;
const PORTIONS: usize = 32;

/// How many threads read an input, from how many bytes on, and how many frames are handed over together, at most.
#[derive(Debug, Clone, Copy)]
pub struct Threads {
    pub count: usize,
    /// Shorter input is read sooner than others have begun to help.
    pub least: u64,
    pub portion: usize,
}

impl Default for Threads {
    fn default() -> Self {
        Self { count: 1, least: 4 * 1024 * 1024, portion: usize::MAX }
    }
}

/// Reads captures and hands out finished sessions in batches.
pub struct Reader {
    engine: Engine,
    limits: Limits,
    threads: Threads,
    names: Vec<Arc<str>>,
    counter: Arc<AtomicU64>,
    notes: Notes,
    expected: Expected,
    done: Vec<Session>,
    schema: SchemaRef,
    networks: Option<Networks>,
    held: Held,
}

/// Who reads.
enum Engine {
    New(Set),
    One(Box<One>),
    Team(Team),
    Done,
}

/// One thread.
struct One {
    set: Set,
    decoder: Decoder,
    flows: Flows,
}

impl Reader {
    /// Open the captures.
    ///
    /// # Errors
    /// Where not one of them can be read.
    pub fn open(paths: &[String], limits: Limits) -> Result<Self, Error> {
        let mut set = Set::open(paths)?;
        let mut notes = Notes::default();
        set.notes().into_iter().for_each(|note| notes.add(note));
        Ok(Self {
            names: set.names().to_vec(),
            counter: set.counter(),
            engine: Engine::New(set),
            limits,
            threads: Threads::default(),
            notes,
            expected: Expected::default(),
            done: Vec::new(),
            schema: batch::schema(),
            networks: None,
            held: Held::default(),
        })
    }

    /// Say of each session where its ends stand.
    pub fn place(&mut self, networks: Networks) {
        self.networks = Some(networks);
    }

    /// Let several threads read. The sessions are the same; those that end at the same time come in another order.
    pub fn share(&mut self, threads: Threads) {
        self.threads = threads;
    }

    /// Bytes read so far.
    #[must_use]
    pub fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.counter)
    }

    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        self.notes.all().to_vec()
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
        let patience = if matches!(self.engine, Engine::Team(_)) { PORTIONS } else { PATIENCE };
        for _ in 0..patience {
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
        let names = &self.names;
        let source = |session: &Session| names.get(session.file as usize).map_or("", AsRef::as_ref);
        let rows = sessions.iter().map(|session| Row { session, turned: Turned::new(session, rules), source: source(session) });
        let rows: Vec<Row<'_>> = rows.filter(|row| !outbound_only || row.turned.outbound.is_some()).collect();
        each(&rows);
        true
    }

    fn begin(&mut self) {
        self.engine = match std::mem::replace(&mut self.engine, Engine::Done) {
            Engine::New(mut set) => {
                set.start();
                if self.threads.count > 1 && set.size().is_none_or(|size| size >= self.threads.least) {
                    Engine::Team(Team::start(set, self.limits, self.threads.count, self.threads.portion))
                } else {
                    Engine::One(Box::new(One { set, decoder: Decoder::default(), flows: Flows::new(self.limits) }))
                }
            }
            other => other,
        };
    }

    fn ready(&self) -> bool {
        self.done.len() >= BATCH || matches!(self.engine, Engine::Done)
    }

    /// A batch of what is finished; `None` where nothing is.
    fn finished(&mut self) -> Option<Vec<Session>> {
        let count = self.done.len();
        let mut rest = Vec::with_capacity(count + count / 4); // about as many will come again
        rest.extend(self.done.drain(count.min(BATCH)..));
        let mut batch = std::mem::replace(&mut self.done, rest);
        self.expected.tell(&mut batch);
        (!batch.is_empty()).then_some(batch)
    }

    /// Read some frames, or close some of what is open at the end.
    #[inline]
    fn step(&mut self) {
        let more = match &mut self.engine {
            Engine::One(one) => {
                let more = one.step(&mut self.notes);
                self.expected.hear(one.flows.events().drain(..));
                self.done.append(one.flows.done());
                more
            }
            Engine::Team(team) => match team.next() {
                Some((told, notes)) => {
                    self.told(told, notes);
                    true
                }
                None => false,
            },
            Engine::New(_) | Engine::Done => false,
        };
        if !more {
            self.engine = Engine::Done;
        }
    }

    /// Put together what the tables tell of a portion.
    fn told(&mut self, told: Vec<Yield>, mut notes: Behind) {
        let (mut events, mut lost) = (Vec::new(), Vec::new());
        for mut part in told {
            self.done.append(&mut part.sessions);
            lost.append(&mut part.lost);
            events.push(part.events);
        }
        if events.iter().any(|events| self.expected.cares(events)) {
            let mut events: Vec<Event> = events.into_iter().flatten().collect();
            events.sort_by_key(|event| event.order);
            self.expected.hear(events);
        }
        let name = |file: u32| self.names.get(file as usize).map_or_else(String::new, |name| name.to_string());
        notes.extend(lost.into_iter().map(|(at, place, file, kind, reason)| (at, Note { file: name(file), place: Some(place), kind, reason, count: 1 })));
        notes.sort_by_key(|note| note.0);
        notes.into_iter().for_each(|note| self.notes.add(note.1));
    }

    /// The next batch.
    pub fn batch(&mut self) -> Option<Result<RecordBatch, ArrowError>> {
        self.sessions().map(|sessions| batch::batch(&self.schema, &sessions, &self.names, self.networks.as_ref()))
    }
}

impl One {
    /// Read some frames, or close some of what is open at the end; false once nothing is left.
    #[inline]
    fn step(&mut self, notes: &mut Notes) -> bool {
        let mut frames = [Frame::default(); AHEAD];
        let Some((count, mut last, file)) = self.set.frames(&mut frames) else {
            self.set.notes().into_iter().for_each(|note| notes.add(note));
            return self.flows.close();
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
        if self.set.noted() {
            self.set.notes().into_iter().for_each(|note| notes.add(note));
        }
        true
    }
}
