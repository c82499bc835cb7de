//! Cells of the plain kind where they stand in a block of text, read with the bytes before and behind them. `None`: not that plain, or too
//! near to the block's edge; `value` decides.

use super::marks::zeros;

const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The eight bytes from a place on.
#[inline(always)]
pub fn word(text: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(text.get(at..at.wrapping_add(8))?.try_into().ok()?))
}

/// Eight digits without their ASCII part, the first in the lowest byte. The flag: one of the bytes was no digit.
#[inline(always)]
fn eight(digits: u64) -> (u64, bool) {
    let bad = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080 != 0;
    let pairs = digits.wrapping_mul(2561) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(6_553_601) >> 16 & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(42_949_672_960_001) >> 32, bad)
}

/// One to eight digits.
#[inline(always)]
pub fn digits(text: &[u8], start: usize, end: usize) -> Option<u64> {
    let length = end.wrapping_sub(start);
    if length.wrapping_sub(1) > 7 {
        return None;
    }
    let last = word(text, end.wrapping_sub(8))?;
    let (value, bad) = eight((last ^ ZEROS) & (u64::MAX << (64 - 8 * length)));
    (!bad).then_some(value)
}

/// Microseconds of a number with six decimals and at most nine digits before them.
#[inline]
pub fn micros(text: &[u8], start: usize, end: usize) -> Option<u64> {
    let before = end.wrapping_sub(start).wrapping_sub(8);
    if before > 8 {
        return None;
    }
    let last = word(text, end.wrapping_sub(8))? ^ ZEROS;
    let (fraction, bad) = eight(last & !0xffff);
    // The dot, and the digit before it.
    if bad || last >> 8 & 0xff != u64::from(b'.' ^ b'0') || last & 0xff > 9 {
        return None;
    }
    let seconds = if before == 0 { 0 } else { digits(text, start, start + before)? };
    Some((seconds * 10 + (last & 0xff)) * 1_000_000 + fraction)
}

/// Microseconds since 1970 of a time of ten digits and six decimals.
#[inline]
pub fn stamp(text: &[u8], start: usize, end: usize) -> Option<u64> {
    if end.wrapping_sub(start) != 17 {
        return None;
    }
    let first = u64::from(text.get(start)?.wrapping_sub(b'0'));
    (first <= 9).then_some(first * 1_000_000_000_000_000 + micros(text, start + 1, end)?)
}

/// By the count of digits of a part of an address: where they are in the last four bytes before its end, and the least number they write
/// (there are no leading zeros).
const PARTS: [(u32, u32); 4] = [(0, 1 << 16), (0xff00_0000, 0), (0xffff_0000, 10), (0xffff_ff00, 100)];

/// Two parts of an address: up to bit `one` of a word, and from the byte behind it up to bit `two`. The flag: they are none.
#[inline(always)]
fn parts(word: u64, one: u32, two: u32) -> (u32, bool) {
    let counts = [one / 8, two.wrapping_sub(one).wrapping_sub(8) / 8];
    let [(first_mask, first_least), (second_mask, second_least)] = counts.map(|count| PARTS.get(count as usize).copied().unwrap_or((0, 1 << 16)));
    let lanes = (word << (64 - one) >> 32) | (word << (64 - two) >> 32 << 32);
    let x = (lanes ^ 0x3030_3030_3030_3030) & (u64::from(first_mask) | u64::from(second_mask) << 32);
    let bad = (x.wrapping_add(0x7676_7676_7676_7676) | x) & 0x8080_8080_8080_8080;
    const LANES: u64 = 0x0000_00ff_0000_00ff;
    let values = (x >> 24 & LANES) + 10 * (x >> 16 & LANES) + 100 * (x >> 8 & LANES);
    let least = u64::from(first_least) | u64::from(second_least) << 32;
    // The top bits stay set where a value is not below its least.
    let tops = 0x8000_0000_8000_0000;
    let below = !((values | tops) - least) & tops;
    #[allow(clippy::cast_possible_truncation)] // two bytes
    let both = (values << 8 | values >> 32) as u32;
    (both & 0xffff, bad | below | (values & 0xffff_ff00_ffff_ff00) != 0)
}

