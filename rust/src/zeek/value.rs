//! One cell of a log to one value: the same rules as `netexfil/read/values.py` (a test holds the two together).

use std::net::{IpAddr, Ipv6Addr};

use super::quick;
use crate::side::{Networks, Side};

/// Why a cell was refused.
pub type Bad = &'static str;

pub const BETWEEN: char = '\u{1f}';

/// Counts stay here: more than any session moves, and sums and products of what sessions moved still fit in 63 bits.
const MOST: i64 = 10_000_000_000_000_000;
/// Seconds stay below: three thousand years, so that a date can be made of every time, and of a time and how long a session took.
const AGE: f64 = 1e11;

/// A decimal number, zero or above: digits, perhaps a fraction, perhaps an exponent.
#[inline]
pub fn number(text: &[u8]) -> Option<f64> {
    quick::six(text).or_else(|| plain_decimal(text)).or_else(|| any_number(text))
}

fn any_number(text: &[u8]) -> Option<f64> {
    let mut rest = digits(text)?;
    if let Some(after) = rest.strip_prefix(b".") {
        rest = after.iter().position(|b| !b.is_ascii_digit()).map_or(&[][..], |at| after.get(at..).unwrap_or_default());
    }
    if let Some(after) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let signed = after.strip_prefix(b"+").or_else(|| after.strip_prefix(b"-")).unwrap_or(after);
        if signed.len() > 3 {
            return None;
        }
        rest = digits(signed)?;
    }
    if !rest.is_empty() {
        return None;
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    value.is_finite().then_some(value)
}

/// At least one digit; what follows them.
fn digits(text: &[u8]) -> Option<&[u8]> {
    let at = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    if at == 0 { None } else { text.get(at..) }
}

const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// `digits[.digits]` with no more than 15 digits in all or a mantissa below 2^53: exact in both parts, so one division rounds correctly.
fn plain_decimal(text: &[u8]) -> Option<f64> {
    if text.len() > 18 {
        return None;
    }
    let (mut mantissa, mut fraction, mut dot, mut seen) = (0_u64, 0_usize, false, false);
    for &byte in text {
        match byte {
            b'0'..=b'9' => {
                mantissa = mantissa.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
                fraction += usize::from(dot);
                seen = true;
            }
            b'.' if !dot && seen => dot = true,
            _ => return None,
        }
    }
    if !seen || mantissa >= 1 << 53 {
        return None;
    }
    #[allow(clippy::cast_precision_loss)] // below 2^53
    POWERS.get(fraction).map(|power| mantissa as f64 / power)
}

/// How long something took: a number; beyond 10^11 seconds it stays there.
#[inline]
pub fn seconds(text: &[u8]) -> Option<f64> {
    number(text).map(|value| value.min(AGE))
}

/// Seconds since 1970: a number (milli- and microseconds are told by their size) or ISO 8601.
#[inline]
pub fn time(text: &[u8]) -> Result<f64, Bad> {
    match quick::six(text) {
        Some(value) if value < AGE => Ok(value),
        _ => any_time(text),
    }
}

fn any_time(text: &[u8]) -> Result<f64, Bad> {
    let Some(value) = number(text) else {
        return iso(text).ok_or("not a time");
    };
    let unit = [(1e17, 1e9), (1e14, 1e6), (AGE, 1e3)].into_iter().find(|(limit, _)| value >= *limit).map_or(1.0, |(_, unit)| unit);
    if value / unit < AGE { Ok(value / unit) } else { Err("not a time") }
}

fn two(text: &[u8], at: usize) -> Option<i64> {
    match text.get(at..at + 2)? {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(i64::from(a - b'0') * 10 + i64::from(b - b'0')),
        _ => None,
    }
}

/// `YYYY-MM-DDThh:mm:ss[.fraction][zone]`, the fraction cut to microseconds.
fn iso(text: &[u8]) -> Option<f64> {
    let year = two(text, 0)? * 100 + two(text, 2)?;
    let (month, day, hour, minute, second) = (two(text, 5)?, two(text, 8)?, two(text, 11)?, two(text, 14)?, two(text, 17)?);
    let marks = [text.get(4)?, text.get(7)?, text.get(10)?, text.get(13)?, text.get(16)?];
    if !matches!(marks, [b'-', b'-', b'T' | b' ', b':', b':']) || year < 1 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days(year, month, day)?;
    let mut rest = text.get(19..)?;
    let mut micros = 0;
    if let Some(after) = rest.strip_prefix(b".") {
        let end = after.iter().position(|b| !b.is_ascii_digit()).unwrap_or(after.len());
        if end == 0 {
            return None;
        }
        for index in 0..6 {
            micros = micros * 10 + after.get(index).filter(|_| index < end).map_or(0, |b| i64::from(b - b'0'));
        }
        rest = after.get(end..)?;
    }
    let whole = days * 86400 + hour * 3600 + minute * 60 + second - zone(rest)?;
    #[allow(clippy::cast_precision_loss)] // below 2^53 until the year 2255
    (whole >= 0).then_some((whole * 1_000_000 + micros) as f64 / 1e6)
}

