//! The analysis of a sweep, computed once: tables, files, figures and pages read [`Analysis`].

mod comparison;
mod contest;
mod curve;
mod images;
mod interaction;
mod power;
mod study;
mod summary;
mod support;
mod verdict;

pub use comparison::{Comparison, ReferenceComparison};
pub use contest::Contest;
pub(crate) use contest::changes_images;
pub use curve::{SpectrumCurve, SpectrumLine, SpectrumScaling};
pub use images::ImageComparison;
pub(crate) use interaction::are_several;
pub use interaction::{Contrast, Interaction};
pub use power::{Scatter, SeedsNeeded, power_plan, scatter};
pub use study::*;
pub use summary::*;
pub use support::{FEWEST_IMAGES, Unsupported};
pub use verdict::Verdict;
pub(crate) use verdict::listed;

use std::collections::{HashMap, HashSet};

use decouple_experiment::Metric;

use contest::contests;
use interaction::interactions;
use summary::summarise_point;
use verdict::verdict;

/// Confidence of every interval; the intervals of differences hold jointly at it for all pairs of points that are
/// compared with each other, those of one [`Contest`].
pub const CONFIDENCE: f64 = 0.95;

/// Everything that is shown of a sweep.
#[derive(Clone, Debug)]
pub struct Analysis {
    /// What was asked.
    pub study: Study,
    /// A summary a point, in the order in which points first occur among the runs.
    pub points: Vec<PointSummary>,
    /// Index of the point that costs are relative to: the study's reference, else the last point.
    pub reference: Option<usize>,
    /// The points in groups that may be compared: all in one, unless the study varies the data.
    pub contests: Vec<Contest>,
    /// Whether the effects of crossed axes add up.
    pub interactions: Vec<Interaction>,
    /// Smooth curves over the group width.
    pub curves: Vec<SpectrumCurve>,
    /// Laws of error against size, by group width.
    pub scalings: Vec<SpectrumScaling>,
    /// All runs.
    pub runs: Vec<RunRow>,
    /// The verdict as text.
    pub verdict: Verdict,
    /// What could not be read or was left out, each in a sentence.
    pub problems: Vec<String>,
    /// Whether a plan was locked, but its file cannot be read.
    pub is_plan_damaged: bool,
}

impl Analysis {
    /// The runs, each once that several points share: those that the recipe as written and the one chosen have in common.
    pub(crate) fn each_run(&self) -> impl Iterator<Item = &RunRow> {
        let mut known = HashSet::new();
        // Made-up runs have no id.
        self.runs.iter().filter(move |run| run.id.is_empty() || known.insert(run.id.as_str()))
    }
}

/// `items` by what `key` gives, in the order in which each key first occurs.
pub(crate) fn grouped<T, K: PartialEq>(
    items: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> K,
) -> Vec<(K, Vec<T>)> {
    let mut groups: Vec<(K, Vec<T>)> = Vec::new();
    for item in items {
        let key = key(&item);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, members)) => members.push(item),
            None => groups.push((key, vec![item])),
        }
    }
    groups
}

/// Each of `items` once, in the order in which they first occur.
pub(crate) fn distinct<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for item in items {
        if !found.contains(&item) {
            found.push(item);
        }
    }
    found
}

/// How much longer than another a run's step may take, if nothing else has slowed it.
const EVEN_TIMES: f64 = 1.5;

/// Whether other work on the machine shows in the step times of a point, whose runs train one network. Runs
/// without a score count in no mean of times either.
fn was_disturbed(group: &[&RunRow]) -> bool {
    let times = group.iter().filter(|run| run.score().is_some()).filter_map(|run| run.step_secs());
    let (low, high) =
        times.fold((f64::INFINITY, 0.0), |(low, high), time| (f64::min(low, time), f64::max(high, time)));
    high > EVEN_TIMES * low
}

/// For each point the first point, if it is an earlier one, that has one of its finished runs.
fn twins(groups: &[Vec<&RunRow>]) -> Vec<Option<usize>> {
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut twins = vec![None; groups.len()];
    for (index, group) in groups.iter().enumerate() {
        // Made-up runs have no id.
        for run in group.iter().filter(|run| !run.id.is_empty() && run.score().is_some()) {
            let owner = *first.entry(&run.id).or_insert(index);
            if owner < twins[index].unwrap_or(index) {
                twins[index] = Some(owner);
            }
        }
    }
    twins
}

/// Summarises runs in memory; [`analyse`](crate::analyse) is this after reading a ledger.
pub fn summarise(study: Study, runs: Vec<RunRow>, problems: Vec<String>) -> Analysis {
    let groups: Vec<Vec<&RunRow>> =
        grouped(&runs, |run| &run.point).into_iter().map(|(_, of_point)| of_point).collect();
    let images = |group: &[&RunRow]| {
        let images = group.iter().filter_map(|run| run.test_images).min();
        images.or(study.test_images)
    };
    let mut points: Vec<PointSummary> =
        groups.iter().map(|group| summarise_point(group, images(group), study.metric)).collect();
    for (point, twin) in points.iter_mut().zip(twins(&groups)) {
        point.runs_of = twin;
    }

    if !study.times_compare() || groups.iter().any(|group| was_disturbed(group)) {
        points.iter_mut().for_each(|point| point.steps = None);
    }
    let reference = (points.iter().position(|point| point.point == study.reference))
        .or_else(|| points.len().checked_sub(1));
    let mut contests = contests(&study, &mut points);
    // Per-image results say what is classified right, which is a different score from a mean of
    // precisions.
    if study.metric == Metric::Accuracy {
        contests
            .iter_mut()
            .for_each(|contest| contest.on_images = images::compare(contest, &points, &groups));
    }
    let interactions = interactions(&study, &points);
    Analysis {
        verdict: verdict(&study, &points, &runs, &contests, &interactions),
        contests,
        interactions,
        curves: curve::curves(&study, &points),
        scalings: curve::scalings(&study, &points),
        study,
        points,
        reference,
        runs,
        problems,
        is_plan_damaged: false,
    }
}
