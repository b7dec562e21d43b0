//! The part of a `run` that is one task of a submission.

use std::collections::HashSet;

use decouple_experiment::{Ledger, RunId, RunState, Sweep, Trial};

use crate::{
    arguments::RunArguments,
    failure::{Failure, IO, USAGE},
};

/// Those of `trials` that belong to the task; all if the command is not a task or its trials
/// are not divided.
pub(super) fn selected<'a>(
    trials: Vec<&'a Trial>,
    arguments: &RunArguments,
) -> Result<Vec<&'a Trial>, Failure> {
    let (Some(list), Some(number)) = (&arguments.task_list, arguments.task) else { return Ok(trials) };
    let text = std::fs::read_to_string(list)
        .map_err(|error| Failure::new(IO, format!("cannot read {}: {error}", list.display())))?;
    let line = text.lines().nth(number).ok_or_else(|| {
        let tasks = text.lines().count();
        Failure::new(
            USAGE,
            format!("{}: there is no task {number}: expected one below {tasks}", list.display()),
        )
    })?;
    let ids = line
        .split_whitespace()
        .map(|word| word.parse::<RunId>())
        .collect::<Result<HashSet<_>, _>>()
        .map_err(|error| Failure::new(USAGE, format!("{}:{}: {error}", list.display(), number + 1)))?;
    let selected: Vec<&Trial> = trials.into_iter().filter(|trial| ids.contains(&trial.id)).collect();
    let found: HashSet<RunId> = selected.iter().map(|trial| trial.id).collect();
    if found == ids && !ids.is_empty() {
        return Ok(selected);
    }
    let message = format!(
        "{}:{}: {} of {} trials are not in the experiment: expected those that were submitted\n   = submit it again \
         with this version of the program",
        list.display(),
        number + 1,
        ids.len() - found.len(),
        ids.len(),
    );
    Err(Failure::new(USAGE, message))
}

/// Whether every trial of the experiment is over.
pub(super) fn is_last(sweep: &Sweep, ledger: &Ledger) -> Result<bool, Failure> {
    let scan = ledger.scan()?;
    for trial in &sweep.trials {
        if !matches!(scan.state(trial)?, RunState::Done(_)) {
            return Ok(false);
        }
    }
    Ok(true)
}
