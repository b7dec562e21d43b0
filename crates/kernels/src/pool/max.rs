//! The maximum of every window.

use rayon::prelude::*;

use super::{Axis, rows_per_task};
use crate::{error::ShapeError, geometry::PoolGeometry, isa::Context, per_isa::per_isa};

/// `y[n][oy][ox][c]`: the maximum of `x[n][..][..][c]` over window (oy, ox),
/// overwriting `y`. Padding never wins; a value that is not a number does.
///
/// `x` is (n, in_h, in_w, c), `y` (n, out_h, out_w, c).
///
/// # Errors
/// [`ShapeError`] when `x` is not whole images or `y` has another batch.
pub fn max_forward(ctx: &Context, g: &PoolGeometry, x: &[f32], y: &mut [f32]) -> Result<(), ShapeError> {
    check_forward(g, x, y.len())?;
    let row_len = g.output().w * g.output().c;
    y.par_chunks_mut(row_len).with_min_len(rows_per_task(row_len)).enumerate().for_each(|(row, y)| {
        max_row(ctx, g, row, x, y);
    });
    Ok(())
}

/// [`max_forward`] for training: also writes `argmax`, of `y`'s shape, which
/// tap of its window each maximum came from, counted row by row. Among equal
/// values it is the first (in PyTorch, too). One byte a result is all that the
/// backward pass needs, so neither `x` nor `y` need be kept for it.
///
/// # Errors
/// As [`max_forward`], or when `argmax` differs from `y` in length or the window
/// has more taps (`window`) than the 256 that a byte tells apart.
pub fn max_forward_indexed(
    ctx: &Context,
    g: &PoolGeometry,
    x: &[f32],
    y: &mut [f32],
    argmax: &mut [u8],
) -> Result<(), ShapeError> {
    check_forward(g, x, y.len())?;
    check_argmax("max pooling", g, y.len(), argmax.len())?;
    let row_len = g.output().w * g.output().c;
    y.par_chunks_mut(row_len)
        .zip(argmax.par_chunks_mut(row_len))
        .with_min_len(rows_per_task(row_len))
        .enumerate()
        .for_each(|(row, (y, argmax))| max_row_indexed(ctx, g, row, x, y, argmax));
    Ok(())
}

/// The gradient of the maximum: each value of `grad_y` goes to the pixel that
/// `argmax` (from [`max_forward_indexed`]) names. Overwrites `grad_x`.
///
/// `grad_y` and `argmax` are (n, out_h, out_w, c), `grad_x` is (n, in_h, in_w, c).
///
/// # Errors
/// [`ShapeError`] as [`max_forward_indexed`].
pub fn max_backward(
    ctx: &Context,
    g: &PoolGeometry,
    argmax: &[u8],
    grad_y: &[f32],
    grad_x: &mut [f32],
) -> Result<(), ShapeError> {
    const OP: &str = "max pooling backward";
    let batch = ShapeError::batch(OP, "grad_y", g.output().len(), grad_y.len())?;
    ShapeError::check(OP, "grad_x", batch * g.input().len(), grad_x.len())?;
    check_argmax(OP, g, grad_y.len(), argmax.len())?;
    let row_len = g.input().w * g.input().c;
    grad_x.par_chunks_mut(row_len).with_min_len(rows_per_task(row_len)).enumerate().for_each(
        |(row, grad_x)| {
            max_row_backward(ctx, g, row, argmax, grad_y, grad_x);
        },
    );
    Ok(())
}

fn check_forward(g: &PoolGeometry, x: &[f32], y_len: usize) -> Result<(), ShapeError> {
    const OP: &str = "max pooling";
    let batch = ShapeError::batch(OP, "x", g.input().len(), x.len())?;
    ShapeError::check(OP, "y", batch * g.output().len(), y_len)
}

fn check_argmax(op: &'static str, g: &PoolGeometry, expected: usize, found: usize) -> Result<(), ShapeError> {
    let taps = g.window() * g.window();
    if taps > 256 {
        return Err(ShapeError { op, argument: "window", expected: 256, found: taps });
    }
    ShapeError::check(op, "argmax", expected, found)
}

