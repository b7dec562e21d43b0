//! One or two convolutions as one operation, row by row: the norm and activation
//! before them, an activation between them, and the statistics for the norm after
//! them, while rows are in the cache.
//!
//! Work is divided into parts: some groups of images, and a band of rows if maps are large. The
//! division depends on shapes alone, so sums are the same on any number of threads.

mod backward;
mod band_order;
mod forward;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub use backward::{Backward, InputGradient};
pub use forward::Forward;

use crate::{
    activation::Activation,
    arithmetic::{Arithmetic, Winograd},
    conv::{Algorithm, Direction, Walk, WeightGradient, WeightOrder, has_tiles},
    geometry::{ConvGeometry, MapShape, partition},
    isa::Isa,
    layout::{LANES, MapLayout, groups},
};
use band_order::BandOrder;

/// Bytes of a group's rows above which they are cut into bands.
const BAND: usize = 2 << 20;
/// Fewest rows of a band.
const LEAST_ROWS: usize = 12;
/// Values of an image from which on a map is wide, and fewest rows of a band of wide maps. Threads share their
/// bands, since a batch of such images is small: a map of 19 rows has two, at the cost of two rows that both compute.
const WIDE: usize = 1 << 17;
const LEAST_ROWS_OF_WIDE: usize = 9;
/// Fewest channels of a segment, and pixels of a side, for which Winograd tiles pay off.
const TILED_CHANNELS: usize = 32;
const TILED_PIXELS: usize = 7;
/// Most tasks of a convolution of one image.
const MOST_TASKS: usize = 16;
/// Largest map, in pixels, for which two groups form one part.
const FEW_PIXELS: usize = 32;

/// A convolution among those of [`Convs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvSpec {
    /// Shapes.
    pub geometry: ConvGeometry,
    /// The order of its weights.
    pub order: WeightOrder,
    /// Applied to its output.
    pub activation: Option<Activation>,
}

/// One or two convolutions, with packed weights.
#[derive(Clone, Debug)]
pub struct Convs {
    isa: Isa,
    convs: Vec<Conv>,
    /// Of the input, the map between two convolutions, and the output.
    layouts: Vec<MapLayout>,
    bands: Vec<Band>,
    has_input_gradient: bool,
}

#[derive(Clone, Debug)]
struct Conv {
    spec: ConvSpec,
    forward: Walk,
    back: Walk,
    gradient: WeightGradient,
}

/// A band of rows: those of each map that it owns, and the order of its work in the backward
/// pass.
#[derive(Clone, Debug)]
struct Band {
    rows: Vec<Range<usize>>,
    schedule: BandOrder,
}

/// Some groups and a band.
#[derive(Clone, Debug)]
struct Part {
    groups: Range<usize>,
    band: usize,
}

impl Convs {
    /// The convolutions `specs` (one or two) between maps of `layouts` (one more).
    /// `has_input_gradient` says whether the gradient of the input is wanted, `arithmetic` what
    /// may be traded for speed; Winograd tiles are used where they pay.
    ///
    /// # Panics
    /// If the layouts do not match the convolutions' shapes, or have too small margins.
    pub fn new(
        isa: Isa,
        specs: &[ConvSpec],
        layouts: &[MapLayout],
        has_input_gradient: bool,
        arithmetic: Arithmetic,
    ) -> Self {
        let algorithm = |spec: &ConvSpec| algorithm(&spec.geometry, spec.order, arithmetic);
        Self::with(isa, specs, layouts, has_input_gradient, algorithm)
    }

