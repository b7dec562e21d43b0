//! The curve over segments under each budget, in one figure from several experiments.

use decouple_experiment::{Axis, Outcome};
use decouple_spectrum::cost::Cost;
use serde::{Deserialize, Serialize};

use super::Card;
use crate::analysis::{
    Analysis, Coordinates, RunOutcome, RunRow, Study, distinct, grouped, held_equal, summarise,
};

/// The finished runs of a study that varies the segments alone: what a card keeps for other experiments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// The quantity held equal; none where none was.
    pub held: Option<String>,
    /// Id of the first run of the reference: the same in all experiments that differ in their budget alone.
    pub reference: String,
    /// Name of the data set.
    pub data: String,
    /// Epochs of training.
    pub epochs: Option<usize>,
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
    /// Its value on the axis `segments`.
    pub segments: String,
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

impl Curve {
    /// The curve of a study over segments alone; `None` for any other, and without a run of the reference.
    pub fn of(analysis: &Analysis) -> Option<Self> {
        let study = &analysis.study;
        let [axis] = study.axes.as_slice() else { return None };
        let reference = &analysis.points[analysis.reference?].point;
        let first = analysis.runs.iter().find(|run| run.point == *reference)?;
        let run = |run: &RunRow| {
            Some(CurveRun {
                id: run.id.clone(),
                segments: run.point.first()?.1.clone(),
                seed: run.seed,
                level: run.level,
                costs: run.costs,
                score: run.score()?,
            })
        };
        (axis.name == "segments").then(|| Self {
            held: study.held.clone(),
            reference: first.id.clone(),
            data: study.data.clone(),
            epochs: study.epochs,
            runs: analysis.runs.iter().filter_map(run).collect(),
        })
    }
}

/// One study over all budgets, with the budget as an additional axis, for every set of experiments that
/// differ only in their budget.
pub fn under_each_budget(cards: &[Card]) -> Vec<Analysis> {
    let curves = cards.iter().filter_map(|card| card.curve.as_ref());
    let sets = grouped(curves, |curve| (&curve.reference, &curve.data, curve.epochs));
    let studies = sets.into_iter().filter_map(|(_, set)| {
        let budgets = grouped(set, |curve| &curve.held);
        let set: Vec<&Curve> = budgets.into_iter().map(|(_, same)| same[0]).collect();
        (set.len() > 1).then(|| together(&set))
    });
    studies.collect()
}

fn together(curves: &[&Curve]) -> Analysis {
    let held = |curve: &Curve| held_equal(curve.held.as_deref()).to_owned();
    let name = |curve: &Curve| format!("equal {}", held(curve));
    let point = |curve: &Curve, run: &CurveRun| -> Coordinates {
        vec![("segments".to_owned(), run.segments.clone()), ("budget".to_owned(), name(curve))]
    };
    let row = |curve: &Curve, run: &CurveRun| RunRow {
        id: run.id.clone(),
        point: point(curve, run),
        seed: run.seed,
        outcome: RunOutcome::Over(Outcome::Finished),
        level: run.level,
        costs: run.costs,
        raw_score: Some(run.score),
        ..RunRow::default()
    };
    let runs: Vec<RunRow> =
        curves.iter().flat_map(|curve| curve.runs.iter().map(|run| row(curve, run))).collect();
    let segments = distinct(curves.iter().flat_map(|curve| &curve.runs).map(|run| run.segments.clone()));
    let held: Vec<String> = curves.iter().map(|curve| held(curve)).collect();
    let study = Study {
        name: "under-each-budget".to_owned(),
        question: "Accuracy against decoupling level under each budget".to_owned(),
        axes: vec![
            Axis { name: "segments".to_owned(), values: segments, zipped_with: None },
            Axis {
                name: "budget".to_owned(),
                values: curves.iter().map(|curve| name(curve)).collect(),
                zipped_with: None,
            },
        ],
        held: Some(held.join(" or ")),
        reference: (curves[0].runs.iter().find(|run| run.level == 1.0))
            .map_or(Vec::new(), |run| point(curves[0], run)),
        data: curves[0].data.clone(),
        epochs: curves[0].epochs,
        ..Study::default()
    };
    summarise(study, runs, Vec::new())
}
