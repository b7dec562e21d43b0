//! What is known of many trials at once.
//!
//! To look one trial up, the folder of runs may have to be searched. A scan lists it
//! once, so that the time for all trials of an experiment grows with their number alone.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Ledger, LedgerError, RunState, read};
use crate::{RunId, Trial};

/// The folders of a ledger as they were listed; what is in them is read when it is
/// asked for.
#[derive(Clone, Debug)]
pub struct Scan {
    ledger: Ledger,
    /// Names of run folders, by the short id at their end.
    runs: HashMap<String, Vec<String>>,
    /// Names of lock files.
    locks: HashSet<String>,
}

impl Ledger {
    /// Lists what there is.
    ///
    /// # Errors
    /// When a folder is there and cannot be listed.
    pub fn scan(&self) -> Result<Scan, LedgerError> {
        let mut runs: HashMap<String, Vec<String>> = HashMap::new();
        for name in names(&self.runs_dir())? {
            if let Some((_, id)) = name.rsplit_once('-') {
                runs.entry(id.to_owned()).or_default().push(name);
            }
        }
        let locks = names(&self.locks_dir())?.into_iter().collect();
        Ok(Scan { ledger: self.clone(), runs, locks })
    }
}

impl Scan {
    /// What is known of `trial`, as [`Ledger::state`] tells it.
    ///
    /// # Errors
    /// When its status cannot be read.
    pub fn state(&self, trial: &Trial) -> Result<RunState, LedgerError> {
        let named = trial.dir_name();
        let runs = self.ledger.runs_dir();
        let found = match self.runs.get(&trial.id.short()) {
            Some(names) if names.contains(&named) => Some(runs.join(&named)),
            Some(_) => self.dir(trial.id),
            None => None,
        };
        match found {
            Some(dir) => self.ledger.state_in(trial, &dir),
            None if self.may_be_locked(trial.id) => self.ledger.state_in(trial, &runs.join(named)),
            None => Ok(RunState::New),
        }
    }

    /// The folder of a run, if there is one.
    pub fn dir(&self, id: RunId) -> Option<PathBuf> {
        let names = self.runs.get(&id.short())?;
        let runs = self.ledger.runs_dir();
        names.iter().map(|name| runs.join(name)).find(|dir| read::id(dir) == Some(id))
    }

    fn may_be_locked(&self, id: RunId) -> bool {
        self.locks.contains(&id.to_string()) || self.locks.contains(&format!("{id}.lease"))
    }
}

/// Names in a folder; those that are not UTF-8 are none of ours.
fn names(folder: &Path) -> Result<Vec<String>, LedgerError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(LedgerError::io("list", folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(LedgerError::io("list", folder))?;
        names.extend(entry.file_name().into_string().ok());
    }
    Ok(names)
}
