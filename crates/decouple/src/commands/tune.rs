//! `[tune]`: run each point's tries, and give its trials the best recipe.

use decouple_datasets::load as load_data;
use decouple_experiment::{Choice, Ledger, Sweep, Trial, TuneError};
use decouple_training::{
    halving::run_halving,
    sweep::{LoadedData, Workers, run_sweep},
};

use super::{ledger, run::watched};
use crate::{
    arguments::{Common, Run},
    environment::cores,
    failure::{Failure, NOTHING, RUN_FAILED},
    text::Table,
};

/// `sweep` with its tuned recipes, running the tries that are missing. Without a
/// `[tune]` section as it is.
pub(crate) fn settle(common: &Common, arguments: &Run, sweep: Sweep) -> Result<Sweep, Failure> {
    let Some(tune) = &sweep.tune else { return Ok(sweep) };
    let tries = sweep.tries();
    let tries: Vec<&Trial> = tries.iter().collect();
    let ledger = sweep.tune_ledger(&ledger(common, &sweep));
    if arguments.fresh {
        tries.iter().try_for_each(|trial| ledger.reset(trial))?;
    }
    if let Err(TuneError::Unfinished { missing, all }) = sweep.tuned(&ledger) {
        eprintln!("tuning    {missing} of {all} tries to run, judged on validation images");
        let cores = arguments.threads.map_or_else(cores, usize::from);
        let workers = Workers::share(cores, tries.len(), arguments.jobs.map(usize::from));
        let data = LoadedData::load(&tries, |spec| load_data(spec, common.data.as_deref()))?;
        watched(&tries, !arguments.no_progress, |environment, progress| {
            if tune.halving {
                run_halving(&tries, tune, &ledger, &data, workers, environment, progress)
            } else {
                run_sweep(&tries, &ledger, &data, workers, environment, progress)
            }
        })?;
    }
    let finals = sweep.finals(&ledger)?;
    if let Err(TuneError::Unfinished { missing, .. }) = sweep.tuned(&ledger) {
        let finals: Vec<&Trial> = finals.iter().collect();
        eprintln!("tuning    {missing} runs of the best tries with more seeds");
        let cores = arguments.threads.map_or_else(cores, usize::from);
        let workers = Workers::share(cores, finals.len(), arguments.jobs.map(usize::from));
        let data = LoadedData::load(&finals, |spec| load_data(spec, common.data.as_deref()))?;
        watched(&finals, !arguments.no_progress, |environment, progress| {
            run_sweep(&finals, &ledger, &data, workers, environment, progress)
        })?;
    }
    let (sweep, choices) = sweep.tuned(&ledger)?;
    eprintln!("{}", chosen(&choices));
    Ok(sweep)
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
