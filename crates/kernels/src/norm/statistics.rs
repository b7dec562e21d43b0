//! Mean and variance of every channel in one pass over a map, exact also where
//! the mean is large against the standard deviation.

use rayon::prelude::*;

use crate::{
    REDUCTION_PARTS,
    buffer::Buffer,
    error::ShapeError,
    isa::Context,
    per_isa::per_isa,
    rows::{BLOCK, doubles, lane_count, part_values, row_count, split_doubles},
};

/// `mean[c]` and `variance[c]` (biased: over the number of values) of every
/// channel of `x` (rows, channels), overwriting both.
///
/// Values are summed as deviations from the mean so far, 64 at a time in f32;
/// such blocks are merged in f64 by the formula of Chan, Golub and LeVeque
/// (1983). The deviations in a block are large only where the block itself
/// raises the variance as much, so nothing cancels however far the mean is from
/// zero. Reads `x` once; scratch is 7 values a channel (of at least 64 lanes)
/// for each of [`REDUCTION_PARTS`].
///
/// # Errors
/// [`ShapeError`] when `x` is not whole rows of `mean.len()` values or holds
/// none, or `variance` has another length.
pub fn statistics(
    ctx: &Context,
    x: &[f32],
    mean: &mut [f32],
    variance: &mut [f32],
) -> Result<(), ShapeError> {
    const OP: &str = "batch norm statistics";
    let channels = mean.len();
    ShapeError::check(OP, "variance", channels, variance.len())?;
    let rows = row_count(OP, "x", channels, x.len())?;
    if rows == 0 {
        return Err(ShapeError { op: OP, argument: "x", expected: channels, found: 0 });
    }
    let mut parts = MomentSums::parts(ctx, channels);
    parts.par_iter_mut().enumerate().for_each(|(part, moments)| {
        moments.add(ctx, &x[part_values(rows, channels, part)]);
    });
    MomentSums::finish(&parts, mean, variance);
    Ok(())
}

/// Moments of every channel of one part of a map, which arrives in pieces.
pub(crate) struct MomentSums {
    channels: usize,
    count: f64,
    /// Mean and squared deviations of the pieces so far, one a channel; then of
    /// the lanes of a piece; then scratch in f32.
    buffer: Buffer,
}

impl MomentSums {
    /// One for each of the [`REDUCTION_PARTS`].
    pub(crate) fn parts(ctx: &Context, channels: usize) -> Vec<Self> {
        let len = 4 * channels + 7 * lane_count(channels);
        (0..REDUCTION_PARTS)
            .map(|_| Self { channels, count: 0.0, buffer: ctx.pool.take_zeroed(len) })
            .collect()
    }

    /// Adds the rows of `values`, on this thread.
    pub(crate) fn add(&mut self, ctx: &Context, values: &[f32]) {
        let (channels, lanes) = (self.channels, lane_count(self.channels));
        let (all, floats) = split_doubles(&mut self.buffer, 2 * channels + 2 * lanes);
        let (so_far, piece) = all.split_at_mut(2 * channels);
        let (means, squares) = piece.split_at_mut(lanes);
        lane_moments(ctx, values, means, squares, floats);
        fold_lanes(values, channels, means, squares);
        let count = (values.len() / channels) as f64;
        let (mean, square) = so_far.split_at_mut(channels);
        for channel in 0..channels {
            let before = Moments { count: self.count, mean: mean[channel], squares: square[channel] };
            let piece = Moments { count, mean: means[channel], squares: squares[channel] };
            let all = Moments::merged([before, piece].into_iter());
            (mean[channel], square[channel]) = (all.mean, all.squares);
        }
        self.count += count;
    }

    /// Mean and (biased) variance of all `parts` together, one a channel.
    pub(crate) fn finish(parts: &[Self], mean: &mut [f32], variance: &mut [f32]) {
        let channels = mean.len();
        for (channel, (mean, variance)) in mean.iter_mut().zip(variance).enumerate() {
            let all = Moments::merged(parts.iter().map(|part| {
                let moments = doubles(&part.buffer, 2 * channels);
                Moments { count: part.count, mean: moments[channel], squares: moments[channels + channel] }
            }));
            *mean = all.mean as f32;
            *variance = (all.squares / all.count) as f32;
        }
    }
}

