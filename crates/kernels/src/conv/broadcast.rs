//! Convolution as a matrix product that finds its rows itself: any kernel,
//! stride, dilation, padding and groups; 1x1 is the case of one tap.
//!
//! A register tile is up to twelve target pixels by one to four vectors of
//! target channels. For each tap every pixel of the tile is given the address
//! of its source pixel, or of a pixel of zeros where the tap falls on padding;
//! then each source channel is broadcast once a pixel and multiplied into all
//! vectors of the tile. The tile may span rows, so small maps fill it too.
//!
//! Weights are packed once a call, panel by panel (see
//! [`Panels`](super::panel::Panels)), as `[input block][tap][channel][lane]`.
//! A block of input channels is small enough that its weights stay in the
//! second-level cache while all tiles of a strip pass over them.

#![allow(clippy::needless_range_loop, reason = "register tiles are indexed by constants")]

mod pack;

pub(super) use pack::{pack, pack_into};

use super::{
    correlation::{Correlation, Run},
    panel::{Panel, Panels},
};
use crate::{
    isa::Context,
    simd::{self, Kernel, Simd, dispatch_products, with_constant},
};

/// Packed weights of a block of input channels: at most 384 KiB.
const BLOCK_VALUES: usize = 96 << 10;

/// Computes the rows of `target` from `first_row` of one image on. `zeros` are
/// as many as any group has source channels.
pub(super) fn rows(
    ctx: &Context,
    c: &Correlation,
    packed: &[f32],
    zeros: &[f32],
    source: &[f32],
    target: &mut [f32],
    first_row: usize,
) {
    Strip { c, packed, zeros, source, target, first_row }.compute(ctx);
}

/// Source channels of a block, and the number of blocks.
fn input_blocks(run: &Run, panels: &Panels) -> (usize, usize) {
    let count = panels.panel_len().div_ceil(BLOCK_VALUES);
    let inputs = run.source_c.div_ceil(count);
    (inputs, run.source_c.div_ceil(inputs))
}

/// A strip of rows of one target image.
struct Strip<'a> {
    c: &'a Correlation,
    packed: &'a [f32],
    /// A pixel of padding: as many zeros as any group has source channels.
    zeros: &'a [f32],
    source: &'a [f32],
    target: &'a mut [f32],
    first_row: usize,
}

impl Strip<'_> {
    /// Multiplies all panels of all groups into the strip.
    fn compute(&mut self, ctx: &Context) {
        let mut packed = self.packed;
        for run in self.c.runs() {
            let panels = Panels::new(ctx.isa(), self.c, run);
            for group in 0..run.groups {
                for index in 0..panels.count() {
                    let panel = panels.get(index);
                    let (inputs, blocks) = input_blocks(run, &panels);
                    for block in 0..blocks {
                        let start = block * inputs;
                        let inputs = inputs.min(run.source_c - start);
                        let len = self.c.taps() * inputs * panel.vectors * simd::lanes(ctx.isa());
                        let weights = packed.split_off(..len).unwrap_or_default();
                        let source_channel = run.source_start + group * run.source_c + start;
                        let target_channel = run.target_start + group * run.target_c + panel.start;
                        let work =
                            Block { weights, inputs, source_channel, target_channel, is_first: block == 0 };
                        self.block(ctx, panel, &work);
                    }
                }
            }
        }
    }
}

/// One panel of weights over one block of input channels.
struct Block<'a> {
    /// `[tap][input][lane]`.
    weights: &'a [f32],
    inputs: usize,
    /// First source channel, counted over all groups.
    source_channel: usize,
    /// First target channel, counted over all groups.
    target_channel: usize,
    /// Whether the target is overwritten rather than added to.
    is_first: bool,
}

/// Target pixels of one phase of a strip, in rows and columns of the phase.
#[derive(Clone, Copy)]
struct Phase {
    row: usize,
    column: usize,
    first_index: usize,
    width: usize,
}

