//! The gradient of the weights of segments of few channels, all kernel rows at
//! once.
//!
//! One operand and one kernel row of three taps make three sums: too few to hide
//! the latency of an addition. The nine of all three rows do, and each pixel of
//! the input meets three rows of gradients at once.
//!
//! With so few products a pixel, copying its channels first would take as long as
//! multiplying them. So both maps are read where they lie: whole rows, which stay
//! in the first-level cache while one vector of channels after the other is taken
//! from them.

#![allow(clippy::needless_range_loop, reason = "register tiles are indexed by constants")]

use super::{Strip, source_rows};
use crate::{
    buffer::Buffer,
    conv::{
        correlation::{Correlation, Run},
        window::{AllRotations, Feed, Layout, Rotations},
    },
    isa::{Context, Isa},
    simd::{self, Kernel, Simd, dispatch, with_constant},
};

/// Rows and columns of the kernels that are computed here.
const K: usize = 3;

/// Values in a cache line.
const LINE: usize = 16;

/// Whether this is the way to compute `c`.
pub(super) fn fits(layout: &Layout, c: &Correlation) -> bool {
    let is_square = c.rows.taps == K && c.columns.taps == K;
    is_square && layout.rotates && layout.c <= 2
}

/// Operands of a tile: its sums, a window of operands and a gradient fit the registers.
fn operands(isa: Isa, layout: &Layout) -> usize {
    if simd::registers(isa) >= 32 { layout.c } else { 1 }
}

/// One strip of a run.
pub(super) struct Squares<'a> {
    pub c: &'a Correlation,
    pub run: &'a Run,
    pub layout: &'a Layout,
    pub rotations: &'a AllRotations,
    pub x: &'a [f32],
    pub grad_y: &'a [f32],
    pub strip: &'a Strip,
}

impl Squares<'_> {
    /// Adds the products of the strip to its packed gradient, or overwrites it where
    /// `is_first`.
    pub(super) fn add(&self, ctx: &Context, is_first: bool, total: &mut [f32]) {
        let mut sums = ctx.pool.take_zeroed(total.len());
        let zeros = ctx.pool.take_zeroed(self.c.target.c);
        let work = Work { squares: self, zeros: &zeros, sums: &mut sums };
        with_constant!(R = operands(ctx.isa(), self.layout), in [1 2] => dispatch(ctx, WorkOf::<R>(work)));
        if is_first {
            total.copy_from_slice(&sums);
        } else {
            total.iter_mut().zip(&*sums).for_each(|(total, sum)| *total += sum);
        }
    }
}

struct Work<'a> {
    squares: &'a Squares<'a>,
    /// A pixel outside the strip.
    zeros: &'a Buffer,
    /// Of the strip: `[block][kernel row][operand][tap][lane]`.
    sums: &'a mut [f32],
}

struct WorkOf<'a, const R: usize>(Work<'a>);

impl<const R: usize> Kernel for WorkOf<'_, R> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // What does not fit the registers is never asked for, and not compiled.
        if const { K * K * R + K * R + 1 < S::REGISTERS } {
            self.0.add::<S, R>(s);
        }
    }
}

/// A row of pixels, from the first channel of a block on.
#[derive(Clone, Copy)]
struct Pixels {
    first: *const f32,
    /// Values from one pixel to the next.
    stride: usize,
}

