//! What is done to single values on the way between convolutions, row by row:
//! norm and activation as a map is read, statistics as it is written, and the
//! same on the way back.
//!
//! A row is `[channel][column, margin][image]`. Every function writes the margins
//! of what it writes, but `finish`, which leaves them to `clear_margins`.

use crate::{
    activation::{Activation, elu},
    isa::Isa,
    layout::{LANES, MapLayout},
    simd::{Kernel, Simd, dispatch, unrolled},
};

/// Channels whose sums are taken side by side, so that none waits for itself.
const ABREAST: usize = 4;

/// A batch norm: `scale (x - mean) + shift`, channel by channel. (Folded into one
/// factor and one addend it would lose digits wherever the mean is large beside
/// the deviation.)
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// Taken away first.
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
pub struct Reading<'a> {
    /// The norm.
    pub affine: Option<Affine<'a>>,
    /// The activation after it.
    pub activation: Option<Activation>,
}

impl Reading<'_> {
    /// Whether values are read as they are stored.
    pub fn is_plain(&self) -> bool {
        self.affine.is_none() && self.activation.is_none()
    }

    /// Mean, scale and shift of a channel; without a norm those that change nothing.
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
    /// The same of what is read, where that has another margin.
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

/// Checks once that rows are as long as their layouts say; what follows relies on it.
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

/// `y = a(scale (x - mean) + shift)`: what a reader sees.
pub(crate) fn read(
    isa: Isa,
    from: &MapLayout,
    to: &MapLayout,
    reading: Reading<'_>,
    x: &[f32],
    y: &mut [f32],
) {
    struct Work<'a>(Lines, Reading<'a>, *const f32, *mut f32);
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
            let Self(lines, reading, x, y) = self;
            for channel in 0..lines.channels {
                let [mean, scale, shift] = reading.of(s, channel);
                for column in 0..lines.columns {
                    let place = channel * lines.channel + column * LANES;
                    // SAFETY: `check` has seen that both rows have these channels and columns.
                    unsafe {
                        let mut value = s.load(x.add(channel * lines.channel_read + column * LANES));
                        if reading.affine.is_some() {
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
    if let Some(affine) = reading.affine {
        affine.check(to);
    }
    dispatch(isa, Work(Lines::between(from, to), reading, x.as_ptr(), y.as_mut_ptr()));
}

/// `y = a(fresh)`, and where statistics are wanted the sums of `y - centre` and of
/// its square: how a row that a convolution has made goes to memory, in one sweep.
/// Margins are left to [`clear_margins`].
pub(crate) fn finish(
    isa: Isa,
    layout: &MapLayout,
    activation: Option<Activation>,
    fresh: &[f32],
    y: &mut [f32],
    moments: Option<(&[f32], &mut ChannelSums)>,
) {
    struct Work<'a, const ACTIVATION: usize>(Finish<'a, ACTIVATION>, Option<&'a mut ChannelSums>);
    impl<const ACTIVATION: usize> Kernel for Work<'_, ACTIVATION> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let Self(finish, sums) = self;
            let lines = finish.lines;
            if let Some(sums) = sums {
                abreast(s, lines, sums, &finish);
            } else {
                for channel in 0..lines.channels {
                    let (fresh, y) = finish.channel_of(channel);
                    (0..lines.columns).for_each(|column| {
                        finish.value(s, fresh, y, column);
                    });
                }
            }
        }
    }
    struct Finish<'a, const ACTIVATION: usize> {
        lines: Lines,
        fresh: *const f32,
        y: *mut f32,
        centre: &'a [f32],
    }
    impl<const ACTIVATION: usize> Finish<'_, ACTIVATION> {
        #[inline(always)]
        fn channel_of(&self, channel: usize) -> (*const f32, *mut f32) {
            let place = channel * self.lines.channel;
            (self.fresh.wrapping_add(place), self.y.wrapping_add(place))
        }

        #[inline(always)]
        fn value<S: Simd>(&self, s: S, fresh: *const f32, y: *mut f32, column: usize) -> S::Vector {
            // SAFETY: `check` has seen that both rows have these channels and columns.
            unsafe {
                let value = activate::<S, ACTIVATION>(s, s.load(fresh.add(column * LANES)));
                s.store(y.add(column * LANES), value);
                value
            }
        }
    }
    impl<S: Simd, const ACTIVATION: usize> Terms<S> for Finish<'_, ACTIVATION> {
        type Channel = (*const f32, *mut f32, S::Vector);

        #[inline(always)]
        fn channel(&self, s: S, channel: usize) -> Self::Channel {
            let (fresh, y) = self.channel_of(channel);
            (fresh, y, s.splat(self.centre[channel]))
        }

        #[inline(always)]
        fn at(&self, s: S, (fresh, y, centre): Self::Channel, column: usize) -> [S::Vector; 2] {
            [s.sub(self.value(s, fresh, y, column), centre); 2]
        }
    }
    check(&[fresh.len(), y.len()], layout);
    let (centre, sums) = moments.unzip();
    if let (Some(centre), Some(sums)) = (centre, &sums) {
        check_channels(&[centre.len(), sums.len()], layout);
    }
    let centre = centre.unwrap_or(&[]);
    let (lines, fresh, y) = (Lines::of(layout), fresh.as_ptr(), y.as_mut_ptr());
    match activation {
        None => dispatch(isa, Work(Finish::<0> { lines, fresh, y, centre }, sums)),
        Some(Activation::Relu) => dispatch(isa, Work(Finish::<1> { lines, fresh, y, centre }, sums)),
        Some(Activation::Elu) => dispatch(isa, Work(Finish::<2> { lines, fresh, y, centre }, sums)),
    }
}

