//! The gradient of the weights by tiles: for each component the sum, over tiles, of the products
//! of an input's component and of an output gradient's, `G^T [(B^T d B) (A y A^T)] G`.
//!
//! The components of a map are N^2 / M^2 times as large as it is. One row of them is made at a
//! time, as large as the map: fewer leave the cache, and its transforms take as many sums as if
//! all were made at once.

use std::{marker::PhantomData, ops::Range};

use super::{
    Inputs, Lines, OfMap, Scheme, Target, component,
    transforms::{Gradients, ToWeights},
};
use crate::{
    conv::{
        direct::{Direction, Rows, WeightOrder},
        gradient::{DirectGradient, Sums},
    },
    geometry::ConvGeometry,
    isa::Isa,
    layout::{LANES, MapLayout},
    simd::{dispatch, unrolled},
};

/// Sums the gradient of a 3x3 convolution's weights over tiles of MxM outputs.
#[derive(Clone, Debug)]
pub(crate) struct TiledGradient<T, const M: usize, const N: usize> {
    isa: Isa,
    scheme: PhantomData<T>,
    geometry: ConvGeometry,
    input: MapLayout,
    output: MapLayout,
    /// The sums of a component.
    of_component: DirectGradient,
    /// A component of the input and of the output.
    components: [MapLayout; 2],
}

impl<T: Scheme<M, N>, const M: usize, const N: usize> TiledGradient<T, M, N> {
    pub(crate) fn new(isa: Isa, geometry: ConvGeometry, [input, output]: [MapLayout; 2]) -> Self {
        let tiles = [output.shape.h, output.shape.w].map(|side| side.div_ceil(M));
        let conv = component(&geometry, Direction::Forward, tiles);
        let components = [conv.input(), conv.output()].map(|shape| MapLayout::new(shape, 0));
        let of_component = DirectGradient::new(isa, (conv, WeightOrder::ChannelFirst), components);
        Self { isa, scheme: PhantomData, geometry, input, output, of_component, components }
    }

    /// Values of scratch: a row of components of the input and of the output.
    pub(crate) fn scratch(&self) -> usize {
        N * (self.components[0].group() + self.components[1].group())
    }

    /// Values that [`Sums::running`] has: a gradient for each weight, and the sum of each component. Whole
    /// vectors, so that what lies behind them in scratch does not straddle lines of the cache.
    pub(crate) fn running(&self) -> usize {
        (self.geometry.weight_count() + N * N * self.kernels()).next_multiple_of(LANES)
    }

    /// Pairs of an input and an output channel.
    fn kernels(&self) -> usize {
        self.geometry.weight_count() / 9
    }

    /// Adds the contribution of the output rows `rows`.
    ///
    /// # Safety
    /// `gradients` holds these rows of the output's gradient and `inputs` all rows that their tiles
    /// read, with their margins; `sums` has [`Self::running`] values and `scratch` is valid for
    /// [`Self::scratch`], which nothing else touches.
    pub(crate) unsafe fn rows(
        &self,
        rows: Range<usize>,
        inputs: Rows,
        gradients: Rows,
        sums: Sums,
        scratch: *mut f32,
    ) {
        let (weights, count) = (self.geometry.weight_count(), self.kernels());
        let of_input = self.components[0].group();
        // SAFETY: the caller's promise for all memory.
        unsafe {
            let products = sums.running.add(weights);
            let scratch = [scratch, scratch.add(N * of_input)];
            unrolled!(I in [0 1 2 3 4 5] below N => {
                self.row_of_components::<I>(&rows, inputs, gradients, scratch);
                for column in 0..N {
                    let component = |map: usize| {
                        let layout = &self.components[map];
                        Rows::new(scratch[map].add(column * layout.group()), layout.row(), layout.shape.h)
                    };
                    let total = Some(products.add((I * N + column) * count));
                    let sums = Sums { running: std::ptr::null_mut(), is_first: true, total };
                    self.of_component.rows(Self::tiles(&rows), component(0), component(1), sums);
                }
            });
            let products = std::slice::from_raw_parts(products, N * N * count);
            let running = std::slice::from_raw_parts_mut(sums.running, weights);
            dispatch(self.isa, ToWeights::<T, M, N>::new(products, running, !sums.is_first));
            if let Some(total) = sums.total {
                std::slice::from_raw_parts_mut(total, weights).copy_from_slice(running);
            }
        }
    }

    /// The rows of tiles in which `rows` lie.
    fn tiles(rows: &Range<usize>) -> Range<usize> {
        if rows.is_empty() { 0..0 } else { rows.start / M..rows.end.div_ceil(M) }
    }

    /// Row ROW of the components of every tile, N in a row: of the input, and of its gradient.
    ///
    /// # Safety
    /// As of [`Self::rows`].
    unsafe fn row_of_components<const ROW: usize>(
        &self,
        rows: &Range<usize>,
        inputs: Rows,
        gradients: Rows,
        scratch: [*mut f32; 2],
    ) {
        let [of_input, of_output] = self.components;
        let columns = 0..of_input.shape.w;
        for tile in Self::tiles(rows) {
            let target = |map: usize, layout: MapLayout| Target {
                first: scratch[map].wrapping_add(tile * layout.row()),
                channel: layout.channel(),
                component: layout.group(),
            };
            // SAFETY: the caller's promise; the targets have room for all tiles.
            unsafe {
                let lines = Lines::of(&self.input, |k| {
                    let row = (M * tile + k).checked_sub(1).filter(|&row| row < self.input.shape.h)?;
                    Some(inputs.at(row))
                });
                let target = target(0, of_input);
                dispatch(self.isa, OfMap::<Inputs<T, M>, N, N, ROW, 1>::new(&lines, columns.clone(), target));
            }
            // SAFETY: as above.
            unsafe {
                // The tile's other rows are another call's, and zero in this one.
                let lines = Lines::of(&self.output, |k| {
                    Some(M * tile + k).filter(|row| rows.contains(row)).map(|row| gradients.at(row))
                });
                let target = target(1, of_output);
                dispatch(self.isa, OfMap::<Gradients<T>, M, N, ROW, 1>::new(&lines, columns.clone(), target));
            }
        }
    }
}
