//! Kernels of nine taps to and from the points of a tile.

use rayon::prelude::*;

use super::transforms::Tile;
use crate::{
    buffer::Buffer,
    conv::{
        broadcast,
        correlation::{Correlation, Direction},
        panel::packed_len,
    },
    isa::Context,
    per_isa::per_isa,
};

/// Taps of a kernel.
const TAPS: usize = 9;

/// Kernels that are transformed side by side.
const LANES: usize = 16;

/// The points of all kernels of `c`: for each point in turn a matrix over
/// channels, packed for [`broadcast`].
pub(in crate::conv) fn pack<T: Tile>(ctx: &Context, c: &Correlation, weights: &[f32]) -> Buffer {
    let points = T::POINTS * T::POINTS;
    let products = c.over_channels(0);
    let kernels = weights.len() / TAPS;
    // `[block of kernels][point][lane]`: what one task computes lies together.
    let mut spread = ctx.pool.take(kernels.div_ceil(LANES) * LANES * points);
    let is_flipped = c.direction == Direction::Backward;
    let blocks = spread.par_chunks_mut(points * LANES).zip(weights.par_chunks(TAPS * LANES));
    blocks.with_min_len(16).for_each(|(points, weights)| {
        to_points(ctx, T::KERNEL, is_flipped, weights, points);
    });
    let len = packed_len(ctx.isa(), &products);
    let mut packed = ctx.pool.take(points * len);
    packed.par_chunks_mut(len).enumerate().for_each(|(point, packed)| {
        let mut matrix = ctx.pool.take(spread.len() / points);
        let blocks = spread.chunks_exact(LANES).skip(point).step_by(points);
        for (matrix, block) in matrix.chunks_exact_mut(LANES).zip(blocks) {
            matrix.copy_from_slice(block);
        }
        broadcast::pack_into(ctx, &products, &matrix, packed);
    });
    packed
}

/// The gradient of all kernels from that of their points, `[point][kernel]`.
pub(super) fn gradient<T: Tile>(ctx: &Context, points: &[f32], grad_weights: &mut [f32]) {
    let kernels = grad_weights.len() / TAPS;
    let blocks = grad_weights.par_chunks_mut(TAPS * LANES).enumerate();
    blocks.with_min_len(16).for_each(|(block, grad_weights)| {
        from_points(ctx, T::KERNEL, &points[block * LANES..], kernels, grad_weights);
    });
}

per_isa! {
    /// `G g G^T` of up to [`LANES`] kernels, as `[point][lane]`.
    fn to_points(matrix: &[[f32; 3]], is_flipped: bool, weights: &[f32], points: &mut [f32]) {
        let mut taps = [[0.0; LANES]; TAPS];
        for (lane, kernel) in weights.chunks_exact(TAPS).enumerate() {
            for (tap, &weight) in kernel.iter().enumerate() {
                taps[if is_flipped { TAPS - 1 - tap } else { tap }][lane] = weight;
            }
        }
        for (row, points) in matrix.iter().zip(points.chunks_exact_mut(matrix.len() * LANES)) {
            let columns: [[f32; LANES]; 3] =
                std::array::from_fn(|c| combine(row, [&taps[c], &taps[3 + c], &taps[6 + c]]));
            let [first, second, third] = &columns;
            for (column, points) in matrix.iter().zip(points.chunks_exact_mut(LANES)) {
                points.copy_from_slice(&combine(column, [first, second, third]));
            }
        }
    }

    /// `G^T p G` of up to [`LANES`] kernels whose points are `stride` apart.
    fn from_points(matrix: &[[f32; 3]], points: &[f32], stride: usize, grad_weights: &mut [f32]) {
        let lanes = grad_weights.len() / TAPS;
        let mut taps = [[0.0; LANES]; TAPS];
        for (r, row) in matrix.iter().enumerate() {
            let mut columns = [[0.0; LANES]; 3];
            for (c, column) in matrix.iter().enumerate() {
                let point = &points[(r * matrix.len() + c) * stride..][..lanes];
                for (sums, factor) in columns.iter_mut().zip(column) {
                    sums.iter_mut().zip(point).for_each(|(sum, value)| *sum += factor * value);
                }
            }
            for (sums, factor) in taps.chunks_exact_mut(3).zip(row) {
                for (sums, column) in sums.iter_mut().zip(&columns) {
                    sums.iter_mut().zip(column).for_each(|(sum, value)| *sum += factor * value);
                }
            }
        }
        for (lane, kernel) in grad_weights.chunks_exact_mut(TAPS).enumerate() {
            for (gradient, tap) in kernel.iter_mut().zip(&taps) {
                *gradient = tap[lane];
            }
        }
    }
}

/// The sum of three vectors with the factors of a row of the matrix.
#[inline(always)]
fn combine(factors: &[f32; 3], vectors: [&[f32; LANES]; 3]) -> [f32; LANES] {
    let [a, b, c] = vectors;
    std::array::from_fn(|lane| factors[0] * a[lane] + factors[1] * b[lane] + factors[2] * c[lane])
}
