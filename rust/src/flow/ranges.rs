//! Which bytes of a direction were seen: disjoint ranges of its sequence space.

/// Ranges kept behind the first; beyond, the two that lie closest become one and the hole between them is forgotten.
const RANGES: usize = 64;

/// Almost always one range; more only while something is missing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ranges {
    first: (i64, i64),
    #[allow(clippy::box_collection)] // one word in every session instead of three
    rest: Option<Box<Vec<(i64, i64)>>>,
    unique: u64,
}

impl Ranges {
    /// Add `[from, to)`; how many of its bytes are new.
    #[inline]
    pub fn add(&mut self, from: i64, to: i64) -> u64 {
        if to <= from {
            return 0;
        }
        if self.rest.is_none() && (from == self.first.1 || self.unique == 0) {
            if self.unique == 0 {
                self.first.0 = from;
            }
            self.first.1 = to;
            let new = to.abs_diff(from);
            self.unique += new;
            return new;
        }
        self.insert(from, to)
    }

    #[cold]
    fn insert(&mut self, from: i64, to: i64) -> u64 {
        let mut all = self.rest.take().map_or_else(Vec::new, |rest| *rest);
        all.insert(0, self.first);
        let begin = all.partition_point(|range| range.1 < from);
        let end = all.partition_point(|range| range.0 <= to);
        let mut merged = (from, to);
        let mut old = 0;
        for &(low, high) in all.get(begin..end).unwrap_or_default() {
            old += high.min(to).saturating_sub(low.max(from)).max(0).unsigned_abs();
            merged = (merged.0.min(low), merged.1.max(high));
        }
        all.splice(begin..end, [merged]);
        if all.len() > RANGES {
            Self::forget(&mut all);
        }
        let new = to.abs_diff(from).saturating_sub(old);
        self.unique += new;
        self.first = all.first().copied().unwrap_or_default();
        if all.len() > 1 {
            all.remove(0);
            self.rest = Some(Box::new(all));
        }
        new
    }

    /// Close the smallest hole. Its bytes stay uncounted.
    fn forget(all: &mut Vec<(i64, i64)>) {
        let holes = all.windows(2).map(|pair| if let [left, right] = pair { right.0.saturating_sub(left.1) } else { i64::MAX });
        let Some(at) = holes.enumerate().min_by_key(|(_, size)| *size).map(|(at, _)| at) else { return };
        let high = all.get(at + 1).map(|range| range.1);
        if let (Some(range), Some(high)) = (all.get_mut(at), high) {
            range.1 = high;
            all.remove(at + 1);
        }
    }

    /// One range from there on, of so many bytes.
    #[inline]
    pub fn one(from: i64, bytes: u64) -> Self {
        let to = from.saturating_add_unsigned(bytes);
        if bytes == 0 { Self::default() } else { Self { first: (from, to), rest: None, unique: bytes } }
    }

    /// Bytes seen, each once.
    #[must_use]
    pub fn unique(&self) -> u64 {
        self.unique
    }

    /// From the first byte seen to the last; `None` where nothing was.
    #[must_use]
    pub fn span(&self) -> Option<(i64, i64)> {
        (self.unique > 0).then(|| (self.first.0, self.rest.as_ref().and_then(|rest| rest.last()).map_or(self.first.1, |range| range.1)))
    }
}
