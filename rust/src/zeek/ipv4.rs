//! IPv4 addresses where they stand in a row: dotted decimal without leading zeros. `None`: not that plain, `value` decides.

use bytemuck::cast;
use wide::{CmpGt, i16x8, i32x4, u8x16, u16x8, u32x4};

use super::window::Window;

/// The address between two places: its four parts at once, each in a lane of four bytes that ends with the part's last digit.
#[inline(always)]
pub fn ipv4(row: Window<'_>, start: usize, end: usize) -> Option<u32> {
    let length = end.wrapping_sub(start);
    if length.wrapping_sub(7) > 8 {
        return None;
    }
    let zero = u8x16::splat(0);
    // All bits of the bytes that are 9 at most.
    let digits = |vector: u8x16| vector.saturating_sub(u8x16::splat(9)).cmp_eq(zero);
    let set = |vector: u8x16| vector.move_mask().cast_unsigned();
    let text = u8x16::new(row.bytes(start)?) ^ u8x16::splat(b'0');
    let all = (1_u32 << length) - 1;
    let dots = set(text.cmp_eq(u8x16::splat(b'.' ^ b'0'))) & all;
    if (set(digits(text)) & all) | dots != all {
        return None;
    }
    let second = dots & dots.wrapping_sub(1);
    let third = second & second.wrapping_sub(1);
    if third == 0 || third & (third - 1) != 0 {
        return None;
    }
    // A bit that is always there spares asking.
    let place = |dots: u32| start + (dots | 1 << 31).trailing_zeros() as usize;
    let lane = |end: usize| row.bytes(end.wrapping_sub(4)).map_or(0, u32::from_le_bytes);
    let lanes: u8x16 = cast(u32x4::new([lane(place(dots)), lane(place(second)), lane(place(third)), lane(end)]));
    let lanes = lanes ^ u8x16::splat(b'0');
    // What is no digit, and all before it, is no part of a part.
    let other: u32x4 = cast(!digits(lanes));
    let other: u32x4 = other | (other >> 8_u32);
    let other: u32x4 = other | (other >> 16_u32);
    let part = cast::<_, u8x16>(!other) & lanes;
    // Bits of the first and the last bytes of the lanes.
    let (first, last) = (0x1111, 0x8888);
    let leading: u8x16 = cast((other << 8_u32) & !other);
    let null = set(leading & part.cmp_eq(zero)) & !last;
    let bounds = set(cast(other)) & (first | last);
    // Tens; hundreds and ones.
    let part: u16x8 = cast(part);
    let tens = cast::<_, i16x8>(part & u16x8::splat(0xff)).dot(cast(u32x4::splat(10 << 16)));
    let values = tens + cast::<_, i16x8>(part >> 8_u32).dot(cast(u32x4::splat(1 << 16 | 100)));
    let large = set(cast(values.cmp_gt(i32x4::splat(255))));
    if null | (bounds ^ first) | large != 0 {
        return None;
    }
    let [a, b, c, d] = values.to_array().map(i32::cast_unsigned);
    Some(a << 24 | b << 16 | c << 8 | d)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::quick;
    use super::super::window::{BEFORE, Room};
    use super::*;

    fn same(text: &str) {
        let all = format!("\t{text}\t");
        let mut room = Room::default();
        let Some(row) = Window::new(all.as_bytes(), 0, all.len(), &mut room) else { return };
        let (start, end) = (BEFORE + 1, BEFORE + 1 + text.len());
        let expected = quick::ipv4(text.as_bytes());
        assert_eq!(ipv4(row, start, end), expected, "{text}");
    }

    #[test]
    fn the_same_as_elsewhere() {
        for text in ["", "0", "8.8.8.8", "255.255.255.255", "256.1.1.1", "01.2.3.4", "1.2.3", "1.2.3.4.5", "1..2.3", "0.0.0.0", "10.0.0.00", "1.2.3.999"] {
            same(text);
        }
        for text in ["1.2.3.4x", "1.22.333.4", ".1.2.3.4", "1.2.3.", "100.200.10.1", "1.2.34", "1.2.3.04", "192.168.100.100", "1234.1.1.1", "1.2x3.4.5"] {
            same(text);
        }
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
    }
}
