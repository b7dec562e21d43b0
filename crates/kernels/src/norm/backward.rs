//! Gradients of batch normalisation: through the batch's statistics, or with
//! the statistics frozen.

use rayon::prelude::*;

use crate::{
    REDUCTION_PARTS,
    buffer::Buffer,
    error::ShapeError,
    isa::Context,
    per_isa::per_isa,
    rows::{BLOCK, chunk_of, doubles, lane_count, part_values, repeat, row_count, split_doubles},
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
    let mut unwanted = ctx.pool.take(normalization.mean.len());
    let grad_gamma = grad_gamma.unwrap_or(&mut unwanted);
    let sums = NormSums::of(ctx, normalization.mean, x, grad_y)?;
    sums.parameter_gradients(normalization.inverse_std, grad_gamma, grad_beta)?;
    InputGradient::through_batch(ctx, normalization, rows, grad_gamma, grad_beta)?
        .apply_all(ctx, x, grad_y, grad_x)
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
    check(normalization, x, grad_y, grad_x, grad_gamma.as_deref(), grad_beta)?;
    let mut unwanted = ctx.pool.take(normalization.mean.len());
    let sums = NormSums::of(ctx, normalization.mean, x, grad_y)?;
    sums.parameter_gradients(normalization.inverse_std, grad_gamma.unwrap_or(&mut unwanted), grad_beta)?;
    InputGradient::new(ctx, normalization, |_| (0.0, 0.0)).apply_all(ctx, x, grad_y, grad_x)
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

/// The two sums over rows that all gradients are made of: of the gradient, and
/// of the gradient times `x - mean`, channel by channel.
pub struct NormSums {
    channels: usize,
    /// Repeated over the lanes of a step.
    mean: Buffer,
    /// Sums and products in f64, then room for a block's in f32.
    sums: Buffer,
}

impl NormSums {
    /// Sums of nothing yet, for batch statistics with this `mean`.
    pub fn new(ctx: &Context, mean: &[f32]) -> Self {
        let lanes = lane_count(mean.len());
        let mut mean_lanes = ctx.pool.take(lanes);
        repeat(mean, &mut mean_lanes);
        Self { channels: mean.len(), mean: mean_lanes, sums: ctx.pool.take_zeroed(6 * lanes) }
    }

    /// The sums of `grad_y` and `grad_y (x - mean)`, both (rows, channels), in
    /// [`REDUCTION_PARTS`] parts on all threads.
    ///
    /// # Errors
    /// [`ShapeError`] when `x` is not whole rows or `grad_y` has another length.
    pub fn of(ctx: &Context, mean: &[f32], x: &[f32], grad_y: &[f32]) -> Result<Self, ShapeError> {
        const OP: &str = "batch norm sums";
        let rows = row_count(OP, "x", mean.len(), x.len())?;
        ShapeError::check(OP, "grad_y", x.len(), grad_y.len())?;
        let mut parts: Vec<Self> = (0..REDUCTION_PARTS).map(|_| Self::new(ctx, mean)).collect();
        parts.par_iter_mut().enumerate().for_each(|(part, sums)| {
            let values = part_values(rows, mean.len(), part);
            sums.add(ctx, &x[values.clone()], &grad_y[values]);
        });
        let mut parts = parts.into_iter();
        let mut total = parts.next().unwrap_or_else(|| Self::new(ctx, mean));
        parts.for_each(|part| total.merge(&part));
        Ok(total)
    }

    /// Sums of nothing yet, for the same statistics.
    pub(crate) fn like(&self, ctx: &Context) -> Self {
        Self::new(ctx, &self.mean[..self.channels])
    }

    /// Adds the rows of `x` and `grad_y`, on this thread.
    pub(crate) fn add(&mut self, ctx: &Context, x: &[f32], grad_y: &[f32]) {
        let lanes = self.mean.len();
        let (totals, block) = split_doubles(&mut self.sums, 2 * lanes);
        let (sums, products) = block.split_at_mut(lanes);
        for (x, grad_y) in x.chunks(BLOCK * lanes).zip(grad_y.chunks(BLOCK * lanes)) {
            sums.fill(0.0);
            products.fill(0.0);
            add_products(ctx, x, grad_y, &self.mean, sums, products);
            let block = sums.iter().chain(&*products);
            totals.iter_mut().zip(block).for_each(|(total, &block)| *total += f64::from(block));
        }
    }

    /// Adds the sums of other rows.
    pub(crate) fn merge(&mut self, other: &Self) {
        let lanes = self.mean.len();
        let (totals, _) = split_doubles(&mut self.sums, 2 * lanes);
        totals.iter_mut().zip(doubles(&other.sums, 2 * lanes)).for_each(|(total, other)| *total += other);
    }

    /// `grad_beta = sum(grad_y)` and `grad_gamma = sum(grad_y (x - mean)) inverse_std`,
    /// overwriting both; one value a channel.
    ///
    /// # Errors
    /// [`ShapeError`] when a length does not match.
    pub fn parameter_gradients(
        &self,
        inverse_std: &[f32],
        grad_gamma: &mut [f32],
        grad_beta: &mut [f32],
    ) -> Result<(), ShapeError> {
        const OP: &str = "batch norm parameter gradients";
        ShapeError::check(OP, "inverse_std", self.channels, inverse_std.len())?;
        ShapeError::check(OP, "grad_gamma", self.channels, grad_gamma.len())?;
        ShapeError::check(OP, "grad_beta", self.channels, grad_beta.len())?;
        let lanes = self.mean.len();
        let (sums, products) = doubles(&self.sums, 2 * lanes).split_at(lanes);
        let total =
            |lanes: &[f64], channel: usize| lanes[channel..].iter().step_by(self.channels).sum::<f64>();
        for channel in 0..self.channels {
            grad_beta[channel] = total(sums, channel) as f32;
            grad_gamma[channel] = (total(products, channel) * f64::from(inverse_std[channel])) as f32;
        }
        Ok(())
    }
}

impl std::fmt::Debug for NormSums {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NormSums of {} channels", self.channels)
    }
}

