//! The loss and score of a run, per image and per batch, according to its record and data.

use decouple_datasets::{Dataset, Labels, Mix};
use decouple_experiment::{Loss, TrainingSpec};

use crate::loss::{LossError, Targets, cross_entropy_of, sigmoid_cross_entropy, softmax_cross_entropy};
use crate::ranking::average_precision;

/// The loss and the score of a run; by default the cross entropy of one label per image, and the accuracy.
#[derive(Clone, Debug, Default)]
pub struct Objective {
    loss: Loss,
    /// Only for one label per image: other experiments with it are refused.
    smoothing: f64,
    /// Whether images may have any number of labels.
    is_multi_label: bool,
    /// The weight of each class in the loss, and in MAP@100.
    class_weights: Option<Vec<f32>>,
    score_weights: Option<Vec<f64>>,
}

impl Objective {
    /// As `training` says, on `data`.
    pub fn new(training: &TrainingSpec, data: &Dataset) -> Self {
        let stream = data.stream.as_ref();
        Self {
            loss: training.loss,
            smoothing: training.label_smoothing,
            is_multi_label: stream.is_some_and(|stream| stream.is_multi_label()),
            class_weights: stream.and_then(|stream| stream.weights.loss.as_deref()).map(<[f32]>::to_vec),
            score_weights: stream.and_then(|stream| stream.weights.score.as_deref()).map(<[f64]>::to_vec),
        }
    }

    /// Whether images may have any number of labels, so that MAP@100 is the score.
    pub fn is_multi_label(&self) -> bool {
        self.is_multi_label
    }

    /// The mean loss over the images of `logits`, (image, class), and its gradient.
    ///
    /// The targets of an image with labels L: for the softmax, w_k / |L| for each class k in L
    /// (zero everywhere without labels); for the sigmoid, 1 for each k in L and 0 for the
    /// others, each class with weight w_k. An image that is mixed with another has the share of its own
    /// target and the rest of the other's; without `mixes`, none is.
    ///
    /// # Errors
    /// [`LossError`] if the labels do not fit the logits.
    pub fn loss(
        &self,
        logits: &[f32],
        classes: usize,
        (labels, mixes): (&Labels, &[Mix]),
        gradient: &mut Vec<f32>,
    ) -> Result<f64, LossError> {
        if let (false, true, Loss::Softmax, None, Some(labels)) =
            (self.is_multi_label, mixes.is_empty(), self.loss, &self.class_weights, labels.as_single())
        {
            let targets = Targets::Labels { labels, smoothing: self.smoothing };
            return softmax_cross_entropy(logits, classes, targets, gradient);
        }
        let targets = self.targets(logits.len() / classes.max(1), classes, labels)?;
        let targets = if mixes.is_empty() { targets } else { self.mixed(&targets, classes, mixes) };
        self.of_targets(logits, classes, &targets, gradient)
    }

    /// The loss for a target of each class: (image, class).
    fn of_targets(
        &self,
        logits: &[f32],
        classes: usize,
        targets: &[f32],
        gradient: &mut Vec<f32>,
    ) -> Result<f64, LossError> {
        match self.loss {
            Loss::Softmax => softmax_cross_entropy(logits, classes, Targets::Shares(targets), gradient),
            Loss::Sigmoid => match &self.class_weights {
                Some(weights) => sigmoid_cross_entropy(logits, targets, weights, gradient),
                None => sigmoid_cross_entropy(logits, targets, &vec![1.0; classes], gradient),
            },
        }
    }

    /// The target of each class of each image: (image, class).
    fn targets(&self, images: usize, classes: usize, labels: &Labels) -> Result<Vec<f32>, LossError> {
        if labels.len() != images {
            return Err(LossError::Length { what: "labels", expected: images, found: labels.len() });
        }
        let mut targets = vec![0.0; images * classes];
        for (image, row) in targets.chunks_exact_mut(classes.max(1)).enumerate() {
            let own = labels.of(image);
            for &label in own {
                let target =
                    row.get_mut(usize::from(label)).ok_or(LossError::Label { label, image, classes })?;
                let weight = self.class_weights.as_ref().map_or(1.0, |weights| weights[usize::from(label)]);
                *target = match self.loss {
                    Loss::Softmax => weight / own.len() as f32,
                    Loss::Sigmoid => 1.0,
                };
            }
        }
        Ok(targets)
    }

