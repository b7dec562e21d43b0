//! Sixteen lanes, thirty-two registers, masks.

use std::arch::x86_64::*;

use super::{MAX_LANES, Simd, pairs::MultiplyPairs};

/// Proof that this machine has AVX-512 F, VL, DQ and BW.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// This machine has AVX-512 F, VL, DQ and BW.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

// In every method: the arithmetic is sound because a value of `Avx512` exists,
// and memory is as the trait demands of the caller.
impl Simd for Avx512 {
    const LANES: usize = 16;
    const REGISTERS: usize = 32;
    type Vector = __m512;
    type Mask = __mmask16;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: the instructions are present.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the instructions are present.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the instructions are present.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the instructions are present.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn permute(self, a: __m512, lanes: &[u32; MAX_LANES]) -> __m512 {
        // SAFETY: the instructions are present and `lanes` holds 16 indices.
        unsafe { _mm512_permutexvar_ps(_mm512_loadu_si512(lanes.as_ptr().cast()), a) }
    }

    #[inline(always)]
    fn mask(self, count: usize) -> __mmask16 {
        debug_assert!(count <= Self::LANES);
        ((1u32 << count) - 1) as __mmask16
    }

    #[inline(always)]
    unsafe fn load(self, ptr: *const f32) -> __m512 {
        // SAFETY: the instructions are present; the caller vouches for `ptr`.
        unsafe { _mm512_loadu_ps(ptr) }
    }

    #[inline(always)]
    unsafe fn store(self, ptr: *mut f32, a: __m512) {
        // SAFETY: the instructions are present; the caller vouches for `ptr`.
        unsafe { _mm512_storeu_ps(ptr, a) }
    }

    #[inline(always)]
    unsafe fn load_masked(self, ptr: *const f32, mask: __mmask16) -> __m512 {
        // SAFETY: the instructions are present; the caller vouches for `ptr`.
        unsafe { _mm512_maskz_loadu_ps(mask, ptr) }
    }

    #[inline(always)]
    unsafe fn store_masked(self, ptr: *mut f32, a: __m512, mask: __mmask16) {
        // SAFETY: the instructions are present; the caller vouches for `ptr`.
        unsafe { _mm512_mask_storeu_ps(ptr, mask, a) }
    }

    #[inline(always)]
    fn prefetch(self, ptr: *const f32) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(ptr.cast()) }
    }

    #[inline(always)]
    fn prefetch_for_write(self, ptr: *const f32) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(ptr.cast()) }
    }
}

/// With AVX512-BF16.
impl MultiplyPairs for Avx512 {
    #[inline(always)]
    unsafe fn fma_pairs(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the caller's promise; both types are 512 bits without a meaning.
        unsafe {
            let [a, b] = [a, b].map(|pairs| std::mem::transmute::<__m512, __m512bh>(pairs));
            _mm512_dpbf16_ps(c, a, b)
        }
    }
}
