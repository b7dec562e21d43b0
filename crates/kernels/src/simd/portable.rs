//! Arrays that the compiler vectorises for the target's baseline: NEON on aarch64, where
//! multiply-adds are usually fused. The baseline of x86-64 has no fused multiply-add, so each
//! is a function call: slow, but the same bits.

use super::{Simd, sum_lanes};

/// `N` lanes, a power of two. Runs on every machine.
#[derive(Clone, Copy)]
pub(crate) struct Portable<const N: usize>;

impl<const N: usize> Simd for Portable<N> {
    type Vector = [f32; N];

    const WIDTH: usize = N;

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; N] {
        [value; N]
    }

    #[inline(always)]
    fn add(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        std::array::from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn fma(self, a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
        std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }

    #[inline(always)]
    fn where_positive(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        // Written so that `b` passes if the value is NaN.
        std::array::from_fn(|i| if a[i] <= 0.0 { 0.0 } else { b[i] })
    }

    #[inline(always)]
    fn larger(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        std::array::from_fn(|i| if a[i] > b[i] || a[i].is_nan() { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn part_equal(self, a: [f32; N], b: [f32; N], c: [f32; N]) -> [[f32; N]; 2] {
        let is_equal = |i: usize| a[i] == b[i] || a[i].is_nan() || b[i].is_nan();
        let part = |wanted: bool| std::array::from_fn(|i| if is_equal(i) == wanted { c[i] } else { 0.0 });
        [part(true), part(false)]
    }

    #[inline(always)]
    fn flush(self, a: [f32; N]) -> [f32; N] {
        a.map(|a| if a.abs() < f32::MIN_POSITIVE { 0.0_f32.copysign(a) } else { a })
    }

    #[inline(always)]
    fn halves(self, a: [f32; N]) -> [[f32; N]; 2] {
        [a.map(|a| f32::from_bits(a.to_bits() << 16)), a.map(|a| f32::from_bits(a.to_bits() & !0xffff))]
    }

    #[inline(always)]
    fn sum(self, a: [f32; N]) -> f32 {
        sum_lanes(a)
    }

    #[inline(always)]
    unsafe fn load(self, ptr: *const f32) -> [f32; N] {
        // SAFETY: the caller guarantees that `ptr` is valid; an array of f32 needs no more
        // alignment.
        unsafe { ptr.cast::<[f32; N]>().read() }
    }

    #[inline(always)]
    unsafe fn store(self, ptr: *mut f32, a: [f32; N]) {
        // SAFETY: the caller guarantees that `ptr` is valid; an array of f32 needs no more
        // alignment.
        unsafe { ptr.cast::<[f32; N]>().write(a) }
    }
}
