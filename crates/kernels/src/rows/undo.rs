//! The backward pass of operations on single values: through an activation, through a norm, and
//! into the gradient of the map that was read.

use super::{
    Lines, Prologue, SumsAbout, check, check_channels,
    sums::{Terms, abreast},
};
use crate::{
    activation::{Activation, elu},
    isa::Isa,
    layout::{LANES, MapLayout},
    simd::{Kernel, Simd, dispatch},
};

/// `gradient *= a'`, from the output of the activation, and zeros in the margins.
pub(crate) fn finish_back(
    isa: Isa,
    layout: &MapLayout,
    activation: Option<Activation>,
    y: &[f32],
    gradient: &mut [f32],
) {
    struct Work(Lines, Option<Activation>, *const f32, *mut f32);
    impl Kernel for Work {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let Self(lines, activation, y, gradient) = self;
            for channel in 0..lines.channels {
                if let Some(activation) = activation {
                    for column in 0..lines.columns {
                        let place = channel * lines.channel + column * LANES;
                        // SAFETY: `check` has seen that both rows have these channels and columns.
                        unsafe {
                            let (y, value) = (s.load(y.add(place)), s.load(gradient.add(place)));
                            let value = match activation {
                                Activation::Relu => s.where_positive(y, value),
                                Activation::Elu => {
                                    let (y, value) = (s.to_array(y), s.to_array(value));
                                    s.of_array(std::array::from_fn(|i| elu_gradient(y[i], value[i])))
                                }
                            };
                            s.store(gradient.add(place), value);
                        }
                    }
                }
                // SAFETY: as above.
                unsafe { lines.clear_margin(s, gradient, channel) };
            }
        }
    }
    check(&[y.len(), gradient.len()], layout);
    dispatch(isa, Work(Lines::of(layout), activation, y.as_ptr(), gradient.as_mut_ptr()));
}

/// The coefficients of a gradient through a batch norm: `dx = a dy + b x + c`, channel by
/// channel.
#[derive(Clone, Debug, Default)]
pub struct ThroughNorm {
    /// gamma / sqrt(variance + epsilon).
    pub a: Vec<f32>,
    /// The term of the variance.
    pub b: Vec<f32>,
    /// The term of the mean.
    pub c: Vec<f32>,
}

/// `dx = a dy + b x + c`, zero beyond the first `images` of the lanes.
pub(crate) fn through_norm(
    isa: Isa,
    layout: &MapLayout,
    norm: &ThroughNorm,
    (dy, x): (&[f32], &[f32]),
    images: usize,
    dx: &mut [f32],
) {
    struct Work<'a>(Lines, &'a ThroughNorm, [*const f32; 2], usize, *mut f32);
    impl Kernel for Work<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let Self(lines, norm, [dy, x], images, dx) = self;
            // Negative where there is no image; a full group has one everywhere.
            let is_there = if images < LANES {
                s.of_array(std::array::from_fn(|lane| if lane < images { 1.0 } else { -1.0 }))
            } else {
                s.splat(1.0)
            };
            for channel in 0..lines.channels {
                let [a, b, c] = [&norm.a, &norm.b, &norm.c].map(|values| s.splat(values[channel]));
                for column in 0..lines.columns {
                    let place = channel * lines.channel + column * LANES;
                    // SAFETY: `check` has seen that all rows have these channels and columns.
                    unsafe {
                        let (dy, x) = (s.load(dy.add(place)), s.load(x.add(place)));
                        let value = s.fma(a, dy, s.fma(b, x, c));
                        s.store(
                            dx.add(place),
                            if images < LANES { s.where_positive(is_there, value) } else { value },
                        );
                    }
                }
                // SAFETY: as above.
                unsafe { lines.clear_margin(s, dx, channel) };
            }
        }
    }
    check(&[dy.len(), x.len(), dx.len()], layout);
    check_channels(&[norm.a.len(), norm.b.len(), norm.c.len()], layout);
    dispatch(isa, Work(Lines::of(layout), norm, [dy.as_ptr(), x.as_ptr()], images, dx.as_mut_ptr()));
}

/// Propagates the gradient of the values as read to the stored map.
pub(crate) struct Undo<'a> {
    /// How the map was read.
    pub prologue: Prologue<'a>,
    /// The stored values.
    pub x: &'a [f32],
    /// The gradient of the values as read.
    pub fresh: &'a [f32],
    /// Whether to add to the contributions of other readers.
    pub adds: bool,
    /// The mean of each channel and the sums of the norm's way back, if the gradient is
    /// complete: of it, and of it times `x - mean`.
    pub sums: Option<SumsAbout<'a>>,
}

/// `target = fresh a'(scale (x - mean) + shift)`, or `+=`, and its sums.
///
/// `from` is the layout of the fresh gradient, `layout` that of all others.
pub(crate) fn undo(isa: Isa, from: &MapLayout, layout: &MapLayout, undo: Undo<'_>, target: &mut [f32]) {
    if let Some(affine) = undo.prologue.affine {
        affine.check(layout);
    }
    if let Some((mean, sums)) = &undo.sums {
        check_channels(&[mean.len(), sums.len()], layout);
    }
    check(&[undo.fresh.len()], from);
    check(&[target.len()], layout);
    if undo.prologue.activation.is_some() || undo.sums.is_some() {
        check(&[undo.x.len()], layout);
    }
    dispatch(isa, UndoRow(Lines::between(from, layout), undo, target.as_mut_ptr()));
}

