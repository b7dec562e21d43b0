//! The training loop.

use std::{
    path::Path,
    time::{Instant, SystemTime},
};

use decouple_core_ops::{self as kernels, Context, Gradients, MapShape, Numerics, OpError, Recorder};
use decouple_datasets::{BatchError, Dataset, Normalisation, derive_seed, epoch_order, fill_batch};
use decouple_experiment::{
    Average, FORMAT, LedgerError, MetricsRow, Outcome, Precision, Record, RunWriter, Scores, Status,
    TimingRow, TrainingSpec, Trial, Winograd, timestamp,
};

use decouple_spectrum::weights::{error::WeightError, names::Naming, write};

use crate::{
    average::WeightAverage,
    diagnosis::description,
    evaluation::{count_correct, evaluate},
    network::{Network, NetworkError},
    optimizer::OptimizerState,
    progress::{Event, Progress},
};

/// The file in a run's folder with its trained weights.
pub const WEIGHTS_FILE: &str = "weights.safetensors";

/// Why a trial could not be carried out. A loss that is not finite is no
/// error: it ends the run as diverged.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The graph could not be executed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// An operation refused its arguments.
    #[error(transparent)]
    Op(#[from] OpError),
    /// A batch could not be filled.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The run's files could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The trained weights could not be written.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// Fewer training images than one.
    #[error("no training image is left after holding out {held_out} for validation")]
    NoImages {
        /// Images held out.
        held_out: usize,
    },
}

/// Trains `trial` on `data` and scores it on the test images, writing a row an
/// epoch. Works on rayon's current pool; the rows and scores are a function of
/// the trial's record alone.
///
/// An epoch visits the training images in an order drawn from (seed, epoch), in
/// whole batches: the few images left over are other ones in each epoch. Data
/// order and augmentation do not depend on the network, so every point of a
/// sweep sees the same batches at the same seed.
///
/// # Errors
/// [`TrialError`]; whatever happens, rows that were written stay.
pub fn run_trial(
    trial: &Trial,
    index: usize,
    data: &Dataset,
    writer: &mut RunWriter,
    progress: &Progress,
) -> Result<Status, TrialError> {
    let mut under_way = UnderWay::begin(trial, index, data, progress)?;
    if let Some(diverged) = under_way.advance(trial.record.training.epochs as u64, writer, progress)? {
        return Ok(diverged);
    }
    under_way.finish(writer)
}

/// A trial that is trained some epochs at a time.
pub(crate) struct UnderWay<'a> {
    trial: &'a Trial,
    index: usize,
    run: Run<'a>,
    /// Epochs done.
    epochs: u64,
    /// After each of them, on validation images where some are held out.
    accuracies: Vec<f64>,
}

impl<'a> UnderWay<'a> {
    pub(crate) fn begin(
        trial: &'a Trial,
        index: usize,
        data: &'a Dataset,
        progress: &Progress,
    ) -> Result<Self, TrialError> {
        let run = Run::new(trial, data)?;
        let steps = trial.record.training.epochs as u64 * run.steps_per_epoch;
        progress.tell(Event::Started { trial: index, steps });
        Ok(Self { trial, index, run, epochs: 0, accuracies: Vec::new() })
    }

    /// Trains until `epochs` are done, a row each. The status, if it diverged.
    pub(crate) fn advance(
        &mut self,
        epochs: u64,
        writer: &mut RunWriter,
        progress: &Progress,
    ) -> Result<Option<Status>, TrialError> {
        while self.epochs < epochs {
            if let Some(step) = self.run.train_epoch(self.epochs, self.index, progress)? {
                return Ok(Some(self.run.status(Outcome::Diverged { step })));
            }
            let (metrics, timing) = self.run.rows(self.epochs)?;
            let accuracy = shown_accuracy(&metrics);
            writer.append(&metrics, &timing)?;
            self.epochs += 1;
            self.accuracies.push(accuracy);
            progress.tell(Event::Epoch { trial: self.index, epoch: self.epochs, accuracy });
        }
        Ok(None)
    }

    /// The accuracies after each epoch so far.
    pub(crate) fn accuracies(&self) -> &[f64] {
        &self.accuracies
    }

    /// Scores the test images and keeps the weights.
    pub(crate) fn finish(mut self, writer: &RunWriter) -> Result<Status, TrialError> {
        let status = self.run.test()?;
        if status.outcome == Outcome::Finished {
            self.run.keep_weights(self.trial, &writer.dir().join(WEIGHTS_FILE))?;
        }
        Ok(status)
    }

