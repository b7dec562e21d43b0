//! `runs.csv` and `summary.csv`: every number at full precision, for other programs.
//!
//! Floats are written as the shortest text that reads back to the same bits. An empty cell means that the
//! value does not exist. Accuracies and their differences are shares from 0 to 1.

use decouple_experiment::{Outcome, inert_cell, value_on};

use crate::analysis::{Analysis, PointSummary, RunOutcome, RunRow};
use crate::statistics::Interval;

/// `runs.csv`: one row per run, in the sweep's order.
///
/// Columns: `id`, the axes, `seed`, `outcome` (finished, diverged, stopped, failed, unfinished, missing,
/// unusable), `detail` (step or message), `accuracy` (of the averaged weights where kept), `raw_accuracy`,
/// `averaged_accuracy`, `level`, `width`, `parameters`, `macs`, `activations`, `steps`, `train_secs`,
/// `images_per_sec`, `peak_bytes`, `metric` (what the columns of accuracies hold: `accuracy`, or `MAP@100` of
/// a set with many labels per image).
pub fn runs_csv(analysis: &Analysis) -> String {
    let mut header = vec!["id"];
    header.extend(analysis.study.axes.iter().map(|axis| axis.name.as_str()));
    header.extend(["seed", "outcome", "detail", "accuracy", "raw_accuracy", "averaged_accuracy", "level"]);
    header.extend(["width", "parameters", "macs", "activations", "steps", "train_secs", "images_per_sec"]);
    header.extend(["peak_bytes", "metric"]);
    let rows = analysis.runs.iter().map(|run| run_cells(analysis, run));
    csv_text(header, rows)
}

fn run_cells(analysis: &Analysis, run: &RunRow) -> Vec<String> {
    let value = |axis: &str| value_on(&run.point, axis).unwrap_or_default().to_owned();
    let mut cells = vec![run.id.clone()];
    cells.extend(analysis.study.axes.iter().map(|axis| value(&axis.name)));
    cells.push(run.seed.to_string());
    cells.push(run.outcome.word().to_owned());
    cells.push(match &run.outcome {
        RunOutcome::Over(Outcome::Diverged { step }) => format!("step {step}"),
        RunOutcome::Over(Outcome::Stopped { epoch }) | RunOutcome::Unfinished { epochs: epoch } => {
            format!("epoch {epoch}")
        }
        RunOutcome::Over(Outcome::Failed { message }) | RunOutcome::Unusable { message } => message.clone(),
        RunOutcome::Over(Outcome::Finished) | RunOutcome::Missing => String::new(),
    });
    cells.extend([run.score(), run.raw_score, run.averaged_score].map(optional));
    cells.extend([run.level.to_string(), optional(run.width)]);
    cells.extend([run.costs.parameters, run.costs.macs, run.costs.activations].map(|n| n.to_string()));
    cells.push(optional(run.steps));
    cells.extend([optional(run.train_secs), optional(run.images_per_sec), optional(run.peak_bytes)]);
    cells.push(analysis.study.metric.to_string());
    cells
}

/// `summary.csv`: one row per point, in the sweep's order.
///
/// Columns: the axes, `level`, `width`, `parameters`, `macs`, `activations`, `n` (finished seeds),
/// `diverged`, `failed`, `missing`, `accuracy_mean`, `accuracy_sd`, `accuracy_low` and `accuracy_high` (95 %
/// interval of the mean), `probability_best`, `above_reference` with `above_reference_low` and
/// `above_reference_high` (this point minus the reference, jointly over all pairs at 95 %), `p_holm` of that
/// comparison, `equal_within` (margin of two one-sided tests at 5 %), `below_best` with `below_best_low` and
/// `below_best_high` (how far the best point is above this one, jointly over all pairs at 95 %),
/// `train_secs`, `images_per_sec`, `metric` (what the columns of accuracies hold).
pub fn summary_csv(analysis: &Analysis) -> String {
    let mut header: Vec<&str> = analysis.study.axes.iter().map(|axis| axis.name.as_str()).collect();
    header.extend(["level", "width", "parameters", "macs", "activations"]);
    header.extend(["n", "diverged", "failed", "missing"]);
    header.extend(["accuracy_mean", "accuracy_sd", "accuracy_low", "accuracy_high"]);
    header.extend(["probability_best"]);
    header.extend([
        "above_reference",
        "above_reference_low",
        "above_reference_high",
        "p_holm",
        "equal_within",
    ]);
    header.extend(["below_best", "below_best_low", "below_best_high", "train_secs", "images_per_sec"]);
    header.push("metric");
    let rows = (0..analysis.points.len()).map(|index| point_cells(analysis, index));
    csv_text(header, rows)
}

fn point_cells(analysis: &Analysis, index: usize) -> Vec<String> {
    let point: &PointSummary = &analysis.points[index];
    let comparison = (analysis.contests.iter())
        .flat_map(|contest| &contest.comparisons)
        .find(|comparison| comparison.point == index);
    let ends = |interval: Option<Interval>| [interval.map(|i| i.low), interval.map(|i| i.high)].map(optional);
    let mut cells: Vec<String> = (analysis.study.axes.iter())
        .map(|axis| point.value(&axis.name).unwrap_or_default().to_owned())
        .collect();
    cells.extend([point.level.to_string(), optional(point.width)]);
    cells.extend([point.costs.parameters, point.costs.macs, point.costs.activations].map(|n| n.to_string()));
    cells.extend([point.finished(), point.diverged, point.failed, point.missing].map(|n| n.to_string()));
    cells.extend([point.mean, point.sd].map(optional));
    cells.extend(ends(point.interval));
    cells.push(optional(point.probability_best));
    let reference = (analysis.contests.iter())
        .flat_map(|contest| &contest.against_reference)
        .find(|row| row.comparison.point == index);
    let above = reference.map(|row| row.comparison);
    cells.push(optional(above.map(|above| above.estimate.value)));
    cells.extend(ends(above.map(|above| above.interval)));
    cells.push(optional(reference.and_then(|row| row.p_holm)));
    cells.push(optional(above.and_then(|above| above.equal_within)));
    cells.push(optional(comparison.map(|comparison| comparison.estimate.value)));
    cells.extend(ends(comparison.map(|comparison| comparison.interval)));
    cells.extend([point.train_secs, point.images_per_sec].map(optional));
    cells.push(analysis.study.metric.to_string());
    cells
}

fn optional<T: ToString>(value: Option<T>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

pub(crate) fn csv_text(header: Vec<&str>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |cells: Vec<String>| {
        let cells = cells.into_iter().map(inert_cell);
        writer.write_record(cells).expect("writing to memory fails only on rows of unequal length");
    };
    write(header.into_iter().map(str::to_owned).collect());
    rows.for_each(&mut write);
    let bytes = writer.into_inner().expect("flushing to memory cannot fail");
    String::from_utf8(bytes).expect("only text was written")
}
