use proptest::prelude::*;

use super::{reference, *};
use crate::{
    checks::{assert_close, assert_gradient, dot, double, on_all, values},
    isa::Context,
};

const EPSILON: f32 = 1e-3;

/// Shapes around the widths of vectors and the sizes of blocks and parts.
fn shapes() -> impl Strategy<Value = (usize, usize)> {
    let channels = prop::sample::select(vec![1, 2, 3, 7, 16, 17, 31, 63, 64, 65, 130]);
    let rows = prop_oneof![1_usize..20, 60_usize..70, 500_usize..1500];
    (rows, channels)
}

/// Mean and variance by the kernel.
fn moments(ctx: &Context, channels: usize, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (mut mean, mut variance) = (vec![f32::NAN; channels], vec![f32::NAN; channels]);
    statistics(ctx, x, &mut mean, &mut variance).unwrap();
    (mean, variance)
}

/// `(grad_x, grad_gamma, grad_beta)` by the kernel.
fn gradients(
    ctx: &Context,
    normalization: Normalization<'_>,
    x: &[f32],
    grad_y: &[f32],
    training: bool,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let channels = normalization.mean.len();
    let kernel = if training { backward } else { backward_inference };
    let mut grad_x = vec![f32::NAN; x.len()];
    let (mut grad_gamma, mut grad_beta) = (vec![f32::NAN; channels], vec![f32::NAN; channels]);
    let with_gamma = normalization.gamma.is_some().then_some(&mut grad_gamma[..]);
    kernel(ctx, normalization, x, grad_y, &mut grad_x, with_gamma, &mut grad_beta).unwrap();
    if normalization.gamma.is_none() {
        grad_gamma.clear();
    }
    (grad_x, grad_gamma, grad_beta)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn statistics_are_the_reference((rows, channels) in shapes(), seed in any::<u64>(), offset in -3_i32..5) {
        // A mean of up to ten thousand standard deviations.
        let offset = if offset < 0 { 0.0 } else { 10.0_f32.powi(offset) };
        let x: Vec<f32> = values(seed, rows * channels).iter().map(|x| x + offset).collect();
        let (mean, variance) = on_all(|ctx| moments(ctx, channels, &x));
        let exact = reference::statistics(channels, &double(&x));
        assert_close("mean", &mean, &exact.0, 1e-7);
        for (found, exact) in variance.iter().zip(&exact.1) {
            prop_assert!((f64::from(*found) - exact).abs() <= 1e-5 * exact, "{found} should be {exact}");
        }
    }

    #[test]
    fn gradients_are_the_reference(
        (rows, channels) in shapes(),
        seed in any::<u64>(),
        training: bool,
        with_gamma: bool,
    ) {
        let (x, grad_y) = (values(seed, rows * channels), values(seed ^ 1, rows * channels));
        let gamma = with_gamma.then(|| values(seed ^ 2, channels));
        let exact_gamma = gamma.as_deref().map_or(vec![1.0; channels], double);
        // Frozen statistics are not the batch's.
        let (mean, variance) = if training {
            moments(&Context::best(), channels, &x)
        } else {
            (values(seed ^ 3, channels), values(seed ^ 4, channels).iter().map(|v| v.abs()).collect())
        };
        let mut inverse = vec![f32::NAN; channels];
        inverse_std(&variance, EPSILON, &mut inverse).unwrap();
        let normalization = Normalization { mean: &mean, inverse_std: &inverse, gamma: gamma.as_deref() };
        let (grad_x, grad_gamma, grad_beta) =
            on_all(|ctx| gradients(ctx, normalization, &x, &grad_y, training));
        let exact = if training {
            reference::statistics(channels, &double(&x))
        } else {
            (double(&mean), double(&variance))
        };
        let exact = reference::backward(
            &double(&x), &double(&grad_y), &exact, f64::from(EPSILON), &exact_gamma, training,
        );
        // Without a variance the inverse deviation is 32 times any rounding.
        assert_close("grad_x", &grad_x, &exact.0, 2e-5);
        if with_gamma {
            assert_close("grad_gamma", &grad_gamma, &exact.1, 2e-5);
        }
        assert_close("grad_beta", &grad_beta, &exact.2, 2e-5);
    }

    #[test]
    fn apply_is_the_reference((rows, channels) in shapes(), seed in any::<u64>(), with_gamma: bool) {
        let x = values(seed, rows * channels);
        let gamma = with_gamma.then(|| values(seed ^ 1, channels));
        let (beta, mean) = (values(seed ^ 2, channels), values(seed ^ 3, channels));
        let variance: Vec<f32> = values(seed ^ 4, channels).iter().map(|v| v.abs()).collect();
        let [y, rectified, elu] = on_all(|ctx| {
            let (mut scale, mut shift) = (vec![f32::NAN; channels], vec![f32::NAN; channels]);
            fold(gamma.as_deref(), &beta, &mean, &variance, EPSILON, &mut scale, &mut shift).unwrap();
            let mut y = [vec![f32::NAN; x.len()], vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]];
            apply(ctx, &x, &scale, &shift, &mut y[0]).unwrap();
            apply_activated(ctx, Activation::Relu, &x, &scale, &shift, &mut y[1]).unwrap();
            apply_activated(ctx, Activation::Elu, &x, &scale, &shift, &mut y[2]).unwrap();
            y
        });
        let exact = reference::normalize(
            &double(&x),
            &(double(&mean), double(&variance)),
            f64::from(EPSILON),
            &gamma.as_deref().map_or(vec![1.0; channels], double),
            &double(&beta),
        );
        // Values are below 64, and so is what cancels in them.
        assert_close("y", &y, &exact, 2e-5);
        prop_assert!(rectified.iter().zip(&y).all(|(&rectified, &y)| rectified == y.max(0.0)));
        let exact: Vec<f64> = exact.iter().map(|&y| if y > 0.0 { y } else { y.exp_m1() }).collect();
        assert_close("elu", &elu, &exact, 2e-5);
    }
}

