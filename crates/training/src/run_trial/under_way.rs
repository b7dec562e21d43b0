//! A training in progress: epochs, steps and scores.

use std::time::Instant;

use decouple_datasets::{
    Batch, Dataset, Labels, Normalisation, derive_seed, epoch_order, fill_batch,
    stream::{BatchOrder, Batches, Part},
};
use decouple_disk::Target;
use decouple_experiment::{
    Average, MetricsRow, Outcome, Record, RunWriter, Scores, Status, TimingRow, Trial,
};
use decouple_spectrum::{
    backend::{Backend, Executor, Pass},
    weights::names::Naming,
};

use crate::{
    classifier::images,
    error::TrialError,
    evaluation::{Answers, answer_part, count_correct},
    keeper::{Between, Keeper},
    machine_faults::status_now,
    objective::Objective,
    optimizer::update,
    progress::News,
    start_values,
    stored_network::{self, WEIGHTS_FILE, description},
};

/// A training in progress.
#[derive(Debug)]
pub struct Training<'a> {
    pub(super) record: &'a Record,
    pub(super) data: &'a Dataset,
    pub(super) normalisation: Normalisation,
    pub(super) network: Box<dyn Executor>,
    pub(super) images: Batch,
    pub(super) labels: Labels,
    pub(super) objective: Objective,
    /// Of the logits of a step.
    pub(super) gradient: Vec<f32>,
    /// The source of the epoch's batches, if the set is streamed.
    pub(super) stream: Option<Batches>,
    pub(super) steps_per_epoch: u64,
    pub(super) batch: usize,
    /// Steps done.
    pub(super) step: u64,
    /// Of the epoch: sum of losses, images classified right, seconds of training.
    pub(super) epoch_loss: f64,
    pub(super) epoch_correct: u64,
    pub(super) epoch_secs: f64,
    /// Seconds of training over all epochs.
    pub(super) train_secs: f64,
}

impl<'a> Training<'a> {
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
        let weights_seed = record.weights_seed();
        let network =
            start_values::start(&trial.graph(), weights_seed, backend, record.training.arithmetic())?;
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

    /// One pass over the training images, or the rest of it after a checkpoint.
    pub(super) fn train_epoch(&mut self, epoch: u64, mut keeper: Keeper<'_>) -> Result<EpochEnd, TrialError> {
        let seed = derive_seed(self.record.order_seed(), "order", epoch, 0);
        let order = epoch_order(self.data.train.len(), seed);
        let before = self.step - epoch * self.steps_per_epoch;
        if before == 0 {
            self.epoch_secs = 0.0;
        }
        self.begin_stream(epoch, before as usize);
        let (mut began, secs_before) = (Instant::now(), self.epoch_secs);
        for place in before..self.steps_per_epoch {
            let begin = place as usize * self.batch;
            // A streamed set has its own order.
            let indices = order.get(begin..begin + self.batch).unwrap_or_default();
            let loss = self.train_step(epoch, indices)?;
            self.epoch_secs = secs_before + began.elapsed().as_secs_f64();
            if !loss.is_finite() {
                self.train_secs += self.epoch_secs;
                return Ok(EpochEnd::Diverged { step: self.step });
            }
            let (step, epoch) = (self.step, epoch + 1);
            keeper.progress.tell(keeper.trial, News::Step { step, epoch, loss });
            let saving = Instant::now();
            if keeper.between_steps(|| self.state(epoch - 1))? == Between::Stop {
                return Ok(EpochEnd::Stopped { step });
            }
            // The clock of training is paused while a checkpoint is written.
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
                (self.labels, self.images.mixes) = (pixels.labels, pixels.mixes);
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
        let labels = (&self.labels, &self.images.mixes[..]);
        let loss = self.objective.loss(&logits, classes, labels, &mut self.gradient)?;
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

    /// Starts the workers that prepare the rest of the epoch's batches, if the set is streamed.
    fn begin_stream(&mut self, epoch: u64, earlier: usize) {
        let order = BatchOrder::Shuffled { seed: self.record.order_seed(), epoch };
        let augment = &self.record.data.augment;
        let workers = rayon::current_num_threads();
        self.stream = (self.data.stream.as_ref()).map(|stream| {
            stream.batches(Part::Train, order, self.batch, augment, workers).skip_batches(earlier)
        });
    }

    /// The rows of the epoch that has just been trained.
    pub(super) fn rows(&mut self, epoch: u64) -> Result<(MetricsRow, TimingRow), TrialError> {
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
    pub(super) fn test(&mut self) -> Result<(Status, Answers), TrialError> {
        let (raw, averaged, answers) = self.score(Part::Test)?;
        let finite = [&raw, &averaged].into_iter().flatten().all(|scores| scores.loss.is_finite());
        let mut status = self.status(self.outcome(finite));
        (status.test, status.averaged_test) = (raw, averaged);
        Ok((status, answers))
    }

    /// Scores of the last weights, and of the averaged ones where they are kept; also the
    /// per-image results of the weights that the run is judged by, which are the averaged ones
    /// if there are any.
    fn score(&mut self, part: Part) -> Result<(Option<Scores>, Option<Scores>, Answers), TrialError> {
        let batch = self.batch;
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
    pub(super) fn keep_weights(&mut self, trial: &Trial, writer: &RunWriter) -> Result<(), TrialError> {
        writer.check()?;
        self.network.exchange_average();
        let path = writer.dir().join(WEIGHTS_FILE);
        let (target, images) = (Target::On(writer.disk(), &path), images(self.data));
        Ok(stored_network::save(
            &*self.network,
            target,
            Naming::Decouple,
            &description(trial),
            Some(&images),
        )?)
    }

    /// How it ends after its last step, whose scores are finite or not.
    pub(super) fn outcome(&self, is_finite: bool) -> Outcome {
        if is_finite { Outcome::Finished } else { Outcome::Diverged { step: self.step } }
    }

    pub(super) fn status(&self, outcome: Outcome) -> Status {
        Status {
            steps: self.step,
            train_secs: self.train_secs,
            images_per_sec: (self.step * self.batch as u64) as f64 / self.train_secs,
            peak_bytes: Some(self.network.peak_bytes()),
            ..status_now(outcome)
        }
    }
}

/// How a pass over the training images ended.
pub(super) enum EpochEnd {
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
