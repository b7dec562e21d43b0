//! What executes a [`Plan`]: the seam between networks as data and a device.
//!
//! Whoever trains, evaluates or predicts knows these two traits and nothing of
//! what is behind them. Batches, their order and augmentation, losses and their
//! gradients, schedules, metrics and checkpoints stay on this side; memory,
//! threads, instructions and the way back stay on the other.

use std::sync::Arc;

use decouple_kernels::{arithmetic::Arithmetic, layout::BatchLayout};

pub use crate::update::{Rule, Update};
use crate::{graph::ParameterId, plan::Plan};

/// Makes executors: one device.
pub trait Backend: std::fmt::Debug + Send + Sync {
    /// The name that records carry, such as `avx512`.
    fn name(&self) -> &str;

    /// An executor of `plan` whose parameters and running statistics have the
    /// values that `values` gives; it is asked for each once, in the graph's order.
    ///
    /// # Errors
    /// [`ExecutionError::Length`] when a parameter does not get its number of values.
    fn executor(
        &self,
        plan: Arc<Plan>,
        arithmetic: Arithmetic,
        values: &mut dyn FnMut(ParameterId) -> Vec<f32>,
    ) -> Result<Box<dyn Executor>, ExecutionError>;

    /// What [`Executor::peak_bytes`] of `plan` comes to when it is trained on batches of
    /// `images` by steps such as `update`, with as many threads.
    fn training_bytes(
        &self,
        plan: &Plan,
        arithmetic: Arithmetic,
        images: usize,
        update: &Update,
        threads: usize,
    ) -> u64;
}

/// A network with values.
pub trait Executor: std::fmt::Debug + Send {
    /// What is executed.
    fn plan(&self) -> &Plan;

    /// Where the values of `images` images stand in a batch.
    fn batch_layout(&self, images: usize) -> BatchLayout;

    /// The logits of `images` images, (image, class); of a network that ends in a
    /// larger map, its values, (image, row, column, channel).
    ///
    /// `batch`: values in [`Self::batch_layout`], zero wherever that layout has no
    /// image. In training, batch norms use the statistics of the batch and the
    /// running ones follow, dropout drops as [`DropoutMask`] says of the seed and the
    /// node, and [`Self::backward`] may follow.
    ///
    /// [`DropoutMask`]: decouple_kernels::layout::DropoutMask
    ///
    /// # Errors
    /// [`ExecutionError`] when the batch has not the layout's length.
    fn forward(&mut self, batch: &[f32], images: usize, pass: Pass) -> Result<Vec<f32>, ExecutionError>;

    /// Computes the gradient of every parameter from that of the logits, which
    /// stands as [`Self::forward`] gives them, for the last [`Self::forward`], which was one in training.
    ///
    /// # Errors
    /// [`ExecutionError`] without such a forward, or when lengths do not fit it.
    fn backward(&mut self, logits_gradient: &[f32]) -> Result<(), ExecutionError>;

    /// Changes every trained parameter by its gradient, then lets the averaged
    /// values follow, where the update says so.
    ///
    /// # Errors
    /// [`ExecutionError`] without a [`Self::backward`] before.
    fn step(&mut self, update: &Update) -> Result<(), ExecutionError>;

    /// The values of one parameter or running statistic, or what is kept beside
    /// them. Empty where `what` has never been written by a step or [`Self::write`].
    fn read(&self, what: State, id: ParameterId) -> Vec<f32>;

    /// Replaces what [`Self::read`] reads.
    ///
    /// # Errors
    /// [`ExecutionError::Length`] when `values` are neither none nor one for each of the parameter's.
    fn write(&mut self, what: State, id: ParameterId, values: &[f32]) -> Result<(), ExecutionError>;

    /// Exchanges the values with the averaged ones; a second call puts them back.
    /// Nothing happens where no averages are kept.
    fn exchange_average(&mut self);

    /// The most memory that the executor has held, in bytes.
    fn peak_bytes(&self) -> u64;
}

/// In which way a network is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Batch norms use their running statistics; nothing is dropped or kept.
    Inference,
    /// As in a step of training.
    Training {
        /// Decides what dropout drops.
        dropout_seed: u64,
    },
}

/// What an executor keeps of each parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// The value itself; of running statistics this and the average alone.
    Value,
    /// The gradient of the last backward pass.
    Gradient,
    /// The first thing that the optimiser remembers: momentum, or a mean square.
    First,
    /// The second, where its rule has two.
    Second,
    /// The running average of the value.
    Average,
}

/// Why something was not executed.
#[derive(Debug, thiserror::Error)]
pub enum ExecutionError {
    /// Values do not fit what they are for.
    #[error("{what}: {found} values, expected {expected}")]
    Length {
        /// What they are for.
        what: String,
        /// How many there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A call without the one that has to come before it.
    #[error("{call} needs {before} before it")]
    Order {
        /// What was called.
        call: &'static str,
        /// What should have been.
        before: &'static str,
    },
    /// The device failed.
    #[error("{0}")]
    Device(String),
}

impl ExecutionError {
    /// Checks that there are as many values of `what` as there should be.
    ///
    /// # Errors
    /// [`Self::Length`] when there are not.
    pub fn check_length(what: &str, expected: usize, found: usize) -> Result<(), Self> {
        if expected == found {
            return Ok(());
        }
        Err(Self::Length { what: what.to_owned(), expected, found })
    }
}
