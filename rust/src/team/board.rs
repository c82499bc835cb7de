//! Who does what next, and what is done.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::deal::Dealer;
use super::seat::{Seat, Yield};
use super::{Behind, Why};
use crate::capture::Portion;
use crate::flow::{Flows, Limits, Load};

/// Portions that are dealt and not told yet: so many before anything else is done, and so many at most. Few enough that their bytes are still in
/// a cache when it is their turn.
const AHEAD: usize = 2;
const MOST: usize = 4;

/// Something to do, with all that it needs. A portion and a table have their number.
pub enum Work {
    Deal(Box<Dealer>, usize, usize),
    Take(Box<Seat>, u64, Arc<Portion>),
    Close(Box<Seat>, u64),
}

/// What became of it. The last word: something is still open.
pub enum Outcome {
    Dealt(Box<Dealer>, Option<Portion>),
    Worked(Box<Seat>, u64, Yield, bool),
}

impl Work {
    pub fn run(self) -> Outcome {
        match self {
            Self::Deal(mut dealer, shares, size) => {
                let portion = dealer.deal(shares, size);
                Outcome::Dealt(dealer, portion)
            }
            Self::Take(mut seat, number, portion) => {
                let told = seat.take(&portion);
                Outcome::Worked(seat, number, told, true)
            }
            Self::Close(mut seat, number) => {
                let (told, open) = seat.close();
                Outcome::Worked(seat, number, told, open)
            }
        }
    }
}

/// What to do now.
pub enum Step {
    Work(Work),
    Told(Vec<Yield>, Behind),
    Broken(Why),
    Ended,
}

/// A table's place: its seat is away while someone works on it.
struct Desk {
    seat: Option<Box<Seat>>,
    /// Portions to take, by their numbers; nothing: close some of what is open.
    tasks: VecDeque<(u64, Option<Arc<Portion>>)>,
    /// As it was after its last task.
    load: Load,
    open: bool,
}

/// A portion that was dealt and not told yet.
struct Dealt {
    told: Vec<Option<Yield>>,
    left: usize,
    notes: Behind,
    /// What it may add.
    load: Load,
}

struct State {
    /// Nobody deals at the moment.
    dealer: Option<Box<Dealer>>,
    /// A portion that the limits let in only once everything before it is done.
    held_back: Option<Portion>,
    ended: bool,
    desks: Vec<Desk>,
    dealt: VecDeque<Dealt>,
    /// Number of the first of those.
    first: u64,
    /// Threads that have nothing to do.
    idle: usize,
    stopped: bool,
    broken: Option<Why>,
}

pub struct Board {
    state: Mutex<State>,
    news: Condvar,
    limits: Limits,
    threads: usize,
    size: usize,
}

