//! The gradient of the weights as sums of outer products, for any kernel,
//! stride, dilation, padding and groups.
//!
//! For one tap, the gradient between input channels `i` and output channels `o`
//! is the sum over pixels of `x[i] * grad_y[o]`. A register tile holds up to
//! sixteen input channels by one to four vectors of output channels and walks
//! over the pixels of a strip, so that only the sums stay in registers. The
//! strip's gradients are gathered first, panel by panel; the tile's inputs are
//! read where they lie, if that is at equal distances, and otherwise gathered
//! too, once for all panels. The strips are summed in fixed parts.

#![allow(clippy::needless_range_loop, reason = "register tiles are indexed by constants")]

use rayon::prelude::*;

use super::{
    correlation::{Correlation, Run},
    gather::Gather,
    panel::Panels,
    strips::Strip,
};
use crate::{
    isa::{Context, Isa},
    simd::{self, Kernel, MAX_LANES, Simd, dispatch_products, put_sum, with_constant},
};

/// Pixels of a strip: a panel of their gradients and a tile of their inputs stay
/// in the first-level cache.
pub(super) const STRIP_PIXELS: usize = 128;

fn run_len(isa: Isa, c: &Correlation, run: &Run) -> usize {
    run.groups * Panels::new(isa, c, run).group_len()
}

/// From packed order to that of the weights.
pub(super) fn unpack(ctx: &Context, c: &Correlation, packed: &[f32], grad_weights: &mut [f32]) {
    let mut packed = packed;
    for run in c.runs() {
        let packed = packed.split_off(..run_len(ctx.isa(), c, run)).unwrap_or_default();
        let range = run.weight_start..run.weight_start + run.weight_count(c.taps());
        unpack_run(ctx.isa(), c, run, packed, &mut grad_weights[range]);
    }
}

