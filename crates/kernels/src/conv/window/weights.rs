//! The gradient of the weights: a window of gradients slides over each row, and
//! every operand of a source pixel is multiplied into all of it.

#![allow(clippy::needless_range_loop, reason = "register tiles are indexed by constants")]

use super::{Broadcasts, Feed, Layout, Rotations, packed_len, run_len};
use crate::{
    conv::{
        correlation::Correlation,
        strips::{Strip, Strips, sum_over_strips},
    },
    isa::{Context, Isa},
    simd::{self, Kernel, MAX_LANES, Simd, dispatch, with_constant},
};

/// Gradient values in a strip of the weights' gradient.
const STRIP_VALUES: usize = 1 << 15;

/// Computes every value of `grad_weights` from the batch `x`, `grad_y`. `c` is
/// the forward correlation.
pub(in crate::conv) fn backward_weights(
    ctx: &Context,
    c: &Correlation,
    x: &[f32],
    grad_y: &[f32],
    grad_weights: &mut [f32],
) {
    let len = packed_len(ctx.isa(), c);
    let strips = Strips::new(x.len() / c.source.len(), c.target, STRIP_VALUES);
    let sum = sum_over_strips(ctx, &strips, len, |strip, is_first, sums| {
        add_strip(ctx, c, x, grad_y, &strip, is_first, sums);
    });
    unpack(ctx, c, &sum, grad_weights);
}

/// From packed order to that of the weights.
fn unpack(ctx: &Context, c: &Correlation, packed: &[f32], grad_weights: &mut [f32]) {
    let mut start = 0;
    for run in c.runs() {
        let layout = Layout::new(ctx.isa(), run);
        layout.for_each_weight(c, run, |at, weight| grad_weights[weight] = packed[start + at]);
        start += run_len(ctx.isa(), c, run);
    }
}

/// Adds one strip of pixels to the packed gradient, or overwrites it where
/// `is_first`.
fn add_strip(
    ctx: &Context,
    c: &Correlation,
    x: &[f32],
    grad_y: &[f32],
    strip: &Strip,
    is_first: bool,
    sums: &mut [f32],
) {
    let mut start = 0;
    for run in c.runs() {
        let layout = Layout::new(ctx.isa(), run);
        let rotations: [_; MAX_LANES] = std::array::from_fn(|r| layout.rotation(r));
        let most = most_operands(ctx.isa(), c.columns.taps);
        for block in 0..layout.blocks() {
            let (first, channels) = layout.channels(block);
            for row in 0..c.rows.taps {
                let row_start =
                    start + block * layout.block_len(c) + row * layout.c * c.columns.taps * layout.width();
                for vector in 0..layout.vectors {
                    let lane = vector * layout.lanes;
                    let mut operand = 0;
                    while operand < layout.c {
                        let left = layout.c - operand;
                        let count = left.div_ceil(left.div_ceil(most));
                        let sums = Sums {
                            c,
                            x,
                            grad_y,
                            strip,
                            is_first,
                            source_channel: run.source_start + first,
                            target_channel: run.target_start + first + lane,
                            source_lanes: channels.min(layout.lanes),
                            target_lanes: (channels - lane).min(layout.lanes),
                            row_shift: c.rows.shift(0, row).unwrap_or_default(),
                            rotations: &rotations,
                            operand,
                            width: layout.width(),
                            sums: &mut sums[row_start + operand * c.columns.taps * layout.width() + lane..],
                        };
                        kernel(&layout, c.columns.taps, count)(ctx, sums);
                        operand += count;
                    }
                }
            }
        }
        start += run_len(ctx.isa(), c, run);
    }
}

/// Most operands of a tile: its sums, a window of gradients and an operand fit
/// the registers.
fn most_operands(isa: Isa, taps: usize) -> usize {
    match (simd::registers(isa), taps) {
        (32.., 3) => 8,
        (32.., 5) => 4,
        (32.., _) | (_, 3) => 3,
        _ => 1,
    }
}

/// What one tile of sums is made of: one vector of target channels of one
/// block, one kernel row, some operands.
struct Sums<'a> {
    c: &'a Correlation,
    x: &'a [f32],
    grad_y: &'a [f32],
    strip: &'a Strip,
    /// Whether `sums` is overwritten rather than added to.
    is_first: bool,
    /// First source channel, and first target channel of the vector.
    source_channel: usize,
    target_channel: usize,
    /// Source channels that an operand reads, target channels of the vector.
    source_lanes: usize,
    target_lanes: usize,
    /// What is added to a target row to find the source row.
    row_shift: isize,
    rotations: &'a [[u32; MAX_LANES]; MAX_LANES],
    /// The first operand.
    operand: usize,
    /// Distance of two sums.
    width: usize,
    /// From the first sum on.
    sums: &'a mut [f32],
}

