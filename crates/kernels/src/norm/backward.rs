//! Gradients of batch normalisation: through the batch's statistics, or with
//! the statistics frozen.

use rayon::prelude::*;

use crate::{
    REDUCTION_PARTS,
    buffer::Buffer,
    error::ShapeError,
    isa::Context,
    per_isa::per_isa,
    rows::{BLOCK, chunk_of, lane_count, part_values, repeat, row_count, split_doubles},
};

/// What the forward pass normalised with; one value a channel each.
#[derive(Clone, Copy, Debug)]
pub struct Normalization<'a> {
    /// Mean subtracted.
    pub mean: &'a [f32],
    /// `1 / sqrt(variance + epsilon)`.
    pub inverse_std: &'a [f32],
    /// Factor after the normalisation; 1 where there is none (Inception V3).
    pub gamma: Option<&'a [f32]>,
}

/// Gradients of `y = gamma (x - mean) inverse_std + beta` where mean and
/// variance are those of the batch and depend on `x` too. With
/// `x^ = (x - mean) inverse_std` and sums over the `n` rows:
///
/// - `grad_beta = sum(grad_y)`, `grad_gamma = sum(grad_y x^)`,
/// - `grad_x = gamma inverse_std (grad_y - grad_beta / n - x^ grad_gamma / n)`.
///
/// `x`, `grad_y` and `grad_x` are (rows, channels), the others have one value a
/// channel. Everything is overwritten. Reads `x` and `grad_y` twice; scratch is
/// 7 values a channel (of at least 64 lanes) for each of [`REDUCTION_PARTS`].
///
/// # Errors
/// [`ShapeError`] when `x` is not whole rows or another length does not match.
pub fn backward(
    ctx: &Context,
    normalization: Normalization<'_>,
    x: &[f32],
    grad_y: &[f32],
    grad_x: &mut [f32],
    grad_gamma: Option<&mut [f32]>,
    grad_beta: &mut [f32],
) -> Result<(), ShapeError> {
    let rows = check(normalization, x, grad_y, grad_x, grad_gamma.as_deref(), grad_beta)?;
    let channels = normalization.mean.len();
    let mut sums = ctx.pool.take(channels);
    let grad_gamma = grad_gamma.unwrap_or(&mut sums);
    parameter_gradients(ctx, normalization, rows, x, grad_y, grad_gamma, grad_beta);
    write_input_gradient(ctx, normalization, x, grad_y, grad_x, |channel| {
        let per_row = 1.0 / rows as f32;
        let inverse_std = normalization.inverse_std[channel];
        (-grad_beta[channel] * per_row, -grad_gamma[channel] * inverse_std * per_row)
    });
    Ok(())
}

/// Gradients of the same formula with `mean` and `inverse_std` frozen:
/// `grad_x = gamma inverse_std grad_y`; `grad_gamma` and `grad_beta` as in
/// [`backward`].
///
/// # Errors
/// As [`backward`].
pub fn backward_inference(
    ctx: &Context,
    normalization: Normalization<'_>,
    x: &[f32],
    grad_y: &[f32],
    grad_x: &mut [f32],
    grad_gamma: Option<&mut [f32]>,
    grad_beta: &mut [f32],
) -> Result<(), ShapeError> {
    let rows = check(normalization, x, grad_y, grad_x, grad_gamma.as_deref(), grad_beta)?;
    let mut sums = ctx.pool.take(normalization.mean.len());
    let grad_gamma = grad_gamma.unwrap_or(&mut sums);
    parameter_gradients(ctx, normalization, rows, x, grad_y, grad_gamma, grad_beta);
    write_input_gradient(ctx, normalization, x, grad_y, grad_x, |_| (0.0, 0.0));
    Ok(())
}

fn check(
    normalization: Normalization<'_>,
    x: &[f32],
    grad_y: &[f32],
    grad_x: &[f32],
    grad_gamma: Option<&[f32]>,
    grad_beta: &[f32],
) -> Result<usize, ShapeError> {
    const OP: &str = "batch norm backward";
    let Normalization { mean, inverse_std, gamma } = normalization;
    let channels = mean.len();
    let rows = row_count(OP, "x", channels, x.len())?;
    let len_or_channels = |values: Option<&[f32]>| values.map_or(channels, <[f32]>::len);
    ShapeError::check(OP, "inverse_std", channels, inverse_std.len())?;
    ShapeError::check(OP, "gamma", channels, len_or_channels(gamma))?;
    ShapeError::check(OP, "grad_gamma", channels, len_or_channels(grad_gamma))?;
    ShapeError::check(OP, "grad_beta", channels, grad_beta.len())?;
    ShapeError::check(OP, "grad_y", x.len(), grad_y.len())?;
    ShapeError::check(OP, "grad_x", x.len(), grad_x.len())?;
    Ok(rows)
}

