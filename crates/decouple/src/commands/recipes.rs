//! `[tune]`: run each point's tries, and give its trials the best recipe.

use decouple_experiment::{Choice, Ledger, Metric, Sweep, Trial, Tune, TuneError};
use decouple_training::{
    halving::run_halving,
    run_sweep::{Conduct, Setup, run_sweep},
};

use super::{
    experiment::ledger,
    room,
    train::{claiming, refuse_mixing, stopped, watched},
};
use crate::{
    arguments::{Common, RunArguments},
    failure::{DATA, Failure, IO, LOCKED},
    text::TextTable,
};

/// `sweep` with its tuned recipes, running the tries that are missing. Without a
/// `[tune]` section as it is.
pub(crate) fn settle(
    common: &Common,
    arguments: &RunArguments,
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
        say!("tuning    {missing} of {} tries left to run, judged on validation images", tries.len());
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
        say!("tuning    {missing} of {} runs left of the best tries with more seeds", finals.len());
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
    arguments: &'a RunArguments,
    conduct: &'a Conduct,
    sweep: &'a Sweep,
    ledger: &'a Ledger,
}

impl Tries<'_> {
    /// Trains `trials` to their end, by halves where a section says so.
    fn train(&self, trials: &[&Trial], halving: Option<&Tune>) -> Result<(), Failure> {
        let Self { common, arguments, conduct, sweep, ledger } = *self;
        let (data, workers) = room::load(trials, &arguments.resources, common)?;
        refuse_mixing(sweep, trials, trials, ledger, &data, arguments.fresh)?;
        let done = watched(trials, !arguments.no_progress, |environment, progress| {
            let setup = Setup { ledger, data: &data, workers, environment, progress, conduct };
            match halving {
                Some(tune) => run_halving(trials, tune, &setup),
                None => run_sweep(trials, &setup),
            }
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

fn chosen(metric: Metric, choices: &[Choice]) -> TextTable {
    let score = format!("validation {metric}");
    let header = ["chosen at", "learning rate", "weight decay", "log-loss", &score, "tries scored"];
    let mut table = TextTable::new(1, &header);
    for Choice { point, setting, log_loss, score, scored } in choices {
        table.push(vec![
            point.clone(),
            setting.learning_rate.to_string(),
            setting.weight_decay.to_string(),
            format!("{log_loss:.4}"),
            format!("{:.2} %", 100.0 * score),
            scored.to_string(),
        ]);
    }
    table
}
