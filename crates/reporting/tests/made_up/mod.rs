//! Runs whose numbers come from a formula and mean nothing: for tests, and to look at what reports look like.
#![allow(dead_code)] // Each test uses some of it.

use std::time::UNIX_EPOCH;

use decouple_experiment::{
    Axis, Claim, Environment, Identity, Ledger, MetricsRow, Outcome, Scores, Status, Sweep, TimingRow, Trial,
    timestamp,
};
use decouple_reporting::Analysis;
use decouple_reporting::analysis::{RunOutcome, RunRow, Study, summarise};
use decouple_spectrum::cost::Cost;

/// The points of a study of the spectrum, by their value on the axis `segments`.
pub(crate) fn spectrum(name: &str, segments: &[&str], seeds: u64) -> Analysis {
    crossed(name, segments, "", &[""], seeds)
}

/// Runs over segments, crossed with the values of another axis where there are several.
pub(crate) fn crossed(name: &str, segments: &[&str], other: &str, values: &[&str], seeds: u64) -> Analysis {
    let words = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
    let axis = |name: &str, values| Axis { name: name.to_owned(), values: words(values), zipped_with: None };
    let axes = [axis("segments", segments), axis(other, values)];
    let mut runs = Vec::new();
    for (k, value) in values.iter().enumerate() {
        for count in segments {
            for seed in 0..seeds {
                let point = axes.iter().zip([count, value]).filter(|(axis, _)| axis.values.len() > 1);
                let point = point.map(|(axis, &value)| (axis.name.clone(), value.to_owned()));
                runs.push(run_row(point.collect(), level(count), k as f64, seed));
            }
        }
    }
    let study = Study {
        name: name.to_owned(),
        question:
            "Made-up numbers: how far should a small convolutional network decouple cross-channel from \
                   spatial correlations, at an equal number of parameters?"
                .to_owned(),
        axes: axes.into_iter().filter(|axis| axis.values.len() > 1).collect(),
        held: Some("parameters".to_owned()),
        data: "made-up".to_owned(),
        epochs: Some(12),
        test_images: Some(2000),
        ..Study::default()
    };
    summarise(study, runs, Vec::new())
}

fn run_row(point: Vec<(String, String)>, level: f64, other: f64, seed: u64) -> RunRow {
    // A hash for noise: the same numbers on every machine.
    let salt = level * 37.0 + other * 11.0 + seed as f64 * 5.0;
    let noise = |k: f64| ((salt + k).sin() * 43758.5453).fract();
    let common = ((seed as f64 * 12.9).sin() * 43758.5453).fract();
    let accuracy = 0.872 + 0.02 * level - 0.012 * (level - 0.6).powi(2) - 0.006 * other * level
        + 0.003 * common
        + 0.002 * noise(1.0);
    let is_lost = level > 0.5 && level < 0.7 && seed == 2 && other > 0.0;
    let epochs = (1..=12).map(|epoch| MetricsRow {
        epoch,
        step: 140 * epoch,
        train_loss: 0.3 + (1.2 - 0.3 * level) / epoch as f64 + 0.01 * noise(epoch as f64),
        train_accuracy: accuracy - 0.3 / epoch as f64 + 0.004 * noise(epoch as f64),
        validation_accuracy: Some(accuracy - 0.2 / epoch as f64 + 0.006 * noise(epoch as f64)),
        learning_rate: 0.1,
        ..MetricsRow::default()
    });
    RunRow {
        id: format!("{:016x}", (salt * 1e6) as u64 ^ 0x9e37_79b9_7f4a_7c15),
        point,
        seed,
        outcome: RunOutcome::Over(if is_lost { Outcome::Diverged { step: 412 } } else { Outcome::Finished }),
        level,
        group_width: Some(100f64.powf(1.0 - level)),
        width: Some(0.35 + 0.65 * level),
        costs: Cost {
            parameters: (102_000.0 + 300.0 * (level * 7.0).sin()) as u64,
            macs: (11_900_000.0 - 900_000.0 * level) as u64,
            activations: (120_000.0 + 190_000.0 * level) as u64,
            ..Cost::default()
        },
        raw_score: (!is_lost).then_some(accuracy - 0.001),
        averaged_score: (!is_lost).then_some(accuracy),
        steps: Some(1680),
        train_secs: Some(20.0 + 14.0 * level + noise(2.0)),
        images_per_sec: Some(108_000.0 / (20.0 + 14.0 * level + noise(2.0))),
        peak_bytes: Some(200 << 20),
        epochs: epochs.collect(),
        ..RunRow::default()
    }
}

