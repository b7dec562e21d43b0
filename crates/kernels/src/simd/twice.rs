//! Two vectors as one.

use super::Simd;

/// The operations of `S` on two vectors, the lower lanes first.
#[derive(Clone, Copy)]
pub(crate) struct Twice<S>(pub(crate) S);

impl<S: Simd> Simd for Twice<S> {
    type Vector = [S::Vector; 2];

    const WIDTH: usize = 2 * S::WIDTH;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Vector {
        [self.0.splat(value); 2]
    }

    #[inline(always)]
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        [self.0.add(a[0], b[0]), self.0.add(a[1], b[1])]
    }

    #[inline(always)]
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        [self.0.sub(a[0], b[0]), self.0.sub(a[1], b[1])]
    }

    #[inline(always)]
    fn fma(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        [self.0.fma(a[0], b[0], c[0]), self.0.fma(a[1], b[1], c[1])]
    }

    #[inline(always)]
    fn where_positive(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        [self.0.where_positive(a[0], b[0]), self.0.where_positive(a[1], b[1])]
    }

    #[inline(always)]
    fn larger(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        [self.0.larger(a[0], b[0]), self.0.larger(a[1], b[1])]
    }

    #[inline(always)]
    fn part_equal(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> [Self::Vector; 2] {
        let (low, high) = (self.0.part_equal(a[0], b[0], c[0]), self.0.part_equal(a[1], b[1], c[1]));
        [[low[0], high[0]], [low[1], high[1]]]
    }

    #[inline(always)]
    fn flush(self, a: Self::Vector) -> Self::Vector {
        [self.0.flush(a[0]), self.0.flush(a[1])]
    }

    #[inline(always)]
    fn halves(self, a: Self::Vector) -> [Self::Vector; 2] {
        let (low, high) = (self.0.halves(a[0]), self.0.halves(a[1]));
        [[low[0], high[0]], [low[1], high[1]]]
    }

    #[inline(always)]
    fn sum(self, a: Self::Vector) -> f32 {
        self.0.sum(self.0.add(a[0], a[1]))
    }

    #[inline(always)]
    unsafe fn load(self, ptr: *const f32) -> Self::Vector {
        // SAFETY: the caller guarantees that `ptr` is valid for both.
        unsafe { [self.0.load(ptr), self.0.load(ptr.add(S::WIDTH))] }
    }

    #[inline(always)]
    unsafe fn store(self, ptr: *mut f32, a: Self::Vector) {
        // SAFETY: the caller guarantees that `ptr` is valid for both.
        unsafe {
            self.0.store(ptr, a[0]);
            self.0.store(ptr.add(S::WIDTH), a[1]);
        }
    }

    #[inline(always)]
    fn fetch(self, ptr: *const f32) {
        self.0.fetch(ptr);
    }
}
