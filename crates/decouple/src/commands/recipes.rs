//! `[tune]`: run each point's tries, and give its trials the best recipe.

use std::collections::HashSet;

use decouple_experiment::{
    Axis, Choice, Ledger, LedgerError, Metric, RECIPE, RunId, RunState, Scan, Sweep, Trial, TrialFilter, Tune,
};
use decouple_training::{
    halving::run_halving,
    run_sweep::{Conduct, Setup, run_sweep},
};

use super::{
    estimates::longest_first,
    experiment::{self, ledger, select, untuned},
    room,
    train::{claiming, refuse_mixing, stopped, watched},
};
use crate::{
    arguments::{Common, RunArguments, Selection},
    failure::{DATA, Failure, IO, LOCKED, RUN_FAILED, USAGE},
    text::TextTable,
};

/// A sweep whose recipes are chosen.
pub(crate) struct Settled {
    pub(crate) sweep: Sweep,
    /// The tries that chose them, and those of the best with more seeds.
    pub(crate) runs: Vec<Trial>,
    /// Whether the filter names one of these.
    pub(crate) names_one: bool,
}

/// `sweep` with its tuned recipes, running the tries that are missing. Without a `[tune]` section as it is.
pub(crate) fn settle(
    common: &Common,
    arguments: &RunArguments,
    conduct: &Conduct,
    sweep: Sweep,
) -> Result<Settled, Failure> {
    let Some(tune) = &sweep.tune else { return Ok(Settled { sweep, runs: Vec::new(), names_one: false }) };
    let ledger = sweep.tune_ledger(&claiming(ledger(common, &sweep), arguments));
    let filter = FilterOfTries::of(&sweep, &arguments.selection)?;
    let runs = Tries { common, arguments, conduct, sweep: &sweep, ledger: &ledger, filter };
    let what = "tries left to run, judged on validation images";
    let mut all = sweep.tries();
    runs.train(&all, tune.halving.then_some(tune), what)?;
    let finals = sweep.finals(&ledger).map_err(|error| untuned(error, &sweep))?;
    runs.train(&finals, None, "runs left of the best tries with more seeds")?;
    all.extend(finals);
    let is_filtered = arguments.selection.filter.is_some();
    let names_one = is_filtered && all.iter().any(|trial| runs.filter.selects(trial));
    let (sweep, choices) = sweep.tuned(&ledger).map_err(|error| untuned(error, &sweep))?;
    let metric = sweep.trials.first().map_or(Metric::default(), |trial| trial.record.metric());
    say!("{}", chosen(metric, &choices));
    Ok(Settled { sweep, runs: all, names_one })
}

/// The runs that are left to choose the recipes, at most.
pub(super) struct Choosing {
    pub(super) tries: Vec<Trial>,
    /// Those of the best tries with more seeds.
    pub(super) finals: Vec<Trial>,
}

impl Choosing {
    /// Of `sweep`, whose trials are in `ledger`; nothing if it has no `[tune]` section, or its recipes are chosen.
    pub(super) fn of(sweep: &Sweep, ledger: &Ledger) -> Result<Option<Self>, Failure> {
        let Some(tune) = sweep.tune.as_ref().filter(|_| sweep.tries_made.is_empty()) else {
            return Ok(None);
        };
        let tries = sweep.tries();
        // Which of a point's tries are finalists is not known yet; they differ in no cost.
        let of_point = tries.chunks(tune.settings.len());
        let finalists = of_point.flat_map(|tries| tries.iter().take(tune.finalists));
        let more_seeds = tune.seeds.saturating_sub(1) as usize;
        let finals = finalists.flat_map(|trial| vec![trial.clone(); more_seeds]).collect();
        let tune_ledger = sweep.tune_ledger(ledger);
        let scan = tune_ledger.scan()?;
        let again = ids(&to_go_on_with(tune, &scan, &tries.iter().collect::<Vec<_>>())?);
        let mut left = Vec::new();
        for trial in tries {
            if scan.is_to_train(&trial, &again)? {
                left.push(trial);
            }
        }
        Ok(Some(Self { tries: left, finals }))
    }

    /// All of them.
    pub(super) fn runs(&self) -> impl Iterator<Item = &Trial> {
        self.tries.iter().chain(&self.finals)
    }
}

/// Whether the filter of `selection` names recipes, which are not chosen yet.
pub(super) fn waits_for_recipes(sweep: &Sweep, selection: &Selection) -> Result<bool, Failure> {
    let is_chosen = sweep.tune.is_none() || !sweep.tries_made.is_empty();
    Ok(!is_chosen && matches!(FilterOfTries::of(sweep, selection)?, FilterOfTries::None))
}

/// What the runs that choose recipes have in common.
struct Tries<'a> {
    common: &'a Common,
    arguments: &'a RunArguments,
    conduct: &'a Conduct,
    sweep: &'a Sweep,
    ledger: &'a Ledger,
    filter: FilterOfTries,
}

/// Which of the runs that choose recipes the filter leaves.
pub(super) enum FilterOfTries {
    /// There is no filter.
    All,
    /// Those that match.
    Matching(TrialFilter),
    /// The filter is one that only trials can meet, on the recipe.
    None,
}

