//! Vectors of pairs of bf16: a product over pairs takes half as many steps.

use super::{MAX_LANES, Simd};

/// Instructions that multiply pairs of bf16.
pub(super) trait MultiplyPairs: Simd {
    /// `a0 * b0 + a1 * b1 + c` in every lane, where a lane of `a` and of `b` is a
    /// pair of bf16, number 0 in its lower half.
    ///
    /// # Safety
    /// This machine has the instructions, which a value of the type alone does not prove.
    unsafe fn fma_pairs(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
}

/// The same instructions for a kernel whose factors are pairs: what it calls a
/// value of a factor is a pair, and its sums are f32 as ever. A value of the type
/// is the proof that this machine multiplies pairs.
#[derive(Clone, Copy)]
pub(super) struct Pairs<S>(S);

impl<S: MultiplyPairs> Pairs<S> {
    /// # Safety
    /// This machine has the instructions of [`MultiplyPairs`].
    #[inline(always)]
    pub(super) unsafe fn new(simd: S) -> Self {
        Self(simd)
    }
}

// All but `fma` moves or adds lanes as they are.
impl<S: MultiplyPairs> Simd for Pairs<S> {
    const LANES: usize = S::LANES;
    const REGISTERS: usize = S::REGISTERS;
    type Vector = S::Vector;
    type Mask = S::Mask;

    #[inline(always)]
    fn fma(self, a: S::Vector, b: S::Vector, c: S::Vector) -> S::Vector {
        // SAFETY: a value of `Pairs` exists.
        unsafe { self.0.fma_pairs(a, b, c) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> S::Vector {
        self.0.splat(value)
    }

    #[inline(always)]
    fn add(self, a: S::Vector, b: S::Vector) -> S::Vector {
        self.0.add(a, b)
    }

    #[inline(always)]
    fn sub(self, a: S::Vector, b: S::Vector) -> S::Vector {
        self.0.sub(a, b)
    }

    #[inline(always)]
    fn permute(self, a: S::Vector, lanes: &[u32; MAX_LANES]) -> S::Vector {
        self.0.permute(a, lanes)
    }

    #[inline(always)]
    fn mask(self, count: usize) -> S::Mask {
        self.0.mask(count)
    }

    #[inline(always)]
    unsafe fn load(self, ptr: *const f32) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe { self.0.load(ptr) }
    }

    #[inline(always)]
    unsafe fn store(self, ptr: *mut f32, a: S::Vector) {
        // SAFETY: the caller's promise.
        unsafe { self.0.store(ptr, a) }
    }

    #[inline(always)]
    unsafe fn load_masked(self, ptr: *const f32, mask: S::Mask) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe { self.0.load_masked(ptr, mask) }
    }

    #[inline(always)]
    unsafe fn store_masked(self, ptr: *mut f32, a: S::Vector, mask: S::Mask) {
        // SAFETY: the caller's promise.
        unsafe { self.0.store_masked(ptr, a, mask) }
    }

    #[inline(always)]
    fn prefetch(self, ptr: *const f32) {
        self.0.prefetch(ptr);
    }

    #[inline(always)]
    fn prefetch_for_write(self, ptr: *const f32) {
        self.0.prefetch_for_write(ptr);
    }
}

/// What the instruction computes, in plain Rust, so that all around it is tested
/// on every machine.
#[cfg(test)]
impl MultiplyPairs for super::portable::Wide {
    #[inline(always)]
    unsafe fn fma_pairs(self, a: Self::Vector, b: Self::Vector, mut c: Self::Vector) -> Self::Vector {
        let lower = |pair: f32| f32::from_bits(pair.to_bits() << 16);
        let upper = |pair: f32| f32::from_bits(pair.to_bits() & 0xffff_0000);
        for ((a, b), c) in a.into_iter().zip(b).zip(&mut c) {
            *c += upper(a) * upper(b);
            *c += lower(a) * lower(b);
        }
        c
    }
}
