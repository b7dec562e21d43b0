//! The training loop.

use std::time::{Instant, SystemTime};

use decouple_datasets::{
    Batch, BatchError, DataError, Dataset, Labels, Normalisation, derive_seed, epoch_order, fill_batch,
    stream::{Batches, Order, Part},
};
use decouple_disk::Target;
use decouple_experiment::{
    Average, FORMAT, LedgerError, MetricsRow, NUMERICS_VERSION, Outcome, Precision, Record, RunWriter,
    Scores, Status, TimingRow, TrainingSpec, Trial, Winograd, per_image, timestamp,
};
use decouple_kernels::numerics::{self, Numerics};
use decouple_spectrum::{
    backend::{Backend, ExecutionError, Executor, Pass},
    weights::{error::WeightError, names::Naming},
};

use crate::{
    checkpoint::{self, Owner},
    classifier::images,
    diagnosis::description,
    evaluation::{Answers, answer_part, count_correct},
    init,
    keeper::{Between, Keeper, Pace, Stop, save},
    loss::LossError,
    objective::Objective,
    optimizer::update,
    progress::{Event, Progress},
    weights,
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
    /// MAP@100 over images without a label that counts.
    #[error(
        "data: no image to be scored has a label, or none whose class counts in `data.score-weights`: MAP@100 has \
         nothing to find"
    )]
    NothingToFind,
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
    /// It was asked to stop, and can go on from a checkpoint. No end of a trial.
    #[error("stopped after step {step}, to go on from there")]
    Interrupted {
        /// Steps done.
        step: u64,
    },
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
/// A run that was cut off goes on from its newest sound checkpoint, to the same end as if it had not been.
///
/// # Errors
/// [`TrialError`]; whatever happens, rows and checkpoints that were written stay.
pub fn run_trial(
    trial: &Trial,
    index: usize,
    data: &Dataset,
    backend: &dyn Backend,
    writer: &mut RunWriter,
    stop: &Stop,
    progress: &Progress,
) -> Result<Status, TrialError> {
    let mut under_way = UnderWay::begin(trial, index, data, backend, writer, progress)?;
    if let Some(diverged) = under_way.advance(trial.record.training.epochs as u64, writer, stop, progress)? {
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
    owner: Owner,
    pace: Pace,
}

impl<'a> UnderWay<'a> {
    /// Begins, or goes on from the newest sound checkpoint in the writer's folder.
    pub(crate) fn begin(
        trial: &'a Trial,
        index: usize,
        data: &'a Dataset,
        backend: &dyn Backend,
        writer: &mut RunWriter,
        progress: &Progress,
    ) -> Result<Self, TrialError> {
        let mut run = Run::new(trial, data, backend)?;
        let steps = trial.record.training.epochs as u64 * run.steps_per_epoch;
        progress.tell(Event::Started { trial: index, steps });
        let owner = Owner { run: trial.id, data: data.checksum.clone(), numerics: NUMERICS_VERSION };
        let mut accuracies = Vec::new();
        let mut epochs = 0;
        if let Some(found) = newest_checkpoint(writer, &owner, index, progress)? {
            if run.restore(&found.state)? {
                let [metrics, timing] = &found.tables;
                accuracies = writer.restore([metrics, timing])?.iter().map(shown_accuracy).collect();
                epochs = found.state.position.epochs;
                progress.tell(Event::Resumed { trial: index, step: found.state.position.step });
            } else {
                // Nothing was changed.
                let message = "its checkpoint is not of this network; it starts afresh".to_owned();
                progress.tell(Event::Warned { trial: index, message });
            }
        }
        let pace = Pace::new(run.state(0).arrays.iter().map(|array| 4 * array.values.len()).sum());
        Ok(Self { trial, index, run, epochs, accuracies, owner, pace })
    }

    /// Trains until `epochs` are done, a row each. The status, if it diverged.
    pub(crate) fn advance(
        &mut self,
        epochs: u64,
        writer: &mut RunWriter,
        stop: &Stop,
        progress: &Progress,
    ) -> Result<Option<Status>, TrialError> {
        while self.epochs < epochs {
            let mut warn = |message| progress.tell(Event::Warned { trial: self.index, message });
            let keeper = Keeper { writer, pace: &mut self.pace, owner: &self.owner, stop, warn: &mut warn };
            match self.run.train_epoch(self.epochs, self.index, keeper, progress)? {
                EpochEnd::Whole => {}
                EpochEnd::Diverged { step } => {
                    return Ok(Some(self.run.status(Outcome::Diverged { step })));
                }
                EpochEnd::Stopped { step } => return Err(TrialError::Interrupted { step }),
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

    /// Steps done.
    pub(crate) fn step(&self) -> u64 {
        self.run.step
    }

    /// The accuracies after each epoch so far.
    pub(crate) fn accuracies(&self) -> &[f64] {
        &self.accuracies
    }

    /// Saves it where it is.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn save(&mut self, writer: &RunWriter) -> Result<(), LedgerError> {
        writer.check()?;
        let path = writer.dir().to_owned();
        let action = "save a checkpoint in";
        let saved = save(writer, &self.owner, self.run.state(self.epochs));
        saved.map_err(|source| LedgerError::Io { action, path, source })
    }

    /// Scores the test images, and keeps how each of them is classified and the weights.
    pub(crate) fn finish(mut self, writer: &RunWriter) -> Result<Status, TrialError> {
        let (status, answers) = self.run.test()?;
        if status.outcome == Outcome::Finished {
            let path = writer.dir().join(per_image::FILE_NAME);
            per_image::write(writer.disk(), &path, &answers.correct, &answers.losses)?;
            self.run.keep_weights(self.trial, writer)?;
        }
        Ok(status)
    }

    /// Ends it here. The test images are not read.
    pub(crate) fn stop(self) -> Status {
        self.run.status(Outcome::Stopped { epoch: self.epochs })
    }
}

/// The newest sound checkpoint of a run; those that are not sound are told.
fn newest_checkpoint(
    writer: &RunWriter,
    owner: &Owner,
    index: usize,
    progress: &Progress,
) -> Result<Option<checkpoint::Checkpoint>, LedgerError> {
    let path = writer.dir().to_owned();
    let found = checkpoint::newest(writer.disk(), writer.dir(), owner);
    let (found, warnings) =
        found.map_err(|source| LedgerError::Io { action: "read the checkpoints in", path, source })?;
    for message in warnings {
        progress.tell(Event::Warned { trial: index, message });
    }
    Ok(found)
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
    labels: Labels,
    objective: Objective,
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
        let weights_seed = record.weights_seed();
        let network = init::start(&trial.graph(), weights_seed, backend, numerics(&record.training))?;
        // A batch is never larger than the set, so an epoch has at least one step.
        let batch = record.training.batch.min(images);
        Ok(Self {
            record,
            data,
            normalisation: data.normalisation(),
            network,
            images: Batch::default(),
            labels: Labels::default(),
            objective: Objective::new(&record.training, data),
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

    /// One pass over the training images, or what is left of it after a checkpoint.
    fn train_epoch(
        &mut self,
        epoch: u64,
        index: usize,
        mut keeper: Keeper<'_>,
        progress: &Progress,
    ) -> Result<EpochEnd, TrialError> {
        let seed = derive_seed(self.record.order_seed(), "order", epoch, 0);
        let order = epoch_order(self.data.train.len(), seed);
        let before = self.step - epoch * self.steps_per_epoch;
        if before == 0 {
            self.epoch_secs = 0.0;
        }
        self.begin_stream(epoch, before as usize);
        let (mut began, secs_before) = (Instant::now(), self.epoch_secs);
        for place in before..self.steps_per_epoch {
            let (begin, done) = (place as usize * self.batch, place + 1);
            // A streamed set has an order of its own.
            let indices = order.get(begin..begin + self.batch).unwrap_or_default();
            let loss = self.train_step(epoch, indices)?;
            self.epoch_secs = secs_before + began.elapsed().as_secs_f64();
            if !loss.is_finite() {
                self.train_secs += self.epoch_secs;
                return Ok(EpochEnd::Diverged { step: self.step });
            }
            let images_per_sec = (done * self.batch as u64) as f64 / self.epoch_secs;
            let (step, epoch) = (self.step, epoch + 1);
            progress.tell(Event::Step { trial: index, step, epoch, loss, images_per_sec });
            let saving = Instant::now();
            if keeper.between_steps(|| self.state(epoch - 1))? == Between::Stop {
                return Ok(EpochEnd::Stopped { step });
            }
            // The clock of training stands still while a checkpoint is written.
            began += saving.elapsed();
        }
        self.train_secs += self.epoch_secs;
        Ok(EpochEnd::Whole)
    }

    /// One step on the images with these indices; returns the loss before it.
    ///
    /// # Errors
    /// [`TrialError`].
    pub fn train_step(&mut self, epoch: u64, indices: &[u32]) -> Result<f64, TrialError> {
        let Record { training, data: spec, .. } = self.record;
        let (order_seed, weights_seed) = (self.record.order_seed(), self.record.weights_seed());
        if self.step.is_multiple_of(self.steps_per_epoch) {
            (self.epoch_loss, self.epoch_correct) = (0.0, 0);
        }
        let augment_seed = |image: u32| derive_seed(order_seed, "augment", epoch, image.into());
        let (split, normalisation) = (&self.data.train, &self.normalisation);
        let n = match &mut self.stream {
            Some(stream) => {
                let expected = self.data.images(Part::Train);
                let pixels = stream.next().transpose()?.ok_or(TrialError::EndOfData { expected })?;
                let layout = self.network.batch_layout(pixels.len());
                pixels.write(normalisation, &layout, &mut self.images.values)?;
                self.labels = pixels.labels;
                self.labels.len()
            }
            None => {
                let (layout, images) = (self.network.batch_layout(indices.len()), &mut self.images);
                fill_batch(split, indices, &spec.augment, augment_seed, normalisation, &layout, images)?;
                self.labels = Labels::single(images.labels.clone());
                indices.len()
            }
        };

        let dropout_seed = derive_seed(weights_seed, "dropout", epoch, self.step);
        let pass = Pass::Training { dropout_seed };
        let logits = self.network.forward(&self.images.values, n, pass)?;
        let classes = self.network.plan().graph.output().len();
        self.epoch_correct += count_correct(&logits, classes, &self.labels);
        let loss = self.objective.loss(&logits, classes, &self.labels, &mut self.gradient)?;
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
        let order = Order::Shuffled { seed: self.record.order_seed(), epoch };
        let augment = &self.record.data.augment;
        let workers = rayon::current_num_threads();
        self.stream = (self.data.stream.as_ref()).map(|stream| {
            stream.batches(Part::Train, order, self.batch, augment, workers).skip_batches(earlier)
        });
    }

    /// The rows of the epoch that has just been trained.
    fn rows(&mut self, epoch: u64) -> Result<(MetricsRow, TimingRow), TrialError> {
        let images = self.steps_per_epoch * self.batch as u64;
        let (raw, averaged) = if self.data.images(Part::Validation) == 0 {
            (None, None)
        } else {
            let (raw, averaged, _) = self.score(Part::Validation)?;
            (raw, averaged)
        };
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
            validation_map_at_100: raw.as_ref().and_then(|scores| scores.map_at_100),
            averaged_validation_map_at_100: averaged.as_ref().and_then(|scores| scores.map_at_100),
        };
        let wall_secs = self.epoch_secs;
        let timing = TimingRow { epoch: epoch + 1, wall_secs, images_per_sec: images as f64 / wall_secs };
        Ok((metrics, timing))
    }

    /// Reads the test set, once.
    fn test(&mut self) -> Result<(Status, Answers), TrialError> {
        let (raw, averaged, answers) = self.score(Part::Test)?;
        let finite = [&raw, &averaged].into_iter().flatten().all(|scores| scores.loss.is_finite());
        let outcome = if finite { Outcome::Finished } else { Outcome::Diverged { step: self.step } };
        let mut status = self.status(outcome);
        (status.test, status.averaged_test) = (raw, averaged);
        Ok((status, answers))
    }

    /// Scores of the raw weights, and of the averaged ones where they are kept; and the
    /// answers of those that the run is judged by, which are the averaged ones if there are any.
    fn score(&mut self, part: Part) -> Result<(Option<Scores>, Option<Scores>, Answers), TrialError> {
        let batch = self.record.training.batch;
        let (raw, answers) = answer_part(&mut *self.network, self.data, part, batch, &self.objective)?;
        if self.record.training.average == Average::None {
            return Ok((Some(raw), None, answers));
        }
        self.network.exchange_average();
        let averaged = answer_part(&mut *self.network, self.data, part, batch, &self.objective);
        self.network.exchange_average();
        let (averaged, answers) = averaged?;
        Ok((Some(raw), Some(averaged), answers))
    }

    /// Writes the weights that the run is judged by: the averaged ones where they
    /// are kept.
    fn keep_weights(&mut self, trial: &Trial, writer: &RunWriter) -> Result<(), TrialError> {
        writer.check()?;
        self.network.exchange_average();
        let path = writer.dir().join(WEIGHTS_FILE);
        let (target, images) = (Target::On(writer.disk(), &path), images(self.data));
        Ok(weights::save(&*self.network, target, Naming::Decouple, &description(trial), Some(&images))?)
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

/// How a pass over the training images ended.
enum EpochEnd {
    Whole,
    /// The loss stopped being finite at this step.
    Diverged {
        step: u64,
    },
    /// It was asked to stop, and was saved after this step.
    Stopped {
        step: u64,
    },
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

mod state;
#[cfg(test)]
mod tests;
