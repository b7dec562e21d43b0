//! How many seeds a study like this one needs.

use std::cell::RefCell;
use std::collections::HashMap;

use super::contest::typical_sd;
use super::{Analysis, CONFIDENCE};
use crate::statistics::{Sample, pair_confidence, seeds_needed};

/// The spread of the points of a study.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scatter {
    /// Standard deviation of a run of the point with the smallest spread.
    pub least: f64,
    /// The median over the points.
    pub typical: f64,
    /// That of the point with the largest spread.
    pub most: f64,
}

/// The spread of runs about their point; `None` if no two points that are compared with each other have one.
pub fn scatter(analysis: &Analysis) -> Option<Scatter> {
    let samples: Vec<Sample> = analysis.points.iter().filter_map(|point| point.sample).collect();
    let sds = || samples.iter().map(Sample::sd);
    (compared(analysis) > 1).then_some(())?;
    Some(Scatter {
        least: sds().reduce(f64::min)?,
        typical: typical_sd(&samples)?,
        most: sds().reduce(f64::max)?,
    })
}

/// The most points that are compared with each other: those of the largest contest.
fn compared(analysis: &Analysis) -> usize {
    let has_sample = |&&point: &&usize| analysis.points[point].sample.is_some();
    let sizes = analysis.contests.iter().map(|contest| contest.points.iter().filter(has_sample).count());
    sizes.max().unwrap_or(0)
}

/// The fewest seeds per point that detect a true difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeedsNeeded {
    /// The true difference (a share: 0.01 is one point).
    pub difference: f64,
    /// For two points of typical spread; `None` if a million are too few.
    pub typical: Option<usize>,
    /// For the point with the largest spread and a typical one.
    pub most: Option<usize>,
}

/// For each true difference, the fewest seeds per point that detect it with power `chance`, jointly over all
/// pairs of points at [`CONFIDENCE`], given the spread of runs in `analysis`; empty if that is unknown.
pub fn power_plan(analysis: &Analysis, differences: &[f64], chance: f64) -> Vec<SeedsNeeded> {
    let Some(scatter) = scatter(analysis) else { return Vec::new() };
    let (points, known) = (compared(analysis), RefCell::new(HashMap::new()));
    // A quantile takes milliseconds, and the same numbers of seeds are tried for every difference.
    let confidence = |seeds: usize| -> Option<f64> {
        *known.borrow_mut().entry(seeds).or_insert_with(|| pair_confidence(CONFIDENCE, points, seeds))
    };
    let seeds = |sds, difference| seeds_needed(sds, difference, confidence, chance);
    let needed = |&difference: &f64| SeedsNeeded {
        difference,
        typical: seeds([scatter.typical, scatter.typical], difference),
        most: seeds([scatter.typical, scatter.most], difference),
    };
    differences.iter().map(needed).collect()
}