/// Seconds east of Greenwich: nothing, `Z`, `+hhmm`, `+hh:mm`.
fn zone(text: &[u8]) -> Option<i64> {
    let sign = match text {
        [] | b"Z" => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let minutes = match (text.len(), text.get(3)) {
        (5, _) => two(text, 3)?,
        (6, Some(b':')) => two(text, 4)?,
        _ => return None,
    };
    Some(sign * (two(text, 1)? * 3600 + minutes * 60))
}

/// Days since 1970-01-01 of a date that exists (Howard Hinnant, chrono-compatible low-level date algorithms).
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let most = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if !(1..=most).contains(&day) {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// A count; `12.0` counts as 12; beyond 10^16 it stays there.
#[inline]
pub fn whole(text: &[u8]) -> Result<i64, Bad> {
    match quick::digits16(text).map(i64::try_from) {
        Some(Ok(value)) => Ok(value),
        _ => any_whole(text),
    }
}

fn any_whole(text: &[u8]) -> Result<i64, Bad> {
    if !text.is_empty() && text.len() <= 18 && text.iter().all(u8::is_ascii_digit) {
        return Ok(text.iter().fold(0, |sum, b| sum * 10 + i64::from(b - b'0')).min(MOST));
    }
    let (head, tail) = match memchr::memchr(b'.', text) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    };
    let zeros = tail.is_none_or(|tail| head.len() <= 15 && !tail.is_empty() && tail.iter().all(|b| *b == b'0'));
    if head.is_empty() || head.len() > 30 || !zeros || !head.iter().all(u8::is_ascii_digit) {
        return Err("not a count");
    }
    Ok(std::str::from_utf8(head).ok().and_then(|text| text.parse().ok()).map_or(MOST, |value: i64| value.min(MOST)))
}

/// 0 to 65535; `443/tcp` is 443.
#[inline]
pub fn port(text: &[u8]) -> Result<i32, Bad> {
    quick::port(text).map_or_else(|| any_port(text), |port| Ok(i32::from(port)))
}

fn any_port(text: &[u8]) -> Result<i32, Bad> {
    let text = memchr::memchr(b'/', text).map_or(text, |at| text.get(..at).unwrap_or_default());
    match whole(text) {
        Ok(value @ 0..=65535) => i32::try_from(value).map_err(|_| "not a port"),
        _ => Err("not a port"),
    }
}

/// An address; IPv4-mapped IPv6 is IPv4.
pub fn address(text: &[u8]) -> Result<IpAddr, Bad> {
    if let Some(v4) = quick::ipv4(text) {
        return Ok(IpAddr::V4(v4.into()));
    }
    if let Some(v6) = quick::ipv6(text) {
        return Ok(canonical(v6.into()));
    }
    let text = std::str::from_utf8(text).map_err(|_| "not an address")?;
    let v6: Ipv6Addr = text.trim_matches(['[', ']']).parse().map_err(|_| "not an address")?;
    Ok(canonical(v6))
}

/// An address as a number, IPv4 as its mapped form.
#[must_use]
pub fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

/// The address of such a number.
#[must_use]
pub fn canonical(v6: Ipv6Addr) -> IpAddr {
    v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)
}

/// Where an address stands; `None`: it is none.
#[inline]
pub fn side(networks: &Networks, text: &[u8]) -> Option<Side> {
    match quick::ipv4(text) {
        Some(address) => Some(networks.side_v4(address)),
        None => address(text).ok().map(|address| networks.side(address)),
    }
}

/// T/F, true/false, 1/0 in any case.
pub fn flag(text: &[u8]) -> Result<bool, Bad> {
    match text {
        b"T" => return Ok(true),
        b"F" => return Ok(false),
        _ => {}
    }
    match text.to_ascii_lowercase().as_slice() {
        b"t" | b"true" | b"1" => Ok(true),
        b"f" | b"false" | b"0" => Ok(false),
        _ => Err("not T or F"),
    }
}

/// `\x09` to the byte it stands for.
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let pair = (byte == b'\\' && text.get(at + 1) == Some(&b'x')).then(|| text.get(at + 2..at + 4)).flatten();
        match pair.and_then(hex) {
            Some(value) => {
                out.push(value);
                at += 4;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fn hex(pair: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(pair).ok()?;
    text.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u8::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time(b"1517336086.165021"), Ok(1_517_336_086.165_021));
        assert_eq!(time(b"1588205199.82437"), Ok(1_588_205_199.824_37));
        assert_eq!(time(b"2020-02-26T03:40:03.724911Z"), Ok(1_582_688_403.724_911));
        assert_eq!(time(b"2020-02-26T05:40:03+02:00"), Ok(1_582_688_403.0));
        assert_eq!(time(b"1588205199824"), Ok(1_588_205_199.824));
        assert_eq!(time(b"99999999999.5"), Ok(99_999_999_999.5));
        for bad in [&b"-1"[..], b"", b"nan", b"1e300", b"100000000000000000000", b"2020-02-30T00:00:00Z", b"1_0", b"2020-02-26"] {
            assert_eq!(time(bad), Err("not a time"), "{bad:?}");
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(address(b"10.0.0.1").map(|a| a.to_string()), Ok("10.0.0.1".into()));
        assert_eq!(address(b"::ffff:10.0.0.1").map(|a| a.to_string()), Ok("10.0.0.1".into()));
        assert_eq!(address(b"FE80:0:0:0:0:0:0:1").map(|a| a.to_string()), Ok("fe80::1".into()));
        for bad in [&b"10.0.0"[..], b"10.0.0.256", b"010.0.0.1", b"", b"fe80::1%eth0", b"host"] {
            assert_eq!(address(bad), Err("not an address"), "{bad:?}");
        }
    }

    #[test]
    fn counts() {
        assert_eq!(whole(b"18446744073709551615"), Ok(10_000_000_000_000_000));
        assert_eq!(whole(b"20000000000000000"), Ok(10_000_000_000_000_000));
        assert_eq!((seconds(b"1e300"), seconds(b"9.5")), (Some(1e11), Some(9.5)));
        assert_eq!(whole(b"12.0"), Ok(12));
        assert!(whole(b"-3").is_err() && whole(b"").is_err() && whole(b"1.5").is_err());
        assert_eq!(port(b"443/tcp"), Ok(443));
        assert!(port(b"93145").is_err());
    }
}
