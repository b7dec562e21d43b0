//! Reading runs back, whole or not.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use decouple_spectrum::cost::Cost;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Environment, LedgerError, MetricsRow, Status, TimingRow};
use crate::{BudgetOutcome, FORMAT, LayerRecord, Record, RunId, Trial};

/// All that a ledger holds.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The runs that could be read, sorted by folder.
    pub runs: Vec<Run>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// Something in the ledger that is not a whole run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub message: String,
}

/// A run as it stands on disk.
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
    /// What the budget did, where there was one.
    pub budget: Option<BudgetOutcome>,
    /// Its spatial convolutions.
    pub layers: Vec<LayerRecord>,
    /// Where it ran.
    pub environment: Option<Environment>,
    /// A row an epoch.
    pub metrics: Vec<MetricsRow>,
    /// A row an epoch.
    pub timing: Vec<TimingRow>,
    /// How it ended; `None` while it is being trained, or after it was cut off.
    pub status: Option<Status>,
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

fn read_text(path: &Path) -> Result<Option<String>, LedgerError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LedgerError::io("read", path)(error)),
    }
}

/// The status of the run in `dir`, if it is over.
pub(super) fn status(dir: &Path) -> Result<Option<Status>, LedgerError> {
    let path = dir.join("status.json");
    let Some(text) = read_text(&path)? else { return Ok(None) };
    let malformed = |error| LedgerError::malformed(&path, error);
    let FormatOnly { format } = serde_json::from_str(&text).map_err(malformed)?;
    check_format(&path, format)?;
    serde_json::from_str(&text).map(Some).map_err(malformed)
}

/// The id in the record of the run in `dir`, if there is one.
pub(super) fn id(dir: &Path) -> Option<RunId> {
    trial_file(&dir.join("trial.toml")).ok().map(|file| file.id)
}

fn trial_file(path: &Path) -> Result<TrialFile, LedgerError> {
    let text = read_text(path)?.ok_or_else(|| LedgerError::malformed(path, "the run has no record"))?;
    let malformed = |error: toml::de::Error| LedgerError::malformed(path, error);
    let FormatOnly { format } = toml::from_str(&text).map_err(malformed)?;
    check_format(path, format)?;
    let file: TrialFile = toml::from_str(&text).map_err(malformed)?;
    let hash = file.record.id();
    if hash == file.id {
        Ok(file)
    } else {
        let message =
            format!("the record hashes to {hash}, not to its id {}: it was edited by hand", file.id);
        Err(LedgerError::malformed(path, message))
    }
}

/// Everything under `runs`.
pub(super) fn contents(runs: &Path) -> Result<Contents, LedgerError> {
    let mut contents = Contents::default();
    let entries = match fs::read_dir(runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(contents),
        Err(error) => return Err(LedgerError::io("list", runs)(error)),
    };
    let mut dirs = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(LedgerError::io("list", runs))?;
    dirs.sort();
    for dir in dirs {
        if !dir.is_dir() {
            contents.problems.push(Problem { path: dir, message: "is no run's folder".to_owned() });
            continue;
        }
        match run(&dir) {
            Ok(run) => contents.runs.push(run),
            Err(error) => contents.problems.push(Problem { path: dir, message: error.to_string() }),
        }
    }
    Ok(contents)
}

/// The run in `dir`.
pub(super) fn run(dir: &Path) -> Result<Run, LedgerError> {
    let file = trial_file(&dir.join("trial.toml"))?;
    let status = status(dir)?;
    let is_over = status.is_some();
    Ok(Run {
        dir: dir.to_owned(),
        id: file.id,
        point: file.point.into_iter().map(|c| (c.axis, c.value)).collect(),
        record: file.record,
        cost: file.cost,
        level: file.level,
        budget: file.budget,
        layers: file.layers,
        environment: environment(&dir.join("environment.json"))?,
        metrics: rows(&dir.join("metrics.csv"), is_over)?,
        timing: rows(&dir.join("timing.csv"), is_over)?,
        status,
    })
}

fn environment(path: &Path) -> Result<Option<Environment>, LedgerError> {
    let Some(text) = read_text(path)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| LedgerError::malformed(path, error))
}

/// The rows of a table. A run that was cut off may end in the middle of a row,
/// which is dropped; in a run that is over this cannot be, and is an error.
fn rows<T: DeserializeOwned>(path: &Path, is_over: bool) -> Result<Vec<T>, LedgerError> {
    let text = read_text(path)?.unwrap_or_default();
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    if is_over && whole < text.len() {
        return Err(LedgerError::malformed(path, "ends in the middle of a row"));
    }
    csv::Reader::from_reader(&text.as_bytes()[..whole])
        .deserialize()
        .collect::<Result<_, _>>()
        .map_err(|error| LedgerError::malformed(path, error))
}
