//! `runs.csv` and `summary.csv`: every number at full precision, for other programs.
//!
//! Floats are written as the shortest text that reads back to the same bits. An empty cell means that the
//! value does not exist. Accuracies and their differences are shares from 0 to 1.

use decouple_experiment::{Metric, Outcome, inert_cell, value_on};

use crate::analysis::{Analysis, Comparison, PointSummary, RunOutcome, RunRow, Study};

/// A column: its name, and its cell in a row.
pub(crate) type Column<R> = (&'static str, fn(R) -> String);

/// `runs.csv`: one row per run, in the sweep's order.
///
/// Columns: `id`, the axes, `seed`, `outcome` (finished, diverged, stopped, failed, unfinished, missing,
/// unusable), `detail` (step or message), `accuracy` (of the averaged weights where kept), `raw_accuracy`,
/// `averaged_accuracy`, `level`, `width`, `parameters`, `macs`, `activations`, `steps`, `train_secs`,
/// `images_per_sec`, `peak_bytes`, `metric` (what the columns of accuracies hold: `accuracy`, or `MAP@100` of
/// a set with many labels per image).
pub fn runs_csv(analysis: &Analysis) -> String {
    let columns: [Column<&RunRow>; 15] = [
        ("seed", |run| run.seed.to_string()),
        ("outcome", |run| run.outcome.word().to_owned()),
        ("detail", |run| detail(&run.outcome)),
        ("accuracy", |run| optional(run.score())),
        ("raw_accuracy", |run| optional(run.raw_score)),
        ("averaged_accuracy", |run| optional(run.averaged_score)),
        ("level", |run| run.level.to_string()),
        ("width", |run| optional(run.width)),
        ("parameters", |run| run.costs.parameters.to_string()),
        ("macs", |run| run.costs.macs.to_string()),
        ("activations", |run| run.costs.activations.to_string()),
        ("steps", |run| optional(run.steps)),
        ("train_secs", |run| optional(run.train_secs)),
        ("images_per_sec", |run| optional(run.images_per_sec)),
        ("peak_bytes", |run| optional(run.peak_bytes)),
    ];
    of_runs(analysis, analysis.runs.iter(), |run| run, columns)
}

/// A table about runs: their ids and axes, `columns`, and the name of the score. `run` says of which run a row is.
pub(crate) fn of_runs<'a, R: Copy, const N: usize>(
    analysis: &'a Analysis,
    rows: impl Iterator<Item = R>,
    run: fn(R) -> &'a RunRow,
    columns: [Column<R>; N],
) -> String {
    let names = axis_columns(&analysis.study).chain(columns.map(|(name, _)| name));
    let header = ["id"].into_iter().chain(names).chain(["metric"]);
    let rows = rows.map(|row| {
        let mut cells = vec![run(row).id.clone()];
        cells.extend(axis_cells(&analysis.study, &run(row).point));
        cells.extend(columns.map(|(_, cell)| cell(row)));
        cells.push(analysis.study.metric.to_string());
        cells
    });
    csv_text(header, rows)
}

/// The columns of a study's axes, those of a single value first.
fn axis_columns(study: &Study) -> impl Iterator<Item = &str> {
    study.fixed.iter().map(|(axis, _)| axis.as_str()).chain(study.axis_names())
}

/// The cells of a point in these columns.
fn axis_cells<'a>(study: &'a Study, point: &'a [(String, String)]) -> impl Iterator<Item = String> + 'a {
    let varied = study.axis_names().map(|axis| value_on(point, axis).unwrap_or_default().to_owned());
    study.fixed.iter().map(|(_, value)| value.clone()).chain(varied)
}

pub(crate) fn detail(outcome: &RunOutcome) -> String {
    match outcome {
        RunOutcome::Over(Outcome::Diverged { step }) => format!("step {step}"),
        RunOutcome::Over(Outcome::Stopped { epoch }) | RunOutcome::Unfinished { epochs: epoch } => {
            format!("epoch {epoch}")
        }
        RunOutcome::Over(Outcome::Failed { message }) | RunOutcome::Unusable { message } => message.clone(),
        RunOutcome::Over(Outcome::Finished) | RunOutcome::Missing => String::new(),
    }
}

