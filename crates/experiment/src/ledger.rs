//! What is known of every run of an experiment, on disk.
//!
//! ```text
//! results/<experiment>/
//!   runs/<point>,seed=<seed>-<id>/
//!     trial.toml  environment.json  metrics.csv  timing.csv  status.json
//!   locks/<id>  <id>.lease/
//! ```
//!
//! A run is *done* once `status.json` is there, which is written last and by
//! rename. A runner holds an exclusive lock on `locks/<id>` while it trains; the
//! system drops the lock when the process ends, however it ends. Lock files are
//! never deleted: a deleted one could still be locked by whoever had it open.
//! Where locks do not hold between hosts, runners take a lease instead.
//! A run's folder is found by the id at the end of its name, so adding an axis
//! to an experiment, which renames its points, loses no finished run.

mod adopt;
mod lease;
mod read;
mod rows;
mod scan;
mod write;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use adopt::Elsewhere;
pub use lease::Claims;
use lease::Hold;
pub use read::{Contents, Problem, Run};
pub use rows::{Environment, MetricsRow, Outcome, Scores, Status, TimingRow, timestamp};
pub use scan::Scan;
pub use write::RunWriter;
pub(crate) use write::{replace, replace_json};

use crate::{RunId, Trial};

/// The runs of one experiment: the folder `results/<experiment>`.
///
/// Holds no state but the path, so any number of processes may have one open.
#[derive(Clone, Debug)]
pub struct Ledger {
    root: PathBuf,
    claims: Claims,
}

/// What is known of a trial.
#[derive(Clone, Debug, PartialEq)]
pub enum RunState {
    /// Never started.
    New,
    /// Started, but its runner is gone. It starts afresh.
    Partial,
    /// A runner holds its lock.
    Running,
    /// Over: finished, diverged or failed.
    Done(Box<Status>),
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
    /// A file is not what it should be.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
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
    #[error("run {id} was not heard of for longer than its lease; another runner may have taken it over")]
    Lost {
        /// The run.
        id: RunId,
    },
    /// The run is being trained.
    #[error("run {id} is being trained by another runner; its files stay as they are")]
    Locked {
        /// The run.
        id: RunId,
    },
}

impl LedgerError {
    /// For `map_err`: the failure to `action` the file or folder at `path`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    fn malformed(path: &Path, message: impl ToString) -> Self {
        Self::Malformed { path: path.to_owned(), message: message.to_string() }
    }
}