/// Zeros in the margins after the first `channels` of a row.
pub(crate) fn clear_margins(isa: Isa, layout: &MapLayout, channels: usize, row: &mut [f32]) {
    struct Work(Lines, usize, *mut f32);
    impl Kernel for Work {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for channel in 0..self.1 {
                // SAFETY: `check` has seen that the row has these channels.
                unsafe { self.0.clear_margin(s, self.2, channel) };
            }
        }
    }
    check(&[row.len()], layout);
    assert!(channels <= layout.shape.c, "margins of channels");
    dispatch(isa, Work(Lines::of(layout), channels, row.as_mut_ptr()));
}

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

/// Two sums a channel, one of sixteen images a lane: `[channel][2][image]`.
pub type ChannelSums = [[[f32; LANES]; 2]];

/// What two sums a channel are taken about, and the sums.
pub type SumsAbout<'a> = (&'a [f32], &'a mut ChannelSums);

/// Adds `x - centre` and its square to the sums of each channel.
pub(crate) fn add_moments(isa: Isa, layout: &MapLayout, centre: &[f32], x: &[f32], sums: &mut ChannelSums) {
    struct Work<'a>(Lines, &'a [f32], *const f32, &'a mut ChannelSums);
    impl Kernel for Work<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let Self(lines, centre, x, sums) = self;
            abreast(s, lines, sums, &Differences(lines, centre, x));
        }
    }
    struct Differences<'a>(Lines, &'a [f32], *const f32);
    impl<S: Simd> Terms<S> for Differences<'_> {
        type Channel = (*const f32, S::Vector);

        #[inline(always)]
        fn channel(&self, s: S, channel: usize) -> Self::Channel {
            (self.2.wrapping_add(channel * self.0.channel), s.splat(self.1[channel]))
        }

        #[inline(always)]
        fn at(&self, s: S, (x, centre): Self::Channel, column: usize) -> [S::Vector; 2] {
            // SAFETY: `check` has seen that the row has these channels and columns.
            [s.sub(unsafe { s.load(x.add(column * LANES)) }, centre); 2]
        }
    }
    check(&[x.len()], layout);
    check_channels(&[centre.len(), sums.len()], layout);
    dispatch(isa, Work(Lines::of(layout), centre, x.as_ptr(), sums));
}

