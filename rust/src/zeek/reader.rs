//! Threads, parts of files, and the order in which their batches come out.

use std::collections::VecDeque;
use std::fs;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use arrow_array::RecordBatch;

use super::lines::{self, Span, Stop, Wrap};
use super::part::{Common, Part};
use super::plan::{File, Plan};
use super::sink::Tally;
use super::header::Header;

/// A plain file is cut into parts of this size.
const PART: u64 = 32 << 20;
/// Batches that wait per part.
const WAITING: usize = 3;

enum Message {
    Batch(usize, RecordBatch),
    /// The end of a part; the header where it is not the one that the part began with.
    Done(Box<Tally>, Option<Box<Header>>),
}

/// A part of a file, and what its first lines are to be read with.
struct Job {
    file: usize,
    /// A large plain file, opened once for all its parts.
    held: Option<Arc<fs::File>>,
    span: Span,
    header: Option<Header>,
    /// The header lines before the span must be read first.
    learn: bool,
}

/// A job and where its batches go, until a thread takes it.
type Slot = Mutex<Option<(Job, SyncSender<Message>)>>;

struct Shared {
    common: Common,
    files: Vec<File>,
    next: AtomicUsize,
    jobs: Vec<Slot>,
    /// Jobs of which everything was taken, and who waits for that.
    over: Mutex<usize>,
    further: Condvar,
    /// So many jobs may be begun before the first of them is over: what was read of each stays in memory until then.
    ahead: usize,
}

impl Shared {
    /// Wait until a job may begin; false: nobody waits for it.
    fn may(&self, job: usize) -> bool {
        let early = |over: &mut usize| job > *over + self.ahead && !self.common.stop.load(Ordering::Relaxed);
        let over = self.over.lock().map(|over| self.further.wait_while(over, early));
        over.is_ok_and(|over| over.is_ok()) && !self.common.stop.load(Ordering::Relaxed)
    }

    fn done(&self, jobs: usize) {
        if let Ok(mut over) = self.over.lock() {
            *over += jobs;
        }
        self.further.notify_all();
    }
}

/// Batches of the rows of many files. Dropping it stops the threads.
pub struct Reader {
    shared: Arc<Shared>,
    waiting: VecDeque<(usize, Option<Arc<fs::File>>, Receiver<Message>)>,
    tallies: Vec<Tally>,
}

impl Reader {
    /// Begin to read. Files that cannot be opened are told in their tally.
    pub fn new(plan: Plan, files: Vec<File>, threads: usize) -> Self {
        let mut jobs = Vec::new();
        let mut waiting = VecDeque::new();
        for (index, file) in files.iter().enumerate() {
            let spans = parts(file);
            let held = if spans.len() > 1 { fs::File::open(&file.path).ok().map(Arc::new) } else { None };
            for (span, learn) in spans {
                let (send, receive) = sync_channel(WAITING);
                jobs.push(Mutex::new(Some((Job { file: index, held: held.clone(), span, header: None, learn }, send))));
                waiting.push_back((index, held.clone(), receive));
            }
        }
        let tallies = vec![Tally::default(); files.len()];
        let count = threads.clamp(1, 64).min(jobs.len());
        let (common, next) = (Common::new(plan), AtomicUsize::new(0));
        let shared = Arc::new(Shared { common, files, next, jobs, over: Mutex::new(0), further: Condvar::new(), ahead: count + 1 });
        for _ in 0..count {
            let shared = Arc::clone(&shared);
            thread::spawn(move || work(&shared));
        }
        Self { shared, waiting, tallies }
    }

    /// The next batch and the place of its log in the plan; `None` at the end.
    pub fn next_batch(&mut self) -> Option<(usize, RecordBatch)> {
        loop {
            let (file, held, receive) = self.waiting.front()?;
            let (file, held) = (*file, held.clone());
            match receive.recv() {
                Ok(Message::Batch(place, batch)) => return Some((place, batch)),
                Ok(Message::Done(tally, header)) => {
                    self.over(1);
                    let end = tally.end;
                    self.add(file, *tally);
                    if let Some(header) = header {
                        self.again(file, held, end, *header);
                    }
                }
                Err(_) => {
                    self.over(1);
                    let mut lost = Tally::default();
                    lost.note("damaged", "the reader stopped on an internal error".into(), None);
                    self.add(file, lost);
                }
            }
        }
    }

