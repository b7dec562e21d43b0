//! The loop, end to end on a small data set: it learns, repeats bit for bit on
//! any number of threads, survives divergence and errors, and trains each trial
//! exactly once.

use std::{fs, path::Path};

use decouple_datasets::{Dataset, ImageShape, Selection, Split, derive_seed};
use decouple_experiment::{
    Claim, Environment, Identity, Ledger, Outcome, Overrides, RunState, Status, Sweep, Trial, parse,
};
use decouple_training::{
    diagnosis::{DiagnosisError, ProjectionTarget, diagnose},
    progress::{News, Progress},
    run_sweep::{Conduct, LoadedData, Setup, SweepReport, run_sweep},
    stored_network::WEIGHTS_FILE,
    workers::Workers,
};
use tempfile::TempDir;

/// A few trials of a tiny network, each point with its own way through the code.
const SWEEP: &str = r#"
[axes]
segments = [1, 3, "per-channel"]
seed = [0, 1]

[trial.network]
stem = 4
entry = [6, 8]
middle = 1
modules = 1
exit = 8
dropout = 0.1

[trial.data]
validation = 500
augment = ["pad-crop 2"]

[trial.training]
epochs = 10
batch = 20
schedule = { kind = "constant", peak = 0.1 }
average = { kind = "polyak", decay = 0.9 }
"#;

fn sweep(set: &[&str]) -> Sweep {
    let overrides = Overrides { set: set.iter().map(|&pair| pair.to_owned()).collect() };
    parse(SWEEP, "test.toml", &overrides).expect("the sweep is right")
}

/// Images whose class is where their bright square is: easy to learn, unless
/// they are flipped.
fn squares(images: usize, seed: u64) -> Selection {
    let shape = ImageShape { h: 28, w: 28, c: 1 };
    let mut split = Split { shape, images: vec![0; images * shape.len()], labels: Vec::new() };
    for (index, image) in split.images.chunks_exact_mut(shape.len()).enumerate() {
        let label = index % 10;
        let (top, left) = (2 + label / 5 * 14, 1 + label % 5 * 5);
        for (pixel, value) in image.iter_mut().enumerate() {
            let (y, x) = (pixel / shape.w, pixel % shape.w);
            let inside = (top..top + 8).contains(&y) && (left..left + 5).contains(&x);
            let noise = derive_seed(seed, "noise", index as u64, pixel as u64) % 64;
            *value = noise as u8 + if inside { 160 } else { 0 };
        }
        split.labels.push(label as u16);
    }
    split.into()
}

fn data() -> Dataset {
    Dataset {
        name: "squares".to_owned(),
        classes: (0..10).map(|class| class.to_string()).collect(),
        train: squares(210, 1),
        validation: squares(50, 2),
        test: squares(70, 3),
        mean: vec![0.2],
        std: vec![0.2],
        checksum: "squares".to_owned(),
        ..Dataset::default()
    }
}

fn run(trials: &[&Trial], root: &Path, workers: Workers) -> SweepReport {
    let loaded = LoadedData::load(trials, |_| Ok::<_, std::convert::Infallible>(data())).expect("infallible");
    run_with(trials, root, &loaded, workers, &Progress::silent())
}

fn run_with(
    trials: &[&Trial],
    root: &Path,
    data: &LoadedData,
    workers: Workers,
    progress: &Progress,
) -> SweepReport {
    let (ledger, environment, conduct) = (&Ledger::open(root), &Environment::default(), &Conduct::default());
    let setup = Setup { ledger, data, workers, environment, progress, conduct };
    run_sweep(trials, &setup).expect("the sweep runs")
}

fn status(ledger: &Ledger, trial: &Trial) -> Status {
    match ledger.state(trial).expect("the ledger is readable") {
        RunState::Done(status) => *status,
        state => panic!("{} is {state:?}", trial.point_label()),
    }
}

const ONE: Workers = Workers { jobs: 1, threads: 1, memory: None };

