//! 1x1 convolution with factors rounded to bf16 and sums in f32.
//!
//! Where the machine multiplies pairs of bf16, neighbouring channels are laid out
//! as pairs, and for the gradient of the weights neighbouring pixels; the kernels
//! of [`broadcast`] and [`outer`] take a pair for a value. Elsewhere the rounded
//! factors are multiplied in f32: as exact, and slower than not rounding at all.
//!
//! `c` is of one column throughout: all pixels of a batch, or of an image.

use super::{broadcast, correlation::Correlation, outer, strips::Strip};
use crate::{
    bf16::{pair, paired_channels, paired_pixels, rounded, rounded_here},
    buffer::Buffer,
    isa::Context,
};

/// The weights in the order that [`rows`] reads them.
pub(super) fn pack(ctx: &Context, c: &Correlation, weights: &[f32]) -> Buffer {
    let Some(ctx) = &ctx.of_pairs() else {
        return broadcast::pack(ctx, c, &rounded(ctx, weights));
    };
    let products = c.over_pairs();
    let weight = |source: usize, target: usize| match c.runs() {
        [run] if source < run.source_c => weights[c.weight_index(run, 0, (source, target), (0, 0))],
        _ => 0.0,
    };
    let mut pairs = ctx.pool.take(products.source.c * products.target.c);
    for (target, pairs) in pairs.chunks_exact_mut(products.source.c).enumerate() {
        for (index, value) in pairs.iter_mut().enumerate() {
            *value = pair(weight(2 * index, target), weight(2 * index + 1, target));
        }
    }
    broadcast::pack(ctx, &products, &pairs)
}

/// Computes the rows of `target` from `first_row` on, as [`broadcast::rows`].
pub(super) fn rows(
    ctx: &Context,
    c: &Correlation,
    packed: &[f32],
    zeros: &[f32],
    source: &[f32],
    target: &mut [f32],
    first_row: usize,
) {
    let count = target.len() / c.target.c;
    let source = &source[first_row * c.source.c..][..count * c.source.c];
    match &ctx.of_pairs() {
        Some(ctx) => {
            let source = paired_channels(ctx, c.source.c, source);
            broadcast::rows(ctx, &c.over_pairs(), packed, zeros, &source, target, 0);
        }
        None => broadcast::rows(ctx, c, packed, zeros, &rounded_here(ctx, source), target, 0),
    }
}

/// Adds one strip to the packed gradient, as [`outer::add_strip`].
pub(super) fn add_strip(
    ctx: &Context,
    c: &Correlation,
    x: &[f32],
    grad_y: &[f32],
    strip: &Strip,
    is_first: bool,
    sums: &mut [f32],
) {
    let values = |channels: usize| strip.rows.start * channels..strip.rows.end * channels;
    let (x, grad_y) = (&x[values(c.source.c)], &grad_y[values(c.target.c)]);
    let rows = |count: usize| Strip { images: 0..1, rows: 0..count };
    match &ctx.of_pairs() {
        Some(ctx) => {
            let (x, grad_y) = (paired_pixels(ctx, c.source.c, x), paired_pixels(ctx, c.target.c, grad_y));
            let strip = rows(strip.rows.len().div_ceil(2));
            outer::add_strip(ctx, c, &x, &grad_y, &strip, is_first, sums);
        }
        None => {
            let (x, grad_y) = (rounded_here(ctx, x), rounded_here(ctx, grad_y));
            outer::add_strip(ctx, c, &x, &grad_y, &rows(strip.rows.len()), is_first, sums);
        }
    }
}