/// The gradient of the input from that of the output, row by row:
/// `grad_x = factor (grad_y + constant + slope (x - mean))`.
pub struct InputGradient {
    /// Factor, constant, slope and mean, each repeated over the lanes of a step.
    coefficients: Buffer,
}

impl InputGradient {
    /// The gradient through the batch's own statistics over `rows` rows; see
    /// [`backward`].
    ///
    /// # Errors
    /// [`ShapeError`] when a length does not match.
    pub fn through_batch(
        ctx: &Context,
        normalization: Normalization<'_>,
        rows: usize,
        grad_gamma: &[f32],
        grad_beta: &[f32],
    ) -> Result<Self, ShapeError> {
        const OP: &str = "batch norm input gradient";
        let channels = normalization.mean.len();
        ShapeError::check(OP, "inverse_std", channels, normalization.inverse_std.len())?;
        ShapeError::check(OP, "grad_gamma", channels, grad_gamma.len())?;
        ShapeError::check(OP, "grad_beta", channels, grad_beta.len())?;
        Ok(Self::new(ctx, normalization, |channel| {
            let per_row = 1.0 / rows as f32;
            let inverse_std = normalization.inverse_std[channel];
            (-grad_beta[channel] * per_row, -grad_gamma[channel] * inverse_std * per_row)
        }))
    }

    /// `terms` gives (constant, slope) of a channel.
    fn new(ctx: &Context, normalization: Normalization<'_>, terms: impl Fn(usize) -> (f32, f32)) -> Self {
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
        Self { coefficients }
    }

    /// Overwrites `grad_x`, on all threads. `x`, `grad_y` and `grad_x` are rows
    /// of as many channels as the normalization.
    ///
    /// # Errors
    /// [`ShapeError`] when the lengths differ.
    pub fn apply_all(
        &self,
        ctx: &Context,
        x: &[f32],
        grad_y: &[f32],
        grad_x: &mut [f32],
    ) -> Result<(), ShapeError> {
        const OP: &str = "batch norm input gradient";
        ShapeError::check(OP, "grad_y", x.len(), grad_y.len())?;
        ShapeError::check(OP, "grad_x", x.len(), grad_x.len())?;
        let chunk = chunk_of(self.coefficients.len() / 4);
        grad_x
            .par_chunks_mut(chunk)
            .zip(x.par_chunks(chunk).zip(grad_y.par_chunks(chunk)))
            .for_each(|(grad_x, (x, grad_y))| self.apply(ctx, x, grad_y, grad_x));
        Ok(())
    }

    /// Overwrites `grad_x`, on this thread.
    pub(crate) fn apply(&self, ctx: &Context, x: &[f32], grad_y: &[f32], grad_x: &mut [f32]) {
        let lanes = self.coefficients.len() / 4;
        let (factor, rest) = self.coefficients.split_at(lanes);
        let (constant, rest) = rest.split_at(lanes);
        let (slope, mean) = rest.split_at(lanes);
        gradient_chunk(ctx, x, grad_y, factor, constant, slope, mean, grad_x);
    }
}

impl std::fmt::Debug for InputGradient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InputGradient of {} lanes", self.coefficients.len() / 4)
    }
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
