//! Eight lanes, sixteen registers, fused multiply-add.

use std::arch::x86_64::*;

use super::{MAX_LANES, Simd};

/// Proof that this machine has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// This machine has AVX2 and FMA.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

/// The first lanes, and how many. Stores do without the masked instruction,
/// which is microcoded on AMD and takes as long as some twenty plain ones.
#[derive(Clone, Copy)]
pub(super) struct Mask {
    lanes: __m256i,
    count: usize,
}

// In every method: the arithmetic is sound because a value of `Avx2` exists,
// and memory is as the trait demands of the caller.
impl Simd for Avx2 {
    const LANES: usize = 8;
    const REGISTERS: usize = 16;
    type Vector = __m256;
    type Mask = Mask;

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
    fn permute(self, a: __m256, lanes: &[u32; MAX_LANES]) -> __m256 {
        // SAFETY: the instructions are present and `lanes` holds more than 8 indices.
        unsafe { _mm256_permutevar8x32_ps(a, _mm256_loadu_si256(lanes.as_ptr().cast())) }
    }

    #[inline(always)]
    fn mask(self, count: usize) -> Mask {
        /// Eight set lanes, then eight clear ones: a mask is a window of it.
        static WINDOW: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
        let window = &WINDOW[Self::LANES - count..][..Self::LANES];
        // SAFETY: the instructions are present and `window` holds 8 values.
        let lanes = unsafe { _mm256_loadu_si256(window.as_ptr().cast()) };
        Mask { lanes, count }
    }

    #[inline(always)]
    unsafe fn load(self, ptr: *const f32) -> __m256 {
        // SAFETY: the instructions are present; the caller vouches for `ptr`.
        unsafe { _mm256_loadu_ps(ptr) }
    }

    #[inline(always)]
    unsafe fn store(self, ptr: *mut f32, a: __m256) {
        // SAFETY: the instructions are present; the caller vouches for `ptr`.
        unsafe { _mm256_storeu_ps(ptr, a) }
    }

    #[inline(always)]
    unsafe fn load_masked(self, ptr: *const f32, mask: Mask) -> __m256 {
        // SAFETY: the instructions are present; the caller vouches for `ptr`.
        unsafe { _mm256_maskload_ps(ptr, mask.lanes) }
    }

    #[inline(always)]
    unsafe fn store_masked(self, ptr: *mut f32, a: __m256, mask: Mask) {
        // SAFETY: the instructions are present; the caller vouches for as many
        // values at `ptr` as the mask has lanes.
        unsafe {
            if mask.count == Self::LANES {
                return _mm256_storeu_ps(ptr, a);
            }
            let mut values = [0.0; Self::LANES];
            _mm256_storeu_ps(values.as_mut_ptr(), a);
            std::ptr::copy_nonoverlapping(values.as_ptr(), ptr, mask.count);
        }
    }

    #[inline(always)]
    fn prefetch(self, ptr: *const f32) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(ptr.cast()) }
    }

    #[inline(always)]
    fn prefetch_for_write(self, ptr: *const f32) {
        // Not every machine with AVX2 can prefetch for writing.
        self.prefetch(ptr);
    }
}
