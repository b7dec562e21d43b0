//! The mean over a whole map.

use rayon::prelude::*;

use super::rows_per_task;
use crate::{error::ShapeError, geometry::MapShape, isa::Context, per_isa::per_isa};

/// `y[n][c]`: the mean over all pixels of `x[n][h][w][c]`, overwriting `y`.
///
/// # Errors
/// [`ShapeError`] when the map is empty, `x` is not whole images or `y` has
/// another batch.
pub fn global_mean_forward(ctx: &Context, map: MapShape, x: &[f32], y: &mut [f32]) -> Result<(), ShapeError> {
    const OP: &str = "global mean pooling";
    let batch = batch(OP, "x", map, x.len())?;
    ShapeError::check(OP, "y", batch * map.c, y.len())?;
    y.par_chunks_mut(map.c)
        .zip(x.par_chunks(map.len()))
        .with_min_len(rows_per_task(map.len()))
        .for_each(|(y, x)| mean_of_rows(ctx, x, y));
    Ok(())
}

/// The gradient of [`global_mean_forward`]: every pixel of `grad_x[n]` becomes
/// `grad_y[n] / (h * w)`, overwriting `grad_x`.
///
/// # Errors
/// [`ShapeError`] when the map is empty, `grad_x` is not whole images or
/// `grad_y` has another batch.
pub fn global_mean_backward(
    ctx: &Context,
    map: MapShape,
    grad_y: &[f32],
    grad_x: &mut [f32],
) -> Result<(), ShapeError> {
    const OP: &str = "global mean pooling backward";
    let batch = batch(OP, "grad_x", map, grad_x.len())?;
    ShapeError::check(OP, "grad_y", batch * map.c, grad_y.len())?;
    grad_x
        .par_chunks_mut(map.len())
        .zip(grad_y.par_chunks(map.c))
        .with_min_len(rows_per_task(map.len()))
        .for_each(|(grad_x, grad_y)| share_among_rows(ctx, grad_y, grad_x));
    Ok(())
}

fn batch(op: &'static str, argument: &'static str, map: MapShape, found: usize) -> Result<usize, ShapeError> {
    if map.is_empty() {
        return Err(ShapeError { op, argument: "map", expected: 1, found: 0 });
    }
    ShapeError::batch(op, argument, map.len(), found)
}

per_isa! {
    /// The mean of all rows of `y.len()` values, four at a time so that the sums
    /// are loaded and stored less often.
    fn mean_of_rows(x: &[f32], y: &mut [f32]) {
        let channels = y.len();
        y.fill(0.0);
        let mut quads = x.chunks_exact(4 * channels);
        for quad in &mut quads {
            let (x01, x23) = quad.split_at(2 * channels);
            let ((x0, x1), (x2, x3)) = (x01.split_at(channels), x23.split_at(channels));
            for (y, ((x0, x1), (x2, x3))) in y.iter_mut().zip(x0.iter().zip(x1).zip(x2.iter().zip(x3))) {
                *y += (x0 + x1) + (x2 + x3);
            }
        }
        for row in quads.remainder().chunks_exact(channels) {
            y.iter_mut().zip(row).for_each(|(y, x)| *y += x);
        }
        let factor = channels as f32 / x.len() as f32;
        y.iter_mut().for_each(|y| *y *= factor);
    }

    fn share_among_rows(grad_y: &[f32], grad_x: &mut [f32]) {
        let factor = grad_y.len() as f32 / grad_x.len() as f32;
        for row in grad_x.chunks_exact_mut(grad_y.len()) {
            row.iter_mut().zip(grad_y).for_each(|(grad_x, grad_y)| *grad_x = factor * grad_y);
        }
    }
}
