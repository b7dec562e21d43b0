//! Every point of the spectrum meets every budget, or says what it has.

use decouple_kernels::geometry::MapShape;
use decouple_spectrum::budget::{
    BudgetError, Pays, Quantity, Scaling, Solved, TOLERANCE, solve, solve_scaling,
};
use decouple_spectrum::module::{Intermediate, ModuleKind, NormPlacement, Order};
use decouple_spectrum::network::{Family, NetworkSpec, Numerics};
use decouple_spectrum::segments::{SegmentSchedule, Segments};
use proptest::prelude::*;

const FASHION: MapShape = MapShape::new(28, 28, 1);
/// How near the nearest network is where none meets the budget of [`TOLERANCE`].
const NEARLY: f64 = 0.02;
const QUANTITIES: [Quantity; 3] = [Quantity::Parameters, Quantity::Macs, Quantity::Activations];

fn at(spec: &NetworkSpec, segments: impl Into<SegmentSchedule>) -> NetworkSpec {
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
    let spec = at(&reference, SegmentSchedule::PerStage(list));
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

#[test]
fn inner_channels_pay_alone_where_asked() {
    let reference = NetworkSpec::default();
    let target = cost_of(&reference, Quantity::Parameters);
    let scaling = Scaling { pays: Pays::Inner, least: 4 };
    for segments in [Segments::Count(1), Segments::Count(4), Segments::PerChannel] {
        let spec = at(&reference, segments);
        let solved = solve_scaling(&spec, FASHION, 10, Quantity::Parameters, target, scaling).unwrap();
        assert!(solved.relative_error().abs() <= TOLERANCE, "{solved:?}");
        assert_eq!((solved.spec.stem, &solved.spec.entry, solved.spec.exit), (16, &vec![16, 32, 64], 128));
        assert_eq!(solved.spec.inner.len(), 5);
        assert!(solved.spec.inner.iter().all(|&count| count >= 4), "{:?}", solved.spec.inner);
        assert_eq!(solved.cost, solved.spec.graph(FASHION, 10).unwrap().cost());
    }
}

#[test]
fn no_layer_falls_below_the_least_channels() {
    let reference = NetworkSpec::default();
    let target = cost_of(&reference, Quantity::Parameters);
    let spec = at(&reference, Segments::Count(1));
    let free = solve(&spec, FASHION, 10, Quantity::Parameters, target).unwrap();
    assert!(free.spec.stem < 8);
    let scaling = Scaling { pays: Pays::All, least: 8 };
    let solved = solve_scaling(&spec, FASHION, 10, Quantity::Parameters, target, scaling).unwrap();
    assert!(solved.relative_error().abs() <= TOLERANCE);
    assert!(solved.spec.stem >= 8 && solved.spec.entry.iter().all(|&count| count >= 8), "{:?}", solved.spec);
    let most = Scaling { pays: Pays::All, least: 64 };
    let error = solve_scaling(&spec, FASHION, 10, Quantity::Parameters, target, most).unwrap_err();
    assert!(matches!(error, BudgetError::TooSmall { .. }), "{error}");
}

#[test]
fn a_plain_module_is_one_convolution() {
    let spectrum = at(&NetworkSpec::default(), Segments::Count(1));
    let plain = NetworkSpec { module: ModuleKind::Plain, ..spectrum.clone() };
    let (with, without) = (spectrum.graph(FASHION, 10).unwrap(), plain.graph(FASHION, 10).unwrap());
    assert_eq!(with.spatial_layers.len(), without.spatial_layers.len());
    assert!(with.nodes.iter().any(|node| node.name.ends_with("pointwise")));
    assert!(!without.nodes.iter().any(|node| node.name.ends_with("pointwise")));
    // Of a block that keeps its channels, exactly the 1x1 is gone.
    let weights = |graph: &decouple_spectrum::graph::Graph| -> usize {
        let of_block = graph.parameters.iter().filter(|p| p.name.starts_with("middle.0.module0"));
        of_block.map(|p| p.shape.iter().product::<usize>()).sum()
    };
    assert_eq!(weights(&with) - weights(&without), 64 * 64);
    let segmented = at(&plain, Segments::ChannelsPerSegment(4)).graph(FASHION, 10).unwrap();
    assert!(segmented.spatial_layers.iter().all(|layer| layer.segments == layer.channels.div_ceil(4)));
    let refused = NetworkSpec { intermediate: Intermediate::Relu, ..plain };
    assert!(refused.graph(FASHION, 10).unwrap_err().to_string().contains("plain"));
}

#[test]
fn an_allocation_is_a_function_of_its_numbers() {
    let numbers = |start: u32| {
        let mut k = start;
        move || {
            k = k.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(k >> 8) / f64::from(1u32 << 24)
        }
    };
    let spec = NetworkSpec::default();
    let drawn: Vec<NetworkSpec> = (0..20).map(|seed| spec.allocated(numbers(seed)).unwrap()).collect();
    assert_eq!(drawn[3], spec.allocated(numbers(3)).unwrap());
    assert!(drawn.iter().any(|other| other.middle != spec.middle));
    let target = cost_of(&spec, Quantity::Parameters);
    for other in &drawn {
        assert!(other.stem <= other.entry[0] && other.entry.is_sorted() && other.entry[2] <= other.exit);
        let met = solve(other, FASHION, 10, Quantity::Parameters, target).unwrap();
        assert!(met.relative_error().abs() <= TOLERANCE, "{met:?}");
    }
    assert_eq!(NetworkSpec::of(Family::Vgg16, Numerics::Keras).allocated(numbers(0)), None);
}
