//! Reads runs back, complete or not.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use decouple_disk::Disk;
use decouple_spectrum::cost::Cost;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::checksums::{self, Depth};
use super::files::{environment, short_id, text};
use super::per_image::{self, PerImage};
use super::{Environment, Identity, Ledger, LedgerError, MetricsRow, Mismatch, Status, TimingRow};
use crate::{BudgetOutcome, FORMAT, LayerRecord, LockedPlan, Record, RunId, Trial};

/// The file with the record of a run.
const RECORD: &str = "trial.toml";

/// All that a ledger holds.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The runs that could be read, sorted by folder.
    pub runs: Vec<Run>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// What was locked before the runs.
    pub lock: Option<LockedPlan>,
}

impl Contents {
    /// What is wrong with the locked plan, if there is one that cannot be read.
    pub fn lock_damage(&self) -> Option<&Problem> {
        self.problems.iter().find(|problem| problem.remedy == Remedy::Restore)
    }
}

/// Something in the ledger that is not a complete run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub message: String,
    /// What to do about it.
    pub remedy: Remedy,
}

/// What repairs a [`Problem`]. Ids are the eight digits that a filter takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// To train the run again, which replaces its folder.
    TrainAgain {
        /// Of the run.
        id: String,
    },
    /// To remove one of the run's two folders, or to train it again.
    RemoveOne {
        /// Of the run.
        id: String,
    },
    /// To remove it.
    Remove,
    /// To give its folder back the name that ends in the id.
    Rename {
        /// Of the run.
        id: String,
    },
    /// To get it back from a copy.
    Restore,
    /// To let the system read its files: they may be sound.
    MakeReadable {
        /// Of the run.
        id: String,
    },
    /// To read it with the program that has written it, or a newer one: its files are sound.
    Upgrade {
        /// Of the run.
        id: String,
    },
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path.display().to_string();
        // A message about a file of the folder names it.
        if self.message.contains(&path) {
            f.write_str(&self.message)
        } else {
            write!(f, "{path}: {}", self.message)
        }
    }
}

impl Problem {
    /// The remedy as advice, where `run` is the command that trains the experiment.
    pub fn advice(&self, run: &str) -> String {
        let again = |id: &str| format!("{run} --fresh --filter id={id}");
        match &self.remedy {
            Remedy::TrainAgain { id } => format!("`{}` trains it again", again(id)),
            Remedy::RemoveOne { id } => {
                format!("remove one of the two, or train it again to replace both: `{}`", again(id))
            }
            Remedy::Remove => format!("{} belongs to no run: move it away", self.path.display()),
            Remedy::Rename { id } => {
                format!("rename {} so that it ends in -{id}, or move it away", self.path.display())
            }
            Remedy::MakeReadable { .. } => {
                format!("make {} and its files readable, and try again", self.path.display())
            }
            Remedy::Upgrade { .. } => "use a newer version of this program, which can read it".to_owned(),
            Remedy::Restore => {
                let path = self.path.display();
                format!("restore it from a backup or from version control, as by `git checkout -- {path}`")
            }
        }
    }
}

/// A run, as it is on disk.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its folder.
    pub dir: PathBuf,
    /// Its name: the hash of `record`.
    pub id: RunId,
    /// Axis name and value as text, without the seed, as they were when it ran.
    pub point: Vec<(String, String)>,
    /// Everything that it depends on.
    pub record: Record,
    /// Cost of its network.
    pub cost: Cost,
    /// Decoupling level of its network.
    pub level: f64,
    /// The effect of the budget, if there was one.
    pub budget: Option<BudgetOutcome>,
    /// Its spatial convolutions.
    pub layers: Vec<LayerRecord>,
    /// Where it ran.
    pub environment: Option<Environment>,
    /// One row per epoch.
    pub metrics: Vec<MetricsRow>,
    /// One row per epoch.
    pub timing: Vec<TimingRow>,
    /// How it ended; `None` while it is being trained, or after it was interrupted.
    pub status: Option<Status>,
    /// Whether its files have checksums. Runs of earlier versions have none.
    pub has_checksums: bool,
}

impl Run {
    /// Its data and engine.
    pub fn identity(&self) -> Identity {
        let unknown = Identity { data: None, numerics: 0 };
        self.environment.as_ref().map_or(unknown, Identity::of_run)
    }
}

