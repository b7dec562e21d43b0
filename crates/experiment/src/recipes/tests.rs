use super::*;
use crate::ledger::{Claim, MetricsRow, Status, TimingRow};
use crate::tune::DEFAULT_SEED;
use crate::{FORMAT, Outcome, Overrides, Tune, parse};

const SWEEP: &str = r#"
[axes]
segments = [1, "per-channel"]
seed = [0, 1]

[tune]
learning-rate = [0.05, 0.1]
weight-decay = [0.0, 1e-4]

[trial.data]
validation = 1000
"#;

fn sweep(text: &str) -> Result<Sweep, String> {
    parse(text, "tuned.toml", &Overrides::default()).map_err(|error| error.to_string())
}

/// Ends the run of `trial` with a validation accuracy, or as diverged.
fn end(ledger: &Ledger, trial: &Trial, accuracy: Option<f64>) {
    let outcome = if accuracy.is_some() { Outcome::Finished } else { Outcome::Diverged { step: 1 } };
    end_as(ledger, trial, accuracy, outcome);
}

fn end_as(ledger: &Ledger, trial: &Trial, accuracy: Option<f64>, outcome: Outcome) {
    let Ok(Claim::Mine(mut writer)) = ledger.claim(trial, &crate::Identity::of(trial, None)) else {
        panic!("a new trial")
    };
    let metrics = MetricsRow {
        epoch: 1,
        step: 1,
        samples: 1,
        learning_rate: 0.1,
        train_loss: 1.0,
        train_accuracy: 0.5,
        validation_loss: accuracy.map(|accuracy| 1.0 - accuracy),
        validation_accuracy: accuracy,
        ..MetricsRow::default()
    };
    writer.append(&metrics, &TimingRow { epoch: 1, wall_secs: 1.0, images_per_sec: 1.0 }).unwrap();
    writer.finish(&Status { format: FORMAT, outcome, ..Status::default() }).unwrap();
}

#[test]
fn every_point_tries_the_same() {
    let sweep = sweep(SWEEP).unwrap();
    let tries = sweep.tries();
    assert_eq!(tries.len(), 2 * 4);
    let recipes = |tries: &[Trial]| -> Vec<(f64, f64)> {
        tries.iter().map(|t| (t.record.training.schedule.peak(), t.record.training.weight_decay)).collect()
    };
    assert_eq!(recipes(&tries[..4]), [(0.05, 0.0), (0.05, 1e-4), (0.1, 0.0), (0.1, 1e-4)]);
    assert_eq!(recipes(&tries[..4]), recipes(&tries[4..]));
    assert!(tries.iter().all(|trial| trial.seed() == DEFAULT_SEED));
    let ids: std::collections::BTreeSet<_> = tries.iter().map(|trial| trial.id).collect();
    assert_eq!(ids.len(), 8);
}

#[test]
fn fewer_tries_are_drawn_once_for_all() {
    let text = SWEEP.replace("[tune]", "[tune]\ntries = 3\nseed = 7");
    let settings = sweep(&text).unwrap().tune.unwrap().settings;
    assert_eq!(settings.len(), 3);
    assert_eq!(settings, sweep(&text).unwrap().tune.unwrap().settings);
    let all = sweep(SWEEP).unwrap().tune.unwrap().settings;
    assert!(settings.iter().all(|setting| all.contains(setting)));
}

#[test]
fn the_lowest_validation_log_loss_of_each_point_is_chosen() {
    let sweep = sweep(SWEEP).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ledger = sweep.tune_ledger(&Ledger::open(folder.path()));
    let tries = sweep.tries();
    assert!(matches!(sweep.tuned(&ledger), Err(TuneError::Unfinished { missing: 8, all: 8 })));
    let accuracies = [Some(0.5), None, Some(0.7), Some(0.7), Some(0.9), Some(0.8), None, Some(0.1)];
    for (trial, accuracy) in tries.iter().zip(accuracies) {
        end(&ledger, trial, accuracy);
    }
    let (tuned, choices) = sweep.tuned(&ledger).unwrap();
    let of = |choice: &Choice| (choice.setting.learning_rate, choice.setting.weight_decay, choice.scored);
    assert_eq!(choices.iter().map(of).collect::<Vec<_>>(), [(0.1, 0.0, 3), (0.05, 0.0, 3)]);
    assert_eq!(tuned.trials.len(), 2 * 4);
    let recipe = |trial: &Trial| trial.point.last().unwrap().1.clone();
    for (both, own) in tuned.trials.chunks(2).zip(&sweep.trials) {
        let [written, tuned] = both else { panic!("two recipes a trial") };
        assert_eq!((recipe(written).as_str(), recipe(tuned).as_str()), ("as written", "tuned"));
        assert_eq!((written.id, &written.point[..1]), (own.id, &own.point[..]));
        let choice = choices.iter().find(|choice| choice.point == own.point_label()).unwrap();
        assert_eq!(tuned.record.training.schedule.peak(), choice.setting.learning_rate);
        assert_eq!(tuned.record.training.weight_decay, choice.setting.weight_decay);
        assert_eq!((tuned.seed(), &tuned.point[..1]), (own.seed(), &own.point[..]));
    }
    let names: Vec<&str> = tuned.axes.iter().map(|axis| axis.name.as_str()).collect();
    assert_eq!(names, ["segments", RECIPE, "seed"]);
    assert_eq!(tuned.reference.last().unwrap().1, "as written");
}

