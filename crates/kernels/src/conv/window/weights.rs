//! The gradient of the weights: a window of gradients slides over each row, and
//! every operand of a source pixel is multiplied into all of it.

#![allow(clippy::needless_range_loop, reason = "register tiles are indexed by constants")]

mod squares;

use std::ops::Range;

use squares::Squares;

use super::{AllRotations, Broadcasts, Feed, Layout, Rotations};
use crate::{
    buffer::Buffer,
    conv::{
        correlation::{Correlation, Run},
        gather::Gather,
        strips::Strip,
    },
    isa::{Context, Isa},
    simd::{self, Kernel, MAX_LANES, Simd, dispatch, put_sum, with_constant},
};

/// Pixels of a strip: a vector's channels of their gradients stay in the
/// first-level cache, beside those of the input.
pub(in crate::conv) const STRIP_PIXELS: usize = 256;

/// Packed values of the gradient.
pub(in crate::conv) fn sums_len(ctx: &Context, c: &Correlation) -> usize {
    c.runs().iter().map(|run| run_len(ctx.isa(), c, run)).sum()
}

fn layout(isa: Isa, run: &Run) -> Layout {
    Layout::new(isa, run, 1)
}

/// Packed values of the gradient of a run.
fn run_len(isa: Isa, c: &Correlation, run: &Run) -> usize {
    let layout = layout(isa, run);
    layout.blocks() * layout.block_len(c)
}

/// From packed order to that of the weights.
pub(in crate::conv) fn unpack(ctx: &Context, c: &Correlation, packed: &[f32], grad_weights: &mut [f32]) {
    let mut start = 0;
    for run in c.runs() {
        layout(ctx.isa(), run)
            .for_each_weight(c, run, |at, weight| grad_weights[weight] = packed[start + at]);
        start += run_len(ctx.isa(), c, run);
    }
}

/// Adds one strip of pixels to the packed gradient, or overwrites it where
/// `is_first`.
pub(in crate::conv) fn add_strip(
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
        let layout = layout(ctx.isa(), run);
        let sums = sums.split_off_mut(..run_len(ctx.isa(), c, run)).unwrap_or_default();
        let rotations = layout.rotations();
        if squares::fits(&layout, c) {
            let strip = Squares { c, run, layout: &layout, rotations: &rotations, x, grad_y, strip };
            strip.add(ctx, is_first, sums);
            continue;
        }
        let mut segment = Segment::new(ctx, c, &layout, &rotations, strip);
        // A segment, or the segments of a vector, with all its panels.
        let span = layout.panels * layout.block_len(c);
        for (index, sums) in sums.chunks_exact_mut(span).enumerate() {
            segment.gather(ctx, run, index * layout.panels, x, grad_y);
            segment.add(ctx, is_first, sums);
        }
    }
}

/// Rows of the input that the windows of a strip reach.
fn source_rows(c: &Correlation, strip: &Strip) -> Range<usize> {
    let clamp = |row: usize, tap: usize| {
        let row = row as isize + c.rows.shift(0, tap).unwrap_or_default();
        row.clamp(0, c.source.h as isize) as usize
    };
    let first = clamp(strip.rows.start, 0);
    first..clamp(strip.rows.end, c.rows.taps - 1).max(first)
}

/// The channels of one segment, or of the segments of one vector, in the pixels
/// of a strip: panel by panel, a vector of channels a pixel.
struct Segment<'a> {
    c: &'a Correlation,
    layout: &'a Layout,
    rotations: &'a AllRotations,
    /// `[panel][image][row][column][lane]`, for `source_rows`.
    x: Buffer,
    /// As `x`, with zeros beside each row, as many as a window is long less one.
    grad_y: Buffer,
    strip: &'a Strip,
    /// Rows of the input that the strip's windows reach.
    source_rows: Range<usize>,
    /// Values of a row of `grad_y`.
    grad_row: usize,
}

