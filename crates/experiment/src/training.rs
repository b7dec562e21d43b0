//! The training settings of a trial: data only, nothing is executed here.
//!
//! The enums below hold exactly what each kind of optimiser, schedule and
//! average needs. How they are typed in TOML (a `kind` and its keys) is the
//! concern of [`as_typed`], which resolves every default.

pub(crate) mod as_typed;

use decouple_kernels::arithmetic::Arithmetic;
pub use decouple_kernels::arithmetic::{Precision, Winograd};
use serde::{Deserialize, Serialize};

use decouple_keys::InvalidKey;

/// How a network is trained. Complete: nothing is left to a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "as_typed::TrainingTable", into = "as_typed::TrainingTable")]
pub struct TrainingSpec {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images per step; all of them where the training images are fewer. Epochs are whole batches.
    pub batch: usize,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// The learning rate at every step.
    pub schedule: Schedule,
    /// Strength of the weight decay.
    pub weight_decay: f64,
    /// Where in the step the decay is applied.
    pub weight_decay_kind: DecayKind,
    /// Which parameters decay.
    pub weight_decay_on: DecayOn,
    /// What is minimised.
    pub loss: Loss,
    /// Probability mass spread evenly over all classes, from 0 up to 1.
    pub label_smoothing: f64,
    /// A second set of weights, averaged over steps and evaluated beside the raw ones.
    pub average: Average,
    /// How 3x3 convolutions over many channels may be computed.
    pub winograd: Winograd,
    /// What the factors of matrix products are rounded to.
    pub precision: Precision,
    /// Seed of the initial weights and of dropout, where it is not the run's.
    pub weights_seed: Option<u64>,
    /// Seed of the order of the images and of augmentation, where it is not the run's.
    pub order_seed: Option<u64>,
}

impl Default for TrainingSpec {
    /// The documented defaults: what an empty `[trial.training]` means.
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 64,
            optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: true },
            schedule: Schedule::Cosine { peak: 0.1, warmup_epochs: 1.0, floor: 0.0 },
            weight_decay: 1e-4,
            weight_decay_kind: DecayKind::Coupled,
            weight_decay_on: DecayOn::Weights,
            loss: Loss::Softmax,
            label_smoothing: 0.0,
            average: Average::None,
            winograd: Winograd::F2,
            precision: Precision::F32,
            weights_seed: None,
            order_seed: None,
        }
    }
}

impl TrainingSpec {
    /// Refuses values that make no sense.
    ///
    /// # Errors
    /// The first impossible value, named by its key relative to `[trial.training]`.
    pub fn validate(&self) -> Result<(), InvalidKey> {
        as_typed::validate(self)
    }

    /// The precision that the kernels may trade for speed.
    pub const fn arithmetic(&self) -> Arithmetic {
        Arithmetic { winograd: self.winograd, precision: self.precision }
    }
}

/// What training minimises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// The cross entropy of one choice among all classes; several labels share the choice.
    #[default]
    Softmax,
    /// The sum of the binary cross entropies of all classes, each there or not.
    Sigmoid,
}

/// The optimiser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd {
        /// Share of the previous step's direction that is kept, from 0 up to 1.
        momentum: f64,
        /// Nesterov momentum: the gradient is taken as if the momentum step were already done.
        nesterov: bool,
    },
    /// Gradients divided by the root of their running mean square.
    Rmsprop {
        /// Which of the two published forms.
        form: RmspropForm,
        /// Share of the old mean square that is kept.
        decay: f64,
        /// Share of the previous step's direction that is kept.
        momentum: f64,
        /// Added to the mean square (TensorFlow) or to its root (PyTorch).
        epsilon: f64,
    },
    /// Adam with weight decay apart from the gradient (Loshchilov and Hutter, 2019).
    Adamw {
        /// Share of the old mean gradient that is kept.
        beta1: f64,
        /// Share of the old mean square that is kept.
        beta2: f64,
        /// Added to the root of the mean square.
        epsilon: f64,
    },
}

/// The two forms of RMSprop. They differ whenever the learning rate changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RmspropForm {
    /// The mean square starts at 1, epsilon is inside the root, and the learning rate inside
    /// the momentum buffer. The form of TensorFlow 1.
    Tensorflow,
    /// The mean square starts at 0, epsilon and learning rate are outside.
    Pytorch,
}

/// Where weight decay enters the step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecayKind {
    /// Added to the gradient: an L2 penalty, as in the paper.
    #[default]
    Coupled,
    /// Applied to the weights directly, times the learning rate.
    Decoupled,
}

/// Which parameters decay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecayOn {
    /// Weights of convolutions and dense layers; neither batch norm nor biases.
    #[default]
    Weights,
    /// Every trained parameter.
    All,
}

/// A second set of weights for evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Average {
    /// Only the raw weights are evaluated.
    #[default]
    None,
    /// Exponential moving average (Polyak), updated after every step.
    Polyak {
        /// Share of the old average that is kept at each step.
        decay: f64,
    },
}

