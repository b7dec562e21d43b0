//! Operations on single values between convolutions, row by row: norm and activation as a map
//! is read, statistics as it is written, and the same in the backward pass.
//!
//! A row is `[channel][column, margin][image]`. Every function writes the margins
//! of what it writes.

mod sums;
mod undo;

pub use sums::{ChannelSums, SumsAbout, totals};
pub(crate) use sums::{add_moments, add_products};
pub use undo::ThroughNorm;
pub(crate) use undo::{Undo, finish_back, through_norm, undo};

use crate::{
    activation::{Activation, elu},
    isa::Isa,
    layout::{LANES, MapLayout},
    simd::{Kernel, Simd, dispatch},
};

/// A batch norm: `scale (x - mean) + shift`, channel by channel. (Folded into one factor and
/// one addend it would lose digits if the mean is large compared with the standard deviation.)
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// Subtracted first.
    pub mean: &'a [f32],
    /// gamma / sqrt(variance + epsilon).
    pub scale: &'a [f32],
    /// beta.
    pub shift: &'a [f32],
}

impl Affine<'_> {
    fn check(&self, layout: &MapLayout) {
        check_channels(&[self.mean.len(), self.scale.len(), self.shift.len()], layout);
    }
}

/// How a map is read: as it is stored, or after a norm and an activation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prologue<'a> {
    /// The norm.
    pub affine: Option<Affine<'a>>,
    /// The activation after it.
    pub activation: Option<Activation>,
}

impl Prologue<'_> {
    /// Whether values are read as they are stored.
    pub fn is_plain(&self) -> bool {
        self.affine.is_none() && self.activation.is_none()
    }

    /// Mean, scale and shift of a channel; without a norm, those of the identity.
    #[inline(always)]
    fn of<S: Simd>(&self, s: S, channel: usize) -> [S::Vector; 3] {
        let [mean, scale, shift] = self.affine.map_or([0.0, 1.0, 0.0], |affine| {
            [affine.mean[channel], affine.scale[channel], affine.shift[channel]]
        });
        [s.splat(mean), s.splat(scale), s.splat(shift)]
    }
}

/// `a(x)` of a vector: no activation, ReLU or ELU.
#[inline(always)]
fn activate<S: Simd, const ACTIVATION: usize>(s: S, x: S::Vector) -> S::Vector {
    match ACTIVATION {
        0 => x,
        1 => s.where_positive(x, x),
        _ => s.of_array(s.to_array(x).map(elu)),
    }
}

/// A row as lines of channels.
#[derive(Clone, Copy)]
struct Lines {
    channels: usize,
    /// Vectors of a channel, the margin left out.
    columns: usize,
    /// Vectors of the margin.
    margin: usize,
    /// Values from a channel to the next.
    channel: usize,
    /// The same for the row that is read, which may have another margin.
    channel_read: usize,
}

impl Lines {
    fn of(layout: &MapLayout) -> Self {
        Self::between(layout, layout)
    }

    /// Rows of the same shape that are read in one layout and written in another.
    fn between(from: &MapLayout, to: &MapLayout) -> Self {
        assert_eq!((from.shape.c, from.shape.w), (to.shape.c, to.shape.w), "rows of one shape");
        Self {
            channels: to.shape.c,
            columns: to.shape.w,
            margin: to.margin,
            channel: to.channel(),
            channel_read: from.channel(),
        }
    }

    /// Writes the margin after `channel`.
    ///
    /// # Safety
    /// `row` holds such a row.
    #[inline(always)]
    unsafe fn clear_margin<S: Simd>(&self, s: S, row: *mut f32, channel: usize) {
        for column in self.columns..self.columns + self.margin {
            // SAFETY: the caller's promise.
            unsafe { s.store(row.add(channel * self.channel + column * LANES), s.splat(0.0)) };
        }
    }
}

