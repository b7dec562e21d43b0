//! The training loop.

use decouple_datasets::Dataset;
use decouple_experiment::{LedgerError, MetricsRow, Outcome, RunWriter, Status, Trial};
use decouple_spectrum::backend::Backend;

use crate::{
    checkpoint::{self, Owner},
    error::TrialError,
    keeper::{Keeper, Pace, Stop, save},
    progress::{News, Progress},
    run_sweep::Conduct,
    workers::alert,
};
use under_way::EpochEnd;
pub use under_way::Training;

/// Trains `trial` on `data` and scores it on the test images, unless `conduct` leaves them unread, writing one row per
/// epoch. `backend` executes
/// it on rayon's current pool. The rows and scores are a function of the trial's record and the data.
///
/// An epoch visits the training images in an order drawn from (seed, epoch), in whole batches: the few
/// images left over differ from epoch to epoch. Data order and augmentation do not depend on the network,
/// so every point of a sweep sees the same batches at the same seed.
///
/// An interrupted run continues from its newest sound checkpoint and ends with the same results as an
/// uninterrupted one.
///
/// # Errors
/// [`TrialError`]; whatever happens, rows and checkpoints that were written stay.
pub fn run_trial(
    trial: &Trial,
    index: usize,
    data: &Dataset,
    backend: &dyn Backend,
    writer: &mut RunWriter,
    conduct: &Conduct,
    progress: &Progress,
) -> Result<Status, TrialError> {
    let mut under_way = UnderWay::begin(trial, index, data, backend, writer, progress)?;
    let epochs = trial.record.training.epochs as u64;
    if let Some(diverged) = under_way.advance(epochs, writer, &conduct.stop, progress)? {
        return Ok(diverged);
    }
    under_way.finish(writer, conduct)
}

/// A trial that is trained some epochs at a time.
pub(crate) struct UnderWay<'a> {
    trial: &'a Trial,
    index: usize,
    run: Training<'a>,
    /// Epochs done.
    epochs: u64,
    /// After each of them, on validation images where some are held out.
    log_losses: Vec<f64>,
    owner: Owner,
    pace: Pace,
}

impl<'a> UnderWay<'a> {
    /// Starts, or continues from the newest sound checkpoint in the writer's folder.
    pub(crate) fn begin(
        trial: &'a Trial,
        index: usize,
        data: &'a Dataset,
        backend: &dyn Backend,
        writer: &mut RunWriter,
        progress: &Progress,
    ) -> Result<Self, TrialError> {
        let mut run = Training::new(trial, data, backend)?;
        let steps = trial.record.training.epochs as u64 * run.steps_per_epoch;
        progress.tell(index, News::Started { steps });
        let owner = Owner { run: trial.id, data: data.checksum.clone(), numerics: trial.numerics };
        let mut log_losses = Vec::new();
        let mut epochs = 0;
        if let Some(found) = newest_checkpoint(writer, &owner, index, progress)? {
            if run.restore(&found.state)? {
                let [metrics, timing] = &found.tables;
                log_losses = writer.restore([metrics, timing])?.iter().map(log_loss).collect();
                epochs = found.state.position.epochs;
                progress.tell(index, News::Resumed { step: found.state.position.step });
            } else {
                // The training is unchanged.
                let message = "its checkpoint is not of this network; it starts afresh".to_owned();
                progress.tell(index, News::Warned(message));
            }
        }
        let pace = Pace::new(run.state(0).arrays.iter().map(|array| 4 * array.values.len()).sum());
        Ok(Self { trial, index, run, epochs, log_losses, owner, pace })
    }

    /// Trains until `epochs` are done, writing one row each. Returns the status if it diverged.
    pub(crate) fn advance(
        &mut self,
        epochs: u64,
        writer: &mut RunWriter,
        stop: &Stop,
        progress: &Progress,
    ) -> Result<Option<Status>, TrialError> {
        while self.epochs < epochs {
            let (pace, owner, trial) = (&mut self.pace, &self.owner, self.index);
            let keeper = Keeper { writer, pace, owner, stop, trial, progress };
            match alert(|| self.run.train_epoch(self.epochs, keeper))? {
                EpochEnd::Whole => {}
                EpochEnd::Diverged { step } => {
                    return Ok(Some(self.run.status(Outcome::Diverged { step })));
                }
                EpochEnd::Stopped { step } => return Err(TrialError::Interrupted { step }),
            }
            let (metrics, timing) = self.run.rows(self.epochs)?;
            let score = metrics.score();
            writer.append(&metrics, &timing)?;
            self.epochs += 1;
            self.log_losses.push(log_loss(&metrics));
            progress.tell(self.index, News::Epoch { epoch: self.epochs, score });
        }
        Ok(None)
    }

    /// The validation log-losses after each epoch so far.
    pub(crate) fn log_losses(&self) -> &[f64] {
        &self.log_losses
    }

    /// Saves its present state.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(crate) fn save(&self, writer: &RunWriter) -> Result<(), LedgerError> {
        writer.check()?;
        let saved = save(writer, &self.owner, self.run.state(self.epochs));
        saved.map_err(LedgerError::io("save a checkpoint in", writer.dir()))
    }

    /// Scores the test images, unless they are left unread, and stores the result of each image and the weights.
    pub(crate) fn finish(mut self, writer: &RunWriter, conduct: &Conduct) -> Result<Status, TrialError> {
        let status = if conduct.leaves_test {
            let is_finite = self.log_losses.last().is_some_and(|loss| loss.is_finite());
            self.run.status(self.run.outcome(is_finite))
        } else {
            let (status, answers) = self.run.test()?;
            if status.outcome == Outcome::Finished {
                writer.write_per_image(&answers.correct, &answers.losses)?;
            }
            status
        };
        if status.outcome == Outcome::Finished {
            self.run.keep_weights(self.trial, writer)?;
        }
        Ok(status)
    }

    /// Ends it early. The test images are not read.
    pub(crate) fn stop(self) -> Status {
        self.run.status(Outcome::Stopped { epoch: self.epochs })
    }
}

/// The newest sound checkpoint of a run; damaged ones are reported.
fn newest_checkpoint(
    writer: &RunWriter,
    owner: &Owner,
    index: usize,
    progress: &Progress,
) -> Result<Option<checkpoint::Checkpoint>, LedgerError> {
    let found = checkpoint::newest(writer.disk(), writer.dir(), owner);
    let (found, warnings) = found.map_err(LedgerError::io("read the checkpoints in", writer.dir()))?;
    warnings.into_iter().for_each(|message| progress.tell(index, News::Warned(message)));
    Ok(found)
}

mod state;
#[cfg(test)]
mod tests;
mod under_way;

/// What a try is ranked by after an epoch: the log-loss on held-out images, the lower the better.
pub(crate) fn log_loss(row: &MetricsRow) -> f64 {
    row.validation_log_loss().filter(|loss| loss.is_finite()).unwrap_or(f64::INFINITY)
}
