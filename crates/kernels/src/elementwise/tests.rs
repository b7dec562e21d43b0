use proptest::prelude::*;

use super::*;
use crate::checks::{assert_close, double, on_all, values};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn value_by_value_operations_are_their_definitions(len in 0_usize..100, seed in any::<u64>()) {
        let (a, b) = (values(seed, len), values(seed ^ 1, len));
        let [sum, accumulated, scaled, in_place] = on_all(|ctx| {
            let mut results = [vec![f32::NAN; len], a.clone(), vec![f32::NAN; len], a.clone()];
            add(ctx, &a, &b, &mut results[0]).unwrap();
            accumulate(ctx, &mut results[1], &b).unwrap();
            scale(ctx, 0.3, &a, &mut results[2]).unwrap();
            scale_in_place(ctx, 0.3, &mut results[3]);
            results
        });
        let exact: Vec<f64> = double(&a).iter().zip(double(&b)).map(|(a, b)| a + b).collect();
        assert_close("sum", &sum, &exact, 1e-7);
        prop_assert_eq!(accumulated, sum);
        let exact: Vec<f64> = double(&a).iter().map(|a| a * f64::from(0.3_f32)).collect();
        assert_close("scaled", &scaled, &exact, 1e-7);
        prop_assert_eq!(in_place, scaled);
    }

    #[test]
    fn bias_and_its_gradient_are_their_definitions(
        rows in prop_oneof![0_usize..30, 500_usize..1500],
        channels in prop::sample::select(vec![1_usize, 2, 5, 16, 63, 64, 100]),
        seed in any::<u64>(),
    ) {
        let (x, bias) = (values(seed, rows * channels), values(seed ^ 1, channels));
        let (y, grad_bias) = on_all(|ctx| {
            let (mut y, mut grad_bias) = (x.clone(), vec![f32::NAN; channels]);
            add_bias(ctx, &bias, &mut y).unwrap();
            bias_gradient(ctx, &x, &mut grad_bias).unwrap();
            (y, grad_bias)
        });
        let exact: Vec<f64> =
            x.iter().enumerate().map(|(i, &x)| f64::from(x) + f64::from(bias[i % channels])).collect();
        assert_close("y", &y, &exact, 1e-7);
        let exact: Vec<f64> =
            (0..channels).map(|c| double(&x).iter().skip(c).step_by(channels).sum()).collect();
        // Errors of a sum grow like a random walk.
        assert_close("grad_bias", &grad_bias, &exact, 1e-6 * (rows as f64).sqrt().max(10.0));
    }

    #[test]
    fn concat_places_every_channel_and_split_undoes_it(
        channels in prop::collection::vec(0_usize..20, 1..5),
        rows in 0_usize..40,
        seed in any::<u64>(),
    ) {
        let total: usize = channels.iter().sum();
        prop_assume!(total > 0);
        let maps: Vec<_> = channels.iter().map(|&channels| values(seed ^ channels as u64, rows * channels)).collect();
        let parts: Vec<_> = maps.iter().map(Vec::as_slice).zip(channels.iter().copied()).collect();
        let (y, back) = on_all(|ctx| {
            let mut y = vec![f32::NAN; rows * total];
            concat(ctx, &parts, &mut y).unwrap();
            let mut back: Vec<_> = maps.iter().map(|map| vec![f32::NAN; map.len()]).collect();
            let mut slices: Vec<_> = back.iter_mut().map(Vec::as_mut_slice).zip(channels.iter().copied()).collect();
            split(ctx, &y, &mut slices).unwrap();
            (y, back)
        });
        let row = |row: usize| parts.iter().flat_map(move |(map, channels)| &map[row * channels..][..*channels]);
        prop_assert_eq!(y, (0..rows).flat_map(row).copied().collect::<Vec<_>>());
        prop_assert_eq!(back, maps);
    }
}