impl<'a> Segment<'a> {
    fn new(
        ctx: &Context,
        c: &'a Correlation,
        layout: &'a Layout,
        rotations: &'a AllRotations,
        strip: &'a Strip,
    ) -> Self {
        let Correlation { columns, source, target, .. } = c;
        let source_rows = source_rows(c, strip);
        let grad_row = (source.w.max(target.w) + columns.taps - 1) * layout.lanes;
        let maps = layout.panels * strip.images.len();
        Self {
            x: ctx.pool.take(maps * source_rows.len() * source.w * layout.lanes),
            // What lies beside the rows is never written, and stays zero.
            grad_y: ctx.pool.take_zeroed(maps * strip.rows.len() * grad_row),
            c,
            layout,
            rotations,
            strip,
            source_rows,
            grad_row,
        }
    }

    /// Copies the channels of the segment that begins with `first_block`.
    fn gather(&mut self, ctx: &Context, run: &Run, first_block: usize, x: &[f32], grad_y: &[f32]) {
        let Correlation { source, target, .. } = self.c;
        let Self { layout, strip, .. } = *self;
        let zeros = self.zeros_before() * layout.lanes;
        let x_len = self.source_rows.len() * source.w * layout.lanes;
        let grad_len = strip.rows.len() * self.grad_row;
        for map in 0..layout.panels * strip.images.len() {
            let channels = layout.channels(first_block + map / strip.images.len());
            let image = strip.images.start + map % strip.images.len();
            let from = (image * source.h + self.source_rows.start) * source.w * source.c;
            let gather = Gather {
                source: &x[from + run.source_start + channels.target..],
                channels: channels.target_count,
                rows: (self.source_rows.len(), source.w * source.c),
                columns: (source.w, source.c),
                target: &mut self.x[map * x_len..][..x_len],
                width: layout.lanes,
                row_width: source.w * layout.lanes,
            };
            gather.run(ctx);
            let from = (image * target.h + strip.rows.start) * target.w * target.c;
            let gather = Gather {
                source: &grad_y[from + run.target_start + channels.target..],
                channels: channels.target_count,
                rows: (strip.rows.len(), target.w * target.c),
                columns: (target.w, target.c),
                target: &mut self.grad_y[map * grad_len..][..grad_len][zeros..],
                width: layout.lanes,
                row_width: self.grad_row,
            };
            gather.run(ctx);
        }
    }

    /// Zeros before the first gradient of a row: source column `x` meets by tap
    /// `j` the gradient of column `x + before - j`.
    fn zeros_before(&self) -> usize {
        let before = (-self.c.columns.shift(0, 0).unwrap_or_default()) as usize;
        self.c.columns.taps - 1 - before
    }

    /// Adds the segment's products to its packed gradient, one kernel row at a time.
    fn add(&self, ctx: &Context, is_first: bool, sums: &mut [f32]) {
        let (c, layout) = (self.c, self.layout);
        let (taps, lanes) = (c.columns.taps, layout.lanes);
        let most = most_operands(ctx.isa(), layout, taps);
        let x_panel = self.x.len() / layout.panels;
        let grad_panel = self.grad_y.len() / layout.panels;
        for (panel, sums) in sums.chunks_exact_mut(layout.block_len(c)).enumerate() {
            for (row, sums) in sums.chunks_exact_mut(layout.c * taps * lanes).enumerate() {
                // Operands come from one vector of the input at a time.
                for (vector, sums) in sums.chunks_mut(lanes * taps * lanes).enumerate() {
                    let count = sums.len() / (taps * lanes);
                    let mut operand = 0;
                    while operand < count {
                        let left = count - operand;
                        let now = left.div_ceil(left.div_ceil(most));
                        let sums = Sums {
                            segment: self,
                            x: &self.x[vector * x_panel..][..x_panel],
                            grad_y: &self.grad_y[panel * grad_panel..][..grad_panel],
                            is_first,
                            row_shift: c.rows.shift(0, row).unwrap_or_default(),
                            rotations: self.rotations,
                            operand,
                            sums: &mut sums[operand * taps * lanes..][..now * taps * lanes],
                        };
                        kernel(layout, taps, now)(ctx, sums);
                        operand += now;
                    }
                }
            }
        }
    }
}

