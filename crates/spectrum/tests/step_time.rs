//! Widths found by clocks that are told what to say.

use decouple_kernels::geometry::MapShape;
use decouple_spectrum::{
    budget::step_time::{MOST_MEASUREMENTS, Nearest, StepTime, TimedPair, solve},
    network::NetworkSpec,
    segments::Segments,
};
use proptest::prelude::*;

const FASHION: MapShape = MapShape::new(28, 28, 1);

/// The reference's time in these tests.
const REFERENCE_SECS: f64 = 0.02;

fn exactly(secs: f64) -> TimedPair {
    let time = |median_secs| StepTime { median_secs, quartiles_secs: 0.0, steps: 9 };
    TimedPair { network: time(secs), reference: time(REFERENCE_SECS) }
}

fn spec(segments: Segments) -> NetworkSpec {
    NetworkSpec { segments: segments.into(), ..NetworkSpec::default() }
}

fn macs(spec: &NetworkSpec) -> f64 {
    spec.graph(FASHION, 10).unwrap().cost().macs as f64
}

/// What is found where `clock` says how many seconds a network takes, and the
/// networks that were measured.
fn found(segments: Segments, mut clock: impl FnMut(&NetworkSpec) -> f64) -> (Nearest, Vec<NetworkSpec>) {
    let reference = macs(&spec(Segments::PerChannel)) as u64;
    let mut measured = Vec::new();
    let compare = |network: &NetworkSpec| {
        measured.push(network.clone());
        Ok::<_, std::convert::Infallible>(exactly(clock(network)))
    };
    let nearest = solve(&spec(segments), FASHION, 10, reference, compare).unwrap();
    (nearest, measured)
}

/// No network is measured twice, and the one found is the nearest of all.
fn check(nearest: &Nearest, measured: &[NetworkSpec]) {
    assert!(measured.len() <= MOST_MEASUREMENTS);
    for (index, network) in measured.iter().enumerate() {
        assert!(!measured[..index].contains(network), "measured twice: {network:?}");
    }
    assert!(measured.contains(&nearest.spec));
    let typed = NetworkSpec { segments: nearest.spec.segments.clone(), ..NetworkSpec::default() };
    assert!(nearest.spec.is_another_width_of(&typed));
}

/// Seconds that grow with the multiply-adds as `power`, `factor` times the
/// reference's time where the multiply-adds are equal.
fn smooth(factor: f64, power: f64) -> impl Fn(&NetworkSpec) -> f64 {
    let unit = macs(&spec(Segments::PerChannel));
    move |network| factor * REFERENCE_SECS * (macs(network) / unit).powf(power)
}

#[test]
fn a_step_is_the_median_of_its_repetitions() {
    let time = StepTime::of(vec![5.0, 1.0, 2.0, 100.0, 3.0]);
    assert_eq!(time, StepTime { median_secs: 3.0, quartiles_secs: 3.0, steps: 5 });
    let quiet = StepTime { median_secs: 2.0, quartiles_secs: 0.1, steps: 100 };
    let comparison = TimedPair { network: time, reference: quiet };
    assert_eq!(comparison.ratio(), 1.5);
    let (own, reference) = (0.93 / 5f64.sqrt(), 0.93 * 0.05 / 10.0);
    assert!((comparison.spread() - own.hypot(reference)).abs() < 1e-12);
}

#[test]
fn time_that_follows_the_multiply_adds_takes_one_measurement() {
    let (nearest, measured) = found(Segments::Count(4), smooth(1.0, 1.0));
    assert!(nearest.comparison.meets_budget());
    assert_eq!(measured.len(), 1);
}

#[test]
fn a_slow_kernel_is_given_a_narrower_network_and_a_fast_one_a_wider() {
    for (factor, most) in [(8.0, 8), (2.0, 5), (0.5, 5), (0.1, 8)] {
        let (nearest, measured) = found(Segments::Count(4), smooth(factor, 1.0));
        check(&nearest, &measured);
        assert!(nearest.comparison.meets_budget(), "{factor}: {}", nearest.comparison);
        assert!(measured.len() <= most, "{factor}: {} measurements", measured.len());
    }
}

#[test]
fn a_step_in_the_time_is_told_as_what_came_nearest() {
    // One channel more in the middle flow takes a vector more: half as long again.
    let clock = |network: &NetworkSpec| {
        let middle = network.entry[network.entry.len() - 1];
        REFERENCE_SECS * if middle > 48 { 1.3 } else { 0.8 }
    };
    let (nearest, measured) = found(Segments::Count(4), clock);
    check(&nearest, &measured);
    assert!(!nearest.comparison.meets_budget());
    assert_eq!(nearest.comparison.ratio(), 0.8);
}

#[test]
fn what_no_width_can_reach_is_told_as_what_came_nearest() {
    let (narrowest, measured) = found(Segments::Count(1), |_| 2.0 * REFERENCE_SECS);
    assert_eq!(narrowest.comparison.ratio(), 2.0);
    let last = measured.last().unwrap();
    assert_eq!((last.stem, last.exit), (1, 1));
    let (widest, measured) = found(Segments::Count(1), |_| 0.5 * REFERENCE_SECS);
    assert_eq!(widest.comparison.ratio(), 0.5);
    check(&widest, &measured);
}

#[test]
fn a_clock_that_fails_is_heard() {
    let compare = |_: &NetworkSpec| Err::<TimedPair, _>("the clock stands");
    let error = solve(&spec(Segments::PerChannel), FASHION, 10, 1_000_000, compare).unwrap_err();
    assert_eq!(error.to_string(), "the clock stands");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Waves in the time (some widths fit the vectors, others do not) and noise
    /// that the clock cannot see still lead to a network near the budget.
    #[test]
    fn noise_and_waves_do_not_lead_astray(
        factor in 0.3f64..4.0,
        power in 0.6f64..1.4,
        wave in 0.0f64..0.1,
        seed in any::<u64>(),
    ) {
        let mut state = seed;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / (1u64 << 31) as f64 - 0.5
        };
        let time = smooth(factor, power);
        let clock = |network: &NetworkSpec| {
            let middle = network.entry[network.entry.len() - 1];
            time(network) * (1.0 + wave * (middle % 16) as f64 / 16.0) * (1.0 + 0.02 * noise())
        };
        let (nearest, measured) = found(Segments::Count(8), clock);
        check(&nearest, &measured);
        prop_assert!((nearest.comparison.ratio() - 1.0).abs() < 0.12, "{}", nearest.comparison);
    }
}
