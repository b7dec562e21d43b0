//! Scales images of bytes by weighted sums in integers: along rows, rounded to bytes, then
//! along columns.
//!
//! As many rows as fill sixteen lanes (five of a colour image) are placed side by side and
//! scaled together. Each scaled row is added at once to the rows of the result that use it, and
//! these are done with the last one, so few rows of sums are kept. Integer sums do not depend on their order, so every
//! machine gives the same bytes.

use std::ops::Range;

use crate::isa::Isa;
use crate::layout::LANES;
use crate::simd::{Kernel, Simd, dispatch};

/// Binary places of the weights: eight bits of a byte and two of overshoot leave 22.
pub const PLACES: u32 = 32 - 8 - 2;

/// What a sum begins with, so that it is rounded.
const HALF: i32 = 1 << (PLACES - 1);

/// Columns of the source that are processed at a time: half of a core's first-level cache.
const BLOCK: usize = 1 << 10;

/// The source pixels along one axis that contribute to each pixel of the result, the same
/// number for each, padded with weights of zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taps {
    source: usize,
    firsts: Vec<usize>,
    /// (result, tap).
    weights: Vec<i32>,
    count: usize,
}

impl Taps {
    /// `of_pixels` gives for each pixel of the result the first contributing pixel of `source`,
    /// in ascending order, and the weights of that pixel and the following ones, in units of
    /// 2^-[`PLACES`].
    ///
    /// # Panics
    /// When pixels lie behind the end of the source, or before those of earlier pixels.
    pub fn new(source: usize, of_pixels: &[(usize, Vec<i32>)]) -> Self {
        let count = of_pixels.iter().map(|(_, weights)| weights.len()).max().unwrap_or(0);
        assert!(
            of_pixels.iter().all(|(first, weights)| first + weights.len() <= source),
            "pixels of the source"
        );
        assert!(of_pixels.is_sorted_by_key(|(first, _)| first), "pixels in their order");
        let mut taps = Self { source, firsts: Vec::new(), weights: Vec::new(), count };
        for (first, weights) in of_pixels {
            let padded = (*first).min(source - count);
            let begin = taps.weights.len() + first - padded;
            taps.firsts.push(padded);
            taps.weights.resize(taps.weights.len() + count, 0);
            taps.weights[begin..begin + weights.len()].copy_from_slice(weights);
        }
        taps
    }

    /// Pixels of the result.
    pub fn len(&self) -> usize {
        self.firsts.len()
    }

    /// Whether the result has no pixel.
    pub fn is_empty(&self) -> bool {
        self.firsts.is_empty()
    }

    /// The first pixel of the source that counts, and the one after the last.
    fn seen(&self) -> Range<usize> {
        let end = self.firsts.last().map_or(0, |last| last + self.count);
        self.firsts.first().copied().unwrap_or(0)..end
    }

    fn of_pixels(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.firsts.iter().copied().zip(self.weights.chunks_exact(self.count.max(1)))
    }

    /// The most pixels of the result from one to the last that uses a pixel which that one uses too.
    fn most_at_once(&self) -> usize {
        let until = |first| self.firsts.partition_point(|other| *other < first + self.count);
        self.firsts.iter().enumerate().map(|(at, &first)| until(first) - at).max().unwrap_or(0)
    }

    /// The pixels of the result from `begin` on that together use at most [`BLOCK`] pixels of
    /// the source, at least one.
    fn block(&self, begin: usize) -> Range<usize> {
        let end = self.firsts[begin] + BLOCK.max(self.count);
        begin..begin + self.firsts[begin..].partition_point(|first| first + self.count <= end)
    }
}

