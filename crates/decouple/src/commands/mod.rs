//! The verbs, one file each.

pub(crate) mod compare;
pub(crate) mod data;
pub(crate) mod describe;
pub(crate) mod diagnose;
pub(crate) mod doctor;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod init;
mod jobs;
pub(crate) mod manual;
mod model;
pub(crate) mod plan;
pub(crate) mod predict;
pub(crate) mod report;
mod room;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod strays;
pub(crate) mod submit;
mod task;
pub(crate) mod tune;
pub(crate) mod verify;
pub(crate) mod weights;

use std::path::{Path, PathBuf};

use decouple_experiment::{Filter, Ledger, Overrides, StepTimes, Sweep, Trial, load_with};

use crate::{
    arguments::{Common, RESULTS, Selection},
    failure::{Failure, NOTHING, USAGE},
};

/// Reads an experiment file and prints its warnings.
fn read(common: &Common, file: &Path, set: &[String], step_times: StepTimes<'_>) -> Result<Sweep, Failure> {
    let file = experiment_file(file);
    let mut sweep = load_with(&file, &Overrides { set: set.to_vec() }, step_times)?;
    let results = Some(&common.results).filter(|results| **results != Path::new(RESULTS));
    for (flag, folder) in [("--results", results), ("--data", common.data.as_ref())] {
        let words = folder.map(|folder| [flag.to_owned(), folder.display().to_string()]);
        sweep.flags.extend(words.into_iter().flatten());
    }
    for warning in &sweep.warnings {
        say!("{}", warning.trim_end());
    }
    Ok(sweep)
}

/// Reads the experiment file of runs that are there: their step times and tuned recipes are its own.
fn read_with_runs(common: &Common, file: &Path, set: &[String]) -> Result<Sweep, Failure> {
    tune::settled(common, read(common, file, set, StepTimes::Runs(&common.results))?)
}

/// The experiment file that is meant: as typed, or where no such file is there and a
/// bare name was typed, `experiments/NAME.toml`.
fn experiment_file(typed: &Path) -> PathBuf {
    if typed.exists() || typed.extension().is_some() {
        return typed.to_owned();
    }
    let named = typed.with_extension("toml");
    let places = [Path::new("experiments").join(&named), named];
    places.into_iter().find(|path| path.is_file()).unwrap_or_else(|| typed.to_owned())
}

/// The trials of `sweep` that the filter leaves.
fn select<'a>(sweep: &'a Sweep, selection: &Selection) -> Result<Vec<&'a Trial>, Failure> {
    let Some(text) = &selection.filter else { return Ok(sweep.trials.iter().collect()) };
    let filter = Filter::parse(text, sweep).map_err(|error| Failure::new(USAGE, error))?;
    let trials: Vec<&Trial> = sweep.trials.iter().filter(|trial| filter.matches(trial)).collect();
    if trials.is_empty() {
        return Err(Failure::new(NOTHING, format!("no trial of {} matches `{text}`", sweep.path.display())));
    }
    Ok(trials)
}

/// Where the runs of `sweep` are.
fn ledger(common: &Common, sweep: &Sweep) -> Ledger {
    Ledger::open(common.results.join(&sweep.name))
}
