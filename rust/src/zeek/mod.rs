//! Zeek logs: files to rows of typed columns. What the rows mean is said in Python (`netexfil/read/`).
//!
//! Files, and parts of large plain files, are read by several threads; batches come out in the order of the files.

mod cell;
mod channel;
mod column;
mod columns;
mod ecs;
mod gunzip;
mod header;
mod ipv4;
mod json;
mod keep;
mod lines;
mod marks;
mod part;
mod plan;
mod quick;
mod quotes;
mod reader;
pub mod scan;
mod shape;
mod sink;
mod sums;
mod tsv;
mod value;
mod window;
mod wrapped;

pub(crate) use channel::truth;
pub use channel::{Addresses, Channel, Channels, FIELDS, FLAGS, Families, Found, Hot, Limits, Order, PROTOCOLS, Reach, SURE, Sieve, Wanted, addresses, written};
pub use columns::schema;
pub use keep::Keep;
pub use lines::head;
pub use part::text;
pub use plan::{Ecs, Field, File, Kind, Log, Plan};
pub use reader::Reader;
pub use sink::Tally;
pub use sums::Sums;
