//! The loop over trials: several at a time, each exactly once.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use decouple_datasets::{DataError, DataSpec, Dataset, Loader, bytes_in_memory};
use decouple_experiment::{
    Claim, Environment, Identity, Ledger, LedgerError, Outcome, RunState, RunWriter, Status, Trial,
};
use decouple_spectrum::backend::Backend;

use crate::{
    device::backend,
    keeper::Stop,
    machine_faults::{Ended, Troubles, guarded, refused},
    memory_limit::{Admission, Needs},
    progress::{Event, Left, Progress},
    run_trial::run_trial,
    workers::Workers,
};

/// Data sets that the trials of a sweep name, each loaded once.
#[derive(Clone, Debug, Default)]
pub struct LoadedData {
    sets: Vec<(DataSpec, Arc<Dataset>)>,
    /// The folder of data sets, which is no part of what is recorded.
    folder: Option<PathBuf>,
}

impl LoadedData {
    /// Loads the data of `trials` from `folder`. Each source is read once, whatever the validation
    /// splits.
    ///
    /// # Errors
    /// The first error of loading a set.
    pub fn read(trials: &[&Trial], folder: Option<&Path>) -> Result<Self, DataError> {
        let mut loader = Loader::new(folder);
        let loaded = Self::load(trials, |spec| loader.load(spec))?;
        Ok(Self { folder: folder.map(Path::to_owned), ..loaded })
    }

    /// Loads the data of `trials` with `load`.
    ///
    /// # Errors
    /// The first error of `load`.
    pub fn load<E>(
        trials: &[&Trial],
        mut load: impl FnMut(&DataSpec) -> Result<Dataset, E>,
    ) -> Result<Self, E> {
        let mut loaded: Vec<(DataSpec, Arc<Dataset>)> = Vec::new();
        for trial in trials {
            let spec = &trial.record.data;
            if loaded.iter().all(|(known, _)| known != spec) {
                loaded.push((spec.clone(), Arc::new(load(spec)?)));
            }
        }
        Ok(Self { sets: loaded, folder: None })
    }

    /// Bytes of all images.
    pub fn bytes(&self) -> u64 {
        bytes_in_memory(self.sets.iter().map(|(_, data)| &**data))
    }

    /// The data of `trial`, if they were loaded.
    pub fn of(&self, trial: &Trial) -> Option<&Dataset> {
        self.sets.iter().find(|(spec, _)| *spec == trial.record.data).map(|(_, data)| &**data)
    }

    /// Every set that was loaded.
    pub fn sets(&self) -> impl Iterator<Item = &Dataset> {
        self.sets.iter().map(|(_, data)| &**data)
    }

    /// What was noted about a set when it was read, with file names relative to the folder of data sets.
    fn notes(&self, data: &Dataset) -> Vec<String> {
        let skipped = data.skipped.len();
        let left_out = (skipped > 0).then(|| format!("{skipped} broken or missing files skipped"));
        let own = |note: String| match &self.folder {
            Some(folder) => note.replace(&format!("{}/", folder.display()), ""),
            None => note,
        };
        data.notes.iter().cloned().chain(left_out).map(own).collect()
    }
}

/// How a sweep handles its trials, apart from the machine's resources.
#[derive(Clone, Debug, Default)]
pub struct Conduct {
    /// When to stop before the end.
    pub stop: Stop,
    /// Whether to train finished trials again; an old run is kept until the new one has ended.
    pub fresh: bool,
    /// Whether to wait for trials of another runner, in order to take them over if it dies.
    pub waits: bool,
}

/// The outcome of the trials of a sweep, in this call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Trained to the end.
    pub finished: usize,
    /// Ended by a loss that was not finite.
    pub diverged: usize,
    /// Stopped because others were ahead.
    pub stopped: usize,
    /// Refused: their network or their data cannot be trained.
    pub failed: usize,
    /// Had ended before.
    pub earlier: usize,
    /// Those of `earlier` that had diverged or failed.
    pub earlier_lost: usize,
    /// Being trained by another runner.
    pub taken: usize,
    /// Still to be done, because files could not be read or written.
    pub faults: usize,
    /// Still to be done, because of a bug in this program.
    pub bugs: usize,
    /// Not trained, because their data cannot be read, or the files of their runs are damaged or belong to
    /// other data.
    pub unusable: usize,
    /// Still to be done, because the sweep was asked to stop. Those already started have a checkpoint.
    pub interrupted: usize,
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

