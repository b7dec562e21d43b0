//! Dropout whose mask is a function of seed and position: nothing is stored.

use rayon::prelude::*;

use crate::{error::ShapeError, isa::Context, per_isa::per_isa, rows::CHUNK};

/// Inverted dropout (Srivastava et al. 2014): value `i` is zero with
/// probability `rate` and divided by `1 - rate` otherwise, as the `i`-th number
/// of the seed's SplitMix64 stream (Steele, Lea and Flood 2014) says. The mask
/// is computed again in the backward pass, and is the same on any number of
/// threads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    rate: f32,
    seed: u64,
}

/// A rate that is no probability below one.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("dropout: a rate of {0} is not at least 0 and below 1")]
pub struct RateError(pub f32);

impl Dropout {
    /// Dropout of a share `rate` of the values, which ones told by `seed`.
    ///
    /// # Errors
    /// [`RateError`] when `rate` is not in `[0, 1)`.
    pub fn new(rate: f32, seed: u64) -> Result<Self, RateError> {
        if (0.0..1.0).contains(&rate) { Ok(Self { rate, seed }) } else { Err(RateError(rate)) }
    }

    /// `y = x * mask / (1 - rate)`, overwriting `y`.
    ///
    /// # Errors
    /// [`ShapeError`] when the lengths differ.
    pub fn forward(&self, ctx: &Context, x: &[f32], y: &mut [f32]) -> Result<(), ShapeError> {
        ShapeError::check("dropout forward", "y", x.len(), y.len())?;
        self.apply(ctx, x, y);
        Ok(())
    }

    /// `grad_x = grad_y * mask / (1 - rate)`, overwriting `grad_x`.
    ///
    /// # Errors
    /// [`ShapeError`] when the lengths differ.
    pub fn backward(&self, ctx: &Context, grad_y: &[f32], grad_x: &mut [f32]) -> Result<(), ShapeError> {
        ShapeError::check("dropout backward", "grad_x", grad_y.len(), grad_x.len())?;
        self.apply(ctx, grad_y, grad_x);
        Ok(())
    }

    fn apply(&self, ctx: &Context, from: &[f32], to: &mut [f32]) {
        let state = mix(self.seed);
        // The share of 2^32 numbers below which a value is dropped; exact.
        let dropped = (f64::from(self.rate) * 4_294_967_296.0) as u64;
        let factor = 1.0 / (1.0 - self.rate);
        to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK)).enumerate().for_each(|(index, (to, from))| {
            let state = state.wrapping_add(((index * CHUNK) as u64).wrapping_mul(STEP));
            mask_chunk(ctx, state, dropped, factor, from, to);
        });
    }
}

/// Between two states of SplitMix64: 2^64 over the golden ratio, made odd.
pub(super) const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// The output function of SplitMix64.
#[inline(always)]
pub(super) fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

per_isa! {
    fn mask_chunk(state: u64, dropped: u64, factor: f32, from: &[f32], to: &mut [f32]) {
        for (i, (to, from)) in to.iter_mut().zip(from).enumerate() {
            let number = mix(state.wrapping_add((i as u64 + 1).wrapping_mul(STEP))) >> 32;
            // A mask instead of a condition: no branch could be predicted.
            let kept = u32::from(number >= dropped).wrapping_neg();
            *to = f32::from_bits((from * factor).to_bits() & kept);
        }
    }
}
