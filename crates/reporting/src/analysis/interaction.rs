//! Whether the effect of one axis depends on another, where a study crosses two or more.

use decouple_experiment::value_on;

use super::{CONFIDENCE, Coordinates, PointSummary, Study, contest::changes_images, distinct};
use crate::statistics::{Estimate, InteractionTest, Interval, Sample, holm, interaction_test};

/// The interaction of two axes of a study.
#[derive(Clone, Debug, PartialEq)]
pub struct Interaction {
    /// The axis whose effect is compared at the ends of the other: `intermediate`.
    pub effect: String,
    /// The other axis: one of the data, or else the axis of the spectrum.
    pub along: String,
    /// The value of the third axis, if there is one and the interaction is taken at one of its values.
    pub given: Coordinates,
    /// The other axes, whose values are averaged over.
    pub averaged: Vec<String>,
    /// The test of any interaction at all.
    pub test: Option<InteractionTest>,
    /// One difference of differences for each value of `effect` but its base.
    pub contrasts: Vec<Contrast>,
}

impl Interaction {
    /// Whether the interaction is statistically significant.
    pub fn is_shown(&self) -> bool {
        self.test.is_some_and(|test| test.p <= 1.0 - CONFIDENCE)
    }
}

/// By how much more a change helps at one end than at the other: `(y(high, to) - y(high, from)) - (y(low, to)
/// - y(low, from))`, each cell with its own spread.
#[derive(Clone, Debug, PartialEq)]
pub struct Contrast {
    /// Value that is changed.
    pub from: String,
    /// Value that it is changed to.
    pub to: String,
    /// The lower end: the fewest segments.
    pub low: String,
    /// The other end.
    pub high: String,
    /// Effect of the change at `low`.
    pub at_low: f64,
    /// Effect of the change at `high`.
    pub at_high: f64,
    /// The fewest runs of a cell in it.
    pub seeds: usize,
    /// Interval of `at_high - at_low` at [`CONFIDENCE`], of this contrast alone; `None` if the spread of a
    /// cell is unknown.
    pub interval: Option<Interval>,
    /// P-value, corrected for all contrasts (Holm).
    pub p_holm: Option<f64>,
}

impl Contrast {
    /// The difference of differences.
    pub fn estimate(&self) -> f64 {
        self.at_high - self.at_low
    }
}

/// The interactions of a study: of its two axes; of any two of more, averaged over the others; and of any two of
/// three at each value of the third.
pub(super) fn interactions(study: &Study, points: &[PointSummary]) -> Vec<Interaction> {
    // Of axes that go through their values together the first stands for all.
    let all: Vec<&str> = study.axis_names().collect();
    let is_first = |&place: &usize| !all[..place].iter().any(|earlier| is_zipped(study, earlier, all[place]));
    let names: Vec<&str> = (0..all.len()).filter(is_first).map(|place| all[place]).collect();
    let pairs = (0..names.len()).flat_map(|i| (i + 1..names.len()).map(move |j| (i, j)));
    let mut found: Vec<Interaction> = Vec::new();
    let mut given: Vec<Interaction> = Vec::new();
    for (i, j) in pairs {
        let all: Vec<&PointSummary> = points.iter().collect();
        found.extend(interaction(study, names[i], names[j], &all, Vec::new()));
        let [_, _, _] = names.as_slice() else { continue };
        let third = names[3 - i - j];
        for value in values(&all, third) {
            let there: Vec<&PointSummary> =
                points.iter().filter(|point| point.value(third) == Some(value.as_str())).collect();
            given.extend(interaction(study, names[i], names[j], &there, vec![(third.to_owned(), value)]));
        }
    }
    found.extend(given);
    for found in &mut found {
        let full = |name: &str| {
            let others = study.axis_names().filter(|other| *other != name && is_zipped(study, other, name));
            [name].into_iter().chain(others).collect::<Vec<_>>().join(" with ")
        };
        found.effect = full(&found.effect);
        found.averaged.iter_mut().for_each(|name| *name = full(name));
    }
    found
}

/// Whether two axes go through their values together: then no effect of one is apart from the other's.
fn is_zipped(study: &Study, a: &str, b: &str) -> bool {
    let group = |name: &str| study.axes.iter().find(|axis| axis.name == name)?.zipped_with;
    group(a).is_some() && group(a) == group(b)
}

/// The interaction of two axes over `points`, averaged over whatever else they vary in; `None` unless both have
/// at least two values and every combination has its points.
fn interaction(
    study: &Study,
    first: &str,
    second: &str,
    points: &[&PointSummary],
    given: Coordinates,
) -> Option<Interaction> {
    // The effect of the spectrum is compared at the ends of the data; any other effect at the ends of
    // the spectrum.
    let is_spectrum = |name: &str| super::spectrum_axis(study).is_some_and(|axis| axis.name == name);
    let comes_second = is_spectrum(second) && !changes_images(first);
    let (along, effect) =
        if comes_second || changes_images(second) { (second, first) } else { (first, second) };
    let (along_values, effect_values, cells) = cells(points, along, effect, is_spectrum(along))?;
    let base = value_on(&study.reference, effect);
    let base = base.and_then(|base| effect_values.iter().position(|value| value == base)).unwrap_or(0);
    let mut contrasts = contrasts(&along_values, &effect_values, &cells, base);
    fill_in(&mut contrasts);
    let estimates: Vec<Vec<Option<Estimate>>> =
        cells.iter().map(|row| row.iter().map(|cell| Estimate::of(&terms(cell, 1.0)?)).collect()).collect();
    let is_other =
        |name: &&str| ![first, second].contains(name) && given.iter().all(|(axis, _)| axis != name);
    Some(Interaction {
        effect: effect.to_owned(),
        along: along.to_owned(),
        averaged: (study.axis_names().filter(is_other))
            .filter(|name| !is_zipped(study, name, first) && !is_zipped(study, name, second))
            .filter(|name| {
                let mut earlier = study.axis_names().take_while(|other| other != name);
                !earlier.any(|other| is_zipped(study, other, name))
            })
            .map(str::to_owned)
            .collect(),
        given,
        test: interaction_test(&estimates),
        contrasts: contrasts.into_iter().map(|(contrast, _)| contrast).collect(),
    })
}

