//! A report as one JSON document, for other programs.

use serde_json::{Value, json};

use crate::analysis::{Analysis, PointSummary, RunRow};
use crate::statistics::Interval;

/// An analysis as JSON: the question, the verdict, one row per point and one row per run.
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
        "points": analysis.points.iter().map(point).collect::<Vec<_>>(),
        "runs": analysis.runs.iter().map(run).collect::<Vec<_>>(),
        "problems": analysis.problems,
    })
}

fn point(point: &PointSummary) -> Value {
    json!({
        "point": coordinates(&point.point),
        "label": point.label,
        "level": point.level,
        "width": point.width,
        "parameters": point.costs.parameters,
        "macs": point.costs.macs,
        "activations": point.costs.activations,
        "finished": point.finished(),
        "diverged": point.diverged,
        "failed": point.failed,
        "missing": point.missing,
        "accuracy_mean": point.mean,
        "accuracy_sd": point.sd,
        "accuracy_interval": point.interval.map(|Interval { low, high, .. }| [low, high]),
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
        "accuracy": run.score(),
        "raw_accuracy": run.raw_score,
        "averaged_accuracy": run.averaged_score,
        "steps": run.steps,
        "train_secs": run.train_secs,
        "peak_bytes": run.peak_bytes,
    })
}

fn coordinates(point: &[(String, String)]) -> Value {
    point.iter().map(|(axis, value)| json!({ "axis": axis, "value": value })).collect()
}