#[test]
fn reference_gradients_are_the_finite_differences() {
    let (channels, epsilon) = (3, 1e-3);
    let (x, grad_y) = (double(&values(1, 15)), double(&values(2, 15)));
    let (gamma, beta) = (double(&values(3, channels)), double(&values(4, channels)));
    let frozen = (double(&values(5, channels)), vec![0.3, 0.2, 0.9]);
    for training in [true, false] {
        let moments = |x: &[f64]| if training { reference::statistics(channels, x) } else { frozen.clone() };
        let loss = |x: &[f64], gamma: &[f64], beta: &[f64]| {
            dot(&reference::normalize(x, &moments(x), epsilon, gamma, beta), &grad_y)
        };
        let grads = reference::backward(&x, &grad_y, &moments(&x), epsilon, &gamma, training);
        assert_gradient("x", &x, &grads.0, |x| loss(x, &gamma, &beta));
        assert_gradient("gamma", &gamma, &grads.1, |gamma| loss(&x, gamma, &beta));
        assert_gradient("beta", &beta, &grads.2, |beta| loss(&x, &gamma, beta));
    }
}

#[test]
fn one_value_a_channel_stays_finite() {
    let ctx = Context::best();
    let (mean, variance) = moments(&ctx, 3, &[1.0, -2.0, 1e6]);
    assert_eq!((&*mean, &*variance), (&[1.0, -2.0, 1e6][..], &[0.0; 3][..]));
    let mut inverse = [0.0; 3];
    inverse_std(&variance, EPSILON, &mut inverse).unwrap();
    let normalization = Normalization { mean: &mean, inverse_std: &inverse, gamma: None };
    let (grad_x, _, grad_beta) = gradients(&ctx, normalization, &[1.0, -2.0, 1e6], &[1.0, 2.0, 3.0], true);
    assert_eq!((grad_x, grad_beta), (vec![0.0; 3], vec![1.0, 2.0, 3.0]));
    let mut running = ([0.0; 3], [1.0; 3]);
    update_running(0.1, RunningVariance::Unbiased, 1, &mean, &variance, &mut running.0, &mut running.1)
        .unwrap();
    assert!(running.1.iter().all(|variance| (variance - 0.9).abs() < 1e-6), "{running:?}");
}

