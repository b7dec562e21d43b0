//! Sums over the places of each channel: the statistics of a norm, and those of its backward
//! pass.

use super::{Lines, check, check_channels};
use crate::{
    isa::Isa,
    layout::{LANES, MapLayout},
    simd::{Kernel, Simd, dispatch, unrolled},
};

/// Channels summed side by side, to hide the latency of each sum.
const ABREAST: usize = 4;

/// Two sums a channel, one of sixteen images a lane: `[channel][2][image]`.
pub type ChannelSums = [[[f32; LANES]; 2]];

/// The centres of the two sums per channel, and the sums.
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

/// The terms at each place. (A trait rather than a closure, since only a method can be forced
/// inline, and so compiled for the instructions in use.)
pub(super) trait Terms<S: Simd> {
    /// The constants of a channel.
    type Channel: Copy;

    /// The same for all places of `channel`.
    fn channel(&self, s: S, channel: usize) -> Self::Channel;

    /// `[a, b]` at column `column`.
    fn at(&self, s: S, channel: Self::Channel, column: usize) -> [S::Vector; 2];
}

/// Adds, for each channel, the `a` and `a * b` that `terms` gives at each place to its sums.
/// Four channels at a time, each in the order of its columns.
#[inline(always)]
pub(super) fn abreast<S: Simd>(s: S, lines: Lines, sums: &mut ChannelSums, terms: &impl Terms<S>) {
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
