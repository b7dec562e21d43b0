//! How many seeds a study like this one needs.

use super::Analysis;
use super::comparison::corrected_confidence;
use crate::statistics::seeds_needed;

/// For each true difference (a share: 0.01 is one point), the fewest seeds a point that tell it from zero
/// with a chance of `chance`, all comparisons with the best point together at
/// [`CONFIDENCE`](super::CONFIDENCE), if runs scatter as they do in `analysis`.
///
/// `None` beside a difference that no number of seeds up to a million tells; nothing at all where the runs
/// say nothing of their spread.
pub fn power_plan(analysis: &Analysis, differences: &[f64], chance: f64) -> Vec<(f64, Option<usize>)> {
    let Some(residual) = analysis.residual else { return Vec::new() };
    let points = analysis.points.iter().filter(|point| point.finished() > 0).count();
    let confidence = corrected_confidence(points.saturating_sub(1));
    let seeds = |difference: f64| seeds_needed(residual.sd, points, difference, confidence, chance);
    differences.iter().map(|&difference| (difference, seeds(difference))).collect()
}
