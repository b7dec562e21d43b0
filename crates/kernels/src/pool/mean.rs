//! The mean of every window.

use std::ops::Range;

use rayon::prelude::*;

use super::{Axis, rows_per_task};
use crate::{error::ShapeError, geometry::PoolGeometry, isa::Context, per_isa::per_isa};

/// `y[n][oy][ox][c]`: the mean of `x[n][..][..][c]` over window (oy, ox),
/// overwriting `y`. With `include_padding` the sum is divided by the window's
/// full size (timm, PyTorch), without by the number of pixels under it (Keras).
///
/// `x` is (n, in_h, in_w, c), `y` (n, out_h, out_w, c).
///
/// # Errors
/// [`ShapeError`] when `x` is not whole images or `y` has another batch.
pub fn mean_forward(
    ctx: &Context,
    g: &PoolGeometry,
    include_padding: bool,
    x: &[f32],
    y: &mut [f32],
) -> Result<(), ShapeError> {
    const OP: &str = "mean pooling";
    let batch = ShapeError::batch(OP, "x", g.input().len(), x.len())?;
    ShapeError::check(OP, "y", batch * g.output().len(), y.len())?;
    let row_len = g.output().w * g.output().c;
    y.par_chunks_mut(row_len).with_min_len(rows_per_task(row_len)).enumerate().for_each(|(row, y)| {
        mean_row(ctx, g, include_padding, row, x, y);
    });
    Ok(())
}

/// The gradient of [`mean_forward`]: every pixel under a window receives its
/// share of the window's `grad_y`. Overwrites `grad_x`.
///
/// # Errors
/// [`ShapeError`] when `grad_y` is not whole results or `grad_x` has another
/// batch.
pub fn mean_backward(
    ctx: &Context,
    g: &PoolGeometry,
    include_padding: bool,
    grad_y: &[f32],
    grad_x: &mut [f32],
) -> Result<(), ShapeError> {
    const OP: &str = "mean pooling backward";
    let batch = ShapeError::batch(OP, "grad_y", g.output().len(), grad_y.len())?;
    ShapeError::check(OP, "grad_x", batch * g.input().len(), grad_x.len())?;
    let row_len = g.input().w * g.input().c;
    grad_x.par_chunks_mut(row_len).with_min_len(rows_per_task(row_len)).enumerate().for_each(
        |(row, grad_x)| {
            mean_row_backward(ctx, g, include_padding, row, grad_y, grad_x);
        },
    );
    Ok(())
}

per_isa! {
    /// One row of means; `row` counts over the whole batch.
    fn mean_row(g: &PoolGeometry, include_padding: bool, row: usize, x: &[f32], y: &mut [f32]) {
        let (rows, columns) = Axis::pair(g);
        let (image, out_row) = (row / rows.outputs, row % rows.outputs);
        let x = &x[image * g.input().len()..][..g.input().len()];
        let source = Source { map: x, width: columns.inputs, channels: g.input().c };
        for (out_column, y) in y.chunks_exact_mut(source.channels).enumerate() {
            let factor = factor(g, include_padding, out_row, out_column);
            source.weighted_sum(rows.covered(out_row), columns.covered(out_column), |_, _| factor, y);
        }
    }

    /// One row of the gradient; `row` counts over the whole batch.
    fn mean_row_backward(g: &PoolGeometry, include_padding: bool, row: usize, grad_y: &[f32], grad_x: &mut [f32]) {
        let (rows, columns) = Axis::pair(g);
        let (image, in_row) = (row / rows.inputs, row % rows.inputs);
        let grad_y = &grad_y[image * g.output().len()..][..g.output().len()];
        let source = Source { map: grad_y, width: columns.outputs, channels: g.input().c };
        for (in_column, grad_x) in grad_x.chunks_exact_mut(source.channels).enumerate() {
            let factor = |out_row, out_column| factor(g, include_padding, out_row, out_column);
            source.weighted_sum(rows.covering(in_row), columns.covering(in_column), factor, grad_x);
        }
    }
}

/// What every pixel under window (`out_row`, `out_column`) counts.
#[inline(always)]
fn factor(g: &PoolGeometry, include_padding: bool, out_row: usize, out_column: usize) -> f32 {
    let (rows, columns) = Axis::pair(g);
    let count = if include_padding {
        g.window() * g.window()
    } else {
        rows.covered(out_row).len() * columns.covered(out_column).len()
    };
    1.0 / count as f32
}

/// One image whose pixels are summed.
#[derive(Clone, Copy)]
struct Source<'a> {
    map: &'a [f32],
    width: usize,
    channels: usize,
}

impl Source<'_> {
    /// One pixel of results: the sum of the pixels in `rows` x `columns`, each
    /// times its weight.
    #[inline(always)]
    fn weighted_sum(
        self,
        rows: Range<usize>,
        columns: Range<usize>,
        weight: impl Fn(usize, usize) -> f32,
        result: &mut [f32],
    ) {
        result.fill(0.0);
        for row in rows {
            for column in columns.clone() {
                let weight = weight(row, column);
                let pixel = &self.map[(row * self.width + column) * self.channels..][..self.channels];
                result.iter_mut().zip(pixel).for_each(|(result, value)| *result += weight * value);
            }
        }
    }
}
