//! The quantity that a budget holds equal, and its effect on a point.

use std::fmt;

use decouple_spectrum::budget::Quantity;
use decouple_spectrum::cost::Cost;
use serde::{Deserialize, Serialize};

/// What a budget holds equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// Trainable values.
    Parameters,
    /// Multiply-adds of one image.
    Macs,
    /// Outputs of convolutions and dense layers for one image.
    Activations,
    /// Time of a training step on one thread of the machine.
    StepTime,
}

impl Held {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Parameters, Self::Macs, Self::Activations, Self::StepTime];

    /// The quantity, if it can be counted; a time is measured.
    pub fn counted(self) -> Option<Quantity> {
        match self {
            Self::Parameters => Some(Quantity::Parameters),
            Self::Macs => Some(Quantity::Macs),
            Self::Activations => Some(Quantity::Activations),
            Self::StepTime => None,
        }
    }

    /// As typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parameters => "parameters",
            Self::Macs => "macs",
            Self::Activations => "activations",
            Self::StepTime => "step-time",
        }
    }

    /// In words: "multiply-adds".
    pub fn words(self) -> &'static str {
        match self {
            Self::Macs => "multiply-adds",
            Self::StepTime => "step time",
            counted => counted.name(),
        }
    }
}

/// As typed: `parameters`, `macs`, `activations`, `step-time`.
impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The effect of a budget on a point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetOutcome {
    /// What is held equal.
    pub hold: Held,
    /// The reference's amount of it; for a step time, nanoseconds, measured beside this point.
    pub target: u64,
    /// This point's amount of it.
    pub reached: u64,
    /// For a measured quantity, the standard error of `reached / target`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<f64>,
    /// Factor on the channel counts of the network as typed.
    pub width: f64,
    /// How far every quantity is from the reference.
    pub drift: Drift,
}

/// Costs relative to the reference: 0.1 is 10 % more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// Of the trained values.
    pub parameters: f64,
    /// Of the multiply-adds.
    pub macs: f64,
    /// Of the outputs of convolutions and dense layers.
    pub activations: f64,
}

impl Drift {
    /// The drift of `cost` from `reference`.
    pub fn between(cost: &Cost, reference: &Cost) -> Self {
        let relative = |cost: u64, reference: u64| cost as f64 / reference as f64 - 1.0;
        Self {
            parameters: relative(cost.parameters, reference.parameters),
            macs: relative(cost.macs, reference.macs),
            activations: relative(cost.activations, reference.activations),
        }
    }
}
