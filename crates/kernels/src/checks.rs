//! What the tests of all kernels share: made-up values, every instruction set
//! at one and two threads, comparison with f64, and finite differences.

use rayon::ThreadPoolBuilder;

use crate::isa::{Context, Isa};

/// `len` values in (-1, 1), evenly spread, a function of `seed`.
pub(crate) fn values(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        // xorshift64 (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// The same values in f64.
pub(crate) fn double(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// Runs `kernel` with every instruction set of this machine on one thread and
/// on two, asserts that the results are the same bits, and returns them.
pub(crate) fn on_all<T: PartialEq + std::fmt::Debug + Send>(kernel: impl Fn(&Context) -> T + Sync) -> T {
    let mut runs = Isa::available().filter_map(Context::new).flat_map(|ctx| {
        [1, 2].map(|threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            ((ctx.isa(), threads), pool.install(|| kernel(&ctx)))
        })
    });
    let (_, first) = runs.next().expect("the portable instruction set");
    for (how, result) in runs {
        assert_eq!(result, first, "{how:?}");
    }
    first
}

/// Asserts that every value is within `tolerance` of the exact one, relative to
/// the larger of it and one.
pub(crate) fn assert_close(what: &str, found: &[f32], exact: &[f64], tolerance: f64) {
    assert_eq!(found.len(), exact.len(), "{what}: length");
    for (i, (&found, &exact)) in found.iter().zip(exact).enumerate() {
        let error = (f64::from(found) - exact).abs();
        let allowed = tolerance * exact.abs().max(1.0);
        assert!(error <= allowed, "{what}[{i}] is {found}, should be {exact}");
    }
}

/// Asserts that `grad` is the gradient of `loss` at `x`, by central differences.
pub(crate) fn assert_gradient(what: &str, x: &[f64], grad: &[f64], loss: impl Fn(&[f64]) -> f64) {
    const STEP: f64 = 1e-4;
    assert_eq!(x.len(), grad.len(), "{what}: length");
    for (i, &grad) in grad.iter().enumerate() {
        let at = |change: f64| {
            let mut x = x.to_vec();
            x[i] += change;
            loss(&x)
        };
        let slope = (at(STEP) - at(-STEP)) / (2.0 * STEP);
        assert!(
            (slope - grad).abs() <= 1e-6 * grad.abs().max(1.0),
            "{what}[{i}] is {grad}, should be {slope}"
        );
    }
}

/// `sum(a * b)`: the loss whose gradient with regard to `a` is `b`.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