#[test]
fn halving_stops_tries_late() {
    let tune = |halving| Tune { settings: Vec::new(), seed: 0, finalists: 1, seeds: 1, halving };
    assert_eq!(tune(true).rungs(8), [7]);
    assert_eq!(tune(true).rungs(32), [28]);
    assert_eq!(tune(true).rungs(2), [0; 0]);
    assert_eq!(tune(true).rungs(1), [0; 0]);
    assert_eq!(tune(false).rungs(8), [0; 0]);
    assert!(sweep(&SWEEP.replace("[tune]", "[tune]\nhalving = true")).unwrap().tune.unwrap().halving);
}

#[test]
fn a_try_that_was_stopped_is_missing_once_halving_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path());
    let halved = sweep(&SWEEP.replace("[tune]", "[tune]\nhalving = true")).unwrap();
    for (index, trial) in halved.tries().iter().enumerate() {
        let outcome = if index % 4 < 2 { Outcome::Finished } else { Outcome::Stopped { epoch: 1 } };
        end_as(&ledger, trial, Some(0.5), outcome);
    }
    assert!(halved.tuned(&ledger).is_ok());
    let whole = sweep(SWEEP).unwrap().tuned(&ledger);
    assert!(matches!(whole, Err(TuneError::Unfinished { missing: 4, all: 8 })), "{whole:?}");
}

#[test]
fn tries_hold_out_the_images_of_their_own_seed_where_runs_do() {
    let splits = |text: &str| -> Vec<Option<u64>> {
        sweep(text).unwrap().tries().iter().map(|trial| trial.record.data.split).collect()
    };
    let by_seed = SWEEP.replace("validation = 1000", "validation = 1000\nsplit = \"seed\"");
    assert_eq!(splits(&by_seed), [Some(DEFAULT_SEED); 8]);
    assert_eq!(splits(&by_seed.replace("\"seed\"", "0")), [Some(0); 8]);
    assert_eq!(splits(SWEEP), [None; 8]);
}

/// The best by the first seed is worse than the second best by both seeds together.
#[test]
fn finalists_are_run_with_more_seeds() {
    let sweep = sweep(&SWEEP.replace("[tune]", "[tune]\nfinalists = 2\nseeds = 2")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ledger = sweep.tune_ledger(&Ledger::open(folder.path()));
    assert!(sweep.finals(&ledger).is_err(), "the tries come first");
    for (index, trial) in sweep.tries().iter().enumerate() {
        end(&ledger, trial, Some([0.5, 0.7, 0.6, 0.1][index % 4]));
    }
    let finals = sweep.finals(&ledger).unwrap();
    let of = |trial: &Trial| (trial.seed(), trial.record.training.schedule.peak());
    assert_eq!(finals.iter().map(of).collect::<Vec<_>>(), [(1001, 0.05), (1001, 0.1)].repeat(2));
    assert!(matches!(sweep.tuned(&ledger), Err(TuneError::Unfinished { missing: 4, all: 4 })));
    for (index, trial) in finals.iter().enumerate() {
        end(&ledger, trial, Some([0.3, 0.6][index % 2]));
    }
    let (tuned, choices) = sweep.tuned(&ledger).unwrap();
    assert!(choices.iter().all(|choice| choice.setting.learning_rate == 0.1 && choice.scored == 6));
    assert!((choices[0].log_loss - 0.4).abs() < 1e-12, "{choices:?}");
    assert_eq!(tuned.tries_made.iter().filter(|tried| tried.is_chosen).count(), 2 * 2);
}

#[test]
fn ranges_are_spread_over_evenly() {
    let text = SWEEP
        .replace("[0.05, 0.1]", "{ from = 0.02, to = 0.5 }")
        .replace("[0.0, 1e-4]", "{ from = 1e-5, to = 1e-2 }");
    let settings = sweep(&text.replace("[tune]", "[tune]\ntries = 15")).unwrap().tune.unwrap().settings;
    assert_eq!(settings.len(), 15);
    // Of the first sixteen points of the sequence, the corner left out, each sixteenth of a range holds one.
    let place =
        |value: f64, from: f64, to: f64| (16.0 * (value / from).ln() / (to / from).ln()).round() as usize;
    let mut rates: Vec<usize> = settings.iter().map(|s| place(s.learning_rate, 0.02, 0.5)).collect();
    let mut decays: Vec<usize> = settings.iter().map(|s| place(s.weight_decay, 1e-5, 1e-2)).collect();
    rates.sort_unstable();
    decays.sort_unstable();
    assert_eq!((rates, decays), ((1..16).collect(), (1..16).collect()));
    assert!(sweep(&text).unwrap_err().contains("`tries` is needed beside a range"));
    let turned = text.replace("from = 0.02, to = 0.5", "from = 0.5, to = 0.02");
    assert!(sweep(&turned.replace("[tune]", "[tune]\ntries = 3")).unwrap_err().contains("the lower first"));
}

#[test]
fn tries_are_judged_by_enough_images() {
    let of = |set: &str| {
        let text = SWEEP.replace("validation = 1000", set);
        sweep(&text).unwrap().trials[0].record.data.validation
    };
    assert_eq!(of("set = \"cifar-10\""), 5000);
    assert_eq!(of(""), 1000, "a tenth of the embedded subset");
    assert_eq!(of("validation = 700"), 700);
}

#[test]
fn a_point_without_a_score_is_named() {
    let sweep = sweep(SWEEP).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path());
    for (index, trial) in sweep.tries().iter().enumerate() {
        end(&ledger, trial, (index < 4).then_some(0.5));
    }
    let error = sweep.tuned(&ledger).unwrap_err().to_string();
    assert!(error.starts_with("point segments = per-channel: every try diverged"), "{error}");
}

