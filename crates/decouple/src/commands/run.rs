//! `decouple run`: train what is not trained yet, then report.

use std::collections::BTreeSet;

use decouple_datasets::{
    Dataset,
    stream::{Part, Streamed},
};
use decouple_experiment::{Ledger, Outcome, RunState, Sweep, Trial};
use decouple_training::{
    device::backend,
    run_sweep::{Conduct, LoadedData, Setup, SweepReport, run_sweep},
    workers::Workers,
};

use super::{
    estimates::longest_first,
    experiment::{each_once, ledger, read_timed, select},
    recipes::{Settled, settle},
    report, room, task,
    train::{claiming, identity, refuse_mixing, stopped, watched},
};
use crate::{
    arguments::{Common, Only, RunArguments},
    environment::cpu,
    failure::{DATA, Failure, INTERRUPTED, IO, LOCKED, NOTHING, RUN_FAILED, SUCCESS},
    signals,
    text::{grouped, plural},
};

pub(crate) fn run(common: &Common, arguments: &RunArguments) -> Result<u8, Failure> {
    let stop = signals::watch()?;
    let conduct = Conduct { stop, waits: !arguments.no_wait, ..Conduct::default() };
    let Settled { sweep, runs: choosing, names_one } =
        settle(common, arguments, &conduct, read_timed(common, &arguments.selection)?)?;
    let trials = match select(&sweep, &arguments.selection) {
        // The filter named a try.
        Err(failure) if failure.code() == NOTHING && names_one => return Ok(SUCCESS),
        selected => selected?,
    };
    let trials = task::selected(each_once(trials), arguments)?;
    let ledger = claiming(ledger(common, &sweep), arguments);
    let trials = match arguments.only {
        None => trials,
        Some(Only::Failed) => failed(trials, &ledger, &sweep)?,
    };
    let trials = longest_first(trials, common);
    let again = if arguments.fresh || arguments.only.is_some() { &trials[..] } else { &[] };
    let (data, workers) = room::load(&trials, trials.len(), &arguments.resources, common)?;
    introduce(&sweep, &trials, workers);
    if let Some(data) = trials.first().and_then(|trial| data.of(trial)) {
        introduce_data(&sweep, data);
    }
    let all = each_once(sweep.trials.iter().collect());
    refuse_mixing(&sweep, &all, &trials, again, &ledger, &data)?;
    // The runs that chose the recipes, too: they may have been made before the images were changed.
    if !choosing.is_empty() {
        let choosing: Vec<&Trial> = choosing.iter().collect();
        refuse_mixing(&sweep, &choosing, &[], &[], &sweep.tune_ledger(&ledger), &data)?;
    }
    sweep.write_plan(&ledger)?;
    ledger.sweep()?;
    ledger.ask_again(again.iter().copied())?;
    adopt(&trials, &ledger, &data)?;
    let done = watched(&trials, false, !arguments.no_progress, |environment, progress| {
        let (ledger, data, conduct) = (&ledger, &data, &conduct);
        run_sweep(&trials, &Setup { ledger, data, workers, environment, progress, conduct })
    })?;
    data.sets().for_each(tell_left_out);
    if let Some(code) = stopped(&done, &conduct.stop, &sweep, &arguments.selection, trials.len()) {
        // A scheduler that has asked us to stop does not wait for figures.
        if code == INTERRUPTED {
            report::rebuild_and_show(&sweep, &ledger, arguments.format, false)?;
        }
        return Ok(code);
    }
    // Of the tasks of a submission, the one that ends last has something to report.
    let reports = arguments.task.is_none() || task::is_last(&sweep, &ledger)?;
    let shown = reports.then(|| report::rebuild_and_show(&sweep, &ledger, arguments.format, false));
    if done.faults > 0 {
        return Ok(IO);
    }
    let analysis = shown.transpose()?;
    let taken = still_taken(&done, &trials, &ledger)?;
    if taken > 0 {
        let are = if taken == 1 { "is" } else { "are" };
        let trials = plural(taken, "trial");
        say!("{trials} {are} being trained by another process; run again when it is done");
    }
    let own = |id: &str| trials.iter().any(|trial| trial.id.to_string() == id);
    let runs = analysis.iter().flat_map(|analysis| &analysis.runs);
    let is_unusable = runs.filter(|run| run.outcome.is_unusable()).any(|run| own(&run.id));
    let is_plan_damaged = analysis.as_ref().is_some_and(|analysis| analysis.is_plan_damaged);
    Ok(if done.unusable > 0 || is_unusable || is_plan_damaged {
        DATA
    } else if done.diverged + done.failed + done.earlier_lost + done.bugs > 0 {
        RUN_FAILED
    } else if taken > 0 {
        LOCKED
    } else {
        SUCCESS
    })
}

