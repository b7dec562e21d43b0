//! The records of all runs of an experiment, on disk.
//!
//! ```text
//! results/<experiment>/
//!   runs/<point>,seed=<seed>-<id>/
//!     trial.toml  environment.json  metrics.csv  timing.csv  per-image.bin
//!     weights.safetensors  checksums.txt  status.json
//!     checkpoint-<step>          while it is trained
//!   successors/  replaced/       while a run is trained again
//!   locks/<id>  <id>.lease/
//! ```
//!
//! A run is *done* once `status.json` is there, which is written last and by rename. A runner
//! holds an exclusive lock on `locks/<id>` while it trains; the system drops the lock when the
//! process ends, however it ends. Lock files are never deleted: a deleted one could still be
//! locked by whoever had it open. Where locks do not hold between hosts, runners take a lease
//! instead. Only results are recorded: a trial stopped by a full disk or another fault of the
//! machine is still to be done.

mod adopt;
mod checksums;
mod discard;
mod files;
mod folders;
mod identity;
mod lease;
mod locked_plan;
pub mod per_image;
mod read;
mod run_files;
mod successor;
mod write;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use decouple_disk::{Disk, if_there};

pub use adopt::{Adopted, Elsewhere};
pub use folders::Scan;
pub use identity::{Identity, Mismatch};
pub use lease::Claims;
pub(crate) use locked_plan::FILE_NAME as LOCKED_PLAN;
pub use locked_plan::LockedPlan;
pub use read::{Contents, Problem, Remedy, Run};
pub use run_files::{Environment, MetricsRow, Outcome, Scores, Status, TimingRow, timestamp};
pub use write::RunWriter;
pub(crate) use write::{replace, replace_json};

use checksums::Depth;
use folders::Place;
use lease::Hold;

use crate::{FileSystem, RunId, Trial};

/// Prefix of the names of checkpoints in a run's folder. Their content is up to the trainer.
pub const CHECKPOINT_PREFIX: &str = "checkpoint-";

/// Where locks may not hold, a temporary file of this age is assumed to be abandoned.
const ABANDONED: Duration = Duration::from_secs(3_600);

/// The runs of one experiment: the folder `results/<experiment>`.
///
/// Holds no state but the path, so any number of processes may have one open.
#[derive(Clone, Debug)]
pub struct Ledger {
    root: PathBuf,
    disk: Disk,
    claims: Claims,
}

/// The state of a trial.
#[derive(Clone, Debug, PartialEq)]
pub enum RunState {
    /// Never started.
    New,
    /// Started, or asked for again, but without a runner. It continues from its last checkpoint.
    Partial,
    /// A runner holds its lock.
    Running,
    /// Ended: finished, diverged, stopped or failed.
    Done(Box<Status>),
    /// Its files are damaged, so its state is unknown.
    Damaged(Problem),
}

/// The answer to [`Ledger::claim`].
#[derive(Debug)]
pub enum Claim {
    /// The trial belongs to the caller until the writer is finished or dropped.
    Mine(Box<RunWriter>),
    /// Another runner has it.
    Taken,
    /// It is already over.
    Done(Box<Status>),
    /// It has ended, but on other data or with other numerics.
    Differs(Box<Mismatch>),
    /// Its files are damaged; they stay as they are.
    Damaged(Problem),
}

/// Why the ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, such as "create".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file has unexpected content.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A folder whose name is that of another run, or of none.
    #[error("{}: it holds run {id}, which belongs in a folder that ends in -{}", dir.display(), id.short())]
    Misnamed {
        /// The folder.
        dir: PathBuf,
        /// The run in it.
        id: RunId,
    },
    /// A file was written by a program with another file format.
    #[error("{}: format {found} is unknown to this version, which reads {}", path.display(), crate::FORMAT)]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The run's lease has expired, and another runner may have the run.
    #[error("run {id} has not renewed its lease in time; another runner may have taken it over")]
    Lost {
        /// The run.
        id: RunId,
    },
}

