//! Batch normalisation (Ioffe and Szegedy 2015) of channels-last maps.
//!
//! Forward it is two passes over the map: [`statistics`] reads it, [`apply`]
//! scales and shifts it; [`fold`] makes the scale and the shift in between, and
//! is all that inference needs. Backward, too, one pass sums and one writes.
//! The number of channels is the length of the per-channel slices.

pub use backward::{InputGradient, NormSums, Normalization, backward, backward_inference};
pub(crate) use statistics::MomentSums;
pub use statistics::statistics;

mod backward;
mod statistics;

use rayon::prelude::*;

use crate::{
    activation::{Activation, elu, relu},
    error::ShapeError,
    isa::Context,
    per_isa::per_isa,
    rows::{chunk_of, lane_count, repeat, row_count},
};

/// `inverse_std[c] = 1 / sqrt(variance[c] + epsilon)`, overwriting it.
///
/// # Errors
/// [`ShapeError`] when the lengths differ.
pub fn inverse_std(variance: &[f32], epsilon: f32, inverse_std: &mut [f32]) -> Result<(), ShapeError> {
    ShapeError::check("inverse standard deviation", "inverse_std", variance.len(), inverse_std.len())?;
    for (inverse, &variance) in inverse_std.iter_mut().zip(variance) {
        *inverse = (1.0 / (f64::from(variance) + f64::from(epsilon)).sqrt()) as f32;
    }
    Ok(())
}

/// The scale and shift that normalise: with `s = 1 / sqrt(variance + epsilon)`,
/// `scale = gamma s` and `shift = beta - mean gamma s`, overwriting both. All
/// slices have one value a channel; without `gamma` (Inception V3) it is 1.
///
/// # Errors
/// [`ShapeError`] when the lengths differ.
#[allow(clippy::too_many_arguments, reason = "batch normalisation has this many per-channel vectors")]
pub fn fold(
    gamma: Option<&[f32]>,
    beta: &[f32],
    mean: &[f32],
    variance: &[f32],
    epsilon: f32,
    scale: &mut [f32],
    shift: &mut [f32],
) -> Result<(), ShapeError> {
    const OP: &str = "batch norm fold";
    let channels = mean.len();
    ShapeError::check(OP, "gamma", channels, gamma.map_or(channels, <[f32]>::len))?;
    ShapeError::check(OP, "beta", channels, beta.len())?;
    ShapeError::check(OP, "variance", channels, variance.len())?;
    ShapeError::check(OP, "scale", channels, scale.len())?;
    ShapeError::check(OP, "shift", channels, shift.len())?;
    for c in 0..channels {
        let gamma = gamma.map_or(1.0, |gamma| f64::from(gamma[c]));
        let folded = gamma / (f64::from(variance[c]) + f64::from(epsilon)).sqrt();
        scale[c] = folded as f32;
        shift[c] = (f64::from(beta[c]) - f64::from(mean[c]) * folded) as f32;
    }
    Ok(())
}

/// `y[row][c] = x[row][c] * scale[c] + shift[c]`, overwriting `y`. `x` and `y`
/// are (rows, channels), a row a pixel of the batch.
///
/// ```
/// use decouple_kernels::{isa::Context, norm};
/// let (ctx, x) = (Context::best(), [1.0, 10.0, 3.0, 30.0]);
/// let (mut mean, mut variance) = ([0.0; 2], [0.0; 2]);
/// norm::statistics(&ctx, &x, &mut mean, &mut variance)?;
/// assert_eq!((mean, variance), ([2.0, 20.0], [1.0, 100.0]));
/// let (mut scale, mut shift, mut y) = ([0.0; 2], [0.0; 2], [0.0; 4]);
/// norm::fold(None, &[0.0; 2], &mean, &variance, 0.0, &mut scale, &mut shift)?;
/// norm::apply(&ctx, &x, &scale, &shift, &mut y)?;
/// assert_eq!(y, [-1.0, -1.0, 1.0, 1.0]);
/// # Ok::<(), decouple_kernels::error::ShapeError>(())
/// ```
///
/// # Errors
/// [`ShapeError`] when `x` is not whole rows or another length does not match.
pub fn apply(
    ctx: &Context,
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    y: &mut [f32],
) -> Result<(), ShapeError> {
    apply_then(ctx, None, x, scale, shift, y)
}

