//! What can go wrong: an error when a source cannot be opened, a note when a part of it was lost.

use std::collections::HashMap;

/// A source that cannot be read at all. Raised before the first session is handed out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}")]
    Open { path: String, source: std::io::Error },
    #[error("{path}: {reason}")]
    Refused { path: String, reason: String },
}

impl Error {
    /// What is wrong, without the path.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Open { source, .. } => source.to_string(),
            Self::Refused { reason, .. } => reason.clone(),
        }
    }
}

/// Something that was skipped or is known to be missing; the good rest was still read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub file: String,
    /// Byte offset (captures) or line (logs) in the decompressed file, where it is known.
    pub place: Option<u64>,
    /// A short word to count by: `truncated`, `damaged`, `refused`, `link_type`, `gap` …
    pub kind: &'static str,
    pub reason: String,
    /// How many times the same thing happened; repeated notes of a kind and file are merged.
    pub count: u64,
}

/// Different notes; what else there is, is counted without its reason.
const NOTES: usize = 10_000;

/// What was lost so far; identical notes are one with a count.
#[derive(Debug, Default)]
pub struct Notes {
    all: Vec<Note>,
    /// Where the note of a file, kind and reason stands.
    told: HashMap<(String, &'static str, String), usize>,
}

impl Notes {
    pub fn add(&mut self, mut new: Note) {
        let mut key = (new.file.clone(), new.kind, new.reason.clone());
        if self.all.len() >= NOTES && !self.told.contains_key(&key) {
            "for more reasons than are told".clone_into(&mut new.reason);
            key.2.clone_from(&new.reason);
        }
        if let Some(note) = self.told.get(&key).and_then(|at| self.all.get_mut(*at)) {
            note.count += new.count;
            return;
        }
        self.told.insert(key, self.all.len());
        self.all.push(new);
    }

    #[must_use]
    pub fn all(&self) -> &[Note] {
        &self.all
    }

    /// Those since the last call.
    #[must_use]
    pub fn take(&mut self) -> Vec<Note> {
        std::mem::take(self).all
    }
}
