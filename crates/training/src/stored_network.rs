//! Loads networks from weight files and saves them.

use std::path::Path;

use decouple_disk::Target;
use decouple_experiment::Trial;
use decouple_kernels::arithmetic::Arithmetic;
use decouple_spectrum::{
    backend::{ExecutionError, Executor, State},
    graph::ParameterId,
    weights::{self, Description, Images, error::WeightError, file::WeightFile, names::Naming},
};

use crate::device::backend;

/// The file in a run's folder with its trained weights.
pub const WEIGHTS_FILE: &str = "weights.safetensors";

/// Why a network cannot be loaded from a file.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read, or is not of that network.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The device does not support it.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
}

/// The network `description`, executed in `arithmetic`, with the weights of the file at `path`, which has
/// the names and layouts of `naming`.
///
/// # Errors
/// [`LoadError`] when the file cannot be read or is not of that network.
pub fn load(
    path: &Path,
    naming: Naming,
    description: &Description,
    arithmetic: Arithmetic,
) -> Result<Box<dyn Executor>, LoadError> {
    let mut values = values(path, naming, description)?;
    let take = &mut |id: ParameterId| std::mem::take(&mut values[id.0]);
    Ok(backend().network(description.graph()?, arithmetic, take)?)
}

/// The values of every parameter and running statistic of the network `description`, in the graph's order, from the
/// file at `path`, which has the names and layouts of `naming`.
///
/// # Errors
/// [`WeightError`] when the file cannot be read or is not of that network.
pub fn values(path: &Path, naming: Naming, description: &Description) -> Result<Vec<Vec<f32>>, WeightError> {
    let mut values = vec![Vec::new(); description.graph()?.parameters.len()];
    let mut file = WeightFile::open(path)?;
    weights::read(&mut file, naming, description, |id, read| values[id.0] = read)?;
    Ok(values)
}

/// Writes the weights of `network`, which is that of `description`, to `target` under the names
/// and in the layouts of `naming`, with the `images` it was trained on, if known.
///
/// # Errors
/// [`WeightError`] when the file cannot be written or `naming` has no names for
/// the network.
pub fn save<'p>(
    network: &dyn Executor,
    target: impl Into<Target<'p>>,
    naming: Naming,
    description: &Description,
    images: Option<&Images>,
) -> Result<(), WeightError> {
    weights::write(target, naming, description, images, |id| network.read(State::Value, id).into())
}

/// The network that the weights of `trial` belong to.
pub(crate) fn description(trial: &Trial) -> Description {
    let graph = trial.graph();
    let input = graph.input();
    Description {
        network: trial.record.network.clone(),
        input: [input.h, input.w, input.c],
        classes: graph.output().len(),
    }
}
