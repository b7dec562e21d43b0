//! The distribution of the studentized range: the largest difference among k means over their standard error.

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::gamma::ln_gamma;

/// Steps of the inner and the outer integral. Both integrands are smooth and vanish at the ends, where the
/// plain sum converges faster than any power of the step.
const INNER: usize = 80;
const OUTER: usize = 160;
/// Beyond this many standard deviations the normal distribution is negligible.
const EDGE: f64 = 8.5;

/// `P(Q > q)` of the studentized range of `k` means with `degrees_of_freedom`:
///
/// `1 - integral over s of f(s) k integral over z of phi(z) (Phi(z) - Phi(z - q s))^(k - 1)`,
///
/// where `s^2` is chi-squared over its degrees of freedom (J. W. Tukey, 1953; H. Scheffé, "The Analysis of
/// Variance", section 3.6). The outer integral is taken over `ln s`, so that one degree of freedom, whose
/// quantiles lie far out, needs no special treatment. `None` for fewer than two means or values that make
/// no sense. Absolute error below 1e-7; cost: 13,000 evaluations of the normal distribution.
pub fn range_tail(q: f64, k: usize, degrees_of_freedom: f64) -> Option<f64> {
    if k < 2 || !(degrees_of_freedom > 0.0 && degrees_of_freedom.is_finite() && q.is_finite()) {
        return None;
    }
    if q <= 0.0 {
        return Some(1.0);
    }
    let nodes = normal_nodes();
    let nu = degrees_of_freedom;
    let log_scale = 2f64.ln() + nu / 2.0 * (nu / 2.0).ln() - ln_gamma(nu / 2.0);
    let (low, high) = (-(12.0 / nu.sqrt() + 30.0 / nu), (1.0 + 9.0 / nu.sqrt()).ln());
    let step = (high - low) / OUTER as f64;
    let tail: f64 = (0..=OUTER)
        .map(|i| {
            let u = low + i as f64 * step;
            let density = (log_scale + nu * u - nu / 2.0 * (2.0 * u).exp()).exp();
            if density < 1e-16 { 0.0 } else { density * (1.0 - normal_range(q * u.exp(), k, &nodes)) }
        })
        .sum();
    Some((tail * step).clamp(0.0, 1.0))
}

/// The value that the studentized range exceeds with a chance of `1 - confidence`.
pub fn range_quantile(confidence: f64, k: usize, degrees_of_freedom: f64) -> Option<f64> {
    if !(0.0 < confidence && confidence < 1.0) {
        return None;
    }
    let excess = |log_q: f64| Some(range_tail(log_q.exp(), k, degrees_of_freedom)? - (1.0 - confidence));
    // For two means the quantile may be below 1.
    let (mut low, mut high) = (-4.0, 1.0);
    let mut at_low = excess(low)?;
    let mut at_high = excess(high)?;
    while at_high > 0.0 {
        (low, at_low) = (high, at_high);
        high += 1.0;
        at_high = excess(high)?;
        if high > 60.0 {
            return None;
        }
    }
    // False position with the Illinois rule: an end that stays gets half its weight, so that both move.
    let mut was_low = None;
    for _ in 0..100 {
        let middle = low + (high - low) * at_low / (at_low - at_high);
        let at = excess(middle)?;
        if at.abs() < 1e-12 || high - low < 1e-11 {
            return Some(middle.exp());
        }
        let half = |side: bool| if was_low == Some(side) { 0.5 } else { 1.0 };
        if at > 0.0 {
            (low, at_low, at_high) = (middle, at, half(true) * at_high);
        } else {
            (high, at_high, at_low) = (middle, at, half(false) * at_low);
        }
        was_low = Some(at > 0.0);
    }
    Some(high.exp())
}

/// `(z, weight times phi(z), Phi(z))` at the nodes of the inner integral.
fn normal_nodes() -> Vec<(f64, f64, f64)> {
    let normal = Normal::standard();
    let step = 2.0 * EDGE / INNER as f64;
    let node = |i: usize| {
        let z = -EDGE + i as f64 * step;
        (z, step * (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt(), normal.cdf(z))
    };
    (0..=INNER).map(node).collect()
}

/// `P(range of k standard normal values <= width)`.
fn normal_range(width: f64, k: usize, nodes: &[(f64, f64, f64)]) -> f64 {
    let normal = Normal::standard();
    let below = |&(z, weight, up): &(f64, f64, f64)| {
        weight * (up - normal.cdf(z - width)).max(0.0).powi(k as i32 - 1)
    };
    (k as f64 * nodes.iter().map(below).sum::<f64>()).min(1.0)
}
