//! The answer in words: never more than the statistics license.

use std::fmt;

use crate::analysis::{Comparison, PointSummary, Study};
use crate::numbers::{count, percent, points as in_points};

/// The answer, a sentence an item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Complete sentences, the most important first.
    pub sentences: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentences.join(" "))
    }
}

pub(crate) fn verdict(
    study: &Study,
    points: &[PointSummary],
    best: Option<usize>,
    comparisons: &[Comparison],
    detectable: Option<(usize, f64)>,
) -> Verdict {
    let mut sentences = Vec::new();
    match best.map(|best| &points[best]) {
        None => sentences.push("No run has finished, so there is nothing to say yet.".to_owned()),
        Some(only) if points.len() == 1 => sentences.push(one_point(only)),
        Some(only) if points.iter().filter(|point| point.finished() > 0).count() == 1 => {
            sentences.push(one_point(only));
            sentences.push("No other point has a finished run to compare it with.".to_owned());
        }
        Some(best) => compared(best, points, comparisons, detectable, &mut sentences),
    }
    sentences.extend(unmatched(study, points));
    sentences.extend(losses(points));
    Verdict { sentences }
}

fn one_point(point: &PointSummary) -> String {
    let mean = percent(point.mean.unwrap_or(f64::NAN));
    match point.interval {
        Some(interval) => format!(
            "{}: {mean} % (interval {} to {} over {} seeds).",
            capitalised(&point.label),
            percent(interval.low),
            percent(interval.high),
            point.finished()
        ),
        None => format!(
            "{}: {mean} % from one seed, which tells nothing of the spread.",
            capitalised(&point.label)
        ),
    }
}

/// The sentences on the best point against all others.
fn compared(
    best: &PointSummary,
    points: &[PointSummary],
    comparisons: &[Comparison],
    detectable: Option<(usize, f64)>,
    sentences: &mut Vec<String>,
) {
    let mean = percent(best.mean.unwrap_or(f64::NAN));
    if points.iter().all(|point| point.finished() < 2) {
        sentences.push(format!(
            "Highest: {}, {mean} %, from one seed a point, which tells nothing of the spread.",
            best.label
        ));
        sentences.push("No point is told apart from another; add seeds.".to_owned());
        return;
    }
    let probability =
        best.probability_best.map_or(String::new(), |p| format!(" (probability {p:.2} over seeds)"));
    sentences.push(format!("Best: {}, {mean} %{probability}.", best.label));

    let name = |comparison: &&Comparison| points[comparison.point].label.clone();
    let (told, open): (Vec<&Comparison>, Vec<&Comparison>) =
        comparisons.iter().partition(|comparison| comparison.told_apart());
    if let Some((closest, rest)) = open.split_first() {
        let rest = listed(rest.iter().map(name).collect());
        sentences.push(format!(
            "Not told apart from {} ({}){}.",
            name(closest),
            distance(closest),
            if rest.is_empty() { rest } else { format!(" nor from {rest}") }
        ));
    }
    match (told.split_first(), open.is_empty()) {
        (None, _) => {}
        (Some((closest, [])), true) => {
            sentences.push(format!("Told apart from {} ({}).", name(closest), distance(closest)));
        }
        (Some((closest, rest)), true) => sentences.push(format!(
            "Told apart from all {} others, the closest being {} ({}).",
            rest.len() + 1,
            name(closest),
            distance(closest)
        )),
        (Some(_), false) => {
            sentences.push(format!("Told apart from {}.", listed(told.iter().map(name).collect())));
        }
    }
    if let Some((seeds, difference)) = detectable {
        let seeds = count(seeds, "seed");
        sentences.push(format!("{seeds} can tell differences of {} points.", in_points(difference)));
    }
}

/// "difference 0.2 points, interval -0.4 to 0.8"
fn distance(comparison: &Comparison) -> String {
    let difference = format!("difference {} points", in_points(comparison.difference.mean));
    match comparison.simultaneous {
        Some(interval) => {
            format!("{difference}, interval {} to {}", in_points(interval.low), in_points(interval.high))
        }
        None => difference,
    }
}

/// "a, b and c", shortened to four names.
fn listed(mut names: Vec<String>) -> String {
    const SHOWN: usize = 4;
    if names.len() > SHOWN + 1 {
        let hidden = names.len() - SHOWN;
        names.truncate(SHOWN);
        names.push(format!("{hidden} others"));
    }
    match names.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// Points of different size compare nothing; says so where no budget was held and sizes differ.
fn unmatched(study: &Study, points: &[PointSummary]) -> Option<String> {
    let sizes = || points.iter().map(|point| point.costs.parameters as f64);
    let (least, most) = (sizes().fold(f64::INFINITY, f64::min), sizes().fold(0.0, f64::max));
    (study.held.is_none() && most > 1.01 * least && least > 0.0).then(|| {
        format!(
            "No budget was held: the largest network has {:.1} times the parameters of the smallest, so \
             differences may be those of size.",
            most / least
        )
    })
}

fn losses(points: &[PointSummary]) -> Vec<String> {
    let total: usize =
        points.iter().map(|point| point.finished() + point.diverged + point.failed + point.missing).sum();
    let lost = |of: fn(&PointSummary) -> usize, verb: &str, consequence: &str| {
        let sum: usize = points.iter().map(of).sum();
        let names = points.iter().filter(|point| of(point) > 0);
        let names = listed(names.map(|point| format!("{} ({})", point.label, of(point))).collect());
        (sum > 0).then(|| format!("{sum} of {} {verb}{consequence}: {names}.", count(total, "run")))
    };
    [
        lost(|point| point.diverged, "diverged", " and count in no mean"),
        lost(|point| point.failed, "failed", " and count in no mean"),
        lost(|point| point.missing, "have not finished", ""),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