    /// Ends it here. The test images are not read.
    pub(crate) fn stop(self) -> Status {
        self.run.status(Outcome::Stopped { epoch: self.epochs })
    }
}

/// What a run is shown and ranked by: its accuracy on held-out images where there are
/// any, else in training.
pub(crate) fn shown_accuracy(row: &MetricsRow) -> f64 {
    row.validation().unwrap_or(row.train_accuracy)
}

/// A training in progress.
pub(crate) struct Run<'a> {
    record: &'a Record,
    data: &'a Dataset,
    normalisation: Normalisation,
    context: Context,
    network: Network,
    optimizer: OptimizerState,
    average: Option<WeightAverage>,
    gradients: Option<Gradients>,
    steps_per_epoch: u64,
    batch: usize,
    /// Steps done.
    step: u64,
    /// Of the epoch: sum of losses, images classified right, seconds of training.
    epoch_loss: f64,
    epoch_correct: u64,
    epoch_secs: f64,
    /// Seconds of training over all epochs.
    train_secs: f64,
}

impl<'a> Run<'a> {
    pub(crate) fn new(trial: &'a Trial, data: &'a Dataset) -> Result<Self, TrialError> {
        let record = &trial.record;
        let images = data.train.len();
        if images == 0 {
            return Err(TrialError::NoImages { held_out: data.validation.len() });
        }
        let context = Context::best().with(numerics(&record.training));
        let mut network = Network::new(trial.graph(), record.seed, &context);
        let optimizer = OptimizerState::new(&record.training, network.parameters().map(|p| p.values().len()));
        let average = match record.training.average {
            Average::None => None,
            Average::Polyak { decay } => Some(WeightAverage::new(&mut network, decay)),
        };
        // A batch is never larger than the set, so an epoch has at least one step.
        let batch = record.training.batch.min(images);
        Ok(Self {
            record,
            data,
            normalisation: data.normalisation(),
            context,
            network,
            optimizer,
            average,
            gradients: Some(Gradients::default()),
            steps_per_epoch: (images / batch) as u64,
            batch,
            step: 0,
            epoch_loss: 0.0,
            epoch_correct: 0,
            epoch_secs: 0.0,
            train_secs: 0.0,
        })
    }

    /// One pass over the training images. `Some(step)` if the loss stopped being
    /// finite there.
    fn train_epoch(
        &mut self,
        epoch: u64,
        index: usize,
        progress: &Progress,
    ) -> Result<Option<u64>, TrialError> {
        let order = epoch_order(self.data.train.len(), derive_seed(self.record.seed, "order", epoch, 0));
        (self.epoch_loss, self.epoch_correct) = (0.0, 0);
        let began = Instant::now();
        for (done, indices) in (1u64..).zip(order.chunks_exact(self.batch)) {
            let loss = self.train_step(epoch, indices)?;
            self.epoch_secs = began.elapsed().as_secs_f64();
            if !loss.is_finite() {
                self.train_secs += self.epoch_secs;
                return Ok(Some(self.step));
            }
            self.epoch_loss += loss;
            let images_per_sec = (done * self.batch as u64) as f64 / self.epoch_secs;
            let (step, epoch) = (self.step, epoch + 1);
            progress.tell(Event::Step { trial: index, step, epoch, loss, images_per_sec });
        }
        self.train_secs += self.epoch_secs;
        Ok(None)
    }

    /// One step on the images with these indices; returns the loss before it.
    pub(crate) fn train_step(&mut self, epoch: u64, indices: &[u32]) -> Result<f64, TrialError> {
        let Record { training, data: spec, seed, .. } = self.record;
        let shape = self.data.shape();
        let shape = MapShape::new(shape.h, shape.w, shape.c);
        let mut images = self.context.pool.take(indices.len() * shape.len());
        let mut labels = Vec::with_capacity(indices.len());
        let augment_seed = |image: u32| derive_seed(*seed, "augment", epoch, image.into());
        let (split, normalisation) = (&self.data.train, &self.normalisation);
        fill_batch(split, indices, &spec.augment, augment_seed, normalisation, &mut images, &mut labels)?;

        let mut recorder = Recorder::training(&self.context, self.gradients.take().unwrap_or_default());
        let images = recorder.input_buffer(shape, images)?;
        let dropout_seed = derive_seed(*seed, "dropout", epoch, self.step);
        let logits = self.network.forward(&mut recorder, images, dropout_seed)?;
        self.epoch_correct += count_correct(&logits, &labels)?;
        let loss = recorder.cross_entropy(&logits, &labels, training.label_smoothing as f32)?;
        drop(logits);
        let value = f64::from(loss.value());
        let mut gradients = loss.backward(recorder)?;

        let (steps_per_epoch, batch, epochs) =
            (self.steps_per_epoch, self.batch as u64, training.epochs as u64);
        let rate = training.schedule.rate(self.step, steps_per_epoch, batch, epochs);
        self.step += 1;
        self.optimizer.step(&mut self.network, &mut gradients, rate);
        if let Some(average) = &mut self.average {
            average.update(&mut self.network);
        }
        gradients.clear(self.network.parameters());
        self.gradients = Some(gradients);
        Ok(value)
    }

