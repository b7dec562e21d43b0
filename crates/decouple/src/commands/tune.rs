//! `[tune]`: run each point's tries, and give its trials the best recipe.

use decouple_datasets::load as load_data;
use decouple_experiment::{Choice, Ledger, Sweep, Trial, Tune, TuneError};
use decouple_training::{
    halving::run_halving,
    sweep::{Conduct, LoadedData, Workers, run_sweep},
};

use super::{
    ledger,
    run::{refuse_mixing, stopped, watched},
};
use crate::{
    arguments::{Common, Run},
    environment::cores,
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
    let ledger = sweep.tune_ledger(&ledger(common, &sweep));
    let missing = match sweep.tuned(&ledger) {
        Err(TuneError::Unfinished { missing, .. }) if !arguments.fresh => missing,
        _ if arguments.fresh => tries.len(),
        _ => 0,
    };
    if missing > 0 {
        say!("tuning    {missing} of {} tries to run, judged on validation images", tries.len());
        let halving = tune.halving.then_some(tune);
        train(&Stage { common, arguments, conduct, sweep: &sweep, ledger: &ledger, halving }, &tries)?;
    }
    let finals = sweep.finals(&ledger)?;
    if let Err(TuneError::Unfinished { missing, .. }) = sweep.tuned(&ledger) {
        let finals: Vec<&Trial> = finals.iter().collect();
        say!("tuning    {missing} runs of the best tries with more seeds");
        train(&Stage { common, arguments, conduct, sweep: &sweep, ledger: &ledger, halving: None }, &finals)?;
    }
    let (sweep, choices) = sweep.tuned(&ledger)?;
    say!("{}", chosen(&choices));
    Ok(sweep)
}

/// How runs that choose the recipes are trained.
struct Stage<'a> {
    common: &'a Common,
    arguments: &'a Run,
    conduct: &'a Conduct,
    sweep: &'a Sweep,
    ledger: &'a Ledger,
    /// Whose worse tries are stopped early, if any are.
    halving: Option<&'a Tune>,
}

/// Trains what is missing of `tries`; an error if any is left.
fn train(stage: &Stage<'_>, tries: &[&Trial]) -> Result<(), Failure> {
    let Stage { common, arguments, conduct, sweep, ledger, halving } = *stage;
    let cores = arguments.threads.map_or_else(cores, usize::from);
    let workers = Workers::share(cores, tries.len(), arguments.jobs.map(usize::from));
    let data = LoadedData::load(tries, |spec| load_data(spec, common.data.as_deref()))?;
    refuse_mixing(sweep, tries, tries, ledger, &data, arguments.fresh)?;
    let done = watched(tries, !arguments.no_progress, |environment, progress| match halving {
        Some(tune) => run_halving(tries, tune, ledger, &data, workers, environment, progress, conduct),
        None => run_sweep(tries, ledger, &data, workers, environment, progress, conduct),
    })?;
    if let Some(code) = stopped(&done, &conduct.stop, sweep, tries.len()) {
        return Err(Failure::new(code, "the recipes are not chosen yet"));
    }
    if done.left() == 0 {
        return Ok(());
    }
    let message = format!("{} of the tries that choose the recipes are still to be done", done.left());
    let code = if done.faults > 0 {
        IO
    } else if done.unusable > 0 {
        DATA
    } else {
        LOCKED
    };
    Err(Failure::new(code, with_problems(message, sweep, ledger)))
}

/// `message`, and what is wrong with runs in `ledger`.
fn with_problems(mut message: String, sweep: &Sweep, ledger: &Ledger) -> String {
    for problem in ledger.read().map(|contents| contents.problems).unwrap_or_default() {
        message += &format!("\n   = {problem}; {}", problem.advice(&sweep.command("run")));
    }
    message
}

/// `sweep` with its tuned recipes, whose tries must have been run.
pub(crate) fn settled(common: &Common, sweep: Sweep) -> Result<Sweep, Failure> {
    let ledger: Ledger = sweep.tune_ledger(&ledger(common, &sweep));
    Ok(sweep.tuned(&ledger)?.0)
}

fn chosen(choices: &[Choice]) -> Table {
    let header =
        ["chosen at", "learning rate", "weight decay", "log-loss", "validation accuracy", "tries scored"];
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
