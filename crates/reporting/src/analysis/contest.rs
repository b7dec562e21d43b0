//! Points that may be compared: those tested on the same images.

use super::comparison::{
    Comparison, ReferenceComparison, against_reference, compare_with, corrected_confidence, flat_within,
};
use super::summary::PointSummary;
use super::{Coordinates, Study, label};
use crate::statistics::{Table, additive_residual, detectable_difference, probability_best};

/// Axes of the data that leave the test images as they are.
const SAME_IMAGES: [&str; 2] = ["data.augment", "data.validation"];

/// Points tested on the same images. A study has one contest, unless an axis of the data (how strongly a
/// planted class is coupled, say) gives them different ones: then accuracies of two contests compare nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Contest {
    /// What its points share and those of others do not, such as `data.coupling = 0`; empty where all points
    /// are in one.
    pub shared: Coordinates,
    /// Index of the point that others are compared with: the study's reference, else the last point.
    pub reference: Option<usize>,
    /// Index of the point with the highest mean.
    pub best: Option<usize>,
    /// The best against each other point, the closest first.
    pub comparisons: Vec<Comparison>,
    /// Every other point less the reference.
    pub against_reference: Vec<ReferenceComparison>,
    /// No two points differ by more than this, at [`CONFIDENCE`](super::CONFIDENCE); `None` where nothing is
    /// known of the spread.
    pub flat_within: Option<f64>,
    /// The smallest true difference that this many seeds tell with 80 % power: (seeds, difference).
    pub detectable: Option<(usize, f64)>,
    /// Indices of the points.
    pub points: Vec<usize>,
}

impl Contest {
    /// A point in words, without what all points of the contest share.
    pub fn name(&self, point: &PointSummary) -> String {
        let own = point.point.iter().filter(|coordinate| !self.shared.contains(coordinate));
        label(&own.cloned().collect::<Vec<_>>())
    }
}

/// The contests of a study, in the order in which they first occur, and for each point how probably it is the
/// best of its contest. `table` has a row a point.
pub(super) fn contests(study: &Study, points: &mut [PointSummary], table: &Table) -> Vec<Contest> {
    let mut groups: Vec<(Coordinates, Vec<usize>)> = Vec::new();
    for (index, point) in points.iter().enumerate() {
        let shared = shared(point);
        match groups.iter_mut().find(|(known, _)| *known == shared) {
            Some((_, members)) => members.push(index),
            None => groups.push((shared, vec![index])),
        }
    }
    groups.into_iter().map(|(shared, members)| contest(study, shared, members, points, table)).collect()
}

/// Whether an axis decides which images a point is tested on.
pub(super) fn changes_images(axis: &str) -> bool {
    axis.starts_with("data.") && !SAME_IMAGES.contains(&axis)
}

/// The coordinates of a point on such axes.
fn shared(point: &PointSummary) -> Coordinates {
    point.point.iter().filter(|(axis, _)| changes_images(axis)).cloned().collect()
}

fn contest(
    study: &Study,
    shared: Coordinates,
    members: Vec<usize>,
    points: &mut [PointSummary],
    table: &Table,
) -> Contest {
    // Rows of other contests are empty, so that places in the table stay those of the points.
    let table: Vec<Vec<Option<f64>>> = (table.iter().enumerate())
        .map(|(index, row)| if members.contains(&index) { row.clone() } else { vec![None; row.len()] })
        .collect();
    if let Some(probabilities) = probability_best(&table) {
        for &index in &members {
            points[index].probability_best = Some(probabilities[index]);
        }
    }
    let best = (members.iter().copied())
        .filter(|&index| points[index].mean.is_some())
        // The first of equals, so that the answer does not depend on how a maximum is searched.
        .reduce(|a, b| if points[b].mean > points[a].mean { b } else { a });
    let is_reference = |&index: &usize| {
        let own = points[index].point.iter().filter(|coordinate| !shared.contains(coordinate));
        own.clone().count() > 0 && own.clone().all(|coordinate| study.reference.contains(coordinate))
    };
    let reference = members.iter().copied().find(is_reference).or_else(|| members.last().copied());
    let residual = additive_residual(&table);
    let comparisons = best.map_or(Vec::new(), |best| compare_with(best, &table, residual));
    let pairs = comparisons.iter().map(|comparison| comparison.difference.pairs).max();
    let detectable = pairs.zip(residual).and_then(|(pairs, residual)| {
        let confidence = corrected_confidence(comparisons.len());
        Some((pairs, detectable_difference(residual, pairs, confidence)?))
    });
    Contest {
        against_reference: reference.map_or(Vec::new(), |point| against_reference(point, &table, residual)),
        flat_within: flat_within(&table, residual),
        shared,
        reference,
        best,
        comparisons,
        detectable,
        points: members,
    }
}
