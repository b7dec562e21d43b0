//! Winograd's minimal filtering of 3x3 convolutions at stride 1 (Lavin and Gray, "Fast
//! Algorithms for Convolutional Neural Networks", 2016).
//!
//! A tile of MxM outputs reads NxN inputs, N = M + 2. With inputs, weights and outputs
//! transformed it takes N^2 products per pair of channels instead of 9 M^2. Each of the N^2
//! components of all tiles is again a map, with one pixel per tile; what remains for each is a
//! 1x1 convolution on the register tiles of `direct.rs`. Transforms are sums of whole vectors,
//! whatever the processor. The gradient of the weights is the adjoint (`gradient.rs`).

mod gradient;
mod schemes;
mod transforms;

use std::{marker::PhantomData, ops::Range};

use gradient::TiledGradient;
use schemes::{Scheme, Tile2, Tile4};
use transforms::{FromOutput, Inputs, Lines, OfMap, OfWeights, Target};

use super::direct::{Direct, Direction, Rows, WeightOrder};
use crate::{
    arithmetic::Precision,
    geometry::{ConvGeometry, ConvOptions, MapShape, Padding},
    isa::Isa,
    layout::{LANES, MapLayout},
    simd::dispatch,
};

/// Bytes of transformed inputs and outputs that are alive at once.
const CHUNK: usize = 1 << 20;
/// Fewest tiles of a row that are transformed at once: fewer would leave registers empty.
const LEAST_TILES: usize = 4;

/// Whether Winograd tiles can compute a convolution.
pub(crate) fn has_tiles(geometry: &ConvGeometry, order: WeightOrder) -> bool {
    let o = geometry.options();
    (o.kernel_h, o.kernel_w, o.stride, o.dilation) == (3, 3, 1, 1)
        && o.padding == Padding::symmetric(1)
        && order == WeightOrder::ChannelFirst
}

/// A walk by F(2x2, 3x3).
pub(crate) type F2 = Tiled<Tile2, 2, 4>;
/// A walk by F(4x4, 3x3).
pub(crate) type F4 = Tiled<Tile4, 4, 6>;
/// The gradient of weights by F(2x2, 3x3).
pub(crate) type F2Gradient = TiledGradient<Tile2, 2, 4>;
/// The gradient of weights by F(4x4, 3x3).
pub(crate) type F4Gradient = TiledGradient<Tile4, 4, 6>;

/// The convolution of each component: 1x1, between maps of `tiles` tiles.
fn component(geometry: &ConvGeometry, direction: Direction, [rows, columns]: [usize; 2]) -> ConvGeometry {
    let (inputs, outputs) = match direction {
        Direction::Forward => (geometry.input().c, geometry.output().c),
        Direction::Back => (geometry.output().c, geometry.input().c),
    };
    let options = ConvOptions { segments: geometry.options().segments, ..ConvOptions::pointwise() };
    ConvGeometry::new(MapShape::new(rows, columns, inputs), outputs, options)
        .expect("as many channels and segments as the convolution has")
}

/// A walk by tiles of MxM outputs, with transformed and packed weights.
#[derive(Clone, Debug)]
pub(crate) struct Tiled<T, const M: usize, const N: usize> {
    isa: Isa,
    scheme: PhantomData<T>,
    geometry: ConvGeometry,
    direction: Direction,
    from: MapLayout,
    to: MapLayout,
    /// Tiles of a row that are transformed at once.
    chunk: usize,
    /// One walk per component.
    components: Vec<Direct>,
    /// Transformed weights, component by component.
    weights: Vec<f32>,
}

impl<T: Scheme<M, N>, const M: usize, const N: usize> Tiled<T, M, N> {
    /// Components of a tile.
    const COMPONENTS: usize = N * N;

    pub(crate) fn new(
        isa: Isa,
        geometry: ConvGeometry,
        direction: Direction,
        [from, to]: [MapLayout; 2],
    ) -> Self {
        let tiles = to.shape.w.div_ceil(M);
        let bytes = Self::COMPONENTS * (from.shape.c + to.shape.c) * LANES * size_of::<f32>();
        let chunks = tiles.div_ceil((CHUNK / bytes).max(LEAST_TILES));
        let chunk = tiles.div_ceil(chunks);
        let of_component = component(&geometry, direction, [1, chunk]);
        let maps = [of_component.input(), of_component.output()].map(|shape| MapLayout::new(shape, 0));
        let conv = (of_component, WeightOrder::ChannelFirst);
        let direct = Direct::new(isa, conv, Precision::F32, Direction::Forward, maps);
        let components = vec![direct; Self::COMPONENTS];
        Self {
            isa,
            scheme: PhantomData,
            geometry,
            direction,
            from,
            to,
            chunk,
            components,
            weights: Vec::new(),
        }
    }