/// Adds a gradient, and it times `x - mean`, to the sums of each channel.
pub(crate) fn add_products(
    isa: Isa,
    layout: &MapLayout,
    mean: &[f32],
    (dy, x): (&[f32], &[f32]),
    sums: &mut ChannelSums,
) {
    struct Work<'a>(Lines, Products<'a>, &'a mut ChannelSums);
    impl Kernel for Work<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            abreast(s, self.0, self.2, &self.1);
        }
    }
    struct Products<'a>(Lines, &'a [f32], *const f32, *const f32);
    impl<S: Simd> Terms<S> for Products<'_> {
        type Channel = (*const f32, *const f32, S::Vector);

        #[inline(always)]
        fn channel(&self, s: S, channel: usize) -> Self::Channel {
            let place = channel * self.0.channel;
            (self.2.wrapping_add(place), self.3.wrapping_add(place), s.splat(self.1[channel]))
        }

        #[inline(always)]
        fn at(&self, s: S, (dy, x, mean): Self::Channel, column: usize) -> [S::Vector; 2] {
            // SAFETY: `check` has seen that both rows have these channels and columns.
            unsafe { [s.load(dy.add(column * LANES)), s.sub(s.load(x.add(column * LANES)), mean)] }
        }
    }
    check(&[dy.len(), x.len()], layout);
    check_channels(&[mean.len(), sums.len()], layout);
    let lines = Lines::of(layout);
    dispatch(isa, Work(lines, Products(lines, mean, dy.as_ptr(), x.as_ptr()), sums));
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

/// What is summed at each place. (A trait and no closure, since only a method can
/// be told to be inlined, and so compiled for the instructions in use.)
trait Terms<S: Simd> {
    /// What is needed of a channel.
    type Channel: Copy;

    /// The same for all places of `channel`.
    fn channel(&self, s: S, channel: usize) -> Self::Channel;

    /// `[a, b]` at column `column`.
    fn at(&self, s: S, channel: Self::Channel, column: usize) -> [S::Vector; 2];
}

/// Adds, for each channel, `a` and `a * b` to its sums, of what `terms` gives at
/// each place. Four channels at a time, each in the order of its columns.
#[inline(always)]
fn abreast<S: Simd>(s: S, lines: Lines, sums: &mut ChannelSums, terms: &impl Terms<S>) {
    let mut channel = 0;
    while channel + ABREAST <= lines.channels {
        some_abreast::<S, ABREAST>(s, lines, &mut sums[channel..channel + ABREAST], channel, terms);
        channel += ABREAST;
    }
    while channel < lines.channels {
        some_abreast::<S, 1>(s, lines, &mut sums[channel..=channel], channel, terms);
        channel += 1;
    }
}

#[inline(always)]
fn some_abreast<S: Simd, const N: usize>(
    s: S,
    lines: Lines,
    sums: &mut ChannelSums,
    first: usize,
    terms: &impl Terms<S>,
) {
    let channels: [_; N] = std::array::from_fn(|i| terms.channel(s, first + i));
    let mut own: [[S::Vector; 2]; N] =
        std::array::from_fn(|i| [s.of_array(sums[i][0]), s.of_array(sums[i][1])]);
    for column in 0..lines.columns {
        unrolled!(I in [0 1 2 3] below N => {
            let [a, b] = terms.at(s, channels[I], column);
            own[I][0] = s.add(own[I][0], a);
            own[I][1] = s.fma(a, b, own[I][1]);
        });
    }
    for (sums, own) in sums.iter_mut().zip(own) {
        *sums = own.map(|sum| s.to_array(sum));
    }
}

/// The way of a gradient through a batch norm: `dx = a dy + b x + c`, channel by channel.
#[derive(Clone, Debug, Default)]
pub struct ThroughNorm {
    /// gamma / sqrt(variance + epsilon).
    pub a: Vec<f32>,
    /// What is taken away for the variance.
    pub b: Vec<f32>,
    /// What is taken away for the mean.
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
            // Negative where there is no image; in a full group there is one everywhere.
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

/// What becomes of the gradient of what a reader saw.
pub(crate) struct Undo<'a> {
    /// How the map was read.
    pub reading: Reading<'a>,
    /// The stored values.
    pub x: &'a [f32],
    /// The gradient of what was seen.
    pub fresh: &'a [f32],
    /// Whether to add to what other readers have written.
    pub adds: bool,
    /// The mean of each channel and the sums of the norm's way back, where the
    /// gradient is complete: of it, and of it times `x - mean`.
    pub sums: Option<SumsAbout<'a>>,
}

