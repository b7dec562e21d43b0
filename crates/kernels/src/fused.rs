//! A module of the spectrum as one operation: the last batch norm and its
//! activation, two convolutions with perhaps an activation between them, and
//! the statistics of the next batch norm.
//!
//! ```text
//! a      = activation(scale * x + shift)          never stored
//! middle = first(a)                               stored for the way back
//! y      = second(between(middle))                with its mean and variance
//! ```
//!
//! One after the other over a batch, these operations read and write every map
//! from memory; image by image, what lies between them stays in the second-level
//! cache. The way back takes the gradient of `y` as the next batch norm gives it
//! ([`Incoming`]), and sums up what the last one needs while the gradient of `x`
//! is at hand. The batch is cut into [`REDUCTION_PARTS`] parts of images, each
//! with sums of its own, which are added in order: the same bits on any number
//! of threads.

mod backward;
mod forward;
#[cfg(test)]
mod tests;

pub use backward::{Incoming, Outgoing, backward};
pub use forward::forward;

use crate::{
    REDUCTION_PARTS,
    activation::Activation,
    error::ShapeError,
    geometry::{ConvGeometry, partition},
    isa::Context,
    norm,
    rows::lane_count,
};

/// The two convolutions of a module.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FusedGeometry {
    /// The one that reads the module's input.
    pub first: ConvGeometry,
    /// The one that writes its output.
    pub second: ConvGeometry,
    /// What is applied to the values between the two.
    pub between: Option<Activation>,
}

impl FusedGeometry {
    /// A batch must be so large that every part has an image. Smaller ones are
    /// for the separate operations, which share out a single image.
    pub const MIN_IMAGES: usize = REDUCTION_PARTS;

    /// Multiply-adds of one image, forward.
    pub fn macs(&self) -> u64 {
        self.first.macs() + self.second.macs()
    }
}

/// The input of a module as it is stored, and what is done to it on the way in.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// (n, h, w, c) of the first convolution.
    pub x: &'a [f32],
    /// The last batch norm, folded to one (scale, shift) a channel.
    pub affine: Option<(&'a [f32], &'a [f32])>,
    /// Applied after it.
    pub activation: Option<Activation>,
}

impl Source<'_> {
    fn is_plain(&self) -> bool {
        self.affine.is_none() && self.activation.is_none()
    }

    fn check(&self, op: &'static str, g: &FusedGeometry) -> Result<usize, ShapeError> {
        let input = g.first.input();
        if let Some((scale, shift)) = self.affine {
            ShapeError::check(op, "scale", input.c, scale.len())?;
            ShapeError::check(op, "shift", input.c, shift.len())?;
        }
        ShapeError::batch(op, "x", input.len(), self.x.len())
    }
}

/// Scale and shift repeated over the lanes of a loop; see [`lane_count`].
struct Lanes {
    values: crate::buffer::Buffer,
    count: usize,
}

impl Lanes {
    fn new(ctx: &Context, source: &Source<'_>) -> Option<Self> {
        let (scale, shift) = source.affine?;
        let count = lane_count(scale.len());
        let mut values = ctx.pool.take(2 * count);
        let (scales, shifts) = values.split_at_mut(count);
        crate::rows::repeat(scale, scales);
        crate::rows::repeat(shift, shifts);
        Some(Self { values, count })
    }
}

/// `a = activation(scale * x + shift)` of one image; `a` is `x` itself where
/// there is nothing to do.
fn prologue<'a>(
    ctx: &Context,
    lanes: Option<&Lanes>,
    activation: Option<Activation>,
    x: &'a [f32],
    scratch: &'a mut [f32],
) -> &'a [f32] {
    match (lanes, activation) {
        (Some(lanes), _) => {
            let (scale, shift) = lanes.values.split_at(lanes.count);
            norm::apply_chunk(ctx, activation, x, scale, shift, scratch);
            scratch
        }
        (None, Some(activation)) => {
            crate::activation::forward_chunk(ctx, activation, x, scratch);
            scratch
        }
        (None, None) => x,
    }
}

/// The pieces of `values` that belong to the parts of a batch.
fn by_part(mut values: &mut [f32], images: usize) -> [&mut [f32]; REDUCTION_PARTS] {
    let image = values.len() / images;
    std::array::from_fn(|part| {
        let images = partition(images, REDUCTION_PARTS, part);
        values.split_off_mut(..images.len() * image).unwrap_or_default()
    })
}

/// Image `index` of maps of `len` values.
fn image(values: &[f32], len: usize, index: usize) -> &[f32] {
    &values[index * len..][..len]
}