#[test]
fn several_chunks_give_the_same_on_all_threads() {
    let (a, channels) = (values(1, 5 * CHUNK + 60), 20);
    let (y, part) = on_all(|ctx| {
        let (mut y, mut part) =
            (vec![f32::NAN; 2 * a.len()], (vec![f32::NAN; a.len()], vec![f32::NAN; a.len()]));
        concat(ctx, &[(&a, channels), (&a, channels)], &mut y).unwrap();
        split(ctx, &y, &mut [(&mut part.0, channels), (&mut part.1, channels)]).unwrap();
        (y, part)
    });
    assert!(part.0 == a && part.1 == a);
    let rows = y.chunks(2 * channels).zip(a.chunks(channels));
    assert!(rows.into_iter().all(|(y, a)| &y[..channels] == a && &y[channels..] == a));
}

#[test]
fn dropout_drops_its_rate_and_keeps_the_mean() {
    let len = 3 * CHUNK + 11;
    for rate in [0.0, 0.2, 0.5, 0.9] {
        let dropout = Dropout::new(rate, 7).unwrap();
        let (y, grad_x) = on_all(|ctx| {
            let (mut y, mut grad_x) = (vec![f32::NAN; len], vec![f32::NAN; len]);
            dropout.forward(ctx, &vec![1.0; len], &mut y).unwrap();
            dropout.backward(ctx, &vec![3.0; len], &mut grad_x).unwrap();
            (y, grad_x)
        });
        let kept = y.iter().filter(|&&y| y != 0.0).count() as f64 / len as f64;
        // Four standard deviations of the binomial distribution.
        let spread = 4.0 * (f64::from(rate) * (1.0 - f64::from(rate)) / len as f64).sqrt();
        assert!((kept - (1.0 - f64::from(rate))).abs() <= spread, "rate {rate}: kept {kept}");
        assert!(y.iter().all(|&y| y == 0.0 || y == 1.0 / (1.0 - rate)));
        assert!(y.iter().zip(&grad_x).all(|(y, grad_x)| (grad_x - 3.0 * y).abs() <= 1e-6 * grad_x));
    }
}

#[test]
fn dropout_masks_are_those_of_splitmix64_and_differ_between_seeds() {
    // The first numbers of the stream of seed 1234567, a published test vector.
    let published = [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
    for (i, number) in (1..).zip(published) {
        assert_eq!(dropout::mix(1_234_567_u64.wrapping_add(dropout::STEP.wrapping_mul(i))), number);
    }
    let mask = |seed| {
        let mut y = vec![0.0; 1000];
        Dropout::new(0.5, seed).unwrap().forward(&Context::best(), &[1.0; 1000], &mut y).unwrap();
        y
    };
    let (a, b) = (mask(1), mask(2));
    let equal = a.iter().zip(&b).filter(|(a, b)| a == b).count();
    assert!((400..600).contains(&equal), "{equal} of 1000 equal");
    // No seed's mask is another's, shifted by one.
    assert_ne!(a[1..100], b[..99]);
}

#[test]
fn lengths_and_rates_are_checked() {
    let ctx = Context::best();
    let error = add(&ctx, &[1.0; 2], &[1.0; 3], &mut [0.0; 2]).unwrap_err();
    assert_eq!(error.to_string(), "add: `b` has 3 values, expected 2");
    assert!(accumulate(&ctx, &mut [0.0; 2], &[1.0]).is_err());
    assert!(scale(&ctx, 2.0, &[0.0; 2], &mut [0.0]).is_err());
    assert!(add_bias(&ctx, &[1.0; 2], &mut [0.0; 3]).is_err());
    assert_eq!(add_bias(&ctx, &[], &mut [0.0; 3]).unwrap_err().argument, "channels");
    assert!(bias_gradient(&ctx, &[1.0; 3], &mut [0.0; 2]).is_err());
    assert!(concat(&ctx, &[(&[1.0; 2], 1), (&[1.0; 3], 1)], &mut [0.0; 4]).is_err());
    assert!(split(&ctx, &[1.0; 4], &mut [(&mut [0.0; 3], 2)]).is_err());
    assert!(concat(&ctx, &[], &mut []).is_err());
    for rate in [-0.1, 1.0, f32::NAN] {
        assert!(Dropout::new(rate, 0).is_err(), "{rate}");
    }
    assert_eq!(
        Dropout::new(1.5, 0).unwrap_err().to_string(),
        "dropout: a rate of 1.5 is not at least 0 and below 1"
    );
}
