//! Every formula of `statistics` against scipy, statsmodels and numpy (`tools/statistics-fixtures.py`), and the promise of
//! its intervals by simulation.

use decouple_reporting::statistics::*;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    samples: Vec<Sample>,
    pairs: Vec<Pair>,
    residuals: Vec<ResidualCase>,
    best: Vec<Best>,
    detectable: Vec<Detectable>,
    corrected: Vec<Corrected>,
    bootstraps: Vec<Bootstrap>,
    interactions: Vec<Interaction>,
    seeds: Vec<Seeds>,
}

#[derive(Deserialize)]
struct Sample {
    values: Vec<f64>,
    mean: f64,
    sd: f64,
    confidence: f64,
    interval: [f64; 2],
}

#[derive(Deserialize)]
struct Pair {
    a: Vec<Option<f64>>,
    b: Vec<Option<f64>>,
    mean: f64,
    sd: f64,
    interval: [f64; 2],
    correlation: f64,
    p: f64,
    margin: f64,
    equivalence_p: f64,
    equivalence_margin: f64,
}

#[derive(Deserialize)]
struct Corrected {
    p: Vec<f64>,
    holm: Vec<f64>,
}

#[derive(Deserialize)]
struct Bootstrap {
    values: Vec<f64>,
    interval: [f64; 2],
}

#[derive(Deserialize)]
struct Interaction {
    cells: Vec<Vec<Vec<Option<f64>>>>,
    f: f64,
    numerator_df: usize,
    denominator_df: usize,
    p: f64,
}

#[derive(Deserialize)]
struct Seeds {
    residual_sd: f64,
    difference: f64,
    confidence: f64,
    chance: f64,
    power_of_ten: f64,
    seeds: usize,
}

#[derive(Deserialize)]
struct ResidualCase {
    table: Vec<Vec<Option<f64>>>,
    sd: f64,
    degrees_of_freedom: usize,
}

#[derive(Deserialize)]
struct Best {
    table: Vec<Vec<Option<f64>>>,
    probability: Vec<f64>,
}

#[derive(Deserialize)]
struct Detectable {
    residual_sd: f64,
    pairs: usize,
    degrees_of_freedom: usize,
    confidence: f64,
    difference: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/statistics.json")).unwrap()
}

#[track_caller]
fn close(ours: f64, theirs: f64, tolerance: f64) {
    assert!((ours - theirs).abs() <= tolerance * theirs.abs().max(1e-3), "{ours} against {theirs}");
}

#[track_caller]
fn same_interval(ours: Option<Interval>, theirs: [f64; 2]) {
    let ours = ours.unwrap();
    close(ours.low, theirs[0], 1e-9);
    close(ours.high, theirs[1], 1e-9);
}

#[test]
fn mean_sd_and_interval_are_those_of_scipy() {
    for case in fixture().samples {
        close(mean(&case.values).unwrap(), case.mean, 1e-12);
        close(sd(&case.values).unwrap(), case.sd, 1e-9);
        same_interval(t_interval(&case.values, case.confidence), case.interval);
    }
}

#[test]
fn paired_difference_is_that_of_scipy() {
    for case in fixture().pairs {
        let ours = paired_difference(&case.a, &case.b, 0.95).unwrap();
        assert_eq!(ours.pairs, case.a.len());
        close(ours.mean, case.mean, 1e-9);
        close(ours.sd.unwrap(), case.sd, 1e-9);
        same_interval(ours.interval, case.interval);
        close(ours.correlation.unwrap(), case.correlation, 1e-9);
    }
}

