//! The experiment that a command is about: its file, its step times and recipes, its trials, its runs.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use decouple_experiment::{
    Held, Ledger, Overrides, Problem, StepTimes, Sweep, Trial, TrialFilter, TuneError, load_with,
};

use crate::{
    arguments::{Common, RESULTS, Selection},
    clock::StepClock,
    failure::{DATA, Failure, IO, NOTHING, RUN_FAILED, SUCCESS, USAGE},
};

/// Reads an experiment file whose trials are to be trained: a budget of step time is met by the clock.
pub(super) fn read_timed(common: &Common, selection: &Selection) -> Result<Sweep, Failure> {
    let mut clock = StepClock::new(common);
    let timed = read(common, &selection.file, &selection.set, StepTimes::Timer(&mut clock));
    // What is in the way of the file of step times is no mistake in the experiment's.
    timed.map_err(|failure| if clock.is_barred { Failure::new(IO, failure.message()) } else { failure })
}

/// Reads an experiment file as its runs have it: a budget of step time is met as it was for them.
pub(super) fn read_as_run(common: &Common, file: &Path, set: &[String]) -> Result<Sweep, Failure> {
    let sweep = load(common, file, set, StepTimes::Runs(&[]))?;
    if sweep.budget != Some(Held::StepTime) {
        return Ok(warned(sweep));
    }
    let runs = ledger(common, &sweep).read()?.runs;
    read(common, file, set, StepTimes::Runs(&runs))
}

/// As [`read_as_run`], with the recipes chosen by its tries, which must have been run.
pub(super) fn read_with_runs(common: &Common, file: &Path, set: &[String]) -> Result<Sweep, Failure> {
    settled(common, read_as_run(common, file, set)?)
}

fn read(common: &Common, file: &Path, set: &[String], step_times: StepTimes<'_>) -> Result<Sweep, Failure> {
    Ok(warned(load(common, file, set, step_times)?))
}

fn load(common: &Common, file: &Path, set: &[String], step_times: StepTimes<'_>) -> Result<Sweep, Failure> {
    let mut sweep = load_with(&experiment_file(file), &Overrides { set: set.to_vec() }, step_times)?;
    let results = Some(&common.results).filter(|results| **results != Path::new(RESULTS));
    for (flag, folder) in [("--results", results), ("--data", common.data.as_ref())] {
        let words = folder.map(|folder| [flag.to_owned(), folder.display().to_string()]);
        sweep.flags.extend(words.into_iter().flatten());
    }
    Ok(sweep)
}

/// `sweep`, whose warnings are printed.
fn warned(sweep: Sweep) -> Sweep {
    for warning in &sweep.warnings {
        say!("{}", warning.trim_end());
    }
    sweep
}

/// `sweep` with its tuned recipes, whose tries must have been run.
fn settled(common: &Common, sweep: Sweep) -> Result<Sweep, Failure> {
    if sweep.tune.is_none() {
        return Ok(sweep);
    }
    let ledger = sweep.tune_ledger(&ledger(common, &sweep));
    let (tuned, _) = sweep.tuned(&ledger).map_err(|error| untuned(error, &sweep))?;
    Ok(tuned)
}

/// Why the recipes of `sweep` are not chosen.
pub(super) fn untuned(error: TuneError, sweep: &Sweep) -> Failure {
    match error {
        TuneError::Ledger(error) => error.into(),
        TuneError::NoScore { .. } | TuneError::NoFinalist { .. } => Failure::new(RUN_FAILED, error),
        TuneError::Unfinished { .. } => {
            let (file, run) = (sweep.path.display(), sweep.command("run"));
            Failure::new(NOTHING, format!("{file}: {error}\n   = train them first: {run}"))
        }
    }
}

/// As [`settled`]; if the tries have not been run, `sweep` as it is, with a message.
pub(super) fn settled_or_as_written(common: &Common, sweep: Sweep) -> Sweep {
    if sweep.tune.is_none() {
        return sweep;
    }
    match settled(common, sweep.clone()) {
        Ok(tuned) => tuned,
        Err(failure) => {
            say!("using the recipes as written: {}", failure.message());
            sweep
        }
    }
}

/// The experiment file that is meant: as typed or, if there is no such file, `experiments/NAME.toml` or `NAME.toml`.
fn experiment_file(typed: &Path) -> PathBuf {
    // A name may have dots.
    let mut named = typed.as_os_str().to_owned();
    named.push(".toml");
    let folder = Path::new("experiments");
    let [among, here] = [folder.join(&named), PathBuf::from(named)];
    // Where there is none, a message should name the place that was meant.
    let is_path = typed.exists() || typed.is_absolute() || typed.starts_with(folder);
    let is_name = !is_path && typed.extension().is_none_or(|ending| ending != "toml");
    let meant = match (is_name, folder.is_dir()) {
        (true, true) => &*among,
        (true, false) => &*here,
        (false, _) => typed,
    };
    [typed, &among, &here].into_iter().find(|path| path.is_file()).unwrap_or(meant).to_owned()
}

/// Whether a word that names something else, such as a data set, could only be meant as an experiment.
pub(super) fn is_experiment(word: &str) -> bool {
    word.ends_with(".toml") || experiment_file(word.as_ref()).is_file()
}

/// `trials` without those whose run another is: a recipe as written may be the one chosen.
pub(super) fn each_once(mut trials: Vec<&Trial>) -> Vec<&Trial> {
    let mut seen = HashSet::new();
    trials.retain(|trial| seen.insert(trial.id));
    trials
}

/// The trials of `sweep` that the filter leaves.
pub(super) fn select<'a>(sweep: &'a Sweep, selection: &Selection) -> Result<Vec<&'a Trial>, Failure> {
    let Some(text) = &selection.filter else { return Ok(sweep.trials.iter().collect()) };
    let filter = TrialFilter::parse(text, sweep).map_err(|error| Failure::new(USAGE, error))?;
    let trials: Vec<&Trial> = sweep.trials.iter().filter(|trial| filter.matches(trial)).collect();
    if trials.is_empty() {
        refuse!(NOTHING, "no trial of {} matches `{text}`", sweep.path.display());
    }
    Ok(trials)
}

/// Where the runs of `sweep` are.
pub(super) fn ledger(common: &Common, sweep: &Sweep) -> Ledger {
    Ledger::open(common.results.join(&sweep.name))
}

/// Warns of runs that cannot be read, with what to do about each; the exit code.
pub(super) fn warn_of<'a>(problems: impl IntoIterator<Item = &'a Problem>, sweep: &Sweep) -> u8 {
    let mut code = SUCCESS;
    for problem in problems {
        say!("warning: {problem}\n   = {}", problem.advice(&sweep.command("run")));
        code = DATA;
    }
    code
}
