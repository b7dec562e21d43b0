//! Losses with their gradients: f64 per image, summed in the images' order, with powers and
//! logarithms that have the same bits on every machine.

use rayon::prelude::*;

/// Why a loss has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LossError {
    /// A label names a class that the logits do not have.
    #[error("cross entropy: label {label} of image {image}, with {classes} classes")]
    Label {
        /// The label.
        label: u16,
        /// Its place in the batch.
        image: usize,
        /// Number of classes.
        classes: usize,
    },
    /// The number of targets or weights does not match the logits.
    #[error("cross entropy: {found} {what}, expected {expected}")]
    Length {
        /// What has the wrong length.
        what: &'static str,
        /// The expected length.
        expected: usize,
        /// The actual length.
        found: usize,
    },
}

/// What the logits of a batch should have been.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'a> {
    /// One class per image. The target puts `1 - smoothing` on it and `smoothing / classes` on
    /// every class (Szegedy et al. 2016, section 7).
    Labels {
        /// (image).
        labels: &'a [u16],
        /// From 0 up to 1.
        smoothing: f64,
    },
    /// A share for each class: (image, class).
    Shares(&'a [f32]),
}

/// Mean over the batch of -sum_k t_k log softmax(logits)_k. Not finite when
/// training has diverged.
///
/// `logits`: (image, class); `gradient`: replaced by the gradient of the logits,
/// (image, class): (softmax(logits)_k sum(t) - t_k) / images.
///
/// ```
/// use decouple_training::loss::{Targets, softmax_cross_entropy};
/// let (mut gradient, targets) = (Vec::new(), Targets::Labels { labels: &[1], smoothing: 0.0 });
/// let loss = softmax_cross_entropy(&[0.0, 0.0], 2, targets, &mut gradient)?;
/// assert_eq!((loss, &gradient[..]), (2f64.ln(), &[0.5, -0.5][..]));
/// # Ok::<(), decouple_training::loss::LossError>(())
/// ```
///
/// # Errors
/// [`LossError`] if the targets do not fit the logits.
pub fn softmax_cross_entropy(
    logits: &[f32],
    classes: usize,
    targets: Targets<'_>,
    gradient: &mut Vec<f32>,
) -> Result<f64, LossError> {
    let images = logits.len() / classes;
    let (what, expected, found) = match targets {
        Targets::Labels { labels, .. } => ("labels", images, labels.len()),
        Targets::Shares(shares) => ("shares", logits.len(), shares.len()),
    };
    check(what, expected, found)?;
    gradient.clear();
    let (mut loss, mut target) = (0.0, vec![0.0; classes]);
    for (image, row) in logits.chunks_exact(classes).enumerate() {
        match targets {
            Targets::Labels { labels, smoothing } => {
                let label = labels[image];
                target.fill(smoothing / classes as f64);
                *target.get_mut(usize::from(label)).ok_or(LossError::Label { label, image, classes })? +=
                    1.0 - smoothing;
            }
            Targets::Shares(shares) => {
                let shares = &shares[image * classes..][..classes];
                target.iter_mut().zip(shares).for_each(|(target, &share)| *target = f64::from(share));
            }
        }
        let log_probabilities = log_softmax(row);
        let all: f64 = target.iter().sum();
        for (log_probability, target) in log_probabilities.zip(&target) {
            // Zero times minus infinity is NaN, but must contribute nothing.
            if *target != 0.0 || log_probability.is_nan() {
                loss -= target * log_probability;
            }
            gradient.push(((libm::exp(log_probability) * all - target) / images as f64) as f32);
        }
    }
    Ok(loss / images.max(1) as f64)
}

