//! The index of open sessions: open addressing, one 64-bit word an entry (32 bits of the hash, 32 of the place).

/// Grows at this share of full entries: three quarters.
const FULL: (usize, usize) = (3, 4);

pub struct Table {
    words: Vec<u64>,
    mask: usize,
    used: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { words: vec![0; 1024], mask: 1023, used: 0 }
    }
}

fn tag(hash: u64) -> u64 {
    hash >> 32
}

impl Table {
    #[inline]
    fn home(&self, tag: u64) -> usize {
        (tag as usize) & self.mask
    }

    #[inline]
    fn word(&self, at: usize) -> u64 {
        self.words.get(at).copied().unwrap_or(0)
    }

    /// The place that stands first where one of this hash would.
    #[inline]
    pub fn first(&self, hash: u64) -> Option<u32> {
        ((self.word(self.home(tag(hash))) & 0xffff_ffff) as u32).checked_sub(1)
    }

    /// The place for which `equal` holds.
    #[inline]
    pub fn find(&self, hash: u64, mut equal: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = tag(hash);
        let mut at = self.home(tag);
        loop {
            let word = self.word(at);
            if word == 0 {
                return None;
            }
            let place = (word & 0xffff_ffff) as u32 - 1;
            if word >> 32 == tag && equal(place) {
                return Some(place);
            }
            at = (at + 1) & self.mask;
        }
    }

    /// Add a place that is not there yet.
    pub fn insert(&mut self, hash: u64, place: u32) {
        if (self.used + 1) * FULL.1 > self.words.len() * FULL.0 {
            self.grow();
        }
        self.put((tag(hash) << 32) | (u64::from(place) + 1));
        self.used += 1;
    }

    fn put(&mut self, word: u64) {
        let mut at = self.home(word >> 32);
        while self.word(at) != 0 {
            at = (at + 1) & self.mask;
        }
        if let Some(entry) = self.words.get_mut(at) {
            *entry = word;
        }
    }

    fn grow(&mut self) {
        let old = std::mem::replace(&mut self.words, vec![0; (self.mask + 1) * 2]);
        self.mask = self.words.len() - 1;
        for word in old.into_iter().filter(|word| *word != 0) {
            self.put(word);
        }
    }

    /// The same session stands at another place now.
    pub fn replace(&mut self, hash: u64, old: u32, new: u32) {
        let word = |place: u32| (tag(hash) << 32) | (u64::from(place) + 1);
        let mut at = self.home(tag(hash));
        while self.word(at) != word(old) {
            if self.word(at) == 0 {
                return;
            }
            at = (at + 1) & self.mask;
        }
        self.set(at, word(new));
    }

    /// Take a place out; what was pushed aside by it moves back.
    pub fn remove(&mut self, hash: u64, place: u32) {
        let wanted = (tag(hash) << 32) | (u64::from(place) + 1);
        let mut hole = self.home(tag(hash));
        loop {
            match self.word(hole) {
                0 => return,
                word if word == wanted => break,
                _ => hole = (hole + 1) & self.mask,
            }
        }
        self.used -= 1;
        let mut at = hole;
        loop {
            at = (at + 1) & self.mask;
            let word = self.word(at);
            if word == 0 {
                break;
            }
            // May it stand in the hole? Only if its home does not lie behind it.
            let home = self.home(word >> 32);
            if (at.wrapping_sub(home) & self.mask) >= (at.wrapping_sub(hole) & self.mask) {
                self.set(hole, word);
                hole = at;
            }
        }
        self.set(hole, 0);
    }

    fn set(&mut self, at: usize, word: u64) {
        if let Some(entry) = self.words.get_mut(at) {
            *entry = word;
        }
    }
}
