//! Compares two experiments: the points that both have, and their differences.

use decouple_spectrum::budget::TOLERANCE;
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::analysis::{Analysis, CONFIDENCE, PointSummary};
use crate::statistics::Interval;

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
    /// `None` where a side has fewer than two seeds or no spread.
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
    let find = |analysis: &Analysis, label: &str| analysis.points.iter().find(|p| p.label == label).map(side);
    let labels = first.points.iter().map(|point| &point.label);
    let only_second = second.points.iter().map(|point| &point.label);
    let only_second = only_second.filter(|label| first.points.iter().all(|point| point.label != **label));
    let pair = |label: &String| {
        let (first, second) = (find(first, label), find(second, label));
        let means = first.and_then(|side| side.mean).zip(second.and_then(|side| side.mean));
        let difference = means.map(|(first, second)| second - first);
        let interval = difference.zip(first.zip(second));
        let interval = interval.and_then(|(difference, (first, second))| welch(difference, first, second));
        Pair { label: label.clone(), first, second, difference, interval }
    };
    labels.chain(only_second).map(pair).collect()
}

fn side(point: &PointSummary) -> Side {
    let (seeds, parameters) = (point.finished(), point.costs.parameters);
    Side { seeds, mean: point.mean, sd: point.sd, parameters }
}

/// The interval of a difference of two means whose spreads may differ (Welch 1947),
/// with Satterthwaite's degrees of freedom.
fn welch(difference: f64, first: Side, second: Side) -> Option<Interval> {
    let share = |side: Side| Some((side.sd?.powi(2) / side.seeds as f64, side.seeds as f64 - 1.0));
    let ((a, a_free), (b, b_free)) = (share(first)?, share(second)?);
    let variance = a + b;
    if variance <= 0.0 {
        return None;
    }
    let free = variance.powi(2) / (a.powi(2) / a_free + b.powi(2) / b_free);
    let t = StudentsT::new(0.0, 1.0, free).ok()?.inverse_cdf(0.5 + CONFIDENCE / 2.0);
    let half = t * variance.sqrt();
    Some(Interval { low: difference - half, high: difference + half })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.ttest_ind([2, 4, 7], [1, 2, 3, 4], equal_var=False).confidence_interval()`.
    const WELCH: (f64, f64) = (-3.4432281329849426, 7.109894799651609);

    #[test]
    fn the_interval_is_welch_s() {
        let side = |values: &[f64]| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            let sd = (squares / (values.len() - 1) as f64).sqrt();
            Side { seeds: values.len(), mean: Some(mean), sd: Some(sd), parameters: 1 }
        };
        let (first, second) = (side(&[1.0, 2.0, 3.0, 4.0]), side(&[2.0, 4.0, 7.0]));
        let difference = second.mean.unwrap() - first.mean.unwrap();
        let interval = welch(difference, first, second).unwrap();
        assert!((interval.low - WELCH.0).abs() < 1e-6, "{interval:?}");
        assert!((interval.high - WELCH.1).abs() < 1e-6, "{interval:?}");
        assert_eq!(welch(0.0, first, Side { seeds: 1, sd: None, ..second }), None);
    }
}