fn kernel(layout: &Layout, taps: usize, operands: usize) -> fn(&Context, Sums<'_>) {
    match (layout.rotates, taps) {
        (true, 3) => with_constant!(R = operands, in [1 2 3 4 5 6 7 8] => tile::<Rotations, 3, R>),
        (true, 5) => with_constant!(R = operands, in [1 2 3 4] => tile::<Rotations, 5, R>),
        (true, 7) => with_constant!(R = operands, in [1 2 3] => tile::<Rotations, 7, R>),
        (false, 3) => with_constant!(R = operands, in [1 2 3 4 5 6 7 8] => tile::<Broadcasts, 3, R>),
        (false, 5) => with_constant!(R = operands, in [1 2 3 4] => tile::<Broadcasts, 5, R>),
        (false, 7) => with_constant!(R = operands, in [1 2 3] => tile::<Broadcasts, 7, R>),
        other => unreachable!("{other:?} does not fit this family"),
    }
}

fn tile<F: Feed, const K: usize, const R: usize>(ctx: &Context, sums: Sums<'_>) {
    dispatch(ctx, Tile::<F, K, R> { sums, feed: std::marker::PhantomData });
}

/// `R` operands by the `K` taps of a kernel row.
struct Tile<'a, F, const K: usize, const R: usize> {
    sums: Sums<'a>,
    feed: std::marker::PhantomData<F>,
}

impl<F: Feed, const K: usize, const R: usize> Kernel for Tile<'_, F, K, R> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // What does not fit the registers is never asked for, and not compiled.
        if const { K * (R + 1) < S::REGISTERS } {
            self.sums.add::<S, F, K, R>(s);
        }
    }
}

impl Sums<'_> {
    /// Adds `operand[i] * gradient` for `R` operands, all taps of the kernel row
    /// at once, over the rows of the strip.
    #[inline(always)]
    fn add<S: Simd, F: Feed, const K: usize, const R: usize>(self, s: S) {
        let Correlation { columns, source, target, .. } = self.c;
        // The gradient that meets source column x by tap j is that of target
        // column x + before - j.
        let before = (-columns.shift(0, 0).unwrap_or_default()) as usize;
        let source_mask = s.mask(self.source_lanes);
        let target_mask = s.mask(self.target_lanes);
        let mut sums = [[s.splat(0.0); K]; R];
        for image in self.strip.images.clone() {
            for row in self.strip.rows.clone() {
                let source_row = row as isize + self.row_shift;
                if !(0..source.h as isize).contains(&source_row) {
                    continue;
                }
                let x = (image * source.h + source_row as usize) * source.w * source.c;
                let x = &self.x[x..x + source.w * source.c];
                let grad_y = (image * target.h + row) * target.w * target.c;
                let grad_y = &self.grad_y[grad_y..grad_y + target.w * target.c];
                // SAFETY: pixels are read inside the two rows, from the block's
                // channels on as many values as the masks have lanes.
                unsafe {
                    let mut pixel = x.as_ptr().add(self.source_channel);
                    let gradients = grad_y.as_ptr().add(self.target_channel);
                    let gradient = |at: usize| match at < target.w {
                        true => s.load_masked(gradients.add(at * target.c), target_mask),
                        false => s.splat(0.0),
                    };
                    let mut window = [s.splat(0.0); K];
                    for i in 0..before.min(K) {
                        window[i] = gradient(before - 1 - i);
                    }
                    for at in 0..source.w {
                        for j in (1..K).rev() {
                            window[j] = window[j - 1];
                        }
                        window[0] = gradient(at + before);
                        for i in 0..R {
                            let index = self.operand + i;
                            let rotation = &self.rotations[index % MAX_LANES];
                            let operand = F::operand::<S, false>(s, pixel, index, source_mask, rotation);
                            for j in 0..K {
                                sums[i][j] = s.fma(operand, window[j], sums[i][j]);
                            }
                        }
                        pixel = pixel.wrapping_add(source.c);
                    }
                }
            }
        }
        for i in 0..R {
            for j in 0..K {
                let slot = &mut self.sums[(i * K + j) * self.width..][..S::LANES];
                // SAFETY: the slot holds a vector.
                unsafe {
                    let sum =
                        if self.is_first { sums[i][j] } else { s.add(s.load(slot.as_ptr()), sums[i][j]) };
                    s.store(slot.as_mut_ptr(), sum);
                }
            }
        }
    }
}
