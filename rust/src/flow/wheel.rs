//! Timers: a ring of buckets, each holding what is due in about an eighth of a second; only the current one is ordered.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// 2^27 ns = 134 ms a bucket.
const SHIFT: u32 = 27;
/// 4096 buckets reach 550 s ahead; what is due later stands apart, and is put again from time to time.
const BUCKETS: i64 = if cfg!(fuzzing) { 16 } else { 4096 };
/// A bucket that held more gives its memory back.
const KEEP: usize = 1024;

pub struct Wheel {
    /// Time within the bucket, and place.
    buckets: Vec<Vec<(u32, u32)>>,
    far: Vec<(i64, u32)>,
    /// Bucket number at which those far away are put again: before any of them is due.
    again: i64,
    /// Bucket number (time >> SHIFT) that `soon` covers; everything before is in `soon` too.
    current: i64,
    soon: BinaryHeap<Reverse<(i64, u32)>>,
    waiting: usize,
}

impl Default for Wheel {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| Vec::new()).collect(), far: Vec::new(), again: i64::MIN >> SHIFT, current: i64::MIN >> SHIFT, soon: BinaryHeap::new(), waiting: 0 }
    }
}

impl Wheel {
    fn bucket(&mut self, number: i64) -> Option<&mut Vec<(u32, u32)>> {
        self.buckets.get_mut(usize::try_from(number.rem_euclid(BUCKETS)).unwrap_or(0))
    }

    /// Remind of `place` at `due`.
    #[inline]
    pub fn push(&mut self, due: i64, place: u32) {
        let number = due >> SHIFT;
        if number <= self.current {
            self.soon.push(Reverse((due, place)));
            return;
        }
        self.waiting += 1;
        if number >= self.current.saturating_add(BUCKETS) {
            self.far.push((due, place));
        } else if let Some(bucket) = self.bucket(number) {
            bucket.push(((due & ((1 << SHIFT) - 1)) as u32, place));
        }
    }

    /// The next reminder that is due at `now`.
    #[inline]
    pub fn pop(&mut self, now: i64) -> Option<(i64, u32)> {
        if now >> SHIFT > self.current {
            self.turn(now >> SHIFT);
        }
        match self.soon.peek() {
            Some(&Reverse((due, _))) if due <= now => self.soon.pop().map(|Reverse(entry)| entry),
            _ => None,
        }
    }

    /// Those to be reminded of next, roughly.
    pub fn next_few(&self, most: usize) -> impl Iterator<Item = u32> {
        self.soon.as_slice().iter().take(most).map(|Reverse((_, place))| *place)
    }

    /// The next reminder, however late it is due.
    pub fn pop_any(&mut self) -> Option<(i64, u32)> {
        while self.soon.is_empty() && self.waiting > 0 {
            self.turn(self.current.saturating_add(1));
        }
        self.soon.pop().map(|Reverse(entry)| entry)
    }

    /// Go on to a bucket; what lies in those passed comes into order.
    fn turn(&mut self, number: i64) {
        let first = self.current.saturating_add(1);
        let last = number.min(self.current.saturating_add(BUCKETS - 1));
        self.current = number;
        if self.waiting == 0 {
            return;
        }
        for passed in first..=last {
            let Some(bucket) = self.bucket(passed) else { continue };
            if bucket.is_empty() {
                continue;
            }
            let mut taken = std::mem::take(bucket);
            self.waiting = self.waiting.saturating_sub(taken.len());
            self.soon.extend(taken.drain(..).map(|(within, place)| Reverse((passed << SHIFT | i64::from(within), place))));
            if let Some(bucket) = self.bucket(passed).filter(|_| taken.capacity() <= KEEP) {
                *bucket = taken;
            }
        }
        if number >= self.again {
            self.again = number.saturating_add(BUCKETS / 2);
            let far = std::mem::take(&mut self.far);
            self.waiting = self.waiting.saturating_sub(far.len());
            far.into_iter().for_each(|(due, place)| self.push(due, place));
        }
    }
}