/// Those of `trials` whose run failed or diverged.
fn failed<'a>(trials: Vec<&'a Trial>, ledger: &Ledger, sweep: &Sweep) -> Result<Vec<&'a Trial>, Failure> {
    let scan = ledger.scan()?;
    let mut failed = Vec::new();
    for trial in trials {
        let status = match scan.state(trial)? {
            RunState::Done(status) => Some(*status),
            // One that is still to be trained again.
            _ if scan.is_asked_for_again(trial.id) => ledger.run(trial).ok().and_then(|run| run.status),
            _ => None,
        };
        let is_failed = |outcome| matches!(outcome, Outcome::Failed { .. } | Outcome::Diverged { .. });
        if status.is_some_and(|status| is_failed(status.outcome)) {
            failed.push(trial);
        }
    }
    if failed.is_empty() {
        let of_tries = match sweep.tune {
            Some(_) => "\n   = tries of [tune] are run again with --fresh --filter 'id = ID'",
            None => "",
        };
        refuse!(NOTHING, "no run failed or diverged in {}{of_tries}", ledger.root().display());
    }
    Ok(failed)
}

/// Trials that another process had taken and that are not over by now.
fn still_taken(done: &SweepReport, trials: &[&Trial], ledger: &Ledger) -> Result<usize, Failure> {
    if done.taken == 0 {
        return Ok(0);
    }
    let scan = ledger.scan()?;
    let is_open = |trial: &&&Trial| matches!(scan.state(trial), Ok(RunState::Running | RunState::Partial));
    Ok(trials.iter().filter(is_open).count().min(done.taken))
}

/// Copies finished runs of these trials from other experiments, and reports it.
fn adopt(trials: &[&Trial], ledger: &Ledger, data: &LoadedData) -> Result<(), Failure> {
    let with_identity = trials.iter().map(|&trial| (trial, identity(data, trial)));
    let adopted = ledger.adopt_finished(with_identity)?;
    for error in adopted.damaged {
        say!("warning: not copied: {error}");
    }
    for (experiment, count) in adopted.runs_of {
        say!("copied    {} of the same trials from {}", plural(count, "run"), experiment.display());
    }
    if let Some(first) = adopted.others.first() {
        let count = plural(adopted.others.len(), "run");
        say!("not copied: {count} of the same trials elsewhere, such as {first}");
    }
    Ok(())
}

/// Announces what will be trained.
fn introduce(sweep: &Sweep, trials: &[&Trial], workers: Workers) {
    let points: BTreeSet<_> = trials.iter().map(|trial| trial.point_label()).collect();
    let seeds: BTreeSet<_> = trials.iter().map(|trial| trial.seed()).collect();
    let budget = sweep.budget.map_or("no budget".to_owned(), |held| format!("equal {}", held.words()));
    say!(
        "decouple {} · {} · {} ({}, {}), {budget}",
        env!("CARGO_PKG_VERSION"),
        sweep.path.display(),
        plural(trials.len(), "trial"),
        plural(points.len(), "point"),
        plural(seeds.len(), "seed"),
    );
    let backend = backend();
    let numerics: BTreeSet<_> = trials.iter().map(|trial| trial.numerics.to_string()).collect();
    say!(
        "kernels   {}, numerics {} · {} of {} · {}",
        backend.name(),
        numerics.into_iter().collect::<Vec<_>>().join(" and "),
        plural(workers.jobs, "trial"),
        plural(workers.threads, "thread"),
        cpu()
    );
}

/// Tells which files of a streamed set were left out while it was read.
fn tell_left_out(data: &Dataset) {
    let (count, kept) = data.stream.as_ref().map(Streamed::left_out).unwrap_or_default();
    let files: BTreeSet<_> = kept.iter().map(|skipped| &skipped.file).collect();
    if let Some(first) = kept.first() {
        let at_least = if count > kept.len() { "at least " } else { "" };
        let files = plural(files.len(), "file");
        let (file, reason) = (first.file.display(), &first.reason);
        say!("warning: {at_least}{files} left out of {}, such as {file}: {reason}", data.name);
        say!("   = `decouple data verify` reads all of them and names what is broken");
    }
}

/// Announces the data.
fn introduce_data(sweep: &Sweep, data: &Dataset) {
    let held_out = match data.images(Part::Validation) {
        0 => String::new(),
        n => format!(", {} held out", grouped(n as u64)),
    };
    say!(
        "data      {}: {} train{held_out}, {} test, {}, {} classes",
        data.name,
        grouped(data.images(Part::Train) as u64),
        grouped(data.images(Part::Test) as u64),
        data.shape(),
        data.classes.len()
    );
    for note in &data.notes {
        say!("          {note}");
    }
    if let Some(first) = data.skipped.first() {
        let files = plural(data.skipped.len(), "file");
        say!("warning: {files} skipped, such as {}: {}", first.file.display(), first.reason);
        say!("   = decouple data info {} lists them", sweep.path.display());
    }
}