/// The learning rate as a function of the step.
///
/// Every kind rises linearly over the first `warmup_epochs`: at step `t` the
/// rate is its value without warm-up times `(t + 1) / warm-up steps`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// `peak` throughout.
    Constant {
        /// The learning rate after warm-up.
        peak: f64,
        /// Length of the linear rise; 0 for none.
        warmup_epochs: f64,
    },
    /// `peak * factor ^ floor(epoch / every_epochs)`.
    Step {
        /// The learning rate after warm-up.
        peak: f64,
        /// Length of the linear rise; 0 for none.
        warmup_epochs: f64,
        /// What the rate is multiplied by at each step down.
        factor: f64,
        /// Epochs between two steps down, counted from the start of training.
        every_epochs: f64,
    },
    /// `peak * factor ^ (progress / every)`; the paper has 0.94 every 2 epochs.
    Exponential {
        /// The learning rate after warm-up.
        peak: f64,
        /// Length of the linear rise; 0 for none.
        warmup_epochs: f64,
        /// What the rate is multiplied by over each `every`.
        factor: f64,
        /// The distance over which the rate falls by `factor`.
        every: Every,
        /// Whether the exponent is rounded down, so that the rate falls in steps.
        staircase: bool,
    },
    /// From `peak` down to `floor` along half a cosine, over the steps after warm-up.
    Cosine {
        /// The learning rate after warm-up.
        peak: f64,
        /// Length of the linear rise; 0 for none.
        warmup_epochs: f64,
        /// The learning rate at the end of training.
        floor: f64,
    },
}

/// A distance in training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Every {
    /// Passes over the training images.
    Epochs(f64),
    /// Images seen.
    Samples(u64),
}

impl Schedule {
    /// The learning rate of `step`, counted from 0 over the whole training.
    ///
    /// `steps_per_epoch` converts epochs to steps and `batch` steps to samples; `epochs` is the
    /// length of training, which only the cosine needs. Pure: a resumed run needs only its step.
    ///
    /// ```
    /// use decouple_experiment::{Every, Schedule};
    /// let paper = Schedule::Exponential {
    ///     peak: 0.045, warmup_epochs: 0.0, factor: 0.94, every: Every::Epochs(2.0), staircase: true,
    /// };
    /// assert_eq!(paper.rate(0, 100, 32, 10), 0.045);
    /// assert_eq!(paper.rate(200, 100, 32, 10), 0.045 * 0.94);
    /// ```
    pub fn rate(&self, step: u64, steps_per_epoch: u64, batch: u64, epochs: u64) -> f64 {
        let steps_per_epoch = steps_per_epoch.max(1);
        let epoch = step as f64 / steps_per_epoch as f64;
        let warmup_steps = self.warmup_epochs() * steps_per_epoch as f64;
        let ramp = if warmup_steps > 0.0 { ((step + 1) as f64 / warmup_steps).min(1.0) } else { 1.0 };
        let rate = match *self {
            Self::Constant { peak, .. } => peak,
            Self::Step { peak, factor, every_epochs, .. } => {
                peak * libm::pow(factor, (epoch / every_epochs).floor())
            }
            Self::Exponential { peak, factor, every, staircase, .. } => {
                let exponent = match every {
                    Every::Epochs(every) => epoch / every,
                    Every::Samples(every) => (step * batch) as f64 / every as f64,
                };
                peak * libm::pow(factor, if staircase { exponent.floor() } else { exponent })
            }
            Self::Cosine { peak, floor, .. } => {
                let fall_steps = (epochs * steps_per_epoch) as f64 - warmup_steps;
                let progress = ((step as f64 - warmup_steps) / fall_steps.max(1.0)).clamp(0.0, 1.0);
                floor + (peak - floor) * 0.5 * (1.0 + libm::cos(std::f64::consts::PI * progress))
            }
        };
        ramp * rate
    }

    /// The learning rate after warm-up, before any decay.
    pub fn peak(&self) -> f64 {
        match *self {
            Self::Constant { peak, .. }
            | Self::Step { peak, .. }
            | Self::Exponential { peak, .. }
            | Self::Cosine { peak, .. } => peak,
        }
    }

    /// Changes the learning rate after warm-up. The rate it falls to stays in proportion,
    /// except for a cosine's floor.
    pub fn set_peak(&mut self, rate: f64) {
        let (Self::Constant { peak, .. }
        | Self::Step { peak, .. }
        | Self::Exponential { peak, .. }
        | Self::Cosine { peak, .. }) = self;
        *peak = rate;
    }

    /// Length of the linear rise at the start, in epochs.
    pub fn warmup_epochs(&self) -> f64 {
        match *self {
            Self::Constant { warmup_epochs, .. }
            | Self::Step { warmup_epochs, .. }
            | Self::Exponential { warmup_epochs, .. }
            | Self::Cosine { warmup_epochs, .. } => warmup_epochs,
        }
    }
}

#[cfg(test)]
mod tests;
