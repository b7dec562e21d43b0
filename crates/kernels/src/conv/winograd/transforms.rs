//! The transforms of Winograd's minimal filtering in one dimension. In two they
//! are applied to the columns of a tile and then to its rows.
//!
//! With the matrices of Lavin and Gray (2016, section 4), `F(m, 3)` computes `m`
//! neighbouring outputs of a kernel of three taps as `A^T [(G g) * (B^T d)]`, from
//! `m + 2` sources `d`, with `m + 2` products. Its adjoint is the gradient of the
//! kernel: `G^T [(A y) * (B^T d)]` from `m` gradients `y` of the outputs.

use crate::simd::Simd;

/// Points of the largest tile.
pub(in crate::conv) const MAX_POINTS: usize = 6;

/// Values of a column or a row of a tile, the first ones of which count.
pub(in crate::conv) type Line<V> = [V; MAX_POINTS];

/// `F(m, 3)`.
pub(in crate::conv) trait Tile: Sync {
    /// Outputs of a tile, `m`.
    const OUTPUTS: usize;
    /// Sources, and products, of a tile: `m + 2`.
    const POINTS: usize = Self::OUTPUTS + 2;
    /// `G`, a row a point.
    const KERNEL: &'static [[f32; 3]];

    /// `B^T d`: from sources to points.
    fn source<S: Simd>(s: S, d: Line<S::Vector>) -> Line<S::Vector>;
    /// `A^T p`: from points to outputs.
    fn target<S: Simd>(s: S, p: Line<S::Vector>) -> Line<S::Vector>;
    /// `A y`: from gradients of outputs to points.
    fn gradient<S: Simd>(s: S, y: Line<S::Vector>) -> Line<S::Vector>;
}

/// `F(2, 3)`: all coefficients are one or a half.
pub(in crate::conv) struct F2;

impl Tile for F2 {
    const OUTPUTS: usize = 2;
    const KERNEL: &'static [[f32; 3]] =
        &[[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];

    #[inline(always)]
    fn source<S: Simd>(s: S, d: Line<S::Vector>) -> Line<S::Vector> {
        let zero = s.splat(0.0);
        [s.sub(d[0], d[2]), s.add(d[1], d[2]), s.sub(d[2], d[1]), s.sub(d[1], d[3]), zero, zero]
    }

    #[inline(always)]
    fn target<S: Simd>(s: S, p: Line<S::Vector>) -> Line<S::Vector> {
        let zero = s.splat(0.0);
        let first = s.add(s.add(p[0], p[1]), p[2]);
        let second = s.sub(s.sub(p[1], p[2]), p[3]);
        [first, second, zero, zero, zero, zero]
    }

    #[inline(always)]
    fn gradient<S: Simd>(s: S, y: Line<S::Vector>) -> Line<S::Vector> {
        let zero = s.splat(0.0);
        [y[0], s.add(y[0], y[1]), s.sub(y[0], y[1]), s.sub(zero, y[1]), zero, zero]
    }
}

/// `F(4, 3)`: coefficients from 1/24 to 8, which magnify rounding errors.
pub(in crate::conv) struct F4;

impl Tile for F4 {
    const OUTPUTS: usize = 4;
    const KERNEL: &'static [[f32; 3]] = &[
        [1.0 / 4.0, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    fn source<S: Simd>(s: S, d: Line<S::Vector>) -> Line<S::Vector> {
        let [two, four] = [2.0, 4.0].map(|factor| s.splat(factor));
        let [minus_four, minus_five] = [-4.0, -5.0].map(|factor| s.splat(factor));
        let even = s.fma(minus_four, d[2], d[4]);
        let odd = s.fma(minus_four, d[1], d[3]);
        let outer_even = s.sub(d[4], d[2]);
        let outer_odd = s.sub(d[3], d[1]);
        [
            s.fma(four, d[0], s.fma(minus_five, d[2], d[4])),
            s.add(even, odd),
            s.sub(even, odd),
            s.fma(two, outer_odd, outer_even),
            s.sub(outer_even, s.add(outer_odd, outer_odd)),
            s.fma(four, d[1], s.fma(minus_five, d[3], d[5])),
        ]
    }

    #[inline(always)]
    fn target<S: Simd>(s: S, p: Line<S::Vector>) -> Line<S::Vector> {
        let zero = s.splat(0.0);
        let [two, four, eight] = [2.0, 4.0, 8.0].map(|factor| s.splat(factor));
        let (inner_sum, inner_difference) = (s.add(p[1], p[2]), s.sub(p[1], p[2]));
        let (outer_sum, outer_difference) = (s.add(p[3], p[4]), s.sub(p[3], p[4]));
        [
            s.add(s.add(p[0], inner_sum), outer_sum),
            s.fma(two, outer_difference, inner_difference),
            s.fma(four, outer_sum, inner_sum),
            s.add(s.fma(eight, outer_difference, inner_difference), p[5]),
            zero,
            zero,
        ]
    }

    #[inline(always)]
    fn gradient<S: Simd>(s: S, y: Line<S::Vector>) -> Line<S::Vector> {
        let four = s.splat(4.0);
        let (inner_even, inner_odd) = (s.add(y[0], y[2]), s.add(y[1], y[3]));
        let outer_even = s.fma(four, y[2], y[0]);
        let half_odd = s.fma(four, y[3], y[1]);
        let outer_odd = s.add(half_odd, half_odd);
        [
            y[0],
            s.add(inner_even, inner_odd),
            s.sub(inner_even, inner_odd),
            s.add(outer_even, outer_odd),
            s.sub(outer_even, outer_odd),
            y[3],
        ]
    }
}