impl Board {
    pub fn new(dealer: Dealer, limits: Limits, threads: usize, size: usize) -> Self {
        let desk = |number| Desk { seat: Some(Box::new(Seat::new(Flows::new(limits), number))), tasks: VecDeque::new(), load: Load::default(), open: true };
        let state = State {
            dealer: Some(Box::new(dealer)),
            held_back: None,
            ended: false,
            desks: (0..threads).map(desk).collect(),
            dealt: VecDeque::new(),
            first: 0,
            idle: 0,
            stopped: false,
            broken: None,
        };
        Self { state: Mutex::new(state), news: Condvar::new(), limits, threads, size }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this thread is to do; waits until there is something. Only who asks is told.
    pub fn next(&self, me: usize, asks: bool) -> Step {
        let mut state = self.lock();
        loop {
            if asks && let Some(why) = state.broken.take() {
                return Step::Broken(why);
            }
            if asks && let Some(dealt) = state.told() {
                self.tell(&state);
                return Step::Told(dealt.told.into_iter().flatten().collect(), dealt.notes);
            }
            state.settle(self.limits);
            if state.stopped || state.is_over() {
                return Step::Ended;
            }
            if let Some(work) = state.choose(me, self.threads, self.size) {
                return Step::Work(work);
            }
            state.idle += 1;
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// Something is done.
    pub fn done(&self, outcome: Outcome) {
        let mut state = self.lock();
        match outcome {
            Outcome::Dealt(dealer, Some(portion)) => {
                state.dealer = Some(dealer);
                state.enter(portion, self.limits);
            }
            Outcome::Dealt(_, None) => state.ended = true,
            Outcome::Worked(seat, number, told, open) => state.worked(seat, number, told, open),
        }
        self.tell(&state);
    }

    /// Something has changed.
    fn tell(&self, state: &State) {
        if state.idle > 0 {
            self.news.notify_all();
        }
    }

    /// Nobody listens any more, or someone broke off.
    pub fn stop(&self, why: Option<Why>) {
        let mut state = self.lock();
        state.stopped = true;
        state.broken = why;
        self.tell(&state);
    }
}

impl State {
    /// The first portion that was not told, where it is done.
    fn told(&mut self) -> Option<Dealt> {
        self.dealt.front().filter(|dealt| dealt.left == 0)?;
        self.first += 1;
        self.dealt.pop_front()
    }

    fn is_over(&self) -> bool {
        self.ended && self.held_back.is_none() && self.dealt.is_empty() && self.desks.iter().all(|desk| !desk.open)
    }

    /// Each thread works on its own table, whose sessions are in its core's cache; on another's only where there is nothing else to do.
    fn choose(&mut self, me: usize, threads: usize, size: usize) -> Option<Work> {
        let (few, some) = (self.dealt.len() < AHEAD, self.dealt.len() < MOST);
        let early = if few { self.deal(size) } else { None };
        let own = early.or_else(|| self.sit(|at| at % threads == me));
        let more = own.or_else(|| if some { self.deal(size) } else { None });
        more.or_else(|| self.sit(|_| true))
    }

    fn deal(&mut self, size: usize) -> Option<Work> {
        let dealer = self.dealer.take_if(|_| self.held_back.is_none())?;
        Some(Work::Deal(dealer, self.desks.len(), size))
    }

    /// The oldest task of such a table that nobody works on.
    fn sit(&mut self, fits: impl Fn(usize) -> bool) -> Option<Work> {
        let waits = |(at, desk): (usize, &Desk)| desk.seat.as_ref().and(desk.tasks.front()).map(|task| (task.0, at));
        let (_, at) = self.desks.iter().enumerate().filter(|(at, _)| fits(*at)).filter_map(waits).min()?;
        let desk = self.desks.get_mut(at)?;
        let (number, portion) = desk.tasks.pop_front()?;
        let seat = desk.seat.take()?;
        Some(match portion {
            Some(portion) => Work::Take(seat, number, portion),
            None => Work::Close(seat, number),
        })
    }

    fn worked(&mut self, seat: Box<Seat>, number: u64, told: Yield, open: bool) {
        let at = seat.number;
        if let Some(desk) = self.desks.get_mut(at) {
            (desk.load, desk.open, desk.seat) = (seat.load(), open, Some(seat));
        }
        let Some(dealt) = usize::try_from(number - self.first).ok().and_then(|place| self.dealt.get_mut(place)) else { return };
        dealt.left -= 1;
        if let Some(place) = dealt.told.get_mut(at) {
            *place = Some(told);
        }
    }

    /// A portion goes to all tables, or waits until it is known what it meets there.
    fn enter(&mut self, portion: Portion, limits: Limits) {
        if self.desks.len() > 1 && self.load(&portion).exceeds(limits) {
            self.held_back = Some(portion);
        } else {
            self.queue(portion);
        }
    }

    fn queue(&mut self, mut portion: Portion) {
        let (load, notes) = (load_of(&portion), std::mem::take(&mut portion.notes));
        let portion = Arc::new(portion);
        self.task(load, notes, Some(&portion));
    }

    fn task(&mut self, load: Load, notes: Behind, portion: Option<&Arc<Portion>>) {
        let number = self.first + self.dealt.len() as u64;
        let mut left = 0;
        for desk in self.desks.iter_mut().filter(|desk| desk.open) {
            desk.tasks.push_back((number, portion.cloned()));
            left += 1;
        }
        self.dealt.push_back(Dealt { told: self.desks.iter().map(|_| None).collect(), left, notes, load });
    }

    /// All that may be open once a portion is taken.
    fn load(&self, portion: &Portion) -> Load {
        let mut load = load_of(portion);
        self.desks.iter().for_each(|desk| load += desk.load);
        self.dealt.iter().filter(|dealt| dealt.left > 0).for_each(|dealt| load += dealt.load);
        load
    }

    /// Let in what was held back, once everything before it is done; close what is open, once the input has ended.
    fn settle(&mut self, limits: Limits) {
        if self.dealt.iter().all(|dealt| dealt.left == 0)
            && let Some(mut portion) = self.held_back.take()
        {
            if self.load(&portion).exceeds(limits) {
                self.unite();
                portion.unite();
            }
            self.queue(portion);
        }
        if self.ended && self.held_back.is_none() && self.dealt.len() < AHEAD && self.desks.iter().any(|desk| desk.open) {
            self.task(Load::default(), Vec::new(), None);
        }
    }

    /// From now on there is one table.
    fn unite(&mut self) {
        let mut seats = std::mem::take(&mut self.desks).into_iter().filter_map(|desk| desk.seat);
        let Some(mut first) = seats.next() else { return };
        seats.for_each(|seat| first.absorb(*seat));
        self.desks = vec![Desk { load: first.load(), seat: Some(first), tasks: VecDeque::new(), open: true }];
    }
}

fn load_of(portion: &Portion) -> Load {
    Load { live: portion.packets, held: portion.bytes, followed: 0, recalled: portion.packets }
}
