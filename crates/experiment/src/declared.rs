//! What an experiment lays down before any run, and the lock that proves it.
//!
//! `decouple plan FILE --lock` writes `lock.json` beside the runs-to-be: the hash of the file, its hypotheses, margin
//! and analysis. Committed with the file before the first run, it tells a reader that what the report tests was not
//! thought of after the results were seen.

use decouple_disk::Disk;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ledger::{replace_json, timestamp};
use crate::{FORMAT, Ledger, LedgerError, Sweep};

/// What is laid down.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// What is expected, a sentence each.
    pub hypotheses: Vec<String>,
    /// The margin within which points count as equal, a share of the images.
    pub margin: Option<f64>,
    /// How the runs are to be analysed.
    pub analysis: String,
}

/// `lock.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Version of the file.
    pub format: u32,
    /// BLAKE3 of the experiment file's text, in hexadecimal.
    pub file_hash: String,
    /// When it was locked, UTC.
    pub locked_at: String,
    /// What was laid down.
    pub declared: Declared,
}

/// Why a plan cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The results folder cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Nothing is laid down.
    #[error(
        "{}: nothing to lock\n = set `hypotheses` and `analysis` in [experiment], and `margin` where points may be \
         equal", path.display()
    )]
    Nothing {
        /// The experiment file.
        path: PathBuf,
    },
    /// Runs have been seen.
    #[error("{runs} runs of {name} are over: a plan is locked before the first")]
    TooLate {
        /// The experiment.
        name: String,
        /// Its runs.
        runs: usize,
    },
}

/// The name of the file in an experiment's folder.
pub(crate) const FILE_NAME: &str = "lock.json";

/// The hash of an experiment file's text. How lines end does not count.
pub fn file_hash(text: &str) -> String {
    blake3::hash(text.replace("\r\n", "\n").as_bytes()).to_string()
}

impl Sweep {
    /// Locks what the file lays down; returns the file that was written.
    ///
    /// # Errors
    /// When nothing is laid down, a run is over already, or the file cannot be written.
    pub fn lock(&self, ledger: &Ledger) -> Result<PathBuf, LockError> {
        if self.declared.hypotheses.is_empty() || self.declared.analysis.is_empty() {
            return Err(LockError::Nothing { path: self.path.clone() });
        }
        let runs = ledger.read()?.runs.iter().filter(|run| run.status.is_some()).count();
        if runs > 0 {
            return Err(LockError::TooLate { name: self.name.clone(), runs });
        }
        let lock = Lock {
            format: FORMAT,
            file_hash: file_hash(&self.text),
            locked_at: timestamp(std::time::SystemTime::now()),
            declared: self.declared.clone(),
        };
        let root = ledger.root();
        let disk = Disk::within(root.parent().unwrap_or(root));
        disk.create_dir_all(root).map_err(LedgerError::io("create", root))?;
        let path = root.join(FILE_NAME);
        replace_json(&disk, &path, &lock)?;
        Ok(path)
    }
}

/// The lock in an experiment's folder; `None` where there is none.
pub(crate) fn read(root: &Path) -> Result<Option<Lock>, LedgerError> {
    let path = root.join(FILE_NAME);
    match Disk::default().read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| LedgerError::Malformed { path, message: error.to_string() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LedgerError::io("read", &path)(error)),
    }
}
