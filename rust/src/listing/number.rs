//! Numbers as text, as DuckDB writes them.

use std::fmt::Write;

/// Below this the distance between two doubles is less than a microsecond, so that six decimals tell them apart and no fewer would do.
const FINE: f64 = 8e9;
const MICRO: f64 = 1e6;

/// How a decimal fraction is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Shortest form; exponents from 21 up and from -7 down.
    Json,
    /// Shortest form; exponents from 16 up and from -5 down, with a sign and two digits.
    Cast,
    /// Six decimals.
    Six,
}

pub fn whole(value: i64, out: &mut String) {
    if value < 0 {
        out.push('-');
    }
    digits(value.unsigned_abs(), 1, out);
}

/// At least `least` digits.
fn digits(mut value: u64, least: usize, out: &mut String) {
    let mut text = [b'0'; 20];
    let mut from = text.len();
    for (place, digit) in text.iter_mut().enumerate().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
        from = place;
        if value == 0 {
            break;
        }
    }
    let shown = text.get(from.min(text.len() - least)..).unwrap_or_default();
    out.push_str(std::str::from_utf8(shown).unwrap_or_default());
}

pub fn real(value: f64, style: Style, out: &mut String) {
    let size = value.abs();
    let micros = (size * MICRO).round();
    let small = style == Style::Cast && size < 1e-4;
    if size > 0.0 && size < FINE && micros / MICRO == size && !small {
        if value < 0.0 {
            out.push('-');
        }
        let micros = micros as u64;
        digits(micros / 1_000_000, 1, out);
        out.push('.');
        let start = out.len();
        digits(micros % 1_000_000, 6, out);
        while style != Style::Six && out.len() > start + 1 && out.ends_with('0') {
            out.pop();
        }
        return;
    }
    let _ = match style {
        Style::Six => write!(out, "{value:.6}"),
        Style::Json => shortest(value, -6..21, "", 1, out),
        Style::Cast => shortest(value, -4..16, "+", 2, out),
    };
}

/// Without an exponent where that lies in `plain`, else with a sign before it and so many digits.
fn shortest(value: f64, plain: std::ops::Range<i32>, sign: &str, least: usize, out: &mut String) -> std::fmt::Result {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value == 0.0 || plain.contains(&exponent) {
        let dot = if value.fract() == 0.0 { ".0" } else { "" };
        return write!(out, "{value}{dot}");
    }
    let sign = if exponent < 0 { "-" } else { sign };
    write!(out, "{mantissa}e{sign}{:0>least$}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text of a double, as DuckDB 2.0 makes it: `to_json`, `CAST(… AS VARCHAR)`, `printf('%.6f')` (none: too long).
    const CASES: [(&str, &str, &str, &str); 30] = [
        ("0.0", "0.0", "0.0", "0.000000"),
        ("-0.0", "-0.0", "-0.0", "-0.000000"),
        ("1.0", "1.0", "1.0", "1.000000"),
        ("-1.0", "-1.0", "-1.0", "-1.000000"),
        ("123456789.0", "123456789.0", "123456789.0", "123456789.000000"),
        ("1e15", "1000000000000000.0", "1000000000000000.0", "1000000000000000.000000"),
        ("1e16", "10000000000000000.0", "1e+16", "10000000000000000.000000"),
        ("-1.5e16", "-15000000000000000.0", "-1.5e+16", "-15000000000000000.000000"),
        ("1e20", "100000000000000000000.0", "1e+20", "100000000000000000000.000000"),
        ("1e21", "1e21", "1e+21", "1000000000000000000000.000000"),
        ("1.5e21", "1.5e21", "1.5e+21", "1500000000000000000000.000000"),
        ("0.0001", "0.0001", "0.0001", "0.000100"),
        ("0.00001", "0.00001", "1e-05", "0.000010"),
        ("0.000001", "0.000001", "1e-06", "0.000001"),
        ("0.0000015", "0.0000015", "1.5e-06", "0.000002"),
        ("1e-7", "1e-7", "1e-07", "0.000000"),
        ("1.25e-9", "1.25e-9", "1.25e-09", "0.000000"),
        ("-1.25e-9", "-1.25e-9", "-1.25e-09", "-0.000000"),
        ("0.1", "0.1", "0.1", "0.100000"),
        ("1763900000.123457", "1763900000.123457", "1763900000.123457", "1763900000.123457"),
        ("1763900000.123456789", "1763900000.1234567", "1763900000.1234567", "1763900000.123457"),
        ("7999999999.999999", "7999999999.999999", "7999999999.999999", "7999999999.999999"),
        ("0.3333333333333333", "0.3333333333333333", "0.3333333333333333", "0.333333"),
        ("-0.9999999999", "-0.9999999999", "-0.9999999999", "-1.000000"),
        ("66.66666666666667", "66.66666666666667", "66.66666666666667", "66.666667"),
        ("1e100", "1e100", "1e+100", ""),
        ("5e-324", "5e-324", "5e-324", "0.000000"),
        ("0.000100001", "0.000100001", "0.000100001", "0.000100"),
        ("0.999999", "0.999999", "0.999999", "0.999999"),
        ("123456.5", "123456.5", "123456.5", "123456.500000"),
    ];

    #[test]
    fn as_duckdb_writes_them() -> Result<(), std::num::ParseFloatError> {
        for (value, json, cast, six) in CASES {
            for (style, expected) in [(Style::Json, json), (Style::Cast, cast), (Style::Six, six)] {
                let mut text = String::new();
                real(value.parse()?, style, &mut text);
                assert!(expected.is_empty() || text == expected, "{value} {style:?}: {text}");
            }
        }
        Ok(())
    }

    #[test]
    fn whole_numbers() {
        for value in [0, 7, 10, -1, 1_234_567_890, i64::MAX, i64::MIN] {
            let mut text = String::new();
            whole(value, &mut text);
            assert_eq!(text, value.to_string());
        }
    }
}