/// The two sums over rows that all gradients are made of.
fn parameter_gradients(
    ctx: &Context,
    normalization: Normalization<'_>,
    rows: usize,
    x: &[f32],
    grad_y: &[f32],
    grad_gamma: &mut [f32],
    grad_beta: &mut [f32],
) {
    let channels = normalization.mean.len();
    let lanes = lane_count(channels);
    let mut mean = ctx.pool.take(lanes);
    repeat(normalization.mean, &mut mean);
    let mut scratch = ctx.pool.take(REDUCTION_PARTS * 6 * lanes);
    let (doubles, floats) = split_doubles(&mut scratch, REDUCTION_PARTS * 2 * lanes);
    doubles.par_chunks_mut(2 * lanes).zip(floats.par_chunks_mut(2 * lanes)).enumerate().for_each(
        |(part, (totals, block))| {
            let values = part_values(rows, channels, part);
            totals.fill(0.0);
            let (sums, products) = block.split_at_mut(lanes);
            let blocks = x[values.clone()].chunks(BLOCK * lanes).zip(grad_y[values].chunks(BLOCK * lanes));
            for (x, grad_y) in blocks {
                sums.fill(0.0);
                products.fill(0.0);
                add_products(ctx, x, grad_y, &mean, sums, products);
                let block = sums.iter().chain(&*products);
                totals.iter_mut().zip(block).for_each(|(total, &block)| *total += f64::from(block));
            }
        },
    );
    for channel in 0..channels {
        let (mut sum, mut product) = (0.0, 0.0);
        for totals in doubles.chunks(2 * lanes) {
            let (sums, products) = totals.split_at(lanes);
            sum += sums[channel..].iter().step_by(channels).sum::<f64>();
            product += products[channel..].iter().step_by(channels).sum::<f64>();
        }
        grad_beta[channel] = sum as f32;
        grad_gamma[channel] = (product * f64::from(normalization.inverse_std[channel])) as f32;
    }
}

/// `grad_x = gamma inverse_std (grad_y + constant + slope (x - mean))`, where
/// `terms` gives (constant, slope) of a channel.
fn write_input_gradient(
    ctx: &Context,
    normalization: Normalization<'_>,
    x: &[f32],
    grad_y: &[f32],
    grad_x: &mut [f32],
    terms: impl Fn(usize) -> (f32, f32),
) {
    let Normalization { mean, inverse_std, gamma } = normalization;
    let lanes = lane_count(mean.len());
    let mut coefficients: Buffer = ctx.pool.take(4 * lanes);
    let (factor, rest) = coefficients.split_at_mut(lanes);
    let (constant, rest) = rest.split_at_mut(lanes);
    let (slope, mean_lanes) = rest.split_at_mut(lanes);
    repeat(mean, mean_lanes);
    for lane in 0..lanes {
        let channel = lane % mean.len();
        factor[lane] = gamma.map_or(1.0, |gamma| gamma[channel]) * inverse_std[channel];
        (constant[lane], slope[lane]) = terms(channel);
    }
    let (factor, constant, slope, mean) = (&*factor, &*constant, &*slope, &*mean_lanes);
    let chunk = chunk_of(lanes);
    grad_x.par_chunks_mut(chunk).zip(x.par_chunks(chunk).zip(grad_y.par_chunks(chunk))).for_each(
        |(grad_x, (x, grad_y))| gradient_chunk(ctx, x, grad_y, factor, constant, slope, mean, grad_x),
    );
}

per_isa! {
    /// Adds `grad_y` to `sums` and `grad_y (x - mean)` to `products`, two steps
    /// at a time so that the sums are loaded and stored less often.
    fn add_products(x: &[f32], grad_y: &[f32], mean: &[f32], sums: &mut [f32], products: &mut [f32]) {
        let lanes = mean.len();
        let mut pairs = x.chunks_exact(2 * lanes).zip(grad_y.chunks_exact(2 * lanes));
        let (sums, products) = (&mut sums[..lanes], &mut products[..lanes]);
        for (x, grad_y) in &mut pairs {
            let ((x0, x1), (g0, g1)) = (x.split_at(lanes), grad_y.split_at(lanes));
            let (x1, g1) = (&x1[..lanes], &g1[..lanes]);
            for lane in 0..lanes {
                sums[lane] += g0[lane] + g1[lane];
                products[lane] += g0[lane] * (x0[lane] - mean[lane]) + g1[lane] * (x1[lane] - mean[lane]);
            }
        }
        let done = x.len() / (2 * lanes) * (2 * lanes);
        for (x, grad_y) in x[done..].chunks(lanes).zip(grad_y[done..].chunks(lanes)) {
            for (lane, (x, grad_y)) in x.iter().zip(grad_y).enumerate() {
                sums[lane] += grad_y;
                products[lane] += grad_y * (x - mean[lane]);
            }
        }
    }

    fn gradient_chunk(
        x: &[f32],
        grad_y: &[f32],
        factor: &[f32],
        constant: &[f32],
        slope: &[f32],
        mean: &[f32],
        grad_x: &mut [f32],
    ) {
        let lanes = factor.len();
        for (grad_x, (x, grad_y)) in grad_x.chunks_mut(lanes).zip(x.chunks(lanes).zip(grad_y.chunks(lanes))) {
            let values = grad_x.iter_mut().zip(x.iter().zip(grad_y));
            let coefficients = factor.iter().zip(constant).zip(slope.iter().zip(mean));
            for ((grad_x, (x, grad_y)), ((factor, constant), (slope, mean))) in values.zip(coefficients) {
                *grad_x = factor * ((grad_y + constant) + slope * (x - mean));
            }
        }
    }
}
