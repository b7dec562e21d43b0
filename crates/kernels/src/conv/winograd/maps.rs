//! Maps to and from the points of their tiles.
//!
//! Points lie as `[point][tile][channel]`, so that each point is the matrix of
//! rows that a product over channels wants. The matrices are one cache line
//! further apart than they are long: at a distance of a power of two, the points
//! of one tile would all fall into one set of the first-level cache.

#![allow(clippy::needless_range_loop, reason = "tiles are indexed by constants")]

use std::marker::PhantomData;

use super::transforms::{Line, MAX_POINTS, Tile};
use crate::{
    conv::strips::Strip,
    geometry::MapShape,
    isa::Context,
    simd::{Kernel, Simd, dispatch},
};

/// Values in a cache line.
const CACHE_LINE: usize = 16;

/// The tiles of some rows of tiles of some images.
#[derive(Clone, Debug)]
pub(super) struct Tiles {
    pub strip: Strip,
    /// Tiles in a row of them.
    pub columns: usize,
}

impl Tiles {
    /// Number of tiles.
    pub(super) fn count(&self) -> usize {
        self.strip.images.len() * self.strip.rows.len() * self.columns
    }

    /// Values between two points of the tiles of a map of `c` channels.
    pub(super) fn point_stride(&self, c: usize) -> usize {
        self.count() * c + CACHE_LINE
    }

    /// Every tile as (image, row of tiles, column of tiles), in order.
    #[inline(always)]
    fn places(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let (rows, columns) = (self.strip.rows.clone(), self.columns);
        self.strip.images.clone().flat_map(move |image| {
            rows.clone().flat_map(move |row| (0..columns).map(move |column| (image, row, column)))
        })
    }
}

/// What a tile reads of a map, and how it becomes points.
pub(super) trait Patch: Sync {
    /// Rows and columns that are read.
    const SIDE: usize;
    /// Rows and columns between neighbouring tiles.
    const STEP: usize;
    /// Rows and columns of points.
    const POINTS: usize;

    /// One line to points.
    fn line<S: Simd>(s: S, values: Line<S::Vector>) -> Line<S::Vector>;
}

/// The sources of a tile's outputs.
pub(super) struct Sources<T>(PhantomData<T>);

impl<T: Tile> Patch for Sources<T> {
    const SIDE: usize = T::POINTS;
    const STEP: usize = T::OUTPUTS;
    const POINTS: usize = T::POINTS;

    #[inline(always)]
    fn line<S: Simd>(s: S, values: Line<S::Vector>) -> Line<S::Vector> {
        T::source(s, values)
    }
}

/// The gradients of a tile's outputs.
pub(super) struct Gradients<T>(PhantomData<T>);

impl<T: Tile> Patch for Gradients<T> {
    const SIDE: usize = T::OUTPUTS;
    const STEP: usize = T::OUTPUTS;
    const POINTS: usize = T::POINTS;

    #[inline(always)]
    fn line<S: Simd>(s: S, values: Line<S::Vector>) -> Line<S::Vector> {
        T::gradient(s, values)
    }
}

/// Writes the points of `tiles`; what a tile reads outside the map is zero.
///
/// `before` is how many rows and columns the first tile of an image reaches out
/// of it, `map` the whole batch of images of `shape`, and `points` has room for
/// `P::POINTS` squared matrices.
pub(super) fn spread<P: Patch>(
    ctx: &Context,
    tiles: &Tiles,
    before: (isize, isize),
    shape: MapShape,
    map: &[f32],
    zeros: &[f32],
    points: &mut [f32],
) {
    assert!(map.len() >= tiles.strip.images.end * shape.len() && zeros.len() >= shape.c);
    assert_eq!(points.len(), P::POINTS * P::POINTS * tiles.point_stride(shape.c));
    dispatch(ctx, Spread::<P> { tiles, before, shape, map, zeros, points, patch: PhantomData });
}

struct Spread<'a, P> {
    tiles: &'a Tiles,
    before: (isize, isize),
    shape: MapShape,
    map: &'a [f32],
    zeros: &'a [f32],
    points: &'a mut [f32],
    patch: PhantomData<P>,
}

