//! Whether the effect of one axis depends on another, where a study crosses two or more.

use decouple_experiment::value_on;

use super::{
    CONFIDENCE, Coordinates, PointSummary, SPECTRUM, Study, contest::changes_images, distinct, grouped,
};
use crate::statistics::{Estimate, InteractionTest, Interval, Sample, holm, interaction_test};

/// The interaction of two axes of a study.
#[derive(Clone, Debug, PartialEq)]
pub struct Interaction {
    /// The axis whose effect is compared at the ends of the other: `intermediate`. Axes of one `[[zip]]` have one
    /// effect, and so one name: `weight-decay with weight-decay-kind`; their values are joined likewise.
    pub effect: String,
    /// The other axis: one of the data, or else the axis of the spectrum.
    pub along: String,
    /// The value of the third axis, if there is one and the interaction is taken at one of its values.
    pub given: Coordinates,
    /// The other axes, whose values are averaged over.
    pub averaged: Vec<String>,
    /// The test of any interaction at all; `None` also where cells share runs.
    pub test: Option<InteractionTest>,
    /// P-value of the test, corrected for all interactions of the study that are averaged over its other axes
    /// (Holm). `None` for one at a single value of a third axis: those are looked at, and nothing is claimed of them.
    pub p_holm: Option<f64>,
    /// Whether cells have runs in common, as where a tuned recipe is the one as written. Then they are not
    /// independent, which the test assumes.
    pub shares_runs: bool,
    /// One difference of differences for each value of `effect` but its base.
    pub contrasts: Vec<Contrast>,
    /// The one from the least to the largest value of `effect`, where these are in an order and more than two: the
    /// runs do not choose it, so its p-value and its interval are its own. With two values, that of `contrasts`.
    pub ends: Option<Contrast>,
}

impl Interaction {
    /// Whether the interaction is statistically significant, all those of the study taken together.
    pub fn is_shown(&self) -> bool {
        self.p_holm.is_some_and(|p| p <= 1.0 - CONFIDENCE)
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
    /// P-value, corrected for all contrasts of one base (Holm).
    pub p_holm: Option<f64>,
}

impl Contrast {
    /// The difference of differences.
    pub fn estimate(&self) -> f64 {
        self.at_high - self.at_low
    }
}

/// The axes of one `[[zip]]`, which go through their values together, or an axis by itself: the effect of one of
/// them is no other's.
struct Factor<'a>(Vec<&'a str>);

impl<'a> Factor<'a> {
    fn all(study: &'a Study) -> Vec<Self> {
        let axes = grouped(study.axes.iter().enumerate(), |(place, axis)| axis.zipped_with.ok_or(*place));
        axes.into_iter()
            .map(|(_, axes)| Self(axes.into_iter().map(|(_, axis)| axis.name.as_str()).collect()))
            .collect()
    }

    fn name(&self) -> String {
        self.0.join(" with ")
    }

    /// The values on all of its axes, joined: several points of a zip may have the same value on one of them.
    fn value(&self, point: &[(String, String)]) -> Option<String> {
        let values: Option<Vec<&str>> = self.0.iter().map(|axis| value_on(point, axis)).collect();
        values.map(|values| values.join(" with "))
    }

    fn is_spectrum(&self) -> bool {
        self.0.iter().any(|axis| SPECTRUM.contains(axis))
    }

    fn changes_images(&self) -> bool {
        self.0.iter().any(|axis| changes_images(axis))
    }

    /// The place of a point along it: the decoupling level, or the number on its first axis.
    fn place(&self, point: &PointSummary) -> Option<f64> {
        if self.is_spectrum() { Some(point.level) } else { point.value(self.0[0])?.parse().ok() }
    }
}

/// The interactions of a study: of its two axes; of any two of more, averaged over the others; and of any two of
/// three at each value of the third.
pub(super) fn interactions(study: &Study, points: &[PointSummary]) -> Vec<Interaction> {
    let factors = Factor::all(study);
    let all = Vec::from_iter(0..points.len());
    let pairs = (0..factors.len()).flat_map(|i| (i + 1..factors.len()).map(move |j| (i, j)));
    let mut found: Vec<Interaction> = Vec::new();
    let mut given: Vec<Interaction> = Vec::new();
    for (i, j) in pairs {
        let pair = [&factors[i], &factors[j]];
        let others = (0..factors.len()).filter(|other| ![i, j].contains(other));
        let averaged = others.map(|other| factors[other].name()).collect();
        let over_all = interaction(study, pair, points, &all);
        found.extend(over_all.map(|found| Interaction { averaged, ..found }));
        let [_, _, _] = factors.as_slice() else { continue };
        let third = &factors[3 - i - j];
        for (value, there) in grouped(all.iter().copied(), |&index| third.value(&points[index].point)) {
            let Some(value) = value else { continue };
            let found = interaction(study, pair, points, &there);
            given.extend(found.map(|found| Interaction { given: vec![(third.name(), value)], ..found }));
        }
    }
    correct(&mut found);
    found.extend(given);
    found
}

