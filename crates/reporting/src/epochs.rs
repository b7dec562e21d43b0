//! `epochs.csv`: all learning curves in one tidy table, for people who analyse
//! elsewhere.

use decouple_experiment::{Metric, MetricsRow, value_on};

use crate::analysis::{Analysis, RunRow};
use crate::csv_files::csv_text;

/// One row per epoch of every run, in the sweep's order.
///
/// Columns: `id`, the axes, `seed`, `outcome`, `epoch`, `step`, `train_loss`, `train_accuracy`,
/// `validation_accuracy` (empty where no images were held out), `metric` (what the latter holds: `accuracy`,
/// or `MAP@100` of a set with many labels per image). Accuracies are shares from 0 to 1.
pub fn epochs_csv(analysis: &Analysis) -> String {
    let axes: Vec<&str> = analysis.study.axes.iter().map(|axis| axis.name.as_str()).collect();
    let mut header = vec!["id"];
    header.extend(&axes);
    header.extend([
        "seed",
        "outcome",
        "epoch",
        "step",
        "train_loss",
        "train_accuracy",
        "validation_accuracy",
        "metric",
    ]);
    let metric = analysis.study.metric;
    let rows =
        analysis.runs.iter().flat_map(|run| run.epochs.iter().map(|epoch| cells(&axes, metric, run, epoch)));
    csv_text(header, rows)
}

fn cells(axes: &[&str], metric: Metric, run: &RunRow, epoch: &MetricsRow) -> Vec<String> {
    let mut cells = vec![run.id.clone()];
    cells.extend(axes.iter().map(|axis| value_on(&run.point, axis).unwrap_or_default().to_owned()));
    cells.extend([run.seed.to_string(), run.outcome.word().to_owned()]);
    cells.extend([epoch.epoch.to_string(), epoch.step.to_string()]);
    cells.extend([epoch.train_loss, epoch.train_accuracy].map(|value| value.to_string()));
    cells.push(epoch.validation().map_or(String::new(), |value| value.to_string()));
    cells.push(metric.to_string());
    cells
}
