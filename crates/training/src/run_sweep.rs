//! The loop over trials: several at a time, each exactly once.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use decouple_datasets::{DataError, DataSpec, Dataset, Loader, bytes_in_memory, stream::Part};
use decouple_experiment::{
    Claim, Environment, Identity, Ledger, LedgerError, Outcome, RunState, RunWriter, Status, Trial,
};
use decouple_spectrum::backend::Backend;

use crate::{
    device::backend,
    error::TrialError,
    keeper::Stop,
    machine_faults::{Ended, Troubles, guarded},
    memory_limit::{Admission, Admitted, Needs},
    progress::{Left, News, Progress},
    run_trial::run_trial,
    workers::{Workers, joined},
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

    /// The checksum of the images of `trial`, if any from the same source were loaded: it does not depend on how they
    /// are split or augmented.
    pub fn checksum_of(&self, trial: &Trial) -> Option<&str> {
        let source = &trial.record.data.source;
        self.sets.iter().find(|(spec, _)| spec.source == *source).map(|(_, data)| &*data.checksum)
    }

    /// Every set that was loaded.
    pub fn sets(&self) -> impl Iterator<Item = &Dataset> {
        self.sets.iter().map(|(_, data)| &**data)
    }

    /// What was noted about a set when it was read, with file names relative to the folder of data sets.
    fn notes(&self, data: &Dataset) -> Vec<String> {
        let left_out = match data.skipped.len() {
            0 => None,
            1 => Some("1 broken or missing file skipped".to_owned()),
            skipped => Some(format!("{skipped} broken or missing files skipped")),
        };
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
    /// Whether to wait for trials of another runner, in order to take them over if it dies.
    pub waits: bool,
    /// Whether the test images are left unread: of trials that choose a recipe by validation images.
    pub leaves_test: bool,
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
    /// A worker could not be started; the others have done what there was.
    #[error("cannot start a thread: {0}; ask for fewer with `--jobs`")]
    Spawn(std::io::Error),
}

/// What a sweep works with, besides its trials.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// Where runs are kept.
    pub ledger: &'a Ledger,
    /// The data of the trials.
    pub data: &'a LoadedData,
    /// How the machine is used.
    pub workers: Workers,
    /// What runs record about their environment.
    pub environment: &'a Environment,
    /// Who is told what happens.
    pub progress: &'a Progress,
    /// How trials are handled.
    pub conduct: &'a Conduct,
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
pub fn run_sweep(trials: &[&Trial], setup: &Setup<'_>) -> Result<SweepReport, SweepError> {
    let runner = Runner::new(setup);
    let to_do = runner.without_done(trials)?;
    let admission = Admission::new(setup.workers.memory);
    let mut needs = Needs::new(setup.workers.threads);
    let needs: Vec<u64> = to_do.iter().map(|&index| runner.need(trials[index], &mut needs)).collect();
    let taken = runner.share_out(to_do.len(), |place| {
        let index = to_do[place];
        let Some(_room) = runner.room(&admission, needs[place]) else { return Attempt::Over };
        runner.one(trials[index], index)
    })?;
    Ok(runner.into_report(trials.len(), taken))
}

/// A sweep under way.
pub(crate) struct Runner<'a> {
    pub(crate) setup: &'a Setup<'a>,
    pub(crate) backend: Arc<dyn Backend>,
    troubles: Troubles,
    report: Mutex<SweepReport>,
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
}

impl<'a> Runner<'a> {
    pub(crate) fn new(setup: &'a Setup<'a>) -> Self {
        Self { setup, backend: backend(), troubles: Troubles::default(), report: Mutex::default() }
    }

    /// What has been counted so far.
    fn report(&self) -> MutexGuard<'_, SweepReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The report on `trials` trials of which others have `taken`: those not counted were not begun.
    pub(crate) fn into_report(self, trials: usize, taken: usize) -> SweepReport {
        let counted = self.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut report = SweepReport { taken, ..counted };
        report.interrupted += trials - report.all();
        report
    }

