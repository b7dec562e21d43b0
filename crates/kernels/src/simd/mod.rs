//! A small vector trait, so that each kernel is written once and compiled for
//! every family of instructions.
//!
//! A kernel is a value that implements [`Kernel`]; [`dispatch`] compiles its
//! `run` for AVX-512, for AVX2 and for the target's baseline, and calls the one
//! that the context asks for. For that to work, everything below `run` must be
//! `#[inline(always)]`: only then does it end up inside the function that is
//! allowed to use the instructions.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod pairs;
mod portable;

use crate::isa::{Context, Isa};

/// The most lanes any family has: the length that tables by lane are made for.
pub(crate) const MAX_LANES: usize = 16;

/// A family of vector instructions. A value of the type is the proof that this
/// machine has them, so arithmetic is safe to call; memory is not.
///
/// `ptr` arguments of masked operations need to be valid for the lanes of the
/// mask only.
pub(crate) trait Simd: Copy {
    /// Values in a vector.
    const LANES: usize;
    /// Vector registers: what a register tile has to fit into.
    const REGISTERS: usize;
    /// `LANES` values.
    type Vector: Copy;
    /// The first lanes, as many as [`Simd::mask`] was told.
    type Mask: Copy;

    /// The same value in every lane.
    fn splat(self, value: f32) -> Self::Vector;
    /// `a + b`.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a - b`.
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, rounded once where the machine can.
    fn fma(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// Lane `j` of the result is lane `lanes[j]` of `a`; every entry of `lanes`
    /// up to `LANES` must be below `LANES` (else the result is unspecified).
    fn permute(self, a: Self::Vector, lanes: &[u32; MAX_LANES]) -> Self::Vector;
    /// A mask of the first `count` lanes, `count <= LANES`.
    fn mask(self, count: usize) -> Self::Mask;

    /// Reads `LANES` values.
    ///
    /// # Safety
    /// `ptr` is valid for reading `LANES` values.
    unsafe fn load(self, ptr: *const f32) -> Self::Vector;
    /// Writes `LANES` values.
    ///
    /// # Safety
    /// `ptr` is valid for writing `LANES` values.
    unsafe fn store(self, ptr: *mut f32, a: Self::Vector);
    /// Reads the lanes of `mask`; the others are zero.
    ///
    /// # Safety
    /// `ptr` is valid for reading as many values as the mask has lanes.
    unsafe fn load_masked(self, ptr: *const f32, mask: Self::Mask) -> Self::Vector;
    /// Writes the lanes of `mask` and nothing else.
    ///
    /// # Safety
    /// `ptr` is valid for writing as many values as the mask has lanes.
    unsafe fn store_masked(self, ptr: *mut f32, a: Self::Vector, mask: Self::Mask);

    /// Asks for the cache line at `ptr`, which need not be valid, to be read.
    fn prefetch(self, ptr: *const f32);
    /// Asks for the cache line at `ptr`, which need not be valid, to be written.
    fn prefetch_for_write(self, ptr: *const f32);
}

/// Work that is written once for every family of instructions. `run` and all
/// it calls are `#[inline(always)]`.
pub(crate) trait Kernel {
    /// Does the work.
    fn run<S: Simd>(self, simd: S);
}

/// Runs `kernel` with the instructions of `ctx`.
#[inline]
pub(crate) fn dispatch<K: Kernel>(ctx: &Context, kernel: K) {
    match ctx.isa() {
        // SAFETY: a context exists only for instructions that this machine has.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { run_avx512(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { run_avx2(kernel) },
        #[cfg(test)]
        Isa::Wide => kernel.run(portable::Wide {}),
        _ => kernel.run(portable::Portable {}),
    }
}

/// The same for a kernel that does nothing with its factors but multiply them:
/// they may be pairs of bf16, where `ctx` says so.
#[inline]
pub(crate) fn dispatch_products<K: Kernel>(ctx: &Context, kernel: K) {
    if !ctx.multiplies_pairs() {
        return dispatch(ctx, kernel);
    }
    match ctx.isa() {
        // SAFETY: a context multiplies pairs only where this machine does.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { run_avx512_pairs(kernel) },
        // SAFETY: plain Rust needs no instructions.
        #[cfg(test)]
        Isa::Wide => kernel.run(unsafe { pairs::Pairs::new(portable::Wide {}) }),
        other => unreachable!("{} does not multiply pairs", other.name()),
    }
}

/// # Safety
/// This machine has the instructions named in the attribute.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512bf16,avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
unsafe fn run_avx512_pairs<K: Kernel>(kernel: K) {
    // SAFETY: the caller's promise.
    kernel.run(unsafe { pairs::Pairs::new(avx512::Avx512::new()) });
}

/// # Safety
/// This machine has the instructions named in the attribute.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
unsafe fn run_avx512<K: Kernel>(kernel: K) {
    // SAFETY: the caller's promise.
    kernel.run(unsafe { avx512::Avx512::new() });
}

/// # Safety
/// This machine has the instructions named in the attribute.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2<K: Kernel>(kernel: K) {
    // SAFETY: the caller's promise.
    kernel.run(unsafe { avx2::Avx2::new() });
}

