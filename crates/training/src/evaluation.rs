//! Scores of a network on images that it is not trained on.

use decouple_core_ops::{Context, FeatureMap, MapShape, OpError, Recorder};
use decouple_datasets::{Normalisation, Split, fill_batch};
use decouple_experiment::Scores;

use crate::{network::Network, trial::TrialError};

/// Loss and accuracy of `network` over all of `split`, in inference, `batch`
/// images at a time. The result does not depend on `batch`.
///
/// # Errors
/// [`TrialError`] if the images do not fit the network.
pub fn evaluate(
    network: &mut Network,
    split: &Split,
    normalisation: &Normalisation,
    batch: usize,
    context: &Context,
) -> Result<Scores, TrialError> {
    let shape = MapShape::new(split.shape.h, split.shape.w, split.shape.c);
    let (mut loss, mut correct, mut in_top5) = (0.0, 0, 0);
    let mut labels = Vec::new();
    let indices: Vec<u32> = (0..split.len() as u32).collect();
    for indices in indices.chunks(batch.max(1)) {
        let mut images = context.pool.take(indices.len() * shape.len());
        fill_batch(split, indices, &[], |_| 0, normalisation, &mut images, &mut labels)?;
        let mut recorder = Recorder::inference(context);
        let images = recorder.input_buffer(shape, images)?;
        let logits = network.forward(&mut recorder, images, 0)?;
        // Summed image by image in f64, so that the batch does not matter.
        for (row, &label) in rows(&logits)?.zip(&labels) {
            loss += cross_entropy(row, label);
            let rank = rank(row, label);
            correct += u64::from(rank == 0);
            in_top5 += u64::from(rank < 5);
        }
    }
    let n = split.len().max(1) as f64;
    Ok(Scores {
        images: split.len() as u64,
        loss: loss / n,
        accuracy: correct as f64 / n,
        top5_accuracy: (network.graph().output().len() > 5).then_some(in_top5 as f64 / n),
    })
}

/// How many images of a batch have their label as the most likely class.
pub(crate) fn count_correct(logits: &FeatureMap, labels: &[u16]) -> Result<u64, OpError> {
    Ok(rows(logits)?.zip(labels).map(|(row, &label)| u64::from(rank(row, label) == 0)).sum())
}

fn rows(logits: &FeatureMap) -> Result<impl Iterator<Item = &[f32]>, OpError> {
    Ok(logits.values()?.chunks_exact(logits.shape().len()))
}

/// Classes that stand before `label`: those with a larger logit, and those
/// before it with the same. Logits that are not numbers rank last, so a broken
/// network is never right by accident.
fn rank(row: &[f32], label: u16) -> usize {
    let label = usize::from(label);
    let own = row[label];
    if own.is_nan() {
        return row.len();
    }
    row.iter().enumerate().filter(|&(class, &logit)| logit > own || (logit == own && class < label)).count()
}

/// -log softmax(row)[label], shifted by the largest logit.
fn cross_entropy(row: &[f32], label: u16) -> f64 {
    let largest = row.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let sum: f64 = row.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
    sum.ln() - f64::from(row[usize::from(label)] - largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_and_losses_of_rows() {
        assert_eq!(rank(&[1.0, 3.0, 2.0], 1), 0);
        assert_eq!(rank(&[1.0, 3.0, 2.0], 0), 2);
        assert_eq!(rank(&[2.0, 2.0, 0.0], 1), 1, "of equal logits the first class wins");
        assert_eq!(rank(&[f32::NAN; 3], 0), 3);
        let expected = -(3f64.exp() / (1f64.exp() + 3f64.exp() + 2f64.exp())).ln();
        assert!((cross_entropy(&[1.0, 3.0, 2.0], 1) - expected).abs() < 1e-12);
        assert!(cross_entropy(&[1e30, -1e30], 1) > 1e30);
    }
}
