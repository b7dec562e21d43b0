//! The output, and the gradient of the input: rows of targets from windows of
//! sources.

#![allow(clippy::needless_range_loop, reason = "register tiles are indexed by constants")]

use std::ops::Range;

use super::{AllRotations, Broadcasts, Channels, Feed, Layout, Rotations};
use crate::{
    buffer::Buffer,
    conv::correlation::{Correlation, Run},
    isa::{Context, Isa},
    simd::{self, Kernel, MAX_LANES, Simd, dispatch, unrolled, with_constant},
};

/// Packed weights that stay in the second-level cache while all blocks of a row
/// are computed: up to here rows are the outer loop, so that the rows of the
/// source are read, whole, while they are in the first-level cache.
const NEAR_VALUES: usize = 64 << 10;

/// Values in a cache line.
const LINE: usize = 16;

/// Two vectors of targets share an operand where the registers allow it.
fn layout(isa: Isa, c: &Correlation, run: &Run) -> Layout {
    let most_vectors = if simd::registers(isa) >= 32 && c.columns.taps == 3 { 2 } else { 1 };
    Layout::new(isa, run, most_vectors)
}

/// Packed weights of a run.
fn run_len(isa: Isa, c: &Correlation, run: &Run) -> usize {
    let layout = layout(isa, c, run);
    layout.blocks() * layout.block_len(c)
}

/// The weights of `c` in the order that [`rows`] reads them.
pub(in crate::conv) fn pack(ctx: &Context, c: &Correlation, weights: &[f32]) -> Buffer {
    let lens = c.runs().iter().map(|run| run_len(ctx.isa(), c, run));
    let mut packed = ctx.pool.take_zeroed(lens.sum());
    let mut start = 0;
    for run in c.runs() {
        layout(ctx.isa(), c, run).for_each_weight(c, run, |at, weight| packed[start + at] = weights[weight]);
        start += run_len(ctx.isa(), c, run);
    }
    packed
}

/// Computes the rows of `target` from `first_row` of one image on.
pub(in crate::conv) fn rows(
    ctx: &Context,
    c: &Correlation,
    packed: &[f32],
    source: &[f32],
    target: &mut [f32],
    first_row: usize,
) {
    let row_count = target.len() / (c.target.w * c.target.c);
    let mut packed = packed;
    for run in c.runs() {
        let layout = layout(ctx.isa(), c, run);
        let weights = packed.split_off(..run_len(ctx.isa(), c, run)).unwrap_or_default();
        let rotations = layout.rotations();
        let kernel = kernel(ctx.isa(), &layout, c);
        let block_len = layout.block_len(c);
        let blocks = layout.blocks();
        let mut compute = |index: usize, rows: Range<usize>, ahead: Option<(usize, usize)>| {
            let Channels { source: from, source_count, target: to, target_count } = layout.channels(index);
            let rows = Rows {
                c,
                source,
                target,
                first_row,
                rows,
                ahead,
                weights: &weights[index * block_len..][..block_len],
                rotations: &rotations,
                source_channel: run.source_start + from,
                source_lanes: source_count.min(layout.lanes),
                target_channel: run.target_start + to,
                target_count,
            };
            kernel(ctx, rows);
        };
        if weights.len() <= NEAR_VALUES {
            for row in 0..row_count {
                (0..blocks).for_each(|index| compute(index, row..row + 1, Some((index, blocks))));
            }
        } else {
            (0..blocks).for_each(|index| compute(index, 0..row_count, None));
        }
    }
}

/// Some rows of one block of channels of one image.
struct Rows<'a> {
    c: &'a Correlation,
    source: &'a [f32],
    /// The strip, which begins at row `first_row` of the image.
    target: &'a mut [f32],
    first_row: usize,
    /// The rows of the strip to compute.
    rows: Range<usize>,
    /// Which share of the next rows to fetch meanwhile: this one of so many.
    ahead: Option<(usize, usize)>,
    /// Of the block.
    weights: &'a [f32],
    rotations: &'a AllRotations,
    source_channel: usize,
    /// Channels of a vector of source values.
    source_lanes: usize,
    target_channel: usize,
    target_count: usize,
}

