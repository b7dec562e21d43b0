//! Maps and weights to components and back, sixteen values at a time.

use std::{marker::PhantomData, ops::Range};

use super::schemes::Scheme;
use crate::{
    layout::{LANES, MapLayout},
    simd::{Kernel, Simd, unrolled},
};

/// Stands for rows outside of a map.
static ZEROS: [f32; LANES] = [0.0; LANES];

/// A row of a map, or a repeated vector of zeros.
#[derive(Clone, Copy)]
pub(super) struct Line {
    row: *const f32,
    channel: usize,
    column: usize,
}

/// The rows that a row of tiles reads.
pub(super) struct Lines<const K: usize> {
    lines: [Line; K],
    channels: usize,
    columns: usize,
}

impl<const K: usize> Lines<K> {
    /// The rows that `row` returns, and zeros where it returns none.
    pub(super) fn of(layout: &MapLayout, row: impl Fn(usize) -> Option<*mut f32>) -> Self {
        let line = |k| match row(k) {
            Some(row) => Line { row, channel: layout.channel(), column: LANES },
            None => Line { row: ZEROS.as_ptr(), channel: 0, column: 0 },
        };
        Self { lines: std::array::from_fn(line), channels: layout.shape.c, columns: layout.shape.w }
    }
}

/// Where components go: each is [channel][tile]. Distances are in values.
#[derive(Clone, Copy)]
pub(super) struct Target {
    /// The first tile of the first channel of the first component.
    pub first: *mut f32,
    /// Distance between channels.
    pub channel: usize,
    /// Distance between components.
    pub component: usize,
}

/// Inputs to components: `B^T d B` of every tile of a row.
pub(super) struct OfInput<'a, T, const M: usize, const N: usize> {
    lines: &'a Lines<N>,
    tiles: Range<usize>,
    target: Target,
    scheme: PhantomData<T>,
}

impl<'a, T, const M: usize, const N: usize> OfInput<'a, T, M, N> {
    /// Of the tiles `tiles` of a row; those beyond the map are zero.
    ///
    /// # Safety
    /// The lines have a margin, and `target` belongs to the caller.
    pub(super) unsafe fn new(lines: &'a Lines<N>, tiles: Range<usize>, target: Target) -> Self {
        Self { lines, tiles, target, scheme: PhantomData }
    }
}

impl<T: Scheme<M, N>, const M: usize, const N: usize> OfInput<'_, T, M, N> {
    /// A column of a channel, transformed; zeros beyond the margin.
    ///
    /// # Safety
    /// As of [`Self::new`].
    #[inline(always)]
    unsafe fn column<S: Simd>(&self, s: S, channel: usize, column: isize) -> [S::Vector; N] {
        let mut inputs = [s.splat(0.0); N];
        if column <= self.lines.columns as isize {
            unrolled!(K in [0 1 2 3 4 5] below N => {
                let line = self.lines.lines[K];
                // SAFETY: columns from -1 to `columns` are a row's own or margins.
                unsafe {
                    let row = line.row.add(channel * line.channel);
                    inputs[K] = s.load(row.offset(column * line.column as isize));
                }
            });
        }
        T::input(s, inputs)
    }
}

impl<T: Scheme<M, N>, const M: usize, const N: usize> Kernel for OfInput<'_, T, M, N> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let first = (self.tiles.start * M) as isize - 1;
        for channel in 0..self.lines.channels {
            // SAFETY: columns from -1 to `columns` are a row's own or margins; the caller of `new`
            // guarantees that `target` is valid.
            unsafe {
                // The last two columns of a tile are the first two of the next.
                let mut shared = [self.column(s, channel, first), self.column(s, channel, first + 1)];
                for tile in 0..self.tiles.len() {
                    let begin = first + (tile * M) as isize;
                    let mut read = [[s.splat(0.0); N]; N];
                    (read[0], read[1]) = (shared[0], shared[1]);
                    unrolled!(J in [2 3 4 5] below N => { read[J] = self.column(s, channel, begin + J as isize); });
                    shared = [read[N - 2], read[N - 1]];
                    let target = self.target.first.add(channel * self.target.channel + tile * LANES);
                    unrolled!(I in [0 1 2 3 4 5] below N => {
                        let mut row = [s.splat(0.0); N];
                        unrolled!(J in [0 1 2 3 4 5] below N => { row[J] = read[J][I]; });
                        let row = T::input(s, row);
                        unrolled!(J in [0 1 2 3 4 5] below N => {
                            s.store(target.add((I * N + J) * self.target.component), row[J]);
                        });
                    });
                }
            }
        }
    }
}

/// Products to outputs: `A^T m A` of every tile of a row.
pub(super) struct FromOutput<'a, T, const M: usize, const N: usize> {
    products: *const f32,
    component: usize,
    tiles: Range<usize>,
    to: &'a MapLayout,
    rows: [*mut f32; M],
    bias: Option<&'a [f32]>,
    scheme: PhantomData<T>,
}

