//! What the runs of a sweep say, computed once: tables, files and figures only read [`Analysis`].

use crate::statistics::{
    Interval, PairedDifference, additive_residual, detectable_difference, mean, paired_difference,
    probability_best, sd, t_interval,
};
use crate::verdict::{self, Verdict};

/// Confidence of every interval, and of all comparisons of a sweep taken together.
pub const CONFIDENCE: f64 = 0.95;

/// Axis names and values as text, without the seed: one point of a sweep.
pub type Coordinates = Vec<(String, String)>;

/// What was asked, and under which conditions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Study {
    /// Name of the experiment.
    pub name: String,
    /// What it asks, in a sentence; may be empty.
    pub question: String,
    /// What it varies besides the seed, in the file's order.
    pub axes: Vec<Axis>,
    /// The point that costs are relative to.
    pub reference: Coordinates,
    /// The quantity held equal: `parameters`, `macs` or `activations`.
    pub held: Option<String>,
    /// Name of the data set.
    pub data: String,
    /// Epochs of training, where all trials have equally many.
    pub epochs: Option<usize>,
    /// Test images that an accuracy is counted over, where known.
    pub test_images: Option<u64>,
}

/// Something that a study varies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The key: `segments`, `training.weight-decay`.
    pub name: String,
    /// Its values as text, in the file's order.
    pub values: Vec<String>,
}

/// How a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// Trained and tested.
    Finished,
    /// Its loss stopped being finite.
    Diverged {
        /// The step at which it did.
        step: u64,
    },
    /// It could not be carried out.
    Failed {
        /// Why.
        message: String,
    },
    /// It has not run to its end yet.
    Missing,
}

impl RunOutcome {
    /// One word for tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Diverged { .. } => "diverged",
            Self::Failed { .. } => "failed",
            Self::Missing => "missing",
        }
    }
}

/// What a network costs, forward, an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// Trained values.
    pub parameters: u64,
    /// Multiply-adds.
    pub macs: u64,
    /// Outputs of convolutions and dense layers.
    pub activations: u64,
}

/// A row of a run's learning curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// Epochs done, from 1.
    pub epoch: u64,
    /// Mean training loss of the epoch.
    pub train_loss: f64,
    /// Training accuracy of the epoch.
    pub train_accuracy: f64,
    /// Validation accuracy, of the averaged weights where they are kept.
    pub validation_accuracy: Option<f64>,
}

/// One run: a point with a seed.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// Name of the run: the hash of its record.
    pub id: String,
    /// Its point.
    pub point: Coordinates,
    /// Its seed.
    pub seed: u64,
    /// How it stands.
    pub outcome: RunOutcome,
    /// Decoupling level of its network, 0 to 1.
    pub level: f64,
    /// Width that the budget chose.
    pub width: Option<f64>,
    /// Cost of its network.
    pub costs: Costs,
    /// Test accuracy of the last weights, 0 to 1.
    pub raw_accuracy: Option<f64>,
    /// Test accuracy of the averaged weights.
    pub averaged_accuracy: Option<f64>,
    /// Steps trained.
    pub steps: Option<u64>,
    /// Seconds of training, without evaluation.
    pub train_secs: Option<f64>,
    /// Training images a second.
    pub images_per_sec: Option<f64>,
    /// Peak memory of the process while it ran.
    pub peak_bytes: Option<u64>,
    /// A row an epoch.
    pub epochs: Vec<Epoch>,
}

impl RunRow {
    /// The accuracy that stands for the run: of the averaged weights where they were kept, else of the last
    /// ones; `None` unless the run finished.
    pub fn accuracy(&self) -> Option<f64> {
        let value = self.averaged_accuracy.or(self.raw_accuracy)?;
        (self.outcome == RunOutcome::Finished && value.is_finite()).then_some(value)
    }
}

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
    /// Training loss.
    pub train_loss: Option<Spread>,
    /// Training accuracy.
    pub train_accuracy: Option<Spread>,
    /// Validation accuracy, where images were held out.
    pub validation_accuracy: Option<Spread>,
}

