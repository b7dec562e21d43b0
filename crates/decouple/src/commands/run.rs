//! `decouple run`: train what is not trained yet, then report.

use std::{path::PathBuf, sync::mpsc};

use decouple_datasets::load as load_data;
use decouple_experiment::{Claims, Environment, FileSystem, Ledger, RunState, StepTimes, Sweep, Trial};
use decouple_training::{
    progress::Progress,
    sweep::{LoadedData, SweepError, SweepReport, Workers, run_sweep},
};

use super::{ledger, plan::TrainImages, read, report, room, select, task, tune::settle};
use crate::{
    arguments::{ClaimsChoice, Common, Run},
    clock::Clock,
    environment::{cpu, environment},
    failure::{Failure, LOCKED, RUN_FAILED, SUCCESS},
    screen::Screen,
    text::grouped,
};

pub(crate) fn run(common: &Common, arguments: &Run) -> Result<u8, Failure> {
    let mut clock = Clock::new(common);
    let step_times = StepTimes::Timer(&mut clock);
    let sweep = read(&arguments.selection.file, &arguments.selection.set, step_times)?;
    let sweep = settle(common, arguments, sweep)?;
    let trials = select(&sweep, &arguments.selection)?;
    let trials = task::selected(trials, arguments)?;
    let ledger = claiming(ledger(common, &sweep), arguments);
    let trials = longest_first(trials, common);
    room::check(&trials, &arguments.resources, common)?;
    let workers = room::workers(&arguments.resources, &trials, common)?;
    let data = LoadedData::load(&trials, |spec| load_data(spec, common.data.as_deref()))?;
    let workers = room::beside_data(workers, &data, &trials, common)?;
    introduce(&sweep, &trials, workers);
    if let Some(data) = trials.first().and_then(|trial| data.of(trial)) {
        let held_out = match data.validation.len() {
            0 => String::new(),
            n => format!(", {} held out", grouped(n as u64)),
        };
        eprintln!(
            "data      {}: {} train{held_out}, {} test, {}, {} classes",
            data.name,
            grouped(data.train.len() as u64),
            grouped(data.test.len() as u64),
            data.shape(),
            data.classes.len()
        );
        if let Some(first) = data.skipped.first() {
            let (count, files) = (data.skipped.len(), if data.skipped.len() == 1 { "file" } else { "files" });
            eprintln!(
                "warning: {count} {files} left out, such as {}: {}",
                first.file.display(),
                first.reason
            );
            eprintln!("   = decouple data info {} lists them", sweep.path.display());
        }
    }
    sweep.write_plan(&ledger)?;
    if arguments.fresh {
        for trial in &trials {
            ledger.reset(trial)?;
        }
    } else {
        adopt(&trials, &ledger)?;
    }
    let done = watched(&trials, !arguments.no_progress, |environment, progress| {
        run_sweep(&trials, &ledger, &data, workers, environment, progress)
    })?;
    // Of the tasks of a submission, the one that ends last has something to report.
    if arguments.task.is_none() || task::is_last(&sweep, &ledger)? {
        report::rebuild_and_show(&sweep, &ledger)?;
    }
    // What another process had taken may be over by now.
    let scan = ledger.scan()?;
    let running = trials.iter().filter(|trial| matches!(scan.state(trial), Ok(RunState::Running))).count();
    if running > 0 {
        let trials = if running == 1 { "trial is" } else { "trials are" };
        eprintln!("{running} {trials} in the hands of another process; run again when it is done");
    }
    Ok(if done.diverged + done.failed + done.earlier_lost > 0 {
        RUN_FAILED
    } else if running > 0 {
        LOCKED
    } else {
        SUCCESS
    })
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
fn adopt(trials: &[&Trial], ledger: &Ledger) -> Result<(), Failure> {
    let elsewhere = ledger.elsewhere();
    let scan = ledger.scan()?;
    let mut runs_of = std::collections::BTreeMap::<PathBuf, usize>::new();
    for trial in trials {
        if scan.state(trial)? == RunState::New
            && let Some(run) = elsewhere.find(trial)
            && ledger.adopt(trial, run)?
            && let Some(experiment) = run.ancestors().nth(2)
        {
            *runs_of.entry(experiment.to_owned()).or_default() += 1;
        }
    }
    for (experiment, count) in runs_of {
        let runs = if count == 1 { "run" } else { "runs" };
        eprintln!("taken     {count} {runs} of the same trials from {}", experiment.display());
    }
    Ok(())
}

/// Says what is about to happen.
fn introduce(sweep: &Sweep, trials: &[&Trial], workers: Workers) {
    let points: std::collections::BTreeSet<_> = trials.iter().map(|trial| trial.point_label()).collect();
    let seeds: std::collections::BTreeSet<_> = trials.iter().map(|trial| trial.seed()).collect();
    let budget = sweep.budget.map_or("no budget".to_owned(), |quantity| format!("equal {quantity}"));
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    eprintln!(
        "decouple {} · {} · {} ({}, {}), {budget}",
        env!("CARGO_PKG_VERSION"),
        sweep.path.display(),
        plural(trials.len(), "trial"),
        plural(points.len(), "point"),
        plural(seeds.len(), "seed"),
    );
    let kernels = decouple_core_ops::Context::best().isa().name();
    eprintln!(
        "kernels   {kernels} · {} of {} · {}",
        plural(workers.jobs, "trial"),
        plural(workers.threads, "thread"),
        cpu()
    );
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
            eprintln!("warning: the progress display broke; the runs are not affected");
        }
        Ok(done?)
    })
}
