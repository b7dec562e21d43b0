//! Locks what an experiment declares.

use std::path::PathBuf;

use decouple_disk::Disk;

use super::Sweep;
use crate::declared::file_hash;
use crate::ledger::{LOCKED_PLAN, replace_json, timestamp};
use crate::{FORMAT, Ledger, LedgerError, LockedPlan};

/// Why a plan cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The results folder cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Nothing is declared.
    #[error(
        "{}: nothing to lock\n = set `hypotheses` and `analysis` in [experiment], and `margin` where points may be \
         equal", path.display()
    )]
    Nothing {
        /// The experiment file.
        path: PathBuf,
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
    /// Locks what the file declares; returns the file that was written.
    ///
    /// # Errors
    /// If nothing is declared, a run has ended already, or the file cannot be written.
    pub fn lock(&self, ledger: &Ledger) -> Result<PathBuf, LockError> {
        if self.declared.hypotheses.is_empty() || self.declared.analysis.is_empty() {
            return Err(LockError::Nothing { path: self.path.clone() });
        }
        let runs = ledger.read()?.runs.iter().filter(|run| run.status.is_some()).count();
        if runs > 0 {
            return Err(LockError::TooLate { name: self.name.clone(), runs });
        }
        let lock = LockedPlan {
            format: FORMAT,
            file_hash: file_hash(&self.text),
            locked_at: timestamp(std::time::SystemTime::now()),
            declared: self.declared.clone(),
        };
        let root = ledger.root();
        let disk = Disk::within(root.parent().unwrap_or(root));
        disk.create_dir_all(root).map_err(LedgerError::io("create", root))?;
        let path = root.join(LOCKED_PLAN);
        replace_json(&disk, &path, &lock)?;
        Ok(path)
    }
}
