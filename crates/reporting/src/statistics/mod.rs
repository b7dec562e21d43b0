//! Means, intervals and comparisons of a few seeds: every formula in one place.
//!
//! Two facts shape what is here. Seeds are few (3 to 20), so every quantile is Student's, never the normal
//! one. And a seed fixes initial weights, data order and augmentation alike for every point of a sweep, so
//! the seeds are *blocks* and points are compared within them: a sweep is a randomised complete block
//! design (D. C. Montgomery, "Design and Analysis of Experiments", chapter 4).
//!
//! A [`Table`] is what most functions take: one row a point, one column a seed, `None` where that run has
//! not finished. Every value is checked against scipy or numpy by `tests/statistics.rs`, whose fixture is
//! printed by `tools/statistics-fixtures.py`.

mod blocks;
mod bootstrap;
mod interaction;
mod paired;
mod power;

pub use blocks::{Residual, additive_residual};
pub use bootstrap::{bca_interval, probability_best};
pub use interaction::{InteractionTest, interaction_test};
pub use paired::{
    PairedDifference, difference_p, equivalence_margin, equivalence_p, holm, paired_difference,
};
pub use power::{detectable_difference, power, seeds_needed};

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Values by point (row) and seed (column); `None` where a run gave no value. All rows are equally long.
pub type Table = [Vec<Option<f64>>];

/// A range that holds the true value with a stated confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Interval {
    /// The interval of `half_width` on both sides of `centre`.
    pub fn around(centre: f64, half_width: f64) -> Self {
        Self { low: centre - half_width, high: centre + half_width }
    }

    /// Half of its width: the number behind a "±".
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }

    /// Whether `value` lies within, the ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// Arithmetic mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Standard deviation of a sample, `sqrt(sum (x - mean)^2 / (n - 1))`; `None` for fewer than two values.
pub fn sd(values: &[f64]) -> Option<f64> {
    let centre = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|x| (x - centre).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// The quantile of Student's t with `degrees_of_freedom` that leaves `(1 - confidence) / 2` above it.
pub fn t_quantile(confidence: f64, degrees_of_freedom: usize) -> Option<f64> {
    let student = StudentsT::new(0.0, 1.0, degrees_of_freedom as f64).ok()?;
    (0.0 < confidence && confidence < 1.0).then(|| student.inverse_cdf(0.5 + confidence / 2.0))
}

/// Student's interval for a mean, `mean ± t(n - 1) sd / sqrt(n)`; `None` for fewer than two values, since one
/// value says nothing of the spread.
///
/// ```
/// let interval = decouple_reporting::statistics::t_interval(&[1.0, 2.0, 3.0], 0.95).unwrap();
/// assert!((interval.half_width() - 2.484_137_7).abs() < 1e-6);
/// ```
pub fn t_interval(values: &[f64], confidence: f64) -> Option<Interval> {
    let spread = sd(values)?;
    let t = t_quantile(confidence, values.len() - 1)?;
    Some(Interval::around(mean(values)?, t * spread / (values.len() as f64).sqrt()))
}
