//! Batch normalisation in f64, as its definition reads.

/// Mean and biased variance of every channel of `x` (rows, channels).
pub(super) fn statistics(channels: usize, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let rows = (x.len() / channels) as f64;
    let column = |c: usize| x.iter().skip(c).step_by(channels);
    let mean: Vec<f64> = (0..channels).map(|c| column(c).sum::<f64>() / rows).collect();
    let variance =
        (0..channels).map(|c| column(c).map(|x| (x - mean[c]).powi(2)).sum::<f64>() / rows).collect();
    (mean, variance)
}

/// `gamma (x - mean) / sqrt(variance + epsilon) + beta`.
pub(super) fn normalize(
    x: &[f64],
    (mean, variance): &(Vec<f64>, Vec<f64>),
    epsilon: f64,
    gamma: &[f64],
    beta: &[f64],
) -> Vec<f64> {
    let value = |(i, x): (usize, &f64)| {
        let c = i % mean.len();
        gamma[c] * (x - mean[c]) / (variance[c] + epsilon).sqrt() + beta[c]
    };
    x.iter().enumerate().map(value).collect()
}

/// `(grad_x, grad_gamma, grad_beta)`, through the statistics of the batch when
/// `training`, else with them frozen.
pub(super) fn backward(
    x: &[f64],
    grad_y: &[f64],
    (mean, variance): &(Vec<f64>, Vec<f64>),
    epsilon: f64,
    gamma: &[f64],
    training: bool,
) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let channels = mean.len();
    let rows = (x.len() / channels) as f64;
    let (mut grad_x, mut grad_gamma, mut grad_beta) =
        (vec![0.0; x.len()], vec![0.0; channels], vec![0.0; channels]);
    for (i, (x, grad_y)) in x.iter().zip(grad_y).enumerate() {
        let c = i % channels;
        grad_gamma[c] += grad_y * (x - mean[c]) / (variance[c] + epsilon).sqrt();
        grad_beta[c] += grad_y;
    }
    for i in 0..x.len() {
        let c = i % channels;
        let inverse_std = 1.0 / (variance[c] + epsilon).sqrt();
        let normalized = (x[i] - mean[c]) * inverse_std;
        let through = if training { (grad_beta[c] + normalized * grad_gamma[c]) / rows } else { 0.0 };
        grad_x[i] = gamma[c] * inverse_std * (grad_y[i] - through);
    }
    (grad_x, grad_gamma, grad_beta)
}
