//! The loop over trials: several at a time, each exactly once.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use decouple_datasets::{DataSpec, Dataset};
use decouple_experiment::{
    Claim, Environment, FORMAT, Ledger, LedgerError, Outcome, RunWriter, Status, Trial, timestamp,
};

use crate::{
    memory::{Admission, Needs},
    progress::{Event, Progress},
    trial::{TrialError, run_trial},
};

/// How a sweep uses the machine. Results do not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers {
    /// Trials trained at the same time.
    pub jobs: usize,
    /// Threads that each of them has.
    pub threads: usize,
    /// Bytes that all of them may need together, by estimate; without a limit all run
    /// at once.
    pub memory: Option<u64>,
}

impl Workers {
    /// Shares `cores` among `trials`: one core a trial as long as there are
    /// enough of them, since whole trials need no waiting for each other.
    pub fn share(cores: usize, trials: usize, jobs: Option<usize>) -> Self {
        let jobs = jobs.unwrap_or(cores).clamp(1, trials.max(1));
        Self { jobs, threads: (cores / jobs).max(1), memory: None }
    }
}

/// Data sets that the trials of a sweep name, each loaded once.
#[derive(Clone, Debug, Default)]
pub struct LoadedData(Vec<(DataSpec, Arc<Dataset>)>);

impl LoadedData {
    /// Loads what `trials` name with `load`.
    ///
    /// # Errors
    /// The first error of `load`.
    pub fn load<E>(trials: &[&Trial], load: impl Fn(&DataSpec) -> Result<Dataset, E>) -> Result<Self, E> {
        let mut loaded: Vec<(DataSpec, Arc<Dataset>)> = Vec::new();
        for trial in trials {
            let spec = &trial.record.data;
            if loaded.iter().all(|(known, _)| known != spec) {
                loaded.push((spec.clone(), Arc::new(load(spec)?)));
            }
        }
        Ok(Self(loaded))
    }

    /// Bytes of all images.
    pub fn bytes(&self) -> u64 {
        let of = |data: &Dataset| [&data.train, &data.validation, &data.test].map(|split| split.images.len());
        self.0.iter().flat_map(|(_, data)| of(data)).sum::<usize>() as u64
    }

    /// The data of `trial`, if it was among those loaded for.
    pub fn of(&self, trial: &Trial) -> Option<&Dataset> {
        self.0.iter().find(|(spec, _)| *spec == trial.record.data).map(|(_, data)| &**data)
    }
}

/// What became of the trials of a sweep, in this call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Trained to the end.
    pub finished: usize,
    /// Ended by a loss that was not finite.
    pub diverged: usize,
    /// Stopped, since others were ahead.
    pub stopped: usize,
    /// Could not be carried out.
    pub failed: usize,
    /// Had ended before.
    pub earlier: usize,
    /// Those of them that had diverged or failed.
    pub earlier_lost: usize,
    /// In the hands of another runner.
    pub taken: usize,
}

/// Why a sweep stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The results folder cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The threads of a worker could not be started.
    #[error("cannot start threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

/// Trains every trial that is not over yet. Trials are claimed one by one
/// through the ledger's locks, so any number of sweeps may work on one folder.
/// A trial that diverges or fails is recorded as such, and the sweep goes on.
///
/// # Errors
/// [`SweepError`] if the ledger cannot be read or written; trials that are done
/// stay done.
pub fn run_sweep(
    trials: &[&Trial],
    ledger: &Ledger,
    data: &LoadedData,
    workers: Workers,
    environment: &Environment,
    progress: &Progress,
) -> Result<SweepReport, SweepError> {
    let runner = Runner { ledger, data, environment, progress };
    let admission = Admission::new(workers.memory);
    let mut needs = Needs::default();
    let needs: Vec<u64> =
        trials.iter().map(|trial| needs.of(trial, data.of(trial).map(|data| data.train.len()))).collect();
    share_out(workers, trials.len(), |index, report| {
        let _room = admission.enter(needs[index]);
        runner.one(trials[index], index, report)
    })
}

/// What all trials of a sweep are run with.
#[derive(Clone, Copy)]
pub(crate) struct Runner<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) data: &'a LoadedData,
    pub(crate) environment: &'a Environment,
    pub(crate) progress: &'a Progress,
}

