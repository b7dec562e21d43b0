//! Points against the reference over seeds and test images, where runs kept which images they get right.

use super::study::RunRow;
use super::summary::PointSummary;
use super::{CONFIDENCE, Contest};
use crate::statistics::{OnOtherImages, on_other_images, same_image_by_image, same_within_seeds};

/// A point against the reference, image by image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageComparison {
    /// Index of the point.
    pub point: usize,
    /// The difference as it would be on other seeds and other images.
    pub difference: Option<OnOtherImages>,
    /// P-value of the null hypothesis that both do equally well on every image.
    pub p_same: Option<f64>,
}

/// Every other point of a contest minus its reference, those of known spread; `groups` are the runs of each point.
pub(super) fn compare(
    contest: &Contest,
    points: &[PointSummary],
    groups: &[Vec<&RunRow>],
) -> Vec<ImageComparison> {
    let Some(reference) = contest.reference else { return Vec::new() };
    // A point without a sample takes part in no comparison.
    let of = |point: usize| points[point].sample.and_then(|_| correctness(&groups[point]));
    let Some(base) = of(reference) else { return Vec::new() };
    let others = contest.points.iter().copied().filter(|point| *point != reference);
    let compared = |point: usize| {
        let own = of(point)?;
        Some(ImageComparison {
            point,
            difference: on_other_images(&own.correct, &base.correct, CONFIDENCE),
            p_same: p_same(&own, &base),
        })
    };
    others.filter_map(compared).collect()
}

/// The finished runs of a point in the order of their seeds.
struct Runs {
    seeds: Vec<u64>,
    /// Which images each gets right.
    correct: Vec<Vec<bool>>,
}

/// One row per finished run; `None` where one kept none, or none is finished.
fn correctness(group: &[&RunRow]) -> Option<Runs> {
    let mut finished: Vec<&RunRow> = group.iter().copied().filter(|run| run.score().is_some()).collect();
    finished.sort_by_key(|run| run.seed);
    let correct: Vec<Vec<bool>> = finished.iter().map(|run| run.correct.clone()).collect::<Option<_>>()?;
    let seeds = finished.iter().map(|run| run.seed).collect();
    (!correct.is_empty()).then_some(Runs { seeds, correct })
}

/// Within seeds, where both points have the same and enough of them; else over all splits of the runs.
fn p_same(a: &Runs, b: &Runs) -> Option<f64> {
    let within = || same_within_seeds(&a.correct, &b.correct).filter(|_| a.seeds == b.seeds);
    within().or_else(|| same_image_by_image(&a.correct, &b.correct))
}