/// Scales `source`, (h, w, C) bytes, to `out`, (`rows.len()`, `columns.len()`, C).
///
/// Cost: `C` multiply-adds in whole numbers for each tap of each column of every row
/// that is seen, and for each tap of each row of the result. Scratch: four bytes for each byte of
/// the rows of the result that use one row of the source, and [`LANES`] for each column that a
/// pixel sees, but for no fewer than 1,024.
///
/// ```
/// use decouple_kernels::{isa::Isa, resample::{PLACES, Taps, resample}};
/// let half = 1 << (PLACES - 1);
/// let halved = Taps::new(4, &[(0, vec![half, half]), (2, vec![half, half])]);
/// let kept = Taps::new(1, &[(0, vec![2 * half])]);
/// let mut out = [0; 2];
/// resample::<1>(Isa::best(), &[0, 10, 20, 40], &kept, &halved, &mut out);
/// assert_eq!(out, [5, 30]);
/// ```
///
/// # Panics
/// When `source` or `out` has another length than the taps say.
pub fn resample<const C: usize>(isa: Isa, source: &[u8], rows: &Taps, columns: &Taps, out: &mut [u8]) {
    assert_eq!(source.len(), rows.source * columns.source * C, "bytes of the source");
    assert_eq!(out.len(), rows.len() * columns.len() * C, "bytes of the result");
    if !out.is_empty() {
        dispatch(isa, Resample::<C> { source, rows, columns, out });
    }
}

struct Resample<'a, const C: usize> {
    source: &'a [u8],
    rows: &'a Taps,
    columns: &'a Taps,
    out: &'a mut [u8],
}

impl<const C: usize> Kernel for Resample<'_, C> {
    /// Plain Rust, which the compiler vectorises with the instructions of `S`.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { source, rows, columns, out } = self;
        let (width, row_len) = (columns.source * C, columns.len() * C);
        // A row of the result has its sums in the place of one that is finished.
        let places = rows.most_at_once();
        let mut sums = vec![HALF; places * row_len];
        let mut beside = vec![[0; LANES]; BLOCK.max(columns.count).min(columns.source)];
        let mut scaled = vec![0; LANES / C * row_len];
        let seen = rows.seen();
        // Taps of later rows never begin before those of earlier ones.
        let mut finished = 0;
        for first in seen.clone().step_by(LANES / C) {
            let together = (LANES / C).min(seen.end - first);
            let source = &source[first * width..][..together * width];
            let mut done = 0;
            while done < columns.len() {
                let block = columns.block(done);
                let seen = columns.firsts[done]..columns.firsts[block.end - 1] + columns.count;
                for (at, row) in source.chunks_exact(width).enumerate() {
                    lay_beside::<C>(&row.as_chunks().0[seen.clone()], at, &mut beside);
                }
                done = block.end;
                scale_rows::<C>(&beside, columns, block, &mut scaled);
            }
            for (row, scaled) in (first..).zip(scaled.chunks_exact(row_len)).take(together) {
                let touched = rows.of_pixels().enumerate().skip(finished);
                for (at, (first, weights)) in touched.take_while(|(_, (first, _))| *first <= row) {
                    let sums = &mut sums[at % places * row_len..][..row_len];
                    add_row(weights[row - first], scaled, sums);
                    if row + 1 == first + rows.count {
                        finish_row(sums, &mut out[at * row_len..][..row_len]);
                        finished += 1;
                    }
                }
            }
        }
    }
}

/// Puts `pixels` of row `at` into its lanes.
#[inline(always)]
fn lay_beside<const C: usize>(pixels: &[[u8; C]], at: usize, beside: &mut [[u8; LANES]]) {
    for (lanes, pixel) in beside.iter_mut().zip(pixels) {
        lanes[at * C..][..C].copy_from_slice(pixel);
    }
}