impl LedgerError {
    /// For `map_err`: the failure to `action` the file or folder at `path`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    fn malformed(path: &Path, message: impl ToString) -> Self {
        Self::Malformed { path: path.to_owned(), message: message.to_string() }
    }
}

impl Ledger {
    /// The ledger in `root`, which need not exist yet. Nothing is written outside the folder above it.
    pub fn open(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let disk = Disk::within(root.parent().map(Path::to_owned).unwrap_or_default());
        Self { root, disk, claims: Claims::default() }
    }

    /// The same ledger on a disk whose steps may fail.
    #[must_use]
    pub fn on(self, disk: Disk) -> Self {
        Self { disk, ..self }
    }

    /// The same ledger, claiming runs in another way. Either way it respects claims made in the
    /// other.
    #[must_use]
    pub fn claiming(self, claims: Claims) -> Self {
        Self { claims, ..self }
    }

    /// The ledger in a folder of this one, claiming runs in the same way.
    pub(crate) fn below(&self, name: &str) -> Self {
        Self { root: self.root.join(name), ..self.clone() }
    }

    /// The folder: `results/<experiment>`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The disk that it lies on.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The folder of a trial's run: where it is, or where it would be created.
    pub fn run_dir(&self, trial: &Trial) -> PathBuf {
        let found = self.scan().ok().and_then(|scan| scan.dir(trial.id));
        found.unwrap_or_else(|| self.runs_dir().join(trial.dir_name()))
    }

    /// The state of a trial. Creates nothing. For many trials, ask one [`scan`](Self::scan).
    ///
    /// # Errors
    /// If the folders cannot be listed or a lock not looked at.
    pub fn state(&self, trial: &Trial) -> Result<RunState, LedgerError> {
        self.scan()?.state(trial)
    }

    /// Claims a trial for the caller, unless it is done or taken. The checkpoints of an
    /// interrupted run are kept; everything else starts anew. A trial that was [asked for again](Self::ask_again)
    /// is trained beside its old run, which is kept until the new one has ended.
    ///
    /// # Errors
    /// If files cannot be read or created.
    pub fn claim(&self, trial: &Trial, identity: &Identity) -> Result<Claim, LedgerError> {
        let scan = self.scan()?;
        if !scan.is_being_replaced(trial.id)
            && let Some(settled) = self.settled(&scan, trial, identity)?
        {
            return Ok(settled);
        }
        let Some(lock) = self.lock(trial.id)? else { return Ok(Claim::Taken) };
        if let Claims::Leases { .. } = self.claims {
            // The look before the lock may have left this host with the belief that there is no status.
            for dir in [self.runs_dir(), self.run_dir(trial)] {
                self.disk.look_anew(&dir).map_err(LedgerError::io("look at", &dir))?;
            }
        }
        self.settle(trial.id)?;
        let mine = |dir, is_successor| {
            RunWriter::create(self, dir, trial, lock, is_successor).map(Box::new).map(Claim::Mine)
        };
        if let Some(successor) = self.successors(trial.id)?.into_iter().next() {
            return mine(successor, true);
        }
        // Its last owner may have finished between the first look and the lock.
        let scan = self.scan()?;
        if let Some(settled) = self.settled(&scan, trial, identity)? {
            return Ok(settled);
        }
        let dir = self.runs_dir().join(trial.dir_name());
        if let Some(found) = scan.dir(trial.id).filter(|found| *found != dir) {
            // Its point had another name when it was interrupted.
            self.disk.rename(&found, &dir).map_err(LedgerError::io("rename", &found))?;
        }
        mine(dir, false)
    }

