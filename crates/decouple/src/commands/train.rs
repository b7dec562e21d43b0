//! Trains trials, whichever command asks for it.

use std::{collections::HashSet, sync::mpsc};

use decouple_experiment::{
    Claims, Environment, Identity, Ledger, LedgerError, Mismatch, RunId, Sweep, Trial, shell_word,
};
use decouple_training::{
    keeper::Stop,
    progress::Progress,
    run_sweep::{LoadedData, SweepError, SweepReport},
};

use crate::{
    arguments::{ClaimsChoice, RunArguments, Selection},
    environment::environment,
    failure::{DATA, Failure, IO},
    screen::Screen,
    signals,
    text::plural,
};

/// The ledger, claiming runs as the command line asks or the file system requires.
pub(super) fn claiming(ledger: Ledger, arguments: &RunArguments) -> Ledger {
    let claims = match arguments.claims {
        ClaimsChoice::Typed(claims) => claims,
        ClaimsChoice::Auto => Claims::suited_to(ledger.root()),
    };
    ledger.claiming(claims)
}

/// Refuses to train, or to count as done, trials that would share a report with runs of other data or of
/// another engine. `all` trials are those of the report, `selected` those that are trained, `again` those of them
/// whose runs are replaced.
pub(super) fn refuse_mixing(
    sweep: &Sweep,
    all: &[&Trial],
    selected: &[&Trial],
    again: &[&Trial],
    ledger: &Ledger,
    data: &LoadedData,
) -> Result<(), Failure> {
    let again: HashSet<RunId> = again.iter().map(|trial| trial.id).collect();
    let selected_ids: HashSet<RunId> = selected.iter().map(|trial| trial.id).collect();
    let scan = ledger.scan()?;
    let is_replaced = |id| again.contains(&id) || selected_ids.contains(&id) && scan.is_asked_for_again(id);
    let kept = all.iter().copied().filter(|trial| !is_replaced(trial.id));
    let differences = ledger.differences(kept.map(|trial| (trial, identity(data, trial))))?;
    let is_to_train = || -> Result<bool, LedgerError> {
        for trial in selected {
            if scan.is_to_train(trial, &again)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let of_data: Vec<&Mismatch> =
        differences.iter().map(|(_, found)| found).filter(|found| found.data.is_some()).collect();
    let (kind, found) = if !of_data.is_empty() {
        ("trained on other images", of_data)
    } else if !differences.is_empty() && is_to_train()? {
        ("computed by another version of the engine", differences.iter().map(|(_, found)| found).collect())
    } else {
        return Ok(());
    };
    let were = if found.len() == 1 { "was" } else { "were" };
    let mut message = format!(
        "{} of this experiment {were} {kind}, so not counted as done nor mixed with others",
        plural(found.len(), "run")
    );
    for difference in found.iter().take(4) {
        message += &format!("\n   = {difference}");
    }
    if found.len() > 4 {
        message += &format!("\n   = and {} more", found.len() - 4);
    }
    let run = sweep.command("run");
    message += &format!("\n   = to replace them: {run} --fresh; each is kept until its successor is done");
    message += "\n   = to keep them: use another folder, as in --results other-results";
    Err(Failure::new(DATA, message))
}

/// The data and engine of a run of `trial` here.
pub(super) fn identity(data: &LoadedData, trial: &Trial) -> Identity {
    Identity::of(trial, data.checksum_of(trial))
}

/// Trains `trials` with `how`, which gets the environment and a channel for progress, and shows the
/// progress.
pub(super) fn watched(
    trials: &[&Trial],
    are_tries: bool,
    bars: bool,
    how: impl FnOnce(&Environment, &Progress) -> Result<SweepReport, SweepError>,
) -> Result<SweepReport, Failure> {
    let (sender, events) = mpsc::channel();
    let environment = environment();
    std::thread::scope(|scope| {
        let follow = || Screen::new(trials, are_tries, bars).follow(events);
        let screen = std::thread::Builder::new().spawn_scoped(scope, follow);
        let done = how(&environment, &Progress::new(sender));
        // The sender is gone now, so the screen comes to its end.
        if !screen.is_ok_and(|screen| screen.join().is_ok()) {
            say!("warning: the progress display failed; the runs are not affected");
        }
        Ok(done?)
    })
}

/// `command` for the trials of `selection` alone.
pub(super) fn selecting(mut command: String, selection: &Selection) -> String {
    if let Some(filter) = &selection.filter {
        command += &format!(" --filter {}", shell_word(filter));
    }
    command
}

/// Reports what is done and how to continue if a signal has stopped the sweep; returns the exit
/// code.
pub(super) fn stopped(
    done: &SweepReport,
    stop: &Stop,
    sweep: &Sweep,
    selection: &Selection,
    trials: usize,
) -> Option<u8> {
    let reason = stop.reason().filter(|_| done.left() > 0)?;
    let left = done.left();
    say!(
        "stopped: {} of {} done, {left} left; {} in progress are saved, and `{}` continues",
        trials - left,
        plural(trials, "trial"),
        if done.faults > 0 { "not all trials" } else { "trials" },
        // Not with `--fresh`, which would begin with those that it has already trained.
        selecting(sweep.command("run"), selection)
    );
    Some(if done.faults > 0 { IO } else { signals::code(reason) })
}
