//! How many seeds tell how large a difference.

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::gamma::ln_gamma;

use super::{Residual, t_quantile};

/// Power of a two-sided test of a mean difference: the chance that it is told from zero.
///
/// The test statistic is noncentral t: `P(|Z + shift| > t W)` with `Z` standard normal, `W^2` chi-squared
/// over its degrees of freedom and `t` the quantile at `confidence`. Integrated over `W` by the midpoint
/// rule. `shift` is `difference / (sd of differences) * sqrt(pairs)`.
pub fn power(shift: f64, degrees_of_freedom: usize, confidence: f64) -> Option<f64> {
    const STEPS: usize = 2000;
    let t = t_quantile(confidence, degrees_of_freedom)?;
    let nu = degrees_of_freedom as f64;
    let log_scale = 2f64.ln() + nu / 2.0 * (nu / 2.0).ln() - ln_gamma(nu / 2.0);
    let step = (1.0 + 8.0 / nu.sqrt()) / STEPS as f64;
    let normal = Normal::standard();
    let integral: f64 = (0..STEPS)
        .map(|i| {
            let w = (i as f64 + 0.5) * step;
            let density = (log_scale + (nu - 1.0) * w.ln() - nu * w * w / 2.0).exp();
            density * (normal.cdf(shift - t * w) + normal.cdf(-shift - t * w))
        })
        .sum();
    Some((integral * step).min(1.0))
}

/// The smallest true difference that `pairs` seeds tell from zero with 80 % power.
///
/// Solves [`power`] for the difference by bisection, with `residual.paired_sd()` taken as the true spread of
/// one difference. It is an estimate itself, so the result is as rough as that spread is. `confidence` is
/// that of the comparison, corrected for the number of comparisons where there are several.
pub fn detectable_difference(residual: Residual, pairs: usize, confidence: f64) -> Option<f64> {
    const POWER: f64 = 0.8;
    let reached = |shift| power(shift, residual.degrees_of_freedom, confidence);
    let (mut low, mut high) = (0.0, 1.0);
    while reached(high)? < POWER {
        (low, high) = (high, 2.0 * high);
        if high > 1e6 {
            return None;
        }
    }
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        if reached(middle)? < POWER { low = middle } else { high = middle }
    }
    (pairs > 0).then(|| high * residual.paired_sd() / (pairs as f64).sqrt())
}

/// The fewest seeds with which a true `difference` of two of `points` points is told from zero with a chance
/// of `chance`, where one value scatters by `residual_sd` about its point and seed.
///
/// The spread is pooled over all points, so `n` seeds have `(points - 1) (n - 1)` degrees of freedom.
/// `confidence` is that of one comparison, corrected for their number. `None` for a difference of zero, for
/// values that make no sense, and where a million seeds are too few.
pub fn seeds_needed(
    residual_sd: f64,
    points: usize,
    difference: f64,
    confidence: f64,
    chance: f64,
) -> Option<usize> {
    const MOST: usize = 1_000_000;
    let is_sensible = difference.abs() > 0.0 && residual_sd >= 0.0 && points > 1 && chance < 1.0;
    let reached = |seeds: usize| -> Option<bool> {
        let shift = difference.abs() / (std::f64::consts::SQRT_2 * residual_sd) * (seeds as f64).sqrt();
        // Far beyond any doubt, where the integral would only lose digits.
        Some(shift > 1e3 || power(shift, (points - 1) * (seeds - 1), confidence)? >= chance)
    };
    let mut high = 2;
    while is_sensible && !reached(high)? {
        high *= 2;
        if high > MOST {
            return None;
        }
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = (low + high) / 2;
        if middle > 1 && reached(middle)? { high = middle } else { low = middle }
    }
    is_sensible.then_some(high)
}