/// What is known of a set of values: how many, their mean, and the sum of
/// their squared deviations from it.
#[derive(Clone, Copy)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// The moments of all sets together.
    fn merged(sets: impl Iterator<Item = Self> + Clone) -> Self {
        let count: f64 = sets.clone().map(|set| set.count).sum();
        let total: f64 = sets.clone().map(|set| set.count * set.mean).sum();
        let mean = if count > 0.0 { total / count } else { 0.0 };
        let squares = sets.map(|set| set.squares + set.count * (set.mean - mean).powi(2)).sum();
        Self { count, mean, squares }
    }
}

/// Mean and squared deviations of every lane over the whole steps in `values`;
/// `scratch` has room for three values a lane.
fn lane_moments(ctx: &Context, values: &[f32], means: &mut [f64], squares: &mut [f64], scratch: &mut [f32]) {
    let lanes = means.len();
    let (shift, scratch) = scratch.split_at_mut(lanes);
    let (block_sums, block_squares) = scratch.split_at_mut(lanes);
    means.fill(0.0);
    squares.fill(0.0);
    // The first deviations are from the first value: no mean is known yet.
    means.iter_mut().zip(values).for_each(|(mean, &value)| *mean = f64::from(value));
    let mut steps = 0;
    for block in values[..values.len() / lanes * lanes].chunks(BLOCK * lanes) {
        shift.iter_mut().zip(&*means).for_each(|(shift, &mean)| *shift = mean as f32);
        block_sums.fill(0.0);
        block_squares.fill(0.0);
        add_deviations(ctx, block, shift, block_sums, block_squares);
        let block_steps = block.len() / lanes;
        merge_block(ctx, steps, block_steps, shift, block_sums, block_squares, means, squares);
        steps += block_steps;
    }
}

/// Merges lanes that hold values of the same channel, and the pixels of a last
/// partial step, into the first `channels` entries.
fn fold_lanes(values: &[f32], channels: usize, means: &mut [f64], squares: &mut [f64]) {
    let lanes = means.len();
    if lanes == channels {
        return;
    }
    let steps = values.len() / lanes;
    let rest = &values[steps * lanes..];
    for channel in 0..channels {
        let lanes = (channel..lanes).step_by(channels).map(|lane| Moments {
            count: steps as f64,
            mean: means[lane],
            squares: squares[lane],
        });
        let rest = rest.iter().skip(channel).step_by(channels).map(|&value| Moments {
            count: 1.0,
            mean: f64::from(value),
            squares: 0.0,
        });
        let all = Moments::merged(lanes.chain(rest));
        (means[channel], squares[channel]) = (all.mean, all.squares);
    }
}

per_isa! {
    /// Adds up deviations from `shift` and their squares, four steps at a time
    /// so that the sums are loaded and stored less often.
    fn add_deviations(block: &[f32], shift: &[f32], sums: &mut [f32], squares: &mut [f32]) {
        let lanes = shift.len();
        let (sums, squares) = (&mut sums[..lanes], &mut squares[..lanes]);
        let mut quads = block.chunks_exact(4 * lanes);
        for quad in &mut quads {
            let (x0, x1, x2, x3) =
                (&quad[..lanes], &quad[lanes..][..lanes], &quad[2 * lanes..][..lanes], &quad[3 * lanes..][..lanes]);
            for lane in 0..lanes {
                let shift = shift[lane];
                let (d0, d1, d2, d3) = (x0[lane] - shift, x1[lane] - shift, x2[lane] - shift, x3[lane] - shift);
                sums[lane] += (d0 + d1) + (d2 + d3);
                squares[lane] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3);
            }
        }
        for x in quads.remainder().chunks_exact(lanes) {
            for lane in 0..lanes {
                let deviation = x[lane] - shift[lane];
                sums[lane] += deviation;
                squares[lane] += deviation * deviation;
            }
        }
    }

    /// Merges the sums of a block of `block_steps` with the moments of the
    /// `steps` before it.
    fn merge_block(
        steps: usize,
        block_steps: usize,
        shift: &[f32],
        block_sums: &[f32],
        block_squares: &[f32],
        means: &mut [f64],
        squares: &mut [f64],
    ) {
        let inverse = 1.0 / block_steps as f64;
        let share = block_steps as f64 / (steps + block_steps) as f64;
        let sets = block_sums.iter().zip(block_squares).zip(shift);
        for ((mean, squares), ((&sum, &square), &shift)) in means.iter_mut().zip(squares).zip(sets) {
            let (sum, square) = (f64::from(sum), f64::from(square));
            let difference = f64::from(shift) + sum * inverse - *mean;
            *squares += (square - sum * sum * inverse) + difference * difference * (steps as f64 * share);
            *mean += difference * share;
        }
    }
}