#[test]
fn a_first_value_far_from_the_others_costs_no_digits() {
    // Deviations are first taken from the first value: the worst one to choose.
    let mut x: Vec<f32> = values(8, 20_000).iter().map(|x| 1000.0 + x).collect();
    x[0] = 0.0;
    x[1] = 1e5;
    let (mean, variance) = on_all(|ctx| moments(ctx, 2, &x));
    let exact = reference::statistics(2, &double(&x));
    for c in 0..2 {
        assert!((f64::from(mean[c]) / exact.0[c] - 1.0).abs() < 1e-7, "mean {}", mean[c]);
        assert!((f64::from(variance[c]) / exact.1[c] - 1.0).abs() < 1e-5, "variance {}", variance[c]);
    }
}

#[test]
fn a_value_that_is_not_a_number_shows_in_its_channel_only() {
    let mut x = values(9, 4000);
    x[1302] = f32::NAN;
    let (mean, variance) = on_all(|ctx| {
        let (mean, variance) = moments(ctx, 2, &x);
        assert!(mean[0].is_nan() && variance[0].is_nan());
        (mean[1], variance[1])
    });
    assert!(mean.is_finite() && variance.is_finite());
}

#[test]
fn scratch_is_used_again() {
    let (ctx, x) = (Context::best(), values(9, 640));
    let ones = [1.0; 5];
    let normalization = Normalization { mean: &[0.0; 5], inverse_std: &ones, gamma: Some(&ones) };
    let step = || {
        moments(&ctx, 5, &x);
        apply(&ctx, &x, &ones, &ones, &mut vec![0.0; x.len()]).unwrap();
        gradients(&ctx, normalization, &x, &x, true);
        ctx.pool.peak_bytes()
    };
    let first = step();
    assert!(first > 0);
    assert_eq!([step(), step()], [first; 2]);
}

#[test]
fn running_statistics_follow_either_convention() {
    for (kind, expected) in [(RunningVariance::Biased, 1.75), (RunningVariance::Unbiased, 2.0)] {
        let (mut mean, mut variance) = ([4.0], [1.0]);
        update_running(0.25, kind, 5, &[8.0], &[4.0], &mut mean, &mut variance).unwrap();
        assert_eq!((mean, variance), ([5.0], [expected]));
    }
}

#[test]
fn lengths_are_checked() {
    let ctx = Context::best();
    let error = statistics(&ctx, &[1.0; 5], &mut [0.0; 2], &mut [0.0; 2]).unwrap_err();
    assert_eq!(error.to_string(), "batch norm statistics: `x` has 5 values, expected 6");
    assert!(statistics(&ctx, &[], &mut [0.0; 2], &mut [0.0; 2]).is_err());
    assert!(statistics(&ctx, &[], &mut [], &mut []).is_err());
    assert!(apply(&ctx, &[1.0; 4], &[1.0; 2], &[1.0; 3], &mut [0.0; 4]).is_err());
    assert!(fold(Some(&[1.0]), &[0.0; 2], &[0.0; 2], &[0.0; 2], 0.0, &mut [0.0; 2], &mut [0.0; 2]).is_err());
    let normalization = Normalization { mean: &[0.0; 2], inverse_std: &[1.0; 2], gamma: None };
    let error = backward(&ctx, normalization, &[1.0; 4], &[1.0; 2], &mut [0.0; 4], None, &mut [0.0; 2]);
    assert_eq!(error.unwrap_err().argument, "grad_y");
}
