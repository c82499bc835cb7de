//! Cells of the plain kind where they stand in a row, read with the bytes before and behind them. `None`: not that plain; `value` decides.

use super::window::Window;

const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Eight digits without their ASCII part, the first in the lowest byte. The flag: one of the bytes was no digit.
#[inline(always)]
fn eight(digits: u64) -> (u64, bool) {
    let pairs = digits.wrapping_mul(2561) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(6_553_601) >> 16 & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(42_949_672_960_001) >> 32, other(digits))
}

/// Whether one of eight bytes is above 9.
#[inline(always)]
fn other(digits: u64) -> bool {
    (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080 != 0
}

/// One to eight digits.
#[inline(always)]
pub fn digits(row: Window<'_>, start: usize, end: usize) -> Option<u64> {
    let length = end.wrapping_sub(start);
    if length.wrapping_sub(1) > 7 {
        return None;
    }
    let last = row.word(end.wrapping_sub(8));
    let (value, bad) = eight((last ^ ZEROS) & (u64::MAX << (64 - 8 * length)));
    (!bad).then_some(value)
}

/// Whether these are one to eight digits.
#[inline(always)]
pub fn all_digits(row: Window<'_>, start: usize, end: usize) -> bool {
    let length = end.wrapping_sub(start);
    let digits = || (row.word(end.wrapping_sub(8)) ^ ZEROS) & (u64::MAX << (64 - 8 * length));
    length.wrapping_sub(1) <= 7 && !other(digits())
}

/// Microseconds of a number with six decimals and at most nine digits before them.
#[inline]
pub fn micros(row: Window<'_>, start: usize, end: usize) -> Option<u64> {
    let before = end.wrapping_sub(start).wrapping_sub(8);
    if before > 8 {
        return None;
    }
    let last = row.word(end.wrapping_sub(8)) ^ ZEROS;
    let (fraction, bad) = eight(last & !0xffff);
    // The dot, and the digit before it.
    if bad || last >> 8 & 0xff != u64::from(b'.' ^ b'0') || last & 0xff > 9 {
        return None;
    }
    let seconds = if before == 0 { 0 } else { digits(row, start, start + before)? };
    Some((seconds * 10 + (last & 0xff)) * 1_000_000 + fraction)
}

/// Microseconds since 1970 of a time of ten digits and six decimals.
#[inline]
pub fn stamp(row: Window<'_>, start: usize, end: usize) -> Option<u64> {
    if end.wrapping_sub(start) != 17 {
        return None;
    }
    let first = u64::from(row.byte(start).wrapping_sub(b'0'));
    (first <= 9).then_some(first * 1_000_000_000_000_000 + micros(row, start + 1, end)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::quick;
    use super::super::window::{BEFORE, Room};
    use super::*;

    /// What a reader makes of a cell.
    fn read<T>(text: &str, reader: impl Fn(Window<'_>, usize, usize) -> Option<T>) -> Option<T> {
        let (all, mut room) = (format!("17134848000\t{text}\t0123456789"), Room::default());
        let row = Window::new(all.as_bytes(), 0, all.len(), &mut room)?;
        reader(row, BEFORE + 12, BEFORE + 12 + text.len())
    }

    fn same(text: &str) {
        assert_eq!(read(text, |row, start, end| Some(all_digits(row, start, end))), Some(quick::digits8(text.as_bytes()).is_some()), "{text}");
        assert_eq!(read(text, digits), quick::digits8(text.as_bytes()), "{text}");
        for found in [read(text, micros), read(text, stamp)].into_iter().flatten() {
            #[allow(clippy::cast_precision_loss)]
            let seconds = found as f64 / 1e6;
            assert_eq!(Some(seconds.to_bits()), quick::six(text.as_bytes()).map(f64::to_bits), "{text}");
        }
    }

    #[test]
    fn the_same_as_elsewhere() {
        for text in ["", "0", "00", "12345678", "123456789", "-", "1x", "/1", ":1"] {
            same(text);
        }
        assert_eq!(read("1713484800.012754", stamp), Some(1_713_484_800_012_754));
        assert_eq!(read("12.334793", micros), Some(12_334_793));
    }

    proptest! {
        #[test]
        fn any_text(text in "[0-9.:a\u{e9}-]{0,18}") {
            same(&text);
        }

        #[test]
        fn numbers(whole in any::<u32>(), fraction in 0_u32..1_000_000) {
            let text = format!("{whole}.{fraction:06}");
            same(&text);
            let expected = u64::from(whole) * 1_000_000 + u64::from(fraction);
            prop_assert_eq!(read(&text, stamp), (text.len() == 17).then_some(expected));
            prop_assert_eq!(read(&text, micros), (text.len() <= 16).then_some(expected));
        }
    }
}
