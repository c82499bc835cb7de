//! A generator whose n-th value can be asked for directly: rows can be made again without storing them.

#[derive(Clone, Copy)]
pub struct Random(u64);

/// splitmix64 (Steele, Lea, Flood 2014).
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Uniform below `limit` (> 0).
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// Log-normal with the given median and spread.
    pub fn size(&mut self, median: f64, sigma: f64) -> f64 {
        let normal: f64 = (0..4).map(|_| self.unit()).sum::<f64>() * 1.732 - 3.464;
        median * (sigma * normal).exp()
    }

    /// An index below `limit` of which low values are far more frequent.
    pub fn skewed(&mut self, limit: u64) -> u64 {
        let x = self.unit();
        ((x * x * x) * limit as f64) as u64
    }
}
