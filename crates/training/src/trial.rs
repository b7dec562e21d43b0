//! The training loop.

use std::{
    path::Path,
    time::{Instant, SystemTime},
};

use decouple_datasets::{
    Batch, BatchError, DataError, Dataset, Normalisation, PixelBatch, derive_seed, epoch_order, fill_batch,
    stream::{Batches, Order, Part},
};
use decouple_experiment::{
    Average, FORMAT, LedgerError, MetricsRow, Outcome, Precision, Record, RunWriter, Scores, Status,
    TimingRow, TrainingSpec, Trial, Winograd, timestamp,
};
use decouple_kernels::{
    layout::BatchLayout,
    numerics::{self, Numerics},
};
use decouple_spectrum::{
    backend::{Backend, ExecutionError, Executor, Pass, State},
    graph::ParameterId,
    weights::{error::WeightError, names::Naming},
};

use crate::{
    diagnosis::description,
    evaluation::{count_correct, evaluate, evaluate_streamed},
    init,
    loss::{LossError, Targets, softmax_cross_entropy},
    optimizer::update,
    progress::{Event, Progress},
    weights::save,
};

/// The file in a run's folder with its trained weights.
pub const WEIGHTS_FILE: &str = "weights.safetensors";

/// Why a trial could not be carried out. A loss that is not finite is no
/// error: it ends the run as diverged.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The network could not be executed.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    /// The labels do not fit the network.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// A batch could not be filled.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A streamed set could not be read on.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Images with none or several labels, of which one is needed.
    #[error("data: images with any number of labels, and the loss of this run needs one an image")]
    Labels,
    /// Fewer images than the set was said to have.
    #[error(
        "data: the epoch ended before its {expected} images; files that are no sound images were left out, or \
         `data.images` counts more than there are"
    )]
    EndOfData {
        /// Images an epoch has.
        expected: usize,
    },
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
/// epoch. Executed on `backend`, which works on rayon's current pool; the rows and scores are a function of
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
    backend: &dyn Backend,
    writer: &mut RunWriter,
    progress: &Progress,
) -> Result<Status, TrialError> {
    let mut under_way = UnderWay::begin(trial, index, data, backend, progress)?;
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
        backend: &dyn Backend,
        progress: &Progress,
    ) -> Result<Self, TrialError> {
        let run = Run::new(trial, data, backend)?;
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
#[derive(Debug)]
pub struct Run<'a> {
    record: &'a Record,
    data: &'a Dataset,
    normalisation: Normalisation,
    network: Box<dyn Executor>,
    images: Batch,
    /// Of the logits of a step.
    gradient: Vec<f32>,
    /// What the epoch's batches come from, if the set is streamed.
    stream: Option<Batches>,
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

/// All that a training needs to go on, as if nothing had been between.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    /// Steps done.
    pub step: u64,
    /// Of the epoch so far: the sum of the losses.
    pub epoch_loss: f64,
    /// Of the epoch so far: images classified right.
    pub epoch_correct: u64,
    /// Whatever is kept of each parameter. Gradients are not: a step makes its own.
    pub arrays: Vec<(State, ParameterId, Vec<f32>)>,
}

/// What a [`Position`] keeps of each parameter.
const KEPT: [State; 4] = [State::Value, State::First, State::Second, State::Average];

impl<'a> Run<'a> {
    /// Before the first step.
    ///
    /// # Errors
    /// [`TrialError`] without an image to train on, or if `backend` does not take
    /// the network.
    pub fn new(trial: &'a Trial, data: &'a Dataset, backend: &dyn Backend) -> Result<Self, TrialError> {
        let record = &trial.record;
        let images = data.images(Part::Train);
        if images == 0 {
            return Err(TrialError::NoImages { held_out: data.images(Part::Validation) });
        }
        if let Some(&mixing) = record.data.augment.iter().find(|step| step.is_mixing()) {
            return Err(BatchError::Mixing(mixing).into());
        }
        let network = init::start(&trial.graph, record.seed, backend, numerics(&record.training))?;
        // A batch is never larger than the set, so an epoch has at least one step.
        let batch = record.training.batch.min(images);
        Ok(Self {
            record,
            data,
            normalisation: data.normalisation(),
            network,
            images: Batch::default(),
            gradient: Vec::new(),
            stream: None,
            steps_per_epoch: (images / batch) as u64,
            batch,
            step: 0,
            epoch_loss: 0.0,
            epoch_correct: 0,
            epoch_secs: 0.0,
            train_secs: 0.0,
        })
    }

