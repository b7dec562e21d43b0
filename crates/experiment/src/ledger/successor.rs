//! `--fresh`: trains a run again beside the old one, and replaces that when finished.
//!
//! A folder in `successors/` says that its run is to be trained again, and the successor grows there. Under the
//! run's lock the old folder is then set aside in `replaced/`, the successor takes its place, and the old one is
//! removed. If the process is killed between these steps, the next holder of the lock completes them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Ledger, LedgerError, files::short_id, folders::is_hidden, read, write::is_checkpoint};
use crate::{RunId, Trial};

impl Ledger {
    /// Asks for trials to be trained again, even if they are done: until then, [claims](Self::claim) of them are
    /// granted. Their old runs are kept until the new ones have ended.
    ///
    /// # Errors
    /// If the folders of the new runs cannot be created.
    pub fn ask_again<'t>(&self, trials: impl IntoIterator<Item = &'t Trial>) -> Result<(), LedgerError> {
        let scan = self.scan()?;
        // Two points may share a run.
        let mut asked = HashSet::new();
        let is_new = |trial: &&Trial| !scan.is_asked_for_again(trial.id) && asked.insert(trial.id);
        for trial in trials.into_iter().filter(is_new) {
            let dir = self.successors_dir().join(trial.dir_name());
            self.disk.create_dir_all(&dir).map_err(LedgerError::io("create", &dir))?;
        }
        Ok(())
    }

    /// The folders of the successors of a run.
    pub(super) fn successors(&self, id: RunId) -> Result<Vec<PathBuf>, LedgerError> {
        self.of_run(&self.successors_dir(), id)
    }

    pub(super) fn successors_dir(&self) -> PathBuf {
        self.root.join("successors")
    }

    pub(super) fn replaced_dir(&self) -> PathBuf {
        self.root.join("replaced")
    }

    /// Puts a finished successor in the place of every folder of its run. The caller holds the lock.
    pub(super) fn succeed(&self, successor: &Path, id: RunId) -> Result<(), LedgerError> {
        let name = successor.file_name().unwrap_or_default();
        let (runs, aside) = (self.runs_dir(), self.replaced_dir());
        let rename =
            |from: &Path, to: &Path| self.disk.rename(from, to).map_err(LedgerError::io("rename", from));
        let mut replaced = self.of_run(&aside, id)?;
        for (place, old) in self.of_run(&runs, id)?.into_iter().enumerate() {
            let to = aside.join(format!("{place}.{}", old.file_name().unwrap_or_default().to_string_lossy()));
            self.remove(&to)?;
            rename(&old, &to)?;
            replaced.push(to);
        }
        rename(successor, &runs.join(name))?;
        replaced.iter().try_for_each(|old| self.remove(old))?;
        self.remove_empty();
        Ok(())
    }

    /// Completes a replacement that was interrupted by a kill, and removes the temporary files of dead
    /// writers. The caller holds the lock.
    pub(super) fn settle(&self, id: RunId) -> Result<(), LedgerError> {
        for successor in self.successors(id)? {
            if matches!(read::checked_status(&self.disk, &successor), Ok(Some(_))) {
                self.succeed(&successor, id)?;
            }
        }
        let runs = self.of_run(&self.runs_dir(), id)?;
        for (place, aside) in self.of_run(&self.replaced_dir(), id)?.into_iter().enumerate() {
            let name = aside.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if runs.is_empty() && place == 0 {
                let back = self.runs_dir().join(name.split_once('.').map_or(name.as_str(), |(_, name)| name));
                self.disk.rename(&aside, &back).map_err(LedgerError::io("rename", &aside))?;
            } else {
                self.remove(&aside)?;
            }
        }
        self.remove_empty();
        for dir in self.of_run(&self.runs_dir(), id)? {
            self.disk.sweep(&dir, Duration::ZERO).map_err(LedgerError::io("clean", &dir))?;
        }
        Ok(())
    }

    /// Removes what a killed runner left beside a run that has ended: checkpoints and temporary files. Only
    /// for tidiness, so files that cannot be removed are ignored.
    pub fn tidy(&self, id: RunId, dir: &Path) {
        let is_left = |path: &Path| is_checkpoint(path) || is_hidden(path);
        let Ok(left) = self.disk.list(dir) else { return };
        if !left.iter().any(|path| is_left(path)) {
            return;
        }
        // Its runner may have finished and be about to remove them itself.
        let Ok(Some(_lock)) = self.lock(id) else { return };
        for checkpoint in left.iter().filter(|path| is_checkpoint(path)) {
            let _ = self.disk.remove_file(checkpoint);
        }
        let _ = self.disk.sweep(dir, Duration::ZERO);
    }

    /// The folders of a run in `parent`.
    pub(super) fn of_run(&self, parent: &Path, id: RunId) -> Result<Vec<PathBuf>, LedgerError> {
        let mut dirs = self.list(parent)?;
        dirs.retain(|dir| self.is_of(dir, id));
        Ok(dirs)
    }

    /// Whether a folder is of this run, as far as can be told: another run's id may begin with the same digits.
    pub(super) fn is_of(&self, dir: &Path, id: RunId) -> bool {
        short_id(dir) == Some(&id.short())
            && !matches!(read::id(&self.disk, dir), Ok(Some(found)) if found != id)
    }

    /// Removes the two folders of a replacement, unless they still hold something. Another runner may be
    /// about to put something there: the disk then makes them again.
    fn remove_empty(&self) {
        for folder in [self.successors_dir(), self.replaced_dir()] {
            // Only for tidiness.
            let _ = std::fs::remove_dir(folder);
        }
    }
}