    /// Transforms and packs the weights.
    pub(crate) fn pack(&mut self, weights: &[f32]) {
        let count = self.geometry.weight_count() / 9;
        self.weights.resize(Self::COMPONENTS * count, 0.0);
        self.transform_weights(weights);
        for (direct, weights) in self.components.iter_mut().zip(self.weights.chunks_exact(count)) {
            direct.pack(weights);
        }
    }

    fn transform_weights(&mut self, weights: &[f32]) {
        let count = self.geometry.weight_count() / 9;
        let mut first = 0;
        for segment in 0..self.geometry.options().segments {
            let (ins, outs) =
                (self.geometry.segment_inputs(segment).len(), self.geometry.segment_outputs(segment).len());
            let weights = &weights[9 * first..9 * (first + ins * outs)];
            let target = &mut self.weights[first..];
            let is_back = self.direction == Direction::Back;
            dispatch(self.isa, OfWeights::<T, M, N>::new(weights, [ins, outs], is_back, target, count));
            first += ins * outs;
        }
    }

    /// Number of values that [`Self::pack`] produces.
    pub(crate) fn packed(&self) -> usize {
        let transformed = Self::COMPONENTS * (self.geometry.weight_count() / 9);
        transformed + self.components.iter().map(Direct::packed).sum::<usize>()
    }

    /// Bytes of the packed weights so far.
    pub(crate) fn packed_bytes(&self) -> u64 {
        let transformed = size_of_val(self.weights.as_slice()) as u64;
        transformed + self.components.iter().map(Direct::packed_bytes).sum::<u64>()
    }

    /// Whether the weights are packed.
    pub(crate) fn is_packed(&self) -> bool {
        self.components.iter().all(Direct::is_packed)
    }

    /// Rows of the input that the tiles of the output rows `rows` read.
    pub(crate) fn reads(&self, rows: Range<usize>) -> Range<usize> {
        if rows.is_empty() {
            return 0..0;
        }
        let above = self.geometry.options().padding.top;
        let end = (rows.end.next_multiple_of(M) + 2 - above).min(self.from.shape.h);
        (rows.start / M * M).saturating_sub(above)..end
    }

    /// Values of scratch.
    pub(crate) fn scratch(&self) -> usize {
        Self::COMPONENTS * (self.from.shape.c + self.to.shape.c) * self.chunk * LANES
    }

    /// Computes the output rows `rows`, which lie in one row of tiles.
    ///
    /// # Safety
    /// `input` holds the rows of [`Self::reads`], with their margins, `output` the rows,
    /// which nothing else touches, and `scratch` is valid for [`Self::scratch`] values.
    pub(crate) unsafe fn rows(
        &self,
        rows: Range<usize>,
        input: Rows,
        output: Rows,
        bias: Option<&[f32]>,
        scratch: *mut f32,
    ) {
        let first_row = rows.start / M * M;
        let (shape, above) = (self.from.shape, self.geometry.options().padding.top);
        let [of_input, of_output] = [shape.c, self.to.shape.c].map(|channels| channels * self.chunk * LANES);
        let transformed = scratch;
        // SAFETY: the caller's promise for all memory.
        unsafe {
            let products = scratch.add(Self::COMPONENTS * of_input);
            let lines = Lines::of(&self.from, |k| {
                let row = (first_row + k).checked_sub(above).filter(|&row| row < shape.h)?;
                Some(input.at(row))
            });
            let targets = std::array::from_fn(|k| {
                let row = first_row + k;
                if rows.contains(&row) { output.at(row) } else { std::ptr::null_mut() }
            });
            for first in (0..shape.w.div_ceil(M)).step_by(self.chunk) {
                let tiles = first..first + self.chunk;
                let target = Target { first: transformed, channel: self.chunk * LANES, component: of_input };
                dispatch(self.isa, OfMap::<Inputs<T, M>, N, N, 0, N>::new(&lines, tiles.clone(), target));
                for (component, direct) in self.components.iter().enumerate() {
                    let row = Rows::new(transformed.add(component * of_input), of_input, 1);
                    let products = products.add(component * of_output);
                    direct.row(0, row, products, None, products);
                }
                dispatch(
                    self.isa,
                    FromOutput::<T, M, N>::new(products, of_output, tiles, &self.to, targets, bias),
                );
            }
        }
    }
}
