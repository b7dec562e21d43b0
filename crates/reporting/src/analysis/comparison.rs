//! Points against each other: all against the best, all against the reference, and how flat the curve is.

use super::CONFIDENCE;
use crate::statistics::{
    Interval, PairedDifference, Residual, Table, difference_p, equivalence_margin, holm, mean,
    paired_difference,
};

/// The best point less another one.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Index of the other point.
    pub point: usize,
    /// The paired comparison of these two alone.
    pub difference: PairedDifference,
    /// Interval of the difference from the spread pooled over all points, wide enough that all comparisons
    /// of the sweep hold together at [`CONFIDENCE`] (Bonferroni).
    pub simultaneous: Option<Interval>,
}

impl Comparison {
    /// Whether the other point is certainly worse. The points that are not hold the truly best one with at
    /// least [`CONFIDENCE`], although the best of the data was chosen by the same data (J. C. Hsu,
    /// "Simultaneous confidence intervals for all distances from the best", Annals of Statistics 9, 1981).
    pub fn told_apart(&self) -> bool {
        self.simultaneous.is_some_and(|interval| interval.low > 0.0)
    }
}

/// Confidence of each of `comparisons` intervals that together hold at [`CONFIDENCE`].
pub(super) fn corrected_confidence(comparisons: usize) -> f64 {
    1.0 - (1.0 - CONFIDENCE) / comparisons.max(1) as f64
}

/// Compares `best` with every other point that shares a finished seed with it, the closest first.
pub(super) fn compare_with(best: usize, table: &Table, residual: Option<Residual>) -> Vec<Comparison> {
    let differences: Vec<(usize, PairedDifference)> = (0..table.len())
        .filter(|&point| point != best)
        .filter_map(|point| Some((point, paired_difference(&table[best], &table[point], CONFIDENCE)?)))
        .collect();
    let confidence = corrected_confidence(differences.len());
    let mut comparisons: Vec<Comparison> = differences
        .into_iter()
        .map(|(point, difference)| Comparison {
            point,
            simultaneous: residual
                .and_then(|residual| residual.interval(difference.mean, difference.pairs, confidence)),
            difference,
        })
        .collect();
    comparisons.sort_by(|a, b| a.difference.mean.total_cmp(&b.difference.mean));
    comparisons
}

/// A point less the reference.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceComparison {
    /// Index of the point.
    pub point: usize,
    /// The paired comparison of these two alone, with the correlation that pairing bought.
    pub difference: PairedDifference,
    /// Interval of this difference at [`CONFIDENCE`], from the spread pooled over all points; not corrected.
    pub interval: Option<Interval>,
    /// P-value of a difference as large, from the same spread, corrected for all comparisons with the
    /// reference (Holm).
    pub p_holm: Option<f64>,
}

/// Every other point that shares a finished seed with `reference`, less it, in the points' order.
pub(super) fn against_reference(
    reference: usize,
    table: &Table,
    residual: Option<Residual>,
) -> Vec<ReferenceComparison> {
    let mut comparisons: Vec<ReferenceComparison> = (0..table.len())
        .filter(|&point| point != reference)
        .filter_map(|point| {
            let difference = paired_difference(&table[point], &table[reference], CONFIDENCE)?;
            let (shift, pairs) = (difference.mean, difference.pairs);
            let interval = residual.and_then(|residual| residual.interval(shift, pairs, CONFIDENCE));
            Some(ReferenceComparison { point, difference, interval, p_holm: None })
        })
        .collect();
    let p_values: Option<Vec<f64>> = comparisons
        .iter()
        .map(|comparison| {
            let residual = residual?;
            let error = residual.standard_error(&[1.0, -1.0], comparison.difference.pairs);
            difference_p(comparison.difference.mean, error, residual.degrees_of_freedom)
        })
        .collect();
    for (comparison, p) in comparisons.iter_mut().zip(holm(&p_values.unwrap_or_default())) {
        comparison.p_holm = Some(p);
    }
    comparisons
}

/// The margin within which all points are shown to be equivalent: no two differ by more, at [`CONFIDENCE`].
///
/// Each pair alone must pass its two one-sided tests; then all do together without any correction, since a
/// claim about all is wrong only where the claim about one is (R. L. Berger, Technometrics 24, 1982).
pub(super) fn flat_within(table: &Table, residual: Option<Residual>) -> Option<f64> {
    let (residual, rows) = (residual?, table.iter().filter(|row| row.iter().any(Option::is_some)));
    let rows: Vec<&Vec<Option<f64>>> = rows.collect();
    let mut widest: Option<f64> = None;
    for (k, a) in rows.iter().enumerate() {
        for b in &rows[k + 1..] {
            let both: Vec<f64> = a.iter().zip(*b).filter_map(|(a, b)| Some((*a)? - (*b)?)).collect();
            let error = residual.standard_error(&[1.0, -1.0], both.len());
            let margin = equivalence_margin(mean(&both)?, error, residual.degrees_of_freedom, CONFIDENCE)?;
            widest = Some(widest.map_or(margin, |widest| widest.max(margin)));
        }
    }
    widest
}
