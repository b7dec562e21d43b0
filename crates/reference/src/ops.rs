//! Each operation by its definition, forward and backward side by side.
//!
//! Maps are (image, row, column, channel), without gaps; sums are f64.

use decouple_kernels::{
    activation::Activation,
    geometry::{ConvGeometry, MapShape, PoolGeometry},
    layout::DropoutMask,
};

/// Calls `each(output, input, weight)` with the indices of every product of a
/// convolution of one image: y[output] += x[input] w[weight].
fn for_each_product(g: &ConvGeometry, mut each: impl FnMut(usize, usize, usize)) {
    let (input, output, o) = (g.input(), g.output(), g.options());
    let taps = o.kernel_h * o.kernel_w;
    let inside = |out: usize, tap: usize, before: usize, extent: usize| {
        (out * o.stride + tap * o.dilation).checked_sub(before).filter(|&index| index < extent)
    };
    for segment in 0..o.segments {
        let (inputs, outputs, weights) =
            (g.segment_inputs(segment), g.segment_outputs(segment), g.segment_weights(segment));
        for (row, column) in pixels(output) {
            for tap in 0..taps {
                let (kernel_row, kernel_column) = (tap / o.kernel_w, tap % o.kernel_w);
                let Some(from_row) = inside(row, kernel_row, o.padding.top, input.h) else { continue };
                let Some(from_column) = inside(column, kernel_column, o.padding.left, input.w) else {
                    continue;
                };
                let from = (from_row * input.w + from_column) * input.c;
                let to = (row * output.w + column) * output.c;
                for (index, channel) in outputs.clone().enumerate() {
                    let weight = weights.start + index * inputs.len() * taps + tap;
                    for (index, other) in inputs.clone().enumerate() {
                        each(to + channel, from + other, weight + index * taps);
                    }
                }
            }
        }
    }
}

fn pixels(shape: MapShape) -> impl Iterator<Item = (usize, usize)> {
    (0..shape.pixels()).map(move |pixel| (pixel / shape.w, pixel % shape.w))
}

/// y = w * x, without bias. Weights are in the ragged (out, in of segment, kh, kw) order.
pub(crate) fn conv(g: &ConvGeometry, x: &[f64], weights: &[f32]) -> Vec<f64> {
    let mut y = vec![0.0; x.len() / g.input().len() * g.output().len()];
    for (x, y) in x.chunks_exact(g.input().len()).zip(y.chunks_exact_mut(g.output().len())) {
        for_each_product(g, |output, input, weight| y[output] += x[input] * f64::from(weights[weight]));
    }
    y
}

/// The gradients of the input and of the weights of [`conv`].
pub(crate) fn conv_backward(
    g: &ConvGeometry,
    x: &[f64],
    weights: &[f32],
    grad_y: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let (mut grad_x, mut grad_weights) = (vec![0.0; x.len()], vec![0.0; weights.len()]);
    let images = x.chunks_exact(g.input().len()).zip(grad_x.chunks_exact_mut(g.input().len()));
    for ((x, grad_x), grad_y) in images.zip(grad_y.chunks_exact(g.output().len())) {
        for_each_product(g, |output, input, weight| {
            grad_x[input] += grad_y[output] * f64::from(weights[weight]);
            grad_weights[weight] += grad_y[output] * x[input];
        });
    }
    (grad_x, grad_weights)
}

/// y += b, a value per channel.
pub(crate) fn add_bias(bias: &[f32], y: &mut [f64]) {
    for y in y.chunks_exact_mut(bias.len()) {
        y.iter_mut().zip(bias).for_each(|(y, &bias)| *y += f64::from(bias));
    }
}

/// The gradient of the bias: for each channel the sum of `grad_y`.
pub(crate) fn bias_backward(channels: usize, grad_y: &[f64]) -> Vec<f64> {
    channel_sums(channels, grad_y.iter().copied())
}

fn channel_sums(channels: usize, values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sums = vec![0.0; channels];
    values.enumerate().for_each(|(index, value)| sums[index % channels] += value);
    sums
}

/// Mean and biased variance of each channel.
pub(crate) fn statistics(channels: usize, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let count = (x.len() / channels) as f64;
    let mean: Vec<f64> =
        channel_sums(channels, x.iter().copied()).into_iter().map(|sum| sum / count).collect();
    let squares = x.iter().enumerate().map(|(index, x)| (x - mean[index % channels]).powi(2));
    let variance = channel_sums(channels, squares).into_iter().map(|sum| sum / count).collect();
    (mean, variance)
}

