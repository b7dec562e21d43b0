//! Sixteen values at a time, on every processor.
//!
//! A kernel is written once over [`Simd`] and compiled for AVX-512, for AVX2 and for the
//! target's baseline. Its vectors have sixteen values everywhere (`Twice` those of a register of
//! AVX2), but for the gradient of the weights, which needs the registers for sums and takes one
//! half of the lanes after the other. Every multiply-add is fused, so that each result is one sum
//! in one order: the same bits on every machine.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
#[cfg(target_arch = "x86_64")]
mod twice;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub(crate) use twice::Twice;

use crate::{isa::Isa, layout::LANES};

/// A family of vector instructions. A value of the type is the proof that this
/// machine has them, so arithmetic is safe to call; memory is not.
pub(crate) trait Simd: Copy {
    /// [`Self::WIDTH`] values.
    type Vector: Copy;

    /// Lanes of a vector: sixteen, or a part of them.
    const WIDTH: usize;

    /// The same value in every lane.
    fn splat(self, value: f32) -> Self::Vector;
    /// `a + b`.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a - b`.
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `b` where `a` is positive or not a number, else zero.
    fn where_positive(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The larger of two; NaN wins.
    fn larger(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `c` split in two: where `a` equals `b` or either is NaN, and elsewhere.
    fn part_equal(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> [Self::Vector; 2];
    /// `a`, but zero of the same sign for what is smaller than a normal number.
    fn flush(self, a: Self::Vector) -> Self::Vector;
    /// The factors of each lane's [`pair`], as f32.
    fn halves(self, a: Self::Vector) -> [Self::Vector; 2];
    /// `c` plus the products of the second factors and then of the first ones of pairs: two fused
    /// multiply-adds, of which each takes and gives zero for what is smaller than a normal number.
    #[inline(always)]
    fn dot(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        dot(self, a, b, c)
    }
    /// The sum of the lanes, halves first: the same tree on every machine.
    fn sum(self, a: Self::Vector) -> f32;
    /// The sixteen lanes.
    #[inline(always)]
    fn to_array(self, a: Self::Vector) -> [f32; LANES] {
        const { assert!(Self::WIDTH == LANES) };
        let mut lanes = [0.0; LANES];
        // SAFETY: `lanes` holds as many values as a vector.
        unsafe { self.store(lanes.as_mut_ptr(), a) };
        lanes
    }
    /// A vector of these sixteen lanes.
    #[inline(always)]
    fn of_array(self, a: [f32; LANES]) -> Self::Vector {
        const { assert!(Self::WIDTH == LANES) };
        // SAFETY: `a` holds as many values as a vector.
        unsafe { self.load(a.as_ptr()) }
    }

    /// Reads a vector.
    ///
    /// # Safety
    /// `ptr` is valid for reading [`Self::WIDTH`] values.
    unsafe fn load(self, ptr: *const f32) -> Self::Vector;
    /// Writes a vector.
    ///
    /// # Safety
    /// `ptr` is valid for writing [`Self::WIDTH`] values.
    unsafe fn store(self, ptr: *mut f32, a: Self::Vector);
    /// Prefetches `ptr`, which need not be valid, into the second-level cache.
    #[inline(always)]
    fn fetch(self, _ptr: *const f32) {}
}

/// Work that is written once for every instruction set. `run` and everything it calls are
/// `#[inline(always)]`, since only then are they compiled inside the function that may use the
/// instructions.
pub(crate) trait Kernel {
    /// Does the work.
    fn run<S: Simd>(self, simd: S);
}

/// Runs `kernel` with the instructions of `isa`, on vectors of sixteen values.
#[inline]
pub(crate) fn dispatch<K: Kernel>(isa: Isa, kernel: K) {
    #[cfg(target_arch = "x86_64")]
    {
        if isa.is_avx512() {
            // SAFETY: a value of `Isa` exists only for instructions that this machine has.
            return unsafe { run_avx512(kernel) };
        }
        if isa.is_avx2() {
            // SAFETY: as above.
            return unsafe { run_avx2(kernel) };
        }
    }
    assert!(isa == Isa::PORTABLE, "no kernels for {}", isa.name());
    kernel.run(Portable::<LANES>);
}

/// # Safety
/// This machine has the instructions named in the attribute.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
unsafe fn run_avx512<K: Kernel>(kernel: K) {
    // SAFETY: the caller's promise.
    kernel.run(unsafe { Avx512::<false>::new() });
}

/// # Safety
/// This machine has the instructions named in the attribute.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2<K: Kernel>(kernel: K) {
    // SAFETY: the caller's promise.
    kernel.run(Twice(unsafe { Avx2::new() }));
}

/// Repeats `$body` with the constant `$i` equal to each of the literals that is below `$n`: a
/// loop that is certain to be unrolled, so that the arrays it indexes stay in registers.
macro_rules! unrolled {
    ($i:ident in [$($literal:literal)*] below $n:expr => $body:block) => {
        $(if const { $literal < $n } { const $i: usize = $literal; $body })*
    };
}
pub(crate) use unrolled;

/// [`Simd::dot`] where no instruction does it.
#[inline(always)]
fn dot<S: Simd>(s: S, a: S::Vector, b: S::Vector, c: S::Vector) -> S::Vector {
    let ([a_even, a_odd], [b_even, b_odd]) = (s.halves(a), s.halves(b));
    let odd = s.flush(s.fma(a_odd, b_odd, s.flush(c)));
    s.flush(s.fma(a_even, b_even, odd))
}

/// Two values, rounded to the nearest bf16, as the 32 bits of one f32: the first in the lower half.
/// What is smaller than a normal number becomes zero.
#[inline(always)]
pub(crate) fn pair(even: f32, odd: f32) -> f32 {
    f32::from_bits(bf16(even) | bf16(odd) << 16)
}

#[inline(always)]
fn bf16(value: f32) -> u32 {
    // Comparisons of whole numbers, which compilers make vectors of.
    let (bits, sign) = (value.to_bits(), value.to_bits() & 1 << 31);
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    let number = if bits ^ sign > f32::INFINITY.to_bits() { bits | 1 << 22 } else { nearest };
    (if bits ^ sign < f32::MIN_POSITIVE.to_bits() { sign } else { number }) >> 16
}

/// The sum of lanes, halves first.
#[inline(always)]
fn sum_lanes<const N: usize>(mut a: [f32; N]) -> f32 {
    let mut half = N / 2;
    while half > 0 {
        for lane in 0..half {
            a[lane] += a[lane + half];
        }
        half /= 2;
    }
    a[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation once, against plain Rust.
    struct Check;

    impl Kernel for Check {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let a: [f32; LANES] = std::array::from_fn(|i| i as f32 - 7.5);
            let b: [f32; LANES] = std::array::from_fn(|i| 1.0 + i as f32 * 0.37);
            let (x, y) = (s.of_array(a), s.of_array(b));
            let each = |f: &dyn Fn(f32, f32) -> f32| std::array::from_fn::<f32, LANES, _>(|i| f(a[i], b[i]));
            assert_eq!(s.to_array(s.splat(2.5)), [2.5; LANES]);
            // Lanes whose sum depends on the order.
            let uneven: [f32; LANES] =
                std::array::from_fn(|i| (1.0 + i as f32 * 0.37) * (i as f32 * 1.7).exp2());
            assert_eq!(s.sum(s.of_array(uneven)), sum_lanes(uneven));
            assert_eq!(s.to_array(s.add(x, y)), each(&|a, b| a + b));
            assert_eq!(s.to_array(s.sub(x, y)), each(&|a, b| a - b));
            assert_eq!(s.to_array(s.fma(x, y, x)), each(&|a, b| a.mul_add(b, a)));
            assert_eq!(s.to_array(s.where_positive(x, y)), each(&|a, b| if a > 0.0 { b } else { 0.0 }));
            assert_eq!(s.to_array(s.larger(x, y)), each(&|a, b| if a > b { a } else { b }));
            let nan = s.splat(f32::NAN);
            assert!(
                s.to_array(s.larger(nan, y)).iter().chain(&s.to_array(s.larger(y, nan))).all(|v| v.is_nan())
            );
            let mut c = b;
            c[3] = a[3];
            let [equal, rest] = s.part_equal(x, s.of_array(c), y).map(|part| s.to_array(part));
            assert_eq!(equal, std::array::from_fn(|i| if i == 3 { b[3] } else { 0.0 }));
            assert_eq!(rest, std::array::from_fn(|i| if i == 3 { 0.0 } else { b[i] }));
            assert_eq!(s.part_equal(nan, y, y).map(|part| s.to_array(part)), [b, [0.0; LANES]]);
            let nan = s.to_array(s.where_positive(s.splat(f32::NAN), y));
            assert_eq!(nan, b, "a value that is not a number lets the gradient pass");
            assert_eq!(s.to_array(s.where_positive(s.splat(-0.0), y)), [0.0; LANES]);
            let mut written = [0.0; LANES + 2];
            // SAFETY: both places hold sixteen values.
            unsafe { s.store(written[1..].as_mut_ptr(), s.load(b.as_ptr())) };
            assert_eq!(written[1..=LANES], b);
            assert_eq!((written[0], written[LANES + 1]), (0.0, 0.0));
        }
    }

    #[test]
    fn vectors_do_what_plain_rust_does() {
        for isa in Isa::available() {
            dispatch(isa, Check);
        }
    }

    /// Pairs of many values, small and large ones among them, and their sums.
    struct Dot<'a>(&'a mut Vec<u32>);

    impl Kernel for Dot<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let mut state = 1_u64;
            let mut value = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let bits = (state >> 32) as u32;
                // A third near one, a third whose products are near the smallest normal number, a third anything.
                let exponent = match state % 3 {
                    0 => 120 + (bits >> 23) % 16,
                    1 => 56 + (bits >> 23) % 16,
                    _ => (bits >> 23) % 255,
                };
                f32::from_bits(bits & 0x807f_ffff | exponent << 23)
            };
            for _ in 0..20_000 {
                let [a, b, c, d, e]: [[f32; LANES]; 5] =
                    std::array::from_fn(|_| std::array::from_fn(|_| value()));
                let pairs = |even: [f32; LANES], odd: [f32; LANES]| {
                    s.of_array(std::array::from_fn(|lane| pair(even[lane], odd[lane])))
                };
                let ([x, y], e) = ([pairs(a, b), pairs(c, d)], s.of_array(e));
                let small = s.to_array(s.dot(x, y, s.splat(0.0)));
                let sums = s.to_array(s.dot(x, y, e));
                self.0.extend(s.to_array(x).iter().chain(&small).chain(&sums).map(|sum| sum.to_bits()));
            }
        }
    }

    #[test]
    fn products_of_pairs_are_the_same_bits_on_every_processor() {
        let mut found: Vec<Vec<u32>> = Vec::new();
        for isa in Isa::available() {
            let mut sums = Vec::new();
            dispatch(isa, Dot(&mut sums));
            found.push(sums);
            #[cfg(target_arch = "x86_64")]
            if isa.has_bf16() {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,avx2,fma")]
                unsafe fn run(kernel: Dot<'_>) {
                    // SAFETY: the caller's promise.
                    kernel.run(unsafe { Avx512::<true>::new() });
                }
                let mut sums = Vec::new();
                // SAFETY: the machine has the instructions.
                unsafe { run(Dot(&mut sums)) };
                found.push(sums);
            }
        }
        for other in &found[1..] {
            let differs = found[0].iter().zip(other).position(|(a, b)| a != b);
            assert_eq!(differs.map(|at| (at, found[0][at], other[at])), None);
        }
    }

    #[test]
    fn pairs_are_rounded_to_the_nearest() {
        let halves = |even: f32, odd: f32| {
            let bits = pair(even, odd).to_bits();
            [bits << 16, bits & !0xffff].map(f32::from_bits)
        };
        assert_eq!(halves(1.0, -2.5), [1.0, -2.5]);
        // Between two neighbours, the even one.
        assert_eq!(halves(1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0), [1.0, 1.0 + 4.0 / 256.0]);
        assert_eq!(halves(f32::MAX, f32::MIN_POSITIVE / 2.0), [f32::INFINITY, 0.0]);
        assert!(halves(f32::NAN, -0.0)[0].is_nan());
    }

    #[test]
    fn lanes_are_summed_in_halves() {
        let lanes: [f32; LANES] = std::array::from_fn(|i| (i as f32).exp2());
        assert_eq!(sum_lanes(lanes), 65_535.0);
    }
}