    /// The answer to a claim of a trial that is not to be trained.
    fn settled(
        &self,
        scan: &Scan<'_>,
        trial: &Trial,
        identity: &Identity,
    ) -> Result<Option<Claim>, LedgerError> {
        let dir = match scan.place(trial.id) {
            Place::Absent => return Ok(None),
            Place::Wrong(problem) => return Ok(Some(Claim::Damaged(problem))),
            Place::At(dir) => dir,
        };
        let damaged = |error: &LedgerError| Ok(Some(Claim::Damaged(Problem::of_run(dir.clone(), error))));
        let status = match read::checked_status(&self.disk, &dir) {
            Ok(Some(status)) => status,
            Ok(None) => return Ok(None),
            Err(error) => return damaged(&error),
        };
        Ok(Some(match read::identity(&self.disk, &dir) {
            Err(error) => return damaged(&error),
            Ok(found) => match found.and_then(|found| identity.difference(dir.clone(), &found)) {
                Some(difference) if difference.data.is_some() => Claim::Differs(Box::new(difference)),
                // A result of other numerics is still a result; callers that mix it with others
                // report that.
                _ => {
                    self.tidy(trial.id, &dir);
                    Claim::Done(Box::new(status))
                }
            },
        }))
    }

    /// The runs that have ended, or have checkpoints, but differ from the identity that `identity` gives
    /// for their trial.
    ///
    /// # Errors
    /// If the folders cannot be listed.
    pub fn differences<'t>(
        &self,
        trials: impl IntoIterator<Item = (&'t Trial, Identity)>,
    ) -> Result<Vec<(&'t Trial, Mismatch)>, LedgerError> {
        let scan = self.scan()?;
        let mut differences = Vec::new();
        for (trial, identity) in trials {
            let Some(dir) = scan.dir(trial.id) else { continue };
            let counts = dir.join("status.json").exists()
                || self
                    .disk
                    .list(&dir)
                    .is_ok_and(|paths| paths.iter().any(|path| write::is_checkpoint(path)));
            // Unreadable runs are reported elsewhere.
            let found = read::identity(&self.disk, &dir).ok().flatten().filter(|_| counts);
            let difference = found.and_then(|found| identity.difference(dir, &found));
            differences.extend(difference.map(|difference| (trial, difference)));
        }
        Ok(differences)
    }

    /// How the run in `dir` differs from `identity`; `None` if its environment cannot be read.
    pub fn difference(&self, dir: &Path, identity: &Identity) -> Option<Option<Mismatch>> {
        let found = read::identity(&self.disk, dir).ok()?;
        Some(found.and_then(|found| identity.difference(dir.to_owned(), &found)))
    }

    /// The run of a trial, as it is on disk.
    ///
    /// # Errors
    /// If it is not there or cannot be read.
    pub fn run(&self, trial: &Trial) -> Result<Run, LedgerError> {
        read::run(&self.disk, &self.run_dir(trial), Depth::Small)
    }

