//! Scores of a network on images that it is not trained on.

use decouple_datasets::{
    Batch, Dataset, Normalisation, Split, fill_batch,
    stream::{Order, Part},
};
use decouple_experiment::Scores;
use decouple_spectrum::backend::{Executor, Pass};

use crate::{loss::cross_entropy_of, trial::TrialError};

/// Loss and accuracy of `network` over all of `split`, in inference, `batch`
/// images at a time. The result does not depend on `batch`.
///
/// # Errors
/// [`TrialError`] if the images do not fit the network.
pub fn evaluate(
    network: &mut dyn Executor,
    split: &Split,
    normalisation: &Normalisation,
    batch: usize,
) -> Result<Scores, TrialError> {
    Ok(answer(network, split, normalisation, batch)?.0)
}

/// How a network does on each image, in the order of the images.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Whether the most likely class is the right one.
    pub(crate) correct: Vec<bool>,
    /// The log-loss, in nats.
    pub(crate) losses: Vec<f32>,
}

/// As [`evaluate`], and how the network does on each image.
pub(crate) fn answer(
    network: &mut dyn Executor,
    split: &Split,
    normalisation: &Normalisation,
    batch: usize,
) -> Result<(Scores, Answers), TrialError> {
    let classes = network.plan().graph.output().len();
    let (mut loss, mut correct, mut in_top5) = (0.0, 0, 0);
    let mut answers = Answers::default();
    let mut images = Batch::default();
    let indices: Vec<u32> = (0..split.len() as u32).collect();
    for indices in indices.chunks(batch.max(1)) {
        let layout = network.batch_layout(indices.len());
        fill_batch(split, indices, &[], |_| 0, normalisation, &layout, &mut images)?;
        let logits = network.forward(&images.values, indices.len(), Pass::Inference)?;
        // Summed image by image in f64, so that the batch does not matter.
        for (row, &label) in logits.chunks_exact(classes).zip(&images.labels) {
            let own = cross_entropy_of(row, label);
            let rank = rank(row, label);
            loss += own;
            answers.losses.push(own as f32);
            answers.correct.push(rank == 0);
            correct += u64::from(rank == 0);
            in_top5 += u64::from(rank < 5);
        }
    }
    let n = split.len().max(1) as f64;
    let scores = Scores {
        images: split.len() as u64,
        loss: loss / n,
        accuracy: correct as f64 / n,
        top5_accuracy: (classes > 5).then_some(in_top5 as f64 / n),
    };
    Ok((scores, answers))
}

/// As [`evaluate`], over a part of a set, in memory or streamed.
///
/// # Errors
/// [`TrialError`] if an image cannot be read or does not fit the network.
pub fn evaluate_part(
    network: &mut dyn Executor,
    data: &Dataset,
    part: Part,
    batch: usize,
) -> Result<Scores, TrialError> {
    Ok(answer_part(network, data, part, batch)?.0)
}

/// As [`evaluate_part`], and how the network does on each image.
pub(crate) fn answer_part(
    network: &mut dyn Executor,
    data: &Dataset,
    part: Part,
    batch: usize,
) -> Result<(Scores, Answers), TrialError> {
    let normalisation = data.normalisation();
    let Some(stream) = &data.stream else {
        return answer(network, data.split(part), &normalisation, batch);
    };
    let (mut scores, mut answers) = (Vec::new(), Answers::default());
    for pixels in stream.batches(part, Order::AsStored, batch, &[], rayon::current_num_threads()) {
        let pixels = pixels?;
        let labels = pixels.labels.as_single().ok_or(TrialError::Labels)?.to_vec();
        let split = Split { shape: pixels.shape, images: pixels.pixels, labels };
        let (of_batch, own) = answer(network, &split, &normalisation, batch)?;
        scores.push(of_batch);
        answers.correct.extend(own.correct);
        answers.losses.extend(own.losses);
    }
    Ok((together(&scores), answers))
}

/// The scores of all images from those of some at a time, in their order.
fn together(scores: &[Scores]) -> Scores {
    let images: u64 = scores.iter().map(|scores| scores.images).sum();
    let mean = |of: &dyn Fn(&Scores) -> f64| {
        scores.iter().map(|scores| of(scores) * scores.images as f64).sum::<f64>() / images.max(1) as f64
    };
    let has_top5 = scores.first().is_some_and(|scores| scores.top5_accuracy.is_some());
    Scores {
        images,
        loss: mean(&|scores| scores.loss),
        accuracy: mean(&|scores| scores.accuracy),
        top5_accuracy: has_top5.then(|| mean(&|scores| scores.top5_accuracy.unwrap_or(0.0))),
    }
}

/// How many images of a batch have their label as the most likely class.
pub(crate) fn count_correct(logits: &[f32], classes: usize, labels: &[u16]) -> u64 {
    logits.chunks_exact(classes).zip(labels).map(|(row, &label)| u64::from(rank(row, label) == 0)).sum()
}

/// Classes that stand before `label`: those with a larger logit, and those
/// before it with the same. Logits that are not numbers rank last, so a broken
/// network is never right by accident. So does a class that does not exist.
fn rank(row: &[f32], label: u16) -> usize {
    let label = usize::from(label);
    let own = row.get(label).copied().unwrap_or(f32::NAN);
    if own.is_nan() {
        return row.len();
    }
    row.iter().enumerate().filter(|&(class, &logit)| logit > own || (logit == own && class < label)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_rows() {
        assert_eq!(rank(&[1.0, 3.0, 2.0], 1), 0);
        assert_eq!(rank(&[1.0, 3.0, 2.0], 0), 2);
        assert_eq!(rank(&[2.0, 2.0, 0.0], 1), 1, "of equal logits the first class wins");
        assert_eq!(rank(&[f32::NAN; 3], 0), 3);
        assert_eq!(rank(&[1.0, 2.0], 2), 2, "a class that does not exist");
        assert_eq!(count_correct(&[1.0, 3.0, 2.0, 0.0], 2, &[1, 1]), 1);
    }
}
