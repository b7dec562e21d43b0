//! Measures how much a trained network loses if its coupled kernels are moved further along the
//! spectrum.

use std::path::Path;

use decouple_datasets::{
    Batch, Dataset, derive_seed, epoch_order, fill_batch,
    stream::{BatchOrder, Part},
};
use decouple_experiment::Trial;
use decouple_spectrum::{
    backend::{Backend, Executor, Pass},
    graph::{Op, ParameterId},
    network::Family,
    separability::{DenseKernel, Projection, segmented, separable, shuffled},
    weights::{error::WeightError, names::Naming},
};

use crate::{
    device::backend,
    error::TrialError,
    evaluation::evaluate_part,
    objective::Objective,
    stored_network::{description, values},
};

/// What is left of the earlier statistics when batch norms have learned those of a projected network.
const LEFT_AFTER_CALIBRATION: f64 = 1e-3;

/// Number of shuffled kernels, which show how much a projection keeps of a kernel without
/// structure.
const SHUFFLES: u64 = 3;

/// What kernels are projected onto.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectionTarget {
    /// This many segments of channels, at most one per channel.
    Segments(usize),
    /// One spatial kernel and one mix of channels for each output.
    Separable,
}

impl ProjectionTarget {
    fn project(self, kernel: &DenseKernel) -> Projection {
        match self {
            Self::Segments(segments) => segmented(kernel, segments.min(kernel.outputs).min(kernel.inputs)),
            Self::Separable => separable(kernel),
        }
    }
}

/// The effect of a projection on one network.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// What its kernels were projected onto.
    pub target: ProjectionTarget,
    /// For each spatial layer: its name, the energy kept of its own kernel, and of one with the
    /// same weights shuffled.
    pub layers: Vec<(String, f64, f64)>,
    /// Score of the network with all its spatial kernels projected, after recalibrating its
    /// batch norms on training images but without further training.
    pub score: f64,
}

/// A network and its projections.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// Score of the network as it was trained.
    pub score: f64,
    /// One for each target.
    pub effects: Vec<Effect>,
}

