//! Runs that another experiment beside this one has already finished.
//!
//! A run's id is the hash of everything it depends on, so two experiments that ask
//! for one trial (the reference point of most of them, say) ask for the same numbers.
//! The second takes a copy; what the file says of its own point and budget stays its own.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Claim, Ledger, LedgerError, Outcome, read};
use crate::Trial;

impl Ledger {
    /// The finished run of the same trial in another experiment of the same results
    /// folder, if there is one: the first by name. Creates nothing.
    pub fn elsewhere(&self, trial: &Trial) -> Option<PathBuf> {
        let mut experiments: Vec<PathBuf> = fs::read_dir(self.root.parent()?)
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_dir() && path.file_name() != self.root.file_name())
            .collect();
        experiments.sort();
        experiments.into_iter().find_map(|root| {
            let dir = Self::open(root).find(trial.id)?;
            let status = read::status(&dir).ok()??;
            (status.outcome == Outcome::Finished).then_some(dir)
        })
    }

    /// Takes a copy of such a run for a trial that nobody has begun here, with all that
    /// lies in its folder (rows, environment, weights), and says where it came from.
    ///
    /// # Errors
    /// When files cannot be read or written.
    pub fn adopt(&self, trial: &Trial) -> Result<Option<PathBuf>, LedgerError> {
        let Some(source) = self.elsewhere(trial) else { return Ok(None) };
        let Claim::Mine(writer) = self.claim(trial)? else { return Ok(None) };
        let Some(status) = read::status(&source)? else { return Ok(None) };
        copy_files(&source, writer.dir())?;
        writer.finish(&status)?;
        Ok(Some(source))
    }
}

/// Copies all files but the record and the status, which the writer writes.
fn copy_files(source: &Path, target: &Path) -> Result<(), LedgerError> {
    for entry in fs::read_dir(source).map_err(LedgerError::io("list", source))? {
        let path = entry.map_err(LedgerError::io("list", source))?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_file() && name != "trial.toml" && name != "status.json" {
            fs::copy(&path, target.join(name)).map_err(LedgerError::io("copy", &path))?;
        }
    }
    Ok(())
}
