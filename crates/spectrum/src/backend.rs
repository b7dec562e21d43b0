//! The traits of whatever executes a [`Plan`]: the seam between networks as data and a device.
//!
//! Code that trains, evaluates or predicts knows these two traits and nothing of their
//! implementation. Batches, their order and augmentation, losses and their gradients,
//! schedules, metrics and checkpoints stay on this side; memory, threads, instructions and the
//! backward pass stay on the other.

use std::sync::Arc;

use decouple_kernels::{arithmetic::Arithmetic, layout::BatchLayout};

pub use crate::update::{Rule, Update};
use crate::{
    graph::{Graph, ParameterId},
    plan::Plan,
};

/// Creates executors: one implementation per device.
pub trait Backend: std::fmt::Debug + Send + Sync {
    /// The name stored in records, such as `avx512`.
    fn name(&self) -> &str;

    /// An executor of `plan` whose parameters and running statistics get their values from
    /// `values`, which is called once for each, in the graph's order.
    ///
    /// # Errors
    /// [`ExecutionError::Length`] when a parameter does not get its number of values.
    fn executor(
        &self,
        plan: Arc<Plan>,
        arithmetic: Arithmetic,
        values: &mut dyn FnMut(ParameterId) -> Vec<f32>,
    ) -> Result<Box<dyn Executor>, ExecutionError>;

    /// An executor of `graph`'s [`Plan`]; `values` as for [`Self::executor`].
    ///
    /// # Errors
    /// As [`Self::executor`].
    fn network(
        &self,
        graph: Graph,
        arithmetic: Arithmetic,
        values: &mut dyn FnMut(ParameterId) -> Vec<f32>,
    ) -> Result<Box<dyn Executor>, ExecutionError> {
        self.executor(Arc::new(Plan::new(graph)), arithmetic, values)
    }

    /// The expected [`Executor::peak_bytes`] of training `plan` on batches of `images` by steps
    /// like `update`, with this many threads.
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
    /// The plan that is executed.
    fn plan(&self) -> &Plan;

    /// Where the values of `images` images are in a batch.
    fn batch_layout(&self, images: usize) -> BatchLayout;

    /// The logits of `images` images, (image, class); for a network that ends in a larger map,
    /// its values, (image, row, column, channel).
    ///
    /// `batch`: values in [`Self::batch_layout`], zero wherever that layout has no image. In
    /// training, batch norms use the statistics of the batch and update the running ones,
    /// dropout follows [`DropoutMask`] for the seed and the node, and [`Self::backward`] may be
    /// called next.
    ///
    /// [`DropoutMask`]: decouple_kernels::layout::DropoutMask
    ///
    /// # Errors
    /// [`ExecutionError`] if the batch does not have the layout's length.
    fn forward(&mut self, batch: &[f32], images: usize, pass: Pass) -> Result<Vec<f32>, ExecutionError>;

    /// Computes the gradient of every parameter from that of the logits, in the layout of
    /// [`Self::forward`]'s result, for the last [`Self::forward`], which must have been in training.
    ///
    /// # Errors
    /// [`ExecutionError`] without such a forward, or if lengths do not fit it.
    fn backward(&mut self, logits_gradient: &[f32]) -> Result<(), ExecutionError>;

    /// Updates every trained parameter by its gradient, then the averaged values if the update
    /// says so.
    ///
    /// # Errors
    /// [`ExecutionError`] without a [`Self::backward`] before.
    fn step(&mut self, update: &Update) -> Result<(), ExecutionError>;

    /// The values of one parameter or running statistic, or associated state. Empty if `what`
    /// has never been written, by a way back, a step or [`Self::write`].
    fn read(&self, what: State, id: ParameterId) -> Vec<f32>;

    /// Replaces the values that [`Self::read`] returns.
    ///
    /// # Errors
    /// [`ExecutionError::Length`] if `values` is neither empty nor of the parameter's length.
    fn write(&mut self, what: State, id: ParameterId, values: &[f32]) -> Result<(), ExecutionError>;

    /// Exchanges the values with the averaged ones; a second call puts them back. Does nothing
    /// if no averages are kept.
    fn exchange_average(&mut self);

    /// The most memory that the executor has held, in bytes.
    fn peak_bytes(&self) -> u64;
}

/// The mode in which a network is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Batch norms use their running statistics; nothing is dropped or kept.
    Inference,
    /// As in a training step.
    Training {
        /// The seed of dropout.
        dropout_seed: u64,
    },
}

/// The state that an executor keeps of each parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// The value itself; running statistics have only this and the average.
    Value,
    /// The gradient of the last backward pass.
    Gradient,
    /// The optimiser's first state: momentum, or a mean square.
    First,
    /// The second, where its rule has two.
    Second,
    /// The running average of the value.
    Average,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ExecutionError {
    /// The number of values is wrong.
    #[error("{what}: {found} values, expected {expected}")]
    Length {
        /// Their purpose.
        what: String,
        /// The expected number.
        expected: usize,
        /// The actual number.
        found: usize,
    },
    /// A call without the one that must precede it.
    #[error("{call} needs {before} before it")]
    Order {
        /// What was called.
        call: &'static str,
        /// What must precede it.
        before: &'static str,
    },
    /// The device failed.
    #[error("{0}")]
    Device(String),
}

impl ExecutionError {
    /// Checks the number of values of `what`.
    ///
    /// # Errors
    /// [`Self::Length`] if it is wrong.
    pub fn check_length(what: &str, expected: usize, found: usize) -> Result<(), Self> {
        if expected == found {
            return Ok(());
        }
        Err(Self::Length { what: what.to_owned(), expected, found })
    }
}
