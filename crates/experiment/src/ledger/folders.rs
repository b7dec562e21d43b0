//! Finds the folders of runs by the id at the end of their names, so adding an axis to an
//! experiment, which renames its points, loses no finished run.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::{Ledger, LedgerError, Problem, Remedy, RunState, checksums, files::short_id, read};
use crate::{RunId, Trial};

/// The folders of runs as listed at one moment, for queries about many trials.
#[derive(Clone, Debug)]
pub struct Scan<'a> {
    ledger: &'a Ledger,
    /// By the short id at the end of the name.
    folders: HashMap<String, Vec<PathBuf>>,
    /// Those of successors.
    successors: HashMap<String, Vec<PathBuf>>,
    /// Those set aside for them.
    replaced: HashMap<String, Vec<PathBuf>>,
}

/// Where a run is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Absent,
    At(PathBuf),
    /// Ambiguous, or its record cannot be read.
    Wrong(Problem),
}

impl Ledger {
    /// Lists the folders of runs.
    ///
    /// # Errors
    /// If they cannot be listed. A ledger that does not exist is empty.
    pub fn scan(&self) -> Result<Scan<'_>, LedgerError> {
        Ok(Scan {
            ledger: self,
            folders: by_id(self.folders()?),
            successors: by_id(self.list(&self.successors_dir())?),
            replaced: by_id(self.list(&self.replaced_dir())?),
        })
    }

    /// The folders of runs, with those that were set aside for a successor that never arrived.
    pub(super) fn folders(&self) -> Result<Vec<PathBuf>, LedgerError> {
        let mut dirs = self.list(&self.runs_dir())?;
        // Systems put hidden files of their own into folders.
        dirs.retain(|dir| !is_hidden(dir));
        for aside in self.list(&self.replaced_dir())? {
            if !dirs.iter().any(|dir| short_id(dir) == short_id(&aside)) {
                dirs.push(aside);
            }
        }
        Ok(dirs)
    }

    pub(super) fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, LedgerError> {
        self.disk.list(folder).map_err(LedgerError::io("list", folder))
    }
}

/// Whether a file or folder is a hidden one, such as a temporary file of a writer.
pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

pub(super) fn by_id(dirs: Vec<PathBuf>) -> HashMap<String, Vec<PathBuf>> {
    let mut found: HashMap<String, Vec<PathBuf>> = HashMap::new();
    for dir in dirs {
        if let Some(id) = short_id(&dir) {
            found.entry(id.to_owned()).or_default().push(dir);
        }
    }
    found
}

impl Scan<'_> {
    /// The state of a trial. Creates nothing.
    ///
    /// # Errors
    /// If its lock cannot be looked at.
    pub fn state(&self, trial: &Trial) -> Result<RunState, LedgerError> {
        if self.is_being_replaced(trial.id) {
            let is_running = self.ledger.is_locked(trial.id)?;
            return Ok(if is_running { RunState::Running } else { RunState::Partial });
        }
        let dir = match self.place(trial.id) {
            Place::Wrong(problem) => return Ok(RunState::Damaged(problem)),
            Place::At(dir) => Some(dir),
            Place::Absent => None,
        };
        match dir.as_ref().map(|dir| read::checked_status(&self.ledger.disk, dir)) {
            Some(Ok(Some(status))) => return Ok(RunState::Done(Box::new(status))),
            Some(Err(error)) => {
                return Ok(RunState::Damaged(Problem::of_run(dir.unwrap_or_default(), &error)));
            }
            Some(Ok(None)) | None => {}
        }
        if self.ledger.is_locked(trial.id)? {
            return Ok(RunState::Running);
        }
        Ok(if dir.is_some() { RunState::Partial } else { RunState::New })
    }

    /// Whether a trial is to be trained: because it is not done, or because it is one of those `again`.
    ///
    /// # Errors
    /// As of [`Scan::state`].
    pub fn is_to_train(&self, trial: &Trial, again: &HashSet<RunId>) -> Result<bool, LedgerError> {
        Ok(again.contains(&trial.id) || !matches!(self.state(trial)?, RunState::Done(_)))
    }

    /// Whether a run is still to be trained [again](Ledger::ask_again).
    pub fn is_asked_for_again(&self, id: RunId) -> bool {
        self.has(&self.successors, id)
    }

    /// Whether a run is still to be trained again, or its replacement to be completed.
    pub(super) fn is_being_replaced(&self, id: RunId) -> bool {
        self.is_asked_for_again(id) || self.has(&self.replaced, id)
    }

    fn has(&self, folders: &HashMap<String, Vec<PathBuf>>, id: RunId) -> bool {
        folders.get(&id.short()).into_iter().flatten().any(|dir| self.ledger.is_of(dir, id))
    }

    /// The folder of a run, if it can be determined.
    pub fn dir(&self, id: RunId) -> Option<PathBuf> {
        match self.place(id) {
            Place::At(dir) => Some(dir),
            Place::Absent | Place::Wrong(_) => None,
        }
    }

    /// The one folder of a run. Two are a problem, since nothing says which one counts.
    pub(super) fn place(&self, id: RunId) -> Place {
        let (mut own, mut damage) = (Vec::new(), None);
        for dir in self.folders.get(&id.short()).into_iter().flatten() {
            match read::id(&self.ledger.disk, dir) {
                Ok(Some(found)) if found != id => {}
                Ok(_) => own.push(dir),
                Err(error) => {
                    own.push(dir);
                    damage = Some(error);
                }
            }
        }
        match (own.as_slice(), damage) {
            ([], _) => Place::Absent,
            ([dir], None) => Place::At(dir.to_path_buf()),
            ([dir], Some(error)) => Place::Wrong(Problem::of_run(dir.to_path_buf(), &error)),
            ([first, second, ..], _) => Place::Wrong(Problem::twins(first, second, id)),
        }
    }
}

impl Problem {
    /// A run's folder in which something is wrong.
    pub(super) fn of_run(dir: PathBuf, error: &LedgerError) -> Self {
        let id = short_id(&dir).map(str::to_owned);
        let remedy = match (error, id) {
            (LedgerError::Misnamed { id, .. }, _) => Remedy::Rename { id: id.short() },
            (_, None) => Remedy::Remove,
            // Training again would replace a run that may be sound.
            (LedgerError::Io { .. }, Some(id)) => Remedy::MakeReadable { id },
            (LedgerError::UnknownFormat { .. }, Some(id)) => Remedy::Upgrade { id },
            (LedgerError::Malformed { path, .. }, Some(id)) if checksums::is_intact(&dir, path) => {
                Remedy::Upgrade { id }
            }
            (_, Some(id)) => Remedy::TrainAgain { id },
        };
        Self { path: dir, message: error.to_string(), remedy }
    }

    pub(super) fn twins(first: &Path, second: &Path, id: RunId) -> Self {
        let name = |dir: &Path| dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self {
            path: first.to_owned(),
            message: format!("two folders are of run {id}: {} and {}", name(first), name(second)),
            remedy: Remedy::RemoveOne { id: id.short() },
        }
    }
}