#[test]
fn tests_of_a_difference_are_those_of_scipy_and_statsmodels() {
    for case in fixture().pairs {
        let ours = paired_difference(&case.a, &case.b, 0.95).unwrap();
        let (error, df) = (ours.sd.unwrap() / (ours.pairs as f64).sqrt(), ours.pairs - 1);
        close(difference_p(ours.mean, error, df).unwrap(), case.p, 1e-9);
        close(equivalence_p(ours.mean, error, df, case.margin).unwrap(), case.equivalence_p, 1e-9);
        let margin = equivalence_margin(ours.mean, error, df, 0.95).unwrap();
        close(margin, case.equivalence_margin, 1e-9);
        close(equivalence_p(ours.mean, error, df, margin).unwrap(), 0.05, 1e-6);
    }
    assert_eq!(difference_p(0.1, 0.0, 2), Some(0.0), "no spread leaves no doubt");
    assert_eq!(difference_p(0.0, 0.0, 2), Some(1.0));
    assert_eq!(difference_p(0.1, 0.1, 0), None);
}

#[test]
fn corrected_p_values_are_those_of_statsmodels() {
    for case in fixture().corrected {
        for (ours, theirs) in holm(&case.p).iter().zip(case.holm) {
            close(*ours, theirs, 1e-12);
        }
    }
    assert!(holm(&[]).is_empty());
}

#[test]
fn the_bootstrap_interval_counts_every_resample() {
    for case in fixture().bootstraps {
        same_interval(bca_interval(&case.values, 0.95), case.interval);
    }
    assert_eq!(bca_interval(&[0.5], 0.95), None);
    assert_eq!(bca_interval(&[0.5, 0.5, 0.5], 0.95), Some(Interval { low: 0.5, high: 0.5 }));
}

#[test]
fn the_interaction_test_is_that_of_statsmodels() {
    for mut case in fixture().interactions {
        let ours = interaction_test(&case.cells).unwrap();
        close(ours.f, case.f, 1e-9);
        close(ours.p, case.p, 1e-8);
        assert_eq!((ours.numerator_df, ours.denominator_df), (case.numerator_df, case.denominator_df));
        // A seed that one point did not finish counts at none.
        case.cells.iter_mut().flatten().for_each(|cell| cell.push(Some(0.5)));
        case.cells[1][1][4] = None;
        assert_eq!(interaction_test(&case.cells), Some(ours));
    }
    assert_eq!(interaction_test(&[vec![vec![Some(1.0); 3]; 4]]), None, "one value is no axis");
}

#[test]
fn power_and_seeds_are_those_of_statsmodels() {
    for case in fixture().seeds {
        let shift = case.difference / (2f64.sqrt() * case.residual_sd) * 10f64.sqrt();
        close(power(shift, 9, case.confidence).unwrap(), case.power_of_ten, 1e-4);
        let ours = seeds_needed(case.residual_sd, 2, case.difference, case.confidence, case.chance);
        assert_eq!(ours, Some(case.seeds));
    }
    assert_eq!(seeds_needed(0.004, 6, 0.0, 0.95, 0.8), None, "no number of seeds sees nothing");
    assert_eq!(seeds_needed(1e-9, 6, 0.1, 0.95, 0.8), Some(2), "two are the fewest");
}

#[test]
fn a_seed_that_only_one_point_finished_is_no_pair() {
    let whole = paired_difference(&[Some(3.0), Some(5.0)], &[Some(1.0), Some(2.0)], 0.95).unwrap();
    let gaps = paired_difference(
        &[Some(3.0), None, Some(5.0), Some(9.0)],
        &[Some(1.0), Some(7.0), Some(2.0), None],
        0.95,
    );
    assert_eq!(gaps, Some(whole));
    assert_eq!(paired_difference(&[Some(1.0), None], &[None, Some(1.0)], 0.95), None);
}

#[test]
fn the_additive_residual_is_that_of_least_squares() {
    for case in fixture().residuals {
        let ours = additive_residual(&case.table).unwrap();
        assert_eq!(ours.degrees_of_freedom, case.degrees_of_freedom);
        close(ours.sd, case.sd, 1e-9);
    }
}

#[test]
fn for_two_points_the_residual_is_the_spread_of_their_difference() {
    for case in fixture().pairs {
        let residual = additive_residual(&[case.a, case.b]).unwrap();
        close(residual.paired_sd(), case.sd, 1e-9);
    }
}

#[test]
fn probability_best_counts_every_resample() {
    for case in fixture().best {
        for (ours, theirs) in probability_best(&case.table).unwrap().iter().zip(case.probability) {
            close(*ours, theirs, 1e-12);
        }
    }
}