#[test]
fn every_point_learns_and_leaves_its_rows() {
    let sweep = sweep(&[]);
    let trials: Vec<&Trial> = sweep.trials.iter().collect();
    let folder = TempDir::new().expect("a folder");
    let report = run(&trials, folder.path(), Workers { jobs: 2, ..ONE });
    assert_eq!(report, SweepReport { finished: 6, ..SweepReport::default() });

    let ledger = Ledger::open(folder.path());
    let runs = ledger.read().expect("the ledger is readable");
    assert!(runs.problems.is_empty(), "{:?}", runs.problems);
    assert_eq!(runs.runs.len(), 6);
    for run in &runs.runs {
        assert_eq!(run.metrics.len(), 10);
        let (first, last) = (&run.metrics[0], &run.metrics[9]);
        // 210 images are ten batches of twenty; ten images are left over.
        assert_eq!((last.step, last.samples), (100, 2000));
        assert!(last.train_loss < 0.7 * first.train_loss, "{}", run.dir.display());
        assert!(last.averaged_validation_accuracy.is_some());
        let status = run.status.as_ref().expect("every run is over");
        assert!(status.score().expect("it finished") > 0.5, "{}", run.dir.display());
        assert_eq!(status.test.as_ref().map(|scores| scores.images), Some(70));
        // Image by image it says the same, of the averaged weights.
        let images = run.per_image().expect("a sound file").expect("a finished run has one");
        let correct = (0..images.len()).filter(|&image| images.is_correct(image)).count();
        let scores = status.averaged_test.as_ref().expect("averages are kept");
        assert_eq!((images.len(), correct as f64 / 70.0), (70, scores.accuracy));
        let loss = images.losses().iter().map(|&loss| f64::from(loss)).sum::<f64>() / 70.0;
        // Each loss is rounded to within a two-thousandth.
        assert!((loss - scores.loss).abs() < scores.loss / 2000.0, "{loss} {}", scores.loss);
    }
}

#[test]
fn runs_repeat_bit_for_bit_on_any_number_of_threads() {
    let augment = "data.augment=[\"pad-crop 2\", \"flip\"]";
    let sweep = sweep(&["training.epochs=1", "seed=[4]", augment]);
    let trials: Vec<&Trial> = sweep.trials.iter().collect();
    let folders: Vec<TempDir> = (0..3).map(|_| TempDir::new().expect("a folder")).collect();
    for (folder, threads) in folders.iter().zip([1, 2, 3]) {
        run(&trials, folder.path(), Workers { threads, ..ONE });
    }
    for trial in trials {
        let files = folders.iter().map(|folder| {
            let ledger = Ledger::open(folder.path());
            let rows = fs::read(ledger.run_dir(trial).join("metrics.csv")).expect("the rows are there");
            let status = status(&ledger, trial);
            (rows, status.test, status.averaged_test)
        });
        let files: Vec<_> = files.collect();
        assert_eq!(files[0], files[1], "{} on 1 and 2 threads", trial.point_label());
        assert_eq!(files[0], files[2], "{} on 1 and 3 threads", trial.point_label());
    }
}

#[test]
fn finished_trials_are_not_trained_again() {
    let sweep = sweep(&["training.epochs=1"]);
    let trials: Vec<&Trial> = sweep.trials.iter().collect();
    let folder = TempDir::new().expect("a folder");
    assert_eq!(run(&trials[..2], folder.path(), ONE).finished, 2);
    // One more is interrupted after its claim.
    let ledger = Ledger::open(folder.path());
    assert!(matches!(ledger.claim(trials[2], &Identity::of(trials[2], None)), Ok(Claim::Mine(_))));
    assert_eq!(ledger.state(trials[2]).expect("readable"), RunState::Partial);
    let report = run(&trials, folder.path(), ONE);
    assert_eq!((report.finished, report.earlier), (4, 2));
    assert_eq!(run(&trials, folder.path(), ONE).earlier, 6);
}

#[test]
fn several_runners_train_each_trial_once() {
    let sweep = sweep(&["training.epochs=1"]);
    let trials: Vec<&Trial> = sweep.trials.iter().collect();
    let folder = TempDir::new().expect("a folder");
    let reports: Vec<SweepReport> = std::thread::scope(|scope| {
        let runners: Vec<_> = (0..3).map(|_| scope.spawn(|| run(&trials, folder.path(), ONE))).collect();
        runners.into_iter().map(|runner| runner.join().expect("a runner ends")).collect()
    });
    assert_eq!(reports.iter().map(|report| report.finished).sum::<usize>(), trials.len());
    for report in reports {
        assert_eq!(report.finished + report.earlier + report.taken, trials.len());
    }
}