/// From `[group][panel][tap][input][lane]` to `[output][input][tap]`.
fn unpack_run(isa: Isa, c: &Correlation, run: &Run, packed: &[f32], grad_weights: &mut [f32]) {
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
pub(super) fn add_strip(
    ctx: &Context,
    c: &Correlation,
    x: &[f32],
    grad_y: &[f32],
    strip: &Strip,
    is_first: bool,
    sums: &mut [f32],
) {
    let pixels = strip.images.len() * strip.rows.len() * c.target.w;
    let mut tile_x = ctx.pool.take(pixels * MAX_LANES);
    let mut sums = sums;
    for run in c.runs() {
        let panels = Panels::new(ctx.isa(), c, run);
        let mut gathered = ctx.pool.take(pixels * panels.group_len() / (c.taps() * run.source_c));
        for group in 0..run.groups {
            let sums = sums.split_off_mut(..panels.group_len()).unwrap_or_default();
            let channel = run.target_start + group * run.target_c;
            gather_panels(ctx, c, strip, &panels, &grad_y[channel..], &mut gathered);
            let channel = run.source_start + group * run.source_c;
            for tap in 0..c.taps() {
                let pairs = Pairs::of_tap(c, strip, (tap / c.columns.taps, tap % c.columns.taps));
                let work =
                    Work { pairs, panels: &panels, inputs: run.source_c, tap, taps: c.taps(), is_first };
                work.add(ctx, &x[channel..], &mut tile_x, &gathered, sums);
            }
        }
    }
}

/// Copies the strip's gradients, panel by panel, `[image][row][column][lane]`.
fn gather_panels(
    ctx: &Context,
    c: &Correlation,
    strip: &Strip,
    panels: &Panels,
    grad_y: &[f32],
    gathered: &mut [f32],
) {
    let target = c.target;
    let image_pixels = strip.rows.len() * target.w;
    let mut rest = gathered;
    for index in 0..panels.count() {
        let panel = panels.get(index);
        let lanes = simd::lanes(ctx.isa());
        let width = panel.vectors * lanes;
        for image in strip.images.clone() {
            let from = (image * target.h + strip.rows.start) * target.w * target.c + panel.start;
            let gather = Gather {
                source: &grad_y[from..],
                channels: width - lanes + panel.last_lanes,
                rows: (1, 0),
                columns: (image_pixels, target.c),
                target: rest.split_off_mut(..image_pixels * width).unwrap_or_default(),
                width,
                row_width: 0,
            };
            gather.run(ctx);
        }
    }
}

/// Pairs of pixels of `x` and `grad_y` that a tap brings together: a grid of
/// images, rows and columns, with its origin and distances in both maps.
#[derive(Clone, Copy)]
struct Pairs {
    images: usize,
    rows: usize,
    columns: usize,
    /// In values of `x`.
    x: Walk,
    /// In pixels of the strip.
    grad_y: Walk,
}

#[derive(Clone, Copy)]
struct Walk {
    start: usize,
    image: usize,
    row: usize,
    column: usize,
}

impl Pairs {
    /// The pixels of a strip for which a tap falls inside the input.
    fn of_tap(c: &Correlation, strip: &Strip, tap: (usize, usize)) -> Self {
        let (source, target) = (c.source, c.target);
        // Seen forwards there is one phase, and it sees every tap.
        let row_shift = c.rows.shift(0, tap.0).unwrap_or_default();
        let column_shift = c.columns.shift(0, tap.1).unwrap_or_default();
        let rows = c.rows.inside(row_shift, source.h, strip.rows.clone());
        let columns = c.columns.inside(column_shift, source.w, 0..target.w);
        let mut pairs = Self {
            images: strip.images.len(),
            rows: rows.len(),
            columns: columns.len(),
            x: Walk {
                start: strip.images.start * source.len(),
                image: source.len(),
                row: c.rows.step * source.w * source.c,
                column: c.columns.step * source.c,
            },
            grad_y: Walk {
                start: rows.start.saturating_sub(strip.rows.start) * target.w + columns.start,
                image: strip.rows.len() * target.w,
                row: target.w,
                column: 1,
            },
        };
        if pairs.rows * pairs.columns == 0 {
            return Self { images: 0, ..pairs };
        }
        let row = (rows.start * c.rows.step) as isize + row_shift;
        let column = (columns.start * c.columns.step) as isize + column_shift;
        pairs.x.start += (row as usize * source.w + column as usize) * source.c;
        if pairs.columns == 1 {
            // A column is a row turned round; the innermost loop wants the long side.
            (pairs.rows, pairs.columns) = (1, pairs.rows);
            (pairs.x.column, pairs.grad_y.column) = (pairs.x.row, pairs.grad_y.row);
        }
        pairs
    }

    /// Number of pairs.
    fn count(&self) -> usize {
        self.images * self.rows * self.columns
    }

    /// How the pixels of `x` lie, where that is one row of them.
    fn in_one_row(&self) -> Option<Walk> {
        (self.images == 1 && self.rows == 1).then_some(self.x)
    }

    /// Copies `channels` channels of each pixel of `x`, pair by pair.
    fn gather_x(&self, ctx: &Context, x: &[f32], channels: usize, width: usize, target: &mut [f32]) {
        for image in 0..self.images {
            let row_width = self.columns * width;
            let gather = Gather {
                source: &x[self.x.start + image * self.x.image..],
                channels,
                rows: (self.rows, self.x.row),
                columns: (self.columns, self.x.column),
                target: &mut target[image * self.rows * row_width..],
                width,
                row_width,
            };
            gather.run(ctx);
        }
    }
}

/// One tap of one group.
struct Work<'a> {
    pairs: Pairs,
    panels: &'a Panels,
    inputs: usize,
    tap: usize,
    taps: usize,
    is_first: bool,
}

impl Work<'_> {
    /// Adds the outer products of all channels of `x`, tile by tile: each tile
    /// of input channels meets all panels of gradients.
    fn add(&self, ctx: &Context, x: &[f32], tile_x: &mut [f32], gathered: &[f32], sums: &mut [f32]) {
        let lanes = simd::lanes(ctx.isa());
        let strip_pixels = gathered.len() / (self.panels.group_len() / (self.taps * self.inputs));
        let most = most_inputs(simd::registers(ctx.isa()), self.panels.get(0).vectors);
        let tiles = self.inputs.div_ceil(most);
        let mut first = 0;
        for tile in 0..tiles {
            let inputs = (self.inputs + tiles - 1 - tile) / tiles;
            let from = &x[first.min(x.len())..];
            let (tile_x, x_width) = match self.pairs.in_one_row() {
                Some(Walk { start, column, .. }) => (&from[start..], column),
                None => {
                    let x_width = inputs.next_multiple_of(lanes);
                    self.pairs.gather_x(ctx, from, inputs, x_width, tile_x);
                    (&*tile_x, x_width)
                }
            };
            let (mut gathered, mut panel_start) = (gathered, 0);
            for index in 0..self.panels.count() {
                let vectors = self.panels.get(index).vectors;
                let width = vectors * lanes;
                let place = panel_start + (self.tap * self.inputs + first) * width;
                let tile = Tile {
                    x: tile_x,
                    x_width,
                    grad_y: gathered.split_off(..strip_pixels * width).unwrap_or_default(),
                    pairs: &self.pairs,
                    is_first: self.is_first,
                    sums: &mut sums[place..][..inputs * width],
                };
                kernel(vectors, inputs)(ctx, tile);
                panel_start += self.taps * self.inputs * width;
            }
            first += inputs;
        }
    }
}

