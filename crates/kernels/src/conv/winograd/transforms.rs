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

/// What a tile reads of a map along one side: K values, which become N components.
pub(super) trait Patch<const K: usize, const N: usize> {
    /// Values between the first of a tile and that of the next.
    const STEP: usize;
    /// Values that a tile reads before the first of its outputs.
    const BEFORE: usize;
    /// The components.
    fn components<S: Simd>(s: S, values: [S::Vector; K]) -> [S::Vector; N];
}

/// Inputs of tiles of MxM outputs: `B^T d B`.
pub(super) struct Inputs<T, const M: usize>(PhantomData<T>);

impl<T: Scheme<M, N>, const M: usize, const N: usize> Patch<N, N> for Inputs<T, M> {
    const STEP: usize = M;
    const BEFORE: usize = 1;

    #[inline(always)]
    fn components<S: Simd>(s: S, values: [S::Vector; N]) -> [S::Vector; N] {
        T::input(s, values)
    }
}

/// Gradients of the outputs of tiles of MxM: `A y A^T`.
pub(super) struct Gradients<T>(PhantomData<T>);

impl<T: Scheme<M, N>, const M: usize, const N: usize> Patch<M, N> for Gradients<T> {
    const STEP: usize = M;
    const BEFORE: usize = 0;

    #[inline(always)]
    fn components<S: Simd>(s: S, values: [S::Vector; M]) -> [S::Vector; N] {
        T::gradient(s, values)
    }
}

/// A map to components, of every tile of a row: ROWS of their N rows, from FIRST on.
pub(super) struct OfMap<'a, P, const K: usize, const N: usize, const FIRST: usize, const ROWS: usize> {
    lines: &'a Lines<K>,
    tiles: Range<usize>,
    target: Target,
    patch: PhantomData<P>,
}

impl<'a, P, const K: usize, const N: usize, const FIRST: usize, const ROWS: usize>
    OfMap<'a, P, K, N, FIRST, ROWS>
{
    /// Of the tiles `tiles` of a row; those beyond the map are zero.
    ///
    /// # Safety
    /// The lines have a margin, and `target` belongs to the caller.
    pub(super) unsafe fn new(lines: &'a Lines<K>, tiles: Range<usize>, target: Target) -> Self {
        Self { lines, tiles, target, patch: PhantomData }
    }
}

impl<P: Patch<K, N>, const K: usize, const N: usize, const FIRST: usize, const ROWS: usize>
    OfMap<'_, P, K, N, FIRST, ROWS>
{
    /// A column of a channel, transformed; zeros beyond the margin.
    ///
    /// # Safety
    /// As of [`Self::new`].
    #[inline(always)]
    unsafe fn column<S: Simd>(&self, s: S, channel: usize, column: isize) -> [S::Vector; N] {
        let mut values = [s.splat(0.0); K];
        if column <= self.lines.columns as isize {
            unrolled!(I in [0 1 2 3 4 5] below K => {
                let line = self.lines.lines[I];
                // SAFETY: columns from -1 to `columns` are a row's own or margins.
                unsafe {
                    let row = line.row.add(channel * line.channel);
                    values[I] = s.load(row.offset(column * line.column as isize));
                }
            });
        }
        P::components(s, values)
    }
}

impl<P: Patch<K, N>, const K: usize, const N: usize, const FIRST: usize, const ROWS: usize> Kernel
    for OfMap<'_, P, K, N, FIRST, ROWS>
{
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let first = (self.tiles.start * P::STEP) as isize - P::BEFORE as isize;
        for channel in 0..self.lines.channels {
            // SAFETY: columns from -1 to `columns` are a row's own or margins; the caller of `new`
            // guarantees that `target` is valid.
            unsafe {
                let mut read = [[s.splat(0.0); N]; K];
                unrolled!(J in [0 1] below K - P::STEP => { read[P::STEP + J] = self.column(s, channel, first + J as isize); });
                for tile in 0..self.tiles.len() {
                    let begin = first + (tile * P::STEP) as isize;
                    // The first columns of a tile are the last of the one before.
                    unrolled!(J in [0 1] below K - P::STEP => { read[J] = read[P::STEP + J]; });
                    unrolled!(J in [0 1 2 3] below P::STEP => {
                        read[K - P::STEP + J] = self.column(s, channel, begin + (K - P::STEP + J) as isize);
                    });
                    let target = self.target.first.add(channel * self.target.channel + tile * LANES);
                    unrolled!(I in [0 1 2 3 4 5] below ROWS => {
                        let mut row = [s.splat(0.0); K];
                        unrolled!(J in [0 1 2 3 4 5] below K => { row[J] = read[J][FIRST + I]; });
                        let row = P::components(s, row);
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
    /// Of components that stand as [`OfMap`] writes them. Rows that are null are not written.
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

/// Sums of products, component by component, to the gradient of weights: `G^T m G`.
pub(super) struct ToWeights<'a, T, const M: usize, const N: usize> {
    components: &'a [f32],
    weights: &'a mut [f32],
    adds: bool,
    scheme: PhantomData<T>,
}

impl<'a, T, const M: usize, const N: usize> ToWeights<'a, T, M, N> {
    /// Writes `weights`, nine for each kernel, or adds to them. `components` holds a value for each
    /// kernel and component.
    pub(super) fn new(components: &'a [f32], weights: &'a mut [f32], adds: bool) -> Self {
        Self { components, weights, adds, scheme: PhantomData }
    }
}

impl<T: Scheme<M, N>, const M: usize, const N: usize> Kernel for ToWeights<'_, T, M, N> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let count = self.weights.len() / 9;
        for (first, weights) in (0..).step_by(LANES).zip(self.weights.chunks_mut(9 * LANES)) {
            let lanes = weights.len() / 9;
            let mut columns = [[s.splat(0.0); 3]; N];
            unrolled!(J in [0 1 2 3 4 5] below N => {
                let mut column = [s.splat(0.0); N];
                unrolled!(I in [0 1 2 3 4 5] below N => {
                    let mut values = [0.0; LANES];
                    let place = (I * N + J) * count + first;
                    values[..lanes].copy_from_slice(&self.components[place..place + lanes]);
                    column[I] = s.of_array(values);
                });
                columns[J] = T::weight_gradient(s, column);
            });
            unrolled!(K in [0 1 2] below 3 => {
                let mut row = [s.splat(0.0); N];
                unrolled!(J in [0 1 2 3 4 5] below N => { row[J] = columns[J][K]; });
                let taps = T::weight_gradient(s, row).map(|tap| s.to_array(tap));
                for (lane, weights) in weights.chunks_exact_mut(9).enumerate() {
                    for (tap, weight) in taps.iter().zip(&mut weights[3 * K..3 * K + 3]) {
                        *weight = if self.adds { *weight + tap[lane] } else { tap[lane] };
                    }
                }
            });
        }
    }
}
