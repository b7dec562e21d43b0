//! The gradient of the weights of segments of few channels, all kernel rows at
//! once.
//!
//! One operand and one kernel row of three taps make three sums: too few to hide
//! the latency of an addition. The nine of all three rows do, and each pixel of
//! the input is read once instead of three times.

#![allow(clippy::needless_range_loop, reason = "register tiles are indexed by constants")]

use super::{Correlation, Segment};
use crate::{
    conv::window::{Feed, Layout, Rotations},
    isa::{Context, Isa},
    simd::{self, Kernel, Simd, dispatch, put_sum, with_constant},
};

/// Rows and columns of the kernels that are computed here.
const K: usize = 3;

/// Most operands of a tile, if this is the way to compute `c`.
pub(super) fn operands(isa: Isa, layout: &Layout, c: &Correlation) -> Option<usize> {
    let most = if simd::registers(isa) >= 32 { 2 } else { 1 };
    let is_square = c.rows.taps == K && c.columns.taps == K;
    (is_square && layout.rotates && layout.c <= 2).then_some(most)
}

/// Adds the products of `segment` to its packed gradient, at most `most`
/// operands at once.
pub(super) fn add(ctx: &Context, segment: &Segment<'_>, most: usize, is_first: bool, sums: &mut [f32]) {
    let mut operand = 0;
    while operand < segment.layout.c {
        let now = (segment.layout.c - operand).min(most);
        let tile = Tile { segment, is_first, operand, sums };
        with_constant!(R = now, in [1 2] => dispatch(ctx, TileOf::<R>(tile)));
        operand += now;
    }
}

/// Some operands of a segment by all taps.
struct Tile<'a> {
    segment: &'a Segment<'a>,
    /// Whether `sums` is overwritten rather than added to.
    is_first: bool,
    /// The first operand.
    operand: usize,
    /// `[kernel row][operand][tap][lane]`, with all operands.
    sums: &'a mut [f32],
}

struct TileOf<'a, const R: usize>(Tile<'a>);

impl<const R: usize> Kernel for TileOf<'_, R> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // What does not fit the registers is never asked for, and not compiled.
        if const { K * K * R + R < S::REGISTERS } {
            self.0.add::<S, R>(s);
        }
    }
}

impl Tile<'_> {
    #[inline(always)]
    fn add<S: Simd, const R: usize>(self, s: S) {
        let Segment { c, strip, rotations, ref source_rows, grad_row, .. } = *self.segment;
        let (images, rows) = (strip.images.len(), &strip.rows);
        let x_row = c.source.w * S::LANES;
        assert_eq!(self.segment.x.len(), images * source_rows.len() * x_row);
        assert_eq!(self.segment.grad_y.len(), images * rows.len() * grad_row);
        // A row of the gradient is long enough for every window over a row of x.
        assert!(x_row + (K - 1) * S::LANES <= grad_row && self.segment.zeros.len() == grad_row);
        let full = s.mask(S::LANES);
        let mut sums = [[[s.splat(0.0); K]; K]; R];
        for image in 0..images {
            for (index, source_row) in source_rows.clone().enumerate() {
                let x = &self.segment.x[(image * source_rows.len() + index) * x_row..][..x_row];
                let gradients: [&[f32]; K] = std::array::from_fn(|tap| {
                    let row = source_row as isize - c.rows.shift(0, tap).unwrap_or_default();
                    match usize::try_from(row) {
                        Ok(row) if rows.contains(&row) => {
                            let row = image * rows.len() + row - rows.start;
                            &self.segment.grad_y[row * grad_row..][..grad_row]
                        }
                        _ => &self.segment.zeros,
                    }
                });
                for column in 0..c.source.w {
                    // SAFETY: all rows hold a vector for every pixel that is read.
                    unsafe {
                        let x = x.as_ptr().add(column * S::LANES);
                        let mut operands = [s.splat(0.0); R];
                        for i in 0..R {
                            let rotation = &rotations[self.operand + i];
                            operands[i] =
                                Rotations::operand::<S, false>(s, x, true, self.operand + i, full, rotation);
                        }
                        for tap_row in 0..K {
                            for tap in 0..K {
                                let at = (column + K - 1 - tap) * S::LANES;
                                let gradient = s.load(gradients[tap_row].as_ptr().add(at));
                                for i in 0..R {
                                    sums[i][tap_row][tap] =
                                        s.fma(operands[i], gradient, sums[i][tap_row][tap]);
                                }
                            }
                        }
                    }
                }
            }
        }
        for (tap_row, slots) in self.sums.chunks_exact_mut(self.segment.layout.c * K * S::LANES).enumerate() {
            let slots = &mut slots[self.operand * K * S::LANES..][..R * K * S::LANES];
            for (index, slot) in slots.chunks_exact_mut(S::LANES).enumerate() {
                let sum = sums[index / K][tap_row][index % K];
                // SAFETY: the slot holds a vector.
                unsafe { put_sum(s, slot.as_mut_ptr(), sum, self.is_first) };
            }
        }
    }
}