/// What all seeds of a point say together.
#[derive(Clone, Debug, PartialEq)]
pub struct PointSummary {
    /// The point.
    pub point: Coordinates,
    /// The point in words: `8 segments, order = spatial-first`.
    pub label: String,
    /// Decoupling level, 0 to 1.
    pub level: f64,
    /// Width that the budget chose.
    pub width: Option<f64>,
    /// Cost of the network.
    pub costs: Costs,
    /// Seed and accuracy of each finished run.
    pub accuracies: Vec<(u64, f64)>,
    /// Runs that diverged; they count in no mean.
    pub diverged: usize,
    /// Runs that failed.
    pub failed: usize,
    /// Runs not yet done.
    pub missing: usize,
    /// Mean test accuracy, 0 to 1.
    pub mean: Option<f64>,
    /// Standard deviation over seeds; `None` for fewer than two.
    pub sd: Option<f64>,
    /// Student's interval of the mean at [`CONFIDENCE`]; `None` for fewer than two seeds.
    pub interval: Option<Interval>,
    /// Probability to be the best, by bootstrap over seeds.
    pub probability_best: Option<f64>,
    /// Mean seconds of training.
    pub train_secs: Option<f64>,
    /// Mean training images a second.
    pub images_per_sec: Option<f64>,
    /// Learning curve over the finished seeds.
    pub curve: Vec<CurvePoint>,
}

impl PointSummary {
    /// Value on an axis.
    pub fn value(&self, axis: &str) -> Option<&str> {
        self.point.iter().find(|(name, _)| name == axis).map(|(_, value)| value.as_str())
    }

    /// Finished runs.
    pub fn finished(&self) -> usize {
        self.accuracies.len()
    }
}

/// The best point less another one.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Index of the other point.
    pub point: usize,
    /// The paired comparison of these two alone.
    pub difference: PairedDifference,
    /// Interval of the difference from the spread pooled over all points, wide enough that all comparisons
    /// of the sweep hold together at [`CONFIDENCE`] (Bonferroni).
    pub simultaneous: Option<Interval>,
}

impl Comparison {
    /// Whether the other point is certainly worse. The points that are not hold the truly best one with at
    /// least [`CONFIDENCE`], although the best of the data was chosen by the same data (J. C. Hsu,
    /// "Simultaneous confidence intervals for all distances from the best", Annals of Statistics 9, 1981).
    pub fn told_apart(&self) -> bool {
        self.simultaneous.is_some_and(|interval| interval.low > 0.0)
    }
}

/// Everything that is shown of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    /// What was asked.
    pub study: Study,
    /// A summary a point, in the order in which points first occur among the runs.
    pub points: Vec<PointSummary>,
    /// Index of the point that costs are relative to: the study's reference, else the last point.
    pub reference: Option<usize>,
    /// Index of the point with the highest mean.
    pub best: Option<usize>,
    /// The best against each other point, the closest first.
    pub comparisons: Vec<Comparison>,
    /// The smallest true difference that this many seeds tell with 80 % power: (seeds, difference).
    pub detectable: Option<(usize, f64)>,
    /// All runs.
    pub runs: Vec<RunRow>,
    /// The answer in words.
    pub verdict: Verdict,
    /// What could not be read or was left out, each in a sentence.
    pub problems: Vec<String>,
}

/// Summarises runs that are already at hand; [`analyse`](crate::analyse) is this after reading a ledger.
pub fn summarise(study: Study, runs: Vec<RunRow>, problems: Vec<String>) -> Analysis {
    let mut coordinates: Vec<&Coordinates> = Vec::new();
    for run in &runs {
        if !coordinates.contains(&&run.point) {
            coordinates.push(&run.point);
        }
    }
    let groups: Vec<Vec<&RunRow>> =
        coordinates.iter().map(|point| runs.iter().filter(|run| run.point == **point).collect()).collect();
    let mut points: Vec<PointSummary> = groups.iter().map(|group| summarise_point(group)).collect();

    let table = accuracy_table(&groups);
    if let Some(probabilities) = probability_best(&table) {
        for (point, probability) in points.iter_mut().zip(probabilities) {
            point.probability_best = Some(probability);
        }
    }
    let best = (0..points.len())
        .filter(|&i| points[i].mean.is_some())
        // The first of equals, so that the answer does not depend on how a maximum is searched.
        .reduce(|a, b| if points[b].mean > points[a].mean { b } else { a });
    let (comparisons, detectable) = best.map_or((Vec::new(), None), |best| compare_with(best, &table));
    let reference = (points.iter().position(|point| point.point == study.reference))
        .or_else(|| points.len().checked_sub(1));
    let verdict = verdict::verdict(&study, &points, best, &comparisons, detectable);
    Analysis { study, points, reference, best, comparisons, detectable, runs, verdict, problems }
}

