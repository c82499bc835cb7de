//! The cells that nearly all rows have, eight and sixteen bytes at a time. `None`: not that plain, `value` decides.

/// The last bytes of a text of 1 to 8 bytes at the top of a word; what is below is unspecified only where `count` masks it away.
#[inline]
fn top(text: &[u8]) -> Option<u64> {
    let length = text.len();
    if length > 8 {
        return None;
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let first = u64::from(u32::from_le_bytes(*first)) << (8 * (8 - length));
        return Some(first | u64::from(u32::from_le_bytes(*last)) << 32);
    }
    let (first, last) = (u64::from(*text.first()?), u64::from(*text.last()?));
    let middle = u64::from(*text.get(length / 2)?);
    Some(first << (8 * (8 - length)) | middle << (8 * (8 - length + length / 2)) | last << 56)
}

/// One to eight digits.
#[inline]
pub fn digits8(text: &[u8]) -> Option<u64> {
    let word = top(text)?;
    let x = (word ^ 0x3030_3030_3030_3030) & (u64::MAX << (8 * (8 - text.len())));
    if (x.wrapping_add(0x7676_7676_7676_7676) | x) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = x.wrapping_mul(2561) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(6_553_601) >> 16 & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul(42_949_672_960_001) >> 32)
}

/// One to sixteen digits.
#[inline]
pub fn digits16(text: &[u8]) -> Option<u64> {
    if text.len() <= 8 {
        return digits8(text);
    }
    if text.len() > 16 {
        return None;
    }
    let (high, low) = text.split_at_checked(text.len() - 8)?;
    Some(digits8(high)? * 100_000_000 + digits8(low)?)
}

/// A number with six decimals, as Zeek writes times and intervals. Exact: mantissa and power are, so one division rounds correctly.
#[inline]
pub fn six(text: &[u8]) -> Option<f64> {
    let (whole, rest) = text.split_at_checked(text.len().checked_sub(7)?)?;
    let [b'.', fraction @ ..] = rest else {
        return None;
    };
    let mantissa = digits16(whole)?.checked_mul(1_000_000)?.checked_add(digits8(fraction)?)?;
    #[allow(clippy::cast_precision_loss)] // below 2^53
    (mantissa < 1 << 53).then(|| mantissa as f64 / 1e6)
}

/// A port without its protocol.
#[inline]
pub fn port(text: &[u8]) -> Option<u16> {
    u16::try_from(digits8(text)?).ok()
}

/// The top bit of each byte that is a dot.
#[inline]
fn dots(word: u64) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let x = word ^ 0x2e2e_2e2e_2e2e_2e2e;
    !(((x & LOW) + LOW) | x | LOW)
}

/// Bits `from..to` of a word as one part of an address, digits from the lowest byte on; 256 or more: it is none.
#[inline]
fn part(word: u64, from: u32, to: u32) -> u32 {
    let count = to.wrapping_sub(from);
    if !matches!(count, 8 | 16 | 24) {
        return 256;
    }
    #[allow(clippy::cast_possible_truncation)] // the last four bytes before `to`
    let x = ((word << (64 - to) >> 32) as u32 ^ 0x3030_3030) & (u32::MAX << (32 - count));
    let bad = (x.wrapping_add(0x7676_7676) | x) & 0x8080_8080 != 0 || (count > 8 && x >> (32 - count) & 0xff == 0);
    (x >> 24) + 10 * (x >> 16 & 0xff) + 100 * (x >> 8 & 0xff) + if bad { 256 } else { 0 }
}

/// Dotted decimal without leading zeros: the address' canonical form.
#[inline]
pub fn ipv4(text: &[u8]) -> Option<u32> {
    let length = u32::try_from(text.len()).ok().filter(|length| *length <= 15)?;
    // The first two parts and their dots are eight bytes at most, so are the last two.
    let low = match text.first_chunk::<8>() {
        Some(first) => u64::from_le_bytes(*first),
        None => top(text)? >> (64 - 8 * length),
    };
    let marks = dots(low);
    let (one, rest) = (marks.trailing_zeros() & !7, marks & marks.wrapping_sub(1));
    let two = rest.trailing_zeros() & !7;
    if two >= 64 {
        return None;
    }
    let tail = text.get(two as usize / 8 + 1..)?;
    let (high, length) = (top(tail)?, 8 * (length - two / 8 - 1));
    let high = high >> (64 - length);
    let marks = dots(high) & (u64::MAX >> (64 - length));
    let three = marks.trailing_zeros() & !7;
    if three >= length {
        return None;
    }
    let parts = [part(low, 0, one), part(low, one + 8, two), part(high, 0, three), part(high, three + 8, length)];
    parts.iter().all(|part| *part < 256).then(|| parts.iter().fold(0, |address, part| address << 8 | part))
}