/// Does `work` for each of `pieces`, on the workers' threads.
pub(crate) fn share_out(
    workers: Workers,
    pieces: usize,
    work: impl Fn(usize, &mut SweepReport) -> Result<(), SweepError> + Sync,
) -> Result<SweepReport, SweepError> {
    let next = AtomicUsize::new(0);
    let worker = || -> Result<SweepReport, SweepError> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(workers.threads).build()?;
        let mut report = SweepReport::default();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= pieces {
                return Ok(report);
            }
            pool.install(|| work(index, &mut report))?;
        }
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers.jobs).map(|_| scope.spawn(worker)).collect();
        let mut total = SweepReport::default();
        for handle in handles {
            match handle.join() {
                Ok(report) => total = total.plus(report?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(total)
    })
}

impl SweepReport {
    /// Counts a run that has just ended.
    pub(crate) fn count(&mut self, status: &Status) {
        match status.outcome {
            Outcome::Finished => self.finished += 1,
            Outcome::Diverged { .. } => self.diverged += 1,
            Outcome::Stopped { .. } => self.stopped += 1,
            Outcome::Failed { .. } => self.failed += 1,
        }
    }

    /// Counts a run that had ended before.
    pub(crate) fn count_earlier(&mut self, status: &Status) {
        let is_lost = matches!(status.outcome, Outcome::Diverged { .. } | Outcome::Failed { .. });
        self.earlier += 1;
        self.earlier_lost += usize::from(is_lost);
    }

    fn plus(self, other: Self) -> Self {
        Self {
            finished: self.finished + other.finished,
            diverged: self.diverged + other.diverged,
            stopped: self.stopped + other.stopped,
            failed: self.failed + other.failed,
            earlier: self.earlier + other.earlier,
            earlier_lost: self.earlier_lost + other.earlier_lost,
            taken: self.taken + other.taken,
        }
    }
}

impl Runner<'_> {
    /// One trial, from the claim to its status.
    fn one(&self, trial: &Trial, index: usize, report: &mut SweepReport) -> Result<(), SweepError> {
        let Some(mut writer) = self.claim(trial, index, report)? else { return Ok(()) };
        let status = match self.data_of(trial, &writer)? {
            Some(data) => guarded(|| run_trial(trial, index, data, &mut writer, self.progress))
                .unwrap_or_else(|failed| *failed),
            None => failed("its data set was not loaded".to_owned()),
        };
        self.end(index, writer, status, report)
    }

    /// Takes a trial, unless it is done or taken, which is counted and told.
    pub(crate) fn claim(
        &self,
        trial: &Trial,
        index: usize,
        report: &mut SweepReport,
    ) -> Result<Option<RunWriter>, SweepError> {
        match self.ledger.claim(trial)? {
            Claim::Mine(writer) => return Ok(Some(*writer)),
            Claim::Taken => {
                report.taken += 1;
                self.progress.tell(Event::Taken { trial: index });
            }
            Claim::Done(status) => {
                report.count_earlier(&status);
                self.progress.tell(Event::Ended { trial: index, status, earlier: true });
            }
        }
        Ok(None)
    }

    /// The data of a trial, after its environment has been written down.
    pub(crate) fn data_of(&self, trial: &Trial, writer: &RunWriter) -> Result<Option<&Dataset>, SweepError> {
        let Some(data) = self.data.of(trial) else { return Ok(None) };
        let data_checksum = data.checksum.clone();
        let threads = rayon::current_num_threads();
        writer.write_environment(&Environment { data_checksum, threads, ..self.environment.clone() })?;
        Ok(Some(data))
    }

    /// Writes down how a trial ended.
    pub(crate) fn end(
        &self,
        index: usize,
        writer: RunWriter,
        status: Status,
        report: &mut SweepReport,
    ) -> Result<(), SweepError> {
        match writer.finish(&status) {
            // Whoever has the run now ends it.
            Err(LedgerError::Lost { .. }) => {
                report.taken += 1;
                self.progress.tell(Event::Taken { trial: index });
                return Ok(());
            }
            ended => ended?,
        }
        report.count(&status);
        self.progress.tell(Event::Ended { trial: index, status: Box::new(status), earlier: false });
        Ok(())
    }
}

/// Does a part of a trial so that neither an error nor a bug in it stops the others.
/// Either of them becomes the status of a trial that failed.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, TrialError>) -> Result<T, Box<Status>> {
    // Nothing of a trial outlives it but its files, so a panic leaves nothing torn.
    let message = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            format!("bug: {}", text.unwrap_or_else(|| "panic without a message".to_owned()))
        }
    };
    Err(Box::new(failed(message)))
}

pub(crate) fn failed(message: String) -> Status {
    Status {
        format: FORMAT,
        outcome: Outcome::Failed { message },
        test: None,
        averaged_test: None,
        steps: 0,
        train_secs: 0.0,
        images_per_sec: 0.0,
        peak_bytes: None,
        threads: rayon::current_num_threads(),
        finished_at: timestamp(SystemTime::now()),
    }
}
