//! Random draws from a fixed stream, so that results are a function of the data alone.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random values that is the same every time.
pub(super) struct Draws(ChaCha8Rng);

impl Draws {
    /// The stream number `stream`.
    pub(super) fn new(stream: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(stream))
    }

    /// Between 0 and 1, never at the ends.
    pub(super) fn uniform(&mut self) -> f64 {
        ((self.0.next_u64() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// Standard normal (G. E. P. Box and M. E. Muller, Annals of Mathematical Statistics 29, 1958).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Gamma with `shape` and scale 1 (G. Marsaglia and W. W. Tsang, ACM Transactions on Mathematical Software
    /// 26, 2000).
    pub(super) fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let boost = self.uniform().powf(1.0 / shape);
            return self.gamma(shape + 1.0) * boost;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.uniform().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    /// Chi-squared with `degrees_of_freedom`.
    pub(super) fn chi_squared(&mut self, degrees_of_freedom: f64) -> f64 {
        2.0 * self.gamma(degrees_of_freedom / 2.0)
    }

    /// An index, with chances in proportion to `weights`, which are not all zero.
    pub(super) fn index(&mut self, weights: &[f64]) -> usize {
        let mut left = self.uniform() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left <= 0.0 {
                return index;
            }
        }
        weights.len() - 1
    }
}
