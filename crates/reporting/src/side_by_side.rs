//! Compares two experiments: the points that both have, and their differences.

use decouple_spectrum::budget::TOLERANCE;

use crate::analysis::{Analysis, CONFIDENCE, PointSummary};
use crate::statistics::{Estimate, Interval, Sample};

/// A point of either experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// A label of the point.
    pub label: String,
    /// Its seeds in the first experiment, if it has the point.
    pub first: Option<Side>,
    /// Its seeds in the second.
    pub second: Option<Side>,
    /// The second's mean minus the first's, if both have one.
    pub difference: Option<f64>,
    /// Welch's interval of the difference at [`CONFIDENCE`], this comparison alone;
    /// `None` where a side's runs support no interval, as in its own report, or both have a run in common.
    pub interval: Option<Interval>,
}

impl Pair {
    /// Whether both have the point, but with numbers of parameters that differ by more than the
    /// tolerance of a budget.
    pub fn is_uneven(&self) -> bool {
        let [Some(first), Some(second)] = [self.first, self.second] else { return false };
        first.parameters.abs_diff(second.parameters) as f64 > 2.0 * TOLERANCE * first.parameters as f64
    }
}

/// The finished seeds of a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Side {
    /// How many there are.
    pub seeds: usize,
    /// Their mean score; `None` where there are none.
    pub mean: Option<f64>,
    /// Their standard deviation; `None` for fewer than two.
    pub sd: Option<f64>,
    /// Parameters of the network.
    pub parameters: u64,
}

/// Every point of `first`, then those that only `second` has. Points are the same if their
/// labels are.
pub fn side_by_side(first: &Analysis, second: &Analysis) -> Vec<Pair> {
    let labels = first.points.iter().map(|point| &point.label);
    let only_second = second.points.iter().map(|point| &point.label);
    let only_second = only_second.filter(|label| first.points.iter().all(|point| point.label != **label));
    let pair = |label: &String| {
        let points = [first, second].map(|analysis| analysis.points.iter().find(|p| p.label == *label));
        // Runs that both experiments have are no independent samples.
        let ids = |analysis: &Analysis, point: Option<&PointSummary>| -> Vec<String> {
            let own = analysis.runs.iter().filter(|run| point.is_some_and(|point| point.point == run.point));
            own.map(|run| run.id.clone()).filter(|id| !id.is_empty()).collect()
        };
        let [ours, theirs] = [ids(first, points[0]), ids(second, points[1])];
        let is_shared = ours.iter().any(|id| theirs.contains(id));
        let [first, second] = points.map(|point| point.map(side));
        let difference = first.zip(second).and_then(|(first, second)| Some(second.mean? - first.mean?));
        let samples = points.map(|point| point?.sample.filter(|_| !is_shared));
        let interval = samples[0].zip(samples[1]).and_then(|(first, second)| welch(first, second));
        Pair { label: label.clone(), first, second, difference, interval }
    };
    labels.chain(only_second).map(pair).collect()
}

fn side(point: &PointSummary) -> Side {
    let (seeds, parameters) = (point.finished(), point.costs.parameters);
    Side { seeds, mean: point.mean, sd: point.sd, parameters }
}

/// The interval of the second's mean minus the first's, whose spreads may differ.
fn welch(first: Sample, second: Sample) -> Option<Interval> {
    Estimate::difference(second, first)?.interval(CONFIDENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.ttest_ind([2, 4, 7], [1, 2, 3, 4], equal_var=False).confidence_interval()`.
    const WELCH: (f64, f64) = (-3.4432281329849426, 7.109894799651609);

    #[test]
    fn the_interval_is_welch_s() {
        let sample = |values: &[f64]| Sample::of(values).unwrap();
        let interval = welch(sample(&[1.0, 2.0, 3.0, 4.0]), sample(&[2.0, 4.0, 7.0])).unwrap();
        assert!((interval.low - WELCH.0).abs() < 1e-6, "{interval:?}");
        assert!((interval.high - WELCH.1).abs() < 1e-6, "{interval:?}");
    }
}
