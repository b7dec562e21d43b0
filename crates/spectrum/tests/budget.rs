//! Every point of the spectrum meets every budget, or says what it has.

use decouple_kernels::geometry::MapShape;
use decouple_spectrum::budget::{BudgetError, Quantity, Solved, TOLERANCE, solve};
use decouple_spectrum::module::{NormPlacement, Order};
use decouple_spectrum::network::NetworkSpec;
use decouple_spectrum::segments::{Schedule, Segments};
use proptest::prelude::*;

const FASHION: MapShape = MapShape::new(28, 28, 1);
/// How near the nearest network is where none meets the budget of [`TOLERANCE`].
const NEARLY: f64 = 0.02;
const QUANTITIES: [Quantity; 3] = [Quantity::Parameters, Quantity::Macs, Quantity::Activations];

fn at(spec: &NetworkSpec, segments: impl Into<Schedule>) -> NetworkSpec {
    NetworkSpec { segments: segments.into(), ..spec.clone() }
}

fn cost_of(spec: &NetworkSpec, hold: Quantity) -> u64 {
    hold.of(&spec.graph(FASHION, 10).unwrap().cost())
}

fn points() -> Vec<Segments> {
    let counts = [1, 2, 3, 4, 5, 7, 8, 16, 32, 64, 128].map(Segments::Count);
    let levels = [0.0, 0.25, 0.5, 0.75, 1.0].map(Segments::Level);
    let sizes = [1, 2, 8, 24].map(Segments::ChannelsPerSegment);
    [&counts[..], &levels, &sizes, &[Segments::PerChannel]].concat()
}

fn check(spec: &NetworkSpec, solved: &Solved, hold: Quantity, target: u64) {
    let graph = solved.spec.graph(FASHION, 10).unwrap();
    assert_eq!(solved.cost, graph.cost());
    assert_eq!(solved.reached, hold.of(&solved.cost));
    assert_eq!((solved.target, solved.spec.width), (target, 1.0));
    assert!(solved.relative_error().abs() <= TOLERANCE, "{hold}, {}: {solved:?}", spec.segments);
    // The counts are those of one width, each moved by at most two channels.
    let channels = |spec: &NetworkSpec| [vec![spec.stem, spec.exit], spec.entry.clone()].concat();
    for (typed, found) in channels(spec).into_iter().zip(channels(&solved.spec)) {
        assert!((typed as f64 * solved.width - found as f64).abs() <= 2.5);
    }
}

#[test]
fn the_whole_spectrum_meets_every_budget_of_the_reference() {
    for order in [Order::PointwiseFirst, Order::SpatialFirst] {
        for norm in [NormPlacement::Module, NormPlacement::Both] {
            let reference = NetworkSpec { order, norm, ..NetworkSpec::default() };
            for hold in QUANTITIES {
                let target = cost_of(&reference, hold);
                for segments in points() {
                    let spec = at(&reference, segments);
                    check(&spec, &solve(&spec, FASHION, 10, hold, target).unwrap(), hold, target);
                }
            }
        }
    }
}

#[test]
fn the_reference_keeps_its_width() {
    for width in [1.0, 0.35, 1.7] {
        let reference = NetworkSpec { width, ..NetworkSpec::default() };
        for hold in QUANTITIES {
            let solved = solve(&reference, FASHION, 10, hold, cost_of(&reference, hold)).unwrap();
            assert_eq!((solved.width, solved.relative_error()), (width, 0.0));
            assert_eq!(solved.cost, reference.graph(FASHION, 10).unwrap().cost());
        }
    }
}

#[test]
fn coupled_networks_are_narrower_at_equal_parameters() {
    let reference = NetworkSpec::default();
    let target = cost_of(&reference, Quantity::Parameters);
    let width = |count| {
        let spec = at(&reference, Segments::Count(count));
        solve(&spec, FASHION, 10, Quantity::Parameters, target).unwrap().width
    };
    let widths = [1, 2, 3, 4, 8, 16, 32, 64].map(width);
    assert!(widths.is_sorted() && widths[0] < 0.4 && widths[7] < 1.0, "{widths:?}");
}

#[test]
fn a_schedule_of_stages_meets_the_budget_too() {
    let reference = NetworkSpec::default();
    let list = vec![
        Segments::Count(1),
        Segments::Count(3),
        Segments::Level(0.5),
        Segments::Count(8),
        Segments::PerChannel,
    ];
    let spec = at(&reference, Schedule::PerStage(list));
    for hold in QUANTITIES {
        let target = cost_of(&reference, hold);
        check(&spec, &solve(&spec, FASHION, 10, hold, target).unwrap(), hold, target);
    }
}

#[test]
fn an_impossible_budget_says_what_can_be_had() {
    let spec = at(&NetworkSpec::default(), Segments::Count(7));
    let error = |target| solve(&spec, FASHION, 10, Quantity::Parameters, target).unwrap_err().to_string();
    // 213 lies between the least that can be had and the next, more than 0.5 % off.
    let messages = [0, 100, 213, 1_000_000_000_000].map(error);
    insta::assert_snapshot!(messages.join("\n"));
    let broken = NetworkSpec { width: f64::NAN, ..spec.clone() };
    let error = solve(&broken, FASHION, 10, Quantity::Macs, 1_000).unwrap_err();
    assert!(matches!(error, BudgetError::Spec(_)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Widths are whole channels: where the last layers are few and wide, a single one
    /// can weigh more than the tolerance, and then the error has the nearest there is.
    #[test]
    fn any_reasonable_target_is_met_or_nearly_and_always_alike(
        target in 40_000u64..400_000,
        segments in prop::sample::select(points()),
        entry in prop::collection::vec(8usize..80, 2..4),
        exit in 32usize..200,
    ) {
        let spec = NetworkSpec { entry, exit, ..at(&NetworkSpec::default(), segments) };
        let solved = solve(&spec, FASHION, 10, Quantity::Parameters, target);
        match &solved {
            Ok(solved) => check(&spec, solved, Quantity::Parameters, target),
            Err(BudgetError::TooCoarse { nearest, .. }) => {
                let distance = (*nearest as f64 / target as f64 - 1.0).abs();
                prop_assert!((TOLERANCE..NEARLY).contains(&distance), "{nearest} for {target}");
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
        let again = solve(&spec, FASHION, 10, Quantity::Parameters, target);
        prop_assert_eq!(format!("{again:?}"), format!("{solved:?}"));
    }
}