/// Axis names and values of a point.
type Axes<'a> = &'a [(&'a str, &'a str)];

/// A study of `points` (coordinates and the accuracies of seeds 0, 1, ..; `None` for a run that diverged), with
/// the axes that the first point has.
pub(crate) fn measured(points: &[(Axes<'_>, &[Option<f64>])]) -> Analysis {
    let mut runs = Vec::new();
    for (point, accuracies) in points {
        let point: Vec<_> =
            point.iter().map(|(axis, value)| ((*axis).to_owned(), (*value).to_owned())).collect();
        let level = point.iter().find(|(axis, _)| axis == "segments").map_or(0.0, |(_, value)| level(value));
        for (seed, accuracy) in accuracies.iter().enumerate() {
            let mut row = run_row(point.clone(), level, 0.0, seed as u64);
            row.id = String::new();
            row.averaged_score = *accuracy;
            row.raw_score = *accuracy;
            row.outcome =
                RunOutcome::Over(accuracy.map_or(Outcome::Diverged { step: 7 }, |_| Outcome::Finished));
            row.costs.parameters = 1000;
            runs.push(row);
        }
    }
    let axes = points.first().map_or(&[][..], |(point, _)| point);
    let axes = axes
        .iter()
        .map(|(name, _)| Axis { name: (*name).to_owned(), values: Vec::new(), zipped_with: None })
        .collect();
    summarise(Study { name: "measured".to_owned(), axes, ..Study::default() }, runs, Vec::new())
}

/// Decoupling level of a network of 100 channels.
fn level(segments: &str) -> f64 {
    segments.parse::<f64>().map_or(1.0, |count| count.ln() / 100f64.ln())
}

/// Finishes every trial of a sweep with made-up rows, without training anything.
pub(crate) fn fill(ledger: &Ledger, sweep: &Sweep) {
    for trial in &sweep.trials {
        let Ok(Claim::Mine(mut writer)) = ledger.claim(trial, &Identity::of(trial, None)) else {
            panic!("{} is not free", trial.id)
        };
        writer.write_environment(&environment()).unwrap();
        let epochs = trial.record.training.epochs as u64;
        let accuracy = 0.9 - 0.05 * (trial.level - 0.7).powi(2) + 0.003 * noise(trial, 0);
        for epoch in 1..=epochs {
            let near = accuracy - 0.3 / epoch as f64 + 0.004 * noise(trial, epoch);
            let metrics = MetricsRow {
                epoch,
                step: 140 * epoch,
                samples: 9000 * epoch,
                learning_rate: 0.1 / epoch as f64,
                train_loss: 0.3 + 1.2 / epoch as f64,
                train_accuracy: near - 0.01,
                validation_loss: Some(0.4 + 1.1 / epoch as f64),
                validation_accuracy: Some(near),
                ..MetricsRow::default()
            };
            writer.append(&metrics, &TimingRow { epoch, wall_secs: 2.0, images_per_sec: 4500.0 }).unwrap();
        }
        let scores = Scores { images: 2000, loss: 0.4, accuracy, ..Scores::default() };
        let status = Status {
            format: decouple_experiment::FORMAT,
            test: Some(scores),
            steps: 140 * epochs,
            train_secs: 2.0 * epochs as f64,
            images_per_sec: 4500.0,
            peak_bytes: Some(200 << 20),
            threads: 1,
            finished_at: timestamp(UNIX_EPOCH),
            ..Status::default()
        };
        writer.finish(&status).unwrap();
    }
}

fn environment() -> Environment {
    Environment {
        decouple: "0.0.0".to_owned(),
        git_revision: Some("made up".to_owned()),
        git_dirty: Some(false),
        cpu: "made up".to_owned(),
        kernels: "portable".to_owned(),
        threads: 1,
        data_checksum: "made up".to_owned(),
        numerics_version: 1,
        command: "/somewhere/bin/decouple run made-up.toml".to_owned(),
        ..Environment::default()
    }
}

/// Something between -1 and 1 that is the same on every machine.
fn noise(trial: &Trial, salt: u64) -> f64 {
    let letters: usize = trial.point.iter().map(|(_, value)| value.len()).sum();
    let place = trial.level * 37.0 + letters as f64 * 3.0 + trial.seed() as f64 * 5.0 + salt as f64;
    (place.sin() * 43758.5453).fract()
}