#[test]
fn probability_best_by_drawing_agrees_with_counting() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let eight: Vec<Vec<Option<f64>>> =
        (0..3).map(|_| (0..8).map(|_| Some(normal(&mut random))).collect()).collect();
    // The same eight seeds twice: 16 are too many to count, and the means scatter by 1/sqrt(2) as much, so
    // only the order of the points has to agree.
    let sixteen: Vec<Vec<Option<f64>>> =
        eight.iter().map(|row| row.iter().chain(row).copied().collect()).collect();
    let (counted, drawn) = (probability_best(&eight).unwrap(), probability_best(&sixteen).unwrap());
    close(drawn.iter().sum(), 1.0, 1e-9);
    assert_eq!(probability_best(&sixteen).unwrap(), drawn, "drawn from a fixed stream");
    let order = |p: &[f64]| {
        let mut index: Vec<usize> = (0..p.len()).collect();
        index.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
        index
    };
    assert_eq!(order(&counted), order(&drawn));
}

#[test]
fn a_tie_is_shared_and_one_seed_says_nothing() {
    let tie = vec![vec![Some(0.5), Some(0.7)]; 2];
    assert_eq!(probability_best(&tie), Some(vec![0.5, 0.5]));
    assert_eq!(probability_best(&[vec![Some(0.5)], vec![Some(0.6)]]), None);
    assert_eq!(t_interval(&[0.5], 0.95), None);
    assert_eq!(sd(&[0.5]), None);
    assert_eq!(mean(&[]), None);
}

#[test]
fn the_detectable_difference_is_that_of_the_noncentral_t() {
    for case in fixture().detectable {
        let residual = Residual { sd: case.residual_sd, degrees_of_freedom: case.degrees_of_freedom };
        close(detectable_difference(residual, case.pairs, case.confidence).unwrap(), case.difference, 1e-4);
    }
}

/// A standard normal draw by Box and Muller.
fn normal(random: &mut ChaCha8Rng) -> f64 {
    let uniform = |random: &mut ChaCha8Rng| (f64::from(random.next_u32()) + 0.5) / 4294967296.0;
    let (radius, angle) = ((-2.0 * uniform(random).ln()).sqrt(), std::f64::consts::TAU * uniform(random));
    radius * angle.cos()
}

/// Of 4,000 intervals at 95 %, 3,800 should hold the truth; the count scatters by sqrt(4000 .95 .05) = 14,
/// so five of those are allowed on either side.
#[test]
fn ninety_five_of_a_hundred_intervals_hold_the_truth() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for n in [2, 3, 8] {
        let held = (0..4000)
            .filter(|_| {
                let values: Vec<f64> = (0..n).map(|_| 0.9 + 0.01 * normal(&mut random)).collect();
                t_interval(&values, 0.95).unwrap().contains(0.9)
            })
            .count();
        assert!((3731..=3869).contains(&held), "{held} of 4000 at n = {n}");
    }
}

/// The same for the difference of two points out of five over three seeds, with the pooled spread and seeds
/// that shift all points together.
#[test]
fn pooled_intervals_hold_the_true_difference() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let held = (0..4000)
        .filter(|_| {
            let seeds: Vec<f64> = (0..3).map(|_| 0.02 * normal(&mut random)).collect();
            let table: Vec<Vec<Option<f64>>> = (0..5)
                .map(|point| {
                    seeds
                        .iter()
                        .map(|seed| Some(0.01 * f64::from(point) + seed + 0.005 * normal(&mut random)))
                        .collect()
                })
                .collect();
            let residual = additive_residual(&table).unwrap();
            let difference = paired_difference(&table[4], &table[1], 0.95).unwrap().mean;
            residual.interval(difference, 3, 0.95).unwrap().contains(0.03)
        })
        .count();
    assert!((3731..=3869).contains(&held), "{held} of 4000");
}

