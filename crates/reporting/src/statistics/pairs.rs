//! All pairs of points at once.

use super::{Estimate, Interval, Sample, pooled_variance, range_quantile, range_tail};

/// The difference of two points, as one of all pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairDifference {
    /// Index of the first point.
    pub a: usize,
    /// Index of the second, larger than `a`.
    pub b: usize,
    /// Mean of `a` less mean of `b`, with its own spread.
    pub estimate: Estimate,
    /// Interval of the difference; those of all pairs hold jointly.
    pub interval: Interval,
}

/// Every pair of `samples`; a point without a sample is ignored.
///
/// Each interval is the wider of two methods. Tukey and Kramer's pools the
/// spread over all points, `q(k, sum (n - 1)) sqrt(s^2 (1/n_a + 1/n_b) / 2)`: exact for points of equal
/// spread, but reporting a difference in up to 30 % of experiments with equal means if one point has ten
/// times the spread. Games and Howell's (Journal of Educational Statistics 1, 1976) gives each pair its own
/// spread, `q(k, df) sqrt((s_a^2/n_a + s_b^2/n_b) / 2)`: valid for unequal spreads, but wrong in 14 % with
/// ten points of two seeds. Choosing between them by a test of the spreads inherits the errors of both,
/// because few seeds cannot show which case applies. Differences found by both are wrong in at most 5 % of
/// experiments, whatever the spreads (`tests/simulation.rs`). Degrees of freedom of the second:
/// [`Estimate::cautious_freedom`].
pub fn all_pairs(samples: &[Option<Sample>], confidence: f64) -> Vec<PairDifference> {
    let known: Vec<(usize, Sample)> =
        samples.iter().enumerate().filter_map(|(index, sample)| Some((index, (*sample)?))).collect();
    let all: Vec<Sample> = known.iter().map(|(_, sample)| *sample).collect();
    let Some((pooled, freedom)) = pooled_variance(&all) else { return Vec::new() };
    let shared_q = range_quantile(confidence, known.len(), freedom);
    let pair = |(a, first): (usize, Sample), (b, second): (usize, Sample)| {
        let estimate = Estimate::difference(first, second)?;
        let own_freedom = estimate.cautious_freedom();
        let shared_error = (pooled * (1.0 / first.n as f64 + 1.0 / second.n as f64)).sqrt();
        let own_q = range_quantile(confidence, known.len(), own_freedom)?;
        let half = (shared_q? * shared_error).max(own_q * estimate.standard_error) / f64::sqrt(2.0);
        Some(PairDifference { a, b, estimate, interval: Interval::around(estimate.value, half) })
    };
    let places = (0..known.len()).flat_map(|i| (i + 1..known.len()).map(move |j| (i, j)));
    places.filter_map(|(i, j)| pair(known[i], known[j])).collect()
}

/// Confidence of one of the comparisons that [`all_pairs`] makes among `points` points of `seeds` runs each and
/// equal spreads, for Student's t: what a difference has to pass there is the stricter of both methods, Games and
/// Howell's with cautious degrees of freedom. Used to plan the number of seeds.
pub fn pair_confidence(confidence: f64, points: usize, seeds: usize) -> Option<f64> {
    let runs = seeds.checked_sub(1)? as f64;
    let bound = range_quantile(confidence, points, f64::sqrt(2.0) * runs)?;
    range_tail(bound, 2, 2.0 * runs).map(|tail| 1.0 - tail)
}