/// `target = fresh a'(scale (x - mean) + shift)`, or `+=`, and its sums.
///
/// `from` is the layout of the fresh gradient, `layout` that of all others.
pub(crate) fn undo(isa: Isa, from: &MapLayout, layout: &MapLayout, undo: Undo<'_>, target: &mut [f32]) {
    struct Work<'a>(Lines, Undo<'a>, *mut f32);
    impl Kernel for Work<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            match self.1.reading.activation {
                None => self.each::<S, 0>(s),
                Some(Activation::Relu) => self.each::<S, 1>(s),
                Some(Activation::Elu) => self.each::<S, 2>(s),
            }
        }
    }
    impl Work<'_> {
        #[inline(always)]
        fn each<S: Simd, const ACTIVATION: usize>(self, s: S) {
            match self.1.adds {
                false => self.adding::<S, ACTIVATION, false>(s),
                true => self.adding::<S, ACTIVATION, true>(s),
            }
        }

        #[inline(always)]
        fn adding<S: Simd, const ACTIVATION: usize, const ADDS: bool>(self, s: S) {
            let Self(lines, Undo { reading, x, fresh, sums, .. }, target) = self;
            let mean = sums.as_ref().map_or(&[][..], |(mean, _)| mean);
            let (x, fresh) = (x.as_ptr(), fresh.as_ptr());
            let one = One::<ACTIVATION, ADDS> { lines, reading, x, fresh, target, mean };
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
    /// What is needed at each place; no activation, ReLU or ELU.
    struct One<'a, const ACTIVATION: usize, const ADDS: bool> {
        lines: Lines,
        reading: Reading<'a>,
        x: *const f32,
        fresh: *const f32,
        target: *mut f32,
        /// Nothing where no sums are taken.
        mean: &'a [f32],
    }
    /// Where a channel stands, and its constants.
    struct Of<S: Simd> {
        x: *const f32,
        fresh: *const f32,
        target: *mut f32,
        /// Mean, scale and shift of the norm that it was read through.
        norm: [S::Vector; 3],
        /// What sums of products are taken about.
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
            let norm = if ACTIVATION > 0 { self.reading.of(s, channel) } else { [s.splat(0.0); 3] };
            let place = channel * self.lines.channel;
            Of {
                x: self.x.wrapping_add(place),
                fresh: self.fresh.wrapping_add(channel * self.lines.channel_read),
                target: self.target.wrapping_add(place),
                norm,
                mean: s.splat(self.mean.get(channel).copied().unwrap_or(0.0)),
            }
        }

        /// Writes the value at `column`, and gives it.
        #[inline(always)]
        fn undo<S: Simd>(&self, s: S, of: Of<S>, column: usize) -> S::Vector {
            let place = column * LANES;
            // SAFETY: `check` has seen that all rows have these channels and columns.
            unsafe {
                let mut value = s.load(of.fresh.add(place));
                if ACTIVATION > 0 {
                    let [mean, scale, shift] = of.norm;
                    let seen = s.fma(s.sub(s.load(of.x.add(place)), mean), scale, shift);
                    value = if ACTIVATION == 1 {
                        s.where_positive(seen, value)
                    } else {
                        elu_back(s, seen, value)
                    };
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
    if let Some(affine) = undo.reading.affine {
        affine.check(layout);
    }
    if let Some((mean, sums)) = &undo.sums {
        check_channels(&[mean.len(), sums.len()], layout);
    }
    check(&[undo.fresh.len()], from);
    check(&[target.len()], layout);
    if undo.reading.activation.is_some() || undo.sums.is_some() {
        check(&[undo.x.len()], layout);
    }
    dispatch(isa, Work(Lines::between(from, layout), undo, target.as_mut_ptr()));
}

/// Adds up the lanes and parts of the sums of each of `channels`, in f64 and in their order.
pub fn totals(sums: &ChannelSums, channels: usize, mut total: impl FnMut(usize, [f64; 2])) {
    for channel in 0..channels {
        let mut sum = [0.0; 2];
        for part in sums.chunks_exact(channels) {
            for (sum, lanes) in sum.iter_mut().zip(&part[channel]) {
                *sum += lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
            }
        }
        total(channel, sum);
    }
}