/// Most operands of a tile: its sums, a window of gradients, an operand and the
/// lanes of its rotations fit the registers.
fn most_operands(isa: Isa, layout: &Layout, taps: usize) -> usize {
    match (simd::registers(isa), taps) {
        (32.., 3) if layout.rotates => 6,
        (32.., 3) => 8,
        (32.., 5) => 4,
        (32.., _) | (_, 3) => 3,
        _ => 1,
    }
}

/// What one tile of sums is made of: one vector of target channels, one kernel
/// row, some operands of one vector of source channels.
struct Sums<'a> {
    segment: &'a Segment<'a>,
    /// One panel each.
    x: &'a [f32],
    grad_y: &'a [f32],
    /// Whether `sums` is overwritten rather than added to.
    is_first: bool,
    /// What is added to a target row to find the source row.
    row_shift: isize,
    rotations: &'a AllRotations,
    /// The first operand.
    operand: usize,
    /// `[operand][tap][lane]`.
    sums: &'a mut [f32],
}

fn kernel(layout: &Layout, taps: usize, operands: usize) -> fn(&Context, Sums<'_>) {
    match (layout.rotates, taps) {
        (true, 3) => with_constant!(R = operands, in [1 2 3 4 5 6] => tile::<Rotations, 3, R>),
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
        let Segment { c, strip, ref source_rows, grad_row, .. } = *self.segment;
        let (images, rows) = (strip.images.len(), &strip.rows);
        let x_row = c.source.w * S::LANES;
        assert_eq!(self.x.len(), images * source_rows.len() * x_row);
        assert_eq!(self.grad_y.len(), images * rows.len() * grad_row);
        assert_eq!(self.sums.len(), R * K * S::LANES);
        // A row of the gradient is long enough for every window over a row of x.
        assert!(x_row + (K - 1) * S::LANES <= grad_row);
        let full = s.mask(S::LANES);
        let mut sums = [[s.splat(0.0); K]; R];
        for image in 0..images {
            for row in 0..rows.len() {
                let source_row = (rows.start + row) as isize + self.row_shift;
                if !(0..c.source.h as isize).contains(&source_row) {
                    continue;
                }
                let source_row = image * source_rows.len() + source_row as usize - source_rows.start;
                let x = &self.x[source_row * x_row..][..x_row];
                let grad_y = &self.grad_y[(image * rows.len() + row) * grad_row..][..grad_row];
                // SAFETY: both rows hold a vector for every pixel that is read.
                unsafe {
                    let (mut x, end) = (x.as_ptr(), x.as_ptr().add(x_row));
                    let mut next = grad_y.as_ptr();
                    // A ring: at pixel `p` the gradient for tap `j` is number
                    // `p - j` modulo K. Unrolled K times, no value ever moves.
                    let mut window = [s.splat(0.0); K];
                    for older in 1..K {
                        window[older] = s.load(next);
                        next = next.add(S::LANES);
                    }
                    'row: loop {
                        for p in 0..K {
                            if x == end {
                                break 'row;
                            }
                            window[p] = s.load(next);
                            next = next.wrapping_add(S::LANES);
                            for i in 0..R {
                                let index = self.operand + i;
                                let rotation = &self.rotations[index % MAX_LANES];
                                let operand = F::operand::<S, false>(s, x, true, index, full, rotation);
                                for j in 0..K {
                                    sums[i][j] = s.fma(operand, window[(p + K - j) % K], sums[i][j]);
                                }
                            }
                            x = x.add(S::LANES);
                        }
                    }
                }
            }
        }
        for (slot, sum) in self.sums.chunks_exact_mut(S::LANES).zip(sums.as_flattened()) {
            // SAFETY: the slot holds a vector.
            unsafe { put_sum(s, slot.as_mut_ptr(), *sum, self.is_first) };
        }
    }
}
