//! The transforms of Winograd's F(2x2, 3x3) and F(4x4, 3x3) along one side: A, B and G of
//! Lavin and Gray. Along the other side they are the same.

use crate::simd::Simd;

/// Tiles of M outputs and N = M + 2 inputs along a side.
pub(crate) trait Scheme<const M: usize, const N: usize>: Copy {
    /// `B^T d`, of inputs.
    fn input<S: Simd>(s: S, d: [S::Vector; N]) -> [S::Vector; N];
    /// `A^T m`, of products.
    fn output<S: Simd>(s: S, m: [S::Vector; N]) -> [S::Vector; M];
    /// `G g`, of weights.
    fn weights<S: Simd>(s: S, g: [S::Vector; 3]) -> [S::Vector; N];
    /// `A y`, of gradients of outputs.
    fn gradient<S: Simd>(s: S, y: [S::Vector; M]) -> [S::Vector; N];
    /// `G^T m`, of sums of products of the components of inputs and gradients.
    fn weight_gradient<S: Simd>(s: S, m: [S::Vector; N]) -> [S::Vector; 3];
}

/// F(2x2, 3x3).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile2;

impl Scheme<2, 4> for Tile2 {
    #[inline(always)]
    fn input<S: Simd>(s: S, [a, b, c, d]: [S::Vector; 4]) -> [S::Vector; 4] {
        [s.sub(a, c), s.add(b, c), s.sub(c, b), s.sub(b, d)]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, [a, b, c, d]: [S::Vector; 4]) -> [S::Vector; 2] {
        [s.add(s.add(a, b), c), s.sub(s.sub(b, c), d)]
    }

    #[inline(always)]
    fn weights<S: Simd>(s: S, [a, b, c]: [S::Vector; 3]) -> [S::Vector; 4] {
        let ends = s.add(a, c);
        [a, times(s, s.add(ends, b), 0.5), times(s, s.sub(ends, b), 0.5), c]
    }

    #[inline(always)]
    fn gradient<S: Simd>(s: S, [a, b]: [S::Vector; 2]) -> [S::Vector; 4] {
        [a, s.add(a, b), s.sub(a, b), s.sub(s.splat(0.0), b)]
    }

    #[inline(always)]
    fn weight_gradient<S: Simd>(s: S, [a, b, c, d]: [S::Vector; 4]) -> [S::Vector; 3] {
        let (sum, difference) = (times(s, s.add(b, c), 0.5), times(s, s.sub(b, c), 0.5));
        [s.add(a, sum), difference, s.add(sum, d)]
    }
}

/// F(4x4, 3x3).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile4;

impl Scheme<4, 6> for Tile4 {
    #[inline(always)]
    fn input<S: Simd>(s: S, [a, b, c, d, e, f]: [S::Vector; 6]) -> [S::Vector; 6] {
        let (even, odd) = (plus(s, e, c, -4.0), plus(s, d, b, -4.0));
        let (even_2, odd_2) = (s.sub(e, c), s.sub(d, b));
        [
            plus(s, plus(s, e, c, -5.0), a, 4.0),
            s.add(even, odd),
            s.sub(even, odd),
            plus(s, even_2, odd_2, 2.0),
            plus(s, even_2, odd_2, -2.0),
            plus(s, plus(s, f, d, -5.0), b, 4.0),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, [a, b, c, d, e, f]: [S::Vector; 6]) -> [S::Vector; 4] {
        let (sum, difference) = (s.add(b, c), s.sub(b, c));
        let (sum_2, difference_2) = (s.add(d, e), s.sub(d, e));
        [
            s.add(s.add(a, sum), sum_2),
            plus(s, difference, difference_2, 2.0),
            plus(s, sum, sum_2, 4.0),
            plus(s, s.add(difference, f), difference_2, 8.0),
        ]
    }

    #[inline(always)]
    fn weights<S: Simd>(s: S, [a, b, c]: [S::Vector; 3]) -> [S::Vector; 6] {
        let (ends, ends_2) = (s.add(a, c), plus(s, times(s, a, 1.0 / 24.0), c, 1.0 / 6.0));
        [
            times(s, a, 0.25),
            times(s, s.add(ends, b), -1.0 / 6.0),
            times(s, s.sub(ends, b), -1.0 / 6.0),
            plus(s, ends_2, b, 1.0 / 12.0),
            plus(s, ends_2, b, -1.0 / 12.0),
            c,
        ]
    }

    #[inline(always)]
    fn gradient<S: Simd>(s: S, [a, b, c, d]: [S::Vector; 4]) -> [S::Vector; 6] {
        let (even, odd) = (s.add(a, c), s.add(b, d));
        let (even_2, odd_2) = (plus(s, a, c, 4.0), plus(s, times(s, b, 2.0), d, 8.0));
        [a, s.add(even, odd), s.sub(even, odd), s.add(even_2, odd_2), s.sub(even_2, odd_2), d]
    }

    #[inline(always)]
    fn weight_gradient<S: Simd>(s: S, [a, b, c, d, e, f]: [S::Vector; 6]) -> [S::Vector; 3] {
        let (sum, difference) = (s.add(b, c), s.sub(c, b));
        let (sum_2, difference_2) = (s.add(d, e), s.sub(d, e));
        let first = plus(s, times(s, a, 0.25), sum, -1.0 / 6.0);
        let last = plus(s, plus(s, f, sum, -1.0 / 6.0), sum_2, 1.0 / 6.0);
        [
            plus(s, first, sum_2, 1.0 / 24.0),
            plus(s, times(s, difference, 1.0 / 6.0), difference_2, 1.0 / 12.0),
            last,
        ]
    }
}

/// `x + factor * y`.
#[inline(always)]
fn plus<S: Simd>(s: S, x: S::Vector, y: S::Vector, factor: f32) -> S::Vector {
    s.fma(y, s.splat(factor), x)
}

/// `factor * x`.
#[inline(always)]
fn times<S: Simd>(s: S, x: S::Vector, factor: f32) -> S::Vector {
    s.fma(x, s.splat(factor), s.splat(0.0))
}
