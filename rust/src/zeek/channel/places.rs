//! Where the cells of a row stand in its window.

use crate::zeek::window::Window;

/// Columns of a row, at most.
pub const MOST: usize = 64;

/// Where the fields stand in the rows of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    at: [usize; super::FIELDS.len()],
    /// Those of `FLAGS`, as far as they are there.
    flags: [Option<usize>; super::FLAGS.len()],
    /// So many cells hold the ends.
    pub near: usize,
    pub columns: usize,
}

/// Where the cells of a row begin; kept from row to row.
pub type Starts = [u32; MOST];

impl Layout {
    /// From the columns of `FIELDS`, and perhaps of `FLAGS`. `None`: one of the first is missing.
    pub fn new(found: &[Option<usize>], columns: usize) -> Option<Self> {
        let mut at = [0; super::FIELDS.len()];
        let (fields, more) = found.split_at_checked(at.len()).filter(|_| columns < MOST)?;
        for (to, from) in at.iter_mut().zip(fields) {
            *to = (*from)?;
        }
        let mut flags = [None; super::FLAGS.len()];
        flags.iter_mut().zip(more).for_each(|(to, from)| *to = *from);
        let [_, _, orig, _, resp, port, ..] = at;
        let near = orig.max(resp).max(port) + 1;
        (near < columns).then_some(Self { at, flags, near, columns })
    }
}

/// Where the cells of a row are.
pub trait Places {
    /// Where a field's cell begins and ends; the same place twice where it is unset.
    fn cell(&self, field: usize) -> Option<(usize, usize)>;

    /// Whether the cells of `FLAGS` are what they must be.
    fn flags(&self, row: Window<'_>) -> bool;
}

/// The cells of a TSV row.
pub struct Tabbed<'a> {
    pub layout: &'a Layout,
    /// Where each cell begins; behind the last one byte after the row's end.
    pub starts: &'a mut Starts,
}

impl Tabbed<'_> {
    #[inline]
    fn column(&self, column: usize) -> Option<(usize, usize)> {
        let (start, next) = (*self.starts.get(column & (MOST - 1))?, *self.starts.get((column + 1) & (MOST - 1))?);
        Some((start as usize, (next as usize).wrapping_sub(1)))
    }
}

impl Places for Tabbed<'_> {
    #[inline]
    fn cell(&self, field: usize) -> Option<(usize, usize)> {
        self.column(*self.layout.at.get(field)?)
    }

    #[inline]
    fn flags(&self, row: Window<'_>) -> bool {
        self.layout.flags.iter().flatten().all(|column| {
            let cell = self.column(*column).and_then(|(start, end)| row.get(start, end));
            matches!(cell, Some(b"T" | b"F" | b"-"))
        })
    }
}

/// Where the values of a JSON row are, by field.
pub type Spans = [(u32, u32); super::FIELDS.len()];

impl Places for &Spans {
    #[inline]
    fn cell(&self, field: usize) -> Option<(usize, usize)> {
        self.get(field).map(|(start, end)| (*start as usize, *end as usize))
    }

    /// `Shape` has looked at them.
    #[inline]
    fn flags(&self, _: Window<'_>) -> bool {
        true
    }
}

