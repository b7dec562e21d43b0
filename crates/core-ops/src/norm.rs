//! Batch norms: the affine map that readers apply, and the gradient through the norm.

use decouple_kernels::rows::{Affine, ChannelSums, ThroughNorm, totals};
use decouple_spectrum::plan::Norm;

/// The state of a map's norm in the current pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct NormState {
    scale: Vec<f32>,
    shift: Vec<f32>,
    /// Mean of each channel over the batch.
    pub mean: Vec<f32>,
    inverse_std: Vec<f32>,
    /// In the backward pass, the coefficients of the gradient through it.
    pub through: ThroughNorm,
}

/// The trained values of a norm.
#[derive(Clone, Copy)]
pub(crate) struct NormValues<'a> {
    pub norm: &'a Norm,
    pub gamma: Option<&'a [f32]>,
    pub beta: &'a [f32],
}

impl NormState {
    /// The affine map that readers apply.
    pub(crate) fn affine(&self) -> Affine<'_> {
        Affine { mean: &self.mean, scale: &self.scale, shift: &self.shift }
    }

    /// The norm with these statistics (Ioffe and Szegedy 2015, algorithm 1).
    pub(crate) fn set(&mut self, values: NormValues<'_>, mean: &[f64], variance: &[f64]) {
        let NormValues { norm, gamma, beta } = values;
        let epsilon = f64::from(norm.epsilon);
        self.inverse_std =
            variance.iter().map(|variance| (1.0 / (variance + epsilon).sqrt()) as f32).collect();
        self.mean = mean.iter().map(|&mean| mean as f32).collect();
        let scale = |channel: usize| gamma.map_or(1.0, |gamma| gamma[channel]) * self.inverse_std[channel];
        self.scale = (0..mean.len()).map(scale).collect();
        self.shift = beta.to_vec();
    }

    /// The norm of a batch, from the sums of `x - centre` and of its square over `count` values
    /// per channel. The running statistics follow; their variance is the unbiased one, as in
    /// PyTorch.
    pub(crate) fn set_from_batch(
        &mut self,
        values: NormValues<'_>,
        sums: &ChannelSums,
        count: usize,
        running: [&mut [f32]; 2],
    ) {
        let [running_mean, running_variance] = running;
        let channels = running_mean.len();
        let n = count as f64;
        let (mut mean, mut variance) = (vec![0.0; channels], vec![0.0; channels]);
        totals(sums, channels, |channel, [sum, square]| {
            mean[channel] = f64::from(running_mean[channel]) + sum / n;
            variance[channel] = ((square - sum * sum / n) / n).max(0.0);
        });
        // One value has no unbiased variance.
        let unbiased = if count > 1 { n / (n - 1.0) } else { 1.0 };
        let momentum = f64::from(values.norm.momentum);
        let follow = |running: &mut f32, new: f64| {
            *running = (f64::from(*running) + momentum * (new - f64::from(*running))) as f32
        };
        running_mean.iter_mut().zip(&mean).for_each(|(running, &mean)| follow(running, mean));
        let variances = running_variance.iter_mut().zip(&variance);
        variances.for_each(|(running, &variance)| follow(running, unbiased * variance));
        self.set(values, &mean, &variance);
    }

    /// The gradients of gamma and beta, from the sums of the output's gradient and of it times
    /// `x - mean` over `count` values per channel; records the coefficients of the gradient
    /// through the norm.
    pub(crate) fn backward(&mut self, sums: &ChannelSums, count: usize) -> (Vec<f32>, Vec<f32>) {
        let channels = self.mean.len();
        let (mut grad_gamma, mut grad_beta) = (vec![0.0; channels], vec![0.0; channels]);
        let ThroughNorm { a, b, c } = &mut self.through;
        a.clone_from(&self.scale);
        b.resize(channels, 0.0);
        c.resize(channels, 0.0);
        let n = count as f64;
        totals(sums, channels, |channel, [sum, product]| {
            let inverse_std = f64::from(self.inverse_std[channel]);
            let (mean, scale) = (f64::from(self.mean[channel]), f64::from(self.scale[channel]));
            grad_gamma[channel] = (product * inverse_std) as f32;
            grad_beta[channel] = sum as f32;
            let slope = -scale * inverse_std * inverse_std * product / n;
            b[channel] = slope as f32;
            c[channel] = (-scale * sum / n - slope * mean) as f32;
        });
        (grad_gamma, grad_beta)
    }
}