/// Accuracy by point and seed, with a column for every seed that occurs.
fn accuracy_table(groups: &[Vec<&RunRow>]) -> Vec<Vec<Option<f64>>> {
    let mut seeds: Vec<u64> = groups.iter().flatten().map(|run| run.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let accuracy = |group: &[&RunRow], seed: u64| {
        group.iter().filter(|run| run.seed == seed).find_map(|run| run.accuracy())
    };
    groups.iter().map(|group| seeds.iter().map(|&seed| accuracy(group, seed)).collect()).collect()
}

/// Compares `best` with every other point that shares a finished seed with it.
fn compare_with(best: usize, table: &[Vec<Option<f64>>]) -> (Vec<Comparison>, Option<(usize, f64)>) {
    let differences: Vec<(usize, PairedDifference)> = (0..table.len())
        .filter(|&point| point != best)
        .filter_map(|point| Some((point, paired_difference(&table[best], &table[point], CONFIDENCE)?)))
        .collect();
    let corrected = 1.0 - (1.0 - CONFIDENCE) / differences.len().max(1) as f64;
    let residual = additive_residual(table);
    let mut comparisons: Vec<Comparison> = differences
        .into_iter()
        .map(|(point, difference)| Comparison {
            point,
            simultaneous: residual
                .and_then(|residual| residual.interval(difference.mean, difference.pairs, corrected)),
            difference,
        })
        .collect();
    comparisons.sort_by(|a, b| a.difference.mean.total_cmp(&b.difference.mean));
    let pairs = comparisons.iter().map(|comparison| comparison.difference.pairs).max();
    let detectable = pairs
        .zip(residual)
        .and_then(|(pairs, residual)| Some((pairs, detectable_difference(residual, pairs, corrected)?)));
    (comparisons, detectable)
}

fn summarise_point(group: &[&RunRow]) -> PointSummary {
    let first = group[0];
    let finished: Vec<&RunRow> = group.iter().copied().filter(|run| run.accuracy().is_some()).collect();
    let accuracies: Vec<(u64, f64)> =
        finished.iter().filter_map(|run| Some((run.seed, run.accuracy()?))).collect();
    let values: Vec<f64> = accuracies.iter().map(|(_, accuracy)| *accuracy).collect();
    let count = |word| group.iter().filter(|run| run.outcome.word() == word).count();
    let mean_of = |value: fn(&RunRow) -> Option<f64>| {
        mean(&finished.iter().filter_map(|run| value(run)).collect::<Vec<_>>())
    };
    PointSummary {
        point: first.point.clone(),
        label: label(&first.point),
        level: first.level,
        width: first.width,
        costs: first.costs,
        diverged: count("diverged"),
        failed: count("failed"),
        missing: count("missing"),
        mean: mean(&values),
        sd: sd(&values),
        interval: t_interval(&values, CONFIDENCE),
        probability_best: None,
        train_secs: mean_of(|run| run.train_secs),
        images_per_sec: mean_of(|run| run.images_per_sec),
        curve: curve(&finished),
        accuracies,
    }
}

fn curve(finished: &[&RunRow]) -> Vec<CurvePoint> {
    let mut epochs: Vec<u64> =
        finished.iter().flat_map(|run| run.epochs.iter().map(|epoch| epoch.epoch)).collect();
    epochs.sort_unstable();
    epochs.dedup();
    let rows: Vec<&Epoch> = finished.iter().flat_map(|run| &run.epochs).collect();
    let spread = |epoch: u64, value: fn(&Epoch) -> Option<f64>| {
        let here = rows.iter().filter(|row| row.epoch == epoch);
        Spread::of(&here.filter_map(|row| value(row)).collect::<Vec<_>>())
    };
    epochs
        .into_iter()
        .map(|epoch| CurvePoint {
            epoch,
            train_loss: spread(epoch, |row| Some(row.train_loss)),
            train_accuracy: spread(epoch, |row| Some(row.train_accuracy)),
            validation_accuracy: spread(epoch, |row| row.validation_accuracy),
        })
        .collect()
}

/// A point in words: `8 segments, order = spatial-first`; `base` where nothing is varied.
pub fn label(point: &[(String, String)]) -> String {
    let words: Vec<String> = point
        .iter()
        .map(|(axis, value)| match (axis.as_str(), value.as_str()) {
            ("segments", "1") => "1 segment".to_owned(),
            ("segments", count) if count.parse::<u64>().is_ok() => format!("{count} segments"),
            ("segments", other) => other.to_owned(),
            _ => format!("{axis} = {value}"),
        })
        .collect();
    if words.is_empty() { "base".to_owned() } else { words.join(", ") }
}