impl Work<'_> {
    #[inline(always)]
    fn add<S: Simd, const R: usize>(mut self, s: S) {
        let Squares { c, run, layout, x, grad_y, strip, .. } = *self.squares;
        let (source, target, blocks) = (c.source, c.target, layout.blocks());
        assert!(
            strip.images.end * source.len() <= x.len() && strip.images.end * target.len() <= grad_y.len()
        );
        assert_eq!(self.sums.len(), blocks * layout.block_len(c));
        let row_of = |map: &[f32], len: usize, row: usize| map.as_ptr().wrapping_add(row * len);
        for image in strip.images.clone() {
            for source_row in source_rows(c, strip) {
                let x_row = row_of(x, source.w * source.c, image * source.h + source_row);
                let gradient_row = |tap: usize| {
                    let row = source_row as isize - c.rows.shift(0, tap).unwrap_or_default();
                    let row = usize::try_from(row).ok().filter(|row| strip.rows.contains(row))?;
                    Some(row_of(grad_y, target.w * target.c, image * target.h + row))
                };
                let gradient_rows: [Option<*const f32>; K] = std::array::from_fn(gradient_row);
                for block in 0..blocks {
                    fetch_ahead(s, x_row, source.w * source.c, (block, blocks));
                    if let Some(newest) = gradient_rows[0] {
                        fetch_ahead(s, newest, target.w * target.c, (block, blocks));
                    }
                    let channels = layout.channels(block);
                    let x = Pixels {
                        first: x_row.wrapping_add(run.source_start + channels.source),
                        stride: source.c,
                    };
                    let gradients = gradient_rows.map(|row| match row {
                        Some(row) => Pixels {
                            first: row.wrapping_add(run.target_start + channels.target),
                            stride: target.c,
                        },
                        None => Pixels { first: self.zeros.as_ptr(), stride: 0 },
                    });
                    for first in (0..layout.c).step_by(R) {
                        // SAFETY: the assertions above, and the pixels are of rows of the maps.
                        unsafe { self.row::<S, R>(s, (block, first), x, gradients, channels.source_count) };
                    }
                }
            }
        }
    }

    /// Adds the products of one row of the input with three of gradients, for the
    /// operands of a block from `first` on.
    ///
    /// # Safety
    /// `x` and `gradients` have the pixels of a row, of which `count` channels are valid.
    #[inline(always)]
    unsafe fn row<S: Simd, const R: usize>(
        &mut self,
        s: S,
        (block, first): (usize, usize),
        x: Pixels,
        gradients: [Pixels; K],
        count: usize,
    ) {
        let Squares { c, layout, rotations, .. } = *self.squares;
        let mask = s.mask(count);
        let slots = &mut self.sums[block * layout.block_len(c)..][..layout.block_len(c)];
        let slot =
            |tap_row: usize, i: usize, tap: usize| ((tap_row * layout.c + first + i) * K + tap) * S::LANES;
        let operands = |column: isize| {
            let is_inside = (0..c.source.w as isize).contains(&column);
            let pixel = x.first.wrapping_offset(column * x.stride as isize);
            std::array::from_fn::<_, R, _>(|i| {
                // SAFETY: the caller's promise.
                unsafe {
                    Rotations::operand::<S, false>(
                        s,
                        pixel,
                        is_inside,
                        first + i,
                        mask,
                        &rotations[first + i],
                    )
                }
            })
        };
        let mut sums = [[[s.splat(0.0); K]; R]; K];
        for tap_row in 0..K {
            for i in 0..R {
                for tap in 0..K {
                    // SAFETY: a block has a vector for each of these.
                    sums[tap_row][i][tap] = unsafe { s.load(slots.as_ptr().add(slot(tap_row, i, tap))) };
                }
            }
        }
        // A ring: of gradient `q` the operands for tap `j` are number `q + j` modulo
        // K. Unrolled K times, no value ever moves.
        let before = c.columns.shift(0, 0).unwrap_or_default();
        let mut window = [[s.splat(0.0); R]; K];
        for tap in 0..K - 1 {
            window[tap] = operands(before + tap as isize);
        }
        let mut column = 0;
        'row: loop {
            for q in 0..K {
                if column == c.target.w {
                    break 'row;
                }
                window[(q + K - 1) % K] = operands(before + (column + K - 1) as isize);
                for tap_row in 0..K {
                    let pixel = gradients[tap_row].first.wrapping_add(column * gradients[tap_row].stride);
                    // SAFETY: the caller's promise.
                    let gradient = unsafe { s.load_masked(pixel, mask) };
                    for i in 0..R {
                        for tap in 0..K {
                            let operand = window[(q + tap) % K][i];
                            sums[tap_row][i][tap] = s.fma(operand, gradient, sums[tap_row][i][tap]);
                        }
                    }
                }
                column += 1;
            }
        }
        for tap_row in 0..K {
            for i in 0..R {
                for tap in 0..K {
                    let place = slots.as_mut_ptr().wrapping_add(slot(tap_row, i, tap));
                    // SAFETY: as above.
                    unsafe { s.store(place, sums[tap_row][i][tap]) };
                }
            }
        }
    }
}

/// Asks for a share of the row after `row`, both of `len` values.
#[inline(always)]
fn fetch_ahead<S: Simd>(s: S, row: *const f32, len: usize, (share, shares): (usize, usize)) {
    for at in (share * len / shares..(share + 1) * len / shares).step_by(LINE) {
        s.prefetch(row.wrapping_add(len + at));
    }
}
