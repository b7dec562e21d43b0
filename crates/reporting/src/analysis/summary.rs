//! Summarises the seeds of a point.

use std::collections::BTreeMap;

use decouple_experiment::{Metric, MetricsRow, Outcome, value_on};

use super::CONFIDENCE;
use decouple_spectrum::cost::Cost;

use super::study::{Coordinates, RunOutcome, RunRow, label};
use super::support::{Unsupported, sample};
use crate::statistics::{Interval, Sample, mean, sd, t_interval};

/// Mean and extremes over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// The lowest seed.
    pub low: f64,
    /// The highest seed.
    pub high: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let extreme = |pick: fn(f64, f64) -> f64| values.iter().copied().reduce(pick);
        let finite = values.iter().all(|value| value.is_finite());
        Some(Self {
            mean: mean(values).filter(|_| finite)?,
            low: extreme(f64::min)?,
            high: extreme(f64::max)?,
        })
    }
}

/// An epoch of a point's learning curve over its finished seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// Epochs done, from 1.
    pub epoch: u64,
    /// Gradient descent steps done.
    pub step: u64,
    /// Training loss.
    pub train_loss: Option<Spread>,
    /// Training accuracy.
    pub train_accuracy: Option<Spread>,
    /// Validation score, where images were held out.
    pub validation_score: Option<Spread>,
}

/// The summary of a point over its seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct PointSummary {
    /// The point.
    pub point: Coordinates,
    /// A label of the point: `8 segments, order = spatial-first`.
    pub label: String,
    /// Decoupling level, 0 to 1.
    pub level: f64,
    /// Channels per segment, the geometric mean over the layers, where they are known.
    pub group_width: Option<f64>,
    /// Width that the budget chose.
    pub width: Option<f64>,
    /// Cost of the network.
    pub costs: Cost,
    /// Seed and score of each finished run.
    pub scores: Vec<(u64, f64)>,
    /// Runs that diverged; they count in no mean.
    pub diverged: usize,
    /// Runs that failed.
    pub failed: usize,
    /// Runs not yet done, or done and not usable.
    pub missing: usize,
    /// Those of them that are done and not usable.
    pub unusable: usize,
    /// Mean test score, 0 to 1.
    pub mean: Option<f64>,
    /// Standard deviation over seeds; `None` for fewer than two.
    pub sd: Option<f64>,
    /// The sample for comparisons; `None` if the spread of the runs is unknown.
    pub sample: Option<Sample>,
    /// Why there is no sample, if a run is finished.
    pub unsupported: Option<Unsupported>,
    /// Index of an earlier point of which it has a run: a recipe may be that of another point, or a budget may
    /// leave a network as it is. Contests leave it out, as its runs are not independent.
    pub runs_of: Option<usize>,
    /// Student's interval of the mean at [`CONFIDENCE`]; `None` without a sample.
    pub interval: Option<Interval>,
    /// Probability to be the best ([`probability_best`](crate::statistics::probability_best)); `None` unless
    /// the spread of every point of the contest that has a run is known, and the draws suffice.
    pub probability_best: Option<f64>,
    /// Mean seconds of training.
    pub train_secs: Option<f64>,
    /// Mean steps of training; `None` if the times of this study are not comparable, or were disturbed.
    pub steps: Option<f64>,
    /// Mean training images per second.
    pub images_per_sec: Option<f64>,
    /// Learning curve over the finished seeds.
    pub curve: Vec<CurvePoint>,
}

impl RunRow {
    /// Seconds of a training step.
    pub fn step_secs(&self) -> Option<f64> {
        Some(self.train_secs? / self.steps.filter(|steps| *steps > 0)? as f64)
    }
}

impl PointSummary {
    /// Value on an axis.
    pub fn value(&self, axis: &str) -> Option<&str> {
        value_on(&self.point, axis)
    }

    /// Mean seconds of a training step.
    pub fn step_secs(&self) -> Option<f64> {
        Some(self.train_secs? / self.steps.filter(|steps| *steps > 0.0)?)
    }

    /// Finished runs.
    pub fn finished(&self) -> usize {
        self.scores.len()
    }
}

pub(super) fn summarise_point(group: &[&RunRow], images: Option<u64>, metric: Metric) -> PointSummary {
    let first = group[0];
    let finished: Vec<&RunRow> = group.iter().copied().filter(|run| run.score().is_some()).collect();
    let scores: Vec<(u64, f64)> = finished.iter().filter_map(|run| Some((run.seed, run.score()?))).collect();
    let values: Vec<f64> = scores.iter().map(|(_, score)| *score).collect();
    let count = |is: fn(&RunOutcome) -> bool| group.iter().filter(|run| is(&run.outcome)).count();
    let mean_of = |value: fn(&RunRow) -> Option<f64>| {
        mean(&finished.iter().filter_map(|run| value(run)).collect::<Vec<_>>())
    };
    let sample = sample(&values, images, metric == Metric::Accuracy);
    PointSummary {
        point: first.point.clone(),
        label: label(&first.point),
        level: first.level,
        group_width: first.group_width,
        width: first.width,
        costs: first.costs,
        diverged: count(|outcome| matches!(outcome, RunOutcome::Over(Outcome::Diverged { .. }))),
        failed: count(|outcome| matches!(outcome, RunOutcome::Over(Outcome::Failed { .. }))),
        missing: count(|outcome| !matches!(outcome, RunOutcome::Over(_))),
        unusable: count(RunOutcome::is_unusable),
        mean: mean(&values),
        sd: sd(&values),
        interval: sample.ok().and_then(|_| t_interval(&values, CONFIDENCE)),
        unsupported: sample.err().filter(|_| !values.is_empty()),
        sample: sample.ok(),
        runs_of: None,
        probability_best: None,
        train_secs: mean_of(|run| run.train_secs),
        steps: mean_of(|run| run.steps.map(|steps| steps as f64)),
        images_per_sec: mean_of(|run| run.images_per_sec),
        curve: curve(&finished),
        scores,
    }
}

/// The learning curve of a point: one row per epoch.
fn curve(finished: &[&RunRow]) -> Vec<CurvePoint> {
    let mut epochs: BTreeMap<u64, Vec<&MetricsRow>> = BTreeMap::new();
    for row in finished.iter().flat_map(|run| &run.epochs) {
        epochs.entry(row.epoch).or_default().push(row);
    }
    let point = |(epoch, rows): (u64, Vec<&MetricsRow>)| {
        let spread = |value: fn(&MetricsRow) -> Option<f64>| {
            Spread::of(&rows.iter().filter_map(|row| value(row)).collect::<Vec<_>>())
        };
        CurvePoint {
            epoch,
            step: rows.iter().map(|row| row.step).max().unwrap_or(0),
            train_loss: spread(|row| Some(row.train_loss)),
            train_accuracy: spread(|row| Some(row.train_accuracy)),
            validation_score: spread(|row| row.validation()),
        }
    };
    epochs.into_iter().map(point).collect()
}
