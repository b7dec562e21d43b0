//! Removes runs that no file asks for any more.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Ledger, LedgerError, Run, files::short_id, read};
use crate::Trial;

impl Ledger {
    /// Removes the folder of a run of this ledger, and what has been trained to replace it; whether it did, which it
    /// does not while the run is being trained.
    ///
    /// # Errors
    /// If the folder cannot be removed.
    pub fn discard(&self, run: &Run) -> Result<bool, LedgerError> {
        let Some(_lock) = self.lock(run.id)? else { return Ok(false) };
        for parent in [self.successors_dir(), self.replaced_dir()] {
            self.of_run(&parent, run.id)?.iter().try_for_each(|dir| self.remove(dir))?;
        }
        self.remove(&run.dir).map(|()| true)
    }

    /// The folders of runs that were to be trained again, but are of none of `trials` any more.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn abandoned(&self, trials: &[Trial]) -> Result<Vec<PathBuf>, LedgerError> {
        let asked: HashSet<String> = trials.iter().map(|trial| trial.id.short()).collect();
        let mut dirs = self.list(&self.successors_dir())?;
        dirs.retain(|dir| short_id(dir).is_some_and(|id| !asked.contains(id)));
        Ok(dirs)
    }

    /// Removes one of the [abandoned](Self::abandoned) folders; whether it did, which it does not while its run is being
    /// trained.
    ///
    /// # Errors
    /// If the folder cannot be removed.
    pub fn discard_abandoned(&self, dir: &Path) -> Result<bool, LedgerError> {
        let Some(id) = read::id(&self.disk, dir)? else {
            // Nothing has been trained in it, unless just now; a record may have been about to be written.
            self.disk.sweep(dir, Duration::ZERO).map_err(LedgerError::io("clean", dir))?;
            return std::fs::remove_dir(dir).map(|()| true).map_err(LedgerError::io("remove", dir));
        };
        let Some(_lock) = self.lock(id)? else { return Ok(false) };
        self.remove(dir).map(|()| true)
    }
}
