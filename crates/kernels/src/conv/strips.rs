//! How a call is cut into pieces of work. No piece depends on the number of
//! threads, and neither does the order in which sums over pieces are taken.

use std::ops::Range;

use rayon::prelude::*;

use super::correlation::Correlation;
use crate::{
    REDUCTION_PARTS,
    buffer::Buffer,
    geometry::{MapShape, partition},
    isa::Context,
};

/// Source values a strip of the target may read: 256 KiB, so that they stay in
/// the second-level cache while every panel of weights passes over them.
const STRIP_VALUES: usize = 1 << 16;

/// Strips a call should have at least, so that a single image keeps a handful
/// of cores busy.
const MIN_STRIPS: usize = 16;

/// Cuts the target of a whole batch into strips of rows and calls
/// `work(source image, strip of the target, first row of the strip)` for each,
/// in parallel. Strips have a multiple of `row_step` rows, except the last of an
/// image.
pub(super) fn for_each_strip(
    c: &Correlation,
    row_step: usize,
    source: &[f32],
    target: &mut [f32],
    work: impl Fn(&[f32], &mut [f32], usize) + Sync,
) {
    let batch = source.len() / c.source.len();
    let row_values = (c.source.w * c.source.c).max(c.target.w * c.target.c);
    let fitting = (STRIP_VALUES / row_values).max(1);
    let sharing = (batch * c.target.h).div_ceil(MIN_STRIPS);
    let strip_rows = fitting.min(sharing).next_multiple_of(row_step).min(c.target.h);
    let images = source.par_chunks(c.source.len()).zip(target.par_chunks_mut(c.target.len()));
    images.for_each(|(source, target)| {
        let strips = target.par_chunks_mut(strip_rows * c.target.w * c.target.c).enumerate();
        strips.for_each(|(k, target)| work(source, target, k * strip_rows));
    });
}

/// A piece of the pixels that a gradient of weights sums over: some rows of one
/// image, or all rows of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Strip {
    pub images: Range<usize>,
    pub rows: Range<usize>,
}

/// The strips of a batch, in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strips {
    images: usize,
    rows: usize,
    images_per_strip: usize,
    rows_per_strip: usize,
}

impl Strips {
    /// Cuts `images` maps of shape `map` into strips of at most `values`
    /// values, though never less than a row.
    pub(super) fn new(images: usize, map: MapShape, values: usize) -> Self {
        let fitting_images = values / map.len();
        let (images_per_strip, rows_per_strip) = if fitting_images > 1 {
            // Not so many images that parts of the reduction would go empty.
            (fitting_images.min(images.div_ceil(REDUCTION_PARTS)).max(1), map.h)
        } else {
            (1, (values / (map.w * map.c)).clamp(1, map.h))
        };
        Self { images, rows: map.h, images_per_strip, rows_per_strip }
    }

    fn per_image(&self) -> usize {
        self.rows.div_ceil(self.rows_per_strip)
    }

    /// Number of strips.
    pub(super) fn count(&self) -> usize {
        self.images.div_ceil(self.images_per_strip) * self.per_image()
    }

    /// Strip number `index`.
    pub(super) fn get(&self, index: usize) -> Strip {
        let image = index / self.per_image() * self.images_per_strip;
        let row = index % self.per_image() * self.rows_per_strip;
        Strip {
            images: image..(image + self.images_per_strip).min(self.images),
            rows: row..(row + self.rows_per_strip).min(self.rows),
        }
    }
}

/// Sums over `strips` in at most [`REDUCTION_PARTS`] parts, which are added in
/// order. `add(strip, is_first, part)` adds one strip to the `len` values of
/// its part, or overwrites them where `is_first`. The result holds the sum in
/// its first `len` values; there must be at least one strip.
pub(super) fn sum_over_strips(
    ctx: &Context,
    strips: &Strips,
    len: usize,
    add: impl Fn(Strip, bool, &mut [f32]) + Sync,
) -> Buffer {
    let parts = strips.count().min(REDUCTION_PARTS);
    let mut sums = ctx.pool.take(parts * len);
    sums.par_chunks_mut(len).enumerate().for_each(|(k, part)| {
        let mine = partition(strips.count(), parts, k);
        for index in mine.clone() {
            add(strips.get(index), index == mine.start, part);
        }
    });
    let (total, others) = sums.split_at_mut(len);
    /// Values that one task adds up.
    const CHUNK: usize = 4096;
    total.par_chunks_mut(CHUNK).enumerate().for_each(|(k, total)| {
        for part in others.chunks(len) {
            for (total, value) in total.iter_mut().zip(&part[k * CHUNK..]) {
                *total += value;
            }
        }
    });
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_cover_every_row_of_every_image_once() {
        for (images, rows, values) in [(1, 1, 1), (5, 4, 6), (5, 4, 100), (3, 7, 24), (20, 2, 13)] {
            let map = MapShape::new(rows, 3, 2);
            let strips = Strips::new(images, map, values);
            let mut seen = vec![0; images * rows];
            for k in 0..strips.count() {
                let strip = strips.get(k);
                for image in strip.images {
                    for row in strip.rows.clone() {
                        seen[image * rows + row] += 1;
                    }
                }
            }
            assert!(seen.iter().all(|&times| times == 1), "{strips:?} {seen:?}");
        }
    }

    #[test]
    fn parts_are_added_once_each() {
        let ctx = Context::best();
        let strips = Strips::new(19, MapShape::new(2, 1, 1), 1);
        let sum = sum_over_strips(&ctx, &strips, 2, |strip, is_first, part| {
            if is_first {
                part.fill(0.0);
            }
            part[0] += 1.0;
            part[1] += (strip.images.start * 2 + strip.rows.start) as f32;
        });
        assert_eq!(sum[..2], [38.0, (0..38).sum::<u32>() as f32]);
    }
}