    /// The network as it is.
    pub fn network(&self) -> &dyn Executor {
        &*self.network
    }

    /// Where the training stands.
    pub fn position(&self) -> Position {
        let ids = (0..self.network.plan().graph.parameters.len()).map(ParameterId);
        let arrays = ids.flat_map(|id| KEPT.map(|what| (what, id, self.network.read(what, id))));
        Position {
            step: self.step,
            epoch_loss: self.epoch_loss,
            epoch_correct: self.epoch_correct,
            arrays: arrays.filter(|(_, _, values)| !values.is_empty()).collect(),
        }
    }

    /// Goes on from `position`, which is one of the same trial.
    ///
    /// # Errors
    /// [`ExecutionError`] if its arrays are not those of the network.
    pub fn go_on_from(&mut self, position: &Position) -> Result<(), ExecutionError> {
        for (what, id, values) in &position.arrays {
            self.network.write(*what, *id, values)?;
        }
        self.step = position.step;
        (self.epoch_loss, self.epoch_correct) = (position.epoch_loss, position.epoch_correct);
        Ok(())
    }

    /// One pass over the training images, or what is left of it. `Some(step)` if the
    /// loss stopped being finite there.
    ///
    /// # Errors
    /// [`TrialError`].
    pub fn train_epoch(
        &mut self,
        epoch: u64,
        index: usize,
        progress: &Progress,
    ) -> Result<Option<u64>, TrialError> {
        let order = epoch_order(self.data.train.len(), derive_seed(self.record.seed, "order", epoch, 0));
        let earlier = self.step.saturating_sub(epoch * self.steps_per_epoch);
        self.begin_stream(epoch, earlier as usize);
        let began = Instant::now();
        for (done, place) in (1u64..).zip(earlier..self.steps_per_epoch) {
            let begin = place as usize * self.batch;
            // A streamed set has an order of its own.
            let indices = order.get(begin..begin + self.batch).unwrap_or_default();
            let loss = self.train_step(epoch, indices)?;
            self.epoch_secs = began.elapsed().as_secs_f64();
            if !loss.is_finite() {
                self.train_secs += self.epoch_secs;
                return Ok(Some(self.step));
            }
            let images_per_sec = (done * self.batch as u64) as f64 / self.epoch_secs;
            let (step, epoch) = (self.step, epoch + 1);
            progress.tell(Event::Step { trial: index, step, epoch, loss, images_per_sec });
        }
        self.train_secs += self.epoch_secs;
        Ok(None)
    }

    /// One step on the images with these indices; returns the loss before it.
    ///
    /// # Errors
    /// [`TrialError`].
    pub fn train_step(&mut self, epoch: u64, indices: &[u32]) -> Result<f64, TrialError> {
        let Record { training, data: spec, seed, .. } = self.record;
        if self.step.is_multiple_of(self.steps_per_epoch) {
            (self.epoch_loss, self.epoch_correct) = (0.0, 0);
        }
        let augment_seed = |image: u32| derive_seed(*seed, "augment", epoch, image.into());
        let (split, normalisation) = (&self.data.train, &self.normalisation);
        let n = match &mut self.stream {
            Some(stream) => {
                let expected = self.data.images(Part::Train);
                let pixels = stream.next().transpose()?.ok_or(TrialError::EndOfData { expected })?;
                let layout = self.network.batch_layout(pixels.len());
                fill_from(&pixels, normalisation, &layout, &mut self.images)?;
                pixels.len()
            }
            None => {
                let (layout, images) = (self.network.batch_layout(indices.len()), &mut self.images);
                fill_batch(split, indices, &spec.augment, augment_seed, normalisation, &layout, images)?;
                indices.len()
            }
        };

        let dropout_seed = derive_seed(*seed, "dropout", epoch, self.step);
        let pass = Pass::Training { dropout_seed };
        let logits = self.network.forward(&self.images.values, n, pass)?;
        let classes = self.network.plan().graph.output().len();
        let labels = &self.images.labels;
        self.epoch_correct += count_correct(&logits, classes, labels);
        let targets = Targets::Labels { labels, smoothing: training.label_smoothing };
        let loss = softmax_cross_entropy(&logits, classes, targets, &mut self.gradient)?;
        self.epoch_loss += loss;
        self.network.backward(&self.gradient)?;

        let rate = self.rate(self.step);
        self.step += 1;
        self.network.step(&update(training, rate, self.step))?;
        Ok(loss)
    }