impl<'a, T, const M: usize, const N: usize> FromOutput<'a, T, M, N> {
    /// Of components that stand as [`OfInput`] writes them. Rows that are null are not written.
    ///
    /// # Safety
    /// `products` holds the components, and `rows` belong to the caller.
    pub(super) unsafe fn new(
        products: *const f32,
        component: usize,
        tiles: Range<usize>,
        to: &'a MapLayout,
        rows: [*mut f32; M],
        bias: Option<&'a [f32]>,
    ) -> Self {
        Self { products, component, tiles, to, rows, bias, scheme: PhantomData }
    }
}

impl<T: Scheme<M, N>, const M: usize, const N: usize> Kernel for FromOutput<'_, T, M, N> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let shape = self.to.shape;
        for channel in 0..shape.c {
            let bias = s.splat(self.bias.map_or(0.0, |bias| bias[channel]));
            for (place, tile) in self.tiles.clone().enumerate() {
                // SAFETY: the caller of `new` guarantees that all memory is valid; only columns
                // of the map are written.
                unsafe {
                    let source = self.products.add((channel * self.tiles.len() + place) * LANES);
                    let mut halves = [[s.splat(0.0); M]; N];
                    unrolled!(I in [0 1 2 3 4 5] below N => {
                        let mut row = [s.splat(0.0); N];
                        unrolled!(J in [0 1 2 3 4 5] below N => {
                            row[J] = s.load(source.add((I * N + J) * self.component));
                        });
                        halves[I] = T::output(s, row);
                    });
                    unrolled!(J in [0 1 2 3] below M => {
                        let column = tile * M + J;
                        if column < shape.w {
                            let mut of_rows = [s.splat(0.0); N];
                            unrolled!(I in [0 1 2 3 4 5] below N => { of_rows[I] = halves[I][J]; });
                            let outputs = T::output(s, of_rows);
                            unrolled!(K in [0 1 2 3] below M => {
                                if !self.rows[K].is_null() {
                                    let place = channel * self.to.channel() + column * LANES;
                                    s.store(self.rows[K].add(place), s.add(outputs[K], bias));
                                }
                            });
                        }
                    });
                }
            }
        }
    }
}

/// Weights of a segment to components: `G g G^T`.
pub(super) struct OfWeights<'a, T, const M: usize, const N: usize> {
    weights: &'a [f32],
    channels: [usize; 2],
    is_back: bool,
    target: &'a mut [f32],
    component: usize,
    scheme: PhantomData<T>,
}

impl<'a, T, const M: usize, const N: usize> OfWeights<'a, T, M, N> {
    /// Of `weights`, [output][input][3][3] of `channels` (inputs, outputs). In the backward
    /// pass kernels are rotated and the channel axes exchanged. `component` is the distance
    /// from a component to the next in `target`.
    pub(super) fn new(
        weights: &'a [f32],
        channels: [usize; 2],
        is_back: bool,
        target: &'a mut [f32],
        component: usize,
    ) -> Self {
        Self { weights, channels, is_back, target, component, scheme: PhantomData }
    }
}

impl<T: Scheme<M, N>, const M: usize, const N: usize> Kernel for OfWeights<'_, T, M, N> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [inputs, outputs] = self.channels;
        let [inner, outer] = if self.is_back { [outputs, inputs] } else { [inputs, outputs] };
        for (of_outer, first) in
            (0..outer).flat_map(|of| (0..inner).step_by(LANES).map(move |first| (of, first)))
        {
            let lanes = LANES.min(inner - first);
            let kernel = |lane: usize| match self.is_back {
                true => (first + lane) * inputs + of_outer,
                false => of_outer * inputs + first + lane,
            };
            let mut taps = [[0.0; LANES]; 9];
            for (tap, of_tap) in taps.iter_mut().enumerate() {
                let tap = if self.is_back { 8 - tap } else { tap };
                for (lane, value) in of_tap.iter_mut().enumerate().take(lanes) {
                    *value = self.weights[9 * kernel(lane) + tap];
                }
            }
            let mut rows = [[s.splat(0.0); N]; 3];
            unrolled!(K in [0 1 2] below 3 => {
                let [a, b, c] = [taps[3 * K], taps[3 * K + 1], taps[3 * K + 2]];
                rows[K] = T::weights(s, [s.of_array(a), s.of_array(b), s.of_array(c)]);
            });
            unrolled!(J in [0 1 2 3 4 5] below N => {
                let column = T::weights(s, [rows[0][J], rows[1][J], rows[2][J]]);
                unrolled!(I in [0 1 2 3 4 5] below N => {
                    let place = (I * N + J) * self.component + of_outer * inner + first;
                    self.target[place..place + lanes].copy_from_slice(&s.to_array(column[I])[..lanes]);
                });
            });
        }
    }
}
