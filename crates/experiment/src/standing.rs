//! The progress of an experiment, read from its folder by anybody at any time.

use std::collections::{HashMap, HashSet};

use crate::{Ledger, LedgerError, MetricsRow, Outcome, Problem, RunId, RunState, Status, TimingRow, Trial};

/// The progress of an experiment's trials.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// All trials in question.
    pub trials: usize,
    /// Trained to the end.
    pub finished: usize,
    /// Ended by a loss that was not finite.
    pub diverged: usize,
    /// Stopped, since others of their point were ahead.
    pub stopped: usize,
    /// Could not be carried out.
    pub failed: usize,
    /// Being trained now.
    pub running: Vec<Running>,
    /// Started or asked for again, but nobody is training them now.
    pub cut_off: usize,
    /// Never begun.
    pub new: usize,
    /// Runs that cannot be read, and why.
    pub unreadable: Vec<Problem>,
    /// Seconds until all trials have ended, at the pace so far and with as many at a time as
    /// now (one, if there is none); `None` until a run gives the pace.
    pub secs_left: Option<f64>,
    /// The finished run with the highest test score; of tries none.
    pub best: Option<Best>,
}

/// A trial that is being trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// Its name.
    pub id: RunId,
    /// Its point and seed, as a label.
    pub label: String,
    /// Epochs done.
    pub epochs_done: u64,
    /// Epochs in all.
    pub epochs: u64,
    /// After the last of them: on held-out images, or in training if there are none.
    pub score: Option<f64>,
    /// Seconds of training left, at the pace of the epochs so far.
    pub secs_left: Option<f64>,
}

/// The best finished run.
#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    /// Its name.
    pub id: RunId,
    /// Its point and seed, as a label.
    pub label: String,
    /// Its test score.
    pub score: f64,
}

impl Standing {
    /// Trials that have ended, however they did.
    pub fn over(&self) -> usize {
        self.finished + self.diverged + self.stopped + self.failed
    }

    /// Trials that have not ended and that nobody trains.
    pub fn left(&self) -> usize {
        self.cut_off + self.new
    }
}

/// Watches an experiment; runs that have ended are read once.
#[derive(Clone, Debug, Default)]
pub struct Onlooker {
    over: HashMap<RunId, Status>,
    /// Whether the trials are tries, whose recipes differ and whose test scores have no part in the choice.
    are_tries: bool,
    /// Whether those of a point take turns, as tries that are halved do.
    take_turns: bool,
    /// Whether a run that halving has stopped is trained to its end.
    ends_stopped: bool,
}

impl Onlooker {
    /// Of tries, which `halving` trains one at a time of each point.
    pub fn of_tries(halving: bool) -> Self {
        Self { are_tries: true, take_turns: halving, ends_stopped: !halving, ..Self::default() }
    }

    /// Of the best tries with more seeds, which `halving` does not stop, nor take turns.
    pub fn of_finals(halving: bool) -> Self {
        Self { take_turns: false, ..Self::of_tries(halving) }
    }

    /// The progress of `trials` now.
    ///
    /// # Errors
    /// If the folder cannot be listed or a lock not looked at. A run that cannot be read is counted as such.
    pub fn look(&mut self, trials: &[&Trial], ledger: &Ledger) -> Result<Standing, LedgerError> {
        let mut standing = Standing { trials: trials.len(), ..Standing::default() };
        let mut pace = Pace::default();
        let mut unfinished = Vec::new();
        let mut points = HashSet::new();
        let scan = ledger.scan()?;
        for trial in trials {
            let state = match self.over.get(&trial.id) {
                Some(status) => RunState::Done(Box::new(status.clone())),
                None => scan.state(trial)?,
            };
            match state {
                RunState::Done(status)
                    if self.ends_stopped && matches!(status.outcome, Outcome::Stopped { .. }) =>
                {
                    standing.cut_off += 1;
                    unfinished.push((*trial, 0));
                }
                RunState::Done(status) => {
                    standing.count(trial, &status);
                    pace.learn(trial, &status);
                    self.over.entry(trial.id).or_insert(*status);
                }
                RunState::Damaged(problem) => standing.unreadable.push(problem),
                RunState::Running => {
                    // Its first files may not exist yet.
                    let rows = ledger.run_under_way(trial).map(|run| (run.metrics, run.timing));
                    let (metrics, timing) = rows.unwrap_or_default();
                    pace.learn_rows(trial, &metrics, &timing);
                    let label = if self.are_tries { trial.label_of_try() } else { trial.label() };
                    standing.running.push(Running::of(trial, label, &metrics, &timing));
                    points.insert(&trial.point);
                    unfinished.push((*trial, metrics.len()));
                }
                RunState::Partial => {
                    standing.cut_off += 1;
                    unfinished.push((*trial, 0));
                }
                RunState::New => {
                    standing.new += 1;
                    unfinished.push((*trial, 0));
                }
            }
        }
        if self.are_tries {
            standing.best = None;
        }
        let at_a_time = if self.take_turns { points.len() } else { standing.running.len() };
        standing.secs_left = pace.secs(&unfinished).map(|secs| secs / at_a_time.max(1) as f64);
        Ok(standing)
    }
}