/// The pixels `block` of all rows, whose first tap lies at the front of `beside`.
#[inline(always)]
fn scale_rows<const C: usize>(
    beside: &[[u8; LANES]],
    columns: &Taps,
    block: Range<usize>,
    scaled: &mut [u8],
) {
    let row_len = columns.len() * C;
    let begin = columns.firsts[block.start];
    for (at, (first, weights)) in columns.of_pixels().enumerate().take(block.end).skip(block.start) {
        let mut sums = [HALF; LANES];
        for (lanes, &weight) in beside[first - begin..].iter().zip(weights) {
            for (sum, &byte) in sums.iter_mut().zip(lanes) {
                *sum += weight * i32::from(byte);
            }
        }
        let bytes = sums.map(to_byte);
        for (row, pixel) in scaled.chunks_exact_mut(row_len).zip(bytes.as_chunks::<C>().0) {
            row[at * C..][..C].copy_from_slice(pixel);
        }
    }
}

#[inline(always)]
fn add_row(weight: i32, scaled: &[u8], sums: &mut [i32]) {
    for (sum, &byte) in sums.iter_mut().zip(scaled) {
        *sum += weight * i32::from(byte);
    }
}

/// Writes the bytes of a row of the result, and clears its sums for another.
#[inline(always)]
fn finish_row(sums: &mut [i32], out: &mut [u8]) {
    for (byte, sum) in out.iter_mut().zip(sums) {
        *byte = to_byte(*sum);
        *sum = HALF;
    }
}

#[inline(always)]
fn to_byte(sum: i32) -> u8 {
    (sum >> PLACES).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pixel by pixel: a row of each first, then a column of what that gives.
    fn naive<const C: usize>(source: &[u8], rows: &Taps, columns: &Taps) -> Vec<u8> {
        let mut between = Vec::new();
        for row in source.chunks_exact(columns.source * C) {
            for (first, weights) in columns.of_pixels() {
                for c in 0..C {
                    let taps = weights.iter().zip(first..);
                    let sum: i32 = taps.map(|(weight, x)| weight * i32::from(row[x * C + c])).sum();
                    between.push(to_byte(HALF + sum));
                }
            }
        }
        let row_len = columns.len() * C;
        let of_row = |(first, weights): (usize, &[i32])| -> Vec<u8> {
            let byte = |x: usize| {
                let taps = weights.iter().zip(first..);
                let sum: i32 = taps.map(|(weight, y)| weight * i32::from(between[y * row_len + x])).sum();
                to_byte(HALF + sum)
            };
            (0..row_len).map(byte).collect()
        };
        rows.of_pixels().flat_map(of_row).collect()
    }

    /// Weights that overshoot, of a filter with `count` taps.
    fn taps(source: usize, len: usize, count: usize, seed: u64) -> Taps {
        let count = count.min(source);
        let mut state = seed;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % below
        };
        let mut of_pixels: Vec<(usize, Vec<i32>)> = (0..len)
            .map(|_| {
                let taps = 1 + next(count);
                let weights = (0..taps).map(|_| (next(1 << 22) as i32 - (1 << 20)) / taps as i32).collect();
                (next(source - taps + 1), weights)
            })
            .collect();
        of_pixels.sort_by_key(|(first, _)| *first);
        Taps::new(source, &of_pixels)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn every_instruction_set_gives_the_bytes_of_the_plain_loops(
            h in 1_usize..24, w in prop_oneof![1_usize..24, 1_000..1_100_usize], to_h in 0_usize..20, to_w in 0_usize..20, count in 1_usize..9, seed: u64,
        ) {
            let rows = taps(h, to_h, count, seed);
            let columns = taps(w, to_w, count, seed ^ 77);
            let source: Vec<u8> = (0..h * w * 3).map(|at| (at as u64 * 193 + seed) as u8).collect();
            for isa in Isa::available() {
                let mut found = vec![9; to_h * to_w * 3];
                resample::<3>(isa, &source, &rows, &columns, &mut found);
                prop_assert_eq!(&found, &naive::<3>(&source, &rows, &columns), "{}", isa.name());
                let (source, mut found) = (&source[..h * w], vec![9; to_h * to_w]);
                resample::<1>(isa, source, &rows, &columns, &mut found);
                prop_assert_eq!(found, naive::<1>(source, &rows, &columns), "{}", isa.name());
            }
        }
    }
}