/// Mean over images of the sum over classes of w_k (log(1 + exp(x_k)) - t_k x_k): minus the log
/// likelihood of an image's labels, each present or absent, each class with a weight.
///
/// `logits`, `targets`: (image, class), targets from 0 to 1; `weights`: (class);
/// `gradient`: replaced by w_k (sigmoid(x_k) - t_k) / images.
///
/// # Errors
/// [`LossError::Length`] if targets or weights do not fit the logits.
pub fn sigmoid_cross_entropy(
    logits: &[f32],
    targets: &[f32],
    weights: &[f32],
    gradient: &mut Vec<f32>,
) -> Result<f64, LossError> {
    check("targets", logits.len(), targets.len())?;
    let classes = weights.len().max(1);
    check("weights", logits.len() / classes * classes, logits.len())?;
    let images = (logits.len() / classes).max(1) as f64;
    gradient.clear();
    gradient.resize(logits.len(), 0.0);
    let rows = gradient.par_chunks_exact_mut(classes).zip(logits.par_chunks_exact(classes));
    // Images in parallel, each summed class by class, and then in their order.
    let losses: Vec<f64> = rows
        .zip(targets.par_chunks_exact(classes))
        .map(|((gradient, logits), targets)| {
            let mut loss = 0.0;
            for (((gradient, &x), &target), &weight) in
                gradient.iter_mut().zip(logits).zip(targets).zip(weights)
            {
                let (x, target, weight) = (f64::from(x), f64::from(target), f64::from(weight));
                // exp of a non-positive number never overflows.
                let power = libm::exp(-x.abs());
                loss += weight * (if x < 0.0 { 0.0 } else { x } + libm::log1p(power) - target * x);
                let sigmoid = if x < 0.0 { power / (1.0 + power) } else { 1.0 / (1.0 + power) };
                *gradient = (weight * (sigmoid - target) / images) as f32;
            }
            loss
        })
        .collect();
    Ok(losses.iter().sum::<f64>() / images)
}

fn check(what: &'static str, expected: usize, found: usize) -> Result<(), LossError> {
    if expected == found { Ok(()) } else { Err(LossError::Length { what, expected, found }) }
}

/// log softmax(row), class by class, shifted by the largest logit.
fn log_softmax(row: &[f32]) -> impl Iterator<Item = f64> {
    let largest = f64::from(row.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b)));
    let sum: f64 = row.iter().map(|&logit| libm::exp(f64::from(logit) - largest)).sum();
    let log_sum = libm::log(sum);
    row.iter().map(move |&logit| f64::from(logit) - largest - log_sum)
}

/// -log softmax(row)[label].
pub(crate) fn cross_entropy_of(row: &[f32], label: u16) -> f64 {
    -log_softmax(row).nth(usize::from(label)).unwrap_or(f64::NEG_INFINITY)
}

/// softmax(row): the probability of each class.
pub fn probabilities(row: &[f32]) -> Vec<f64> {
    log_softmax(row).map(libm::exp).collect()
}

