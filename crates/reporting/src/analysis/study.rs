//! What was asked, and each run as it stands.

use decouple_experiment::{Axis, Held, Metric, MetricsRow, Outcome, Try};
use decouple_spectrum::cost::Cost;

use crate::numbers::plural;

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
    /// What its runs are scored by.
    pub metric: Metric,
    /// Test images that an accuracy is counted over, where known and the same for all runs.
    pub test_images: Option<u64>,
    /// The margin (a share) within which points count as equal, where the experiment lays one down.
    pub margin: Option<f64>,
    /// What each point has tried before its seeds were run by the best of it.
    pub tries: Vec<Try>,
    /// Name of the experiment file.
    pub file: String,
    /// Text of the experiment file.
    pub text: String,
    /// Where the runs happened: everything in which they may differ without meaning to.
    pub environment: Vec<Fact>,
}

/// The axes along which a network is decoupled, the finest first.
pub(crate) const SPECTRUM: [&str; 2] = ["channels-per-segment", "segments"];

/// The axis along which the study decouples, if it varies one.
pub(crate) fn spectrum_axis(study: &Study) -> Option<&Axis> {
    study.axes.iter().find(|axis| SPECTRUM.contains(&axis.name.as_str()))
}

/// What was held equal, in words: "multiply-adds", or "width" where no budget was held.
pub(crate) fn held_equal(held: Option<&str>) -> &str {
    let Some(held) = held else { return "width" };
    Held::ALL.into_iter().find(|known| known.name() == held).map_or(held, |known| known.words())
}

impl Study {
    /// Whether the times of its runs compare anything: all were taken on one kind of machine by one build.
    /// Runs of one sweep may be resumed elsewhere, or taken over from another experiment.
    pub fn times_compare(&self) -> bool {
        let decisive = ["processor", "kernels", "threads a run", "git revision"];
        !self.environment.iter().any(|fact| decisive.contains(&fact.name.as_str()) && fact.values.len() > 1)
    }
}

/// Something that runs wrote down about where they happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is: `processor`, `command`.
    pub name: String,
    /// Its values, each once, in the order of the runs. More than one is a difference between runs.
    pub values: Vec<String>,
}

/// How a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// It is over.
    Over(Outcome),
    /// It was started, but is still running or was cut off.
    Unfinished {
        /// Epochs that it has written down.
        epochs: u64,
    },
    /// It was not started.
    Missing,
    /// There is a run of it, whose files are damaged, or which is of other data or another engine than those
    /// beside it.
    Unusable {
        /// Why.
        message: String,
    },
}

impl RunOutcome {
    /// One word for tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Over(Outcome::Finished) => "finished",
            Self::Over(Outcome::Diverged { .. }) => "diverged",
            Self::Over(Outcome::Stopped { .. }) => "stopped",
            Self::Over(Outcome::Failed { .. }) => "failed",
            Self::Unfinished { .. } => "unfinished",
            Self::Missing => "missing",
            Self::Unusable { .. } => "unusable",
        }
    }

    /// Whether something is there that cannot be used.
    pub fn is_unusable(&self) -> bool {
        matches!(self, Self::Unusable { .. })
    }

    /// What became of the run, in words that follow its name.
    pub fn sentence(&self) -> String {
        match self {
            Self::Over(outcome) => ending(outcome),
            Self::Unfinished { epochs } => {
                format!("unfinished after {}: still running, or cut off", plural(*epochs as usize, "epoch"))
            }
            Self::Missing => "not started".to_owned(),
            Self::Unusable { message } => format!("not used: {message}"),
        }
    }
}

/// How a run ended, in words that follow its name.
pub(crate) fn ending(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Finished => "finished".to_owned(),
        Outcome::Diverged { step } => format!("diverged: the loss stopped being finite at step {step}"),
        Outcome::Stopped { epoch } => format!("stopped after epoch {epoch}: others were ahead"),
        Outcome::Failed { message } => format!("failed: {message}"),
    }
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
    /// Channels a segment, the geometric mean over the layers, where they are known.
    pub group_width: Option<f64>,
    /// Width that the budget chose.
    pub width: Option<f64>,
    /// Cost of its network.
    pub costs: Cost,
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
    pub epochs: Vec<MetricsRow>,
    /// Which test images it classifies right, where it kept that.
    pub correct: Option<Vec<bool>>,
}

impl RunRow {
    /// The accuracy that stands for the run: of the averaged weights where they were kept, else of the last
    /// ones; `None` unless the run finished.
    pub fn accuracy(&self) -> Option<f64> {
        let value = self.averaged_accuracy.or(self.raw_accuracy)?;
        (self.outcome == RunOutcome::Over(Outcome::Finished) && value.is_finite()).then_some(value)
    }
}

/// A point in words: `8 segments, order = spatial-first`; `base` where nothing is varied.
pub fn label(point: &[(String, String)]) -> String {
    let words: Vec<String> = point
        .iter()
        .map(|(axis, value)| match (axis.as_str(), value.as_str()) {
            ("segments", "1") => "1 segment".to_owned(),
            ("segments", count) if count.parse::<u64>().is_ok() => format!("{count} segments"),
            ("segments", other) => other.to_owned(),
            ("channels-per-segment", "all") => "all channels in one segment".to_owned(),
            ("channels-per-segment", "1") => "1 channel a segment".to_owned(),
            ("channels-per-segment", count) => format!("{count} channels a segment"),
            _ => format!("{axis} = {value}"),
        })
        .collect();
    if words.is_empty() { "base".to_owned() } else { words.join(", ") }
}