per_isa! {
    /// One row of maxima; `row` counts over the whole batch.
    fn max_row(g: &PoolGeometry, row: usize, x: &[f32], y: &mut [f32]) {
        match g.input().c {
            16.. => max_lanes::<16, false>(g, row, x, y, &mut []),
            4.. => max_lanes::<4, false>(g, row, x, y, &mut []),
            _ => max_lanes::<1, false>(g, row, x, y, &mut []),
        }
    }

    fn max_row_indexed(g: &PoolGeometry, row: usize, x: &[f32], y: &mut [f32], argmax: &mut [u8]) {
        match g.input().c {
            16.. => max_lanes::<16, true>(g, row, x, y, argmax),
            4.. => max_lanes::<4, true>(g, row, x, y, argmax),
            _ => max_lanes::<1, true>(g, row, x, y, argmax),
        }
    }

    /// One row of the gradient; `row` counts over the whole batch.
    fn max_row_backward(g: &PoolGeometry, row: usize, argmax: &[u8], grad_y: &[f32], grad_x: &mut [f32]) {
        match g.input().c {
            16.. => max_lanes_backward::<16>(g, row, argmax, grad_y, grad_x),
            4.. => max_lanes_backward::<4>(g, row, argmax, grad_y, grad_x),
            _ => max_lanes_backward::<1>(g, row, argmax, grad_y, grad_x),
        }
    }
}

#[inline(always)]
fn max_lanes<const LANES: usize, const INDEXED: bool>(
    g: &PoolGeometry,
    row: usize,
    x: &[f32],
    y: &mut [f32],
    argmax: &mut [u8],
) {
    let (rows, columns) = Axis::pair(g);
    let (image, out_row) = (row / rows.outputs, row % rows.outputs);
    let channels = g.input().c;
    let x = &x[image * g.input().len()..][..g.input().len()];
    let in_rows = rows.covered(out_row);
    for out_column in 0..columns.outputs {
        let in_columns = columns.covered(out_column);
        let tap = |in_row, in_column| {
            (rows.tap(in_row, out_row) * rows.window + columns.tap(in_column, out_column)) as u32
        };
        for start in tiles(channels, LANES) {
            let mut best = [f32::NEG_INFINITY; LANES];
            let mut index = [tap(in_rows.start, in_columns.start); LANES];
            for in_row in in_rows.clone() {
                for in_column in in_columns.clone() {
                    let values: &[f32; LANES] =
                        lanes_at(x, channels, in_row * columns.inputs + in_column, start);
                    let tap = tap(in_row, in_column);
                    for lane in 0..LANES {
                        let wins = values[lane] > best[lane] || values[lane].is_nan();
                        best[lane] = if wins { values[lane] } else { best[lane] };
                        index[lane] = if wins { tap } else { index[lane] };
                    }
                }
            }
            y[out_column * channels + start..][..LANES].copy_from_slice(&best);
            if INDEXED {
                argmax[out_column * channels + start..][..LANES].copy_from_slice(&index.map(|tap| tap as u8));
            }
        }
    }
}

#[inline(always)]
fn max_lanes_backward<const LANES: usize>(
    g: &PoolGeometry,
    row: usize,
    argmax: &[u8],
    grad_y: &[f32],
    grad_x: &mut [f32],
) {
    let (rows, columns) = Axis::pair(g);
    let (image, in_row) = (row / rows.inputs, row % rows.inputs);
    let channels = g.input().c;
    let results = image * g.output().len()..(image + 1) * g.output().len();
    let (argmax, grad_y) = (&argmax[results.clone()], &grad_y[results]);
    let out_rows = rows.covering(in_row);
    for in_column in 0..columns.inputs {
        let out_columns = columns.covering(in_column);
        for start in tiles(channels, LANES) {
            let mut sum = [0.0; LANES];
            for out_row in out_rows.clone() {
                for out_column in out_columns.clone() {
                    let pixel = out_row * columns.outputs + out_column;
                    let tap = rows.tap(in_row, out_row) * rows.window + columns.tap(in_column, out_column);
                    let taps: &[u8; LANES] = lanes_at(argmax, channels, pixel, start);
                    let grads: &[f32; LANES] = lanes_at(grad_y, channels, pixel, start);
                    for lane in 0..LANES {
                        // A mask instead of a condition: LLVM would make it a branch a lane.
                        let mask = u32::from(taps[lane] == tap as u8).wrapping_neg();
                        sum[lane] += f32::from_bits(grads[lane].to_bits() & mask);
                    }
                }
            }
            grad_x[in_column * channels + start..][..LANES].copy_from_slice(&sum);
        }
    }
}

/// Starts of tiles of `lanes` channels that cover all `channels >= lanes`. The
/// last overlaps the one before where `lanes` does not divide `channels`.
#[inline(always)]
fn tiles(channels: usize, lanes: usize) -> impl Iterator<Item = usize> {
    (0..channels).step_by(lanes).map(move |start| start.min(channels - lanes))
}

/// `lanes` values of pixel `pixel`, from channel `start` on.
#[inline(always)]
fn lanes_at<const LANES: usize, T>(map: &[T], channels: usize, pixel: usize, start: usize) -> &[T; LANES] {
    let values = &map[pixel * channels + start..][..LANES];
    values.try_into().expect("a slice of LANES values")
}
