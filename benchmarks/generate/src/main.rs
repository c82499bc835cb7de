//! Deterministic inputs for the benchmarks: the same arguments give the same bytes.
//!
//!     generate p1 FILE --scale 0.1      capture with TLS and SSH hellos (4.6 M packets, 3.5 GB at scale 1)
//!     generate p2 FILE                  capture of small packets (10 M packets, 1 M sessions)
//!     generate z1 DIRECTORY [--json] [--hourly]   conn.log and ssl.log (20 M rows, 2.6 GB)
//!     generate e1 FILE                  endpoint events (1 M) that belong to z1 of the same scale

mod events;
mod frame;
mod hello;
mod mixed;
mod random;
mod small;
mod talk;
mod zeek;

use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(what), Some(target)) = (arguments.first(), arguments.get(1)) else {
        return Err(io::Error::other("usage: generate p1|p2|z1|e1 TARGET [--scale N] [--json] [--hourly]"));
    };
    let scale = arguments
        .iter()
        .position(|word| word == "--scale")
        .and_then(|at| arguments.get(at + 1))
        .and_then(|text| text.parse::<f64>().ok())
        .unwrap_or(1.0);
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let target = Path::new(target);
    match what.as_str() {
        "p1" => mixed::write(target, scale),
        "p2" => small::write(target, scale),
        "z1" => zeek::write(target, scale, has("--json"), has("--hourly")),
        "e1" => events::write(target, scale),
        other => Err(io::Error::other(format!("{other}: p1, p2, z1 or e1"))),
    }
}