impl FilterOfTries {
    /// The filter of `selection` for the tries of `sweep`, whose recipes are not chosen yet.
    pub(super) fn of(sweep: &Sweep, selection: &Selection) -> Result<Self, Failure> {
        let Some(text) = &selection.filter else { return Ok(Self::All) };
        if let Ok(filter) = TrialFilter::parse(text, sweep) {
            return Ok(Self::Matching(filter));
        }
        let mut with_recipes = sweep.clone();
        with_recipes.axes.push(Axis { name: RECIPE.to_owned(), values: Vec::new(), zipped_with: None });
        let filter = TrialFilter::parse(text, &with_recipes);
        filter.map(|_| Self::None).map_err(|error| Failure::new(USAGE, error))
    }

    /// Whether the filter leaves a try.
    pub(super) fn selects(&self, trial: &Trial) -> bool {
        match self {
            Self::All => true,
            Self::Matching(filter) => filter.matches(trial),
            Self::None => false,
        }
    }
}

impl Tries<'_> {
    /// Trains those of `trials` that are left, `what` in words, by halves where a section says so; with `--fresh` also
    /// those that are done and selected.
    fn train(&self, trials: &[Trial], halving: Option<&Tune>, what: &str) -> Result<(), Failure> {
        let Self { common, arguments, conduct, sweep, ledger, .. } = *self;
        let settings = halving.map(|tune| tune.settings.len());
        let trials: Vec<&Trial> = trials.iter().collect();
        // Those of a point that take turns stand together.
        let trials = &if halving.is_some() { trials } else { longest_first(trials, common) };
        let scan = ledger.scan()?;
        let mut again = match &sweep.tune {
            Some(tune) => to_go_on_with(tune, &scan, trials)?,
            None => Vec::new(),
        };
        let known = ids(&again);
        let is_fresh =
            |trial: &&&Trial| arguments.fresh && self.filter.selects(trial) && !known.contains(&trial.id);
        again.extend(trials.iter().filter(is_fresh));
        let left = left(&scan, trials, &again)?;
        if left == 0 {
            return Ok(());
        }
        say!("tuning    {left} of {} {what}", trials.len());
        let pieces = trials.len() / settings.unwrap_or(1).max(1);
        let (data, workers) = room::load(trials, pieces, &arguments.resources, common)?;
        if let Some(settings) = settings {
            room::check_halving(trials, settings, &workers, common)?;
        }
        refuse_mixing(sweep, trials, trials, &again, ledger, &data)?;
        ledger.ask_again(again.iter().copied())?;
        if arguments.fresh {
            self.ask_for_the_rest()?;
        }
        let done = watched(trials, true, !arguments.no_progress, |environment, progress| {
            let conduct = &Conduct { leaves_test: true, ..conduct.clone() };
            let setup = Setup { ledger, data: &data, workers, environment, progress, conduct };
            match halving {
                Some(tune) => run_halving(trials, tune, &setup),
                None => run_sweep(trials, &setup),
            }
        })?;
        if let Some(code) = stopped(&done, &conduct.stop, sweep, &arguments.selection, trials.len()) {
            return Err(Failure::new(code, "the recipes are not chosen yet"));
        }
        if done.left() > 0 {
            let message =
                format!("{} of the tries that choose the recipes are still to be done", done.left());
            let code = if done.faults > 0 {
                IO
            } else if done.unusable > 0 {
                DATA
            } else if done.bugs > 0 {
                RUN_FAILED
            } else {
                LOCKED
            };
            return Err(Failure::new(code, with_problems(message, sweep, ledger)));
        }
        Ok(())
    }

    /// Asks for the later runs that are done and selected, too: if this process is stopped before it comes to them, the
    /// next one knows.
    fn ask_for_the_rest(&self) -> Result<(), Failure> {
        let Self { common, arguments, sweep, ledger, .. } = *self;
        let finals = sweep.finals(ledger).unwrap_or_default();
        ledger.ask_again(finals.iter().filter(|trial| self.filter.selects(trial)))?;
        if let Ok((tuned, _)) = sweep.tuned(ledger)
            && let Ok(trials) = select(&tuned, &arguments.selection)
        {
            experiment::ledger(common, sweep).ask_again(trials)?;
        }
        Ok(())
    }
}

/// How many of `trials` are to be run, with those to be run `again`.
fn left(scan: &Scan<'_>, trials: &[&Trial], again: &[&Trial]) -> Result<usize, Failure> {
    let again = ids(again);
    let mut left = 0;
    for trial in trials {
        left += usize::from(scan.is_to_train(trial, &again)?);
    }
    Ok(left)
}

fn ids(trials: &[&Trial]) -> HashSet<RunId> {
    trials.iter().map(|trial| trial.id).collect()
}

/// Those of `trials` that were stopped early, which `tune` asks for no more.
fn to_go_on_with<'a>(
    tune: &Tune,
    scan: &Scan<'_>,
    trials: &[&'a Trial],
) -> Result<Vec<&'a Trial>, LedgerError> {
    let mut stopped = Vec::new();
    for &trial in trials {
        if let RunState::Done(status) = scan.state(trial)?
            && tune.goes_on_with(&status.outcome)
        {
            stopped.push(trial);
        }
    }
    Ok(stopped)
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