#[test]
fn a_diverged_or_failed_trial_does_not_stop_the_sweep() {
    let mut steep = sweep(&["training.schedule.peak=1e30", "training.epochs=2", "seed=[0]"]);
    let fine = sweep(&["training.epochs=1", "seed=[0]"]);
    // A trial whose images do not fit its network.
    let mut other = sweep(&["training.epochs=1", "seed=[9]"]).trials.remove(0);
    other.record.data.validation = 7;
    steep.trials.truncate(1);
    let trials: Vec<&Trial> = steep.trials.iter().chain([&other]).chain(&fine.trials[..1]).collect();
    let folder = TempDir::new().expect("a folder");
    let wrong = Dataset {
        train: Split {
            images: vec![0; 40 * 64],
            labels: vec![0; 40],
            shape: ImageShape { h: 8, w: 8, c: 1 },
        }
        .into(),
        ..data()
    };
    let load = |spec: &decouple_datasets::DataSpec| {
        Ok::<_, std::convert::Infallible>(if spec.validation == 7 { wrong.clone() } else { data() })
    };
    let loaded = LoadedData::load(&trials, load).expect("infallible");
    let ledger = Ledger::open(folder.path());
    let (sender, events) = std::sync::mpsc::channel();
    let report = run_with(&trials, folder.path(), &loaded, ONE, &Progress::new(sender));
    assert_eq!((report.diverged, report.failed, report.finished), (1, 1, 1));

    let diverged = status(&ledger, trials[0]);
    assert!(matches!(diverged.outcome, Outcome::Diverged { step } if step <= 3), "{:?}", diverged.outcome);
    assert_eq!((diverged.score(), diverged.test), (None, None));
    let failed = status(&ledger, trials[1]);
    assert!(
        matches!(&failed.outcome, Outcome::Failed { message } if message.contains("28x28x1")),
        "{failed:?}"
    );
    let ended = events.iter().filter(|event| matches!(event.news, News::Ended { .. })).count();
    assert_eq!(ended, 3);
}

#[test]
fn weights_are_kept_and_can_be_projected() {
    let sweep = sweep(&["seed=[0]"]);
    let trials: Vec<&Trial> = sweep.trials.iter().collect();
    let folder = TempDir::new().expect("a folder");
    run(&trials, folder.path(), ONE);
    let ledger = Ledger::open(folder.path());
    let diagnosed = |trial: &Trial, targets: &[ProjectionTarget]| {
        diagnose(trial, &ledger.run_dir(trial).join(WEIGHTS_FILE), &data(), targets).map_err(Box::new)
    };
    let targets =
        [ProjectionTarget::Segments(1), ProjectionTarget::Segments(1000), ProjectionTarget::Separable];
    let found = diagnosed(trials[0], &targets).expect("a network of one segment");
    // The kept weights are the averaged ones, by which the run is judged.
    let contents = ledger.read().expect("the ledger is readable");
    let own = contents.runs.iter().find(|run| run.dir == ledger.run_dir(trials[0])).expect("its run");
    let last = own.metrics.last().expect("an epoch");
    assert_eq!(Some(found.score), last.averaged_validation_accuracy);
    for (effect, kept) in found.effects.iter().zip([(1.0, 1.0), (0.05, 0.95), (0.05, 0.99)]) {
        assert_eq!(effect.layers.len(), trials[0].layers.len());
        for (layer, energy, _) in &effect.layers {
            let (least, most) = kept;
            assert!((least - 1e-6..=most + 1e-6).contains(energy), "{:?} {layer}: {energy}", effect.target);
        }
    }
    let refused = diagnosed(trials[2], &targets);
    let error = *refused.expect_err("it is refused");
    assert!(matches!(error, DiagnosisError::Decoupled { .. }), "{error}");
    let bare = Trial { layers: [].into(), ..trials[0].clone() };
    let error = *diagnosed(&bare, &targets).expect_err("it is refused");
    assert!(matches!(error, DiagnosisError::NoModules(_)), "{error}");
}