    /// Does `work` for each of `pieces` on the workers' threads; returns how many of them other runners have.
    /// Theirs are checked again until they have ended, if the conduct says so.
    pub(crate) fn share_out(
        &self,
        pieces: usize,
        work: impl Fn(usize) -> Attempt + Sync,
    ) -> Result<usize, SweepError> {
        let Setup { workers, conduct, .. } = *self.setup;
        let next = AtomicUsize::new(0);
        let taken = Mutex::new(VecDeque::new());
        let held = || taken.lock().unwrap_or_else(PoisonError::into_inner);
        let worker = || -> Result<(), SweepError> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(workers.threads).build()?;
            let try_one = |index| {
                if pool.install(|| work(index)) == Attempt::Taken {
                    held().push_back(index);
                }
            };
            while self.goes_on() {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index < pieces {
                    try_one(index);
                    continue;
                }
                let round = held().len();
                if round == 0 || !conduct.waits {
                    break;
                }
                self.wait();
                // Each once, so that none waits longer than the others.
                for _ in 0..round {
                    if !self.goes_on() {
                        break;
                    }
                    let Some(index) = held().pop_front() else { break };
                    try_one(index);
                }
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let start = |_| std::thread::Builder::new().spawn_scoped(scope, worker);
            let threads: Vec<_> = (0..workers.jobs).map(start).collect();
            threads.into_iter().try_for_each(|thread| joined(thread.map_err(SweepError::Spawn)?))
        })?;
        Ok(held().len())
    }

    /// Waits for the interval, unless the sweep is asked to stop.
    fn wait(&self) {
        const GLANCE: Duration = Duration::from_millis(50);
        let mut waited = Duration::ZERO;
        while waited < LOOK_AGAIN && self.goes_on() {
            std::thread::sleep(GLANCE);
            waited += GLANCE;
        }
    }

    /// Waits for room for `bytes`; `None` if no further trial is begun by then, since that may take long.
    pub(crate) fn room<'m>(&self, admission: &'m Admission, bytes: u64) -> Option<Admitted<'m>> {
        let room = admission.enter(bytes);
        self.goes_on().then_some(room)
    }

    /// Whether further trials are begun.
    fn goes_on(&self) -> bool {
        self.setup.conduct.stop.reason().is_none() && !self.troubles.are_general()
    }

    /// Counts and reports the trials that have ended, by one scan of the folders; returns the indices
    /// of the others.
    fn without_done(&self, trials: &[&Trial]) -> Result<Vec<usize>, SweepError> {
        let scan = self.setup.ledger.scan()?;
        let mut to_do = Vec::new();
        for (index, trial) in trials.iter().enumerate() {
            match scan.state(trial) {
                // Differences in its data are found by the claim.
                Ok(RunState::Done(status)) if !self.differs(&scan.dir(trial.id), trial) => {
                    scan.dir(trial.id).iter().for_each(|dir| self.setup.ledger.tidy(trial.id, dir));
                    self.tell_earlier(index, status);
                }
                _ => to_do.push(index),
            }
        }
        Ok(to_do)
    }

    /// One trial, from the claim to its status.
    fn one(&self, trial: &Trial, index: usize) -> Attempt {
        let Setup { progress, conduct, .. } = *self.setup;
        let mut writer = match self.claim(trial) {
            Ok(Claim::Mine(writer)) => writer,
            Ok(Claim::Taken) => return self.left(index, Ended::Lost),
            Ok(Claim::Done(status)) => {
                self.tell_earlier(index, status);
                return Attempt::Over;
            }
            Ok(Claim::Damaged(problem)) => return self.left(index, Left::Damaged(problem)),
            Ok(Claim::Differs(found)) => return self.left(index, Left::Differs(found)),
            Err(error) => return self.left(index, error),
        };
        let trained = guarded(|| {
            let data = self.data_of(trial, &writer)?;
            run_trial(trial, index, data, &*self.backend, &mut writer, conduct, progress)
        });
        self.end(index, *writer, trained)
    }

    /// Claims a trial, unless it is done or taken.
    pub(crate) fn claim(&self, trial: &Trial) -> Result<Claim, LedgerError> {
        self.setup.ledger.claim(trial, &self.identity(trial))
    }

    /// The data and engine of a run of this trial here.
    fn identity(&self, trial: &Trial) -> Identity {
        Identity::of(trial, self.setup.data.of(trial).map(|data| &data.checksum[..]))
    }

    fn differs(&self, dir: &Option<PathBuf>, trial: &Trial) -> bool {
        let Some(dir) = dir else { return false };
        let found = self.setup.ledger.difference(dir, &self.identity(trial));
        found.is_none_or(|found| found.is_some_and(|found| found.data.is_some()))
    }

    pub(crate) fn tell_earlier(&self, index: usize, status: Box<Status>) {
        self.report().count_earlier(&status);
        self.setup.progress.tell(index, News::Ended { status, earlier: true });
    }

    /// The bytes that a trial needs.
    pub(crate) fn need(&self, trial: &Trial, needs: &mut Needs) -> u64 {
        needs.of(trial, self.setup.data.of(trial).map(|data| data.images(Part::Train)))
    }

    /// The data of a trial, after recording its environment.
    pub(crate) fn data_of(&self, trial: &Trial, writer: &RunWriter) -> Result<&'a Dataset, TrialError> {
        let data = self.setup.data.of(trial).ok_or(TrialError::NotLoaded)?;
        let own = Environment {
            data_checksum: data.checksum.clone(),
            data_notes: self.setup.data.notes(data),
            threads: rayon::current_num_threads(),
            numerics_version: trial.numerics,
            ..self.setup.environment.clone()
        };
        writer.write_environment(&own)?;
        Ok(data)
    }

    /// Records how a trial ended, or that it is still to be done.
    pub(crate) fn end(&self, index: usize, writer: RunWriter, ended: Result<Status, Ended>) -> Attempt {
        let status = match ended {
            Ok(status) => status,
            Err(Ended::Refused(status)) => *status,
            Err(ended) => return self.left(index, ended),
        };
        if let Err(error) = writer.finish(&status) {
            return self.left(index, error);
        }
        self.troubles.end();
        self.report().count(&status);
        self.setup.progress.tell(index, News::Ended { status: Box::new(status), earlier: false });
        Attempt::Over
    }

    /// Counts and reports a trial that is still to be done.
    pub(crate) fn left(&self, index: usize, ended: impl Into<Ended>) -> Attempt {
        let why = match ended.into() {
            Ended::Left(why) => why,
            // The holder of the run will end it.
            Ended::Lost => {
                self.setup.progress.tell(index, News::Taken);
                return Attempt::Taken;
            }
            // A refusal has already been recorded.
            Ended::Refused(_) => return Attempt::Over,
        };
        match &why {
            Left::Interrupted => self.report().interrupted += 1,
            Left::Bug(_) => self.report().bugs += 1,
            Left::Fault { is_general, .. } => {
                self.report().faults += 1;
                self.troubles.note(*is_general);
            }
            Left::Data(_) => {
                self.report().unusable += 1;
                self.troubles.note(false);
            }
            Left::Damaged(_) | Left::Differs(_) => self.report().unusable += 1,
        }
        self.setup.progress.tell(index, News::Left(why));
        Attempt::Over
    }
}