/// Corrects the tests of a study's interactions for each other: the verdict speaks of each of them.
fn correct(found: &mut [Interaction]) {
    let tested: Vec<f64> = found.iter().filter_map(|found| Some(found.test?.p)).collect();
    let corrected = holm(&tested);
    for (found, p) in found.iter_mut().filter(|found| found.test.is_some()).zip(corrected) {
        found.p_holm = Some(p);
    }
}

/// Whether more than one is tested, so that their p-values are corrected.
pub(crate) fn are_several(interactions: &[Interaction]) -> bool {
    interactions.iter().filter(|found| found.p_holm.is_some()).count() > 1
}

/// The interaction of two factors over the points `members`, averaged over whatever else they vary in; `None`
/// unless both have at least two values and every combination has its points.
fn interaction(
    study: &Study,
    [first, second]: [&Factor<'_>; 2],
    points: &[PointSummary],
    members: &[usize],
) -> Option<Interaction> {
    // The effect of the spectrum is compared at the ends of the data; any other effect at the ends of
    // the spectrum.
    let comes_second = second.is_spectrum() && !first.changes_images();
    let (along, effect) =
        if comes_second || second.changes_images() { (second, first) } else { (first, second) };
    let (along_values, effect_values, cells) = cells(points, members, along, effect)?;
    let base = effect.value(&study.reference);
    let base = base.and_then(|base| effect_values.iter().position(|value| *value == base)).unwrap_or(0);
    let along_ends = [&along_values[0], &along_values[along_values.len() - 1]];
    let told = |changes: Vec<[usize; 2]>| contrasts(along_ends, &effect_values, points, &cells, changes);
    let places = effect_values.iter().enumerate().map(|(k, _)| effect.place(&points[cells[0][k][0]]));
    let ends = ends(places.collect()).filter(|_| effect_values.len() > 2);
    let estimates: Vec<Vec<Option<Estimate>>> =
        cells.iter().map(|row| row.iter().map(|cell| estimate(points, &[(1.0, cell)])).collect()).collect();
    let shares_runs = shares_runs(points, &cells);
    Some(Interaction {
        effect: effect.name(),
        along: along.name(),
        given: Vec::new(),
        averaged: Vec::new(),
        test: interaction_test(&estimates).filter(|_| !shares_runs),
        p_holm: None,
        shares_runs,
        contrasts: told((0..effect_values.len()).filter(|&to| to != base).map(|to| [base, to]).collect()),
        ends: ends.and_then(|ends| told(vec![ends]).pop()),
    })
}

/// The least and the largest of places; `None` where one has no place, or two have the same: then they are in no
/// order.
fn ends(places: Option<Vec<f64>>) -> Option<[usize; 2]> {
    let places = places?;
    let mut order = Vec::from_iter(0..places.len());
    order.sort_by(|&a, &b| places[a].total_cmp(&places[b]));
    let is_order = order.windows(2).all(|pair| places[pair[0]] < places[pair[1]]);
    is_order.then_some([*order.first()?, *order.last()?])
}

/// The points of each combination of two factors: (along, effect).
type Cells = Vec<Vec<Vec<usize>>>;

/// The values of both factors, those along by their level or as numbers, and the points of each combination;
/// `None` unless both have at least two values and every combination has as many points.
fn cells(
    points: &[PointSummary],
    members: &[usize],
    along: &Factor<'_>,
    effect: &Factor<'_>,
) -> Option<(Vec<String>, Vec<String>, Cells)> {
    let values = |factor: &Factor<'_>| {
        distinct(members.iter().filter_map(|&index| factor.value(&points[index].point)))
    };
    let of = |factor: &Factor<'_>, value: &String| -> Vec<usize> {
        let has = |index: &usize| factor.value(&points[*index].point).as_ref() == Some(value);
        members.iter().copied().filter(has).collect()
    };
    let (along_values, effect_values) = (values(along), values(effect));
    let place = |value: &String| along.place(&points[*of(along, value).first()?]);
    let places: Option<Vec<f64>> = along_values.iter().map(place).collect();
    let mut order = Vec::from_iter(0..along_values.len());
    if let Some(places) = places {
        order.sort_by(|&a, &b| places[a].total_cmp(&places[b]));
    }
    let along_values: Vec<String> = order.into_iter().map(|k| along_values[k].clone()).collect();
    let cell = |a: &String, b: &String| -> Vec<usize> {
        let with_b = of(effect, b);
        of(along, a).into_iter().filter(|index| with_b.contains(index)).collect()
    };
    let cells: Cells =
        along_values.iter().map(|a| effect_values.iter().map(|b| cell(a, b)).collect()).collect();
    let size = cells.first()?.first()?.len();
    let is_full = size > 0 && cells.iter().flatten().all(|cell| cell.len() == size);
    (is_full && cells.len() > 1 && cells[0].len() > 1).then_some((along_values, effect_values, cells))
}

