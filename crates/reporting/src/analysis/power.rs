//! How many seeds a study like this one needs.

use super::contest::typical_sd;
use super::{Analysis, CONFIDENCE};
use crate::statistics::{Sample, pair_confidence, seeds_needed};

/// How the points of a study scatter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scatter {
    /// Standard deviation of a run of the point that scatters least.
    pub least: f64,
    /// The median over the points.
    pub typical: f64,
    /// That of the point that scatters most.
    pub most: f64,
    /// Points that tell their spread.
    pub points: usize,
}

/// How runs scatter about their point; `None` where fewer than two points tell it.
pub fn scatter(analysis: &Analysis) -> Option<Scatter> {
    let samples: Vec<Sample> = analysis.points.iter().filter_map(|point| point.sample).collect();
    let sds = || samples.iter().map(Sample::sd);
    (samples.len() > 1).then_some(())?;
    Some(Scatter {
        least: sds().reduce(f64::min)?,
        typical: typical_sd(&samples)?,
        most: sds().reduce(f64::max)?,
        points: samples.len(),
    })
}

/// The fewest seeds a point that tell a true difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeedsNeeded {
    /// The true difference (a share: 0.01 is one point).
    pub difference: f64,
    /// For two points of typical spread; `None` if a million are too few.
    pub typical: Option<usize>,
    /// For the point that scatters most and a typical one.
    pub most: Option<usize>,
}

/// For each true difference, the fewest seeds a point that tell it from zero with a chance of `chance`, all pairs
/// of points together at [`CONFIDENCE`], if runs scatter as they do in `analysis`; nothing where they do not tell.
pub fn power_plan(analysis: &Analysis, differences: &[f64], chance: f64) -> Vec<SeedsNeeded> {
    let Some(scatter) = scatter(analysis) else { return Vec::new() };
    let Some(confidence) = pair_confidence(CONFIDENCE, scatter.points) else { return Vec::new() };
    let seeds = |sds, difference| seeds_needed(sds, difference, confidence, chance);
    let needed = |&difference: &f64| SeedsNeeded {
        difference,
        typical: seeds([scatter.typical, scatter.typical], difference),
        most: seeds([scatter.typical, scatter.most], difference),
    };
    differences.iter().map(needed).collect()
}