/// [`tiles`] of one shape.
type RowsKernel = fn(&Context, Rows<'_>);

/// The kernel for a layout and the width of the map: tiles of equal size, so
/// that one kernel serves the whole row.
fn kernel(isa: Isa, layout: &Layout, c: &Correlation) -> RowsKernel {
    let is_wide = simd::registers(isa) >= 32 && layout.vectors == 1 && c.columns.taps == 3;
    let pixels = tile_pixels(c.target.w, if is_wide { &WIDE_TILES } else { &TILES });
    match (layout.rotates, layout.vectors, c.columns.taps) {
        (true, _, 3) if is_wide => {
            with_constant!(P = pixels, in [1 2 3 4 5 6 7 8 10 12 14 16] => tiles::<Rotations, 1, 3, P>)
        }
        (true, _, 3) => with_constant!(P = pixels, in [1 2 3 4 6 8] => tiles::<Rotations, 1, 3, P>),
        (true, _, 5) => with_constant!(P = pixels, in [1 2 3 4 6 8] => tiles::<Rotations, 1, 5, P>),
        (true, _, 7) => with_constant!(P = pixels, in [1 2 3 4 6 8] => tiles::<Rotations, 1, 7, P>),
        (false, 1, 3) if is_wide => {
            with_constant!(P = pixels, in [1 2 3 4 5 6 7 8 10 12 14 16] => tiles::<Broadcasts, 1, 3, P>)
        }
        (false, 1, 3) => with_constant!(P = pixels, in [1 2 3 4 6 8] => tiles::<Broadcasts, 1, 3, P>),
        (false, 1, 5) => with_constant!(P = pixels, in [1 2 3 4 6 8] => tiles::<Broadcasts, 1, 5, P>),
        (false, 1, 7) => with_constant!(P = pixels, in [1 2 3 4 6 8] => tiles::<Broadcasts, 1, 7, P>),
        (false, 2, 3) => with_constant!(P = pixels, in [1 2 3 4 6 8] => tiles::<Broadcasts, 2, 3, P>),
        other => unreachable!("{other:?} does not fit this family"),
    }
}

/// Sizes of tiles in pixels: with thirty-two registers and one vector a pixel,
/// and otherwise.
const WIDE_TILES: [usize; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16];
const TILES: [usize; 6] = [1, 2, 3, 4, 6, 8];

/// The smallest of `sizes` with which as few tiles as possible cover `width`
/// pixels; the last tile overlaps the one before it where they do not divide.
fn tile_pixels(width: usize, sizes: &[usize]) -> usize {
    let most = sizes[sizes.len() - 1];
    let count = width.div_ceil(most);
    let fits = |&&size: &&usize| size * count >= width && size <= width;
    // A width between two sizes is covered by two overlapping tiles of half its length.
    let half = |&&size: &&usize| size * 2 >= width;
    let found = sizes.iter().find(fits).or_else(|| sizes.iter().find(half));
    found.copied().unwrap_or(most)
}

/// Computes the rows tile by tile, `P` pixels of `V` vectors each.
fn tiles<F: Feed, const V: usize, const K: usize, const P: usize>(ctx: &Context, rows: Rows<'_>) {
    dispatch(ctx, Tiles::<F, V, K, P> { rows, feed: std::marker::PhantomData });
}

struct Tiles<'a, F, const V: usize, const K: usize, const P: usize> {
    rows: Rows<'a>,
    feed: std::marker::PhantomData<F>,
}

impl<F: Feed, const V: usize, const K: usize, const P: usize> Kernel for Tiles<'_, F, V, K, P> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // What does not fit the registers is never asked for, and not compiled.
        if const { (P + K) * V < S::REGISTERS + 2 } {
            let mut work = self.rows;
            let width = work.c.target.w;
            assert!(P <= width);
            work.fetch_ahead(s);
            for row in work.rows.clone() {
                let mut column = 0;
                loop {
                    // SAFETY: pixels column..column + P belong to the row.
                    unsafe { work.tile::<S, F, V, K, P>(s, row, column) };
                    if column + P >= width {
                        break;
                    }
                    column = (column + P).min(width - P);
                }
            }
        }
    }
}

