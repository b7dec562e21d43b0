//! How many seeds detect how large a difference.

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::gamma::ln_gamma;

use super::t_quantile;

/// Power of a two-sided test of a mean difference: the probability of detecting it.
///
/// The test statistic is noncentral t: `P(|Z + shift| > t W)` with `Z` standard normal, `W^2` chi-squared
/// over its degrees of freedom and `t` the quantile at `confidence`. Integrated over `W` by the midpoint
/// rule. `shift` is the true difference over its standard error.
pub fn power(shift: f64, degrees_of_freedom: f64, confidence: f64) -> Option<f64> {
    const STEPS: usize = 2000;
    let t = t_quantile(confidence, degrees_of_freedom)?;
    let nu = degrees_of_freedom;
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

/// Standard error of the difference of two points of `seeds` runs each, and its degrees of freedom after
/// Satterthwaite, if the standard deviation of a run is `sds`.
fn error(sds: [f64; 2], seeds: usize) -> (f64, f64) {
    let [a, b] = sds.map(|sd| sd * sd);
    ((a + b).sqrt() / (seeds as f64).sqrt(), (a + b).powi(2) / (a * a + b * b) * (seeds - 1) as f64)
}

/// The smallest true difference of two points that `seeds` runs each detect with power `chance`, if the true
/// standard deviations of a run are `sds`.
///
/// Solves [`power`] by bisection. The spreads are estimates themselves, so the result is as rough as they
/// are. `confidence` is that of one comparison, corrected for their number.
pub fn detectable_difference(sds: [f64; 2], seeds: usize, confidence: f64, chance: f64) -> Option<f64> {
    if seeds < 2 || !(sds[0] + sds[1] > 0.0 && 0.0 < chance && chance < 1.0) {
        return None;
    }
    let (error, freedom) = error(sds, seeds);
    let reached = |shift| power(shift, freedom, confidence);
    let (mut low, mut high) = (0.0, 1.0);
    while reached(high)? < chance {
        (low, high) = (high, 2.0 * high);
        if high > 1e6 {
            return None;
        }
    }
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        if reached(middle)? < chance { low = middle } else { high = middle }
    }
    Some(high * error)
}

/// The fewest seeds per point that detect a true `difference` of two points with power `chance`, if the
/// standard deviations of a run are `sds`.
///
/// `confidence` is that of one comparison with so many seeds, corrected for the number of comparisons. `None` for
/// a difference of zero, invalid spreads or other invalid values, and if a million seeds are too few.
pub fn seeds_needed(
    sds: [f64; 2],
    difference: f64,
    confidence: impl Fn(usize) -> Option<f64>,
    chance: f64,
) -> Option<usize> {
    const MOST: usize = 1_000_000;
    let is_sensible = difference.abs() > 0.0
        && sds.iter().all(|sd| *sd >= 0.0)
        && sds[0] + sds[1] > 0.0
        && 0.0 < chance
        && chance < 1.0;
    let reached = |seeds: usize| -> Option<bool> {
        let (error, freedom) = error(sds, seeds);
        let shift = difference.abs() / error;
        // Far out in the tail the integral would only lose digits.
        Some(shift > 1e3 || power(shift, freedom, confidence(seeds)?)? >= chance)
    };
    is_sensible.then_some(())?;
    // What many runs would need, by the normal distribution, is nearly what is needed.
    let normal = Normal::standard();
    let quantiles = normal.inverse_cdf((1.0 + confidence(MOST)?) / 2.0) + normal.inverse_cdf(chance);
    let guess = (quantiles * error(sds, 2).0 * 2f64.sqrt() / difference).powi(2).ceil();
    let mut high = (guess as usize).clamp(2, MOST);
    let (mut low, mut step) = (1, 1);
    while !reached(high)? {
        (low, high, step) = (high, high + step, 2 * step);
        if high > MOST {
            return None;
        }
    }
    step = 1;
    while high > low + step && reached(high - step)? {
        (high, step) = (high - step, 2 * step);
    }
    low = low.max(high.saturating_sub(step));
    while high - low > 1 {
        let middle = (low + high) / 2;
        if reached(middle)? { high = middle } else { low = middle }
    }
    Some(high)
}