/// A row, its gradient and where it goes.
struct UndoRow<'a>(Lines, Undo<'a>, *mut f32);
impl Kernel for UndoRow<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.1.prologue.activation {
            None => self.each::<S, 0>(s),
            Some(Activation::Relu) => self.each::<S, 1>(s),
            Some(Activation::Elu) => self.each::<S, 2>(s),
        }
    }
}

impl UndoRow<'_> {
    #[inline(always)]
    fn each<S: Simd, const ACTIVATION: usize>(self, s: S) {
        match self.1.adds {
            false => self.adding::<S, ACTIVATION, false>(s),
            true => self.adding::<S, ACTIVATION, true>(s),
        }
    }

    #[inline(always)]
    fn adding<S: Simd, const ACTIVATION: usize, const ADDS: bool>(self, s: S) {
        let Self(lines, Undo { prologue, x, fresh, sums, .. }, target) = self;
        let mean = sums.as_ref().map_or(&[][..], |(mean, _)| mean);
        let (x, fresh) = (x.as_ptr(), fresh.as_ptr());
        let one = One::<ACTIVATION, ADDS> { lines, prologue, x, fresh, target, mean };
        if let Some((_, sums)) = sums {
            abreast(s, lines, sums, &one);
        } else {
            for channel in 0..lines.channels {
                let of = one.of(s, channel);
                (0..lines.columns).for_each(|column| {
                    one.undo(s, of, column);
                });
            }
        }
        for channel in 0..lines.channels {
            // SAFETY: `check` has seen that the row has these channels.
            unsafe { lines.clear_margin(s, target, channel) };
        }
    }
}

/// The terms at each place; no activation, ReLU or ELU.
struct One<'a, const ACTIVATION: usize, const ADDS: bool> {
    lines: Lines,
    prologue: Prologue<'a>,
    x: *const f32,
    fresh: *const f32,
    target: *mut f32,
    /// Empty if no sums are computed.
    mean: &'a [f32],
}

/// The place of a channel, and its constants.
struct Of<S: Simd> {
    x: *const f32,
    fresh: *const f32,
    target: *mut f32,
    /// Mean, scale and shift of the norm that it was read through.
    norm: [S::Vector; 3],
    /// The centre of the sums of products.
    mean: S::Vector,
}

impl<S: Simd> Clone for Of<S> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Simd> Copy for Of<S> {}
impl<const ACTIVATION: usize, const ADDS: bool> One<'_, ACTIVATION, ADDS> {
    #[inline(always)]
    fn of<S: Simd>(&self, s: S, channel: usize) -> Of<S> {
        let norm = if ACTIVATION > 0 { self.prologue.of(s, channel) } else { [s.splat(0.0); 3] };
        let place = channel * self.lines.channel;
        Of {
            x: self.x.wrapping_add(place),
            fresh: self.fresh.wrapping_add(channel * self.lines.channel_read),
            target: self.target.wrapping_add(place),
            norm,
            mean: s.splat(self.mean.get(channel).copied().unwrap_or(0.0)),
        }
    }

    /// Writes the value at `column` and returns it.
    #[inline(always)]
    fn undo<S: Simd>(&self, s: S, of: Of<S>, column: usize) -> S::Vector {
        let place = column * LANES;
        // SAFETY: `check` has seen that all rows have these channels and columns.
        unsafe {
            let mut value = s.load(of.fresh.add(place));
            if ACTIVATION > 0 {
                let [mean, scale, shift] = of.norm;
                let seen = s.fma(s.sub(s.load(of.x.add(place)), mean), scale, shift);
                value =
                    if ACTIVATION == 1 { s.where_positive(seen, value) } else { elu_back(s, seen, value) };
            }
            if ADDS {
                value = s.add(value, s.load(of.target.add(place)));
            }
            s.store(of.target.add(place), value);
            value
        }
    }
}

impl<S: Simd, const ACTIVATION: usize, const ADDS: bool> Terms<S> for One<'_, ACTIVATION, ADDS> {
    type Channel = Of<S>;

    #[inline(always)]
    fn channel(&self, s: S, channel: usize) -> Of<S> {
        self.of(s, channel)
    }

    #[inline(always)]
    fn at(&self, s: S, of: Of<S>, column: usize) -> [S::Vector; 2] {
        // SAFETY: `check` has seen that the stored row has these channels and columns.
        let stored = unsafe { s.load(of.x.add(column * LANES)) };
        [self.undo(s, of, column), s.sub(stored, of.mean)]
    }
}

/// `gradient * elu'(x)`.
#[inline(always)]
fn elu_back<S: Simd>(s: S, x: S::Vector, gradient: S::Vector) -> S::Vector {
    let (x, gradient) = (s.to_array(x), s.to_array(gradient));
    s.of_array(std::array::from_fn(|i| elu_gradient(elu(x[i]), gradient[i])))
}

#[inline(always)]
fn elu_gradient(y: f32, gradient: f32) -> f32 {
    if y > 0.0 { gradient } else { gradient * (y + 1.0) }
}
