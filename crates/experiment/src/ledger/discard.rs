//! Removes runs that no file asks for any more.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use super::{Ledger, LedgerError, Run, files::short_id, read};
use crate::Trial;

impl Ledger {
    /// Removes the folder of a run of this ledger, and what has been trained to replace it.
    ///
    /// # Errors
    /// If it is being trained, or if the folder cannot be removed.
    pub fn discard(&self, run: &Run) -> Result<(), LedgerError> {
        match self.lock(run.id)? {
            Some(_lock) => {
                for parent in [self.successors_dir(), self.replaced_dir()] {
                    self.of_run(&parent, run.id)?.iter().try_for_each(|dir| self.remove(dir))?;
                }
                self.remove(&run.dir)
            }
            None => Err(is_busy(&run.dir)),
        }
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

    /// Removes one of the [abandoned](Self::abandoned) folders.
    ///
    /// # Errors
    /// If its run is being trained, or if the folder cannot be removed.
    pub fn discard_abandoned(&self, dir: &Path) -> Result<(), LedgerError> {
        match read::id(&self.disk, dir)? {
            // Nothing has been trained in it, unless just now.
            None => std::fs::remove_dir(dir).map_err(LedgerError::io("remove", dir)),
            Some(id) => match self.lock(id)? {
                Some(_lock) => self.remove(dir),
                None => Err(is_busy(dir)),
            },
        }
    }
}

fn is_busy(dir: &Path) -> LedgerError {
    let error = io::Error::new(io::ErrorKind::ResourceBusy, "another process is training it");
    LedgerError::io("remove", dir)(error)
}