/// Groups of hexadecimal digits, at most one `::` among them.
#[inline]
pub fn ipv6(text: &[u8]) -> Option<u128> {
    let (mut head, mut tail, mut groups, mut gap) = (0_u128, 0_u128, 0_u32, None);
    let (mut group, mut digits) = (0_u32, 0_u32);
    let mut rest = text;
    if let Some(after) = text.strip_prefix(b"::") {
        (gap, rest) = (Some(0), after);
        if rest.is_empty() {
            return Some(0);
        }
    }
    let mut close = |group: u32, gap: Option<u32>| {
        groups += 1;
        if gap.is_some() {
            tail = tail << 16 | u128::from(group)
        } else {
            head = head << 16 | u128::from(group)
        }
        groups
    };
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b':' if digits > 0 => {
                let count = close(group, gap);
                (group, digits) = (0, 0);
                match rest.first() {
                    Some(b':') if gap.is_none() => {
                        (gap, rest) = (Some(count), rest.get(1..)?);
                        if rest.is_empty() {
                            break;
                        }
                    }
                    Some(b':') | None => return None,
                    Some(_) => {}
                }
                continue;
            }
            _ => return None,
        };
        group = group << 4 | u32::from(digit);
        digits += 1;
        if digits > 4 {
            return None;
        }
    }
    if digits > 0 {
        close(group, gap);
    }
    match gap {
        None => (groups == 8).then_some(head),
        Some(before) if groups < 8 => Some(if before == 0 { tail } else { head << (16 * (8 - before)) | tail }),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits() {
        for text in ["0", "7", "42", "123", "1234", "00012", "999999", "1234567", "12345678"] {
            assert_eq!(digits8(text.as_bytes()), text.parse().ok(), "{text}");
        }
        for text in ["123456789", "9999999999999999", "1000000000000"] {
            assert_eq!(digits16(text.as_bytes()), text.parse().ok(), "{text}");
        }
        for text in ["", "-", "1.5", "12a", "a", "/1", ":1", "\u{0}1", "12345678901234567", "\u{ff}1"] {
            assert_eq!(digits16(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn addresses() {
        for text in [
            "0.0.0.0",
            "8.8.8.8",
            "10.1.2.3",
            "255.255.255.255",
            "192.168.100.1",
            "1.22.333.4",
            "01.2.3.4",
            "1.2.3",
            "1.2.3.4.5",
            "1..2.3.4",
            "1.2.3.4.",
            ".1.2.3.4",
            "1.2.3.",
            "256.1.1.1",
            "a.b.c.d",
            "::1",
            "1.2.3.4x",
            "1111.2.3.4",
            "1.2.3.0000",
            "12345678",
            "",
        ] {
            let expected = text.parse().ok().map(|address: std::net::Ipv4Addr| u32::from(address));
            assert_eq!(ipv4(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn long_addresses() {
        for text in [
            "::",
            "::1",
            "1::",
            "fe80::1",
            "2001:db8:0:1:2:3:4:5",
            "2001:DB8::a:b",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7:8:9",
            "1::2::3",
            ":1",
            "1:",
            "12345::",
            "g::",
            "1:2:3:4:5:6:7",
            ":::",
            "1:::2",
            "::1:",
            "1:2:3:4::5:6:7:8",
            "",
        ] {
            let expected = text.parse().ok().map(|address: std::net::Ipv6Addr| u128::from(address));
            assert_eq!(ipv6(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(ipv6(b"::ffff:1.2.3.4"), None);
    }

    #[test]
    fn decimals() {
        for text in ["1713484800.012754", "0.000001", "1.334793", "123456789.000000", "4503599627.370496"] {
            assert_eq!(six(text.as_bytes()).map(f64::to_bits), text.parse::<f64>().ok().map(f64::to_bits), "{text}");
        }
        for text in ["1.5", ".000001", "1,000000", "-1.000000", "99999999999.000000", "1.00000a"] {
            assert_eq!(six(text.as_bytes()), None, "{text}");
        }
    }
}
