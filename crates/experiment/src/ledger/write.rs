//! Writes a run: rows as they become known, the status last.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use decouple_disk::{Disk, Growing};
use serde::Serialize;

use super::checksums::{self, Checksums};
use super::lease::Hold;
use super::read::TrialFile;
use super::{CHECKPOINT_PREFIX, Environment, Ledger, LedgerError, MetricsRow, Status, TimingRow, per_image};
use crate::{RunId, Trial};

/// The only writer of a run. Holds its lock; dropped without [`finish`](Self::finish), it
/// leaves a run that counts as interrupted.
#[derive(Debug)]
pub struct RunWriter {
    ledger: Ledger,
    id: RunId,
    dir: PathBuf,
    /// Whether it replaces a run that is there.
    is_successor: bool,
    metrics: RowFile,
    timing: RowFile,
    hold: Hold,
}

impl RunWriter {
    /// Makes the folder with the trial's record and no rows. Of existing files only checkpoints are
    /// kept.
    pub(super) fn create(
        ledger: &Ledger,
        dir: PathBuf,
        trial: &Trial,
        hold: Hold,
        is_successor: bool,
    ) -> Result<Self, LedgerError> {
        let disk = &ledger.disk;
        disk.create_dir_all(&dir).map_err(LedgerError::io("create", &dir))?;
        disk.sweep(&dir, Duration::ZERO).map_err(LedgerError::io("clean", &dir))?;
        // The status first: without it the run counts as interrupted, whatever else is left of
        // it.
        let status = dir.join("status.json");
        disk.remove_file(&status).map_err(LedgerError::io("remove", &status))?;
        // Then the record, so that the folder always says whose it is.
        let text = toml::to_string(&TrialFile::of(trial)).map_err(|e| LedgerError::malformed(&dir, e))?;
        let record = dir.join("trial.toml");
        replace(disk, &record, text.as_bytes())?;
        for path in disk.list(&dir).map_err(LedgerError::io("list", &dir))? {
            // A folder is someone else's.
            if path != record && !is_checkpoint(&path) && !path.is_dir() {
                disk.remove_file(&path).map_err(LedgerError::io("remove", &path))?;
            }
        }
        Ok(Self {
            metrics: RowFile::create(disk, dir.join("metrics.csv"))?,
            timing: RowFile::create(disk, dir.join("timing.csv"))?,
            ledger: ledger.clone(),
            id: trial.id,
            dir,
            is_successor,
            hold,
        })
    }

    /// The run's folder, for files that only the trainer knows, such as checkpoints.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The disk that the run's files are written to.
    pub fn disk(&self) -> &Disk {
        &self.ledger.disk
    }

    /// To be called before anything but this writer writes files of the run.
    ///
    /// # Errors
    /// [`LedgerError::Lost`] if the run may be another's by now.
    pub fn check(&self) -> Result<(), LedgerError> {
        self.hold.check(self.id)
    }

    /// Writes `environment.json`.
    ///
    /// # Errors
    /// If the file cannot be written, or the run may be another's by now.
    pub fn write_environment(&self, environment: &Environment) -> Result<(), LedgerError> {
        self.check()?;
        replace_json(&self.ledger.disk, &self.dir.join("environment.json"), environment)
    }

    /// Appends one row to each table, and flushes both to the system before it returns.
    ///
    /// # Errors
    /// If a file cannot be written, or the run may be another's by now.
    pub fn append(&mut self, metrics: &MetricsRow, timing: &TimingRow) -> Result<(), LedgerError> {
        self.check()?;
        self.metrics.append(metrics)?;
        self.timing.append(timing)
    }

    /// Writes `per-image.bin`: for each test image whether the run is right, and its log-loss.
    ///
    /// # Errors
    /// If the file cannot be written, the slices are not equally long, or the run may be another's by now.
    pub fn write_per_image(&self, correct: &[bool], losses: &[f32]) -> Result<(), LedgerError> {
        self.check()?;
        per_image::write(&self.ledger.disk, &self.dir.join(per_image::FILE_NAME), correct, losses)
    }

    /// The texts of `metrics.csv` and `timing.csv` so far.
    pub fn tables(&self) -> [&str; 2] {
        [&self.metrics.text, &self.timing.text]
    }

    /// Puts the tables back to these texts of [`tables`](Self::tables), to continue from there; returns the
    /// rows of metrics.
    ///
    /// # Errors
    /// If a file cannot be written, the text is not a table, or the run may be another's by now.
    pub fn restore(&mut self, [metrics, timing]: [&str; 2]) -> Result<Vec<MetricsRow>, LedgerError> {
        self.check()?;
        self.metrics.restore(&self.ledger.disk, metrics)?;
        self.timing.restore(&self.ledger.disk, timing)?;
        csv::Reader::from_reader(metrics.as_bytes())
            .deserialize()
            .collect::<Result<_, _>>()
            .map_err(|error| LedgerError::malformed(&self.metrics.path, error))
    }

