//! Rounding to bf16: the sign, the eight exponent bits and the upper seven
//! significand bits of an f32.
//!
//! The product of two such values is exact in f32, so a matrix product whose
//! factors were rounded first and that is then taken in f32 is what machines with
//! instructions for bf16 compute, up to the order of its sums (and to values below
//! 1e-38, which those machines take for zero). They multiply two at a time: what
//! such a product sums over is laid out in pairs, each in the bits of one f32.

use rayon::prelude::*;

use crate::{buffer::Buffer, isa::Context, per_isa::per_isa, rows::CHUNK};

/// A copy of `values`, each rounded to the nearest bf16, to the even one of two.
pub(crate) fn rounded(ctx: &Context, values: &[f32]) -> Buffer {
    let mut copy = ctx.pool.take(values.len());
    copy.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).for_each(|(copy, values)| {
        round_chunk(ctx, values, copy);
    });
    copy
}

/// The same on this thread alone.
pub(crate) fn rounded_here(ctx: &Context, values: &[f32]) -> Buffer {
    let mut copy = ctx.pool.take(values.len());
    round_chunk(ctx, values, &mut copy);
    copy
}

/// A factor of a matrix product, as given or rounded.
pub(crate) enum Factor<'a> {
    Given(&'a [f32]),
    Rounded(Buffer),
}

impl<'a> Factor<'a> {
    pub(crate) fn new(ctx: &Context, rounds: bool, values: &'a [f32]) -> Self {
        if rounds { Self::Rounded(rounded(ctx, values)) } else { Self::Given(values) }
    }
}

impl std::ops::Deref for Factor<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Given(values) => values,
            Self::Rounded(values) => values,
        }
    }
}

per_isa! {
    fn round_chunk(values: &[f32], copy: &mut [f32]) {
        for (copy, value) in copy.iter_mut().zip(values) {
            *copy = round(*value);
        }
    }
}

/// The nearest bf16. What is not a number stays so, and what is beyond the largest
/// bf16 becomes infinite.
#[inline(always)]
fn round(value: f32) -> f32 {
    let bits = value.to_bits();
    let is_upper_odd = bits >> 16 & 1;
    let nearest = bits.wrapping_add(0x7fff + is_upper_odd) & 0xffff_0000;
    // Without its lower bits, what is not a number might be infinite.
    let quiet = (bits | 0x0040_0000) & 0xffff_0000;
    f32::from_bits(if value.is_nan() { quiet } else { nearest })
}

/// Both values rounded, the first one in the lower half.
#[inline(always)]
pub(crate) fn pair(first: f32, second: f32) -> f32 {
    f32::from_bits(round(first).to_bits() >> 16 | round(second).to_bits())
}

/// Neighbouring channels of every pixel, paired: from `(pixels, c)` to
/// `(pixels, c / 2 rounded up)`, with a zero beside the last of an odd number.
pub(crate) fn paired_channels(ctx: &Context, c: usize, values: &[f32]) -> Buffer {
    let width = c.div_ceil(2);
    let mut pairs = ctx.pool.take(values.len() / c * width);
    pair_channels(ctx, c, values, &mut pairs);
    pairs
}

/// Neighbouring pixels, paired channel by channel: from `(pixels, c)` to
/// `(pixels / 2 rounded up, c)`, with zeros beside the last of an odd number.
pub(crate) fn paired_pixels(ctx: &Context, c: usize, values: &[f32]) -> Buffer {
    let mut pairs = ctx.pool.take((values.len() / c).div_ceil(2) * c);
    pair_pixels(ctx, c, values, &mut pairs);
    pairs
}

per_isa! {
    fn pair_channels(c: usize, values: &[f32], pairs: &mut [f32]) {
        for (pairs, pixel) in pairs.chunks_exact_mut(c.div_ceil(2)).zip(values.chunks_exact(c)) {
            let (whole, rest) = pixel.as_chunks::<2>();
            for (pair_of, values) in pairs.iter_mut().zip(whole) {
                *pair_of = pair(values[0], values[1]);
            }
            if let (Some(last), [value]) = (pairs.last_mut(), rest) {
                *last = pair(*value, 0.0);
            }
        }
    }

    fn pair_pixels(c: usize, values: &[f32], pairs: &mut [f32]) {
        for (pairs, pixels) in pairs.chunks_exact_mut(c).zip(values.chunks(2 * c)) {
            let (first, second) = pixels.split_at(c);
            if second.is_empty() {
                pairs.iter_mut().zip(first).for_each(|(pair_of, first)| *pair_of = pair(*first, 0.0));
            } else {
                for ((pair_of, first), second) in pairs.iter_mut().zip(first).zip(second) {
                    *pair_of = pair(*first, *second);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{on_all, values};

    #[test]
    fn values_are_rounded_to_the_nearest_even() {
        // Between 1 and 1.25 bf16 steps by 2^-7.
        const STEP: f32 = 1.0 / 128.0;
        for (value, nearest) in [
            (0.0, 0.0),
            (-1.5, -1.5),
            (1.0 + STEP, 1.0 + STEP),
            (1.0 + 0.49 * STEP, 1.0),
            (1.0 + 0.51 * STEP, 1.0 + STEP),
            (1.0 + 0.5 * STEP, 1.0),
            (1.0 + 1.5 * STEP, 1.0 + 2.0 * STEP),
            (-1.0 - 1.5 * STEP, -1.0 - 2.0 * STEP),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
        ] {
            assert_eq!(round(value), nearest, "{value}");
        }
        assert!(round(f32::from_bits(0x7f80_0001)).is_nan());
    }

    #[test]
    fn pairs_hold_neighbours() {
        let bits = |first: f32, second: f32| first.to_bits() >> 16 | second.to_bits();
        let found = |pairs: Vec<f32>| pairs.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let values: Vec<_> = (1..=9u8).map(f32::from).collect();
        let channels = on_all(|ctx| found(paired_channels(ctx, 3, &values).to_vec()));
        assert_eq!(
            channels,
            [bits(1., 2.), bits(3., 0.), bits(4., 5.), bits(6., 0.), bits(7., 8.), bits(9., 0.)]
        );
        let pixels = on_all(|ctx| found(paired_pixels(ctx, 3, &values).to_vec()));
        assert_eq!(
            pixels,
            [bits(1., 4.), bits(2., 5.), bits(3., 6.), bits(7., 0.), bits(8., 0.), bits(9., 0.)]
        );
    }

    #[test]
    fn slices_are_rounded_value_by_value() {
        let values = values(1, 3 * CHUNK + 5);
        let expected: Vec<_> = values.iter().map(|&value| round(value)).collect();
        assert_eq!(on_all(|ctx| rounded(ctx, &values).to_vec()), expected);
        assert_eq!(on_all(|ctx| rounded_here(ctx, &values).to_vec()), expected);
        assert!(
            values.iter().zip(&expected).all(|(value, round)| (value - round).abs() <= value.abs() / 256.0)
        );
    }
}
