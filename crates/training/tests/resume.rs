//! Runs that are stopped, starved and broken, and still end as if nothing had happened.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use decouple_disk::{Disk, Fault, FaultKind};
use decouple_experiment::{Environment, Identity, Ledger, Outcome, Overrides, RunState, Sweep, Trial, parse};
use decouple_training::{
    halving::run_halving,
    keeper::Stop,
    progress::{Event, Left, News, Progress},
    run_sweep::{Conduct, LoadedData, Setup, SweepReport, run_sweep},
    workers::Workers,
};
use tempfile::TempDir;

const SWEEP: &str = include_str!("fixtures/small.toml");

const ONE: Workers = Workers { jobs: 1, threads: 1, memory: None };

fn sweep(text: &str, set: &[&str]) -> Sweep {
    let overrides = Overrides { set: set.iter().map(|&pair| pair.to_owned()).collect() };
    parse(text, "test.toml", &overrides).expect("the sweep is right")
}

/// In memory where there is such a folder: these tests sync many files.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}

fn data(trials: &[&Trial]) -> LoadedData {
    LoadedData::read(trials, None).expect("planted data are made")
}

static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(Environment::default);

fn setup<'a>(
    ledger: &'a Ledger,
    data: &'a LoadedData,
    progress: &'a Progress,
    conduct: &'a Conduct,
) -> Setup<'a> {
    Setup { ledger, data, workers: ONE, environment: &ENVIRONMENT, progress, conduct }
}

fn run(trials: &[&Trial], ledger: &Ledger) -> SweepReport {
    run_with(trials, &setup(ledger, &data(trials), &Progress::silent(), &Conduct::default()))
}

fn run_with(trials: &[&Trial], setup: &Setup<'_>) -> SweepReport {
    run_sweep(trials, setup).expect("the ledger can be listed")
}

/// The files of a ledger's runs that have no clock in them, and all their scores.
fn results(ledger: &Ledger) -> (BTreeMap<PathBuf, Vec<u8>>, Vec<String>) {
    let contents = ledger.verify().expect("the ledger is readable");
    assert!(contents.problems.is_empty(), "{:?}", contents.problems);
    let mut files = BTreeMap::new();
    for run in &contents.runs {
        for name in ["metrics.csv", "weights.safetensors"] {
            let path = run.dir.join(name);
            if let Ok(bytes) = fs::read(&path) {
                files.insert(path.strip_prefix(ledger.root()).expect("inside").to_owned(), bytes);
            }
        }
    }
    let scores = contents.runs.iter().map(|run| {
        let status = run.status.as_ref().expect("every run is over");
        format!("{:?} {:?} {:?} {}", status.outcome, status.test, status.averaged_test, status.steps)
    });
    let scores = scores.collect();
    (files, scores)
}

/// A progress whose listener asks to stop after `steps` steps of any trial.
fn stopping_after(steps: usize, stop: &Stop) -> (Progress, std::thread::JoinHandle<usize>) {
    let (sender, events) = std::sync::mpsc::channel::<Event>();
    let stop = stop.clone();
    let listener = std::thread::spawn(move || {
        let mut seen = 0;
        for event in events {
            if let News::Step { .. } = event.news {
                seen += 1;
                if seen == steps {
                    stop.request(15);
                }
            }
        }
        seen
    });
    (Progress::new(sender), listener)
}

/// The clock goes backwards: what was written last seems to be the oldest, and all of it of tomorrow.
fn turn_the_clock_back(dir: &Path) {
    for (hour, name) in (24..).zip(files_of(dir).iter().rev()) {
        let file = fs::File::options().write(true).open(dir.join(name)).expect("it can be opened");
        file.set_modified(SystemTime::now() + Duration::from_secs(3_600 * hour)).expect("it is ours");
    }
}