/// Trains every trial that has not ended yet. Trials are claimed one by one through the ledger's locks, so
/// any number of sweeps may work on one folder. A trial that diverges or is refused is recorded as such, and
/// the sweep goes on. A fault of the machine is not a result: it is counted and reported, and the trial
/// remains to be done. When the disk is full, or several trials in a row run into faults, no further trial is
/// started.
///
/// # Errors
/// [`SweepError`] if the ledger cannot be listed; trials that are done
/// stay done.
pub fn run_sweep(
    trials: &[&Trial],
    ledger: &Ledger,
    data: &LoadedData,
    workers: Workers,
    environment: &Environment,
    progress: &Progress,
    conduct: &Conduct,
) -> Result<SweepReport, SweepError> {
    let (backend, troubles) = (backend(), Troubles::default());
    let runner =
        Runner { ledger, data, backend: &*backend, environment, progress, conduct, troubles: &troubles };
    let to_do = runner.without_done(trials)?;
    let admission = Admission::new(workers.memory);
    let mut needs = Needs::new(workers.threads);
    let mut need = |index: &usize| {
        let trial = trials[*index];
        needs.of(trial, data.of(trial).map(|data| data.train.len()))
    };
    let needs: Vec<u64> = to_do.1.iter().map(&mut need).collect();
    let mut report = share_out(workers, to_do.1.len(), &runner, |place, report| {
        let index = to_do.1[place];
        let _room = admission.enter(needs[place]);
        runner.one(trials[index], index, report)
    })?;
    report = report.plus(to_do.0);
    report.interrupted += trials.len() - report.all();
    Ok(report)
}

/// What all trials of a sweep share.
#[derive(Clone, Copy)]
pub(crate) struct Runner<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) data: &'a LoadedData,
    pub(crate) backend: &'a dyn Backend,
    pub(crate) environment: &'a Environment,
    pub(crate) progress: &'a Progress,
    pub(crate) conduct: &'a Conduct,
    pub(crate) troubles: &'a Troubles,
}

/// The outcome of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// There is nothing more to do here.
    Over,
    /// Another runner has it.
    Taken,
}

/// The interval for checking a piece that another runner has.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Does `work` for each of `pieces` on the workers' threads. Pieces of other runners are checked again until
/// they have ended, if the conduct says so.
pub(crate) fn share_out(
    workers: Workers,
    pieces: usize,
    runner: &Runner<'_>,
    work: impl Fn(usize, &mut SweepReport) -> Attempt + Sync,
) -> Result<SweepReport, SweepError> {
    let next = AtomicUsize::new(0);
    let taken = Mutex::new(VecDeque::new());
    let held = || taken.lock().unwrap_or_else(PoisonError::into_inner);
    let worker = || -> Result<SweepReport, SweepError> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(workers.threads).build()?;
        let mut report = SweepReport::default();
        let mut try_one = |index| {
            if pool.install(|| work(index, &mut report)) == Attempt::Taken {
                held().push_back(index);
            }
        };
        while runner.goes_on() {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index < pieces {
                try_one(index);
                continue;
            }
            let round = held().len();
            if round == 0 || !runner.conduct.waits {
                break;
            }
            wait(runner);
            // Each once, so that none waits longer than the others.
            for _ in 0..round {
                if !runner.goes_on() {
                    break;
                }
                let Some(index) = held().pop_front() else { break };
                try_one(index);
            }
        }
        Ok(report)
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
    .map(|total| SweepReport { taken: held().len(), ..total })
}

/// Waits for the interval, unless the sweep is asked to stop.
fn wait(runner: &Runner<'_>) {
    const GLANCE: Duration = Duration::from_millis(50);
    let mut waited = Duration::ZERO;
    while waited < LOOK_AGAIN && runner.goes_on() {
        std::thread::sleep(GLANCE);
        waited += GLANCE;
    }
}

impl SweepReport {
    /// Trials that are counted.
    pub(crate) fn all(&self) -> usize {
        let ended = self.finished + self.diverged + self.stopped + self.failed + self.earlier;
        ended + self.taken + self.faults + self.bugs + self.unusable + self.interrupted
    }

    /// Trials that are still to be done.
    pub fn left(&self) -> usize {
        self.taken + self.faults + self.bugs + self.unusable + self.interrupted
    }

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

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            finished: self.finished + other.finished,
            diverged: self.diverged + other.diverged,
            stopped: self.stopped + other.stopped,
            failed: self.failed + other.failed,
            earlier: self.earlier + other.earlier,
            earlier_lost: self.earlier_lost + other.earlier_lost,
            taken: self.taken + other.taken,
            faults: self.faults + other.faults,
            bugs: self.bugs + other.bugs,
            unusable: self.unusable + other.unusable,
            interrupted: self.interrupted + other.interrupted,
        }
    }
}

impl<'a> Runner<'a> {
    /// Whether further trials are begun.
    pub(crate) fn goes_on(&self) -> bool {
        self.conduct.stop.reason().is_none() && !self.troubles.are_general()
    }

    /// Counts and reports the trials that have ended, by one scan of the folders; returns the indices
    /// of the others.
    fn without_done(&self, trials: &[&Trial]) -> Result<(SweepReport, Vec<usize>), SweepError> {
        let mut report = SweepReport::default();
        if self.conduct.fresh {
            return Ok((report, (0..trials.len()).collect()));
        }
        let scan = self.ledger.scan()?;
        let mut to_do = Vec::new();
        for (index, trial) in trials.iter().enumerate() {
            match scan.state(trial) {
                // Differences in its data are found by the claim.
                Ok(RunState::Done(status)) if !self.differs(&scan.dir(trial.id), trial) => {
                    self.tell_earlier(index, status, &mut report);
                }
                _ => to_do.push(index),
            }
        }
        Ok((report, to_do))
    }