    /// A convolution of strips of one image's rows, forward only: as `whole` computes the image, and with a task for each
    /// row of a strip, or row of tiles, but at most sixteen.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn of_strips(
        isa: Isa,
        spec: ConvSpec,
        whole: &ConvGeometry,
        layouts: [MapLayout; 2],
        arithmetic: Arithmetic,
    ) -> Self {
        let algorithm = algorithm(whole, spec.order, arithmetic);
        let mut all = Self::undivided(isa, &[spec], &layouts, false, |_| algorithm);
        let at_once = all.convs[0].forward.rows_at_once();
        all.divide(layouts[1].shape.h.div_ceil(at_once).min(MOST_TASKS));
        all
    }

    /// As [`Self::new`]; `algorithm` says how each convolution is computed.
    fn with(
        isa: Isa,
        specs: &[ConvSpec],
        layouts: &[MapLayout],
        has_input_gradient: bool,
        algorithm: impl Fn(&ConvSpec) -> Algorithm,
    ) -> Self {
        let mut all = Self::undivided(isa, specs, layouts, has_input_gradient, algorithm);
        let largest = layouts.iter().map(|layout| layout.group() * size_of::<f32>()).max().unwrap_or(0);
        let shapes = || layouts.iter().map(|layout| layout.shape);
        let rows = shapes().map(|shape| shape.h).min().unwrap_or(1);
        all.divide(if shapes().any(is_wide) {
            // Divided evenly among two threads, or four.
            let bands = (largest / BAND).min(rows / LEAST_ROWS_OF_WIDE).max(1);
            1 << bands.ilog2()
        } else {
            (largest / BAND).clamp(1, (rows / LEAST_ROWS).max(1))
        });
        all
    }

    /// All rows are one band's.
    fn undivided(
        isa: Isa,
        specs: &[ConvSpec],
        layouts: &[MapLayout],
        has_input_gradient: bool,
        algorithm: impl Fn(&ConvSpec) -> Algorithm,
    ) -> Self {
        assert!(
            (1..=2).contains(&specs.len()) && layouts.len() == specs.len() + 1,
            "one or two convolutions"
        );
        for (spec, ends) in specs.iter().zip(layouts.windows(2)) {
            let (input, output) = spec.geometry.margins();
            assert_eq!((spec.geometry.input(), spec.geometry.output()), (ends[0].shape, ends[1].shape));
            assert!(ends[0].margin >= input && ends[1].margin >= output, "margins of {spec:?}");
        }
        let conv = |(&spec, ends): (&ConvSpec, &[MapLayout])| {
            let (of, algorithm) = ((spec.geometry, spec.order), algorithm(&spec));
            let (from, to) = (ends[0], ends[1]);
            Conv {
                spec,
                forward: Walk::new(isa, of, algorithm, Direction::Forward, [from, to]),
                back: Walk::new(isa, of, algorithm, Direction::Back, [to, from]),
                gradient: WeightGradient::new(isa, of, algorithm, [from, to]),
            }
        };
        let convs: Vec<Conv> = specs.iter().zip(layouts.windows(2)).map(conv).collect();
        Self { isa, convs, layouts: layouts.to_vec(), bands: Vec::new(), has_input_gradient }
    }

    /// Divides the rows into `bands`.
    fn divide(&mut self, bands: usize) {
        for band in 0..bands {
            let of_map = |layout: &MapLayout| partition(layout.shape.h, bands, band);
            let rows: Vec<_> = self.layouts.iter().map(of_map).collect();
            let schedule = BandOrder::new(self, &rows);
            self.bands.push(Band { rows, schedule });
        }
    }

    /// Packs the weights for the forward pass, of each convolution.
    ///
    /// # Panics
    /// If their number does not match the geometries.
    pub fn pack_forward(&mut self, weights: &[&[f32]]) {
        self.check_weights(weights);
        self.convs.iter_mut().zip(weights).for_each(|(conv, weights)| conv.forward.pack(weights));
    }

    /// Packs the weights for the backward pass.
    ///
    /// # Panics
    /// If their number does not match the geometries.
    pub fn pack_back(&mut self, weights: &[&[f32]]) {
        self.check_weights(weights);
        let from = usize::from(!self.has_input_gradient);
        self.convs.iter_mut().zip(weights).skip(from).for_each(|(conv, weights)| conv.back.pack(weights));
    }

    /// Values of the sums of moments that [`Forward`] and [`Backward`] take for `images` images.
    pub fn sums(&self, layout: &MapLayout, images: usize) -> usize {
        groups(images) * self.bands.len() * layout.shape.c
    }

    /// Values of scratch that a task needs in the forward pass.
    pub fn forward_scratch(&self) -> usize {
        forward::scratch(self)
    }

    /// Values of scratch that a task needs in the backward pass.
    pub fn backward_scratch(&self) -> usize {
        backward::scratch(self)
    }

    /// Values of [`Backward::partial`] for `images` images.
    pub fn partial(&self, images: usize) -> usize {
        self.tasks(images) * self.weight_count()
    }

    /// Number of tasks for `images` images.
    pub fn tasks(&self, images: usize) -> usize {
        groups(images).div_ceil(self.groups_per_part()) * self.bands.len()
    }

    /// Number of packed weights, for the forward pass and for both passes.
    pub fn packed(&self) -> [usize; 2] {
        let forward = self.convs.iter().map(|conv| conv.forward.packed()).sum();
        [forward, forward + self.walks_back().map(Walk::packed).sum::<usize>()]
    }

    /// Bytes of the weights that have been packed so far.
    pub fn packed_bytes(&self) -> u64 {
        self.convs.iter().flat_map(|conv| [&conv.forward, &conv.back]).map(Walk::packed_bytes).sum()
    }

    /// Number of weights of all convolutions.
    pub fn weight_count(&self) -> usize {
        self.convs.iter().map(|conv| conv.spec.geometry.weight_count()).sum()
    }

    fn check_weights(&self, weights: &[&[f32]]) {
        let expected = self.convs.iter().map(|conv| conv.spec.geometry.weight_count());
        assert!(expected.eq(weights.iter().map(|weights| weights.len())), "weights of each convolution");
    }

    /// The walks that compute the gradient of each convolution's input, if it is wanted.
    fn walks_back(&self) -> impl Iterator<Item = &Walk> {
        let from = usize::from(!self.has_input_gradient);
        self.convs[from..].iter().map(|conv| &conv.back)
    }

    fn groups_per_part(&self) -> usize {
        let is_small = self.layouts.iter().all(|layout| layout.shape.pixels() <= FEW_PIXELS);
        1 + usize::from(is_small)
    }

    fn parts(&self, images: usize) -> Vec<Part> {
        let (groups, each) = (groups(images), self.groups_per_part());
        let of = |first: usize| {
            (0..self.bands.len()).map(move |band| Part { groups: first..(first + each).min(groups), band })
        };
        (0..groups).step_by(each).flat_map(of).collect()
    }

    /// Images in group `group` of `images`.
    fn images_of(group: usize, images: usize) -> usize {
        (images - group * LANES).min(LANES)
    }

    fn output(&self) -> &MapLayout {
        &self.layouts[self.convs.len()]
    }
}

