//! Scores of a network on images that it is not trained on.

use decouple_datasets::{
    Batch, Dataset, Labels, fill_batch,
    stream::{BatchOrder, Part},
};
use decouple_experiment::Scores;
use decouple_spectrum::backend::{Executor, Pass};

use rayon::prelude::*;

use crate::{error::TrialError, loss::LossError, objective::Objective, ranking::first_rank};

/// A network's results on each image, in the order of the images.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Whether the most likely class is the right one.
    pub(crate) correct: Vec<bool>,
    /// The log-loss, in nats.
    pub(crate) losses: Vec<f32>,
}

/// What an image adds to the scores.
struct Answer {
    loss: f64,
    /// Classes before its first label.
    rank: usize,
    precision: Option<f64>,
}

/// Loss, accuracy and the score of the run of `network` over a part of a set, in memory or streamed, in
/// inference, `batch` images at a time. The result does not depend on `batch`.
///
/// # Errors
/// [`TrialError`] if an image cannot be read or does not fit the network.
pub fn evaluate_part(
    network: &mut dyn Executor,
    data: &Dataset,
    part: Part,
    batch: usize,
    objective: &Objective,
) -> Result<Scores, TrialError> {
    Ok(answer_part(network, data, part, batch, objective)?.0)
}

/// As [`evaluate_part`], with the network's results on each image. Memory: one batch, and a few
/// bytes per image.
pub(crate) fn answer_part(
    network: &mut dyn Executor,
    data: &Dataset,
    part: Part,
    batch: usize,
    objective: &Objective,
) -> Result<(Scores, Answers), TrialError> {
    let normalisation = data.normalisation();
    // As in training: no batch is larger than the set.
    let batch = batch.clamp(1, data.images(part).max(1));
    let mut tally = Tally { classes: network.plan().graph.output().len(), ..Tally::default() };
    let mut images = Batch::default();
    if let Some(stream) = &data.stream {
        for pixels in stream.batches(part, BatchOrder::AsStored, batch, &[], rayon::current_num_threads()) {
            let pixels = pixels?;
            let layout = network.batch_layout(pixels.len());
            pixels.write(&normalisation, &layout, &mut images.values)?;
            let logits = network.forward(&images.values, pixels.len(), Pass::Inference)?;
            tally.add(&logits, &pixels.labels, objective)?;
        }
        return tally.finish(objective);
    }
    let split = data.split(part);
    let indices: Vec<u32> = (0..split.len() as u32).collect();
    for indices in indices.chunks(batch) {
        let layout = network.batch_layout(indices.len());
        fill_batch(split, indices, &[], |_| 0, &normalisation, &layout, &mut images)?;
        let logits = network.forward(&images.values, indices.len(), Pass::Inference)?;
        tally.add(&logits, &Labels::single(images.labels.clone()), objective)?;
    }
    tally.finish(objective)
}

/// The sums over the images so far.
#[derive(Default)]
struct Tally {
    classes: usize,
    images: u64,
    loss: f64,
    correct: u64,
    in_top5: u64,
    /// Of the images that have something to find: how many, and their precisions.
    with_labels: u64,
    precision: f64,
    answers: Answers,
}

impl Tally {
    /// Adds the images of a batch, one by one in f64, so that the batch size does not matter.
    fn add(&mut self, logits: &[f32], labels: &Labels, objective: &Objective) -> Result<(), LossError> {
        let rows: Vec<&[f32]> = logits.chunks_exact(self.classes).take(labels.len()).collect();
        let of_image = |(image, row): (usize, &&[f32])| {
            let (row, own) = (*row, labels.of(image));
            let loss = objective.loss_of_image(row, own)?;
            Ok(Answer { loss, rank: first_rank(row, own), precision: objective.precision_of_image(row, own) })
        };
        let answers: Vec<Answer> =
            rows.par_iter().enumerate().map(of_image).collect::<Result<_, LossError>>()?;
        for Answer { loss, rank, precision } in answers {
            self.images += 1;
            self.loss += loss;
            self.correct += u64::from(rank == 0);
            self.in_top5 += u64::from(rank < 5);
            self.with_labels += u64::from(precision.is_some());
            self.precision += precision.unwrap_or(0.0);
            self.answers.losses.push(loss as f32);
            self.answers.correct.push(rank == 0);
        }
        Ok(())
    }

    fn finish(self, objective: &Objective) -> Result<(Scores, Answers), TrialError> {
        if self.images == 0 {
            return Err(TrialError::NothingToScore);
        }
        let n = self.images as f64;
        let map_at_100 = match (objective.is_multi_label(), self.with_labels) {
            (false, _) => None,
            (true, 0) => return Err(TrialError::NothingToFind),
            (true, images) => Some(self.precision / images as f64),
        };
        let scores = Scores {
            images: self.images,
            loss: self.loss / n,
            accuracy: self.correct as f64 / n,
            top5_accuracy: (self.classes > 5).then_some(self.in_top5 as f64 / n),
            map_at_100,
        };
        Ok((scores, self.answers))
    }
}

/// How many images of a batch have one of their labels as the most likely class.
pub(crate) fn count_correct(logits: &[f32], classes: usize, labels: &Labels) -> u64 {
    let rows = logits.chunks_exact(classes).take(labels.len()).enumerate();
    rows.map(|(image, row)| u64::from(first_rank(row, labels.of(image)) == 0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_right_if_its_first_prediction_is_a_label_of_it() {
        assert_eq!(count_correct(&[1.0, 3.0, 2.0, 0.0], 2, &Labels::single(vec![1, 1])), 1);
        let mut labels = Labels::default();
        labels.push(&[0, 1]);
        labels.push(&[]);
        assert_eq!(count_correct(&[1.0, 3.0, 2.0, 0.0], 2, &labels), 1);
    }
}
