//! Operations on maps value by value: sums, scaling, biases; channels side by
//! side; dropout. All are bound by memory, so each touches every value once.

pub use concat::{concat, split};
pub use dropout::{Dropout, RateError};

mod concat;
mod dropout;

use rayon::prelude::*;

use crate::{
    REDUCTION_PARTS,
    error::ShapeError,
    isa::Context,
    per_isa::per_isa,
    rows::{BLOCK, CHUNK, chunk_of, lane_count, part_values, repeat, row_count, split_doubles},
};

/// `y = a + b`, overwriting `y`. All have the same number of values.
///
/// # Errors
/// [`ShapeError`] when the lengths differ.
pub fn add(ctx: &Context, a: &[f32], b: &[f32], y: &mut [f32]) -> Result<(), ShapeError> {
    ShapeError::check("add", "b", a.len(), b.len())?;
    ShapeError::check("add", "y", a.len(), y.len())?;
    y.par_chunks_mut(CHUNK)
        .zip(a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK)))
        .for_each(|(y, (a, b))| add_chunk(ctx, a, b, y));
    Ok(())
}

/// `destination += source`.
///
/// # Errors
/// [`ShapeError`] when the lengths differ.
pub fn accumulate(ctx: &Context, destination: &mut [f32], source: &[f32]) -> Result<(), ShapeError> {
    ShapeError::check("accumulate", "source", destination.len(), source.len())?;
    destination
        .par_chunks_mut(CHUNK)
        .zip(source.par_chunks(CHUNK))
        .for_each(|(destination, source)| accumulate_chunk(ctx, destination, source));
    Ok(())
}

/// `y = factor * x`, overwriting `y`.
///
/// # Errors
/// [`ShapeError`] when the lengths differ.
pub fn scale(ctx: &Context, factor: f32, x: &[f32], y: &mut [f32]) -> Result<(), ShapeError> {
    ShapeError::check("scale", "y", x.len(), y.len())?;
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| scale_chunk(ctx, factor, x, y));
    Ok(())
}

/// `x *= factor`.
pub fn scale_in_place(ctx: &Context, factor: f32, x: &mut [f32]) {
    x.par_chunks_mut(CHUNK).for_each(|x| scale_in_place_chunk(ctx, factor, x));
}

/// `x += bias` in every row of `x` (rows, channels); `bias` has one value a
/// channel.
///
/// # Errors
/// [`ShapeError`] when `x` is not whole rows of `bias.len()` values.
pub fn add_bias(ctx: &Context, bias: &[f32], x: &mut [f32]) -> Result<(), ShapeError> {
    row_count("add bias", "x", bias.len(), x.len())?;
    let mut lanes = ctx.pool.take(lane_count(bias.len()));
    repeat(bias, &mut lanes);
    x.par_chunks_mut(chunk_of(lanes.len())).for_each(|x| {
        for row in x.chunks_mut(lanes.len()) {
            accumulate_chunk(ctx, row, &lanes);
        }
    });
    Ok(())
}

/// `grad_bias[c] = sum over rows of grad_y[row][c]`, overwriting `grad_bias`:
/// what [`add_bias`] passes back. Sums of up to 64 rows are taken in f32, sums
/// of those in f64, over [`REDUCTION_PARTS`] fixed parts.
///
/// # Errors
/// [`ShapeError`] when `grad_y` is not whole rows of `grad_bias.len()` values.
pub fn bias_gradient(ctx: &Context, grad_y: &[f32], grad_bias: &mut [f32]) -> Result<(), ShapeError> {
    let channels = grad_bias.len();
    let rows = row_count("bias gradient", "grad_y", channels, grad_y.len())?;
    let lanes = lane_count(channels);
    let mut scratch = ctx.pool.take(REDUCTION_PARTS * 3 * lanes);
    let (sums, blocks) = split_doubles(&mut scratch, REDUCTION_PARTS * lanes);
    sums.par_chunks_mut(lanes).zip(blocks.par_chunks_mut(lanes)).enumerate().for_each(
        |(part, (sums, block))| {
            sums.fill(0.0);
            for rows in grad_y[part_values(rows, channels, part)].chunks(BLOCK * lanes) {
                block.fill(0.0);
                for row in rows.chunks(lanes) {
                    accumulate_chunk(ctx, block, row);
                }
                sums.iter_mut().zip(&*block).for_each(|(sum, &block)| *sum += f64::from(block));
            }
        },
    );
    // Lanes of one channel lie `channels` apart, over the parts as well.
    for (channel, grad) in grad_bias.iter_mut().enumerate() {
        *grad = sums[channel..].iter().step_by(channels).sum::<f64>() as f32;
    }
    Ok(())
}

per_isa! {
    fn add_chunk(a: &[f32], b: &[f32], y: &mut [f32]) {
        y.iter_mut().zip(a.iter().zip(b)).for_each(|(y, (a, b))| *y = a + b);
    }

    fn accumulate_chunk(destination: &mut [f32], source: &[f32]) {
        destination.iter_mut().zip(source).for_each(|(destination, source)| *destination += source);
    }

    fn scale_chunk(factor: f32, x: &[f32], y: &mut [f32]) {
        y.iter_mut().zip(x).for_each(|(y, x)| *y = factor * x);
    }

    fn scale_in_place_chunk(factor: f32, x: &mut [f32]) {
        x.iter_mut().for_each(|x| *x *= factor);
    }
}

#[cfg(test)]
mod tests;