/// The parameters of a normalisation: mean, 1 / sqrt(variance + epsilon), scale and shift.
#[derive(Debug)]
pub(crate) struct BatchNorm {
    mean: Vec<f64>,
    inverse_std: Vec<f64>,
    gamma: Vec<f64>,
    beta: Vec<f64>,
}

impl BatchNorm {
    pub(crate) fn new(
        mean: Vec<f64>,
        variance: &[f64],
        epsilon: f32,
        gamma: Option<&[f32]>,
        beta: &[f32],
    ) -> Self {
        let inverse_std = variance.iter().map(|v| 1.0 / (v + f64::from(epsilon)).sqrt()).collect();
        let double = |values: &[f32]| values.iter().copied().map(f64::from).collect();
        Self {
            gamma: gamma.map_or_else(|| vec![1.0; mean.len()], double),
            beta: double(beta),
            mean,
            inverse_std,
        }
    }

    fn normalised(&self, index: usize, x: f64) -> f64 {
        let c = index % self.mean.len();
        (x - self.mean[c]) * self.inverse_std[c]
    }

    /// y = gamma (x - mean) / sqrt(variance + epsilon) + beta (Ioffe and Szegedy
    /// 2015, algorithm 1).
    pub(crate) fn forward(&self, x: &[f64]) -> Vec<f64> {
        let value = |(index, &x): (usize, &f64)| {
            let c = index % self.mean.len();
            self.gamma[c] * self.normalised(index, x) + self.beta[c]
        };
        x.iter().enumerate().map(value).collect()
    }

    /// The gradients of input, scale and shift, through the batch's own statistics.
    pub(crate) fn backward(&self, x: &[f64], grad_y: &[f64]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let channels = self.mean.len();
        let count = (x.len() / channels) as f64;
        let grad_beta = channel_sums(channels, grad_y.iter().copied());
        let products = x.iter().zip(grad_y).enumerate().map(|(index, (&x, g))| g * self.normalised(index, x));
        let grad_gamma = channel_sums(channels, products);
        let gradient = |(index, (&x, g)): (usize, (&f64, &f64))| {
            let c = index % channels;
            let centred = g - grad_beta[c] / count - self.normalised(index, x) * grad_gamma[c] / count;
            self.gamma[c] * self.inverse_std[c] * centred
        };
        let grad_x = x.iter().zip(grad_y).enumerate().map(gradient).collect();
        (grad_x, grad_gamma, grad_beta)
    }
}

/// y = a(x).
pub(crate) fn activation(kind: Activation, x: &[f64]) -> Vec<f64> {
    let value = |&x: &f64| match kind {
        // Not `max`, which would hide a NaN.
        Activation::Relu if x < 0.0 => 0.0,
        Activation::Elu if x < 0.0 => x.exp_m1(),
        Activation::Relu | Activation::Elu => x,
    };
    x.iter().map(value).collect()
}

/// The gradient of [`activation`] from its output.
pub(crate) fn activation_backward(kind: Activation, y: &[f64], grad_y: &[f64]) -> Vec<f64> {
    let gradient = |(&y, &g): (&f64, &f64)| match kind {
        _ if y > 0.0 => g,
        Activation::Relu => 0.0,
        Activation::Elu => g * (y + 1.0),
    };
    y.iter().zip(grad_y).map(gradient).collect()
}

/// Calls `each(result, sources)` with the index of every result of pooling over one
/// image and those of the values that it is made from, row by row.
fn for_each_window(g: &PoolGeometry, mut each: impl FnMut(usize, &[usize])) {
    let (input, output, window) = (g.input(), g.output(), g.window());
    let inside = |out: usize, tap: usize, before: usize, extent: usize| {
        (out * g.stride() + tap).checked_sub(before).filter(|&index| index < extent)
    };
    for (row, column) in pixels(output) {
        let taps = (0..window * window).filter_map(|tap| {
            let row = inside(row, tap / window, g.padding().top, input.h)?;
            let column = inside(column, tap % window, g.padding().left, input.w)?;
            Some((row * input.w + column) * input.c)
        });
        let taps: Vec<usize> = taps.collect();
        for channel in 0..input.c {
            let sources: Vec<usize> = taps.iter().map(|pixel| pixel + channel).collect();
            each((row * output.w + column) * output.c + channel, &sources);
        }
    }
}

/// The first of the largest values; NaN counts as larger than any number.
fn first_largest(x: &[f64], sources: &[usize]) -> usize {
    let is_larger = |next: f64, best: f64| next > best || (next.is_nan() && !best.is_nan());
    let larger = |best: usize, next: usize| if is_larger(x[next], x[best]) { next } else { best };
    sources.iter().copied().reduce(larger).unwrap_or(0)
}

