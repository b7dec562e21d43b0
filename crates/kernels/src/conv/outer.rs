//! The gradient of the weights as sums of outer products, for any kernel,
//! stride, dilation, padding and groups.
//!
//! For one tap, the gradient between input channels `i` and output channels `o`
//! is the sum over pixels of `x[i] * grad_y[o]`. A register tile holds up to
//! sixteen input channels by one to four vectors of output channels and walks
//! over the pixels of a strip, so that only the sums stay in registers and the
//! strip's gradients stay in the first-level cache from tile to tile. The
//! strips are summed in fixed parts.

#![allow(clippy::needless_range_loop, reason = "register tiles are indexed by constants")]

use rayon::prelude::*;

use super::{
    correlation::{Correlation, Run},
    panel::{Panel, Panels},
    strips::{Strip, Strips, sum_over_strips},
};
use crate::{
    isa::{Context, Isa},
    simd::{self, Kernel, Simd, dispatch, with_constant},
};

/// Gradient values in a strip: 128 pixels of 128 channels.
const STRIP_VALUES: usize = 1 << 14;

/// Computes every value of `grad_weights` from the batch `x`, `grad_y`. `c` is
/// the forward correlation.
pub(super) fn backward_weights(
    ctx: &Context,
    c: &Correlation,
    x: &[f32],
    grad_y: &[f32],
    grad_weights: &mut [f32],
) {
    let packed_len = |run: &Run| run.groups * Panels::new(ctx.isa(), c, run).group_len();
    let len = c.runs().iter().map(packed_len).sum();
    let strips = Strips::new(x.len() / c.source.len(), c.target, STRIP_VALUES);
    let sum = sum_over_strips(ctx, &strips, len, |strip, is_first, sums| {
        add_strip(ctx, c, x, grad_y, &strip, is_first, sums);
    });
    let mut packed = &sum[..len];
    for run in c.runs() {
        let packed = packed.split_off(..packed_len(run)).unwrap_or_default();
        let range = run.weight_start..run.weight_start + run.weight_count(c.taps());
        unpack(ctx.isa(), c, run, packed, &mut grad_weights[range]);
    }
}

/// From `[group][panel][tap][input][lane]` to `[output][input][tap]`.
fn unpack(isa: Isa, c: &Correlation, run: &Run, packed: &[f32], grad_weights: &mut [f32]) {
    let panels = Panels::new(isa, c, run);
    let taps = c.taps();
    let outputs = grad_weights.par_chunks_mut(run.source_c * taps).enumerate();
    outputs.with_min_len(8).for_each(|(output, grad_weights)| {
        let (group, output) = (output / run.target_c, output % run.target_c);
        let (panel, lanes, lane) = panels.locate(output);
        let packed = &packed[group * panels.group_len() + panel..];
        for (input, grad_weights) in grad_weights.chunks_exact_mut(taps).enumerate() {
            for (tap, value) in grad_weights.iter_mut().enumerate() {
                *value = packed[(tap * run.source_c + input) * lanes + lane];
            }
        }
    });
}

/// Adds one strip of pixels to the packed gradient, which lies as
/// `[group][panel][tap][input][lane]`, run by run; overwrites it where `is_first`.
fn add_strip(
    ctx: &Context,
    c: &Correlation,
    x: &[f32],
    grad_y: &[f32],
    strip: &Strip,
    is_first: bool,
    sums: &mut [f32],
) {
    let mut sums = sums;
    for run in c.runs() {
        let panels = Panels::new(ctx.isa(), c, run);
        for group in 0..run.groups {
            let source_channel = run.source_start + group * run.source_c;
            let target_channel = run.target_start + group * run.target_c;
            for index in 0..panels.count() {
                let panel = panels.get(index);
                for row_tap in 0..c.rows.taps {
                    for column_tap in 0..c.columns.taps {
                        let len = run.source_c * panel.vectors * simd::lanes(ctx.isa());
                        let sums = sums.split_off_mut(..len).unwrap_or_default();
                        let channels = (source_channel, target_channel + panel.start);
                        let pixels = Pixels::of_tap(c, strip, (row_tap, column_tap), channels);
                        Tap { x, grad_y, pixels, panel, is_first }.all_inputs(ctx, run.source_c, sums);
                    }
                }
            }
        }
    }
}

/// Pairs of pixels of `x` and `grad_y` on a grid of images, rows and columns:
/// their number and their distances in values.
#[derive(Clone, Copy)]
struct Pixels {
    images: usize,
    rows: usize,
    columns: usize,
    x: Walk,
    grad_y: Walk,
}

#[derive(Clone, Copy)]
struct Walk {
    start: usize,
    image: usize,
    row: usize,
    column: usize,
}

impl Pixels {
    /// The pixels of a strip for which a tap falls inside the input, from the
    /// given channels of input and output on.
    #[inline(always)]
    fn of_tap(c: &Correlation, strip: &Strip, tap: (usize, usize), channels: (usize, usize)) -> Self {
        let (source, target) = (c.source, c.target);
        // Seen forwards there is one phase, and it sees every tap.
        let row_shift = c.rows.shift(0, tap.0).unwrap_or_default();
        let column_shift = c.columns.shift(0, tap.1).unwrap_or_default();
        let rows = c.rows.inside(row_shift, source.h, strip.rows.clone());
        let columns = c.columns.inside(column_shift, source.w, 0..target.w);
        let mut pixels = Self {
            images: strip.images.len(),
            rows: rows.len(),
            columns: columns.len(),
            x: Walk {
                start: strip.images.start * source.len() + channels.0,
                image: source.len(),
                row: c.rows.step * source.w * source.c,
                column: c.columns.step * source.c,
            },
            grad_y: Walk {
                start: (strip.images.start * target.h + rows.start) * target.w * target.c
                    + columns.start * target.c
                    + channels.1,
                image: target.len(),
                row: target.w * target.c,
                column: target.c,
            },
        };
        if pixels.rows * pixels.columns == 0 {
            return Self { images: 0, ..pixels };
        }
        let row = (rows.start * c.rows.step) as isize + row_shift;
        let column = (columns.start * c.columns.step) as isize + column_shift;
        pixels.x.start += (row as usize * source.w + column as usize) * source.c;
        if pixels.columns == 1 {
            // A column is a row turned round; the innermost loop wants the long side.
            (pixels.rows, pixels.columns) = (1, pixels.rows);
            (pixels.x.column, pixels.grad_y.column) = (pixels.x.row, pixels.grad_y.row);
        }
        pixels
    }