/// `summary.csv`: one row per point, in the sweep's order.
///
/// Columns: the axes, `level`, `width`, `parameters`, `macs`, `activations`, `n` (finished seeds),
/// `diverged`, `failed`, `missing` (not done, or not usable), `accuracy_mean`, `accuracy_sd`, `accuracy_low` and
/// `accuracy_high` (95 % interval of the mean), `probability_best`, `above_reference` with `above_reference_low` and
/// `above_reference_high` (this point minus the reference, jointly over all pairs of its contest at 95 %), `p_holm`
/// of that comparison, `equal_within` (margin of two one-sided tests at 5 %), `below_best` with `below_best_low` and
/// `below_best_high` (how far the best point is above this one, likewise), `train_secs`, `images_per_sec`, `metric`
/// (what the columns of accuracies hold).
pub fn summary_csv(analysis: &Analysis) -> String {
    let columns: [Column<&SummaryRow<'_>>; 25] = [
        ("level", |row| row.point.level.to_string()),
        ("width", |row| optional(row.point.width)),
        ("parameters", |row| row.point.costs.parameters.to_string()),
        ("macs", |row| row.point.costs.macs.to_string()),
        ("activations", |row| row.point.costs.activations.to_string()),
        ("n", |row| row.point.finished().to_string()),
        ("diverged", |row| row.point.diverged.to_string()),
        ("failed", |row| row.point.failed.to_string()),
        ("missing", |row| row.point.missing.to_string()),
        ("accuracy_mean", |row| optional(row.point.mean)),
        ("accuracy_sd", |row| optional(row.point.sd)),
        ("accuracy_low", |row| optional(row.point.interval.map(|interval| interval.low))),
        ("accuracy_high", |row| optional(row.point.interval.map(|interval| interval.high))),
        ("probability_best", |row| optional(row.point.probability_best)),
        ("above_reference", |row| optional(row.above.map(|above| above.estimate.value))),
        ("above_reference_low", |row| optional(row.above.map(|above| above.interval.low))),
        ("above_reference_high", |row| optional(row.above.map(|above| above.interval.high))),
        ("p_holm", |row| optional(row.p_holm)),
        ("equal_within", |row| optional(row.above.and_then(|above| above.equal_within))),
        ("below_best", |row| optional(row.below.map(|below| below.estimate.value))),
        ("below_best_low", |row| optional(row.below.map(|below| below.interval.low))),
        ("below_best_high", |row| optional(row.below.map(|below| below.interval.high))),
        ("train_secs", |row| optional(row.point.train_secs)),
        ("images_per_sec", |row| optional(row.point.images_per_sec)),
        ("metric", |row| row.metric.to_string()),
    ];
    let header = axis_columns(&analysis.study).chain(columns.map(|(name, _)| name));
    let rows = SummaryRow::all(analysis);
    let rows = rows.iter().map(|row| {
        axis_cells(&analysis.study, &row.point.point).chain(columns.map(|(_, cell)| cell(row))).collect()
    });
    csv_text(header, rows)
}

/// A point and what it is compared with.
pub(crate) struct SummaryRow<'a> {
    pub(crate) point: &'a PointSummary,
    metric: Metric,
    /// Against the reference of its contest.
    pub(crate) above: Option<Comparison>,
    pub(crate) p_holm: Option<f64>,
    /// Against the best point of its contest.
    pub(crate) below: Option<Comparison>,
}

impl<'a> SummaryRow<'a> {
    /// One row per point, in the sweep's order.
    pub(crate) fn all(analysis: &'a Analysis) -> Vec<Self> {
        analysis.points.iter().enumerate().map(|(index, point)| Self::of(analysis, index, point)).collect()
    }

    fn of(analysis: &Analysis, index: usize, point: &'a PointSummary) -> Self {
        let mut references = analysis.contests.iter().flat_map(|contest| &contest.against_reference);
        let reference = references.find(|row| row.comparison.point == index);
        let mut comparisons = analysis.contests.iter().flat_map(|contest| &contest.comparisons);
        Self {
            point,
            metric: analysis.study.metric,
            above: reference.map(|row| row.comparison),
            p_holm: reference.and_then(|row| row.p_holm),
            below: comparisons.find(|comparison| comparison.point == index).copied(),
        }
    }
}

pub(crate) fn optional<T: ToString>(value: Option<T>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

fn csv_text<'a>(header: impl Iterator<Item = &'a str>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |cells: Vec<String>| {
        let cells = cells.into_iter().map(inert_cell);
        writer.write_record(cells).expect("writing to memory fails only on rows of unequal length");
    };
    write(header.map(str::to_owned).collect());
    rows.for_each(&mut write);
    let bytes = writer.into_inner().expect("flushing to memory cannot fail");
    String::from_utf8(bytes).expect("only text was written")
}
