//! Runs that other experiments beside this one have already finished.
//!
//! A run's id is the hash of everything it depends on, so two experiments that ask
//! for one trial (the reference point of most of them, say) ask for the same numbers.
//! The second takes a copy; what the file says of its own point and budget stays its own.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Claim, Ledger, LedgerError, Outcome, read};
use crate::Trial;

/// The runs of the other experiments of a results folder, as their folders' names tell.
#[derive(Clone, Debug, Default)]
pub struct Elsewhere {
    /// By the short id at the end of the name, the first experiment by name first.
    runs: HashMap<String, Vec<PathBuf>>,
}

impl Elsewhere {
    /// The finished run of the same trial, if there is one.
    pub fn find(&self, trial: &Trial) -> Option<&Path> {
        let is_same = |dir: &&PathBuf| {
            let status = read::status(dir).ok().flatten();
            status.is_some_and(|status| status.outcome == Outcome::Finished)
                && read::id(dir) == Some(trial.id)
        };
        self.runs.get(&trial.id.short())?.iter().find(is_same).map(PathBuf::as_path)
    }
}

impl Ledger {
    /// The runs of the experiments beside this one. What cannot be listed counts as
    /// nothing.
    pub fn elsewhere(&self) -> Elsewhere {
        let mut found = Elsewhere::default();
        let others = self.root.parent().map_or(Vec::new(), listed);
        for other in others.into_iter().filter(|other| other.file_name() != self.root.file_name()) {
            for run in listed(&Self::open(other).runs_dir()) {
                let name = run.file_name().unwrap_or_default().to_string_lossy();
                if let Some((_, id)) = name.rsplit_once('-') {
                    found.runs.entry(id.to_owned()).or_default().push(run);
                }
            }
        }
        found
    }

    /// Takes a copy of the run at `source` (of [`Elsewhere::find`]) for a trial that
    /// nobody has begun here, with all that lies in its folder: rows, environment,
    /// weights. Whether it did.
    ///
    /// # Errors
    /// When files cannot be read or written.
    pub fn adopt(&self, trial: &Trial, source: &Path) -> Result<bool, LedgerError> {
        let Claim::Mine(writer) = self.claim(trial)? else { return Ok(false) };
        let Some(status) = read::status(source)? else { return Ok(false) };
        copy_files(source, writer.dir())?;
        writer.finish(&status)?;
        Ok(true)
    }
}

/// The paths in a folder, sorted.
fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Copies all files but the record and the status, which the writer writes.
fn copy_files(source: &Path, target: &Path) -> Result<(), LedgerError> {
    for path in listed(source) {
        let Some(name) = path.file_name() else { continue };
        if path.is_file() && name != "trial.toml" && name != "status.json" {
            fs::copy(&path, target.join(name)).map_err(LedgerError::io("copy", &path))?;
        }
    }
    Ok(())
}
