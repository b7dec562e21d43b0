//! Arrays that the compiler vectorises for the target's baseline.

use super::{MAX_LANES, Simd};

/// Needs nothing of the machine.
#[derive(Clone, Copy)]
pub(super) struct Arrays<const LANES: usize, const REGISTERS: usize>;

/// Eight lanes, in registers of which most machines have sixteen.
pub(super) type Portable = Arrays<8, 16>;

/// The shape of AVX-512, so that what kernels do with it is tested on any machine.
#[cfg(test)]
pub(super) type Wide = Arrays<16, 32>;

/// Whether the target's baseline has a fused multiply-add; without one,
/// `mul_add` is a function call many times slower than the sum it computes.
const HAS_FMA: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

impl<const LANES: usize, const REGISTERS: usize> Simd for Arrays<LANES, REGISTERS> {
    const LANES: usize = LANES;
    const REGISTERS: usize = REGISTERS;
    type Vector = [f32; LANES];
    type Mask = usize;

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; LANES] {
        [value; LANES]
    }

    #[inline(always)]
    fn add(self, mut a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        for (a, b) in a.iter_mut().zip(b) {
            *a += b;
        }
        a
    }

    #[inline(always)]
    fn sub(self, mut a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        for (a, b) in a.iter_mut().zip(b) {
            *a -= b;
        }
        a
    }

    #[inline(always)]
    fn fma(self, a: [f32; LANES], b: [f32; LANES], mut c: [f32; LANES]) -> [f32; LANES] {
        for ((a, b), c) in a.into_iter().zip(b).zip(&mut c) {
            *c = if HAS_FMA { a.mul_add(b, *c) } else { a * b + *c };
        }
        c
    }

    #[inline(always)]
    fn permute(self, a: [f32; LANES], lanes: &[u32; MAX_LANES]) -> [f32; LANES] {
        let mut permuted = [0.0; LANES];
        for (value, &lane) in permuted.iter_mut().zip(lanes) {
            *value = a[lane as usize % LANES];
        }
        permuted
    }

    #[inline(always)]
    fn mask(self, count: usize) -> usize {
        debug_assert!(count <= LANES);
        count
    }

    #[inline(always)]
    unsafe fn load(self, ptr: *const f32) -> [f32; LANES] {
        // SAFETY: the caller vouches for `ptr`; an array of f32 needs no more alignment.
        unsafe { ptr.cast::<[f32; LANES]>().read() }
    }

    #[inline(always)]
    unsafe fn store(self, ptr: *mut f32, a: [f32; LANES]) {
        // SAFETY: the caller vouches for `ptr`; an array of f32 needs no more alignment.
        unsafe { ptr.cast::<[f32; LANES]>().write(a) }
    }

    #[inline(always)]
    unsafe fn load_masked(self, ptr: *const f32, mask: usize) -> [f32; LANES] {
        if mask == LANES {
            // SAFETY: the caller vouches for all lanes.
            return unsafe { self.load(ptr) };
        }
        let mut a = [0.0; LANES];
        // SAFETY: the caller vouches for the first `mask` values.
        a[..mask].copy_from_slice(unsafe { std::slice::from_raw_parts(ptr, mask) });
        a
    }

    #[inline(always)]
    unsafe fn store_masked(self, ptr: *mut f32, a: [f32; LANES], mask: usize) {
        if mask == LANES {
            // SAFETY: the caller vouches for all lanes.
            return unsafe { self.store(ptr, a) };
        }
        // SAFETY: the caller vouches for the first `mask` values.
        unsafe { std::slice::from_raw_parts_mut(ptr, mask) }.copy_from_slice(&a[..mask]);
    }

    #[inline(always)]
    fn prefetch(self, _: *const f32) {}

    #[inline(always)]
    fn prefetch_for_write(self, _: *const f32) {}
}
