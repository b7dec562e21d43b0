//! Winograd's minimal filtering for 3x3 kernels at stride 1, after Lavin and
//! Gray, "Fast Algorithms for Convolutional Neural Networks" (2016).
//!
//! The target is cut into tiles of `m` by `m` pixels. The `m + 2` by `m + 2`
//! sources of a tile and the kernels are transformed to as many **points**, where
//! a convolution is one product a point: for each point, a matrix of tiles by
//! source channels times one of source by target channels. With `m = 2` that
//! takes 16 products for 4 outputs where the definition takes 36, with `m = 4`
//! 36 for 16 in place of 144. The gradient of the input is the same sum with
//! flipped and transposed kernels; that of the weights is its adjoint, sums of
//! outer products between the points of sources and of gradients.
//!
//! The products are those of a 1x1 convolution over the same groups, so they are
//! the [`broadcast`] and [`outer`] kernels'. Tiles are taken in strips whose
//! points stay in the second-level cache from the transform to the products and
//! back.
//!
//! What it costs is exactness: sums are of transformed values, larger than the
//! products they stand for. The largest error of 64 to 256 channels of evenly
//! spread values, as a share of the root mean square of the results, was below
//! 3e-6 for F(2x2), less than that of the direct kernels' longer sums (up to 9e-6),
//! and up to 5e-5 for F(4x4).

mod kernels;
mod maps;
#[cfg(test)]
mod tests;
mod transforms;

pub(super) use kernels::pack;
use maps::{Gradients, Sources, Tiles};
pub(super) use transforms::{F2, F4, Tile};

use super::{
    Path, broadcast,
    correlation::Correlation,
    outer,
    panel::packed_len,
    strips::{Strip, Strips},
};
use crate::{
    geometry::{ConvGeometry, MapShape},
    isa::Context,
    numerics::Winograd,
};

/// Points of sources and targets that are worked on together: 1 MiB.
const NEAR_VALUES: usize = 1 << 18;

/// Channels of a segment from which on fewer products pay for the transforms.
const MIN_CHANNELS: usize = 32;

/// Pixels of a batch from which on they pay for the transform of the kernels.
const MIN_PIXELS: usize = 1024;

/// The path of `g` over `batch` images where tiles of `winograd` compute it with
/// fewer products, enough of them to pay for the transforms.
pub(super) fn path(g: &ConvGeometry, batch: usize, winograd: Winograd) -> Option<Path> {
    let (path, side) = match winograd {
        Winograd::Off => return None,
        Winograd::F2 => (Path::WinogradF2, F2::OUTPUTS),
        Winograd::F4 => (Path::WinogradF4, F4::OUTPUTS),
    };
    let o = g.options();
    let is_dense = (o.kernel_h, o.kernel_w, o.stride, o.dilation) == (3, 3, 1, 1);
    let narrowest = g.input().c.min(g.output().c) / o.groups;
    let tiles = g.output().h.div_ceil(side) * g.output().w.div_ceil(side);
    let products = tiles * (side + 2) * (side + 2);
    let pays = narrowest >= MIN_CHANNELS
        && batch * g.output().pixels() >= MIN_PIXELS
        && 3 * products <= 2 * 9 * g.output().pixels();
    (is_dense && pays).then_some(path)
}

/// Points of a tile.
pub(super) const fn points<T: Tile>() -> usize {
    T::POINTS * T::POINTS
}

/// Rows and columns that the first tile of an image reaches out of the source.
fn reach(c: &Correlation) -> (isize, isize) {
    let reach = |shift: Option<isize>| -shift.unwrap_or_default();
    (reach(c.rows.shift(0, 0)), reach(c.columns.shift(0, 0)))
}

/// Rows of tiles whose points stay near.
fn near_rows<T: Tile>(c: &Correlation) -> usize {
    let row_values = points::<T>() * c.target.w.div_ceil(T::OUTPUTS) * (c.source.c + c.target.c);
    (NEAR_VALUES / row_values).max(1)
}