impl Standing {
    fn count(&mut self, trial: &Trial, status: &Status) {
        match status.outcome {
            Outcome::Finished => self.finished += 1,
            Outcome::Diverged { .. } => self.diverged += 1,
            Outcome::Stopped { .. } => self.stopped += 1,
            Outcome::Failed { .. } => self.failed += 1,
        }
        let Some(score) = status.score() else { return };
        if self.best.as_ref().is_none_or(|best| score > best.score) {
            self.best = Some(Best { id: trial.id, label: trial.label(), score });
        }
    }
}

impl Running {
    fn of(trial: &Trial, label: String, metrics: &[MetricsRow], timing: &[TimingRow]) -> Self {
        let epochs = trial.record.training.epochs as u64;
        let epochs_done = metrics.last().map_or(0, |row| row.epoch);
        let secs: f64 = timing.iter().map(|row| row.wall_secs).sum();
        let secs_left = (!timing.is_empty())
            .then(|| secs / timing.len() as f64 * epochs.saturating_sub(epochs_done) as f64);
        let score = metrics.last().map(MetricsRow::score);
        Self { id: trial.id, label, epochs_done, epochs, score, secs_left }
    }
}

/// The pace of trials so far, from which the time of the others is estimated.
#[derive(Default)]
struct Pace {
    /// Seconds per multiply-add of each run.
    secs_per_mac: Vec<f64>,
    /// Images per epoch of each run, for trials whose record does not say how many there are.
    images: Vec<f64>,
}

impl Pace {
    fn learn(&mut self, trial: &Trial, status: &Status) {
        // A set smaller than a batch makes smaller steps.
        let images = status.images_per_sec * status.train_secs;
        if matches!(status.outcome, Outcome::Finished) {
            self.note(trial, status.train_secs, images, trial.record.training.epochs as f64);
        }
    }

    fn learn_rows(&mut self, trial: &Trial, metrics: &[MetricsRow], timing: &[TimingRow]) {
        let secs: f64 = timing.iter().map(|row| row.wall_secs).sum();
        if let Some(last) = metrics.last() {
            self.note(trial, secs, last.samples as f64, last.epoch as f64);
        }
    }

    fn note(&mut self, trial: &Trial, secs: f64, images: f64, epochs: f64) {
        let secs_per_mac = secs / (images * trial.cost.macs as f64);
        if secs_per_mac.is_finite() && secs_per_mac > 0.0 && epochs > 0.0 {
            self.secs_per_mac.push(secs_per_mac);
            self.images.push(images / epochs);
        }
    }

    /// Seconds of all `unfinished` trials, each with the epochs that it has done.
    fn secs(mut self, unfinished: &[(&Trial, usize)]) -> Option<f64> {
        if unfinished.is_empty() {
            return Some(0.0);
        }
        let (secs_per_mac, images) = (median(&mut self.secs_per_mac)?, median(&mut self.images)?);
        let macs = |(trial, done): &(&Trial, usize)| {
            let images = trial.record.data.stated_train_images().map_or(images, |stated| stated as f64);
            trial.record.training.epochs.saturating_sub(*done) as f64 * images * trial.cost.macs as f64
        };
        Some(secs_per_mac * unfinished.iter().map(macs).sum::<f64>())
    }
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests;
