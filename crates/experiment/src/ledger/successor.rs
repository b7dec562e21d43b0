//! `--fresh`: trains a run again beside the old one, and replaces that when finished.
//!
//! The successor grows in `successors/`. Under the run's lock the old folder is then set aside in
//! `replaced/`, the successor takes its place, and the old one is removed. If the process is killed between
//! these steps, the next holder of the lock completes them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Claim, Ledger, LedgerError, RunWriter, files::short_id, read, write::is_checkpoint};
use crate::{RunId, Trial};

impl Ledger {
    /// Claims a trial for the caller even if it is done: it is trained beside the old run, which is kept
    /// until the new one has ended. An interrupted successor continues.
    ///
    /// # Errors
    /// If files cannot be created.
    pub fn claim_fresh(&self, trial: &Trial) -> Result<Claim, LedgerError> {
        let Some(lock) = self.lock(trial.id)? else { return Ok(Claim::Taken) };
        self.settle(trial.id)?;
        let dir = self.successors_dir().join(trial.dir_name());
        RunWriter::create(self, dir, trial, lock, true).map(Box::new).map(Claim::Mine)
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
        for successor in self.of_run(&self.successors_dir(), id)? {
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
    pub(super) fn tidy(&self, id: RunId, dir: &Path) {
        let is_left = |path: &Path| {
            is_checkpoint(path)
                || path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
        };
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
    fn of_run(&self, parent: &Path, id: RunId) -> Result<Vec<PathBuf>, LedgerError> {
        let mut dirs = self.disk.list(parent).map_err(LedgerError::io("list", parent))?;
        // Another run's id may begin with the same digits.
        dirs.retain(|dir| {
            short_id(dir) == Some(&id.short())
                && !matches!(read::id(&self.disk, dir), Ok(Some(found)) if found != id)
        });
        Ok(dirs)
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
