//! One register of eight lanes, with fused multiply-add.

use std::arch::x86_64::*;

use super::Simd;

/// Proof that this machine has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// This machine has AVX2 and FMA.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }
}

// In every method: the arithmetic is sound because a value of `Avx2` exists,
// and memory is as the trait demands of the caller.
impl Simd for Avx2 {
    type Vector = __m256;

    const WIDTH: usize = 8;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: the instructions are present.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the instructions are present.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the instructions are present.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the instructions are present.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn where_positive(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the instructions are present. "Not less or equal" is true of NaN.
        unsafe { _mm256_and_ps(_mm256_cmp_ps::<_CMP_NLE_UQ>(a, _mm256_setzero_ps()), b) }
    }

    #[inline(always)]
    fn larger(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the instructions are present. The maximum is `b` if either is NaN; if `a` is
        // NaN, `a` is wanted.
        unsafe { _mm256_blendv_ps(_mm256_max_ps(a, b), a, _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a)) }
    }

    #[inline(always)]
    fn part_equal(self, a: __m256, b: __m256, c: __m256) -> [__m256; 2] {
        // SAFETY: the instructions are present.
        unsafe {
            let is_equal = _mm256_cmp_ps::<_CMP_EQ_UQ>(a, b);
            [_mm256_and_ps(is_equal, c), _mm256_andnot_ps(is_equal, c)]
        }
    }

    #[inline(always)]
    fn flush(self, a: __m256) -> __m256 {
        // SAFETY: the instructions are present. "Not less" is true of NaN.
        unsafe {
            let (sign, least) = (_mm256_set1_ps(-0.0), _mm256_set1_ps(f32::MIN_POSITIVE));
            let is_kept = _mm256_cmp_ps::<_CMP_NLT_UQ>(_mm256_andnot_ps(sign, a), least);
            _mm256_and_ps(a, _mm256_or_ps(is_kept, sign))
        }
    }

    #[inline(always)]
    fn halves(self, a: __m256) -> [__m256; 2] {
        // SAFETY: the instructions are present.
        unsafe {
            let even = _mm256_slli_epi32::<16>(_mm256_castps_si256(a));
            let odd = _mm256_and_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(!0xffff)));
            [_mm256_castsi256_ps(even), odd]
        }
    }

    #[inline(always)]
    fn sum(self, a: __m256) -> f32 {
        // SAFETY: the instructions are present.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    unsafe fn load(self, ptr: *const f32) -> __m256 {
        // SAFETY: the instructions are present; the caller guarantees that `ptr` is valid.
        unsafe { _mm256_loadu_ps(ptr) }
    }

    #[inline(always)]
    unsafe fn store(self, ptr: *mut f32, a: __m256) {
        // SAFETY: the instructions are present; the caller guarantees that `ptr` is valid.
        unsafe { _mm256_storeu_ps(ptr, a) }
    }

    #[inline(always)]
    fn fetch(self, ptr: *const f32) {
        // SAFETY: the instruction is present, and a prefetch may name any address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(ptr.cast()) };
    }
}
