//! Two points on the same seeds: their difference, and tests of it.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{Interval, mean, sd, t_interval, t_quantile};

/// The difference `a - b` of two points over the seeds that both finished.
#[derive(Clone, Debug, PartialEq)]
pub struct PairedDifference {
    /// Seeds that both points finished.
    pub pairs: usize,
    /// Mean of the differences.
    pub mean: f64,
    /// Standard deviation of the differences; `None` for one pair.
    pub sd: Option<f64>,
    /// Student's interval of the mean difference with `pairs - 1` degrees of freedom.
    pub interval: Option<Interval>,
    /// Pearson's correlation of the two points over the seeds: what pairing bought. The variance of a
    /// difference is `var a + var b - 2 correlation sd a sd b`, so at 0 pairing was worth nothing.
    /// `None` where one of the two does not vary.
    pub correlation: Option<f64>,
}

/// Compares two rows of a [`Table`](super::Table) seed by seed; `None` where they share no finished seed.
pub fn paired_difference(a: &[Option<f64>], b: &[Option<f64>], confidence: f64) -> Option<PairedDifference> {
    let (left, right): (Vec<f64>, Vec<f64>) = a.iter().zip(b).filter_map(|(a, b)| a.zip(*b)).unzip();
    let differences: Vec<f64> = left.iter().zip(&right).map(|(a, b)| a - b).collect();
    Some(PairedDifference {
        pairs: differences.len(),
        mean: mean(&differences)?,
        sd: sd(&differences),
        interval: t_interval(&differences, confidence),
        correlation: correlation(&left, &right),
    })
}

/// Pearson's correlation, `cov(a, b) / (sd a sd b)`.
fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let (mean_a, mean_b) = (mean(a)?, mean(b)?);
    let scale = sd(a)? * sd(b)? * (a.len() - 1) as f64;
    let products: f64 = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum();
    (scale > 0.0).then(|| (products / scale).clamp(-1.0, 1.0))
}

/// Two-sided p-value of `difference / standard_error` under Student's t: the chance of one as large where the
/// true difference is zero.
///
/// `None` where there is no degree of freedom. A difference without any spread is certain.
pub fn difference_p(difference: f64, standard_error: f64, degrees_of_freedom: usize) -> Option<f64> {
    tail(difference.abs(), standard_error, degrees_of_freedom).map(|tail| (2.0 * tail).min(1.0))
}

/// P-value of the claim that a difference lies within `-margin` to `margin`: the larger of the two one-sided
/// tests (D. J. Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987).
pub fn equivalence_p(
    difference: f64,
    standard_error: f64,
    degrees_of_freedom: usize,
    margin: f64,
) -> Option<f64> {
    tail(margin - difference.abs(), standard_error, degrees_of_freedom)
}

/// The smallest margin for which [`equivalence_p`] is at most `1 - confidence`:
/// `|difference| + t standard_error`, with the quantile that leaves `1 - confidence` above it.
pub fn equivalence_margin(
    difference: f64,
    standard_error: f64,
    degrees_of_freedom: usize,
    confidence: f64,
) -> Option<f64> {
    let t = t_quantile(2.0 * confidence - 1.0, degrees_of_freedom)?;
    Some(difference.abs() + t * standard_error)
}

/// The chance that Student's t exceeds `distance / standard_error`.
fn tail(distance: f64, standard_error: f64, degrees_of_freedom: usize) -> Option<f64> {
    let student = StudentsT::new(0.0, 1.0, degrees_of_freedom as f64).ok()?;
    if standard_error > 0.0 {
        return Some(student.sf(distance / standard_error));
    }
    Some(match distance {
        above if above > 0.0 => 0.0,
        below if below < 0.0 => 1.0,
        _ => 0.5,
    })
}

/// P-values corrected so that all claims of a family that are at most `alpha` hold together with
/// `1 - alpha`: the k-th smallest of m times `m - k + 1`, and none below the one before it (S. Holm,
/// Scandinavian Journal of Statistics 6, 1979).
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut corrected = vec![0.0; p_values.len()];
    let mut before: f64 = 0.0;
    for (k, &index) in order.iter().enumerate() {
        before = before.max((p_values.len() - k) as f64 * p_values[index]).min(1.0);
        corrected[index] = before;
    }
    corrected
}
