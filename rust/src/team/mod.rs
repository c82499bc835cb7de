//! One input read by several threads. One at a time deals it out in portions, and each open session belongs to one of several tables by its
//! addresses and ports; whoever is free takes the next portion to a table, or deals the next one. What comes of it is the same as
//! that of one table: time passes in all of them frame by frame (`Flows::part`), what concerns several sessions is put together behind them
//! (`flow::expect`), and where a limit of the whole run could be met, they become one (`Flows::absorb`).

mod board;
mod deal;
mod seat;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use board::{Board, Step};
use deal::Dealer;
pub use seat::Yield;

use crate::capture::Set;
use crate::error::Note;
use crate::flow::Limits;

/// What was lost of the input, by the number of the frame behind it.
pub type Behind = Vec<(u32, Note)>;

/// What a thread that broke off has to say.
type Why = Box<dyn Any + Send>;

/// The threads that read one input. Who asks for what comes of it is one of them.
pub struct Team {
    board: Arc<Board>,
}

impl Team {
    /// Begin to read with so many threads, the asking one included. `size`: frames in a portion, at most. Where the system gives no more
    /// threads, those that there are do all of the work: everyone may work on every table.
    pub fn start(set: Set, limits: Limits, threads: usize, size: usize) -> Self {
        let board = Arc::new(Board::new(Dealer::new(set), limits, threads, size));
        for me in 1..threads {
            let board = Arc::clone(&board);
            let _ = std::thread::Builder::new().spawn(move || help(&board, me));
        }
        Self { board }
    }

    /// What came of the next portion, table by table, and what was lost of the input in it; `None` once all is told.
    pub fn next(&self) -> Option<(Vec<Yield>, Behind)> {
        loop {
            match self.board.next(0, true) {
                Step::Work(work) => self.board.done(work.run()),
                Step::Told(told, notes) => return Some((told, notes)),
                Step::Broken(why) => resume_unwind(why),
                Step::Ended => return None,
            }
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.board.stop(None);
    }
}

/// What the other threads do until there is nothing left. One that breaks off says so to the one that asks.
fn help(board: &Board, me: usize) {
    while let Step::Work(work) = board.next(me, false) {
        match catch_unwind(AssertUnwindSafe(|| work.run())) {
            Ok(outcome) => board.done(outcome),
            Err(why) => return board.stop(Some(why)),
        }
    }
}