fn files_of(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = (fs::read_dir(dir).expect("a folder"))
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_run_stopped_at_any_step_ends_byte_for_byte_as_one_never_stopped() {
    let sweep = sweep(SWEEP, &[]);
    let trials: Vec<&Trial> = sweep.trials.iter().collect();
    let loaded = data(&trials);
    let whole = folder();
    assert_eq!(run(&trials, &Ledger::open(whole.path().join("r/whole"))).finished, 1);
    let expected = results(&Ledger::open(whole.path().join("r/whole")));
    // Stopped once or again and again, in the middle of epochs and at their ends: about where it is asked for,
    // since whoever asks may be late.
    let mut stops = 0;
    for every in [1, 2, 5, 7, 11] {
        let cut = folder();
        let ledger = Ledger::open(cut.path().join("r/cut"));
        loop {
            let conduct = Conduct::default();
            let (progress, listener) = stopping_after(every, &conduct.stop);
            let report = run_with(&trials, &setup(&ledger, &loaded, &progress, &conduct));
            drop(progress);
            let steps = listener.join().expect("the listener ends");
            if report.finished == 1 {
                break;
            }
            stops += 1;
            assert_eq!((report.interrupted, report.left()), (1, 1));
            assert!(steps >= every);
            let kept = files_of(&ledger.run_dir(trials[0]));
            let checkpoints = kept.iter().filter(|name| name.starts_with("checkpoint-")).count();
            assert!((1..=2).contains(&checkpoints), "{kept:?}");
            turn_the_clock_back(&ledger.run_dir(trials[0]));
        }
        assert_eq!(results(&ledger), expected, "stopped after every {every} steps");
        let left = files_of(&ledger.run_dir(trials[0]));
        assert!(
            left.iter().all(|name| !name.starts_with("checkpoint-") && !name.starts_with('.')),
            "{left:?}"
        );
    }
    assert!(stops > 0, "no run was ever stopped");
}

#[test]
fn a_damaged_checkpoint_is_told_and_the_one_before_is_used() {
    // Long enough that it is stopped before its end, however late that is asked for.
    let sweep = sweep(SWEEP, &["training.epochs=20"]);
    let trials: Vec<&Trial> = sweep.trials.iter().collect();
    let loaded = data(&trials);
    let whole = folder();
    run(&trials, &Ledger::open(whole.path().join("r/whole")));
    let cut = folder();
    let ledger = Ledger::open(cut.path().join("r/cut"));
    for _ in 0..2 {
        let conduct = Conduct::default();
        let (progress, _) = stopping_after(3, &conduct.stop);
        run_with(&trials, &setup(&ledger, &loaded, &progress, &conduct));
    }
    let dir = ledger.run_dir(trials[0]);
    let newest =
        files_of(&dir).into_iter().rfind(|name| name.starts_with("checkpoint-")).expect("a checkpoint");
    let mut bytes = fs::read(dir.join(&newest)).expect("it can be read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(dir.join(&newest), bytes).expect("it can be written");
    // What was written of the rows behind the checkpoint is damaged too: it is not read.
    fs::write(dir.join("metrics.csv"), "nonsense").expect("it can be written");

    let (sender, events) = std::sync::mpsc::channel();
    let report = run_with(&trials, &setup(&ledger, &loaded, &Progress::new(sender), &Conduct::default()));
    assert_eq!(report.finished, 1);
    let news: Vec<News> = events.into_iter().map(|event| event.news).collect();
    let warned = news.iter().any(|news| matches!(news, News::Warned(message) if message.contains(&newest)));
    let resumed = news.iter().any(|news| matches!(news, News::Resumed { step } if *step >= 3));
    assert!(warned && resumed, "{news:?}");
    assert_eq!(results(&ledger), results(&Ledger::open(whole.path().join("r/whole"))));
}

#[test]
fn a_race_of_tries_that_is_stopped_has_the_same_winners() {
    let text = SWEEP.replace(
        "[trial.network]",
        "[tune]\nlearning-rate = [0.01, 0.02, 0.05, 0.1]\nhalving = true\n\n[trial.network]",
    );
    let sweep = sweep(&text, &["training.epochs=8"]);
    let tune = sweep.tune.as_ref().expect("a section");
    let tries = sweep.tries();
    let tries: Vec<&Trial> = tries.iter().collect();
    let loaded = data(&tries);
    let race = |ledger: &Ledger, progress: &Progress, conduct: &Conduct| {
        run_halving(&tries, tune, &setup(ledger, &loaded, progress, conduct)).expect("it runs")
    };
    let whole = folder();
    let whole = Ledger::open(whole.path().join("r/whole"));
    let report = race(&whole, &Progress::silent(), &Conduct::default());
    assert_eq!((report.finished, report.stopped, report.left()), (2, 2, 0));

    let cut = folder();
    let ledger = Ledger::open(cut.path().join("r/cut"));
    for call in 1.. {
        let conduct = Conduct::default();
        let (progress, _) = stopping_after(9, &conduct.stop);
        let report = race(&ledger, &progress, &conduct);
        if report.left() == 0 {
            assert!(call > 2, "it was stopped in between");
            break;
        }
        assert_eq!(report.interrupted, report.left());
    }
    assert_eq!(results(&ledger), results(&whole));
}

#[test]
fn whatever_step_of_the_disk_fails_the_trial_is_trained_to_the_same_end() {
    let sweep = sweep(SWEEP, &["training.epochs=1", "data.images=40"]);
    let trials: Vec<&Trial> = sweep.trials.iter().collect();
    let loaded = data(&trials);
    let whole = folder();
    let whole = Ledger::open(whole.path().join("r/whole"));
    run(&trials, &whole);
    let expected = results(&whole);
    let (mut faults, mut unnoticed) = (0, 0);
    for (kind, lasts) in [(FaultKind::Broken, false), (FaultKind::Full, true), (FaultKind::ShortWrite, false)]
    {
        for step in 1.. {
            let place = folder();
            let root = place.path().join("r/sweep");
            let disk = Disk::within(place.path().join("r")).failing(Fault { step, kind, lasts });
            let failing = Ledger::open(&root).on(disk);
            let report =
                run_sweep(&trials, &setup(&failing, &loaded, &Progress::silent(), &Conduct::default()));
            let sound = Ledger::open(&root);
            let is_done = matches!(sound.state(trials[0]).expect("readable"), RunState::Done(_));
            match report {
                // The ledger could not even be listed.
                Err(_) => faults += 1,
                Ok(report) => {
                    assert_eq!((report.failed, report.diverged), (0, 0), "a fault is no result: step {step}");
                    faults += report.faults;
                    unnoticed += usize::from(report.finished == 1 && !is_done);
                }
            }
            // The disk is mended.
            let report = run(&trials, &sound);
            assert_eq!(report.finished + report.earlier, 1, "step {step} of {kind:?}");
            assert_eq!(results(&sound), expected, "step {step} of {kind:?}");
            if failing.disk().steps() < step {
                break;
            }
        }
    }
    assert_eq!(unnoticed, 0);
    assert!(faults > 60, "{faults} faults were met");
}

#[test]
fn a_panic_is_no_result_and_stops_no_other_trial() {
    let sweep = sweep(SWEEP, &["training.epochs=1", "seed=[0, 1]"]);
    let mut record = sweep.trials[0].record.clone();
    // Nothing that a file can say, and so nothing that is checked for: steps of no images.
    record.training.batch = 0;
    let Trial { point, budget, .. } = sweep.trials[0].clone();
    let broken = Trial::new(point, record, &sweep.trials[0].graph(), budget);
    let trials = [&broken, &sweep.trials[1]];
    let loaded = data(&trials);
    let place = folder();
    let ledger = Ledger::open(place.path().join("r/sweep"));
    let (sender, events) = std::sync::mpsc::channel();
    let report = run_with(&trials, &setup(&ledger, &loaded, &Progress::new(sender), &Conduct::default()));
    assert_eq!((report.bugs, report.finished), (1, 1));
    let state = ledger.state(&broken).expect("readable");
    assert!(!matches!(state, RunState::Done(_)), "it is still to be done: {state:?}");
    let told = events.into_iter().any(|event| matches!(event.news, News::Left(Left::Bug(_))));
    assert!(told);
}

#[test]
fn a_full_disk_begins_no_further_trial_and_a_diverging_one_is_a_result() {
    let steep = sweep(SWEEP, &["training.schedule.peak=1e30", "seed=[0, 1, 2]"]);
    let trials: Vec<&Trial> = steep.trials.iter().collect();
    let place = folder();
    let fault = Fault { step: 20, kind: FaultKind::Full, lasts: true };
    let failing =
        Ledger::open(place.path().join("r/sweep")).on(Disk::within(place.path().join("r")).failing(fault));
    let report = run(&trials, &failing);
    assert!(report.faults >= 1 && report.interrupted >= 1, "{report:?}");
    let ledger = Ledger::open(place.path().join("r/sweep"));
    assert_eq!(run(&trials, &ledger).left(), 0);
    for run in ledger.read().expect("readable").runs {
        let outcome = run.status.expect("it is over").outcome;
        assert!(matches!(outcome, Outcome::Diverged { .. }), "{outcome:?}");
    }
}

#[test]
fn what_a_killed_runner_left_beside_finished_runs_is_removed_by_the_next() {
    let sweep = sweep(SWEEP, &["training.epochs=1"]);
    let trials: Vec<&Trial> = sweep.trials.iter().collect();
    let place = folder();
    let ledger = Ledger::open(place.path().join("r/sweep"));
    run(&trials, &ledger);
    let left = ledger.run_dir(trials[0]).join("checkpoint-0000000001");
    fs::write(&left, "x").expect("it can be written");
    assert_eq!(run(&trials, &ledger).earlier, trials.len());
    assert!(!left.exists());
}

#[test]
fn a_runner_goes_back_to_the_trial_of_one_that_died() {
    let sweep = sweep(SWEEP, &["training.epochs=1"]);
    let trials: Vec<&Trial> = sweep.trials.iter().collect();
    let loaded = data(&trials);
    let place = folder();
    let ledger = Ledger::open(place.path().join("r/sweep"));
    let held = ledger.claim(trials[0], &Identity::of(trials[0], None)).expect("it can be claimed");
    let impatient = run_with(&trials, &setup(&ledger, &loaded, &Progress::silent(), &Conduct::default()));
    assert_eq!((impatient.taken, impatient.left()), (1, 1));
    let (sender, events) = std::sync::mpsc::channel();
    let conduct = Conduct { waits: true, ..Conduct::default() };
    let report = std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| run_with(&trials, &setup(&ledger, &loaded, &Progress::new(sender), &conduct)));
        assert!(matches!(events.recv(), Ok(Event { news: News::Taken, .. })));
        // As the system does when a process dies.
        drop(held);
        waiting.join().expect("it ends")
    });
    assert_eq!((report.finished, report.left()), (1, 0));
}