/// [`apply`] followed by an activation, in one pass.
///
/// # Errors
/// As [`apply`].
pub fn apply_activated(
    ctx: &Context,
    activation: Activation,
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    y: &mut [f32],
) -> Result<(), ShapeError> {
    apply_then(ctx, Some(activation), x, scale, shift, y)
}

fn apply_then(
    ctx: &Context,
    activation: Option<Activation>,
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    y: &mut [f32],
) -> Result<(), ShapeError> {
    const OP: &str = "batch norm apply";
    row_count(OP, "x", scale.len(), x.len())?;
    ShapeError::check(OP, "shift", scale.len(), shift.len())?;
    ShapeError::check(OP, "y", x.len(), y.len())?;
    let lanes = lane_count(scale.len());
    let mut coefficients = ctx.pool.take(2 * lanes);
    let (scale_lanes, shift_lanes) = coefficients.split_at_mut(lanes);
    repeat(scale, scale_lanes);
    repeat(shift, shift_lanes);
    let chunk = chunk_of(lanes);
    y.par_chunks_mut(chunk)
        .zip(x.par_chunks(chunk))
        .for_each(|(y, x)| apply_chunk(ctx, activation, x, scale_lanes, shift_lanes, y));
    Ok(())
}

per_isa! {
    pub(crate) fn apply_chunk(activation: Option<Activation>, x: &[f32], scale: &[f32], shift: &[f32], y: &mut [f32]) {
        match activation {
            None => scale_shift(x, scale, shift, y, |value| value),
            Some(Activation::Relu) => scale_shift(x, scale, shift, y, relu),
            Some(Activation::Elu) => scale_shift(x, scale, shift, y, elu),
        }
    }
}

#[inline(always)]
fn scale_shift(x: &[f32], scale: &[f32], shift: &[f32], y: &mut [f32], activation: impl Fn(f32) -> f32) {
    for (y, x) in y.chunks_mut(scale.len()).zip(x.chunks(scale.len())) {
        for ((y, x), (scale, shift)) in y.iter_mut().zip(x).zip(scale.iter().zip(shift)) {
            *y = activation(x * scale + shift);
        }
    }
}

/// Which variance the running statistics follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunningVariance {
    /// The sum of squared deviations over the number of values, as in Keras.
    Biased,
    /// Over the number of values less one, as in PyTorch. Of a single value it
    /// is the biased one: zero.
    Unbiased,
}

/// `running = (1 - momentum) running + momentum batch`, for mean and variance.
/// `mean` and `variance` are [`statistics`] over `count` values a channel.
///
/// # Errors
/// [`ShapeError`] when the lengths differ.
#[allow(clippy::too_many_arguments, reason = "batch normalisation has this many per-channel vectors")]
pub fn update_running(
    momentum: f32,
    kind: RunningVariance,
    count: usize,
    mean: &[f32],
    variance: &[f32],
    running_mean: &mut [f32],
    running_variance: &mut [f32],
) -> Result<(), ShapeError> {
    const OP: &str = "batch norm running statistics";
    ShapeError::check(OP, "variance", mean.len(), variance.len())?;
    ShapeError::check(OP, "running_mean", mean.len(), running_mean.len())?;
    ShapeError::check(OP, "running_variance", mean.len(), running_variance.len())?;
    let correction = match kind {
        RunningVariance::Unbiased if count > 1 => (count as f64 / (count - 1) as f64) as f32,
        _ => 1.0,
    };
    for (running, mean) in running_mean.iter_mut().zip(mean) {
        *running = (1.0 - momentum) * *running + momentum * mean;
    }
    for (running, variance) in running_variance.iter_mut().zip(variance) {
        *running = (1.0 - momentum) * *running + momentum * (variance * correction);
    }
    Ok(())
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