impl<P: Patch> Kernel for Spread<'_, P> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let shape = self.shape;
        let stride = self.tiles.point_stride(shape.c);
        for (tile, (image, row, column)) in self.tiles.places().enumerate() {
            let first_row = (row * P::STEP) as isize - self.before.0;
            let first_column = (column * P::STEP) as isize - self.before.1;
            let mut pixels = [[self.zeros; MAX_POINTS]; MAX_POINTS];
            for r in 0..P::SIDE {
                for c in 0..P::SIDE {
                    // A negative position wraps to one beyond every map.
                    let (row, column) =
                        ((first_row + r as isize) as usize, (first_column + c as isize) as usize);
                    if row < shape.h && column < shape.w {
                        pixels[r][c] = &self.map[((image * shape.h + row) * shape.w + column) * shape.c..];
                    }
                }
            }
            for first in (0..shape.c).step_by(S::LANES) {
                let mask = s.mask((shape.c - first).min(S::LANES));
                // SAFETY: a pixel, in the map or of zeros, has `shape.c` values, of
                // which `mask` reads those from `first` on. The matrices of points
                // have room for them in every tile: their number was asserted.
                unsafe {
                    let mut lines = [[s.splat(0.0); MAX_POINTS]; MAX_POINTS];
                    for c in 0..P::SIDE {
                        let mut line = [s.splat(0.0); MAX_POINTS];
                        for r in 0..P::SIDE {
                            line[r] = s.load_masked(pixels[r][c].as_ptr().add(first), mask);
                        }
                        let line = P::line(s, line);
                        for r in 0..P::POINTS {
                            lines[r][c] = line[r];
                        }
                    }
                    let place = self.points.as_mut_ptr().add(tile * shape.c + first);
                    for r in 0..P::POINTS {
                        let line = P::line(s, lines[r]);
                        for c in 0..P::POINTS {
                            s.store_masked(place.add((r * P::POINTS + c) * stride), line[c], mask);
                        }
                    }
                }
            }
        }
    }
}

/// Writes the outputs of the `tiles` of one whole map of `shape` from their points.
pub(super) fn gather<T: Tile>(
    ctx: &Context,
    tiles: &Tiles,
    shape: MapShape,
    points: &[f32],
    map: &mut [f32],
) {
    assert_eq!(points.len(), T::POINTS * T::POINTS * tiles.point_stride(shape.c));
    assert_eq!(map.len(), shape.len());
    dispatch(ctx, Gather::<T> { tiles, shape, points, map, tile: PhantomData });
}

struct Gather<'a, T> {
    tiles: &'a Tiles,
    shape: MapShape,
    points: &'a [f32],
    map: &'a mut [f32],
    tile: PhantomData<T>,
}

impl<T: Tile> Kernel for Gather<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let shape = self.shape;
        let stride = self.tiles.point_stride(shape.c);
        for (tile, (_, row, column)) in self.tiles.places().enumerate() {
            let (first_row, first_column) = (row * T::OUTPUTS, column * T::OUTPUTS);
            // A tile at the edge may reach out of the map.
            let rows = T::OUTPUTS.min(shape.h - first_row);
            let columns = T::OUTPUTS.min(shape.w - first_column);
            let pixel = &mut self.map[(first_row * shape.w + first_column) * shape.c..];
            for first in (0..shape.c).step_by(S::LANES) {
                let mask = s.mask((shape.c - first).min(S::LANES));
                // SAFETY: the matrices of points hold `shape.c` values of every tile,
                // as was asserted, and so does the map of every pixel of the tile that
                // lies in it; `mask` takes those from `first` on.
                unsafe {
                    let points = self.points.as_ptr().add(tile * shape.c + first);
                    let mut lines = [[s.splat(0.0); MAX_POINTS]; MAX_POINTS];
                    for c in 0..T::POINTS {
                        let mut line = [s.splat(0.0); MAX_POINTS];
                        for r in 0..T::POINTS {
                            line[r] = s.load_masked(points.add((r * T::POINTS + c) * stride), mask);
                        }
                        let line = T::target(s, line);
                        for r in 0..T::OUTPUTS {
                            lines[r][c] = line[r];
                        }
                    }
                    let place = pixel.as_mut_ptr().add(first);
                    for r in 0..T::OUTPUTS {
                        let line = T::target(s, lines[r]);
                        for c in 0..T::OUTPUTS {
                            if r < rows && c < columns {
                                s.store_masked(place.add((r * shape.w + c) * shape.c), line[c], mask);
                            }
                        }
                    }
                }
            }
        }
    }
}