/// The maximum of every window.
pub(crate) fn max_pool(g: &PoolGeometry, x: &[f64]) -> Vec<f64> {
    pooled(g, x, |x, sources| x[first_largest(x, sources)])
}

/// The gradient of [`max_pool`]: to the first of the largest values.
pub(crate) fn max_pool_backward(g: &PoolGeometry, x: &[f64], grad_y: &[f64]) -> Vec<f64> {
    unpooled(g, x.len(), grad_y, |image, sources, g, grad_x| {
        let x = &x[image * grad_x.len()..][..grad_x.len()];
        grad_x[first_largest(x, sources)] += g;
    })
}

/// The mean of every window, over its whole size or over the pixels that exist.
pub(crate) fn mean_pool(g: &PoolGeometry, include_padding: bool, x: &[f64]) -> Vec<f64> {
    pooled(g, x, |x, sources| {
        sources.iter().map(|&source| x[source]).sum::<f64>() / divisor(g, include_padding, sources)
    })
}

/// The gradient of [`mean_pool`].
pub(crate) fn mean_pool_backward(
    g: &PoolGeometry,
    include_padding: bool,
    len: usize,
    grad_y: &[f64],
) -> Vec<f64> {
    unpooled(g, len, grad_y, |_, sources, gradient, grad_x| {
        let share = gradient / divisor(g, include_padding, sources);
        sources.iter().for_each(|&source| grad_x[source] += share);
    })
}

fn divisor(g: &PoolGeometry, include_padding: bool, sources: &[usize]) -> f64 {
    (if include_padding { g.window() * g.window() } else { sources.len() }) as f64
}

fn pooled(g: &PoolGeometry, x: &[f64], of: impl Fn(&[f64], &[usize]) -> f64) -> Vec<f64> {
    let mut y = vec![0.0; x.len() / g.input().len() * g.output().len()];
    for (x, y) in x.chunks_exact(g.input().len()).zip(y.chunks_exact_mut(g.output().len())) {
        for_each_window(g, |result, sources| y[result] = of(x, sources));
    }
    y
}

fn unpooled(
    g: &PoolGeometry,
    len: usize,
    grad_y: &[f64],
    spread: impl Fn(usize, &[usize], f64, &mut [f64]),
) -> Vec<f64> {
    let mut grad_x = vec![0.0; len];
    let images = grad_x.chunks_exact_mut(g.input().len()).zip(grad_y.chunks_exact(g.output().len()));
    for (image, (grad_x, grad_y)) in images.enumerate() {
        for_each_window(g, |result, sources| spread(image, sources, grad_y[result], grad_x));
    }
    grad_x
}

/// The mean over all pixels.
pub(crate) fn global_mean_pool(shape: MapShape, x: &[f64]) -> Vec<f64> {
    let means = |x: &[f64]| channel_sums(shape.c, x.iter().map(|x| x / shape.pixels() as f64));
    x.chunks_exact(shape.len()).flat_map(means).collect()
}

/// The gradient of [`global_mean_pool`].
pub(crate) fn global_mean_pool_backward(shape: MapShape, grad_y: &[f64]) -> Vec<f64> {
    let spread = |grad_y: &[f64]| {
        let shares: Vec<f64> = grad_y.iter().map(|g| g / shape.pixels() as f64).collect();
        shares.repeat(shape.pixels())
    };
    grad_y.chunks_exact(shape.c).flat_map(spread).collect()
}

/// The channels of all `maps`, one after the other; `channels` has a count for each.
pub(crate) fn concat(channels: &[usize], maps: &[&[f64]]) -> Vec<f64> {
    let pixels = maps[0].len() / channels[0];
    let rows = |pixel| maps.iter().zip(channels).flat_map(move |(map, &c)| &map[pixel * c..(pixel + 1) * c]);
    (0..pixels).flat_map(rows).copied().collect()
}

/// The gradients of the maps that [`concat`] joins.
pub(crate) fn concat_backward(channels: &[usize], grad_y: &[f64]) -> Vec<Vec<f64>> {
    let all: usize = channels.iter().sum();
    let mut first = 0;
    let part = |&c: &usize| {
        let begin = first;
        first += c;
        grad_y.chunks_exact(all).flat_map(|pixel| &pixel[begin..begin + c]).copied().collect()
    };
    channels.iter().map(part).collect()
}

/// Dropout, forward and backward.
pub(crate) fn dropout(mask: DropoutMask, x: &[f64]) -> Vec<f64> {
    x.iter().enumerate().map(|(index, x)| x * f64::from(mask.of(index))).collect()
}
