//! A report as one JSON document, for other programs.

use serde_json::{Value, json};

use crate::analysis::{Analysis, Comparison, RunRow};
use crate::csv_files::{SummaryRow, detail};
use crate::statistics::Interval;

/// An analysis as JSON: the question, the verdict, one row per point and one row per run, which have the columns of
/// `summary.csv` and `runs.csv`. Learning curves are in `epochs.csv` alone.
///
/// Intervals are pairs: `accuracy_interval`, `above_reference_interval`, `below_best_interval`. `group_width` is the
/// geometric mean of channels per segment over the layers; `unusable` counts those of the `missing` runs that are done.
///
/// Accuracies, or other scores named by `metric`, are shares from 0 to 1; a value that does not exist is
/// `null`.
pub fn document(analysis: &Analysis) -> Value {
    let study = &analysis.study;
    json!({
        "name": study.name,
        "question": study.question,
        "verdict": analysis.verdict.to_string(),
        "held": study.held,
        "metric": study.metric.name(),
        "reference": coordinates(&study.reference),
        "fixed": coordinates(&study.fixed),
        "axes": study.axes.iter().map(|axis| json!({ "name": axis.name, "values": axis.values })).collect::<Vec<_>>(),
        "points": SummaryRow::all(analysis).iter().map(point).collect::<Vec<_>>(),
        "runs": analysis.runs.iter().map(run).collect::<Vec<_>>(),
        "problems": analysis.problems,
    })
}

fn point(row: &SummaryRow<'_>) -> Value {
    let point = row.point;
    let ends = |interval: Interval| [interval.low, interval.high];
    let difference = |comparison: Option<Comparison>| comparison.map(|found| found.estimate.value);
    let around = |comparison: Option<Comparison>| comparison.map(|found| ends(found.interval));
    json!({
        "point": coordinates(&point.point),
        "label": point.label,
        "level": point.level,
        "group_width": point.group_width,
        "width": point.width,
        "parameters": point.costs.parameters,
        "macs": point.costs.macs,
        "activations": point.costs.activations,
        "finished": point.finished(),
        "diverged": point.diverged,
        "failed": point.failed,
        "missing": point.missing,
        "unusable": point.unusable,
        "accuracy_mean": point.mean,
        "accuracy_sd": point.sd,
        "accuracy_interval": point.interval.map(ends),
        "probability_best": point.probability_best,
        "above_reference": difference(row.above),
        "above_reference_interval": around(row.above),
        "p_holm": row.p_holm,
        "equal_within": row.above.and_then(|above| above.equal_within),
        "below_best": difference(row.below),
        "below_best_interval": around(row.below),
        "train_secs": point.train_secs,
        "images_per_sec": point.images_per_sec,
    })
}

fn run(run: &RunRow) -> Value {
    json!({
        "id": run.id,
        "point": coordinates(&run.point),
        "seed": run.seed,
        "outcome": run.outcome.word(),
        "detail": detail(&run.outcome),
        "accuracy": run.score(),
        "raw_accuracy": run.raw_score,
        "averaged_accuracy": run.averaged_score,
        "level": run.level,
        "group_width": run.group_width,
        "width": run.width,
        "parameters": run.costs.parameters,
        "macs": run.costs.macs,
        "activations": run.costs.activations,
        "steps": run.steps,
        "train_secs": run.train_secs,
        "images_per_sec": run.images_per_sec,
        "peak_bytes": run.peak_bytes,
    })
}

fn coordinates(point: &[(String, String)]) -> Value {
    point.iter().map(|(axis, value)| json!({ "axis": axis, "value": value })).collect()
}