/// How each change from one value of the effect to another differs between the ends along.
fn contrasts(
    [low_value, high_value]: [&String; 2],
    effect_values: &[String],
    points: &[PointSummary],
    cells: &Cells,
    changes: Vec<[usize; 2]>,
) -> Vec<Contrast> {
    let (low, high) = (&cells[0], &cells[cells.len() - 1]);
    let contrast = |[from, to]: [usize; 2]| {
        let change = |cells: &[Vec<usize>]| Some(mean(points, &cells[to])? - mean(points, &cells[from])?);
        let signed: [(f64, &[usize]); 4] =
            [(1.0, &high[to]), (-1.0, &high[from]), (-1.0, &low[to]), (1.0, &low[from])];
        let runs = signed.iter().flat_map(|(_, cell)| cell.iter().map(|&index| points[index].finished()));
        let contrast = Contrast {
            from: effect_values[from].clone(),
            to: effect_values[to].clone(),
            low: low_value.clone(),
            high: high_value.clone(),
            at_low: change(low)?,
            at_high: change(high)?,
            seeds: runs.min()?,
            interval: None,
            p_holm: None,
        };
        Some((contrast, estimate(points, &signed)))
    };
    let mut found: Vec<_> = changes.into_iter().filter_map(contrast).collect();
    fill_in(&mut found);
    found.into_iter().map(|(contrast, _)| contrast).collect()
}

/// The sum of the means of cells with their signs, in which the weights of points that have the same runs are added.
/// `None` if the spread of a point is unknown, or two have only some of their runs in common.
fn estimate(points: &[PointSummary], cells: &[(f64, &[usize])]) -> Option<Estimate> {
    let parts = cells.iter().flat_map(|(sign, cell)| {
        cell.iter().map(move |&index| (owner(points, index), sign / cell.len() as f64, points[index].sample))
    });
    let term = |(_, parts): (usize, Vec<(usize, f64, Option<Sample>)>)| {
        let sample = parts[0].2?;
        let weight = parts.iter().map(|(_, weight, _)| weight).sum();
        parts.iter().all(|(_, _, other)| *other == Some(sample)).then_some((weight, sample))
    };
    let terms: Option<Vec<(f64, Sample)>> =
        grouped(parts, |(owner, ..)| *owner).into_iter().map(term).collect();
    Estimate::of(&terms?)
}

/// The first point that has runs of this one: itself, unless an earlier one has.
fn owner(points: &[PointSummary], mut index: usize) -> usize {
    while let Some(earlier) = points[index].runs_of {
        index = earlier;
    }
    index
}

/// Whether a run belongs to points of two cells.
fn shares_runs(points: &[PointSummary], cells: &Cells) -> bool {
    let owners = |cell: &Vec<usize>| distinct(cell.iter().map(|&index| owner(points, index)));
    let all: Vec<usize> = cells.iter().flatten().flat_map(owners).collect();
    distinct(all.iter()).len() < all.len()
}

/// Mean over the points of a cell; `None` where one has no run.
fn mean(points: &[PointSummary], cell: &[usize]) -> Option<f64> {
    let sum: Option<f64> = cell.iter().map(|&index| points[index].mean).sum();
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
