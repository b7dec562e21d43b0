//! Networks from weight files and back.

use std::{path::Path, sync::Arc};

use decouple_disk::Target;
use decouple_kernels::numerics::Numerics;
use decouple_spectrum::{
    backend::{ExecutionError, Executor, State},
    plan::Plan,
    weights::{self, Description, Images, error::WeightError, file::WeightFile, names::Naming},
};

use crate::device::backend;

/// Why a file gives no network.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read, or is not of that network.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The device does not take it.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
}

/// The network `description` with the weights of the file at `path`, which has
/// the names and layouts of `naming`.
///
/// # Errors
/// [`LoadError`] when the file cannot be read or is not of that network.
pub fn load(path: &Path, naming: Naming, description: &Description) -> Result<Box<dyn Executor>, LoadError> {
    let graph = description.graph()?;
    let mut values: Vec<Vec<f32>> = vec![Vec::new(); graph.parameters.len()];
    let mut file = WeightFile::open(path)?;
    weights::read(&mut file, naming, description, |id, read| values[id.0] = read)?;
    let plan = Arc::new(Plan::new(graph));
    Ok(backend().executor(plan, Numerics::default(), &mut |id| std::mem::take(&mut values[id.0]))?)
}

/// Writes the weights of `network`, which is that of `description`, to `target`
/// under the names and in the layouts of `naming`, noting what `images` it was
/// trained on, where that is known.
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
    weights::write_noted(target, naming, description, images, |id| network.read(State::Value, id).into())
}
