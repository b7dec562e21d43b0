//! The machine's peak rate of multiply-adds, with which kernels are compared.

use std::time::Instant;

use crate::{
    isa::Isa,
    layout::LANES,
    simd::{Kernel, Simd, dispatch},
};

/// Steps of one measurement, about half a millisecond.
const STEPS: usize = 1 << 18;

/// Multiply-adds per second that the threads of rayon's current pool reach
/// together with the instructions of `isa`: the best of a few measurements of
/// a loop that touches no memory. Takes about 10 ms; a second or more where a multiply-add
/// is a function call.
pub fn macs_per_sec(isa: Isa) -> f64 {
    // Sums in twelve registers of AVX-512 or AVX2: more than latency times issue width of any known core.
    if isa.is_avx512() { rate(isa, Chains::<12>) } else { rate(isa, Chains::<6>) }
}

fn rate<const N: usize>(isa: Isa, chains: Chains<N>) -> f64 {
    let threads = rayon::current_num_threads();
    let run = |_| {
        let start = Instant::now();
        rayon::broadcast(|_| dispatch(isa, chains));
        let macs = threads * STEPS * N * LANES;
        macs as f64 / start.elapsed().as_secs_f64()
    };
    (0..16).map(run).fold(0.0, f64::max)
}

/// Sums that do not wait for each other.
#[derive(Clone, Copy)]
struct Chains<const N: usize>;

impl<const N: usize> Kernel for Chains<N> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut sums = [s.splat(std::hint::black_box(0.5)); N];
        let (factor, addend) = (s.splat(std::hint::black_box(0.999)), s.splat(std::hint::black_box(0.001)));
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = s.fma(*sum, factor, addend);
            }
        }
        let mut total = s.splat(0.0);
        for sum in sums {
            total = s.add(total, sum);
        }
        std::hint::black_box(s.to_array(total));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_plausible() {
        let rate = macs_per_sec(Isa::best());
        assert!(rate > 1e8 && rate < 1e14, "{rate} multiply-adds per second");
    }
}