    /// The first jobs are over.
    fn over(&mut self, jobs: usize) {
        self.waiting.drain(..jobs.min(self.waiting.len()));
        self.shared.done(jobs);
    }

    fn add(&mut self, file: usize, tally: Tally) {
        if let Some(sum) = self.tallies.get_mut(file) {
            sum.add(tally);
        }
    }

    /// A header changed inside a part, so the later parts of the file were read with the wrong one: read them anew.
    fn again(&mut self, file: usize, held: Option<Arc<fs::File>>, from: u64, header: Header) {
        let later = self.waiting.iter().take_while(|(other, ..)| *other == file).count();
        if later == 0 {
            return;
        }
        self.over(later);
        if let Some(channels) = &self.shared.common.plan.channels {
            channels.doubt();
        }
        let (send, receive) = sync_channel(WAITING);
        let end = self.shared.files.get(file).and_then(|file| file.end);
        let span = Span { start: from, until: u64::MAX, end, inner: false };
        let job = Job { file, held: held.clone(), span, header: Some(header), learn: false };
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || part(&shared, job, &send));
        self.waiting.push_front((file, held, receive));
    }

    /// What became of each file's lines; complete once drained.
    pub fn tallies(&self) -> Vec<(String, Tally)> {
        self.shared.files.iter().zip(&self.tallies).map(|(file, tally)| (file.path.clone(), tally.clone())).collect()
    }

    /// The count of bytes of text read, which grows while the threads run.
    pub fn done(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.shared.common.done)
    }

    pub fn plan(&self) -> &Plan {
        &self.shared.common.plan
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.common.stop.store(true, Ordering::Relaxed);
        self.shared.done(0);
    }
}

/// The parts of a file: several for a large plain one, else one. The flag: its header stands before the part.
fn parts(file: &File) -> Vec<(Span, bool)> {
    let whole = Span { start: file.start, until: u64::MAX, end: file.end, inner: false };
    let plain = matches!(lines::look(&file.path), Ok(Wrap::Plain));
    let size = fs::metadata(&file.path).map_or(0, |meta| meta.len());
    let end = file.end.unwrap_or(size).min(size);
    if !plain || end.saturating_sub(file.start) < 2 * PART {
        return vec![(whole, file.start > 0)];
    }
    let mut found = Vec::new();
    let mut at = file.start;
    while at < end {
        let next = if end - at < 2 * PART { u64::MAX } else { at + PART };
        found.push((Span { start: at, until: next, end: file.end, inner: at > file.start }, at > 0));
        at = next;
    }
    found
}

fn work(shared: &Shared) {
    loop {
        let index = shared.next.fetch_add(1, Ordering::Relaxed);
        let Some(slot) = shared.jobs.get(index).filter(|_| shared.may(index)) else { return };
        let job = slot.lock().ok().and_then(|mut slot| slot.take());
        if let Some((job, send)) = job {
            part(shared, job, &send);
        }
        if shared.common.stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// One part, read from its first line to its last.
fn part(shared: &Shared, job: Job, send: &SyncSender<Message>) {
    let Some(file) = shared.files.get(job.file) else { return };
    let mut forward = |place, batch| send.send(Message::Batch(place, batch)).is_ok();
    let mut part = Part::new(&shared.common, file, job.file, job.header, &mut forward);
    (part.begun, part.start, part.held) = (file.json || !job.learn, job.span.start, job.held);
    let ended = if part.begun { part.run(job.span) } else { part.learn(job.span).and_then(|()| part.run(job.span)) };
    part.sink.finish();
    match ended {
        Ok(Stop::End) => {}
        Ok(Stop::Damaged(error)) => part.tally.note("damaged", damage(&error), None),
        Err(error) => part.tally.note("unreadable", error.to_string(), None),
    }
    let header = part.changed.then(|| Box::new(part.header.clone()));
    let _ = send.send(Message::Done(Box::new(part.tally), header));
}

fn damage(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "the compressed data ends too early".into(),
        _ => format!("damaged or unreadable from here ({error})"),
    }
}