/// Checks once that the lengths of rows match their layouts; the code below relies on it.
fn check(rows: &[usize], layout: &MapLayout) {
    assert!(rows.iter().all(|&len| len == layout.row()), "rows of {rows:?} values for {layout:?}");
}

fn check_channels(lists: &[usize], layout: &MapLayout) {
    assert!(
        lists.iter().all(|&len| len == layout.shape.c),
        "{lists:?} values for {} channels",
        layout.shape.c
    );
}

/// `y = a(scale (x - mean) + shift)`: the values as they are read.
pub(crate) fn read(
    isa: Isa,
    from: &MapLayout,
    to: &MapLayout,
    prologue: Prologue<'_>,
    x: &[f32],
    y: &mut [f32],
) {
    struct Work<'a>(Lines, Prologue<'a>, *const f32, *mut f32);
    impl Kernel for Work<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            match self.1.activation {
                None => self.each::<S, 0>(s),
                Some(Activation::Relu) => self.each::<S, 1>(s),
                Some(Activation::Elu) => self.each::<S, 2>(s),
            }
        }
    }
    impl Work<'_> {
        #[inline(always)]
        fn each<S: Simd, const ACTIVATION: usize>(self, s: S) {
            let Self(lines, prologue, x, y) = self;
            for channel in 0..lines.channels {
                let [mean, scale, shift] = prologue.of(s, channel);
                for column in 0..lines.columns {
                    let place = channel * lines.channel + column * LANES;
                    // SAFETY: `check` has seen that both rows have these channels and columns.
                    unsafe {
                        let mut value = s.load(x.add(channel * lines.channel_read + column * LANES));
                        if prologue.affine.is_some() {
                            value = s.fma(s.sub(value, mean), scale, shift);
                        }
                        s.store(y.add(place), activate::<S, ACTIVATION>(s, value));
                    }
                }
                // SAFETY: as above.
                unsafe { lines.clear_margin(s, y, channel) };
            }
        }
    }
    check(&[x.len()], from);
    check(&[y.len()], to);
    if let Some(affine) = prologue.affine {
        affine.check(to);
    }
    dispatch(isa, Work(Lines::between(from, to), prologue, x.as_ptr(), y.as_mut_ptr()));
}

/// `y = a(y)`, and zeros in the margins after the first `channels`: what is left to do with
/// a row that a convolution has made.
pub(crate) fn finish(
    isa: Isa,
    layout: &MapLayout,
    activation: Option<Activation>,
    channels: usize,
    y: &mut [f32],
) {
    struct Work(Lines, Option<Activation>, usize, *mut f32);
    impl Kernel for Work {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            match self.1 {
                None => self.each::<S, 0>(s),
                Some(Activation::Relu) => self.each::<S, 1>(s),
                Some(Activation::Elu) => self.each::<S, 2>(s),
            }
        }
    }
    impl Work {
        #[inline(always)]
        fn each<S: Simd, const ACTIVATION: usize>(self, s: S) {
            let Self(lines, _, margins, y) = self;
            for channel in 0..lines.channels {
                if ACTIVATION > 0 {
                    for column in 0..lines.columns {
                        // SAFETY: `check` has seen that the row has these channels and columns.
                        unsafe {
                            let place = y.add(channel * lines.channel + column * LANES);
                            s.store(place, activate::<S, ACTIVATION>(s, s.load(place)));
                        }
                    }
                }
                if channel < margins {
                    // SAFETY: as above.
                    unsafe { lines.clear_margin(s, y, channel) };
                }
            }
        }
    }
    check(&[y.len()], layout);
    dispatch(isa, Work(Lines::of(layout), activation, channels, y.as_mut_ptr()));
}

/// `y += x`, whole rows with their margins.
pub(crate) fn add(isa: Isa, x: &[f32], y: &mut [f32]) {
    struct Work<'a>(&'a [f32], &'a mut [f32]);
    impl Kernel for Work<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            self.1.iter_mut().zip(self.0).for_each(|(y, x)| *y += x);
        }
    }
    dispatch(isa, Work(x, y));
}
