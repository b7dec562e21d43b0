//! The contents of a run's files: rows, scores, status, environment.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize};

/// A row of `metrics.csv`, one per epoch. It has no clock times, so that equal runs have equal
/// bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricsRow {
    /// Epochs done, from 1.
    pub epoch: u64,
    /// Steps done.
    pub step: u64,
    /// Images seen.
    pub samples: u64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Mean loss over the epoch's training images, as seen while training.
    pub train_loss: f64,
    /// Share of the epoch's training images classified right while training: whose most
    /// likely class is theirs, or one of theirs.
    pub train_accuracy: f64,
    /// Mean loss of the raw weights over the held-out images, where there are any.
    pub validation_loss: Option<f64>,
    /// Accuracy of the raw weights over the held-out images.
    pub validation_accuracy: Option<f64>,
    /// Mean loss of the averaged weights over the held-out images.
    pub averaged_validation_loss: Option<f64>,
    /// Accuracy of the averaged weights over the held-out images.
    pub averaged_validation_accuracy: Option<f64>,
    /// MAP@100 of the raw weights over the held-out images, in a run that is scored by it.
    /// Others have no such column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_map_at_100: Option<f64>,
    /// MAP@100 of the averaged weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub averaged_validation_map_at_100: Option<f64>,
}

impl MetricsRow {
    /// The score on held-out images that stands for the epoch, MAP@100 in a run that is scored
    /// by it and else the accuracy: of the averaged weights if they are kept, else of the raw
    /// ones; `None` where none are held out.
    pub fn validation(&self) -> Option<f64> {
        self.averaged_validation_map_at_100
            .or(self.validation_map_at_100)
            .or(self.averaged_validation_accuracy)
            .or(self.validation_accuracy)
    }

    /// The score that a run is shown and ranked by while it trains: on held-out images if there are
    /// any, otherwise the training accuracy.
    pub fn score(&self) -> f64 {
        self.validation().unwrap_or(self.train_accuracy)
    }

    /// The log-loss on held-out images that stands for the epoch, of the same weights.
    pub fn validation_log_loss(&self) -> Option<f64> {
        self.averaged_validation_loss.or(self.validation_loss)
    }
}

/// A row of `timing.csv`, one per epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimingRow {
    /// Epochs done, from 1.
    pub epoch: u64,
    /// Time of the epoch's training steps, without evaluation.
    pub wall_secs: f64,
    /// Training images per second over the epoch.
    pub images_per_sec: f64,
}

/// The scores of some weights on the test images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scores {
    /// Images that were classified.
    pub images: u64,
    /// Mean of the run's loss, without label smoothing. Not a number where it was not finite.
    #[serde(deserialize_with = "nan_if_null")]
    pub loss: f64,
    /// Share of the images classified right: whose most likely class is theirs, or one of
    /// theirs.
    pub accuracy: f64,
    /// Share of the images whose class, or one of whose classes, is among the five most
    /// likely.
    pub top5_accuracy: Option<f64>,
    /// MAP@100, where images have any number of labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_at_100: Option<f64>,
}

impl Scores {
    /// The score of the weights: MAP@100 if it is known, otherwise the accuracy.
    pub fn score(&self) -> f64 {
        self.map_at_100.unwrap_or(self.accuracy)
    }
}

/// JSON has no number that is not finite; serde_json writes them as `null`.
fn nan_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All epochs were trained and the test images classified.
    #[default]
    Finished,
    /// The loss stopped being finite.
    Diverged {
        /// The step at which it did.
        step: u64,
    },
    /// It was stopped because others were ahead: by successive halving of a point's tries.
    Stopped {
        /// The epoch after which it was.
        epoch: u64,
    },
    /// The run could not be carried out.
    Failed {
        /// Why.
        message: String,
    },
}

impl Outcome {
    /// Whether an earlier version recorded a fault of the machine, or a bug, as the outcome. Neither is a
    /// result, so the trial is still to be done.
    pub(super) fn is_no_result(&self) -> bool {
        // The end of the standard library's messages for system errors, and its message for a write of zero
        // bytes.
        let signs = ["(os error ", "failed to write whole buffer", "cannot start threads"];
        match self {
            Self::Failed { message } => {
                message.starts_with("bug: ") || signs.iter().any(|sign| message.contains(sign))
            }
            Self::Finished | Self::Diverged { .. } | Self::Stopped { .. } => false,
        }
    }
}

/// `status.json`: written once, when a run has ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// [`FORMAT`](crate::FORMAT) of the program that wrote it.
    pub format: u32,
    /// How the run ended.
    pub outcome: Outcome,
    /// Scores of the raw weights.
    pub test: Option<Scores>,
    /// Scores of the averaged weights, where they were kept.
    pub averaged_test: Option<Scores>,
    /// Steps done.
    pub steps: u64,
    /// Time of all training steps, without evaluation.
    pub train_secs: f64,
    /// Training images per second over all epochs.
    pub images_per_sec: f64,
    /// Peak memory of the process while it ran, if the system reports it.
    pub peak_bytes: Option<u64>,
    /// Threads that the run had.
    pub threads: usize,
    /// When it ended, RFC 3339 in UTC: see [`timestamp`].
    pub finished_at: String,
}

impl Status {
    /// The score that stands for the run: of the averaged weights where they
    /// were kept, else of the raw ones; `None` unless the run finished.
    pub fn score(&self) -> Option<f64> {
        match self.outcome {
            Outcome::Finished => self.averaged_test.as_ref().or(self.test.as_ref()).map(Scores::score),
            Outcome::Diverged { .. } | Outcome::Stopped { .. } | Outcome::Failed { .. } => None,
        }
    }
}

/// `environment.json`: what a run does not depend on by design, but may by accident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Version of the program.
    pub decouple: String,
    /// Commit that it was built from.
    pub git_revision: Option<String>,
    /// Whether the checkout had uncommitted changes.
    pub git_dirty: Option<bool>,
    /// Checksum of `Cargo.lock`.
    pub lock_hash: Option<String>,
    /// Compiler that built it.
    pub rustc: Option<String>,
    /// Name of the processor.
    pub cpu: String,
    /// Instruction sets that it offers.
    pub cpu_flags: Vec<String>,
    /// The instruction set that the kernels used.
    pub kernels: String,
    /// Threads that the run had.
    pub threads: usize,
    /// Checksum of the images.
    pub data_checksum: String,
    /// What was noted when they were read: files that are not used, photographs that were turned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_notes: Vec<String>,
    /// The version of its arithmetic, as [`NUMERICS_VERSION`](crate::NUMERICS_VERSION) says; 0 if the program
    /// did not state it.
    #[serde(default)]
    pub numerics_version: u32,
    /// The command as typed.
    pub command: String,
}

/// `at` in RFC 3339, UTC, to the second: `2017-04-25T00:00:00Z`.
pub fn timestamp(at: SystemTime) -> String {
    let secs = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, time) = (secs / 86_400, secs % 86_400);
    // Days to a civil date, with years that begin in March so that the leap
    // day is the last (Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