#[test]
fn what_cannot_be_tuned_is_refused() {
    for (from, to, expected) in [
        ("validation = 1000", "validation = 0", "no validation images"),
        // Whatever lies in the folder that the command is started in.
        ("validation = 1000", "set = \"image-folder\"\nsize = [8, 8]\nclasses = 2", "no validation images"),
        (
            "seed = [0, 1]",
            "training.weight-decay = [0.0, 1.0]",
            "`training.weight-decay` is both varied and tuned",
        ),
        ("learning-rate = [0.05, 0.1]", "learning-rate = []", "`learning-rate` must be a list of different"),
        (
            "learning-rate = [0.05, 0.1]",
            "learning-rate = [0.1, 0.1]",
            "`learning-rate` must be a list of different",
        ),
        (
            "learning-rate = [0.05, 0.1]\nweight-decay = [0.0, 1e-4]",
            "tries = 3\nlearning-rate = [0.0, 0.1]\nweight-decay = { from = 1e-5, to = 1e-2 }",
            "`learning-rate` must be a list of different finite numbers, above 0",
        ),
        (
            "learning-rate = [0.05, 0.1]",
            "tries = 3\nlearning-rate = { from = 1e-300, to = 1e300 }",
            "`learning-rate` must be a range { from, to } of numbers above 0, the lower first, with a finite ratio",
        ),
        (
            "learning-rate = [0.05, 0.1]",
            "tries = 8\nlearning-rate = { from = 0.0999, to = 0.1001 }",
            "`tries` are more than the ranges have settings of three digits",
        ),
        ("seed = [0, 1]", "training.schedule.peak = [0.1, 0.2]", "is both varied and tuned"),
        ("[tune]", "[tune]\ntries = 5", "`tries` must be from 1 to 4"),
        ("[tune]", "[tune]\ntreis = 5", "unknown key `treis` in [tune]"),
    ] {
        let error = sweep(&SWEEP.replace(from, to)).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_point_whose_finalists_have_all_diverged_is_named() {
    let sweep = sweep(&SWEEP.replace("[tune]", "[tune]\nfinalists = 2\nseeds = 2")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path());
    sweep.tries().iter().for_each(|trial| end(&ledger, trial, Some(0.5)));
    sweep.finals(&ledger).unwrap().iter().for_each(|trial| end(&ledger, trial, None));
    let error = sweep.tuned(&ledger).unwrap_err().to_string();
    assert!(error.starts_with("point segments = 1: every finalist diverged"), "{error}");
    assert!(error.contains("set a higher `finalists`"), "{error}");
}

#[test]
fn keys_without_effect_are_told() {
    for (from, to, expected) in [
        ("[tune]", "[tune]\nfinalists = 2", Some("`tune.finalists` has no effect")),
        ("[tune]", "[tune]\nseeds = 2", Some("`tune.seeds` has no effect")),
        ("[tune]", "[tune]\nfinalists = 2\nseeds = 2\nhalving = true", None),
        (
            "[tune]",
            "[tune]\nfinalists = 3\nseeds = 2\nhalving = true",
            Some("`tune.finalists` has no effect"),
        ),
        (
            "seed = [0, 1]\n\n[tune]",
            "training.epochs = [7]\n[tune]\nhalving = true",
            Some("`tune.halving` has no effect"),
        ),
        // Unlike the peak, it is not tuned.
        ("seed = [0, 1]", "training.schedule.warmup-epochs = [0.5, 1]", None),
    ] {
        let warnings = sweep(&SWEEP.replace(from, to)).unwrap().warnings;
        assert_eq!(warnings.len(), usize::from(expected.is_some()), "{warnings:?}");
        assert!(
            warnings.iter().all(|warning| warning.contains(expected.unwrap_or_default())),
            "{warnings:?}"
        );
    }
}
