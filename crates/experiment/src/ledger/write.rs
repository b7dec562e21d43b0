//! Writing a run: rows as they are known, the status last.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use atomic_write_file::AtomicWriteFile;
use serde::Serialize;

use super::lease::Hold;
use super::read::TrialFile;
use super::{Environment, LedgerError, MetricsRow, Status, TimingRow};
use crate::{RunId, Trial};

/// The only writer of a run. Holds its lock; dropped without
/// [`finish`](Self::finish), it leaves a run that counts as cut off.
#[derive(Debug)]
pub struct RunWriter {
    dir: PathBuf,
    metrics: RowFile,
    timing: RowFile,
    id: RunId,
    hold: Hold,
}

impl RunWriter {
    /// Makes the folder with the trial's record and no rows.
    pub(super) fn create(dir: PathBuf, trial: &Trial, hold: Hold) -> Result<Self, LedgerError> {
        fs::create_dir_all(&dir).map_err(LedgerError::io("create", &dir))?;
        let text = toml::to_string(&TrialFile::of(trial)).map_err(|e| LedgerError::malformed(&dir, e))?;
        replace(&dir.join("trial.toml"), text.as_bytes())?;
        Ok(Self {
            metrics: RowFile::create(dir.join("metrics.csv"))?,
            timing: RowFile::create(dir.join("timing.csv"))?,
            dir,
            id: trial.id,
            hold,
        })
    }

    /// The run's folder, for files that only the trainer knows, such as checkpoints.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes `environment.json`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_environment(&self, environment: &Environment) -> Result<(), LedgerError> {
        replace_json(&self.dir.join("environment.json"), environment)
    }

    /// Appends one row to each table, and hands both to the system before it returns.
    ///
    /// # Errors
    /// When a file cannot be written, or the run may be another's by now.
    pub fn append(&mut self, metrics: &MetricsRow, timing: &TimingRow) -> Result<(), LedgerError> {
        self.hold.check(self.id)?;
        self.metrics.append(metrics)?;
        self.timing.append(timing)
    }

    /// Ends the run: the rows reach the disk, then the status, then the lock goes.
    ///
    /// # Errors
    /// When a file cannot be written, or the run may be another's by now.
    pub fn finish(self, status: &Status) -> Result<(), LedgerError> {
        self.hold.check(self.id)?;
        self.metrics.sync()?;
        self.timing.sync()?;
        replace_json(&self.dir.join("status.json"), status)
    }
}

/// A CSV file that grows by whole rows.
#[derive(Debug)]
struct RowFile {
    path: PathBuf,
    writer: csv::Writer<File>,
}

impl RowFile {
    fn create(path: PathBuf) -> Result<Self, LedgerError> {
        let file = File::create(&path).map_err(LedgerError::io("create", &path))?;
        Ok(Self { path, writer: csv::Writer::from_writer(file) })
    }

    fn append(&mut self, row: &impl Serialize) -> Result<(), LedgerError> {
        self.writer.serialize(row).map_err(|error| LedgerError::malformed(&self.path, error))?;
        self.writer.flush().map_err(LedgerError::io("write", &self.path))
    }

    fn sync(&self) -> Result<(), LedgerError> {
        self.writer.get_ref().sync_all().map_err(LedgerError::io("write", &self.path))
    }
}

/// As [`replace`], for a JSON document.
pub(crate) fn replace_json(path: &Path, value: &impl Serialize) -> Result<(), LedgerError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| LedgerError::malformed(path, error))?;
    text.push(b'\n');
    replace(path, &text)
}

/// Replaces a file by rename, after its bytes and before its name have reached the disk.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), LedgerError> {
    let write = || {
        let mut file = AtomicWriteFile::open(path)?;
        file.write_all(bytes)?;
        file.commit()
    };
    write().map_err(LedgerError::io("write", path))
}
