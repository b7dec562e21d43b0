//! How much a trained network loses when its coupled kernels are forced further
//! along the spectrum.

use std::path::Path;

use decouple_core_ops::{Context, Gradients, MapShape, OpError, Recorder};
use decouple_datasets::{BatchError, Dataset, derive_seed, epoch_order, fill_batch};
use decouple_experiment::Trial;
use decouple_spectrum::{
    graph::{Op, ParameterId},
    separability::{Kernel, Projection, segmented, separable, shuffled},
    weights::{Description, error::WeightError, file::WeightFile, names::Naming, read},
};

use crate::{
    evaluation::evaluate,
    network::{Network, NetworkError},
    trial::TrialError,
};

/// Batches from which batch norms learn the statistics of a projected network:
/// with the usual share of 0.1 a batch, 0.1 % of what they held before is left.
const CALIBRATION_BATCHES: usize = 64;

/// Shuffled kernels that say what a projection keeps of a kernel without structure.
const SHUFFLES: u64 = 3;

/// What kernels are projected on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// So many segments of channels, at most one a channel.
    Segments(usize),
    /// One spatial kernel and one mix of channels for each output.
    Separable,
}

impl Target {
    fn project(self, kernel: &Kernel) -> Projection {
        match self {
            Self::Segments(segments) => segmented(kernel, segments.min(kernel.outputs).min(kernel.inputs)),
            Self::Separable => separable(kernel),
        }
    }
}

/// What a projection does to one network.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// What its kernels were projected on.
    pub target: Target,
    /// For each spatial layer, its name and the energy kept, of its own kernel and
    /// of one with the same weights shuffled.
    pub layers: Vec<(String, f64, f64)>,
    /// Accuracy of the network with all its spatial kernels projected, its batch
    /// norms having seen training images again, without any other training.
    pub accuracy: f64,
}

/// A network and its projections.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// Accuracy of the network as it was trained.
    pub accuracy: f64,
    /// One for each target.
    pub costs: Vec<Cost>,
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
    /// There is nothing to project: it is decoupled already.
    #[error("`{layer}` has {segments} segments; only a network of one segment can be projected")]
    Decoupled {
        /// The first spatial layer that is not dense.
        layer: String,
        /// Its segments.
        segments: usize,
    },
}

impl From<NetworkError> for DiagnosisError {
    fn from(error: NetworkError) -> Self {
        Self::Trial(error.into())
    }
}

impl From<OpError> for DiagnosisError {
    fn from(error: OpError) -> Self {
        Self::Trial(error.into())
    }
}

impl From<BatchError> for DiagnosisError {
    fn from(error: BatchError) -> Self {
        Self::Trial(error.into())
    }
}

/// Projects the kernels of `trial`'s network, whose trained weights are in the
/// file `weights`, on each of `targets`, and scores it on the validation images,
/// or where there are none on the test images.
///
/// # Errors
/// [`DiagnosisError`].
pub fn diagnose(
    trial: &Trial,
    weights: &Path,
    data: &Dataset,
    targets: &[Target],
) -> Result<Diagnosis, DiagnosisError> {
    if let Some(layer) = trial.layers.iter().find(|layer| layer.segments != 1) {
        return Err(DiagnosisError::Decoupled { layer: layer.name.clone(), segments: layer.segments });
    }
    let context = Context::best();
    let stored = stored(trial, weights)?;
    let mut network = network(trial, &stored, &context);
    let accuracy = score(trial, &mut network, data, &context)?;
    let costs = targets.iter().map(|&target| cost(trial, &stored, data, target, &context));
    Ok(Diagnosis { accuracy, costs: costs.collect::<Result<_, _>>()? })
}

/// The values of every parameter and running statistic.
fn stored(trial: &Trial, weights: &Path) -> Result<Vec<Vec<f32>>, DiagnosisError> {
    let mut file = WeightFile::open(weights)?;
    let mut values = vec![Vec::new(); trial.graph().parameters.len()];
    read(&mut file, Naming::Decouple, &description(trial), |id, of| values[id.0] = of)?;
    Ok(values)
}

/// What the weights of `trial` are for.
pub(crate) fn description(trial: &Trial) -> Description {
    let graph = trial.graph();
    let input = graph.input();
    Description {
        network: trial.record.network.clone(),
        input: [input.h, input.w, input.c],
        classes: graph.output().len(),
    }
}

fn network(trial: &Trial, stored: &[Vec<f32>], context: &Context) -> Network {
    Network::with_values(trial.graph(), context, |id| stored[id.0].clone())
}

fn cost(
    trial: &Trial,
    stored: &[Vec<f32>],
    data: &Dataset,
    target: Target,
    context: &Context,
) -> Result<Cost, DiagnosisError> {
    let mut values = stored.to_vec();
    let mut layers = Vec::new();
    let graph = trial.graph();
    for layer in &graph.spatial_layers {
        let node = graph.node(layer.node);
        let Op::Conv { geometry, weights: ParameterId(index), .. } = &node.op else { continue };
        let taps = geometry.options().kernel_h * geometry.options().kernel_w;
        let (inputs, outputs) = (geometry.input().c, geometry.output().c);
        let kernel = Kernel::new(outputs, inputs, taps, values[*index].clone());
        let by_chance = (0..SHUFFLES).map(|seed| target.project(&shuffled(&kernel, seed)).kept).sum::<f64>();
        let Projection { kept, weights } = target.project(&kernel);
        layers.push((node.name.clone(), kept, by_chance / SHUFFLES as f64));
        values[*index] = weights;
    }
    let mut network = network(trial, &values, context);
    calibrate(trial, &mut network, data, context)?;
    let accuracy = score(trial, &mut network, data, context)?;
    Ok(Cost { target, layers, accuracy })
}

/// Shows training images to the network, in training, without a step.
fn calibrate(
    trial: &Trial,
    network: &mut Network,
    data: &Dataset,
    context: &Context,
) -> Result<(), DiagnosisError> {
    let shape = MapShape::new(data.shape().h, data.shape().w, data.shape().c);
    let normalisation = data.normalisation();
    let order = epoch_order(data.train.len(), derive_seed(trial.seed(), "calibrate", 0, 0));
    let batch = trial.record.training.batch.min(data.train.len()).max(1);
    let mut labels = Vec::new();
    for indices in order.chunks_exact(batch).cycle().take(CALIBRATION_BATCHES) {
        let mut images = context.pool.take(indices.len() * shape.len());
        fill_batch(&data.train, indices, &[], |_| 0, &normalisation, &mut images, &mut labels)?;
        let mut recorder = Recorder::training(context, Gradients::default());
        let images = recorder.input_buffer(shape, images)?;
        network.forward(&mut recorder, images, 0)?;
    }
    Ok(())
}

fn score(
    trial: &Trial,
    network: &mut Network,
    data: &Dataset,
    context: &Context,
) -> Result<f64, DiagnosisError> {
    let split = if data.validation.is_empty() { &data.test } else { &data.validation };
    let batch = trial.record.training.batch;
    Ok(evaluate(network, split, &data.normalisation(), batch, context)?.accuracy)
}
