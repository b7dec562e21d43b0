//! Points of an analysis as lines of a figure.

use decouple_experiment::value_on;

use crate::analysis::{Analysis, PointSummary, SPECTRUM, grouped, spectrum_axis};

use super::canvas::Marker;
use super::palette::{Colour, category};

/// One line: the points that differ along the spectrum alone.
pub(super) struct Series<'a> {
    /// Values of the other axes; empty where there is no other axis.
    pub(super) label: String,
    pub(super) colour: Colour,
    pub(super) marker: Marker,
    /// Length of dashes; 0 for a whole line.
    pub(super) dash: f64,
    /// Whether its intervals are joined to a band; many overlapping bands would be unreadable.
    pub(super) is_band: bool,
    /// Points with their place on the x axis, from left to right.
    pub(super) points: Vec<(f64, &'a PointSummary)>,
}

/// Whether the study varies the spectrum: then x is the logarithm of channels per segment, otherwise the
/// points are placed side by side.
pub(super) fn is_spectrum(analysis: &Analysis) -> bool {
    spectrum_axis(&analysis.study).is_some()
}

/// Whether all points know their channels per segment; if one does not, the decoupling level is used
/// instead.
pub(super) fn is_by_width(analysis: &Analysis) -> bool {
    analysis.points.iter().all(|point| point.group_width.is_some())
}

/// Whether a line between neighbours is meaningful: along the spectrum, or between numbers of a single axis that rise
/// from left to right. Points off the spectrum stand in the order of the file, which may be any.
pub(super) fn is_ordered(analysis: &Analysis) -> bool {
    match analysis.study.axes.as_slice() {
        [axis] if !is_spectrum(analysis) => {
            let number = |point: &PointSummary| point.value(&axis.name)?.parse::<f64>().ok();
            let numbers: Option<Vec<f64>> = analysis.points.iter().map(number).collect();
            numbers.is_some_and(|numbers| numbers.is_sorted_by(|left, right| left < right))
        }
        _ => is_spectrum(analysis),
    }
}

/// The place of point `index` on the x axis.
pub(super) fn place(analysis: &Analysis, index: usize) -> f64 {
    let point = &analysis.points[index];
    match point.group_width.filter(|_| is_by_width(analysis)) {
        _ if !is_spectrum(analysis) => index as f64,
        Some(width) => width.log2(),
        // As by channels per segment: the most decoupled at the left.
        None => -point.level,
    }
}

/// A point's value along the spectrum, of whichever axis names it.
pub(super) fn spectrum_value(point: &[(String, String)]) -> Option<&str> {
    SPECTRUM.iter().find_map(|name| value_on(point, name))
}

/// The lines of `analysis`, in the order in which their first points occur.
pub(super) fn series(analysis: &Analysis) -> Vec<Series<'_>> {
    let spectrum = is_spectrum(analysis);
    let points = analysis.points.iter().enumerate().map(|(index, point)| (place(analysis, index), point));
    let lines =
        grouped(points, |(_, point)| if spectrum { other_values(&point.point) } else { String::new() });
    let is_band = spectrum && lines.len() <= 3;
    lines
        .into_iter()
        .enumerate()
        .map(|(k, (label, mut points))| {
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Series {
                label,
                colour: category(k),
                marker: Marker::of(k),
                dash: [0.0, 7.0, 3.0, 12.0][k % 4],
                is_band,
                points,
            }
        })
        .collect()
}

/// The values of a point on all axes but those of the spectrum: `relu, spatial-first`.
pub(super) fn other_values(point: &[(String, String)]) -> String {
    let others = point.iter().filter(|(axis, _)| !SPECTRUM.contains(&axis.as_str()));
    let words = others.map(|(axis, value)| {
        // A bare number or switch is meaningless without its key.
        let is_bare = value.parse::<f64>().is_ok() || ["true", "false", "none"].contains(&value.as_str());
        if is_bare { format!("{} {value}", short_name(axis)) } else { value.clone() }
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The last part of an axis's name: `weight-decay` of `training.weight-decay`.
pub(super) fn short_name(axis: &str) -> &str {
    axis.rsplit('.').next().unwrap_or(axis)
}
