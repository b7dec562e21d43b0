//! `[tune]`: run each point's tries, and give its trials the best recipe.

use decouple_experiment::{Choice, Ledger, Metric, Sweep, Trial, Tune, TuneError};
use decouple_training::{
    halving::run_halving,
    sweep::{Conduct, LoadedData, run_sweep},
};

use super::{
    ledger, room,
    run::{claiming, refuse_mixing, stopped, watched},
};
use crate::{
    arguments::{Common, Run},
    failure::{DATA, Failure, IO, LOCKED, NOTHING, RUN_FAILED},
    text::Table,
};

/// `sweep` with its tuned recipes, running the tries that are missing. Without a
/// `[tune]` section as it is.
pub(crate) fn settle(
    common: &Common,
    arguments: &Run,
    conduct: &Conduct,
    sweep: Sweep,
) -> Result<Sweep, Failure> {
    let Some(tune) = &sweep.tune else { return Ok(sweep) };
    let tries = sweep.tries();
    let tries: Vec<&Trial> = tries.iter().collect();
    let ledger = sweep.tune_ledger(&claiming(ledger(common, &sweep), arguments));
    let runs = Tries { common, arguments, conduct, sweep: &sweep, ledger: &ledger };
    let missing = match sweep.finals(&ledger) {
        Err(TuneError::Unfinished { missing, .. }) if !arguments.fresh => missing,
        _ if arguments.fresh => tries.len(),
        _ => 0,
    };
    if missing > 0 {
        say!("tuning    {missing} of {} tries to run, judged on validation images", tries.len());
        runs.train(&tries, tune.halving.then_some(tune))?;
    }
    let finals = sweep.finals(&ledger)?;
    let finals: Vec<&Trial> = finals.iter().collect();
    let missing = match sweep.tuned(&ledger) {
        _ if arguments.fresh => finals.len(),
        Err(TuneError::Unfinished { missing, .. }) => missing,
        _ => 0,
    };
    if missing > 0 {
        say!("tuning    {missing} of {} runs of the best tries with more seeds", finals.len());
        runs.train(&finals, None)?;
    }
    let (sweep, choices) = sweep.tuned(&ledger)?;
    let metric = sweep.trials.first().map_or(Metric::default(), |trial| trial.record.metric());
    say!("{}", chosen(metric, &choices));
    Ok(sweep)
}

/// What the runs that choose recipes have in common.
struct Tries<'a> {
    common: &'a Common,
    arguments: &'a Run,
    conduct: &'a Conduct,
    sweep: &'a Sweep,
    ledger: &'a Ledger,
}

impl Tries<'_> {
    /// Trains `trials` to their end, by halves where a section says so.
    fn train(&self, trials: &[&Trial], halving: Option<&Tune>) -> Result<(), Failure> {
        let Self { common, arguments, conduct, sweep, ledger } = *self;
        room::check(trials, &arguments.resources, common)?;
        let workers = room::workers(&arguments.resources, trials, common)?;
        let data = LoadedData::read(trials, common.data.as_deref())?;
        let workers = room::beside_data(workers, &data, trials, common)?;
        refuse_mixing(sweep, trials, trials, ledger, &data, arguments.fresh)?;
        let done = watched(trials, !arguments.no_progress, |environment, progress| match halving {
            Some(tune) => run_halving(trials, tune, ledger, &data, workers, environment, progress, conduct),
            None => run_sweep(trials, ledger, &data, workers, environment, progress, conduct),
        })?;
        if let Some(code) = stopped(&done, &conduct.stop, sweep, trials.len()) {
            return Err(Failure::new(code, "the recipes are not chosen yet"));
        }
        if done.left() > 0 {
            let message =
                format!("{} of the tries that choose the recipes are still to be done", done.left());
            let code = if done.faults > 0 {
                IO
            } else if done.unusable > 0 {
                DATA
            } else {
                LOCKED
            };
            return Err(Failure::new(code, with_problems(message, sweep, ledger)));
        }
        Ok(())
    }
}

/// `message`, and what is wrong with runs in `ledger`.
fn with_problems(mut message: String, sweep: &Sweep, ledger: &Ledger) -> String {
    for problem in ledger.read().map(|contents| contents.problems).unwrap_or_default() {
        message += &format!("\n   = {problem}; {}", problem.advice(&sweep.command("run")));
    }
    message
}

/// `sweep` with its tuned recipes, whose tries must have been run.
pub(super) fn settled(common: &Common, sweep: Sweep) -> Result<Sweep, Failure> {
    if sweep.tune.is_none() {
        return Ok(sweep);
    }
    let ledger: Ledger = sweep.tune_ledger(&ledger(common, &sweep));
    Ok(sweep.tuned(&ledger)?.0)
}

/// As [`settled`]; where the tries have not been run, `sweep` as it is, with a word.
pub(super) fn settled_or_as_written(common: &Common, sweep: Sweep) -> Sweep {
    if sweep.tune.is_none() {
        return sweep;
    }
    match settled(common, sweep.clone()) {
        Ok(tuned) => tuned,
        Err(failure) => {
            say!("recipes as written: {}", failure.message());
            sweep
        }
    }
}

fn chosen(metric: Metric, choices: &[Choice]) -> Table {
    let score = format!("validation {metric}");
    let header = ["chosen at", "learning rate", "weight decay", "log-loss", &score, "tries scored"];
    let mut table = Table::new(1, &header);
    for Choice { point, setting, log_loss, accuracy, scored } in choices {
        table.push(vec![
            point.clone(),
            setting.learning_rate.to_string(),
            setting.weight_decay.to_string(),
            format!("{log_loss:.4}"),
            format!("{:.2} %", 100.0 * accuracy),
            scored.to_string(),
        ]);
    }
    table
}

impl From<TuneError> for Failure {
    fn from(error: TuneError) -> Self {
        match error {
            TuneError::Ledger(error) => error.into(),
            TuneError::NoScore { .. } => Self::new(RUN_FAILED, error),
            TuneError::Unfinished { .. } => {
                Self::new(NOTHING, format!("{error}\n   = `decouple run` runs them first"))
            }
        }
    }
}
