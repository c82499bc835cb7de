//! Reading numbers from foreign bytes without ever reaching past their end.

/// The `N` bytes at `at`.
#[inline]
#[must_use]
pub fn array<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..)?.first_chunk::<N>().copied()
}

#[inline]
#[must_use]
pub fn u8_at(data: &[u8], at: usize) -> Option<u8> {
    data.get(at).copied()
}

/// Big endian, as on the wire.
#[inline]
#[must_use]
pub fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    array(data, at).map(u16::from_be_bytes)
}

#[inline]
#[must_use]
pub fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    array(data, at).map(u32::from_be_bytes)
}

/// What is left after the first `skip` bytes; empty where there are fewer.
#[inline]
#[must_use]
pub fn after(data: &[u8], skip: usize) -> &[u8] {
    data.get(skip..).unwrap_or_default()
}

/// The first `len` bytes, or all where there are fewer.
#[inline]
#[must_use]
pub fn first(data: &[u8], len: usize) -> &[u8] {
    data.get(..len).unwrap_or(data)
}
