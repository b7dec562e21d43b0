//! The question, and the state of each run.

use decouple_experiment::{Axis, Held, Metric, MetricsRow, Outcome, Try};
use decouple_spectrum::cost::Cost;

use crate::numbers::plural;

/// Axis names and values as text, without the seed: one point of a sweep.
pub type Coordinates = Vec<(String, String)>;

/// The question, and the conditions of the experiment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Study {
    /// Name of the experiment.
    pub name: String,
    /// Its question, in a sentence; may be empty.
    pub question: String,
    /// The axes it varies besides the seed, in the file's order.
    pub axes: Vec<Axis>,
    /// Axes of a single value, which is a condition of all runs and no coordinate of a point.
    pub fixed: Coordinates,
    /// The point that costs are relative to.
    pub reference: Coordinates,
    /// The quantity held equal, as typed: `parameters`, `macs`, `activations` or `step-time`.
    pub held: Option<String>,
    /// Name of the data set.
    pub data: String,
    /// Epochs of training, if equal for all trials.
    pub epochs: Option<usize>,
    /// What its runs are scored by.
    pub metric: Metric,
    /// Test images that an accuracy is counted over, where known and the same for all runs.
    pub test_images: Option<u64>,
    /// The margin (a share) within which points count as equal, if the experiment declares one.
    pub margin: Option<f64>,
    /// The tries of each point, from which the recipe of its runs was chosen.
    pub tries: Vec<Try>,
    /// Name of the experiment file.
    pub file: String,
    /// Text of the experiment file.
    pub text: String,
    /// The environment of the runs: everything in which they may differ unintentionally.
    pub environment: Vec<Fact>,
}

/// The axes along which a network is decoupled, the finest first.
pub(crate) const SPECTRUM: [&str; 2] = ["channels-per-segment", "segments"];

/// The axis along which the study decouples, if it varies one.
pub(crate) fn spectrum_axis(study: &Study) -> Option<&Axis> {
    study.axes.iter().find(|axis| SPECTRUM.contains(&axis.name.as_str()))
}

/// What was held equal, in words: "equal multiply-adds", or "no budget held".
pub(crate) fn held_equal(held: Option<&str>) -> String {
    let Some(held) = held else { return "no budget held".to_owned() };
    let known = Held::ALL.into_iter().find(|known| known.name() == held);
    format!("equal {}", known.map_or(held, |known| known.words()))
}

impl Study {
    /// Its question, or its name where it asks none.
    pub(crate) fn title(&self) -> &str {
        if self.question.is_empty() { &self.name } else { &self.question }
    }

    /// The names of its axes.
    pub(crate) fn axis_names(&self) -> impl Iterator<Item = &str> {
        self.axes.iter().map(|axis| axis.name.as_str())
    }

    /// Whether the times of its runs are comparable: all were taken on one kind of machine by one build.
    /// Runs of one sweep may be resumed elsewhere, or copied from another experiment.
    pub fn times_compare(&self) -> bool {
        let decisive = ["processor", "kernels", "threads per run", "git revision"];
        !self.environment.iter().any(|fact| decisive.contains(&fact.name.as_str()) && fact.values.len() > 1)
    }
}

/// Something that runs recorded about their environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Its name: `processor`, `command`.
    pub name: String,
    /// Its values, each once, in the order of the runs. More than one is a difference between runs.
    pub values: Vec<String>,
}

/// The state of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RunOutcome {
    /// It has ended.
    Over(Outcome),
    /// It was started, but is still running or was interrupted.
    Unfinished {
        /// Epochs that it has recorded.
        epochs: u64,
    },
    /// It was not started.
    #[default]
    Missing,
    /// There is a run, but its files are damaged, or it is of other data or another engine than the others.
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

    /// Whether there is a run that cannot be used.
    pub fn is_unusable(&self) -> bool {
        matches!(self, Self::Unusable { .. })
    }

    /// The outcome of the run, to follow its name.
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

/// How a run ended, to follow its name.
pub fn ending(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Finished => "finished".to_owned(),
        Outcome::Diverged { step } => format!("diverged: the loss stopped being finite at step {step}"),
        Outcome::Stopped { epoch } => format!("stopped after epoch {epoch}: others were ahead"),
        Outcome::Failed { message } => format!("failed: {message}"),
    }
}

/// One run: a point with a seed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunRow {
    /// Name of the run: the hash of its record.
    pub id: String,
    /// Name of its folder.
    pub folder: String,
    /// Its point.
    pub point: Coordinates,
    /// Its seed.
    pub seed: u64,
    /// Its state.
    pub outcome: RunOutcome,
    /// Decoupling level of its network, 0 to 1.
    pub level: f64,
    /// Channels per segment, the geometric mean over the layers, where they are known.
    pub group_width: Option<f64>,
    /// Width that the budget chose.
    pub width: Option<f64>,
    /// Cost of its network.
    pub costs: Cost,
    /// Test score of the last weights, 0 to 1: what [`Study::metric`] says.
    pub raw_score: Option<f64>,
    /// Test score of the averaged weights.
    pub averaged_score: Option<f64>,
    /// Steps trained.
    pub steps: Option<u64>,
    /// Seconds of training, without evaluation.
    pub train_secs: Option<f64>,
    /// Training images per second.
    pub images_per_sec: Option<f64>,
    /// Peak memory of the process while it ran.
    pub peak_bytes: Option<u64>,
    /// One row per epoch.
    pub epochs: Vec<MetricsRow>,
    /// Test images that it is scored on, where known.
    pub test_images: Option<u64>,
    /// Which test images it classifies right, where it kept that.
    pub correct: Option<Vec<bool>>,
}

impl RunRow {
    /// The score of the run: of the averaged weights if they were kept, otherwise of the last ones;
    /// `None` unless the run finished.
    pub fn score(&self) -> Option<f64> {
        let value = self.averaged_score.or(self.raw_score)?;
        (self.outcome == RunOutcome::Over(Outcome::Finished) && value.is_finite()).then_some(value)
    }
}

/// A label of a point: `8 segments, order = spatial-first`; `base` where nothing is varied.
pub fn label(point: &[(String, String)]) -> String {
    let words: Vec<String> = point
        .iter()
        .map(|(axis, value)| match (axis.as_str(), value.as_str()) {
            ("segments", "1") => "1 segment".to_owned(),
            ("segments", count) if count.parse::<u64>().is_ok() => format!("{count} segments"),
            ("segments", other) => other.to_owned(),
            ("channels-per-segment", "all") => "all channels in one segment".to_owned(),
            ("channels-per-segment", "1") => "1 channel per segment".to_owned(),
            ("channels-per-segment", count) => format!("{count} channels per segment"),
            _ => format!("{axis} = {value}"),
        })
        .collect();
    if words.is_empty() { "base".to_owned() } else { words.join(", ") }
}
