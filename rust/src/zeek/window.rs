//! A row where it stands, with the bytes around it: as many as all rows have, so that nobody asks at each cell whether it is there.

/// Bytes before a row.
pub const BEFORE: usize = 8;
/// Bytes of a window; a power of two.
const SIZE: usize = 1024;
/// A longer row is read the general way.
pub const LONGEST: usize = SIZE - BEFORE - 8;
/// Behind the last byte there is room for what is read at once.
const ALL: usize = SIZE + 16;

/// Room for rows at the edges of a block.
pub struct Room([u8; ALL]);

impl Default for Room {
    fn default() -> Self {
        Self([b'\n'; ALL])
    }
}

/// Bytes of text of which the row begins at `BEFORE`.
#[derive(Clone, Copy)]
pub struct Window<'a>(&'a [u8; ALL]);

impl<'a> Window<'a> {
    /// Around a row of a block. `None`: it is too long.
    #[inline]
    pub fn new(text: &'a [u8], start: usize, end: usize, room: &'a mut Room) -> Option<Self> {
        let length = end.checked_sub(start).filter(|length| *length <= LONGEST)?;
        if let Some(Some(around)) = start.checked_sub(BEFORE).and_then(|from| text.get(from..)).map(|text| text.first_chunk()) {
            return Some(Self(around));
        }
        room.0.get_mut(BEFORE..BEFORE + length)?.copy_from_slice(text.get(start..end)?);
        Some(Self(&room.0))
    }

    /// Around a row of a block that ends where it may; no more than `LONGEST` bytes of it are there.
    #[inline]
    pub fn at(text: &'a [u8], start: usize, room: &'a mut Room) -> Option<Self> {
        Self::new(text, start, text.len().min(start + LONGEST), room)
    }

    /// The eight bytes from a place on; of places that no window has, any.
    #[inline(always)]
    pub fn word(self, at: usize) -> u64 {
        self.bytes(at).map_or(0, u64::from_le_bytes)
    }

    #[inline(always)]
    pub fn bytes<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        let at = at & (SIZE - 1);
        self.0.get(at..at + N)?.first_chunk().copied()
    }

    #[inline(always)]
    pub fn byte(self, at: usize) -> u8 {
        self.0.get(at & (SIZE - 1)).copied().unwrap_or_default()
    }

    #[inline(always)]
    pub fn get(self, start: usize, end: usize) -> Option<&'a [u8]> {
        self.0.get(start..end)
    }
}