    /// The targets of mixed images, smoothed.
    fn mixed(&self, targets: &[f32], classes: usize, mixes: &[Mix]) -> Vec<f32> {
        let kept = 1.0 - self.smoothing as f32;
        let everywhere = self.smoothing as f32 / classes as f32;
        let of = |image: usize| &targets[image * classes..][..classes];
        let mut mixed = Vec::with_capacity(targets.len());
        for (image, &Mix { with, share, .. }) in mixes.iter().enumerate() {
            for (own, other) in of(image).iter().zip(of(with)) {
                mixed.push(kept * (share * own + (1.0 - share) * other) + everywhere);
            }
        }
        mixed
    }

    /// The loss of one image, without smoothing.
    ///
    /// # Errors
    /// [`LossError`] if a label is not one of its classes.
    pub fn loss_of_image(&self, row: &[f32], labels: &[u16]) -> Result<f64, LossError> {
        if let (false, Loss::Softmax, None, &[label]) =
            (self.is_multi_label, self.loss, &self.class_weights, labels)
            && usize::from(label) < row.len()
        {
            return Ok(cross_entropy_of(row, label));
        }
        let mut all = Labels::default();
        all.push(labels);
        self.of_targets(row, row.len(), &self.targets(1, row.len(), &all)?, &mut Vec::new())
    }