    /// One trial, from the claim to its status.
    fn one(&self, trial: &Trial, index: usize, report: &mut SweepReport) -> Attempt {
        let mut writer = match self.claim(trial) {
            Ok(Claim::Mine(writer)) => writer,
            Ok(Claim::Taken) => {
                self.progress.tell(Event::Taken { trial: index });
                return Attempt::Taken;
            }
            Ok(Claim::Done(status)) => {
                self.tell_earlier(index, status, report);
                return Attempt::Over;
            }
            Ok(Claim::Damaged(problem)) => return self.unusable(index, Left::Damaged(problem), report),
            Ok(Claim::Differs(found)) => return self.unusable(index, Left::Differs(found), report),
            Err(error) => return self.left(index, &Ended::of(&error), report),
        };
        let trained = guarded(|| match self.data_of(trial, &writer)? {
            Some(data) => {
                let stop = &self.conduct.stop;
                run_trial(trial, index, data, self.backend, &mut writer, stop, self.progress)
            }
            None => Ok(refused("its data set was not loaded".to_owned())),
        });
        match trained {
            Ok(status) => self.end(index, *writer, status, report),
            Err(ended) => self.ended(index, *writer, ended, report),
        }
    }

    /// Claims a trial, unless it is done or taken.
    pub(crate) fn claim(&self, trial: &Trial) -> Result<Claim, LedgerError> {
        if self.conduct.fresh {
            return self.ledger.claim_fresh(trial);
        }
        self.ledger.claim(trial, &self.identity(trial))
    }

    /// The data and engine of a run of this trial here.
    fn identity(&self, trial: &Trial) -> Identity {
        Identity::of(trial, self.data.of(trial).map(|data| &data.checksum[..]))
    }

    fn differs(&self, dir: &Option<PathBuf>, trial: &Trial) -> bool {
        let Some(dir) = dir else { return false };
        let found = self.ledger.difference(dir, &self.identity(trial));
        found.is_none_or(|found| found.is_some_and(|found| found.data.is_some()))
    }

    pub(crate) fn tell_earlier(&self, index: usize, status: Box<Status>, report: &mut SweepReport) {
        report.count_earlier(&status);
        self.progress.tell(Event::Ended { trial: index, status, earlier: true });
    }

    pub(crate) fn unusable(&self, index: usize, why: Left, report: &mut SweepReport) -> Attempt {
        report.unusable += 1;
        self.progress.tell(Event::Left { trial: index, why });
        Attempt::Over
    }

    /// The data of a trial, after recording its environment.
    pub(crate) fn data_of(
        &self,
        trial: &Trial,
        writer: &RunWriter,
    ) -> Result<Option<&'a Dataset>, LedgerError> {
        let Some(data) = self.data.of(trial) else { return Ok(None) };
        let data_checksum = data.checksum.clone();
        let threads = rayon::current_num_threads();
        let numerics_version = trial.numerics;
        let data_notes = self.data.notes(data);
        let own =
            Environment { data_checksum, data_notes, threads, numerics_version, ..self.environment.clone() };
        writer.write_environment(&own)?;
        Ok(Some(data))
    }

    /// Records how a trial ended.
    pub(crate) fn end(
        &self,
        index: usize,
        writer: RunWriter,
        status: Status,
        report: &mut SweepReport,
    ) -> Attempt {
        match writer.finish(&status) {
            Ok(()) => {
                self.troubles.end();
                report.count(&status);
                self.progress.tell(Event::Ended { trial: index, status: Box::new(status), earlier: false });
                Attempt::Over
            }
            Err(error) => self.left(index, &Ended::of(&error), report),
        }
    }

    /// Handles a trial that was not trained to its end.
    pub(crate) fn ended(
        &self,
        index: usize,
        writer: RunWriter,
        ended: Ended,
        report: &mut SweepReport,
    ) -> Attempt {
        match ended {
            Ended::Refused(status) => self.end(index, writer, *status, report),
            ended => self.left(index, &ended, report),
        }
    }

    /// Counts and reports a trial that is still to be done.
    pub(crate) fn left(&self, index: usize, ended: &Ended, report: &mut SweepReport) -> Attempt {
        let why = match ended {
            Ended::Interrupted { step } => {
                report.interrupted += 1;
                Left::Interrupted { step: *step }
            }
            Ended::Bug(message) => {
                report.bugs += 1;
                Left::Bug { message: message.clone() }
            }
            Ended::Fault { message, is_general } => {
                report.faults += 1;
                self.troubles.note(*is_general);
                Left::Fault { message: message.clone() }
            }
            Ended::Data(message) => {
                report.unusable += 1;
                self.troubles.note(false);
                Left::Data { message: message.clone() }
            }
            // The new holder of the run will end it.
            Ended::Lost => {
                self.progress.tell(Event::Taken { trial: index });
                return Attempt::Taken;
            }
            // A refusal has already been recorded.
            Ended::Refused(_) => return Attempt::Over,
        };
        self.progress.tell(Event::Left { trial: index, why });
        Attempt::Over
    }
}