impl Run {
    /// The run in the folder `dir`, whichever experiment it belongs to, after comparing all its files with their
    /// checksums, the weights too if they are there.
    ///
    /// # Errors
    /// What is wrong with it, and what to do about it.
    pub fn open(dir: &Path) -> Result<Self, Problem> {
        // `.` and links have names of their own.
        let real = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        match run(&Disk::default(), &real, Depth::All) {
            Ok(run) => Ok(Self { dir: dir.to_owned(), ..run }),
            Err(error) => Err(Problem::of_run(real, &error)),
        }
    }

    /// If it was trained on images of another checksum than `here`: how they differ.
    pub fn other_images(&self, here: &str) -> Option<Mismatch> {
        let numerics = self.identity().numerics;
        let here = Identity { data: Some(here.to_owned()), numerics };
        here.difference(self.dir.clone(), &self.identity())
    }

    /// Its results on each test image, read on request; `None` if the run kept no such file.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn per_image(&self) -> Result<Option<PerImage>, LedgerError> {
        per_image::read(&self.dir.join(per_image::FILE_NAME))
    }
}

/// `trial.toml`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrialFile {
    format: u32,
    id: RunId,
    level: f64,
    point: Vec<Coordinate>,
    cost: Cost,
    budget: Option<BudgetOutcome>,
    record: Record,
    layers: Vec<LayerRecord>,
}

/// One coordinate of a point. Not a map: its order is the file's.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Coordinate {
    axis: String,
    value: String,
}

impl TrialFile {
    pub(super) fn of(trial: &Trial) -> Self {
        let coordinate =
            |(axis, value): &(String, String)| Coordinate { axis: axis.clone(), value: value.clone() };
        Self {
            format: FORMAT,
            id: trial.id,
            level: trial.level,
            point: trial.point.iter().map(coordinate).collect(),
            cost: trial.cost,
            budget: trial.budget.clone(),
            record: trial.record.clone(),
            layers: trial.layers.to_vec(),
        }
    }
}

/// The part of a file that every format has.
#[derive(Deserialize)]
struct FormatOnly {
    format: u64,
}

fn check_format(path: &Path, found: u64) -> Result<(), LedgerError> {
    if found == u64::from(FORMAT) {
        Ok(())
    } else {
        Err(LedgerError::UnknownFormat { path: path.to_owned(), found })
    }
}

/// The status of the run in `dir`, if it has ended.
fn status(disk: &Disk, dir: &Path) -> Result<Option<Status>, LedgerError> {
    let path = dir.join("status.json");
    let Some(text) = text(disk, &path)? else { return Ok(None) };
    let malformed = |error| LedgerError::malformed(&path, error);
    let FormatOnly { format } = serde_json::from_str(&text).map_err(malformed)?;
    check_format(&path, format)?;
    let status: Status = serde_json::from_str(&text).map_err(malformed)?;
    Ok(Some(status).filter(|status| !status.outcome.is_no_result()))
}

/// The status of the run in `dir`, if it has ended, after checking its small files against their checksums.
pub(super) fn checked_status(disk: &Disk, dir: &Path) -> Result<Option<Status>, LedgerError> {
    let status = status(disk, dir)?;
    if status.is_some() {
        checksums::check(disk, dir, Depth::Small)?;
    }
    Ok(status)
}

/// The id of the run in `dir`; `None` if the run has only just begun and has no record yet.
///
/// If checksums cover the record, which [`checked_status`] verifies, only the line with the id is read: ten
/// thousand whole records take a while.
pub(super) fn id(disk: &Disk, dir: &Path) -> Result<Option<RunId>, LedgerError> {
    let Some(text) = record(disk, dir)? else { return Ok(None) };
    if dir.join(checksums::FILE).exists() {
        let lines = text.lines().filter_map(|line| line.strip_prefix("id = \"")?.strip_suffix('"'));
        if let Some(id) = lines.map(str::parse).next().and_then(Result::ok) {
            return Ok(Some(id));
        }
    }
    trial_file(&dir.join(RECORD), &text).map(|file| Some(file.id))
}

/// The text of the record of the run in `dir`; `None` if the run has only just begun and has none yet.
fn record(disk: &Disk, dir: &Path) -> Result<Option<String>, LedgerError> {
    if dir.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        // Renamed or removed since it was listed.
        return Ok(None);
    }
    if !dir.is_dir() {
        return Err(LedgerError::malformed(dir, "it is not a folder"));
    }
    let text = text(disk, &dir.join(RECORD))?;
    let has_begun = short_id(dir).is_some() && !dir.join("status.json").exists();
    if text.is_some() || has_begun { Ok(text) } else { Err(no_record(dir)) }
}

