//! Reading on behind damage: the next place in a file where what follows hangs together.

use super::Damage;
use super::input::Input;

/// What is skipped at most; a hole that is larger ends the file.
const DISTANCE: u64 = 64 * 1024 * 1024;
/// Bytes looked through before they are let go.
const STEP: usize = 256 * 1024;

/// Step to the first place behind this one for which `follows` holds; it is asked with the distance from here, and may make
/// more of the input contiguous. The bytes stepped over, or `None` where there is no such place within reach (which is consumed).
pub fn seek(input: &mut Input, follows: impl Fn(&mut Input, usize) -> bool) -> Option<u64> {
    let (mut skipped, mut at) = (0_u64, 1_usize);
    while skipped < DISTANCE && input.ensure(at + 1) {
        if follows(input, at) {
            input.consume(at);
            return Some(skipped + at as u64);
        }
        at += 1;
        if at > STEP {
            input.consume(at - 1);
            skipped += at as u64 - 1;
            at = 1;
        }
    }
    None
}

/// What became of a damaged place.
pub fn damage(place: u64, what: &str, skipped: Option<u64>) -> Damage {
    match skipped {
        Some(bytes) => Damage { goes_on: true, ..Damage::new(place, "damaged", format!("{what}; {bytes} bytes were skipped, up to the next record that fits")) },
        None => Damage::new(place, "damaged", format!("{what}; the rest of the file is not read")),
    }
}
