//! The curve over the spectrum under each budget, in one figure from several experiments.

use decouple_experiment::{Axis, Metric, Outcome};
use decouple_spectrum::cost::Cost;
use serde::{Deserialize, Serialize};

use super::Card;
use crate::analysis::{
    Analysis, Coordinates, RunOutcome, RunRow, SPECTRUM, Study, distinct, grouped, held_equal, listed,
    summarise,
};

/// The finished runs of a study along the spectrum alone: what a card keeps for other experiments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// The axis: `segments`, as in all cards of an earlier version, or `channels-per-segment`.
    #[serde(default = "segments")]
    pub axis: String,
    /// The quantity held equal; none where none was.
    pub held: Option<String>,
    /// Id of the first run of the reference: the same in all experiments that differ in their budget alone.
    pub reference: String,
    /// Name of the data set.
    pub data: String,
    /// Epochs of training.
    pub epochs: Option<usize>,
    /// Name of the metric of its scores; empty in cards of an earlier version, whose scores are accuracies.
    #[serde(default)]
    pub metric: String,
    /// Test images that they are of; none in cards of an earlier version.
    #[serde(default)]
    pub test_images: Option<u64>,
    /// The runs.
    pub runs: Vec<CurveRun>,
}

/// A run of a [`Curve`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurveRun {
    /// Its id; empty in cards of an earlier version.
    #[serde(default)]
    pub id: String,
    /// Its value on the axis, which cards have always called its segments.
    #[serde(rename = "segments")]
    pub value: String,
    /// Its seed.
    pub seed: u64,
    /// Decoupling level of its network, 0 to 1.
    pub level: f64,
    /// Cost of its network.
    pub costs: Cost,
    /// Test score, 0 to 1. Cards have always called it an accuracy.
    #[serde(rename = "accuracy")]
    pub score: f64,
}

fn segments() -> String {
    "segments".to_owned()
}

impl Curve {
    /// The curve of a study along the spectrum alone; `None` for any other, and without a run of the reference.
    pub fn of(analysis: &Analysis) -> Option<Self> {
        let study = &analysis.study;
        let [axis] = study.axes.as_slice() else { return None };
        let reference = &analysis.points[analysis.reference?].point;
        let first = analysis.runs.iter().find(|run| run.point == *reference)?;
        let run = |run: &RunRow| {
            Some(CurveRun {
                id: run.id.clone(),
                value: run.point.first()?.1.clone(),
                seed: run.seed,
                level: run.level,
                costs: run.costs,
                score: run.score()?,
            })
        };
        SPECTRUM.contains(&axis.name.as_str()).then(|| Self {
            axis: axis.name.clone(),
            held: study.held.clone(),
            reference: first.id.clone(),
            data: study.data.clone(),
            epochs: study.epochs,
            metric: study.metric.name().to_owned(),
            test_images: study.test_images,
            runs: analysis.runs.iter().filter_map(run).collect(),
        })
    }

    fn metric(&self) -> Metric {
        let other = Metric::MeanPrecision;
        if self.metric == other.name() { other } else { Metric::Accuracy }
    }
}

/// One study over all budgets, with the budget as an additional axis, for every set of experiments that
/// differ only in their budget. An error says in a sentence which experiments are not drawn together, and why.
pub fn under_each_budget(cards: &[Card]) -> Vec<Result<Analysis, String>> {
    let curves = cards.iter().filter_map(|card| Some((card.name.as_str(), card.curve.as_ref()?)));
    let sets = grouped(curves, |(_, curve)| {
        (&curve.axis, &curve.reference, &curve.data, curve.epochs, curve.metric())
    });
    let studies = sets.into_iter().filter_map(|(_, set)| {
        let budgets = grouped(set.iter().copied(), |(_, curve)| &curve.held);
        (budgets.len() > 1).then(|| {
            let curves: Result<Vec<Curve>, String> = budgets
                .into_iter()
                .map(|(_, same)| joined(same.into_iter().map(|(_, curve)| curve)))
                .collect();
            let names = || listed(set.iter().map(|(name, _)| (*name).to_owned()).collect());
            curves.map(|curves| together(&curves)).map_err(|reason| {
                format!("{} differ in their budget alone, but are in no figure together: {reason}", names())
            })
        })
    });
    studies.collect()
}

/// The curve of several experiments of one budget, which differ in the points and seeds that they run: each run
/// once. An error if one point is two networks: the budget is met in two ways, which are not to be mixed.
fn joined<'a>(same: impl Iterator<Item = &'a Curve> + Clone) -> Result<Curve, String> {
    let first = same.clone().next().ok_or("no curve")?;
    let runs = grouped(same.clone().flat_map(|curve| &curve.runs), |run| (&run.value, run.seed));
    if let Some(((value, _), _)) =
        runs.iter().find(|(_, equal)| equal.iter().any(|run| run.id != equal[0].id))
    {
        let held = held_equal(first.held.as_deref());
        return Err(format!("of {held}, {} = {value} is two different networks", first.axis));
    }
    Ok(Curve {
        runs: runs.into_iter().map(|(_, equal)| equal[0].clone()).collect(),
        test_images: same.filter_map(|curve| curve.test_images).min(),
        ..first.clone()
    })
}

fn together(curves: &[Curve]) -> Analysis {
    let held = |curve: &Curve| held_equal(curve.held.as_deref());
    let point = |curve: &Curve, run: &CurveRun| -> Coordinates {
        vec![(curve.axis.clone(), run.value.clone()), ("budget".to_owned(), held(curve))]
    };
    let row = |curve: &Curve, run: &CurveRun| RunRow {
        id: run.id.clone(),
        point: point(curve, run),
        test_images: curve.test_images,
        seed: run.seed,
        outcome: RunOutcome::Over(Outcome::Finished),
        level: run.level,
        costs: run.costs,
        raw_score: Some(run.score),
        ..RunRow::default()
    };
    let runs: Vec<RunRow> =
        curves.iter().flat_map(|curve| curve.runs.iter().map(|run| row(curve, run))).collect();
    let values = distinct(curves.iter().flat_map(|curve| &curve.runs).map(|run| run.value.clone()));
    let names: Vec<String> = curves.iter().map(held).collect();
    let metric = curves[0].metric();
    let study = Study {
        name: "under-each-budget".to_owned(),
        question: format!("{} against decoupling level under each budget", metric.title()),
        metric,
        axes: vec![
            Axis { name: curves[0].axis.clone(), values, zipped_with: None },
            Axis { name: "budget".to_owned(), values: names.clone(), zipped_with: None },
        ],
        held: Some(
            names.iter().map(|name| name.trim_start_matches("equal ")).collect::<Vec<_>>().join(" or "),
        ),
        reference: (curves[0].runs.iter().find(|run| run.level == 1.0))
            .map_or(Vec::new(), |run| point(&curves[0], run)),
        data: curves[0].data.clone(),
        epochs: curves[0].epochs,
        ..Study::default()
    };
    summarise(study, runs, Vec::new())
}