    /// Number of pairs.
    fn count(&self) -> usize {
        self.images * self.rows * self.columns
    }
}

/// One tap of one panel.
struct Tap<'a> {
    x: &'a [f32],
    grad_y: &'a [f32],
    pixels: Pixels,
    panel: Panel,
    is_first: bool,
}

impl Tap<'_> {
    /// Cuts the input channels into tiles whose sizes differ by at most one.
    fn all_inputs(&self, ctx: &Context, inputs: usize, sums: &mut [f32]) {
        let most = match (simd::registers(ctx.isa()), self.panel.vectors) {
            (32.., 1) => 16,
            (_, 1) | (32.., 2) => 12,
            (32.., 3) => 8,
            _ => 6,
        };
        let width = sums.len() / inputs;
        let tiles = inputs.div_ceil(most);
        let mut first = 0;
        for tile in 0..tiles {
            let count = (inputs + tiles - 1 - tile) / tiles;
            let sums = &mut sums[first * width..][..count * width];
            kernel(self.panel.vectors, count)(ctx, self, first, sums);
            first += count;
        }
    }

    /// Adds the outer products of `I` input channels from `first` on with the
    /// panel's `V` vectors, over all pixels.
    #[inline(always)]
    fn tile<S: Simd, const V: usize, const I: usize>(&self, s: S, first: usize, sums: &mut [f32]) {
        let Self { x, grad_y, pixels, .. } = self;
        assert_eq!(sums.len(), I * V * S::LANES);
        if pixels.count() > 0 {
            let end = |walk: &Walk| {
                walk.start
                    + (pixels.images - 1) * walk.image
                    + (pixels.rows - 1) * walk.row
                    + (pixels.columns - 1) * walk.column
            };
            assert!(end(&pixels.x) + first + I <= x.len());
            assert!(end(&pixels.grad_y) + (V - 1) * S::LANES + self.panel.last_lanes <= grad_y.len());
        }
        let last = s.mask(self.panel.last_lanes);
        let mut tile = [[s.splat(0.0); V]; I];
        for image in 0..pixels.images {
            for row in 0..pixels.rows {
                // SAFETY: the assertions above bound the last pixel read; `sums`
                // holds I times V vectors.
                unsafe {
                    let start = |walk: &Walk| walk.start + image * walk.image + row * walk.row;
                    let mut x = x.as_ptr().add(start(&pixels.x) + first);
                    let mut grad_y = grad_y.as_ptr().add(start(&pixels.grad_y));
                    for _ in 0..pixels.columns {
                        let mut gradient = [s.splat(0.0); V];
                        for v in 0..V - 1 {
                            gradient[v] = s.load(grad_y.add(v * S::LANES));
                        }
                        gradient[V - 1] = s.load_masked(grad_y.add((V - 1) * S::LANES), last);
                        for i in 0..I {
                            let value = s.splat(*x.add(i));
                            for v in 0..V {
                                tile[i][v] = s.fma(value, gradient[v], tile[i][v]);
                            }
                        }
                        x = x.wrapping_add(pixels.x.column);
                        grad_y = grad_y.wrapping_add(pixels.grad_y.column);
                    }
                }
            }
        }
        for i in 0..I {
            for v in 0..V {
                // SAFETY: `sums` holds I times V vectors.
                unsafe {
                    let place = sums.as_mut_ptr().add((i * V + v) * S::LANES);
                    let sum = if self.is_first { tile[i][v] } else { s.add(s.load(place), tile[i][v]) };
                    s.store(place, sum);
                }
            }
        }
    }
}

/// The kernel of a tile of `inputs` input channels by `vectors` vectors.
fn kernel(vectors: usize, inputs: usize) -> fn(&Context, &Tap<'_>, usize, &mut [f32]) {
    match vectors {
        1 => with_constant!(I = inputs, in [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16] => run_tile::<1, I>),
        2 => with_constant!(I = inputs, in [1 2 3 4 5 6 7 8 9 10 11 12] => run_tile::<2, I>),
        3 => with_constant!(I = inputs, in [1 2 3 4 5 6 7 8] => run_tile::<3, I>),
        _ => with_constant!(I = inputs, in [1 2 3 4 5 6] => run_tile::<4, I>),
    }
}

fn run_tile<const V: usize, const I: usize>(ctx: &Context, tap: &Tap<'_>, first: usize, sums: &mut [f32]) {
    dispatch(ctx, Tile::<V, I> { tap, first, sums });
}

struct Tile<'a, const V: usize, const I: usize> {
    tap: &'a Tap<'a>,
    first: usize,
    sums: &'a mut [f32],
}

impl<const V: usize, const I: usize> Kernel for Tile<'_, V, I> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // What does not fit the registers is never asked for, and not compiled.
        if const { (I + 1) * V < S::REGISTERS } {
            self.tap.tile::<S, V, I>(s, self.first, self.sums);
        }
    }
}
