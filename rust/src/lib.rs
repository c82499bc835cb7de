//! The core of netexfil: bytes in, sessions out. It knows nothing of policy, scores or endpoints.
//!
//! `capture` opens a file, `decode` turns a frame into a segment, `flow` keeps the table of sessions,
//! `stream` puts first bytes in order for `hello`, `batch` makes Arrow of what is done, `listing` files. `zeek` reads logs.

pub mod batch;
pub mod bytes;
pub mod capture;
pub mod carve;
pub mod community_id;
pub mod decode;
pub mod error;
pub mod fingerprint;
pub mod flow;
pub mod held;
pub mod hello;
pub mod listing;
#[cfg(feature = "python")]
mod python;
#[cfg(feature = "python")]
mod python_channels;
#[cfg(feature = "python")]
mod python_listing;
#[cfg(feature = "python")]
mod python_logs;
#[cfg(feature = "python")]
mod python_sieve;
#[cfg(feature = "python")]
mod python_telemetry;
pub mod reader;
pub mod session;
pub mod side;
mod stream;
mod team;
pub mod telemetry;
pub mod zeek;