/// The points of each combination of two axes: (along, effect).
type Cells<'a> = Vec<Vec<Vec<&'a PointSummary>>>;

/// The values of both axes, those along by their level or as numbers, and the points of each combination; `None`
/// unless both have at least two values and every combination has as many points.
fn cells<'a>(
    points: &[&'a PointSummary],
    along: &str,
    effect: &str,
    is_spectrum: bool,
) -> Option<(Vec<String>, Vec<String>, Cells<'a>)> {
    let mut along_values = values(points, along);
    let numbers: Option<Vec<f64>> = along_values.iter().map(|value| value.parse().ok()).collect();
    if numbers.is_some() && !is_spectrum {
        along_values.sort_by(|a, b| a.parse().unwrap_or(0.0_f64).total_cmp(&b.parse().unwrap_or(0.0)));
    } else if is_spectrum {
        let level = |value: &String| {
            points.iter().find(|point| point.value(along) == Some(value)).map_or(0.0, |point| point.level)
        };
        along_values.sort_by(|a, b| level(a).total_cmp(&level(b)));
    }
    let effect_values = values(points, effect);
    let cell = |a: &str, b: &str| -> Vec<&'a PointSummary> {
        let is_in = |point: &&&PointSummary| point.value(along) == Some(a) && point.value(effect) == Some(b);
        points.iter().filter(is_in).copied().collect()
    };
    let cells: Cells<'a> =
        along_values.iter().map(|a| effect_values.iter().map(|b| cell(a, b)).collect()).collect();
    let size = cells.first()?.first()?.len();
    let is_full = size > 0 && cells.iter().flatten().all(|cell| cell.len() == size);
    (is_full && cells.len() > 1 && cells[0].len() > 1).then_some((along_values, effect_values, cells))
}

/// How the change from the value of the effect at `base` to each other one differs between the ends.
fn contrasts(
    along_values: &[String],
    effect_values: &[String],
    cells: &Cells<'_>,
    base: usize,
) -> Vec<(Contrast, Option<Estimate>)> {
    let (low, high) = (&cells[0], &cells[cells.len() - 1]);
    let contrast = |value: usize| {
        let change = |ends: &[Vec<&PointSummary>]| Some(mean(&ends[value])? - mean(&ends[base])?);
        let signed = [(1.0, &high[value]), (-1.0, &high[base]), (-1.0, &low[value]), (1.0, &low[base])];
        let runs = signed.iter().flat_map(|(_, cell)| cell.iter().map(|point| point.finished()));
        let contrast = Contrast {
            from: effect_values[base].clone(),
            to: effect_values[value].clone(),
            low: along_values.first()?.clone(),
            high: along_values.last()?.clone(),
            at_low: change(low)?,
            at_high: change(high)?,
            seeds: runs.min()?,
            interval: None,
            p_holm: None,
        };
        let terms: Option<Vec<Vec<(f64, Sample)>>> =
            signed.iter().map(|(sign, cell)| terms(cell, *sign)).collect();
        Some((contrast, terms.and_then(|terms| Estimate::of(&terms.concat()))))
    };
    (0..effect_values.len()).filter(|&value| value != base).filter_map(contrast).collect()
}

/// The samples of a cell with the weights of their mean; `None` if the spread of one of its points is
/// unknown.
fn terms(cell: &[&PointSummary], sign: f64) -> Option<Vec<(f64, Sample)>> {
    cell.iter().map(|point| Some((sign / cell.len() as f64, point.sample?))).collect()
}

/// Mean over the points of a cell; `None` where one has no run.
fn mean(cell: &[&PointSummary]) -> Option<f64> {
    let sum: Option<f64> = cell.iter().map(|point| point.mean).sum();
    Some(sum? / cell.len() as f64)
}

/// Fills in intervals and p-values, where every contrast has an estimate.
fn fill_in(contrasts: &mut [(Contrast, Option<Estimate>)]) {
    let p: Option<Vec<f64>> = contrasts.iter().map(|(_, estimate)| estimate.as_ref()?.p()).collect();
    for ((contrast, _), p) in contrasts.iter_mut().zip(holm(&p.unwrap_or_default())) {
        contrast.p_holm = Some(p);
    }
    for (contrast, estimate) in contrasts {
        contrast.interval = estimate.and_then(|estimate| estimate.interval(CONFIDENCE));
    }
}

/// The values that points take on an axis, each once, in the points' order.
fn values(points: &[&PointSummary], axis: &str) -> Vec<String> {
    distinct(points.iter().filter_map(|point| point.value(axis)).map(str::to_owned))
}