fn no_record(dir: &Path) -> LedgerError {
    LedgerError::malformed(&dir.join(RECORD), "the run has no record")
}

/// The data and engine of the run in `dir`, if it states them.
pub(super) fn identity(disk: &Disk, dir: &Path) -> Result<Option<Identity>, LedgerError> {
    Ok(environment(disk, &dir.join("environment.json"))?.as_ref().map(Identity::of_run))
}

fn trial_file(path: &Path, text: &str) -> Result<TrialFile, LedgerError> {
    let malformed = |error: toml::de::Error| LedgerError::malformed(path, error);
    let FormatOnly { format } = toml::from_str(text).map_err(malformed)?;
    check_format(path, format)?;
    let file: TrialFile = toml::from_str(text).map_err(malformed)?;
    let hash = file.record.id();
    if hash == file.id {
        Ok(file)
    } else {
        let message =
            format!("the record hashes to {hash}, not to its id {}: it was edited by hand", file.id);
        Err(LedgerError::malformed(path, message))
    }
}

/// Everything in the ledger, read to the given depth.
pub(super) fn contents(ledger: &Ledger, depth: Depth) -> Result<Contents, LedgerError> {
    let mut contents = Contents::default();
    for dir in ledger.folders()? {
        match run_if_begun(&ledger.disk, &dir, depth) {
            Ok(run) => contents.runs.extend(run),
            Err(error) => contents.problems.push(Problem::of_run(dir, &error)),
        }
    }
    // If one run has two folders, neither counts: nothing says which one should.
    let mut dirs: BTreeMap<RunId, Vec<PathBuf>> = BTreeMap::new();
    contents.runs.iter().for_each(|run| dirs.entry(run.id).or_default().push(run.dir.clone()));
    dirs.retain(|_, dirs| dirs.len() > 1);
    contents.runs.retain(|run| !dirs.contains_key(&run.id));
    contents.problems.extend(dirs.iter().map(|(id, dirs)| Problem::twins(&dirs[0], &dirs[1], *id)));
    Ok(contents)
}

/// The run in `dir`.
pub(super) fn run(disk: &Disk, dir: &Path, depth: Depth) -> Result<Run, LedgerError> {
    run_if_begun(disk, dir, depth)?.ok_or_else(|| no_record(dir))
}

/// The run in `dir`; `None` if it has only just begun and has no record yet.
fn run_if_begun(disk: &Disk, dir: &Path, depth: Depth) -> Result<Option<Run>, LedgerError> {
    let Some(record) = record(disk, dir)? else { return Ok(None) };
    let file = trial_file(&dir.join(RECORD), &record)?;
    if short_id(dir) != Some(&file.id.short()) {
        return Err(LedgerError::Misnamed { dir: dir.to_owned(), id: file.id });
    }
    let status = status(disk, dir)?;
    let is_over = status.is_some();
    let has_checksums = is_over && checksums::check(disk, dir, depth)?;
    Ok(Some(Run {
        dir: dir.to_owned(),
        id: file.id,
        point: file.point.into_iter().map(|coordinate| (coordinate.axis, coordinate.value)).collect(),
        record: file.record,
        cost: file.cost,
        level: file.level,
        budget: file.budget,
        layers: file.layers,
        environment: environment(disk, &dir.join("environment.json"))?,
        metrics: rows(disk, &dir.join("metrics.csv"), is_over)?,
        timing: rows(disk, &dir.join("timing.csv"), is_over)?,
        status,
        has_checksums,
    }))
}

/// The rows of a table. A run that was interrupted may end in the middle of a row, which is
/// dropped; in a run that has ended this is an error.
fn rows<T: DeserializeOwned>(disk: &Disk, path: &Path, is_over: bool) -> Result<Vec<T>, LedgerError> {
    let text = text(disk, path)?.unwrap_or_default();
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    if is_over && whole < text.len() {
        return Err(LedgerError::malformed(path, "ends in the middle of a row"));
    }
    csv::Reader::from_reader(&text.as_bytes()[..whole])
        .deserialize()
        .collect::<Result<_, _>>()
        .map_err(|error| LedgerError::malformed(path, error))
}
