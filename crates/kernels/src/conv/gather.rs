//! Channels of many pixels, copied side by side.
//!
//! A kernel that walks over pixels and reads a few channels of each would find
//! them a whole pixel apart: with a power of two of channels they fall on few
//! sets of the cache and push each other out. Copied once, they are read from
//! the first-level cache as often as needed.

use crate::{
    isa::Context,
    simd::{Kernel, Simd, dispatch},
};

/// Some channels of a grid of pixels of a map, and where they go.
pub(super) struct Gather<'a> {
    /// From the first channel of the first pixel on.
    pub source: &'a [f32],
    /// Channels to copy of each pixel.
    pub channels: usize,
    /// Rows, and the distance of two in `source`.
    pub rows: (usize, usize),
    /// Pixels in a row, and the distance of two in `source`.
    pub columns: (usize, usize),
    /// From the first pixel on: `width` values a pixel, `row_width` a row. What
    /// lies between the channels and `width` is set to zero.
    pub target: &'a mut [f32],
    /// A whole number of vectors, at least `channels`.
    pub width: usize,
    /// Distance of two rows in `target`.
    pub row_width: usize,
}

impl Gather<'_> {
    /// Copies.
    pub(super) fn run(self, ctx: &Context) {
        dispatch(ctx, self);
    }
}

impl Kernel for Gather<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { source, channels, rows, columns, target, width, row_width } = self;
        if rows.0 == 0 || columns.0 == 0 {
            return;
        }
        assert!((rows.0 - 1) * rows.1 + (columns.0 - 1) * columns.1 + channels <= source.len());
        assert!((rows.0 - 1) * row_width + columns.0 * width <= target.len());
        assert!(channels <= width && width.is_multiple_of(S::LANES));
        for first in (0..width).step_by(S::LANES) {
            let mask = s.mask(channels.saturating_sub(first).min(S::LANES));
            for row in 0..rows.0 {
                // SAFETY: the assertions bound the last pixel read and written.
                unsafe {
                    let mut from = source.as_ptr().wrapping_add(row * rows.1 + first);
                    let mut to = target.as_mut_ptr().add(row * row_width + first);
                    for _ in 0..columns.0 {
                        s.store(to, s.load_masked(from, mask));
                        from = from.wrapping_add(columns.1);
                        to = to.wrapping_add(width);
                    }
                }
            }
        }
    }
}
