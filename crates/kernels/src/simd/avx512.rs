//! One register of sixteen lanes.

use std::arch::x86_64::*;

use super::{Avx2, Simd, dot};

/// Proof that this machine has AVX-512 F, VL, DQ and BW (so AVX2 and FMA too), and with `BF16` that as well.
#[derive(Clone, Copy)]
pub(crate) struct Avx512<const BF16: bool>(());

impl<const BF16: bool> Avx512<BF16> {
    /// # Safety
    /// This machine has AVX-512 F, VL, DQ and BW, and with `BF16` that as well.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }
}

// In every method: the arithmetic is sound because a value of `Avx512` exists,
// and memory is as the trait demands of the caller.
impl<const BF16: bool> Simd for Avx512<BF16> {
    type Vector = __m512;

    const WIDTH: usize = 16;

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
    fn where_positive(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the instructions are present. "Not less or equal" is true of NaN.
        unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLE_UQ>(a, _mm512_setzero_ps()), b) }
    }

    #[inline(always)]
    fn larger(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the instructions are present. The maximum is `b` if either is NaN; if `a` is
        // NaN, `a` is wanted.
        unsafe { _mm512_mask_mov_ps(_mm512_max_ps(a, b), _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a), a) }
    }

    #[inline(always)]
    fn part_equal(self, a: __m512, b: __m512, c: __m512) -> [__m512; 2] {
        // SAFETY: the instructions are present.
        unsafe {
            let is_equal = _mm512_cmp_ps_mask::<_CMP_EQ_UQ>(a, b);
            [_mm512_maskz_mov_ps(is_equal, c), _mm512_maskz_mov_ps(!is_equal, c)]
        }
    }

    #[inline(always)]
    fn flush(self, a: __m512) -> __m512 {
        // SAFETY: the instructions are present. "Less" is false of NaN.
        unsafe {
            let least = _mm512_set1_ps(f32::MIN_POSITIVE);
            let is_small = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(_mm512_abs_ps(a), least);
            _mm512_mask_and_ps(a, is_small, a, _mm512_set1_ps(-0.0))
        }
    }

    #[inline(always)]
    fn halves(self, a: __m512) -> [__m512; 2] {
        // SAFETY: the instructions are present.
        unsafe {
            let bits = _mm512_castps_si512(a);
            let odd = _mm512_and_si512(bits, _mm512_set1_epi32(!0xffff));
            [_mm512_slli_epi32::<16>(bits), odd].map(|half| _mm512_castsi512_ps(half))
        }
    }

    #[inline(always)]
    fn dot(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        if BF16 {
            // SAFETY: the instruction is present, and the types are of the same bits.
            return unsafe {
                let [a, b] = [a, b].map(|pairs| std::mem::transmute::<__m512, __m512bh>(pairs));
                _mm512_dpbf16_ps(c, a, b)
            };
        }
        dot(self, a, b, c)
    }

    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        // SAFETY: the instructions are present.
        unsafe {
            let upper = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(a)));
            Avx2::new().sum(_mm256_add_ps(_mm512_castps512_ps256(a), upper))
        }
    }

    #[inline(always)]
    unsafe fn load(self, ptr: *const f32) -> __m512 {
        // SAFETY: the instructions are present; the caller guarantees that `ptr` is valid.
        unsafe { _mm512_loadu_ps(ptr) }
    }

    #[inline(always)]
    unsafe fn store(self, ptr: *mut f32, a: __m512) {
        // SAFETY: the instructions are present; the caller guarantees that `ptr` is valid.
        unsafe { _mm512_storeu_ps(ptr, a) }
    }

    #[inline(always)]
    fn fetch(self, ptr: *const f32) {
        // SAFETY: the instruction is present, and a prefetch may name any address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(ptr.cast()) };
    }
}