/// sigmoid(row): the probability of each class by itself.
pub fn sigmoids(row: &[f32]) -> Vec<f64> {
    row.iter().map(|&logit| 1.0 / (1.0 + libm::exp(-f64::from(logit)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares a gradient with central differences of the loss.
    fn check_gradient(logits: &[f32], of: impl Fn(&[f32], &mut Vec<f32>) -> f64) {
        let mut gradient = Vec::new();
        of(logits, &mut gradient);
        assert_eq!(gradient.len(), logits.len());
        for index in 0..logits.len() {
            let at = |change: f32| {
                let mut changed = logits.to_vec();
                changed[index] += change;
                (f64::from(changed[index]), of(&changed, &mut Vec::new()))
            };
            let ((after, above), (before, below)) = (at(1e-3), at(-1e-3));
            let expected = (above - below) / (after - before);
            assert!((f64::from(gradient[index]) - expected).abs() < 1e-6, "{index}: {gradient:?}");
        }
    }

    const LOGITS: [f32; 6] = [1.0, 3.0, 2.0, -0.5, 0.25, 4.0];

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let shares = [0.5, 0.25, 0.25, 0.0, 0.9, 0.3];
        for targets in [
            Targets::Labels { labels: &[2, 0], smoothing: 0.0 },
            Targets::Labels { labels: &[1, 1], smoothing: 0.1 },
            Targets::Shares(&shares),
        ] {
            check_gradient(&LOGITS, |logits, gradient| {
                softmax_cross_entropy(logits, 3, targets, gradient).expect("targets that fit")
            });
        }
        check_gradient(&LOGITS, |logits, gradient| {
            sigmoid_cross_entropy(logits, &shares, &[1.0, 0.5, 3.0], gradient).expect("targets that fit")
        });
    }

    #[test]
    fn values_are_the_definitions() {
        let sum = 1f64.exp() + 3f64.exp() + 2f64.exp();
        let expected = -(3f64.exp() / sum).ln();
        assert!((cross_entropy_of(&LOGITS[..3], 1) - expected).abs() < 1e-12);
        assert!(cross_entropy_of(&[1e30, -1e30], 1) > 1e30);
        assert_eq!(probabilities(&[1e30, -1e30]), [1.0, 0.0]);
        assert!((probabilities(&LOGITS[..3])[2] - 2f64.exp() / sum).abs() < 1e-12);
        assert_eq!(sigmoids(&[-1e30, 0.0, 1e30]), [0.0, 0.5, 1.0]);
        let smoothed = Targets::Labels { labels: &[1], smoothing: 0.3 };
        let shares = Targets::Shares(&[0.1, 0.8, 0.1]);
        let [a, b] = [smoothed, shares]
            .map(|targets| softmax_cross_entropy(&LOGITS[..3], 3, targets, &mut Vec::new()).unwrap());
        assert!((a - b).abs() < 1e-7, "{a} {b}");
        let loss = sigmoid_cross_entropy(&[2.0, -1.0], &[1.0, 0.0], &[1.0, 3.0], &mut Vec::new()).unwrap();
        let expected = (1.0 + (-2f64).exp()).ln() + 3.0 * (1.0 + (-1f64).exp()).ln();
        assert!((loss - expected).abs() < 1e-12, "{loss} {expected}");
    }

    #[test]
    fn a_diverged_network_has_no_finite_loss_and_an_impossible_class_costs_nothing() {
        let targets = Targets::Labels { labels: &[0], smoothing: 0.0 };
        let of = |logits: &[f32]| softmax_cross_entropy(logits, 2, targets, &mut Vec::new()).unwrap();
        assert!(of(&[f32::NAN, 0.0]).is_nan() && of(&[0.0, f32::NAN]).is_nan());
        assert!(of(&[f32::INFINITY, 0.0]).is_nan());
        assert_eq!(of(&[0.0, f32::NEG_INFINITY]), 0.0);
        assert!(sigmoid_cross_entropy(&[f32::NAN], &[0.0], &[1.0], &mut Vec::new()).unwrap().is_nan());
    }

    #[test]
    fn targets_that_do_not_fit_are_refused() {
        let of = |labels| {
            let targets = Targets::Labels { labels, smoothing: 0.0 };
            softmax_cross_entropy(&[0.0; 4], 2, targets, &mut Vec::new()).unwrap_err().to_string()
        };
        assert_eq!(of(&[0, 2]), "cross entropy: label 2 of image 1, with 2 classes");
        assert_eq!(of(&[0]), "cross entropy: 1 labels, expected 2");
        assert!(softmax_cross_entropy(&[0.0; 4], 2, Targets::Shares(&[0.5; 2]), &mut Vec::new()).is_err());
        assert!(sigmoid_cross_entropy(&[0.0; 4], &[0.0; 3], &[1.0; 2], &mut Vec::new()).is_err());
        assert!(sigmoid_cross_entropy(&[0.0; 4], &[0.0; 4], &[1.0; 3], &mut Vec::new()).is_err());
    }
}