    /// The run of a trial that is being trained: the new one, if it is trained again.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_under_way(&self, trial: &Trial) -> Result<Run, LedgerError> {
        let successor = self.successors(trial.id)?.into_iter().next();
        read::run(&self.disk, &successor.unwrap_or_else(|| self.run_dir(trial)), Depth::Small)
    }

    /// Everything on disk, whether or not a sweep still asks for it, sorted by folder. What cannot be read
    /// becomes a [`Problem`] and does not hide anything else. Weights are not checked.
    ///
    /// # Errors
    /// If the folder itself cannot be listed. One that does not exist is empty.
    pub fn read(&self) -> Result<Contents, LedgerError> {
        self.contents(Depth::Small)
    }

    /// As [`read`](Self::read), with the weights of every run compared with their checksums.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn verify(&self) -> Result<Contents, LedgerError> {
        self.contents(Depth::All)
    }

    fn contents(&self, depth: Depth) -> Result<Contents, LedgerError> {
        let mut contents = read::contents(self, depth)?;
        match locked_plan::read(&self.root) {
            Ok(lock) => contents.lock = lock,
            Err(error) => {
                let (path, message) = (locked_plan::path(&self.root), error.to_string());
                contents.problems.push(Problem { path, message, remedy: Remedy::Restore });
            }
        }
        Ok(contents)
    }

    /// Removes the temporary files that killed writers have left outside the folders of runs.
    ///
    /// # Errors
    /// If a folder cannot be listed or a file not removed.
    pub fn sweep(&self) -> Result<(), LedgerError> {
        let is_alone =
            self.claims == Claims::Locks && !FileSystem::of(&self.root).is_some_and(|fs| fs.is_shared());
        let age = if is_alone { Duration::ZERO } else { ABANDONED };
        let above = self.root.parent().filter(|above| *above != Path::new(""));
        for folder in
            [Some(self.root.as_path()), Some(&self.root.join("figures")), above].into_iter().flatten()
        {
            self.disk.sweep(folder, age).map_err(LedgerError::io("clean", folder))?;
        }
        Ok(())
    }

    fn runs_dir(&self) -> PathBuf {
        self.root.join("runs")
    }

    fn locks_dir(&self) -> PathBuf {
        self.root.join("locks")
    }

    fn lock_path(&self, id: RunId) -> PathBuf {
        self.locks_dir().join(id.to_string())
    }

    /// An exclusive hold on the run, or `None` while someone else has it.
    fn lock(&self, id: RunId) -> Result<Option<Hold>, LedgerError> {
        if self.is_held_otherwise(id)? {
            return Ok(None);
        }
        let hold = match self.claims {
            Claims::Locks => self.system_lock(id)?.map(|file| Hold::Lock { _file: file }),
            Claims::Leases { secs } => lease::take(&self.disk, &self.locks_dir(), id, secs)?.map(Hold::Lease),
        };
        // Somebody may have taken it in the other way meanwhile. Both then let go of it.
        if hold.is_some() && self.is_held_otherwise(id)? { Ok(None) } else { Ok(hold) }
    }

    /// Whether somebody holds the run in the way in which this ledger does not claim runs.
    fn is_held_otherwise(&self, id: RunId) -> Result<bool, LedgerError> {
        match self.claims {
            Claims::Locks => lease::is_taken(&self.locks_dir(), id, lease::server_time),
            Claims::Leases { .. } => self.has_system_lock(id),
        }
    }

    /// The exclusive lock of a run, or `None` while someone else has it.
    fn system_lock(&self, id: RunId) -> Result<Option<File>, LedgerError> {
        let path = self.lock_path(id);
        let parent = self.locks_dir();
        self.disk.create_dir_all(&parent).map_err(LedgerError::io("create", &parent))?;
        let file = self.disk.open_lock(&path).map_err(LedgerError::io("open", &path))?;
        if locks(file.try_lock(), &path)? {
            return Ok(Some(file));
        }
        // `is_locked` of another process holds a lock for some microseconds;
        // that must not look like a runner.
        std::thread::sleep(Duration::from_millis(20));
        Ok(locks(file.try_lock(), &path)?.then_some(file))
    }

    fn remove(&self, dir: &Path) -> Result<(), LedgerError> {
        self.disk.remove_dir_all(dir).map_err(LedgerError::io("remove", dir))
    }

    fn is_locked(&self, id: RunId) -> Result<bool, LedgerError> {
        // By this host's clock: to ask for the server's, a file must be written, and looking writes nothing.
        let now = |_: &Path| SystemTime::now();
        Ok(self.has_system_lock(id)? || lease::is_taken(&self.locks_dir(), id, now)?)
    }

    fn has_system_lock(&self, id: RunId) -> Result<bool, LedgerError> {
        let path = self.lock_path(id);
        let opened = if_there(self.disk.open(&path)).map_err(LedgerError::io("open", &path))?;
        let Some(file) = opened else { return Ok(false) };
        // Shared, so that onlookers do not mistake each other for runners.
        Ok(!locks(file.try_lock_shared(), &path)?)
    }
}

/// Whether the file at `path` could be locked; `false` while someone else has locked it.
fn locks(tried: Result<(), TryLockError>, path: &Path) -> Result<bool, LedgerError> {
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(source)) => Err(LedgerError::io("lock", path)(source)),
    }
}

#[cfg(test)]
mod tests;
