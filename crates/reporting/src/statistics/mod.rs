//! Means, intervals and comparisons of a few seeds: every formula in one place.
//!
//! Three facts shape what is here. Seeds are few (2 to 20), so every quantile is Student's, never the normal
//! one. The spreads of points of one study may differ by factors, so nothing is pooled unless it is also
//! checked without pooling. And a seed hardly affects two networks alike (their shapes differ, and so do
//! their initial weights), so runs count as independent.
//!
//! Most functions take a [`Sample`]: the number of finished runs of a point, their mean and variance.
//! Formulas are checked against scipy, scikit-learn and numpy by `tests/statistics.rs`, whose fixture is
//! printed by `tools/statistics-fixtures.py`; the coverage of intervals and the calibration of probabilities
//! are checked by simulation (`tests/simulation.rs`, run by `just test-slow`).

mod best;
mod estimate;
mod images;
mod interaction;
mod matrix;
mod pairs;
mod power;
mod random;
mod range;
mod scaling;
mod smooth;
mod surface;

pub use best::probability_best;
pub use estimate::{Estimate, holm};
pub use images::{Correctness, OnOtherImages, on_other_images, same_image_by_image, same_within_seeds};
pub use interaction::{InteractionTest, interaction_test};
pub use pairs::{PairDifference, all_pairs, pair_confidence};
pub use power::{detectable_difference, power, seeds_needed};
pub use range::{range_quantile, range_tail};
pub use scaling::{ScalingLaw, SizedError, scaling_law};
pub use smooth::{BestPlace, Observation, SmoothCurve, grid};
pub use surface::{Optimum, expected_best, quadratic_surface};

use statrs::distribution::{ContinuousCDF, StudentsT};

/// A confidence interval.
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

/// A summary of the runs of a point: at least two, not all equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Runs.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their variance, `sum (x - mean)^2 / (n - 1)`, above zero.
    pub variance: f64,
}

impl Sample {
    /// The sample of `values`; `None` for fewer than two, or if all are equal: neither shows the spread of
    /// runs.
    pub fn of(values: &[f64]) -> Option<Self> {
        // The deviations of equal values from their mean may be rounding alone.
        values.iter().find(|value| **value != values[0])?;
        let spread = sd(values).filter(|spread| *spread > 0.0 && spread.is_finite())?;
        Some(Self { n: values.len(), mean: mean(values)?, variance: spread * spread })
    }

    /// Standard deviation of one run.
    pub fn sd(&self) -> f64 {
        self.variance.sqrt()
    }

    /// Variance of the mean.
    pub fn squared_error(&self) -> f64 {
        self.variance / self.n as f64
    }

    /// Degrees of freedom of the variance, `n - 1`.
    pub fn degrees_of_freedom(&self) -> f64 {
        (self.n - 1) as f64
    }
}

/// Variance of one run pooled over `samples`, and its degrees of freedom; `None` of none.
pub fn pooled_variance(samples: &[Sample]) -> Option<(f64, f64)> {
    let freedom: f64 = samples.iter().map(Sample::degrees_of_freedom).sum();
    let squares: f64 = samples.iter().map(|sample| sample.degrees_of_freedom() * sample.variance).sum();
    (freedom > 0.0).then(|| (squares / freedom, freedom))
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
pub fn t_quantile(confidence: f64, degrees_of_freedom: f64) -> Option<f64> {
    let student = StudentsT::new(0.0, 1.0, degrees_of_freedom).ok()?;
    (0.0 < confidence && confidence < 1.0).then(|| student.inverse_cdf(0.5 + confidence / 2.0))
}

/// Student's interval for a mean, `mean ± t(n - 1) sd / sqrt(n)`; `None` for fewer than two values, since one
/// value does not show the spread.
///
/// ```
/// let interval = decouple_reporting::statistics::t_interval(&[1.0, 2.0, 3.0], 0.95).unwrap();
/// assert!((interval.half_width() - 2.484_137_7).abs() < 1e-6);
/// ```
pub fn t_interval(values: &[f64], confidence: f64) -> Option<Interval> {
    let spread = sd(values)?;
    let t = t_quantile(confidence, (values.len() - 1) as f64)?;
    Some(Interval::around(mean(values)?, t * spread / (values.len() as f64).sqrt()))
}
