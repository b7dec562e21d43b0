//! Networks from weight files and back.

use std::path::Path;

use decouple_core_ops::Context;
use decouple_spectrum::weights::{self, Description, error::WeightError, file::WeightFile, names::Naming};

use crate::network::Network;

/// The network `description` with the weights of the file at `path`, which has
/// the names and layouts of `naming`.
///
/// # Errors
/// [`WeightError`] when the file cannot be read or is not of that network.
pub fn load(
    path: &Path,
    naming: Naming,
    description: &Description,
    context: &Context,
) -> Result<Network, WeightError> {
    let graph = description.graph()?;
    let mut values: Vec<Vec<f32>> = vec![Vec::new(); graph.parameters.len()];
    let mut file = WeightFile::open(path)?;
    weights::read(&mut file, naming, description, |id, read| values[id.0] = read)?;
    Ok(Network::with_values(graph, context, |id| std::mem::take(&mut values[id.0])))
}

/// Writes the weights of `network`, which is that of `description`, to `path`
/// under the names and in the layouts of `naming`.
///
/// # Errors
/// [`WeightError`] when the file cannot be written or `naming` has no names for
/// the network.
pub fn save(
    network: &Network,
    path: &Path,
    naming: Naming,
    description: &Description,
) -> Result<(), WeightError> {
    weights::write(path, naming, description, |id| network.values(id).into())
}
