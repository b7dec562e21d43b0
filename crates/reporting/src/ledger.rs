//! From a sweep and the runs on disk to an [`Analysis`].

use decouple_experiment::{Contents, MetricsRow, Outcome, Run, Scores, Sweep, Trial};

use crate::analysis::{Analysis, Axis, Costs, Epoch, RunOutcome, RunRow, Study, label, summarise};

/// Analyses the runs of a sweep.
///
/// Every trial of the sweep is shown, run or not. A run on disk that belongs to no trial of the sweep is
/// left out and named among the problems, as is every folder that could not be read.
/// Cost: a few milliseconds for a hundred runs; the bootstrap dominates.
pub fn analyse(sweep: &Sweep, contents: &Contents) -> Analysis {
    let rows: Vec<RunRow> = sweep
        .trials
        .iter()
        .map(|trial| row(trial, contents.runs.iter().find(|run| run.id == trial.id)))
        .collect();
    let mut problems = sweep.warnings.clone();
    problems.extend(contents.problems.iter().map(|p| format!("{}: {}", p.path.display(), p.message)));
    let foreign = contents.runs.iter().filter(|run| sweep.trials.iter().all(|trial| trial.id != run.id));
    problems.extend(foreign.map(|run| {
        format!("{}: belongs to no trial of this experiment file and is left out", run.dir.display())
    }));
    problems.extend(rows.iter().filter_map(trouble));
    summarise(study(sweep, contents), rows, problems)
}

fn study(sweep: &Sweep, contents: &Contents) -> Study {
    let epochs: Vec<usize> = sweep.trials.iter().map(|trial| trial.record.training.epochs).collect();
    let scores = contents.runs.iter().filter_map(|run| run.status.as_ref()?.test.as_ref());
    let axes = sweep.axes.iter().filter(|axis| axis.name != "seed");
    Study {
        name: sweep.name.clone(),
        question: sweep.question.split_whitespace().collect::<Vec<_>>().join(" "),
        axes: axes.map(|axis| Axis { name: axis.name.clone(), values: axis.values.clone() }).collect(),
        reference: sweep.reference.clone(),
        held: sweep.budget.map(|quantity| quantity.to_string()),
        data: sweep.trials.first().map_or(String::new(), |trial| trial.record.data.source.set().to_string()),
        epochs: epochs.first().copied().filter(|first| epochs.iter().all(|epoch| epoch == first)),
        test_images: scores.map(|scores| scores.images).next(),
    }
}

fn row(trial: &Trial, run: Option<&Run>) -> RunRow {
    let status = run.and_then(|run| run.status.as_ref());
    let accuracy = |scores: &Option<Scores>| scores.as_ref().map(|scores| scores.accuracy);
    RunRow {
        id: trial.id.to_string(),
        point: trial.point.clone(),
        seed: trial.seed(),
        outcome: match status.map(|status| &status.outcome) {
            None => RunOutcome::Missing,
            Some(Outcome::Finished) => RunOutcome::Finished,
            Some(Outcome::Diverged { step }) => RunOutcome::Diverged { step: *step },
            Some(Outcome::Failed { message }) => RunOutcome::Failed { message: message.clone() },
        },
        level: trial.level,
        width: trial.budget.as_ref().map(|budget| budget.width),
        costs: Costs {
            parameters: trial.cost.parameters,
            macs: trial.cost.macs,
            activations: trial.cost.activations,
        },
        raw_accuracy: status.and_then(|status| accuracy(&status.test)),
        averaged_accuracy: status.and_then(|status| accuracy(&status.averaged_test)),
        steps: status.map(|status| status.steps),
        train_secs: status.map(|status| status.train_secs),
        images_per_sec: status.map(|status| status.images_per_sec),
        peak_bytes: status.and_then(|status| status.peak_bytes),
        epochs: run.map_or(Vec::new(), |run| run.metrics.iter().map(epoch).collect()),
    }
}

fn epoch(row: &MetricsRow) -> Epoch {
    Epoch {
        epoch: row.epoch,
        train_loss: row.train_loss,
        train_accuracy: row.train_accuracy,
        validation_accuracy: row.averaged_validation_accuracy.or(row.validation_accuracy),
    }
}

/// What went wrong with a run, in a sentence.
fn trouble(run: &RunRow) -> Option<String> {
    let who = format!("{}, seed {} ({})", label(&run.point), run.seed, run.id);
    match &run.outcome {
        RunOutcome::Diverged { step } => Some(format!("{who}: the loss stopped being finite at step {step}")),
        RunOutcome::Failed { message } => Some(format!("{who}: {message}")),
        RunOutcome::Finished | RunOutcome::Missing => None,
    }
}
