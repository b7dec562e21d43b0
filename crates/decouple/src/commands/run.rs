//! `decouple run`: train what is not trained yet, then report.

use std::{collections::BTreeMap, path::PathBuf, sync::mpsc};

use decouple_datasets::{Dataset, stream::Part};
use decouple_experiment::{
    Claims, Environment, FileSystem, Identity, Ledger, LedgerError, Mismatch, NUMERICS_VERSION, Outcome,
    RunState, StepTimes, Sweep, Trial,
};
use decouple_training::{
    device::backend,
    keeper::Stop,
    progress::Progress,
    sweep::{Conduct, LoadedData, SweepError, SweepReport, Workers, run_sweep},
};

use super::{ledger, plan::TrainImages, read, report, room, select, task, tune::settle};
use crate::{
    arguments::{ClaimsChoice, Common, Only, Run},
    clock::Clock,
    environment::{cpu, environment},
    failure::{DATA, Failure, INTERRUPTED, IO, LOCKED, NOTHING, RUN_FAILED, SUCCESS},
    screen::Screen,
    signals,
    text::{grouped, plural},
};

pub(crate) fn run(common: &Common, arguments: &Run) -> Result<u8, Failure> {
    let stop = signals::watch()?;
    let conduct = Conduct { stop, fresh: arguments.fresh, waits: !arguments.no_wait };
    let mut clock = Clock::new(common);
    let step_times = StepTimes::Timer(&mut clock);
    let sweep = read(common, &arguments.selection.file, &arguments.selection.set, step_times)?;
    let sweep = settle(common, arguments, &conduct, sweep)?;
    // The tries that chose a recipe are no runs that failed.
    let conduct = Conduct { fresh: arguments.fresh || arguments.only.is_some(), ..conduct };
    let trials = select(&sweep, &arguments.selection)?;
    let trials = task::selected(trials, arguments)?;
    let ledger = claiming(ledger(common, &sweep), arguments);
    let trials = match arguments.only {
        None => trials,
        Some(Only::Failed) => failed(trials, &ledger)?,
    };
    let trials = longest_first(trials, common);
    room::check(&trials, &arguments.resources, common)?;
    let workers = room::workers(&arguments.resources, &trials, common)?;
    let data = LoadedData::read(&trials, common.data.as_deref())?;
    let workers = room::beside_data(workers, &data, &trials, common)?;
    introduce(&sweep, &trials, workers);
    if let Some(data) = trials.first().and_then(|trial| data.of(trial)) {
        introduce_data(&sweep, data);
    }
    let all: Vec<&Trial> = sweep.trials.iter().collect();
    let fresh = arguments.fresh || arguments.only.is_some();
    refuse_mixing(&sweep, &all, &trials, &ledger, &data, fresh)?;
    sweep.write_plan(&ledger)?;
    ledger.sweep()?;
    if !fresh {
        adopt(&trials, &ledger, &data)?;
    }
    let done = watched(&trials, !arguments.no_progress, |environment, progress| {
        run_sweep(&trials, &ledger, &data, workers, environment, progress, &conduct)
    })?;
    if let Some(code) = stopped(&done, &conduct.stop, &sweep, trials.len()) {
        // A scheduler that has asked to stop does not wait for figures.
        if code == INTERRUPTED {
            report::rebuild_and_show(&sweep, &ledger, arguments.format)?;
        }
        return Ok(code);
    }
    // Of the tasks of a submission, the one that ends last has something to report.
    let reports = arguments.task.is_none() || task::is_last(&sweep, &ledger)?;
    let shown = reports.then(|| report::rebuild_and_show(&sweep, &ledger, arguments.format));
    if done.faults > 0 {
        return Ok(IO);
    }
    let analysis = shown.transpose()?;
    let taken = still_taken(&done, &trials, &ledger)?;
    if taken > 0 {
        let are = if taken == 1 { "is" } else { "are" };
        let trials = plural(taken, "trial");
        say!("{trials} {are} in the hands of another process; run again when it is done");
    }
    let own = |id: &str| trials.iter().any(|trial| trial.id.to_string() == id);
    let runs = analysis.iter().flat_map(|analysis| &analysis.runs);
    let is_unusable = runs.filter(|run| run.outcome.is_unusable()).any(|run| own(&run.id));
    Ok(if done.unusable > 0 || is_unusable {
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
fn failed<'a>(trials: Vec<&'a Trial>, ledger: &Ledger) -> Result<Vec<&'a Trial>, Failure> {
    let scan = ledger.scan()?;
    let mut failed = Vec::new();
    for trial in trials {
        if let RunState::Done(status) = scan.state(trial)?
            && matches!(status.outcome, Outcome::Failed { .. } | Outcome::Diverged { .. })
        {
            failed.push(trial);
        }
    }
    if failed.is_empty() {
        return Err(Failure::new(
            NOTHING,
            format!("no run failed or diverged in {}", ledger.root().display()),
        ));
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

/// Says what is done and how to go on, if a signal has stopped the sweep; the exit code for it.
pub(super) fn stopped(done: &SweepReport, stop: &Stop, sweep: &Sweep, trials: usize) -> Option<u8> {
    let reason = stop.reason().filter(|_| done.left() > 0)?;
    let left = done.left();
    say!(
        "stopped: {} of {} done, {left} to go; those under way are saved, and `{}` goes on",
        trials - left,
        plural(trials, "trial"),
        sweep.command("run")
    );
    Some(signals::code(reason))
}

/// Refuses to train, or to take for done, what would stand in one report with runs of other data or of another
/// engine. `all` trials are those of the report, `selected` those that are trained.
pub(super) fn refuse_mixing(
    sweep: &Sweep,
    all: &[&Trial],
    selected: &[&Trial],
    ledger: &Ledger,
    data: &LoadedData,
    fresh: bool,
) -> Result<(), Failure> {
    let is_selected = |trial: &Trial| selected.iter().any(|one| one.id == trial.id);
    // Those that are trained again are replaced.
    let kept = all.iter().copied().filter(|trial| !(fresh && is_selected(trial)));
    let differences = ledger.differences(kept.map(|trial| (trial, identity(data, trial))))?;
    let is_to_train = || -> Result<bool, LedgerError> {
        let scan = ledger.scan()?;
        for trial in selected {
            if fresh || !matches!(scan.state(trial)?, RunState::Done(_)) {
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
        "{} of this experiment {were} {kind}: not counted as done, and not mixed with others",
        plural(found.len(), "run")
    );
    for difference in found.iter().take(4) {
        message += &format!("\n   = {difference}");
    }
    if found.len() > 4 {
        message += &format!("\n   = and {} more", found.len() - 4);
    }
    let again = sweep.command("run");
    message += &format!("\n   = to replace them: {again} --fresh; each stays until its successor is done");
    message += "\n   = to keep them: another folder, as in --results other-results";
    Err(Failure::new(DATA, message))
}

/// What a run of `trial` is trained on and by here.
fn identity(data: &LoadedData, trial: &Trial) -> Identity {
    data.of(trial).map_or_else(Identity::of_any_data, |data| Identity::of_data(&data.checksum))
}

/// The ledger with the claims that the command line asks for, or its file system needs.
pub(super) fn claiming(ledger: Ledger, arguments: &Run) -> Ledger {
    let claims = match arguments.claims {
        ClaimsChoice::Typed(claims) => claims,
        ClaimsChoice::Auto => {
            let is_shared = FileSystem::of(ledger.root()).is_some_and(|system| system.is_shared());
            if is_shared { Claims::LEASES } else { Claims::Locks }
        }
    };
    ledger.claiming(claims)
}

/// The trials in the order in which they start: the longest first, so that the last to
/// end are short ones and no core waits long for another. Lengths are counted, not
/// measured (multiply-adds of all images of all epochs), and those within a factor of
/// 1.4 count as equal: equal ones keep the file's order, in which every point comes up
/// before any has its second seed.
fn longest_first<'a>(mut trials: Vec<&'a Trial>, common: &Common) -> Vec<&'a Trial> {
    let mut images = TrainImages::default();
    trials.sort_by_cached_key(|trial| {
        let images = images.of(trial, common).unwrap_or(1).max(1) as f64;
        let length = images * trial.cost.macs.max(1) as f64 * trial.record.training.epochs as f64;
        std::cmp::Reverse((2.0 * length.log2()) as u64)
    });
    trials
}

/// Takes over what other experiments have finished of these trials, and says so.
fn adopt(trials: &[&Trial], ledger: &Ledger, data: &LoadedData) -> Result<(), Failure> {
    let elsewhere = ledger.elsewhere();
    let (mut runs_of, mut others) = (BTreeMap::<PathBuf, usize>::new(), Vec::new());
    let scan = ledger.scan()?;
    for trial in trials {
        if scan.state(trial)? != RunState::New {
            continue;
        }
        let identity = identity(data, trial);
        let Some(run) = elsewhere.find(trial, &identity) else {
            others.extend(elsewhere.others(trial, &identity));
            continue;
        };
        match ledger.adopt(trial, run, &identity) {
            Ok(true) => {
                let experiment = run.ancestors().nth(2).unwrap_or(run);
                *runs_of.entry(experiment.to_owned()).or_default() += 1;
            }
            Ok(false) => {}
            // Of a source that is damaged nothing is taken; the trial is trained here.
            Err(error) if !matches!(error, LedgerError::Io { .. }) => say!("warning: not taken: {error}"),
            Err(error) => return Err(error.into()),
        }
    }
    for (experiment, count) in runs_of {
        say!("taken     {} of the same trials from {}", plural(count, "run"), experiment.display());
    }
    if let Some(first) = others.first() {
        say!("not taken {} of the same trials elsewhere, such as {first}", plural(others.len(), "run"));
    }
    Ok(())
}

/// Says what is about to happen.
fn introduce(sweep: &Sweep, trials: &[&Trial], workers: Workers) {
    let points: std::collections::BTreeSet<_> = trials.iter().map(|trial| trial.point_label()).collect();
    let seeds: std::collections::BTreeSet<_> = trials.iter().map(|trial| trial.seed()).collect();
    let budget = sweep.budget.map_or("no budget".to_owned(), |quantity| format!("equal {quantity}"));
    say!(
        "decouple {} · {} · {} ({}, {}), {budget}",
        env!("CARGO_PKG_VERSION"),
        sweep.path.display(),
        plural(trials.len(), "trial"),
        plural(points.len(), "point"),
        plural(seeds.len(), "seed"),
    );
    let backend = backend();
    say!(
        "kernels   {}, numerics {NUMERICS_VERSION} · {} of {} · {}",
        backend.name(),
        plural(workers.jobs, "trial"),
        plural(workers.threads, "thread"),
        cpu()
    );
}

/// Says what it is about to happen to.
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
        say!("warning: {files} left out, such as {}: {}", first.file.display(), first.reason);
        say!("   = decouple data info {} lists them", sweep.path.display());
    }
}

/// Trains `trials` with `how`, which gets the environment and the way to tell how far it is, and shows that.
pub(super) fn watched(
    trials: &[&Trial],
    bars: bool,
    how: impl FnOnce(&Environment, &Progress) -> Result<SweepReport, SweepError>,
) -> Result<SweepReport, Failure> {
    let (sender, events) = mpsc::channel();
    let environment = environment();
    std::thread::scope(|scope| {
        let screen = scope.spawn(|| Screen::new(trials, bars).follow(events));
        let done = how(&environment, &Progress::new(sender));
        // The sender is gone now, so the screen comes to its end.
        if screen.join().is_err() {
            say!("warning: the progress display broke; the runs are not affected");
        }
        Ok(done?)
    })
}
