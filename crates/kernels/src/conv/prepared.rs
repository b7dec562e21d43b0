//! A convolution made ready for one image after another: which family computes
//! it, its packed weights, and how its sums are cut into strips.

use super::{
    Path, broadcast,
    correlation::{Correlation, Direction},
    outer,
    panel::packed_len,
    path, rounded,
    strips::{Strip, Strips},
    window,
    winograd::{self, F2, F4, Tile},
};
use crate::{buffer::Buffer, geometry::ConvGeometry, isa::Context};

/// The output, or the gradient of the input, with weights packed once.
pub(crate) struct Prepared {
    path: Path,
    c: Correlation,
    packed: Buffer,
    /// A pixel of padding.
    zeros: Buffer,
}

impl Prepared {
    /// Packs `weights` for `direction` over `batch` images.
    pub(crate) fn new(
        ctx: &Context,
        g: &ConvGeometry,
        batch: usize,
        direction: Direction,
        weights: &[f32],
    ) -> Self {
        let (path, c) = (path(g, batch, ctx), Correlation::new(g, direction));
        let packed = match path {
            Path::Pointwise | Path::Broadcast => broadcast::pack(ctx, &c, weights),
            Path::PointwiseBf16 => rounded::pack(ctx, &c, weights),
            Path::Window => window::pack(ctx, &c, weights),
            Path::WinogradF2 => winograd::pack::<F2>(ctx, &c, weights),
            Path::WinogradF4 => winograd::pack::<F4>(ctx, &c, weights),
        };
        Self { path, c, packed, zeros: ctx.pool.take_zeroed(c.source.c) }
    }

    /// The sum over a whole batch, as the strips of [`for_each_strip`](super::strips::for_each_strip) see it.
    pub(super) fn correlation(&self, batch: usize) -> Correlation {
        match self.path {
            Path::Pointwise | Path::PointwiseBf16 => self.c.as_one_column(batch),
            _ => self.c,
        }
    }

    /// Rows of the target that are computed together.
    pub(super) fn row_step(&self) -> usize {
        match self.path {
            Path::WinogradF2 => F2::OUTPUTS,
            Path::WinogradF4 => F4::OUTPUTS,
            _ => 1,
        }
    }

    /// Computes the whole of one target image, on this thread.
    pub(crate) fn image(&self, ctx: &Context, source: &[f32], target: &mut [f32]) {
        self.rows(ctx, &self.correlation(1), source, target, 0);
    }

    /// Computes the rows of `target` from `first_row` of the image on; `c` is of
    /// [`Prepared::correlation`].
    pub(super) fn rows(
        &self,
        ctx: &Context,
        c: &Correlation,
        source: &[f32],
        target: &mut [f32],
        first_row: usize,
    ) {
        let Self { packed, zeros, .. } = self;
        match self.path {
            Path::Pointwise | Path::Broadcast => {
                broadcast::rows(ctx, c, packed, zeros, source, target, first_row);
            }
            Path::PointwiseBf16 => rounded::rows(ctx, c, packed, zeros, source, target, first_row),
            Path::Window => window::rows(ctx, c, packed, source, target, first_row),
            Path::WinogradF2 => winograd::rows::<F2>(ctx, c, packed, zeros, source, target, first_row),
            Path::WinogradF4 => winograd::rows::<F4>(ctx, c, packed, zeros, source, target, first_row),
        }
    }
}

/// The gradient of the weights, summed strip by strip in packed form.
pub(crate) struct WeightSums {
    path: Path,
    c: Correlation,
    /// The strips of the batch.
    pub(super) strips: Strips,
    len: usize,
}

impl WeightSums {
    /// Over `batch` images, of which `images` are added at once.
    pub(crate) fn new(ctx: &Context, g: &ConvGeometry, batch: usize, images: usize) -> Self {
        let c = Correlation::new(g, Direction::Forward);
        let path = match path(g, batch, ctx) {
            // A window of gradients fits where one of sums does not.
            Path::Broadcast | Path::Window if window::fits_weights(&c) => Path::Window,
            Path::Window => Path::Broadcast,
            other => other,
        };
        let (c, images) = if g.is_pointwise() { (c.as_one_column(images), 1) } else { (c, images) };
        let strips = |pixels| Strips::new(images, c.target, pixels * c.target.c);
        let (strips, len) = match path {
            Path::Pointwise | Path::PointwiseBf16 | Path::Broadcast => {
                (strips(outer::STRIP_PIXELS), packed_len(ctx.isa(), &c))
            }
            Path::Window => (strips(window::STRIP_PIXELS), window::sums_len(ctx, &c)),
            Path::WinogradF2 => (winograd::strips::<F2>(&c, images), winograd::sums_len::<F2>(ctx, &c)),
            Path::WinogradF4 => (winograd::strips::<F4>(&c, images), winograd::sums_len::<F4>(ctx, &c)),
        };
        Self { path, c, strips, len }
    }

    /// Packed values of the gradient.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds the products of one strip to `sums`, or overwrites them where `is_first`.
    pub(super) fn add_strip(
        &self,
        ctx: &Context,
        x: &[f32],
        grad_y: &[f32],
        strip: &Strip,
        is_first: bool,
        sums: &mut [f32],
    ) {
        let add = match self.path {
            Path::Pointwise | Path::Broadcast => outer::add_strip,
            Path::PointwiseBf16 => rounded::add_strip,
            Path::Window => window::add_strip,
            Path::WinogradF2 => winograd::add_strip::<F2>,
            Path::WinogradF4 => winograd::add_strip::<F4>,
        };
        add(ctx, &self.c, x, grad_y, strip, is_first, sums);
    }

    /// Adds all strips of the batch, in order, on this thread; as [`WeightSums::add_strip`].
    pub(crate) fn add(&self, ctx: &Context, x: &[f32], grad_y: &[f32], is_first: bool, sums: &mut [f32]) {
        for index in 0..self.strips.count() {
            self.add_strip(ctx, x, grad_y, &self.strips.get(index), is_first && index == 0, sums);
        }
    }

    /// Writes the gradient in the order of the weights.
    pub(crate) fn finish(&self, ctx: &Context, sums: &[f32], grad_weights: &mut [f32]) {
        let sums = &sums[..self.len];
        let unpack = match self.path {
            Path::Pointwise | Path::PointwiseBf16 | Path::Broadcast => outer::unpack,
            Path::Window => window::unpack,
            Path::WinogradF2 => winograd::unpack::<F2>,
            Path::WinogradF4 => winograd::unpack::<F4>,
        };
        unpack(ctx, &self.c, sums, grad_weights);
    }
}
