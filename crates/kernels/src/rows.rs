//! Feature maps seen as rows of channels: how loops over few channels become
//! long enough for vectors, and how sums over rows are cut into fixed parts.

use std::ops::Range;

use crate::{REDUCTION_PARTS, error::ShapeError, geometry::partition};

/// Values that one task of a parallel loop handles: 64 KiB, enough work to pay
/// for handing it out and little enough to spread evenly.
pub(crate) const CHUNK: usize = 1 << 14;

/// Steps that are summed in f32 before they join sums in f64: few, so that
/// rounding stays small; enough that joining them costs little.
pub(crate) const BLOCK: usize = 64;

/// How many values one step of a loop over channels spans: whole pixels, and
/// enough of them to fill vectors when a pixel has few channels.
pub(crate) fn lane_count(channels: usize) -> usize {
    if channels >= 64 { channels } else { channels * 16 * 16_usize.div_ceil(channels) }
}

/// A chunk for a parallel loop whose coefficients span `lanes` values: about
/// [`CHUNK`] values, a whole number of spans.
pub(crate) fn chunk_of(lanes: usize) -> usize {
    lanes * (CHUNK / lanes).max(1)
}

/// Fills `lanes` with one pixel's values again and again.
pub(crate) fn repeat(pixel: &[f32], lanes: &mut [f32]) {
    for span in lanes.chunks_mut(pixel.len()) {
        span.copy_from_slice(&pixel[..span.len()]);
    }
}

/// How many rows of `channels` values `argument` holds.
pub(crate) fn row_count(
    op: &'static str,
    argument: &'static str,
    channels: usize,
    found: usize,
) -> Result<usize, ShapeError> {
    if channels == 0 {
        return Err(ShapeError { op, argument: "channels", expected: 1, found: 0 });
    }
    ShapeError::batch(op, argument, channels, found)
}

/// The values of part `part` when rows of `channels` values are summed in
/// [`REDUCTION_PARTS`] parts.
pub(crate) fn part_values(rows: usize, channels: usize, part: usize) -> Range<usize> {
    let rows = partition(rows, REDUCTION_PARTS, part);
    rows.start * channels..rows.end * channels
}

/// Splits scratch into `count` doubles, for sums over many values, and the rest.
///
/// # Panics
/// If `scratch` does not start at a multiple of eight bytes or is shorter than
/// `2 * count`: scratch comes from the pool, on a cache line.
pub(crate) fn split_doubles(scratch: &mut [f32], count: usize) -> (&mut [f64], &mut [f32]) {
    let (front, rest) = scratch.split_at_mut(2 * count);
    // SAFETY: every bit pattern is a valid f64, and `align_to_mut` keeps to the slice.
    let (before, doubles, after) = unsafe { front.align_to_mut::<f64>() };
    assert!(before.is_empty() && after.is_empty(), "scratch starts at a multiple of eight bytes");
    (doubles, rest)
}

/// The first `count` doubles of scratch that [`split_doubles`] has split.
pub(crate) fn doubles(scratch: &[f32], count: usize) -> &[f64] {
    // SAFETY: every bit pattern is a valid f64, and `align_to` keeps to the slice.
    let (before, doubles, after) = unsafe { scratch[..2 * count].align_to::<f64>() };
    assert!(before.is_empty() && after.is_empty(), "scratch starts at a multiple of eight bytes");
    doubles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_whole_pixels_and_long() {
        for channels in 1..300 {
            let lanes = lane_count(channels);
            assert_eq!(lanes % channels, 0);
            assert!((64..=1008).contains(&lanes) || lanes == channels, "{channels}: {lanes}");
            assert_eq!(chunk_of(lanes) % lanes, 0);
        }
    }

    #[test]
    fn parts_cover_every_row_once() {
        let ranges: Vec<_> = (0..REDUCTION_PARTS).map(|part| part_values(19, 3, part)).collect();
        assert_eq!((ranges[0].clone(), ranges[7].end), (0..9, 57));
        assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
    }

    #[test]
    fn repeat_fills_a_last_partial_span() {
        let mut lanes = [0.0; 5];
        repeat(&[1.0, 2.0], &mut lanes);
        assert_eq!(lanes, [1.0, 2.0, 1.0, 2.0, 1.0]);
    }
}