impl Strip<'_> {
    /// Multiplies one panel into all pixels of the strip, phase by phase. The
    /// pixels of a phase are cut into tiles whose sizes differ by at most one.
    fn block(&mut self, ctx: &Context, panel: Panel, work: &Block<'_>) {
        let (c, target) = (self.c, self.c.target);
        let strip_rows = self.target.len() / (target.w * target.c);
        for row in 0..c.rows.split {
            for column in 0..c.columns.split {
                let rows = c.rows.indices(row, self.first_row..self.first_row + strip_rows);
                let columns = c.columns.indices(column, 0..target.w);
                let phase = Phase { row, column, first_index: rows.start, width: columns.len() };
                let pixels = rows.len() * columns.len();
                if pixels == 0 {
                    continue;
                }
                let count = pixels.div_ceil(tile_pixels(simd::registers(ctx.isa()), panel.vectors));
                let (size, larger) = (pixels / count, pixels % count);
                for (size, tiles, first) in
                    [(size + 1, larger, 0), (size, count - larger, larger * (size + 1))]
                {
                    if tiles > 0 {
                        kernel(panel.vectors, size)(
                            ctx,
                            Tiles { strip: self, panel, work, phase, first, tiles },
                        );
                    }
                }
            }
        }
    }

    /// Computes `P` pixels of the target from number `first` of the phase on,
    /// `V` vectors of channels each.
    ///
    /// # Safety
    /// The phase has pixels `first..first + P` within the strip.
    #[inline(always)]
    unsafe fn tile<S: Simd, const V: usize, const P: usize>(
        &mut self,
        s: S,
        panel: Panel,
        work: &Block<'_>,
        phase: Phase,
        first: usize,
    ) {
        let Correlation { rows, columns, source, target, .. } = self.c;
        debug_assert_eq!(work.weights.len(), self.c.taps() * work.inputs * V * S::LANES);
        debug_assert!(work.source_channel + work.inputs <= source.c && work.inputs <= self.zeros.len());
        let last = s.mask(panel.last_lanes);

        // Where each pixel's window starts in the source, and its place in the strip.
        let (mut source_rows, mut source_columns, mut places) = ([0; P], [0; P], [0; P]);
        let (mut row, mut column) = (phase.first_index + first / phase.width, first % phase.width);
        for p in 0..P {
            source_rows[p] = (row * rows.step) as isize;
            source_columns[p] = (column * columns.step) as isize;
            let target_row = phase.row + row * rows.split - self.first_row;
            let target_column = phase.column + column * columns.split;
            places[p] = (target_row * target.w + target_column) * target.c + work.target_channel;
            column += 1;
            if column == phase.width {
                (row, column) = (row + 1, 0);
            }
        }
        debug_assert!(places[P - 1] + (V - 1) * S::LANES + panel.last_lanes <= self.target.len());

        let mut sums = [[s.splat(0.0); V]; P];
        // SAFETY: `places` lie in the strip, with V vectors from there on within
        // the pixel, the last of them masked. A source address is that of a pixel
        // inside the image or of the zeros, with at least `inputs` values from
        // there on. Weights are read in the order and number that was asserted.
        unsafe {
            if !work.is_first {
                for p in 0..P {
                    let place = self.target.as_ptr().add(places[p]);
                    for v in 0..V - 1 {
                        sums[p][v] = s.load(place.add(v * S::LANES));
                    }
                    sums[p][V - 1] = s.load_masked(place.add((V - 1) * S::LANES), last);
                }
            }
            for row_tap in 0..rows.taps {
                let Some(row_shift) = rows.shift(phase.row, row_tap) else { continue };
                for column_tap in 0..columns.taps {
                    let Some(column_shift) = columns.shift(phase.column, column_tap) else { continue };
                    let mut pixels = [self.zeros.as_ptr(); P];
                    let mut any_inside = false;
                    for p in 0..P {
                        // A negative position wraps to one beyond every map.
                        let row = (source_rows[p] + row_shift) as usize;
                        let column = (source_columns[p] + column_shift) as usize;
                        if row < source.h && column < source.w {
                            let pixel = (row * source.w + column) * source.c + work.source_channel;
                            pixels[p] = self.source.as_ptr().add(pixel);
                            any_inside = true;
                        }
                    }
                    if any_inside {
                        let tap = row_tap * columns.taps + column_tap;
                        let weights = work.weights.as_ptr().add(tap * work.inputs * V * S::LANES);
                        multiply::<S, V, P>(s, work.inputs, &pixels, weights, &mut sums);
                    }
                }
            }
            for p in 0..P {
                let place = self.target.as_mut_ptr().add(places[p]);
                for v in 0..V - 1 {
                    s.store(place.add(v * S::LANES), sums[p][v]);
                }
                s.store_masked(place.add((V - 1) * S::LANES), sums[p][V - 1], last);
            }
        }
    }
}