impl Ledger {
    /// The ledger in `root`, which need not exist yet.
    pub fn open(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), claims: Claims::default() }
    }

    /// The same ledger, claiming runs in another way. Whichever way it claims, it
    /// respects those who hold a run in the other.
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

    /// The folder of a trial's run: where it is, or where it would be made.
    pub fn run_dir(&self, trial: &Trial) -> PathBuf {
        let named = self.runs_dir().join(trial.dir_name());
        if named.exists() { named } else { self.find(trial.id).unwrap_or(named) }
    }

    /// What is known of a trial. Creates nothing.
    ///
    /// # Errors
    /// When its status cannot be read.
    pub fn state(&self, trial: &Trial) -> Result<RunState, LedgerError> {
        self.state_in(trial, &self.run_dir(trial))
    }

    /// What is known of a trial whose run is in `dir`, or would be made there.
    fn state_in(&self, trial: &Trial, dir: &Path) -> Result<RunState, LedgerError> {
        if let Some(status) = read::status(dir)? {
            return Ok(RunState::Done(Box::new(status)));
        }
        if self.is_locked(trial.id)? {
            return Ok(RunState::Running);
        }
        Ok(if dir.exists() { RunState::Partial } else { RunState::New })
    }

    /// Takes a trial for the caller, unless it is done or taken. What a run that
    /// was cut off left behind is removed: the run starts afresh.
    ///
    /// # Errors
    /// When files cannot be created, or a status is there but cannot be read.
    pub fn claim(&self, trial: &Trial) -> Result<Claim, LedgerError> {
        if let Some(status) = read::status(&self.run_dir(trial))? {
            return Ok(Claim::Done(Box::new(status)));
        }
        let Some(lock) = self.lock(trial.id)? else { return Ok(Claim::Taken) };
        // Its last owner may have finished between the first look and the lock.
        let dir = self.run_dir(trial);
        if let Some(status) = read::status(&dir)? {
            return Ok(Claim::Done(Box::new(status)));
        }
        remove(&dir)?;
        RunWriter::create(self.runs_dir().join(trial.dir_name()), trial, lock).map(Box::new).map(Claim::Mine)
    }

    /// Forgets the run of a trial, so that it is trained again.
    ///
    /// # Errors
    /// [`LedgerError::Locked`] while it is being trained.
    pub fn reset(&self, trial: &Trial) -> Result<(), LedgerError> {
        match self.lock(trial.id)? {
            Some(_lock) => remove(&self.run_dir(trial)),
            None => Err(LedgerError::Locked { id: trial.id }),
        }
    }

    /// The run of a trial as it stands on disk.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn run(&self, trial: &Trial) -> Result<Run, LedgerError> {
        read::run(&self.run_dir(trial))
    }

    /// Everything on disk, whether or not a sweep still names it, sorted by
    /// folder. What cannot be read becomes a [`Problem`] and hides nothing else.
    ///
    /// # Errors
    /// When the folder itself cannot be listed. One that does not exist is empty.
    pub fn read(&self) -> Result<Contents, LedgerError> {
        read::contents(&self.runs_dir())
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

    /// The folder whose name ends in `id`, if the record in it agrees.
    fn find(&self, id: RunId) -> Option<PathBuf> {
        let suffix = format!("-{}", id.short());
        let entries = fs::read_dir(self.runs_dir()).ok()?;
        entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.ends_with(&suffix)))
            .map(|entry| entry.path())
            .find(|dir| read::id(dir).is_some_and(|found| found == id))
    }

    /// The run for this process alone, or `None` while someone else has it.
    fn lock(&self, id: RunId) -> Result<Option<Hold>, LedgerError> {
        match self.claims {
            Claims::Locks if lease::is_taken(&self.locks_dir(), id)? => Ok(None),
            Claims::Locks => Ok(self.system_lock(id)?.map(|file| Hold::Lock { _file: file })),
            Claims::Leases { .. } if self.has_system_lock(id)? => Ok(None),
            Claims::Leases { secs } => Ok(lease::take(&self.locks_dir(), id, secs)?.map(Hold::Lease)),
        }
    }

    /// The exclusive lock of a run, or `None` while someone else has it.
    fn system_lock(&self, id: RunId) -> Result<Option<File>, LedgerError> {
        let path = self.lock_path(id);
        let parent = self.locks_dir();
        fs::create_dir_all(&parent).map_err(LedgerError::io("create", &parent))?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(LedgerError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(LedgerError::io("lock", &path)(source)),
        }
        // `is_locked` of another process holds a lock for some microseconds;
        // that must not look like a runner.
        std::thread::sleep(Duration::from_millis(20));
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(LedgerError::io("lock", &path)(source)),
        }
    }

    fn is_locked(&self, id: RunId) -> Result<bool, LedgerError> {
        Ok(self.has_system_lock(id)? || lease::is_taken(&self.locks_dir(), id)?)
    }

    fn has_system_lock(&self, id: RunId) -> Result<bool, LedgerError> {
        let path = self.lock_path(id);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(LedgerError::io("open", &path)(error)),
        };
        // Shared, so that any number of onlookers do not take each other for runners.
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(source)) => Err(LedgerError::io("lock", &path)(source)),
        }
    }
}

fn remove(dir: &Path) -> Result<(), LedgerError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LedgerError::io("remove", dir)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
