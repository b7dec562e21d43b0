//! The score of runs.

use std::fmt;

use crate::Record;

/// The score of a run on its test images, which its reports compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metric {
    /// The share of images whose most likely class is theirs.
    #[default]
    Accuracy,
    /// The mean over images of the average precision of their first 100 predictions, where
    /// an image may have any number of labels.
    MeanPrecision,
}

impl Metric {
    /// Its name in tables and figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::MeanPrecision => "MAP@100",
        }
    }

    /// Its name at the beginning of a sentence.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Accuracy => "Accuracy",
            Self::MeanPrecision => "MAP@100",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Record {
    /// The score of its run.
    pub const fn metric(&self) -> Metric {
        if self.data.is_multi_label() { Metric::MeanPrecision } else { Metric::Accuracy }
    }

    /// The score of an epoch: that of the images held out or, without any, the accuracy in training.
    pub const fn metric_of_epochs(&self) -> Metric {
        if self.data.validation == 0 { Metric::Accuracy } else { self.metric() }
    }
}
