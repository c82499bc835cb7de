//! Reading ahead: a thread of its own reads (and decompresses) block after block while the one before is looked at.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// A block: large enough that handing it over costs nothing, small enough that four stay in the caches.
const BLOCK: usize = 512 * 1024;
/// Free bytes in front of each block, for what is left of the one before.
pub const HEAD: usize = 64 * 1024;
/// Blocks that wait.
const WAITING: usize = 2;

pub struct Block {
    /// `HEAD` free bytes, then what was read.
    pub buffer: Vec<u8>,
    pub end: usize,
    /// Nothing follows: the end, or why it cannot be read on.
    pub last: Option<io::Result<()>>,
}

/// The receiving end.
pub struct Ahead {
    blocks: Receiver<Block>,
    spare: Sender<Vec<u8>>,
}

impl Ahead {
    /// Start reading.
    pub fn start(reader: Box<dyn Read + Send>) -> Self {
        let (filled, blocks) = sync_channel(WAITING);
        let (spare, spares) = channel();
        std::thread::spawn(move || run(reader, &filled, &spares));
        Self { blocks, spare }
    }

    /// The next block. A thread that broke off is an error like any other.
    pub fn next(&self) -> Block {
        let broken = || Block { buffer: vec![0; HEAD], end: HEAD, last: Some(Err(io::Error::other("the reading thread stopped"))) };
        self.blocks.recv().unwrap_or_else(|_| broken())
    }

    /// Give a buffer back. One that a long record made large is let go.
    pub fn back(&self, buffer: Vec<u8>) {
        if buffer.len() <= HEAD + BLOCK {
            let _ = self.spare.send(buffer); // a thread that is done needs none
        }
    }
}

fn run(mut reader: Box<dyn Read + Send>, filled: &SyncSender<Block>, spares: &Receiver<Vec<u8>>) {
    loop {
        let mut buffer = spares.try_recv().unwrap_or_default();
        buffer.resize(HEAD + BLOCK, 0);
        let mut block = Block { buffer, end: HEAD, last: None };
        while block.last.is_none() && block.end < HEAD + BLOCK / 2 {
            match reader.read(block.buffer.get_mut(block.end..).unwrap_or_default()) {
                Ok(0) => block.last = Some(Ok(())),
                Ok(read) => block.end = block.end.saturating_add(read).min(block.buffer.len()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => block.last = Some(Err(error)),
            }
        }
        let last = block.last.is_some();
        if filled.send(block).is_err() || last {
            return; // nobody listens any more, or there is no more to tell
        }
    }
}
