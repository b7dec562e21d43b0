//! `epochs.csv`: all learning curves in one tidy table, for people who analyse
//! elsewhere.

use decouple_experiment::MetricsRow;

use crate::analysis::{Analysis, RunRow};
use crate::csv_files::{Column, of_runs, optional};

/// One row per epoch of every run, in the sweep's order.
///
/// Columns: `id`, the axes, `seed`, `outcome`, `epoch`, `step`, `train_loss`, `train_accuracy`,
/// `validation_accuracy` (empty where no images were held out), `metric` (what the latter holds: `accuracy`,
/// or `MAP@100` of a set with many labels per image). Accuracies are shares from 0 to 1.
pub fn epochs_csv(analysis: &Analysis) -> String {
    let columns: [Column<(&RunRow, &MetricsRow)>; 7] = [
        ("seed", |(run, _)| run.seed.to_string()),
        ("outcome", |(run, _)| run.outcome.word().to_owned()),
        ("epoch", |(_, epoch)| epoch.epoch.to_string()),
        ("step", |(_, epoch)| epoch.step.to_string()),
        ("train_loss", |(_, epoch)| epoch.train_loss.to_string()),
        ("train_accuracy", |(_, epoch)| epoch.train_accuracy.to_string()),
        ("validation_accuracy", |(_, epoch)| optional(epoch.validation())),
    ];
    let epochs = analysis.runs.iter().flat_map(|run| run.epochs.iter().map(move |epoch| (run, epoch)));
    of_runs(analysis, epochs, |(run, _)| run, columns)
}