/// What the documentation of `bca_interval` says of few seeds, and that it comes right with many.
#[test]
fn bootstrap_intervals_are_too_narrow_for_few_seeds() {
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let mut held = |n: usize, times: usize| {
        let hits = (0..times).filter(|_| {
            let values: Vec<f64> = (0..n).map(|_| 0.9 + 0.01 * normal(&mut random)).collect();
            bca_interval(&values, 0.95).unwrap().contains(0.9)
        });
        hits.count() as f64 / times as f64
    };
    let (three, six, forty) = (held(3, 2000), held(6, 1000), held(40, 200));
    assert!((0.70..0.80).contains(&three), "{three} at n = 3");
    assert!((0.82..0.92).contains(&six), "{six} at n = 6");
    assert!((0.88..=0.99).contains(&forty), "{forty} at n = 40");
}

/// Five equal points over four seeds: one false alarm or more in at most 5 % of families after Holm's
/// correction (in 4,000 the count scatters by 14), and far more without it. And equivalence claimed within a
/// margin that a true difference just reaches: wrong in at most 5 %.
#[test]
fn corrected_tests_raise_few_false_alarms() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let (mut raw, mut corrected, mut equivalent) = (0, 0, 0);
    for _ in 0..4000 {
        let mut row = |shift: f64| -> Vec<Option<f64>> {
            (0..4).map(|_| Some(shift + 0.01 * normal(&mut random))).collect()
        };
        let (table, far) = (vec![row(0.0), row(0.0), row(0.0), row(0.0), row(0.0)], row(0.02));
        let residual = additive_residual(&table).unwrap();
        let error = residual.standard_error(&[1.0, -1.0], 4);
        let p: Vec<f64> = (1..5)
            .map(|k| {
                let difference = paired_difference(&table[k], &table[0], 0.95).unwrap().mean;
                difference_p(difference, error, residual.degrees_of_freedom).unwrap()
            })
            .collect();
        raw += usize::from(p.iter().any(|p| *p <= 0.05));
        corrected += usize::from(holm(&p).iter().any(|p| *p <= 0.05));
        let pair = [far, table[0].clone()];
        let residual = additive_residual(&pair).unwrap();
        let difference = paired_difference(&pair[0], &pair[1], 0.95).unwrap().mean;
        let error = residual.standard_error(&[1.0, -1.0], 4);
        equivalent += usize::from(equivalence_p(difference, error, 3, 0.02).unwrap() <= 0.05);
    }
    assert!(corrected <= 269, "{corrected} of 4000 families");
    assert!(raw > 400, "{raw} of 4000 families without correction");
    assert!(equivalent <= 269, "{equivalent} of 4000");
}

/// Effects that only add up, over four seeds: the test cries interaction in 5 % of cases.
#[test]
fn the_interaction_test_keeps_its_level() {
    let mut random = ChaCha8Rng::seed_from_u64(6);
    let found = (0..4000)
        .filter(|_| {
            let cells: Vec<Vec<Vec<Option<f64>>>> = (0..3)
                .map(|i| {
                    (0..2)
                        .map(|j| {
                            let mean = 0.02 * f64::from(i) - 0.01 * f64::from(j);
                            (0..4).map(|_| Some(mean + 0.01 * normal(&mut random))).collect()
                        })
                        .collect()
                })
                .collect();
            interaction_test(&cells).unwrap().p <= 0.05
        })
        .count();
    assert!((131..=269).contains(&found), "{found} of 4000");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_table_is_answered_without_a_panic(
        table in proptest::collection::vec(
            proptest::collection::vec(proptest::option::of(-1e3..1e3f64), 4), 0..6),
    ) {
        if let Some(residual) = additive_residual(&table) {
            prop_assert!(residual.sd.is_finite());
            let _ = detectable_difference(residual, 4, 0.99);
        }
        if let Some(probability) = probability_best(&table) {
            prop_assert!((probability.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
        for pair in table.windows(2) {
            if let Some(difference) = paired_difference(&pair[0], &pair[1], 0.95) {
                prop_assert!(difference.correlation.is_none_or(|r| (-1.0..=1.0).contains(&r)));
            }
        }
    }
}
