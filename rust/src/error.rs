//! What can go wrong: an error when a source cannot be opened, a note when a part of it was lost.

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