/// Values in a vector of `isa`.
pub(crate) const fn lanes(isa: Isa) -> usize {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512::Avx512::LANES,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::Avx2::LANES,
        #[cfg(test)]
        Isa::Wide => portable::Wide::LANES,
        _ => portable::Portable::LANES,
    }
}

/// Vector registers of `isa`.
pub(crate) const fn registers(isa: Isa) -> usize {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512::Avx512::REGISTERS,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::Avx2::REGISTERS,
        #[cfg(test)]
        Isa::Wide => portable::Wide::REGISTERS,
        _ => portable::Portable::REGISTERS,
    }
}

/// Evaluates `$body` with the constant `$name` equal to the run-time value
/// `$value`, which must be one of the literals listed: how a loop bound
/// becomes the extent of a register tile.
macro_rules! with_constant {
    ($name:ident = $value:expr, in [$($literal:literal)*] => $body:expr) => {
        match $value {
            $($literal => { const $name: usize = $literal; $body })*
            other => unreachable!("{} = {other} has no register tile", stringify!($name)),
        }
    };
}
pub(crate) use with_constant;

/// Evaluates `$body` once for each of the literals, with the constant `$name`
/// equal to it: a loop that is certain to be unrolled.
macro_rules! unrolled {
    ($name:ident in [$($literal:literal)*] => $body:expr) => {
        $({ const $name: usize = $literal; $body })*
    };
}
pub(crate) use unrolled;

/// Writes `sum` to `place`, or adds it to what is there unless it `is_first`.
///
/// # Safety
/// `place` is valid for reading and writing a vector.
#[inline(always)]
pub(crate) unsafe fn put_sum<S: Simd>(s: S, place: *mut f32, sum: S::Vector, is_first: bool) {
    // SAFETY: the caller's promise.
    unsafe { s.store(place, if is_first { sum } else { s.add(s.load(place), sum) }) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation once, against plain Rust.
    struct Check;

    impl Kernel for Check {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let source: [f32; MAX_LANES] = std::array::from_fn(|j| j as f32 + 1.0);
            let mut lanes = [0; MAX_LANES];
            for (j, lane) in lanes.iter_mut().enumerate() {
                *lane = ((j * 3 + 1) % S::LANES) as u32;
            }
            for count in 0..=S::LANES {
                let mut target = [-1.0; MAX_LANES];
                let mask = s.mask(count);
                // SAFETY: both arrays hold at least LANES values.
                unsafe {
                    let a = s.load(source.as_ptr());
                    let b = s.load_masked(source.as_ptr(), mask);
                    let c = s.sub(s.add(s.permute(a, &lanes), s.splat(1.0)), s.splat(0.5));
                    s.store_masked(target.as_mut_ptr(), s.fma(a, b, c), mask);
                }
                for (j, &found) in target.iter().enumerate() {
                    let v = source[j];
                    let expected = if j < count { v * v + source[lanes[j] as usize] + 0.5 } else { -1.0 };
                    assert_eq!(found, expected, "lane {j} of {count}");
                }
                // SAFETY: `target` holds at least LANES values.
                unsafe { s.store(target.as_mut_ptr(), s.load_masked(source.as_ptr(), mask)) };
                for (j, &found) in target.iter().enumerate().take(S::LANES) {
                    assert_eq!(found, if j < count { source[j] } else { 0.0 }, "lane {j} of {count}");
                }
            }
        }
    }

    #[test]
    fn vectors_do_what_plain_rust_does() {
        for isa in Isa::available() {
            dispatch(&Context::new(isa).unwrap(), Check);
        }
    }
}
