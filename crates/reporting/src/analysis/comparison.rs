//! Points against each other: all pairs, the best against each, each against the reference.

use super::CONFIDENCE;
use crate::statistics::{Estimate, Interval, PairDifference, Sample, all_pairs, holm};

/// The difference of two points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Index of the other point.
    pub point: usize,
    /// The difference, with the spread of these two points.
    pub estimate: Estimate,
    /// The interval of this difference, wherever it is quoted; those of all pairs of its contest hold jointly at
    /// [`CONFIDENCE`] ([`all_pairs`]).
    pub interval: Interval,
    /// The margin within which these two points alone are shown to be equal (two one-sided tests at 5 %).
    pub equal_within: Option<f64>,
}

impl Comparison {
    /// What `pair` says of `own` and another point: `own` minus the other, or the other minus `own`.
    fn of(pair: &PairDifference, own: usize, is_own_first: bool) -> Option<Self> {
        let point = match own {
            _ if own == pair.a => pair.b,
            _ if own == pair.b => pair.a,
            _ => return None,
        };
        let is_turned = (own == pair.a) != is_own_first;
        let turn = |value: f64| if is_turned { -value } else { value };
        let ends = [turn(pair.interval.low), turn(pair.interval.high)];
        Some(Self {
            point,
            estimate: Estimate { value: turn(pair.estimate.value), ..pair.estimate },
            interval: Interval { low: ends[0].min(ends[1]), high: ends[0].max(ends[1]) },
            equal_within: pair.estimate.equivalence_margin(CONFIDENCE),
        })
    }

    /// Whether the difference is statistically significant: the interval does not contain zero.
    pub fn told_apart(&self) -> bool {
        !self.interval.contains(0.0)
    }
}

/// All pairs of a contest, by the indices of their points.
pub(super) struct Pairs(Vec<PairDifference>);

impl Pairs {
    /// Compares the points that have a sample.
    pub(super) fn of(samples: &[Option<Sample>]) -> Self {
        Self(all_pairs(samples, CONFIDENCE))
    }

    /// `best` minus every other point, the closest first.
    pub(super) fn below(&self, best: usize) -> Vec<Comparison> {
        let mut comparisons: Vec<Comparison> =
            self.0.iter().filter_map(|pair| Comparison::of(pair, best, true)).collect();
        comparisons.sort_by(|a, b| a.estimate.value.total_cmp(&b.estimate.value));
        comparisons
    }

    /// Every other point minus `reference`, in the points' order. `margin`: within which a point counts
    /// as equal, if one was declared.
    pub(super) fn against(&self, reference: usize, margin: Option<f64>) -> Vec<ReferenceComparison> {
        let comparisons: Vec<Comparison> =
            self.0.iter().filter_map(|pair| Comparison::of(pair, reference, false)).collect();
        let p = |of: &dyn Fn(&Estimate) -> Option<f64>| -> Vec<Option<f64>> {
            let each: Option<Vec<f64>> =
                comparisons.iter().map(|comparison| of(&comparison.estimate)).collect();
            each.map_or(vec![None; comparisons.len()], |each| holm(&each).into_iter().map(Some).collect())
        };
        let differs = p(&Estimate::cautious_p);
        let equals = p(&|estimate| estimate.equivalence_p(margin?));
        let rows = comparisons.iter().zip(differs).zip(equals);
        let mut rows: Vec<ReferenceComparison> = rows
            .map(|((comparison, p_holm), p_equal)| ReferenceComparison {
                comparison: *comparison,
                p_holm,
                p_equal,
            })
            .collect();
        rows.sort_by_key(|row| row.comparison.point);
        rows
    }

    /// The margin within which all points are shown to be equal: no two differ by more, at [`CONFIDENCE`].
    ///
    /// Each pair alone must pass its two one-sided tests; then all do together without any correction, since a
    /// claim about all is wrong only where the claim about one is (R. L. Berger, Technometrics 24, 1982).
    pub(super) fn flat_within(&self) -> Option<f64> {
        let margins: Option<Vec<f64>> =
            self.0.iter().map(|pair| pair.estimate.equivalence_margin(CONFIDENCE)).collect();
        margins?.into_iter().reduce(f64::max)
    }
}

/// A point minus the reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReferenceComparison {
    /// The difference.
    pub comparison: Comparison,
    /// P-value of no difference, each comparison with its own spread, corrected for all comparisons with the
    /// reference (Holm). These are fewer than all pairs, so it may be below 5 % where the interval contains
    /// zero.
    pub p_holm: Option<f64>,
    /// P-value of a difference beyond the declared margin, corrected likewise; `None` without a margin.
    pub p_equal: Option<f64>,
}