    /// The average precision of an image's first 100 predictions; `None` if the score is
    /// another, or none of its labels has a weight.
    pub fn precision_of_image(&self, row: &[f32], labels: &[u16]) -> Option<f64> {
        let weights = self.score_weights.as_deref();
        if self.is_multi_label { average_precision(row, labels, weights) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objective(loss: Loss, is_multi_label: bool, weights: Option<&[f32]>) -> Objective {
        let class_weights = weights.map(<[f32]>::to_vec);
        Objective { loss, is_multi_label, class_weights, ..Objective::default() }
    }

    fn labels(images: &[&[u16]]) -> Labels {
        let mut labels = Labels::default();
        images.iter().for_each(|own| labels.push(own));
        labels
    }

    const LOGITS: [f32; 6] = [1.0, 3.0, 2.0, -0.5, 0.25, 4.0];

    #[test]
    fn losses_of_label_sets_are_their_definitions() {
        let of = |loss, weights, sets: &[&[u16]]| {
            let mut gradient = Vec::new();
            let loss =
                objective(loss, true, weights).loss(&LOGITS, 3, (&labels(sets), &[]), &mut gradient).unwrap();
            (loss, gradient)
        };
        let log_softmax = |row: &[f32], class: usize| {
            let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
            f64::from(row[class]) - sum.ln()
        };
        let (first, second) = (&LOGITS[..3], &LOGITS[3..]);
        let sets: [&[u16]; 2] = [&[0, 2], &[1]];
        let expected =
            -(0.5 * (log_softmax(first, 0) + log_softmax(first, 2)) + log_softmax(second, 1)) / 2.0;
        assert!((of(Loss::Softmax, None, &sets).0 - expected).abs() < 1e-12);
        let weights = [2.0, 1.0, 0.5];
        let expected = -(0.5 * (2.0 * log_softmax(first, 0) + 0.5 * log_softmax(first, 2))
            + log_softmax(second, 1))
            / 2.0;
        assert!((of(Loss::Softmax, Some(&weights), &sets).0 - expected).abs() < 1e-12);
        let binary = |x: f32, there: bool| (if there { -f64::from(x) } else { f64::from(x) }).exp().ln_1p();
        let there = [true, false, true, false, true, false];
        let expected: f64 =
            (0..6).map(|at| f64::from(weights[at % 3]) * binary(LOGITS[at], there[at])).sum::<f64>() / 2.0;
        assert!((of(Loss::Sigmoid, Some(&weights), &sets).0 - expected).abs() < 1e-12);
        // Without labels, an image contributes nothing to the softmax loss, and asks for no
        // class in the sigmoid loss.
        let (loss, gradient) = of(Loss::Softmax, None, &[&[], &[]]);
        assert_eq!((loss, gradient), (0.0, vec![0.0; 6]));
        assert!(of(Loss::Sigmoid, None, &[&[], &[]]).1.iter().all(|&gradient| gradient > 0.0));
    }

    #[test]
    fn an_image_costs_what_a_batch_of_it_does() {
        for (loss, is_multi, weights) in [
            (Loss::Softmax, false, None),
            (Loss::Softmax, false, Some(&[1.0, 0.5, 2.0][..])),
            (Loss::Softmax, true, None),
            (Loss::Sigmoid, false, None),
            (Loss::Sigmoid, true, Some(&[1.0, 0.5, 2.0])),
        ] {
            let objective = objective(loss, is_multi, weights);
            let of_batch =
                objective.loss(&LOGITS, 3, (&labels(&[&[2], &[0]]), &[]), &mut Vec::new()).unwrap();
            let [one, other] = [(&LOGITS[..3], 2), (&LOGITS[3..], 0)]
                .map(|(row, label)| objective.loss_of_image(row, &[label]).unwrap());
            assert!((of_batch - (one + other) / 2.0).abs() < 1e-12, "{objective:?}");
        }
    }

    #[test]
    fn one_label_and_the_softmax_are_the_loss_that_runs_always_had() {
        let (mut own, mut former) = (Vec::new(), Vec::new());
        let objective = Objective { smoothing: 0.1, ..Objective::default() };
        let loss = objective.loss(&LOGITS, 3, (&labels(&[&[2], &[0]]), &[]), &mut own).unwrap();
        let targets = Targets::Labels { labels: &[2, 0], smoothing: 0.1 };
        assert_eq!(loss, softmax_cross_entropy(&LOGITS, 3, targets, &mut former).unwrap());
        assert_eq!(own, former);
    }

    #[test]
    fn a_mixed_image_costs_the_shares_of_both_labels() {
        let mixes = [(0.75, 1), (0.375, 0)].map(|(share, with)| {
            let mut mix = Mix::default();
            (mix.share, mix.with) = (share, with);
            mix
        });
        for (kind, is_multi, weights, smoothing) in [
            (Loss::Softmax, false, None, 0.0),
            (Loss::Softmax, false, None, 0.1),
            (Loss::Softmax, true, Some(&[1.0, 0.5, 2.0][..]), 0.0),
            (Loss::Sigmoid, false, Some(&[1.0, 0.5, 2.0]), 0.0),
        ] {
            let objective = Objective { smoothing, ..objective(kind, is_multi, weights) };
            let of = |sets: &[&[u16]], mixes: &[Mix]| {
                let mut gradient = Vec::new();
                let loss = objective.loss(&LOGITS, 3, (&labels(sets), mixes), &mut gradient).unwrap();
                (loss, gradient)
            };
            let (mixed, gradient) = of(&[&[2], &[0]], &mixes);
            // The loss is linear in the targets, so it is the shares of the losses of each pair of labels.
            let (mut expected, mut expected_gradient) = (0.0, vec![0.0; 6]);
            for (first, second, share) in
                [(2, 0, 0.75 * 0.375), (2, 2, 0.75 * 0.625), (0, 0, 0.25 * 0.375), (0, 2, 0.25 * 0.625)]
            {
                let (loss, gradient) = of(&[&[first], &[second]], &[]);
                expected += share * loss;
                expected_gradient.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += share * f64::from(g));
            }
            assert!((mixed - expected).abs() < 1e-6, "{objective:?}: {mixed} {expected}");
            for (found, expected) in gradient.iter().zip(&expected_gradient) {
                assert!((f64::from(*found) - expected).abs() < 1e-6, "{objective:?}");
            }
        }
    }

    #[test]
    fn labels_that_do_not_fit_are_refused() {
        let objective = objective(Loss::Sigmoid, true, None);
        let of = |sets: &[&[u16]]| {
            objective.loss(&LOGITS, 3, (&labels(sets), &[]), &mut Vec::new()).unwrap_err().to_string()
        };
        assert_eq!(of(&[&[0], &[3]]), "cross entropy: label 3 of image 1, with 3 classes");
        assert_eq!(of(&[&[0]]), "cross entropy: 1 labels, expected 2");
    }
}
