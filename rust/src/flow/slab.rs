//! Places for many equal things, which keep their numbers: in chunks, so that growing never copies them all.

const CHUNK: usize = 1024;

pub struct Slab<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    #[inline]
    pub fn get(&self, index: u32) -> Option<&T> {
        self.chunks.get(index as usize / CHUNK)?.get(index as usize % CHUNK)
    }

    #[inline]
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK)
    }

    /// Put a thing into a free place; its number.
    #[inline]
    pub fn put(&mut self, thing: T) -> u32 {
        if let Some(index) = self.free.pop() {
            if let Some(old) = self.get_mut(index) {
                *old = thing;
            }
            return index;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() >= CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let full = (self.chunks.len() - 1) * CHUNK;
        let within = self.chunks.last_mut().map_or(0, |chunk| {
            chunk.push(thing);
            chunk.len() - 1
        });
        u32::try_from(full + within).unwrap_or(u32::MAX)
    }

    /// A free place, with whatever stood there last.
    #[inline]
    pub fn take(&mut self) -> u32
    where
        T: Default,
    {
        self.free.pop().unwrap_or_else(|| self.put(T::default()))
    }

    /// All of them with their numbers, those in free places too.
    pub fn into_all(self) -> impl Iterator<Item = (u32, T)> {
        self.chunks.into_iter().enumerate().flat_map(|(chunk, things)| things.into_iter().enumerate().map(move |(at, thing)| ((chunk * CHUNK + at) as u32, thing)))
    }

    /// The place may be given to another; what stands there stays until then.
    #[inline]
    pub fn free(&mut self, index: u32) {
        self.free.push(index);
    }

    /// One past the highest number given.
    pub fn end(&self) -> u32 {
        u32::try_from(self.chunks.len() * CHUNK).unwrap_or(u32::MAX)
    }
}
