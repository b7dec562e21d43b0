//! Points that may be compared: those of one size, trained as long, tested on the same images.

use super::comparison::{Comparison, Pairs, ReferenceComparison};
use super::images::ImageComparison;
use super::summary::PointSummary;
use super::{CONFIDENCE, Coordinates, Study, grouped, label};
use crate::statistics::{Sample, detectable_difference, pair_confidence, probability_best};

/// Axes of the data that leave the test images as they are.
const SAME_IMAGES: [&str; 2] = ["data.augment", "data.validation"];

/// Draws behind P(best), enough for two digits.
const DRAWS: usize = 20_000;

/// The power at which a difference counts as detectable.
pub(super) const POWER: f64 = 0.8;

/// Points tested on the same images, of one size and length of training. A study has one contest, unless an
/// axis of the data (such as the coupling of planted classes) gives them different images, or it varies size
/// or length. Points of different contests are not compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Contest {
    /// The coordinates that distinguish its points from those of other contests, such as `data.coupling =
    /// 0`; empty where all points are in one.
    pub shared: Coordinates,
    /// Index of the point that others are compared with: the study's reference, else the last point.
    pub reference: Option<usize>,
    /// Index of the point with the highest mean.
    pub best: Option<usize>,
    /// The best minus each other point that can be compared with it, the closest first.
    pub comparisons: Vec<Comparison>,
    /// Every other point minus the reference.
    pub against_reference: Vec<ReferenceComparison>,
    /// No two points differ by more than this, at [`CONFIDENCE`]; `None` if the spread is unknown.
    pub flat_within: Option<f64>,
    /// The smallest true difference of two points of typical spread that this many seeds detect with 80 %
    /// power, jointly over all pairs: (seeds, difference).
    pub detectable: Option<(usize, f64)>,
    /// Every other point against the reference over seeds and images, where the runs kept which images they get
    /// right.
    pub on_images: Vec<ImageComparison>,
    /// Indices of the points.
    pub points: Vec<usize>,
}

impl Contest {
    /// A label of a point, without what all points of the contest share.
    pub fn name(&self, point: &PointSummary) -> String {
        let own = point.point.iter().filter(|coordinate| !self.shared.contains(coordinate));
        label(&own.cloned().collect::<Vec<_>>())
    }
}

/// The contests of a study, in the order in which they first occur, and for each point how probably it is the
/// best of its contest.
pub(super) fn contests(study: &Study, points: &mut [PointSummary]) -> Vec<Contest> {
    let own = (0..points.len()).filter(|&index| points[index].runs_of.is_none());
    let groups = grouped(own, |&index| shared(&points[index]));
    groups.into_iter().map(|(shared, members)| contest(study, shared, members, points)).collect()
}

/// Whether an axis decides which images a point is tested on.
pub(crate) fn changes_images(axis: &str) -> bool {
    axis.starts_with("data.") && !SAME_IMAGES.contains(&axis)
}

/// Whether an axis separates contests: points of other sizes, or trained longer, are not
/// compared.
fn parts(axis: &str) -> bool {
    changes_images(axis) || axis == "network.size" || axis == "training.epochs"
}

/// The coordinates of a point on such axes.
fn shared(point: &PointSummary) -> Coordinates {
    point.point.iter().filter(|(axis, _)| parts(axis)).cloned().collect()
}

fn contest(study: &Study, shared: Coordinates, members: Vec<usize>, points: &mut [PointSummary]) -> Contest {
    // Points of other contests have empty places, so that indices are preserved.
    let samples: Vec<Option<Sample>> =
        (0..points.len()).map(|index| points[index].sample.filter(|_| members.contains(&index))).collect();
    give_probabilities(&members, points);
    let best = (members.iter().copied())
        .filter(|&index| points[index].mean.is_some())
        // The first of equals, so that the result does not depend on how the maximum is found.
        .reduce(|a, b| if points[b].mean > points[a].mean { b } else { a });
    let is_reference = |&index: &usize| {
        let own = points[index].point.iter().filter(|coordinate| !shared.contains(coordinate));
        own.clone().count() > 0 && own.clone().all(|coordinate| study.reference.contains(coordinate))
    };
    let reference = members.iter().copied().find(is_reference).or_else(|| members.last().copied());
    let pairs = Pairs::of(&samples);
    let known: Vec<Sample> = samples.iter().copied().flatten().collect();
    Contest {
        against_reference: reference.map_or(Vec::new(), |point| pairs.against(point, study.margin)),
        flat_within: pairs.flat_within(),
        comparisons: best.map_or(Vec::new(), |best| pairs.below(best)),
        detectable: detectable(&known),
        shared,
        reference,
        best,
        on_images: Vec::new(),
        points: members,
    }
}

/// Fills in P(best), if every point of the contest that has a run has a sample.
fn give_probabilities(members: &[usize], points: &mut [PointSummary]) {
    let running: Vec<usize> = members.iter().copied().filter(|&index| points[index].finished() > 0).collect();
    let samples: Option<Vec<Sample>> = running.iter().map(|&index| points[index].sample).collect();
    let probabilities = samples.and_then(|samples| probability_best(&samples, DRAWS));
    for (&index, probability) in running.iter().zip(probabilities.unwrap_or_default()) {
        // Rounded to four digits: further ones would be noise of the draws.
        points[index].probability_best = Some((1e4 * probability).round() / 1e4);
    }
}

fn detectable(samples: &[Sample]) -> Option<(usize, f64)> {
    let seeds = samples.iter().map(|sample| sample.n).min()?;
    let typical = typical_sd(samples)?;
    let confidence = pair_confidence(CONFIDENCE, samples.len(), seeds)?;
    Some((seeds, detectable_difference([typical, typical], seeds, confidence, POWER)?))
}

/// The median standard deviation of a run.
pub(super) fn typical_sd(samples: &[Sample]) -> Option<f64> {
    let mut sds: Vec<f64> = samples.iter().map(Sample::sd).collect();
    sds.sort_by(f64::total_cmp);
    let middle = sds.len() / 2;
    let even = sds.len().is_multiple_of(2) && middle > 0;
    let upper = *sds.get(middle)?;
    Some(if even { (sds[middle - 1] + upper) / 2.0 } else { upper })
}