impl Rows<'_> {
    /// Asks for a share of the source row and the target row that come next:
    /// rows are read in pieces, which the machine does not foresee by itself.
    #[inline(always)]
    fn fetch_ahead<S: Simd>(&self, s: S) {
        let Some((share, shares)) = self.ahead else { return };
        let Correlation { rows, source, target, .. } = self.c;
        let next = self.rows.end as isize;
        let last_tap = rows.shift(0, rows.taps - 1).unwrap_or_default();
        let source_row = self.first_row as isize + next + last_tap;
        let piece = |len: usize| (share * len / shares..(share + 1) * len / shares).step_by(LINE);
        let from = self.source.as_ptr().wrapping_offset(source_row * (source.w * source.c) as isize);
        piece(source.w * source.c).for_each(|at| s.prefetch(from.wrapping_add(at)));
        let to = self.target.as_ptr().wrapping_offset(next * (target.w * target.c) as isize);
        piece(target.w * target.c).for_each(|at| s.prefetch_for_write(to.wrapping_add(at)));
    }

    /// Computes `P` target pixels from `column` on in `row` of the strip.
    ///
    /// # Safety
    /// The row has pixels `column..column + P`.
    #[inline(always)]
    unsafe fn tile<S: Simd, F: Feed, const V: usize, const K: usize, const P: usize>(
        &mut self,
        s: S,
        row: usize,
        column: usize,
    ) {
        let Correlation { rows, columns, source, target, .. } = self.c;
        // Operand q of a kernel row is source column `q + first_column`.
        let first_column = column as isize + columns.shift(0, 0).unwrap_or_default();
        let inside = (-first_column).max(0) as usize..(source.w as isize - first_column).max(0) as usize;
        let row_len = self.weights.len() / rows.taps;
        let operand_count = row_len / (K * V * S::LANES);
        let mask = s.mask(self.source_lanes);
        let last = s.mask(self.target_count - (V - 1) * S::LANES);
        let place = (row * target.w + column) * target.c + self.target_channel;
        debug_assert!(place + (P - 1) * target.c + self.target_count <= self.target.len());

        let mut sums = [[s.splat(0.0); V]; P];
        for tap in 0..rows.taps {
            let source_row = (self.first_row + row) as isize + rows.shift(0, tap).unwrap_or_default();
            if !(0..source.h as isize).contains(&source_row) {
                continue;
            }
            let first = (source_row * source.w as isize + first_column) * source.c as isize;
            // SAFETY: of the pixels from here on only those `inside` the row are
            // read, a vector or a value from the block's first channel on;
            // weights are read in the number that they have.
            unsafe {
                let pixels = self.source.as_ptr().wrapping_offset(first).wrapping_add(self.source_channel);
                let mut weights = self.weights.as_ptr().add(tap * row_len);
                let operands = Operands { pixels, stride: source.c, inside: &inside, mask };
                for r in 0..operand_count {
                    let rotation = &self.rotations[r % MAX_LANES];
                    if F::ROTATES && r == 0 {
                        operands.multiply::<F, V, K, P, true>(s, r, rotation, weights, &mut sums);
                    } else {
                        operands.multiply::<F, V, K, P, false>(s, r, rotation, weights, &mut sums);
                    }
                    weights = weights.add(K * V * S::LANES);
                }
            }
        }
        // SAFETY: the places were asserted to lie in the strip.
        unsafe {
            for p in 0..P {
                let place = self.target.as_mut_ptr().add(place + p * target.c);
                for v in 0..V - 1 {
                    s.store(place.add(v * S::LANES), sums[p][v]);
                }
                s.store_masked(place.add((V - 1) * S::LANES), sums[p][V - 1], last);
            }
        }
    }
}

/// The source pixels that one kernel row of a tile reads.
struct Operands<'a, S: Simd> {
    /// Pixel 0, which may lie outside the row.
    pixels: *const f32,
    stride: usize,
    /// The pixels that lie inside.
    inside: &'a Range<usize>,
    mask: S::Mask,
}

impl<S: Simd> Operands<'_, S> {
    /// The innermost loop: `sums[q - j] += operand[q] * weights[j]`.
    ///
    /// A source column outside the row can only be among the first or the last
    /// `K - 1` (padding is less than the kernel), so the others are not tested.
    /// Its operand is zero, and multiplied like any other: no branch stands
    /// between the sums and their registers.
    ///
    /// # Safety
    /// The pixels `inside` are valid as [`Feed::operand`] asks; `weights` holds
    /// `K` times `V` vectors.
    #[inline(always)]
    unsafe fn multiply<F: Feed, const V: usize, const K: usize, const P: usize, const FIRST: bool>(
        &self,
        s: S,
        index: usize,
        rotation: &[u32; MAX_LANES],
        weights: *const f32,
        sums: &mut [[S::Vector; V]; P],
    ) {
        let mut taps = [[s.splat(0.0); V]; K];
        for j in 0..K {
            for v in 0..V {
                // SAFETY: the caller's promise.
                taps[j][v] = unsafe { s.load(weights.add((j * V + v) * S::LANES)) };
            }
        }
        const { assert!(P + K - 1 <= 18, "more operands than are written out below") };
        // Written out, not a loop: LLVM unrolls only short ones, and a loop over
        // sums keeps them in memory.
        unrolled!(Q in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17] => {
            if Q < P + K - 1 {
                let is_inside = (K - 1..P).contains(&Q) || self.inside.contains(&Q);
                // SAFETY: the caller's promise.
                let operand = unsafe {
                    let pixel = self.pixels.wrapping_add(Q * self.stride);
                    F::operand::<S, FIRST>(s, pixel, is_inside, index, self.mask, rotation)
                };
                for j in 0..K {
                    if (Q + 1).saturating_sub(P) <= j && j < Q + 1 {
                        for v in 0..V {
                            sums[Q - j][v] = s.fma(operand, taps[j][v], sums[Q - j][v]);
                        }
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_every_width() {
        for width in 1..200 {
            for sizes in [&WIDE_TILES[..], &TILES[..]] {
                let pixels = tile_pixels(width, sizes);
                assert!(pixels <= width && sizes.contains(&pixels), "{width}: {pixels}");
                let most = sizes[sizes.len() - 1];
                assert!(width.div_ceil(pixels) <= width.div_ceil(most) + 1, "{width}: {pixels}");
            }
        }
    }
}