/// Dotted decimal without leading zeros.
#[inline(always)]
pub fn ipv4(text: &[u8], start: usize, end: usize) -> Option<u32> {
    const DOTS: u64 = 0x2e2e_2e2e_2e2e_2e2e;
    // The first two parts and their dots are eight bytes at most; so are the last two.
    let low = word(text, start)?;
    let marks = zeros(low ^ DOTS);
    let rest = marks & marks.wrapping_sub(1);
    let (one, two) = (marks.trailing_zeros() & 56, rest.trailing_zeros() & !7);
    let middle = start + two as usize / 8 + 1;
    let length = end.wrapping_sub(middle);
    if two >= 64 || length.wrapping_sub(3) > 4 || one == 0 {
        return None;
    }
    let high = word(text, middle)?;
    // A second dot there leaves a part with a byte that is no digit.
    let three = zeros(high ^ DOTS).trailing_zeros() & 56;
    #[allow(clippy::cast_possible_truncation)] // seven at most
    let four = 8 * length as u32;
    if three == 0 || three >= four {
        return None;
    }
    let ((ab, first_bad), (cd, second_bad)) = (parts(low, one, two), parts(high, three, four));
    (!(first_bad | second_bad)).then_some(ab << 16 | cd)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::quick;
    use super::*;

    fn held(text: &str) -> (Vec<u8>, usize, usize) {
        (format!("17134848000\t{text}\t0123456789").into_bytes(), 12, 12 + text.len())
    }

    fn same(text: &str) {
        let (all, start, end) = held(text);
        assert_eq!(ipv4(&all, start, end), quick::ipv4(text.as_bytes()), "{text}");
        assert_eq!(digits(&all, start, end), quick::digits8(text.as_bytes()), "{text}");
        for found in [micros(&all, start, end), stamp(&all, start, end)].into_iter().flatten() {
            #[allow(clippy::cast_precision_loss)]
            let seconds = found as f64 / 1e6;
            assert_eq!(Some(seconds.to_bits()), quick::six(text.as_bytes()).map(f64::to_bits), "{text}");
        }
    }

    #[test]
    fn the_same_as_elsewhere() {
        for text in ["", "0", "00", "12345678", "123456789", "8.8.8.8", "255.255.255.255", "256.1.1.1", "01.2.3.4", "1.2.3", "1.2.3.4.5", "1..2.3"] {
            same(text);
        }
        for text in ["1.2.3.4x", "1.22.333.4", ".1.2.3.4", "1.2.3.", "100.200.10.1", "1.2.34", "1.2.3.04", "192.168.100.100", "1234.1.1.1"] {
            same(text);
        }
        assert_eq!(stamp(b"1713484800.012754\t", 0, 17), Some(1_713_484_800_012_754));
        let (all, start, end) = held("12.334793");
        assert_eq!(micros(&all, start, end), Some(12_334_793));
    }

    proptest! {
        #[test]
        fn any_text(text in "[0-9.:a\u{e9}-]{0,18}") {
            same(&text);
        }

        #[test]
        fn addresses(parts in proptest::array::uniform4(0_u16..300), tail in "[.0-9]{0,2}") {
            let [a, b, c, d] = parts;
            same(&format!("{a}.{b}.{c}.{d}{tail}"));
        }

        #[test]
        fn numbers(whole in any::<u32>(), fraction in 0_u32..1_000_000) {
            let text = format!("{whole}.{fraction:06}");
            same(&text);
            let (all, start, end) = held(&text);
            let expected = u64::from(whole) * 1_000_000 + u64::from(fraction);
            prop_assert_eq!(stamp(&all, start, end), (text.len() == 17).then_some(expected));
            prop_assert_eq!(micros(&all, start, end), (text.len() <= 16).then_some(expected));
        }
    }
}