    /// Ends the run: syncs the rows, then writes checksums and status, then releases the lock. A
    /// run that was [asked for again](Ledger::ask_again) replaces the old one.
    ///
    /// # Errors
    /// If a file cannot be written, or the run may be another's by now.
    pub fn finish(self, status: &Status) -> Result<(), LedgerError> {
        let bytes = json(&self.dir.join("status.json"), status)?;
        self.finish_with(&bytes, None)
    }

    /// As [`finish`](Self::finish), with the bytes of a status. The files that `expected` lists were copied,
    /// and must match it on disk.
    pub(super) fn finish_with(self, status: &[u8], expected: Option<&Checksums>) -> Result<(), LedgerError> {
        self.check()?;
        self.metrics.sync()?;
        self.timing.sync()?;
        let disk = &self.ledger.disk;
        // One who stalled and lost the run may have put other tables in place of these.
        for table in [&self.metrics, &self.timing].into_iter().filter(|_| expected.is_none()) {
            let found = disk.read(&table.path).map_err(LedgerError::io("read", &table.path))?;
            if found != table.text.as_bytes() {
                let message = "it is not what this process has written; something else has changed it";
                return Err(LedgerError::malformed(&table.path, message));
            }
        }
        let sums = checksums::of_folder(disk, &self.dir, status)?;
        for (name, sum) in &sums {
            if name != "trial.toml" && expected.is_some_and(|expected| expected.get(name) != Some(sum)) {
                let message = "the copy does not match its source's checksums";
                return Err(LedgerError::malformed(&self.dir.join(name), message));
            }
        }
        self.check()?;
        checksums::write(disk, &self.dir, &sums)?;
        replace(disk, &self.dir.join("status.json"), status)?;
        for path in disk.list(&self.dir).map_err(LedgerError::io("list", &self.dir))? {
            if is_checkpoint(&path) {
                disk.remove_file(&path).map_err(LedgerError::io("remove", &path))?;
            }
        }
        if self.is_successor { self.ledger.succeed(&self.dir, self.id) } else { Ok(()) }
    }
}

pub(super) fn is_checkpoint(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(CHECKPOINT_PREFIX))
}

/// A CSV file that grows by whole rows.
#[derive(Debug)]
struct RowFile {
    path: PathBuf,
    file: Growing,
    /// All that was written.
    text: String,
}

impl RowFile {
    fn create(disk: &Disk, path: PathBuf) -> Result<Self, LedgerError> {
        let file = disk.create(&path).map_err(LedgerError::io("create", &path))?;
        Ok(Self { path, file, text: String::new() })
    }

    fn restore(&mut self, disk: &Disk, text: &str) -> Result<(), LedgerError> {
        replace(disk, &self.path, text.as_bytes())?;
        self.file = disk.append(&self.path).map_err(LedgerError::io("open", &self.path))?;
        self.text = text.to_owned();
        Ok(())
    }

    fn append(&mut self, row: &impl Serialize) -> Result<(), LedgerError> {
        let mut writer = csv::WriterBuilder::new().has_headers(self.text.is_empty()).from_writer(Vec::new());
        writer.serialize(row).map_err(|error| LedgerError::malformed(&self.path, error))?;
        let bytes = writer.into_inner().map_err(|error| LedgerError::malformed(&self.path, error))?;
        self.file.write_all(&bytes).map_err(LedgerError::io("write", &self.path))?;
        self.text += &String::from_utf8_lossy(&bytes);
        Ok(())
    }

    fn sync(&self) -> Result<(), LedgerError> {
        self.file.sync().map_err(LedgerError::io("write", &self.path))
    }
}

/// As [`replace`], for a JSON document.
pub(crate) fn replace_json(disk: &Disk, path: &Path, value: &impl Serialize) -> Result<(), LedgerError> {
    replace(disk, path, &json(path, value)?)
}

fn json(path: &Path, value: &impl Serialize) -> Result<Vec<u8>, LedgerError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| LedgerError::malformed(path, error))?;
    text.push(b'\n');
    Ok(text)
}

/// Replaces a file by rename, once its bytes are on the disk, then syncs the new name.
pub(crate) fn replace(disk: &Disk, path: &Path, bytes: &[u8]) -> Result<(), LedgerError> {
    disk.replace(path, bytes).map_err(LedgerError::io("write", path))
}
