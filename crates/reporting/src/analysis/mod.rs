//! What the runs of a sweep say, computed once: tables, files, figures and pages only read [`Analysis`].

mod comparison;
mod contest;
mod interaction;
mod power;
mod study;
mod summary;

pub use comparison::{Comparison, ReferenceComparison};
pub use contest::Contest;
pub use interaction::{Contrast, Interaction};
pub use power::power_plan;
pub use study::*;
pub use summary::*;

use contest::contests;
use interaction::interaction;
use summary::summarise_point;

use crate::statistics::{Residual, additive_residual};
use crate::verdict::{self, Verdict};

/// Confidence of every interval, and of all comparisons of a sweep taken together.
pub const CONFIDENCE: f64 = 0.95;

/// Everything that is shown of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    /// What was asked.
    pub study: Study,
    /// A summary a point, in the order in which points first occur among the runs.
    pub points: Vec<PointSummary>,
    /// Index of the point that costs are relative to: the study's reference, else the last point.
    pub reference: Option<usize>,
    /// The points in groups that may be compared: all in one, unless the study varies the data.
    pub contests: Vec<Contest>,
    /// Whether the effects of two crossed axes add up.
    pub interaction: Option<Interaction>,
    /// Spread of one run about its point and seed, pooled over all points.
    pub residual: Option<Residual>,
    /// All runs.
    pub runs: Vec<RunRow>,
    /// The answer in words.
    pub verdict: Verdict,
    /// What could not be read or was left out, each in a sentence.
    pub problems: Vec<String>,
}

/// Summarises runs that are already at hand; [`analyse`](crate::analyse) is this after reading a ledger.
pub fn summarise(study: Study, runs: Vec<RunRow>, problems: Vec<String>) -> Analysis {
    let mut coordinates: Vec<&Coordinates> = Vec::new();
    for run in &runs {
        if !coordinates.contains(&&run.point) {
            coordinates.push(&run.point);
        }
    }
    let groups: Vec<Vec<&RunRow>> =
        coordinates.iter().map(|point| runs.iter().filter(|run| run.point == **point).collect()).collect();
    let mut points: Vec<PointSummary> = groups.iter().map(|group| summarise_point(group)).collect();

    if !study.times_compare() {
        points.iter_mut().for_each(|point| point.steps = None);
    }
    let table = accuracy_table(&groups);
    let reference = (points.iter().position(|point| point.point == study.reference))
        .or_else(|| points.len().checked_sub(1));
    let residual = additive_residual(&table);
    let mut analysis = Analysis {
        contests: contests(&study, &mut points, &table),
        interaction: interaction(&study, &points, &table, residual),
        study,
        points,
        reference,
        residual,
        runs,
        verdict: Verdict::default(),
        problems,
    };
    analysis.verdict = verdict::verdict(&analysis);
    analysis
}

/// Accuracy by point and seed, with a column for every seed that occurs.
fn accuracy_table(groups: &[Vec<&RunRow>]) -> Vec<Vec<Option<f64>>> {
    let mut seeds: Vec<u64> = groups.iter().flatten().map(|run| run.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let accuracy = |group: &[&RunRow], seed: u64| {
        group.iter().filter(|run| run.seed == seed).find_map(|run| run.accuracy())
    };
    groups.iter().map(|group| seeds.iter().map(|&seed| accuracy(group, seed)).collect()).collect()
}