/// Why a network cannot be diagnosed.
#[derive(Debug, thiserror::Error)]
pub enum DiagnosisError {
    /// Its weights cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// It cannot be executed.
    #[error(transparent)]
    Trial(#[from] TrialError),
    /// There is nothing to project: it has no module of the spectrum.
    #[error("{0} has no modules of the spectrum, whose kernels could be projected")]
    NoModules(Family),
    /// There is nothing to project: it is decoupled already.
    #[error("`{layer}` has {segments} segments; only a network of one segment can be projected")]
    Decoupled {
        /// The first spatial layer that is not dense.
        layer: String,
        /// Its segments.
        segments: usize,
    },
}

/// Projects the kernels of `trial`'s network, whose trained weights are in the file `weights`,
/// onto each of `targets`, and scores it on the validation images or, if there are none, on the
/// test images.
///
/// # Errors
/// [`DiagnosisError`].
pub fn diagnose(
    trial: &Trial,
    weights: &Path,
    data: &Dataset,
    targets: &[ProjectionTarget],
) -> Result<Diagnosis, DiagnosisError> {
    if trial.layers.is_empty() {
        return Err(DiagnosisError::NoModules(trial.record.network.family));
    }
    if let Some(layer) = trial.layers.iter().find(|layer| layer.segments != 1) {
        return Err(DiagnosisError::Decoupled { layer: layer.name.clone(), segments: layer.segments });
    }
    let backend = backend();
    let stored = values(weights, Naming::Decouple, &description(trial))?;
    let mut network = network(trial, &stored, &*backend)?;
    let score = score(trial, &mut *network, data)?;
    let effects = targets.iter().map(|&target| effect(trial, &stored, data, target, &*backend));
    Ok(Diagnosis { score, effects: effects.collect::<Result<_, _>>()? })
}

fn network(
    trial: &Trial,
    stored: &[Vec<f32>],
    backend: &dyn Backend,
) -> Result<Box<dyn Executor>, TrialError> {
    let arithmetic = trial.record.training.arithmetic();
    Ok(backend.network(trial.graph(), arithmetic, &mut |id| stored[id.0].clone())?)
}

fn effect(
    trial: &Trial,
    stored: &[Vec<f32>],
    data: &Dataset,
    target: ProjectionTarget,
    backend: &dyn Backend,
) -> Result<Effect, DiagnosisError> {
    let mut values = stored.to_vec();
    let mut layers = Vec::new();
    let graph = trial.graph();
    for layer in &graph.spatial_layers {
        let node = graph.node(layer.node);
        let Op::Conv { geometry, weights: ParameterId(index), .. } = &node.op else { continue };
        let taps = geometry.options().kernel_h * geometry.options().kernel_w;
        let (inputs, outputs) = (geometry.input().c, geometry.output().c);
        let kernel = DenseKernel::new(outputs, inputs, taps, values[*index].clone());
        let by_chance = (0..SHUFFLES).map(|seed| target.project(&shuffled(&kernel, seed)).kept).sum::<f64>();
        let Projection { kept, weights } = target.project(&kernel);
        layers.push((node.name.clone(), kept, by_chance / SHUFFLES as f64));
        values[*index] = weights;
    }
    let mut network = network(trial, &values, backend)?;
    calibrate(trial, &mut *network, data)?;
    let score = score(trial, &mut *network, data)?;
    Ok(Effect { target, layers, score })
}

/// Batches after which no more than [`LEFT_AFTER_CALIBRATION`] is left of a running statistic that takes
/// over the share `momentum` of each.
fn calibration_batches(momentum: f64) -> usize {
    if momentum >= 1.0 { 1 } else { (LEFT_AFTER_CALIBRATION.ln() / (1.0 - momentum).ln()).ceil() as usize }
}

/// Runs training images through the network in training mode, without a step.
fn calibrate(trial: &Trial, network: &mut dyn Executor, data: &Dataset) -> Result<(), TrialError> {
    let normalisation = data.normalisation();
    let seed = derive_seed(trial.seed(), "calibrate", 0, 0);
    let batch = trial.record.training.batch.min(data.images(Part::Train)).max(1);
    let batches = calibration_batches(trial.record.network.norm_momentum);
    let mut images = Batch::default();
    if let Some(stream) = &data.stream {
        let workers = rayon::current_num_threads();
        let of_epoch =
            |epoch| stream.batches(Part::Train, BatchOrder::Shuffled { seed, epoch }, batch, &[], workers);
        for pixels in (0..batches as u64).flat_map(of_epoch).take(batches) {
            let pixels = pixels?;
            let layout = network.batch_layout(pixels.len());
            pixels.write(&normalisation, &layout, &mut images.values)?;
            network.forward(&images.values, pixels.len(), Pass::Training { dropout_seed: 0 })?;
        }
        return Ok(());
    }
    let order = epoch_order(data.train.len(), seed);
    for indices in order.chunks_exact(batch).cycle().take(batches) {
        let layout = network.batch_layout(batch);
        fill_batch(&data.train, indices, &[], |_| 0, &normalisation, &layout, &mut images)?;
        network.forward(&images.values, batch, Pass::Training { dropout_seed: 0 })?;
    }
    Ok(())
}

fn score(trial: &Trial, network: &mut dyn Executor, data: &Dataset) -> Result<f64, TrialError> {
    let part = if data.images(Part::Validation) == 0 { Part::Test } else { Part::Validation };
    let training = &trial.record.training;
    Ok(evaluate_part(network, data, part, training.batch, &Objective::new(training, data))?.score())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_left_of_earlier_statistics() {
        for momentum in [0.01, 0.1, 0.5, 1.0] {
            let batches = calibration_batches(momentum);
            let left = |batches: usize| (1.0 - momentum).powi(batches as i32);
            assert!(left(batches) <= LEFT_AFTER_CALIBRATION && left(batches - 1) > LEFT_AFTER_CALIBRATION);
        }
    }
}