    /// The rows of the epoch that has just been trained.
    fn rows(&mut self, epoch: u64) -> Result<(MetricsRow, TimingRow), TrialError> {
        let images = self.steps_per_epoch * self.batch as u64;
        let training = &self.record.training;
        let rate = training.schedule.rate(
            self.step - 1,
            self.steps_per_epoch,
            self.batch as u64,
            training.epochs as u64,
        );
        let validation = &self.data.validation;
        let (raw, averaged) =
            if validation.is_empty() { (None, None) } else { self.score(Images::Validation)? };
        let metrics = MetricsRow {
            epoch: epoch + 1,
            step: self.step,
            samples: self.step * self.batch as u64,
            learning_rate: rate,
            train_loss: self.epoch_loss / self.steps_per_epoch as f64,
            train_accuracy: self.epoch_correct as f64 / images as f64,
            validation_loss: raw.as_ref().map(|scores| scores.loss),
            validation_accuracy: raw.as_ref().map(|scores| scores.accuracy),
            averaged_validation_loss: averaged.as_ref().map(|scores| scores.loss),
            averaged_validation_accuracy: averaged.as_ref().map(|scores| scores.accuracy),
        };
        let wall_secs = self.epoch_secs;
        let timing = TimingRow { epoch: epoch + 1, wall_secs, images_per_sec: images as f64 / wall_secs };
        Ok((metrics, timing))
    }

    /// Reads the test set, once.
    fn test(&mut self) -> Result<Status, TrialError> {
        let (raw, averaged) = self.score(Images::Test)?;
        let finite = [&raw, &averaged].into_iter().flatten().all(|scores| scores.loss.is_finite());
        let outcome = if finite { Outcome::Finished } else { Outcome::Diverged { step: self.step } };
        let mut status = self.status(outcome);
        (status.test, status.averaged_test) = (raw, averaged);
        Ok(status)
    }

    /// Scores of the raw weights, and of the averaged ones where they are kept.
    fn score(&mut self, images: Images) -> Result<(Option<Scores>, Option<Scores>), TrialError> {
        let split = match images {
            Images::Validation => &self.data.validation,
            Images::Test => &self.data.test,
        };
        let score = |network: &mut Network| {
            evaluate(network, split, &self.normalisation, self.record.training.batch, &self.context)
        };
        let raw = score(&mut self.network)?;
        let Some(average) = &mut self.average else { return Ok((Some(raw), None)) };
        average.swap(&mut self.network);
        let averaged = score(&mut self.network);
        average.swap(&mut self.network);
        Ok((Some(raw), Some(averaged?)))
    }

    /// Writes the weights that the run is judged by: the averaged ones where they
    /// are kept.
    fn keep_weights(&mut self, trial: &Trial, path: &Path) -> Result<(), TrialError> {
        if let Some(average) = &mut self.average {
            average.swap(&mut self.network);
        }
        let network = &self.network;
        write(path, Naming::Decouple, &description(trial), |id| network.values(id).into())?;
        Ok(())
    }

    fn status(&self, outcome: Outcome) -> Status {
        Status {
            format: FORMAT,
            outcome,
            test: None,
            averaged_test: None,
            steps: self.step,
            train_secs: self.train_secs,
            images_per_sec: (self.step * self.batch as u64) as f64 / self.train_secs,
            peak_bytes: Some(self.context.pool.peak_bytes() as u64),
            threads: rayon::current_num_threads(),
            finished_at: timestamp(SystemTime::now()),
        }
    }
}

/// How exact the kernels have to be, in their words.
fn numerics(training: &TrainingSpec) -> Numerics {
    let winograd = match training.winograd {
        Winograd::Off => kernels::Winograd::Off,
        Winograd::F2 => kernels::Winograd::F2,
        Winograd::F4 => kernels::Winograd::F4,
    };
    let precision = match training.precision {
        Precision::F32 => kernels::Precision::F32,
        Precision::Bf16 => kernels::Precision::Bf16,
    };
    Numerics { winograd, precision }
}

/// Which images are scored.
#[derive(Clone, Copy)]
enum Images {
    Validation,
    Test,
}