/// Most input channels of a tile of `vectors` vectors: its sums, the gradients
/// of a pixel and a value of `x` fit the registers.
fn most_inputs(registers: usize, vectors: usize) -> usize {
    match (registers, vectors) {
        (32.., 1) => 16,
        (_, 1) | (32.., 2) => 12,
        (32.., 3) => 8,
        _ => 6,
    }
}

/// Some input channels by one panel of gradients.
struct Tile<'a> {
    /// The channels of each pair, in order, `x_width` values from one to the next.
    x: &'a [f32],
    x_width: usize,
    /// The panel for every pixel of the strip.
    grad_y: &'a [f32],
    pairs: &'a Pairs,
    is_first: bool,
    /// `[input][lane]`.
    sums: &'a mut [f32],
}

impl Tile<'_> {
    /// Adds the outer products of `I` input channels with `V` vectors.
    #[inline(always)]
    fn add<S: Simd, const V: usize, const I: usize>(self, s: S) {
        let Self { x, x_width, grad_y, pairs, is_first, sums } = self;
        assert_eq!(sums.len(), I * V * S::LANES);
        assert!(pairs.count() == 0 || (pairs.count() - 1) * x_width + I <= x.len());
        let walk = pairs.grad_y;
        if pairs.count() > 0 {
            let last = walk.start
                + (pairs.images - 1) * walk.image
                + (pairs.rows - 1) * walk.row
                + (pairs.columns - 1) * walk.column;
            assert!((last + 1) * V * S::LANES <= grad_y.len());
        }
        let mut tile = [[s.splat(0.0); V]; I];
        // SAFETY: the assertions above bound the last pixels read; `sums` holds
        // I times V vectors.
        unsafe {
            let mut x = x.as_ptr();
            for image in 0..pairs.images {
                for row in 0..pairs.rows {
                    let pixel = walk.start + image * walk.image + row * walk.row;
                    let mut grad_y = grad_y.as_ptr().add(pixel * V * S::LANES);
                    for _ in 0..pairs.columns {
                        let mut gradient = [s.splat(0.0); V];
                        for v in 0..V {
                            gradient[v] = s.load(grad_y.add(v * S::LANES));
                        }
                        for i in 0..I {
                            let value = s.splat(*x.add(i));
                            for v in 0..V {
                                tile[i][v] = s.fma(value, gradient[v], tile[i][v]);
                            }
                        }
                        x = x.add(x_width);
                        grad_y = grad_y.wrapping_add(walk.column * V * S::LANES);
                    }
                }
            }
            for (v, sum) in tile.as_flattened().iter().enumerate() {
                put_sum(s, sums.as_mut_ptr().add(v * S::LANES), *sum, is_first);
            }
        }
    }
}

/// The kernel of a tile of `inputs` input channels by `vectors` vectors.
fn kernel(vectors: usize, inputs: usize) -> fn(&Context, Tile<'_>) {
    match vectors {
        1 => with_constant!(I = inputs, in [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16] => run_tile::<1, I>),
        2 => with_constant!(I = inputs, in [1 2 3 4 5 6 7 8 9 10 11 12] => run_tile::<2, I>),
        3 => with_constant!(I = inputs, in [1 2 3 4 5 6 7 8] => run_tile::<3, I>),
        _ => with_constant!(I = inputs, in [1 2 3 4 5 6] => run_tile::<4, I>),
    }
}

fn run_tile<const V: usize, const I: usize>(ctx: &Context, tile: Tile<'_>) {
    dispatch_products(ctx, TileOf::<V, I>(tile));
}

struct TileOf<'a, const V: usize, const I: usize>(Tile<'a>);

impl<const V: usize, const I: usize> Kernel for TileOf<'_, V, I> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // What does not fit the registers is never asked for, and not compiled.
        if const { (I + 1) * V < S::REGISTERS } {
            self.0.add::<S, V, I>(s);
        }
    }
}