/// How a convolution is computed: by Winograd tiles where they pay.
fn algorithm(geometry: &ConvGeometry, order: WeightOrder, arithmetic: Arithmetic) -> Algorithm {
    let winograd = if tiles_pay(geometry, order) { arithmetic.winograd } else { Winograd::Off };
    Algorithm::of(Arithmetic { winograd, ..arithmetic }, geometry, order)
}

/// Whether a convolution uses Winograd tiles where allowed: a 3x3 one for which they were
/// measured to be faster.
pub fn tiles_pay(geometry: &ConvGeometry, order: WeightOrder) -> bool {
    if !has_tiles(geometry, order) {
        return false;
    }
    let channels =
        |segment| geometry.segment_inputs(segment).len().min(geometry.segment_outputs(segment).len());
    let least = (0..geometry.options().segments).map(channels).min().unwrap_or(0);
    let MapShape { h, w, .. } = geometry.output();
    least >= TILED_CHANNELS && h.min(w) >= TILED_PIXELS
}

/// Whether the sums of a convolution's gradient are divided as those of wide maps are.
pub fn has_wide_bands(geometry: &ConvGeometry) -> bool {
    let shapes = [geometry.input(), geometry.output()];
    shapes.into_iter().any(is_wide) && shapes.iter().all(|shape| shape.h >= 2 * LEAST_ROWS_OF_WIDE)
}

fn is_wide(shape: MapShape) -> bool {
    shape.len() >= WIDE
}

/// A pointer that tasks share; each writes to its own places.
#[derive(Clone, Copy)]
struct Shared(*mut f32);

// SAFETY: users ensure that no two tasks touch the same place.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// # Safety
    /// `len` values at `place` are valid, and no other task touches them meanwhile.
    unsafe fn slice<'a>(self, place: usize, len: usize) -> &'a mut [f32] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(place), len) }
    }
}