/// Tiles of equal size, one after the other.
struct Tiles<'a, 'b> {
    strip: &'a mut Strip<'b>,
    panel: Panel,
    work: &'a Block<'a>,
    phase: Phase,
    /// First pixel of the first tile, counted within the phase.
    first: usize,
    tiles: usize,
}

/// Tiles of `pixels` pixels by `vectors` vectors.
fn kernel(vectors: usize, pixels: usize) -> fn(&Context, Tiles<'_, '_>) {
    match vectors {
        1 => with_constant!(P = pixels, in [1 2 3 4 5 6 7 8 9 10 11 12] => run_tiles::<1, P>),
        2 => with_constant!(P = pixels, in [1 2 3 4 5 6 7 8 9 10 11 12] => run_tiles::<2, P>),
        3 => with_constant!(P = pixels, in [1 2 3 4 5 6 7 8] => run_tiles::<3, P>),
        _ => with_constant!(P = pixels, in [1 2 3 4 5 6] => run_tiles::<4, P>),
    }
}

fn run_tiles<const V: usize, const P: usize>(ctx: &Context, tiles: Tiles<'_, '_>) {
    dispatch_products(ctx, TilesOf::<V, P>(tiles));
}

struct TilesOf<'a, 'b, const V: usize, const P: usize>(Tiles<'a, 'b>);

impl<const V: usize, const P: usize> Kernel for TilesOf<'_, '_, V, P> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // What does not fit the registers is never asked for, and not compiled.
        if const { (P + 1) * V < S::REGISTERS } {
            let Tiles { strip, panel, work, phase, first, tiles } = self.0;
            for tile in 0..tiles {
                // SAFETY: the tiles' pixels belong to the phase.
                unsafe { strip.tile::<S, V, P>(s, panel, work, phase, first + tile * P) };
            }
        }
    }
}

/// Most pixels of a tile of `vectors` vectors: the tile, the weights of one
/// channel and a broadcast value fit into the registers.
fn tile_pixels(registers: usize, vectors: usize) -> usize {
    match (registers, vectors) {
        (_, 1) => 12,
        (32.., 2) => 12,
        (32.., 3) => 8,
        _ => 6,
    }
}

/// The innermost loop: `sums[p][v] += pixels[p][i] * weights[i][v]` over the
/// channels `i`.
///
/// # Safety
/// Every pixel is valid for reading `inputs` values, and `weights` for `inputs`
/// times `V` vectors.
#[inline(always)]
unsafe fn multiply<S: Simd, const V: usize, const P: usize>(
    s: S,
    inputs: usize,
    pixels: &[*const f32; P],
    mut weights: *const f32,
    sums: &mut [[S::Vector; V]; P],
) {
    for i in 0..inputs {
        let mut row = [s.splat(0.0); V];
        // SAFETY: the caller's promise.
        unsafe {
            for v in 0..V {
                row[v] = s.load(weights.add(v * S::LANES));
            }
            weights = weights.add(V * S::LANES);
            for p in 0..P {
                let value = s.splat(*pixels[p].add(i));
                for v in 0..V {
                    sums[p][v] = s.fma(value, row[v], sums[p][v]);
                }
            }
        }
    }
}