/// Computes the rows of `target` from `first_row` of one image on. `packed` is
/// of [`pack`], `zeros` are as many as a pixel of the source has channels.
pub(super) fn rows<T: Tile>(
    ctx: &Context,
    c: &Correlation,
    packed: &[f32],
    zeros: &[f32],
    source: &[f32],
    target: &mut [f32],
    first_row: usize,
) {
    let pixels = |tile_rows: usize| tile_rows * T::OUTPUTS * c.target.w;
    let pieces = target.chunks_mut(pixels(near_rows::<T>(c)) * c.target.c);
    for (first_row, target) in (first_row..).step_by(near_rows::<T>(c) * T::OUTPUTS).zip(pieces) {
        let shape = MapShape { h: target.len() / (c.target.w * c.target.c), ..c.target };
        let strip = Strip { images: 0..1, rows: 0..shape.h.div_ceil(T::OUTPUTS) };
        let tiles = Tiles { strip, columns: shape.w.div_ceil(T::OUTPUTS) };
        let (source_stride, target_stride) = (tiles.point_stride(c.source.c), tiles.point_stride(c.target.c));
        let mut source_points = ctx.pool.take(points::<T>() * source_stride);
        let mut target_points = ctx.pool.take(points::<T>() * target_stride);
        let (above, left) = reach(c);
        let reach = (above - first_row as isize, left);
        maps::spread::<Sources<T>>(ctx, &tiles, reach, c.source, source, zeros, &mut source_points);
        let products = c.over_channels(tiles.count());
        let sources = source_points.chunks_exact(source_stride);
        let targets = target_points.chunks_exact_mut(target_stride);
        for ((source, target), packed) in
            sources.zip(targets).zip(packed.chunks_exact(packed.len() / points::<T>()))
        {
            let target = &mut target[..tiles.count() * c.target.c];
            broadcast::rows(ctx, &products, packed, zeros, source, target, 0);
        }
        maps::gather::<T>(ctx, &tiles, shape, &target_points, target);
    }
}

/// The strips of `images` images that [`add_strip`] takes, in rows of tiles.
pub(super) fn strips<T: Tile>(c: &Correlation, images: usize) -> Strips {
    let values = points::<T>() * (c.source.c + c.target.c);
    let tiles = MapShape::new(c.target.h.div_ceil(T::OUTPUTS), c.target.w.div_ceil(T::OUTPUTS), values);
    Strips::new(images, tiles, NEAR_VALUES)
}

/// Values of the gradient at all points, packed. `c` is the forward correlation.
pub(super) fn sums_len<T: Tile>(ctx: &Context, c: &Correlation) -> usize {
    points::<T>() * packed_len(ctx.isa(), &c.over_channels(0))
}

/// Adds a strip of tiles to the packed gradient, which lies as `[point]` and then
/// as [`outer`]'s; overwrites it where `is_first`.
pub(super) fn add_strip<T: Tile>(
    ctx: &Context,
    c: &Correlation,
    x: &[f32],
    grad_y: &[f32],
    strip: &Strip,
    is_first: bool,
    sums: &mut [f32],
) {
    let tiles = Tiles { strip: strip.clone(), columns: c.target.w.div_ceil(T::OUTPUTS) };
    let (x_stride, grad_stride) = (tiles.point_stride(c.source.c), tiles.point_stride(c.target.c));
    let mut x_points = ctx.pool.take(points::<T>() * x_stride);
    let mut grad_points = ctx.pool.take(points::<T>() * grad_stride);
    let zeros = ctx.pool.take_zeroed(c.source.c.max(c.target.c));
    maps::spread::<Sources<T>>(ctx, &tiles, reach(c), c.source, x, &zeros, &mut x_points);
    maps::spread::<Gradients<T>>(ctx, &tiles, (0, 0), c.target, grad_y, &zeros, &mut grad_points);
    let products = c.over_channels(tiles.count());
    let rows = Strip { images: 0..1, rows: 0..tiles.count() };
    let matrices = x_points.chunks_exact(x_stride).zip(grad_points.chunks_exact(grad_stride));
    let len = sums.len() / points::<T>();
    for ((x, grad_y), sums) in matrices.zip(sums.chunks_exact_mut(len)) {
        outer::add_strip(ctx, &products, x, grad_y, &rows, is_first, sums);
    }
}

/// From the packed sums to the gradient in the order of the weights.
pub(super) fn unpack<T: Tile>(ctx: &Context, c: &Correlation, sums: &[f32], grad_weights: &mut [f32]) {
    let kernels = grad_weights.len() / c.taps();
    let mut gradients = ctx.pool.take(points::<T>() * kernels);
    let len = sums.len() / points::<T>();
    for (gradients, sums) in gradients.chunks_exact_mut(kernels).zip(sums.chunks_exact(len)) {
        outer::unpack(ctx, &c.over_channels(0), sums, gradients);
    }
    kernels::gradient::<T>(ctx, &gradients, grad_weights);
}
