//! Convolution over channel segments: forward, gradient of the input, gradient
//! of the weights, for any kernel, stride, dilation, padding and groups.
//!
//! Maps are `[image][row][column][channel]`; weights are as
//! [`ConvGeometry`] describes them. All three functions overwrite their result
//! and give the same bits on any number of threads.

mod broadcast;
mod correlation;
mod gather;
mod outer;
mod panel;
mod prepared;
mod rounded;
mod strips;
#[cfg(test)]
mod tests;
mod window;
mod winograd;

use correlation::Correlation;
pub(crate) use correlation::Direction;
pub(crate) use prepared::{Prepared, WeightSums};
use strips::{for_each_strip, sum_over_strips};

use crate::{
    REDUCTION_PARTS,
    error::ShapeError,
    geometry::ConvGeometry,
    isa::Context,
    numerics::{Precision, Winograd},
};

/// Which family of kernels computes a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// A matrix product over the pixels of the whole batch.
    Pointwise,
    /// The same with factors rounded to bf16.
    PointwiseBf16,
    /// A matrix product that gathers its rows tap by tap.
    Broadcast,
    /// Small segments at stride 1: operands made in registers, one window a row.
    Window,
    /// Large segments, 3x3 at stride 1, where [`Numerics`](crate::numerics::Numerics)
    /// allow it: fewer products, of transformed tiles of 2x2 outputs.
    WinogradF2,
    /// The same of tiles of 4x4 outputs.
    WinogradF4,
}

/// The family that computes `g` over `batch` images with the instructions and
/// the numerics of `ctx`.
pub fn path(g: &ConvGeometry, batch: usize, ctx: &Context) -> Path {
    if g.is_pointwise() {
        match ctx.numerics().precision {
            Precision::F32 => Path::Pointwise,
            Precision::Bf16 => Path::PointwiseBf16,
        }
    } else if let Some(path) = winograd::path(g, batch, ctx.numerics().winograd) {
        path
    } else if window::fits(&Correlation::new(g, Direction::Forward), ctx.isa()) {
        Path::Window
    } else {
        Path::Broadcast
    }
}

/// The output: `y[n, p, o] = sum over taps t and inputs i of weights[o, i, t] * x[n, s(p, t), i]`,
/// where `s(p, t)` is the pixel under tap `t` of the window at `p` and padding
/// reads as zero. Correlation, as in every framework; no bias.
///
/// - `x`: `(n, h, w, in_c)`, read; the batch `n` follows from its length.
/// - `weights`: `g.weight_count()` values in the order that [`ConvGeometry`] tells.
/// - `y`: `(n, out_h, out_w, out_c)`, overwritten.
///
/// `n * g.macs()` multiply-adds; scratch for a packed copy of the weights.
///
/// # Errors
/// [`ShapeError`] when `x` is not a whole number of images or another slice
/// does not fit it.
///
/// ```
/// use decouple_kernels::{conv, geometry::*, isa::Context};
/// let g = ConvGeometry::new(MapShape::new(1, 3, 1), 1, ConvOptions::spatial(3, 1))?;
/// let horizontal_difference = [0., 0., 0., -1., 0., 1., 0., 0., 0.];
/// let mut y = [0.0; 3];
/// conv::forward(&Context::best(), &g, &[1., 5., 7.], &horizontal_difference, &mut y)?;
/// assert_eq!(y, [5., 6., -5.]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn forward(
    ctx: &Context,
    g: &ConvGeometry,
    x: &[f32],
    weights: &[f32],
    y: &mut [f32],
) -> Result<(), ShapeError> {
    const OP: &str = "conv forward";
    let batch = ShapeError::batch(OP, "x", g.input().len(), x.len())?;
    ShapeError::check(OP, "weights", g.weight_count(), weights.len())?;
    ShapeError::check(OP, "y", batch * g.output().len(), y.len())?;
    correlate(ctx, g, Direction::Forward, x, weights, y);
    Ok(())
}