    /// The learning rate of step `step`, counted from 0.
    fn rate(&self, step: u64) -> f64 {
        let training = &self.record.training;
        training.schedule.rate(step, self.steps_per_epoch, self.batch as u64, training.epochs as u64)
    }

    /// Starts the workers that make what is left of the epoch's batches, if the set is
    /// streamed.
    fn begin_stream(&mut self, epoch: u64, earlier: usize) {
        let order = Order::Shuffled { seed: self.record.seed, epoch };
        let augment = &self.record.data.augment;
        let workers = rayon::current_num_threads();
        self.stream = (self.data.stream.as_ref()).map(|stream| {
            stream.batches(Part::Train, order, self.batch, augment, workers).skip_batches(earlier)
        });
    }

    /// The rows of the epoch that has just been trained.
    fn rows(&mut self, epoch: u64) -> Result<(MetricsRow, TimingRow), TrialError> {
        let images = self.steps_per_epoch * self.batch as u64;
        let validation = self.data.images(Part::Validation);
        let (raw, averaged) = if validation == 0 { (None, None) } else { self.score(Part::Validation)? };
        let metrics = MetricsRow {
            epoch: epoch + 1,
            step: self.step,
            samples: self.step * self.batch as u64,
            learning_rate: self.rate(self.step - 1),
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
        let (raw, averaged) = self.score(Part::Test)?;
        let finite = [&raw, &averaged].into_iter().flatten().all(|scores| scores.loss.is_finite());
        let outcome = if finite { Outcome::Finished } else { Outcome::Diverged { step: self.step } };
        let mut status = self.status(outcome);
        (status.test, status.averaged_test) = (raw, averaged);
        Ok(status)
    }

    /// Scores of the raw weights, and of the averaged ones where they are kept.
    fn score(&mut self, part: Part) -> Result<(Option<Scores>, Option<Scores>), TrialError> {
        let raw = self.score_weights(part)?;
        if self.record.training.average == Average::None {
            return Ok((Some(raw), None));
        }
        self.network.exchange_average();
        let averaged = self.score_weights(part);
        self.network.exchange_average();
        Ok((Some(raw), Some(averaged?)))
    }

    /// Scores of the weights as they are.
    fn score_weights(&mut self, part: Part) -> Result<Scores, TrialError> {
        let (normalisation, batch) = (&self.normalisation, self.record.training.batch);
        match &self.data.stream {
            Some(stream) => evaluate_streamed(&mut *self.network, stream, part, normalisation, batch),
            None => evaluate(&mut *self.network, self.data.split(part), normalisation, batch),
        }
    }

    /// Writes the weights that the run is judged by: the averaged ones where they
    /// are kept.
    fn keep_weights(&mut self, trial: &Trial, path: &Path) -> Result<(), TrialError> {
        self.network.exchange_average();
        Ok(save(&*self.network, path, Naming::Decouple, &description(trial))?)
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
            peak_bytes: Some(self.network.peak_bytes()),
            threads: rayon::current_num_threads(),
            finished_at: timestamp(SystemTime::now()),
        }
    }
}

/// Fills a batch from one of a streamed set.
fn fill_from(
    pixels: &PixelBatch,
    normalisation: &Normalisation,
    layout: &BatchLayout,
    batch: &mut Batch,
) -> Result<(), TrialError> {
    batch.labels.clear();
    batch.labels.extend_from_slice(pixels.labels.as_single().ok_or(TrialError::Labels)?);
    Ok(pixels.write(normalisation, layout, &mut batch.values)?)
}

/// How exact the kernels have to be, in their words.
fn numerics(training: &TrainingSpec) -> Numerics {
    let winograd = match training.winograd {
        Winograd::Off => numerics::Winograd::Off,
        Winograd::F2 => numerics::Winograd::F2,
        Winograd::F4 => numerics::Winograd::F4,
    };
    let precision = match training.precision {
        Precision::F32 => numerics::Precision::F32,
        Precision::Bf16 => numerics::Precision::Bf16,
    };
    Numerics { winograd, precision }
}
