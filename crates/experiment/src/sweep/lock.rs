//! Locks what an experiment declares.

use std::path::PathBuf;

use decouple_disk::Disk;

use super::Sweep;
use crate::declared::file_hash;
use crate::ledger::{LOCKED_PLAN, replace_json, timestamp};
use crate::{Contents, FORMAT, Ledger, LedgerError, LockedPlan, Problem};

/// Why a plan cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The results folder cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Too little is declared.
    #[error(
        "{}: [experiment] has no `{key}`, so there is no plan to lock\n   = set `hypotheses` and `analysis`, and \
         `margin` where points may be equal", path.display()
    )]
    Nothing {
        /// The experiment file.
        path: PathBuf,
        /// What is missing.
        key: &'static str,
    },
    /// The command line changes what the file says, and only the file is locked.
    #[error(
        "{}: a plan is locked as its file says, without --set\n   = write {} into the file, or leave --set out",
        path.display(), set.join(", ")
    )]
    Set {
        /// The experiment file.
        path: PathBuf,
        /// The changes, as `key=value`.
        set: Vec<String>,
    },
    /// Another plan is locked.
    #[error(
        "{}: another plan was locked at {locked_at}: the file has changed since\n   = remove it to lock the file as it is \
         now, which version control will show", path.display()
    )]
    Other {
        /// The locked plan.
        path: PathBuf,
        /// When it was locked.
        locked_at: String,
    },
    /// A plan is locked, but cannot be read.
    #[error("{problem}")]
    Damaged {
        /// What is wrong with it.
        problem: Problem,
    },
    /// There are results already.
    #[error("{runs} runs of {name} have ended already; a plan must be locked before the first run")]
    TooLate {
        /// The experiment.
        name: String,
        /// Its runs.
        runs: usize,
    },
}

impl Sweep {
    /// Locks what the file declares; returns the file with it, and whether it was written now.
    ///
    /// # Errors
    /// If hypotheses or analysis are not declared, the command line changes the file, another plan is locked, a run has
    /// ended already or the file cannot be written.
    pub fn lock(&self, ledger: &Ledger) -> Result<(PathBuf, bool), LockError> {
        let declared = [
            ("hypotheses", self.declared.hypotheses.is_empty()),
            ("analysis", self.declared.analysis.is_empty()),
        ];
        if let Some((key, _)) = declared.into_iter().find(|(_, is_missing)| *is_missing) {
            return Err(LockError::Nothing { path: self.path.clone(), key });
        }
        if !self.set.is_empty() {
            return Err(LockError::Set { path: self.path.clone(), set: self.set.clone() });
        }
        let contents = ledger.read()?;
        if let Some(problem) = contents.lock_damage() {
            return Err(LockError::Damaged { problem: problem.clone() });
        }
        let (root, file_hash) = (ledger.root(), file_hash(&self.text));
        let path = root.join(LOCKED_PLAN);
        match contents.lock {
            Some(lock) if lock.file_hash == file_hash && lock.declared == self.declared => {
                return Ok((path, false));
            }
            Some(LockedPlan { locked_at, .. }) => return Err(LockError::Other { path, locked_at }),
            None => {}
        }
        let tries = self.tune_ledger(ledger).read()?;
        let ended = |contents: &Contents| {
            let damaged =
                contents.problems.iter().filter(|problem| problem.path.join("status.json").exists());
            contents.runs.iter().filter(|run| run.status.is_some()).count() + damaged.count()
        };
        let runs = ended(&contents) + ended(&tries);
        if runs > 0 {
            return Err(LockError::TooLate { name: self.name.clone(), runs });
        }
        let lock = LockedPlan {
            format: FORMAT,
            file_hash,
            locked_at: timestamp(std::time::SystemTime::now()),
            declared: self.declared.clone(),
        };
        let disk = Disk::within(root.parent().unwrap_or(root));
        disk.create_dir_all(root).map_err(LedgerError::io("create", root))?;
        replace_json(&disk, &path, &lock)?;
        Ok((path, true))
    }
}