/// The gradient of the input: `grad_x[n, s, i] = sum over (p, t) with s(p, t) = s and outputs o of
/// weights[o, i, t] * grad_y[n, p, o]`, the transpose of [`forward`].
///
/// - `grad_y`: `(n, out_h, out_w, out_c)`, read.
/// - `weights`: `g.weight_count()` values, read.
/// - `grad_x`: `(n, h, w, in_c)`, overwritten; the batch `n` follows from its length.
///
/// Computed as a convolution of `grad_y` with the flipped, transposed kernel:
/// `n * g.macs()` multiply-adds; scratch for a packed copy of the weights.
///
/// # Errors
/// [`ShapeError`] when `grad_x` is not a whole number of images or another
/// slice does not fit it.
pub fn backward_input(
    ctx: &Context,
    g: &ConvGeometry,
    grad_y: &[f32],
    weights: &[f32],
    grad_x: &mut [f32],
) -> Result<(), ShapeError> {
    const OP: &str = "conv backward_input";
    let batch = ShapeError::batch(OP, "grad_x", g.input().len(), grad_x.len())?;
    ShapeError::check(OP, "weights", g.weight_count(), weights.len())?;
    ShapeError::check(OP, "grad_y", batch * g.output().len(), grad_y.len())?;
    correlate(ctx, g, Direction::Backward, grad_y, weights, grad_x);
    Ok(())
}

/// The gradient of the weights: `grad_weights[o, i, t] = sum over n and p of
/// x[n, s(p, t), i] * grad_y[n, p, o]`.
///
/// - `x`: `(n, h, w, in_c)`, read; the batch `n` follows from its length.
/// - `grad_y`: `(n, out_h, out_w, out_c)`, read.
/// - `grad_weights`: `g.weight_count()` values, overwritten.
///
/// `n * g.macs()` multiply-adds; scratch for up to
/// [`REDUCTION_PARTS`] packed copies of the result,
/// which are summed in a fixed order.
///
/// # Errors
/// [`ShapeError`] when `x` is not a whole number of images or another slice
/// does not fit it.
pub fn backward_weights(
    ctx: &Context,
    g: &ConvGeometry,
    x: &[f32],
    grad_y: &[f32],
    grad_weights: &mut [f32],
) -> Result<(), ShapeError> {
    const OP: &str = "conv backward_weights";
    let batch = ShapeError::batch(OP, "x", g.input().len(), x.len())?;
    ShapeError::check(OP, "grad_y", batch * g.output().len(), grad_y.len())?;
    ShapeError::check(OP, "grad_weights", g.weight_count(), grad_weights.len())?;
    if batch == 0 {
        grad_weights.fill(0.0);
        return Ok(());
    }
    let sums = WeightSums::new(ctx, g, batch, batch);
    let sum = sum_over_strips(ctx, &sums.strips, sums.len(), |strip, is_first, part| {
        sums.add_strip(ctx, x, grad_y, &strip, is_first, part);
    });
    sums.finish(ctx, &sum, grad_weights);
    Ok(())
}

/// Values of scratch that [`backward_weights`] sums in, on any machine: what rounds a
/// segment up to whole vectors is left out.
pub fn gradient_scratch(g: &ConvGeometry, batch: usize, winograd: Winograd) -> usize {
    let taps = g.options().kernel_h * g.options().kernel_w;
    let places = match winograd::path(g, batch, winograd) {
        Some(Path::WinogradF2) => winograd::points::<winograd::F2>(),
        Some(Path::WinogradF4) => winograd::points::<winograd::F4>(),
        _ => taps,
    };
    g.weight_count() / taps * places * REDUCTION_PARTS.min(batch * g.output().h)
}

/// The sum that both directions share, over slices that fit the geometry.
fn correlate(
    ctx: &Context,
    g: &ConvGeometry,
    direction: Direction,
    source: &[f32],
    weights: &[f32],
    target: &mut [f32],
) {
    if target.is_empty() {
        return;
    }
    let source_len = match direction {
        Direction::Forward => g.input().len(),
        Direction::Backward => g.output().len(),
    };
    let batch = source.len() / source_len;
    let prepared = Prepared::new(ctx, g, batch, direction, weights);
    let c = prepared.correlation(batch);
    for_each_strip(&c, prepared.row_step(), source, target, |source, target, first_row| {
        prepared.rows(ctx, &c, source, target, first_row);
    });
}
