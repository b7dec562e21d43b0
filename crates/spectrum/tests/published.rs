//! The published networks have the parameters, multiply-adds and activations
//! that Keras 3.15.1 and timm 1.0.31 count, and the spectrum of Xception those
//! of docs/paper.md.

use decouple_kernels::geometry::MapShape;
use decouple_spectrum::budget::{Quantity, TOLERANCE, solve};
use decouple_spectrum::cost::Cost;
use decouple_spectrum::graph::Graph;
use decouple_spectrum::module::Order;
use decouple_spectrum::network::{Dense, Family, NetworkKey, NetworkSpec, Numerics};
use decouple_spectrum::segments::{SegmentSchedule, Segments};

const CIFAR: MapShape = MapShape::new(32, 32, 3);

fn images(family: Family) -> MapShape {
    MapShape { c: 3, ..family.images().0 }
}

fn graph(spec: &NetworkSpec) -> Graph {
    spec.graph(images(spec.family), 1000).unwrap()
}

fn published(family: Family, numerics: Numerics) -> Cost {
    graph(&NetworkSpec::of(family, numerics)).cost()
}

#[test]
fn parameters_equal_those_of_keras_and_timm() {
    use Family::*;
    let keras = [
        (Xception, 22_910_480, 22_855_952),
        (InceptionV3, 23_851_784, 23_817_352),
        (Vgg16, 138_357_544, 138_357_544),
        (Resnet50, 25_636_712, 25_583_592),
        (Resnet152, 60_419_944, 60_268_520),
    ];
    for (family, total, trainable) in keras {
        let cost = published(family, Numerics::Keras);
        assert_eq!((cost.parameters + cost.statistics, cost.parameters), (total, trainable), "{family}");
    }
    let timm = [
        (Xception, 22_855_952),
        (InceptionV3, 23_834_568),
        (Vgg16, 138_357_544),
        (Resnet18, 11_689_512),
        (Resnet50, 25_557_032),
        (Resnet152, 60_192_808),
        (Resnext50, 25_028_904),
    ];
    for (family, parameters) in timm {
        assert_eq!(published(family, Numerics::Timm).parameters, parameters, "{family}");
    }
}

#[test]
fn multiply_adds_and_activations_at_299_pixels() {
    for numerics in [Numerics::Keras, Numerics::Timm] {
        let xception = published(Family::Xception, numerics);
        assert_eq!(xception.macs, 8_357_403_496);
        assert_eq!((xception.activations as f64 / 1e5).round(), 358.0);
        let inception = published(Family::InceptionV3, numerics);
        assert_eq!((inception.macs as f64 / 1e6).round(), 5713.0);
        assert_eq!((inception.activations as f64 / 1e5).round(), 90.0);
    }
}

#[test]
fn maps_have_the_sizes_of_the_paper() {
    let graph = graph(&NetworkSpec::of(Family::Xception, Numerics::Keras));
    let side = |name: &str| {
        let output = graph.nodes.iter().find(|node| node.name == name).unwrap().output;
        assert_eq!(output.h, output.w);
        output.h
    };
    let names = ["stem.conv1", "stem.conv2", "block1.pool", "block2.pool", "block11.add", "block12.pool"];
    assert_eq!(names.map(side), [149, 147, 74, 37, 19, 10]);
    assert_eq!(graph.spatial_layers.len(), 34, "36 convolution layers, two of them in the stem");
    assert_eq!(graph.level(), 1.0);
}

/// Xception with `segments` in every module, in the order of its own.
fn xception(segments: impl Into<SegmentSchedule>) -> NetworkSpec {
    NetworkSpec { segments: segments.into(), ..NetworkSpec::of(Family::Xception, Numerics::Keras) }
}

/// Segments; parameters in millions and multiply-adds in billions at equal
/// width; the width that has Xception's parameters, multiply-adds in billions
/// and activations in millions there.
const SPECTRUM: [(usize, f64, f64, f64, f64, f64); 8] = [
    (1, 183.6, 71.4, 0.350, 8.70, 12.5),
    (2, 103.1, 39.8, 0.465, 8.61, 16.7),
    (3, 76.3, 29.3, 0.541, 8.58, 19.4),
    (4, 62.9, 24.0, 0.596, 8.54, 21.3),
    (8, 42.8, 16.1, 0.725, 8.45, 25.9),
    (16, 32.7, 12.2, 0.830, 8.39, 29.7),
    (32, 27.7, 10.2, 0.905, 8.37, 32.4),
    (64, 25.2, 9.2, 0.951, 8.33, 34.1),
];

#[test]
fn the_spectrum_at_equal_width() {
    let rounded = |value: u64, unit: f64| (value as f64 / unit * 10.0).round() / 10.0;
    for (segments, parameters, macs, ..) in SPECTRUM {
        let cost = graph(&xception(Segments::Count(segments))).cost();
        let found = (rounded(cost.parameters, 1e6), rounded(cost.macs, 1e9));
        assert_eq!(found, (parameters, macs), "{segments} segments");
    }
    let first = NetworkSpec { order: Order::PointwiseFirst, ..xception(Segments::Count(1)) };
    let cost = graph(&first).cost();
    assert_eq!((rounded(cost.parameters, 1e6), rounded(cost.macs, 1e9)), (221.3, 86.5));
}

#[test]
fn the_spectrum_at_equal_parameters() {
    let target = graph(&xception(Segments::PerChannel)).cost().parameters;
    for (segments, _, _, width, macs, activations) in SPECTRUM {
        let spec = xception(Segments::Count(segments));
        let solved = solve(&spec, images(spec.family), 1000, Quantity::Parameters, target).unwrap();
        assert!(solved.relative_error().abs() <= TOLERANCE, "{segments}: {}", solved.relative_error());
        assert!((solved.width - width).abs() <= 0.002, "{segments}: width {}", solved.width);
        let drift =
            (solved.cost.macs as f64 / 1e9 / macs, solved.cost.activations as f64 / 1e6 / activations);
        assert!((drift.0 - 1.0).abs() < 0.01, "{segments}: {} multiply-adds", solved.cost.macs);
        assert!((drift.1 - 1.0).abs() < 0.01, "{segments}: {} activations", solved.cost.activations);
    }
}

#[test]
fn cardinality_at_equal_multiply_adds() {
    // Xie et al. 2017, table 2: cardinality x width of the bottleneck.
    let points = [(1, 64), (2, 40), (4, 24), (8, 14), (32, 4)];
    let costs = points.map(|(cardinality, size)| {
        let mut spec = NetworkSpec::of(Family::Resnext50, Numerics::Timm);
        spec.segments = Segments::Count(cardinality).into();
        (0..4).for_each(|stage| spec.channels[1 + stage] = (cardinality * size) << stage);
        graph(&spec).cost()
    });
    // 64 channels in one segment are ResNet-50.
    assert_eq!(costs[0], published(Family::Resnet50, Numerics::Timm));
    for cost in costs {
        assert!((cost.macs as f64 / costs[4].macs as f64 - 1.0).abs() < 0.06, "{cost:?}");
    }
}

#[test]
fn dense_connections_widen_what_modules_read() {
    let of = |dense| NetworkSpec { dense, ..xception(Segments::PerChannel) };
    let macs = [Dense::None, Dense::First, Dense::All].map(|dense| graph(&of(dense)).cost().parameters);
    // Spatial-first: 9 depthwise weights and 728 pointwise ones for each channel read.
    let map = 728 * (9 + 728) * 8;
    assert_eq!([macs[1] - macs[0], macs[2] - macs[0]], [2 * map, 3 * map]);
}

#[test]
fn every_family_takes_small_images() {
    for family in Family::ALL {
        for numerics in [Numerics::Keras, Numerics::Timm] {
            let mut spec = NetworkSpec::of(family, numerics);
            spec.small_stem = family.reads(NetworkKey::SmallStem);
            if !family.reads(NetworkKey::Numerics) && numerics == Numerics::Timm {
                continue;
            }
            let graph = spec.graph(CIFAR, 10).unwrap_or_else(|error| panic!("{family}: {error}"));
            let last_map = graph.nodes.iter().rev().find(|node| node.output.h > 1).map(|node| node.output.h);
            assert!(last_map >= Some(2), "{family}: {last_map:?}");
            let gray = MapShape::new(28, 28, 1);
            assert_eq!(spec.graph(gray, 10).unwrap().output(), MapShape::new(1, 1, 10), "{family}");
        }
    }
}

#[test]
fn budgets_hold_for_every_family_at_small_size() {
    let target = NetworkSpec::default().graph(CIFAR, 10).unwrap().cost().parameters * 20;
    for family in Family::ALL {
        let mut spec = NetworkSpec::of(family, Numerics::Keras);
        spec.small_stem = family.reads(NetworkKey::SmallStem);
        let solved = solve(&spec, CIFAR, 10, Quantity::Parameters, target).unwrap();
        assert!(solved.relative_error().abs() <= TOLERANCE, "{family}: {solved:?}");
    }
}

#[test]
fn a_family_takes_its_defaults_from_its_paper() {
    let read = |text: &str| toml::from_str::<NetworkSpec>(text).unwrap();
    assert_eq!(read("family = 'xception'"), NetworkSpec::of(Family::Xception, Numerics::Keras));
    let timm = read("family = 'xception'\nnumerics = 'timm'");
    assert_eq!((timm.norm_epsilon, timm.order), (1e-5, Order::SpatialFirst));
    for family in Family::ALL {
        for numerics in [Numerics::Keras, Numerics::Timm] {
            let spec = NetworkSpec::of(family, numerics);
            if family.reads(NetworkKey::Numerics) {
                assert_eq!(read(&toml::to_string(&spec).unwrap()), spec, "{family}");
            }
        }
    }
}

#[test]
fn keys_that_change_nothing_are_refused() {
    let refused = |text: &str| {
        let spec: NetworkSpec = toml::from_str(text).unwrap();
        spec.graph(images(spec.family), 1000).unwrap_err().to_string()
    };
    assert_eq!(
        refused("family = 'vgg-16'\nsegments = 3"),
        "`segments` must be left out, because vgg-16 does not read it (families that do: \
         mini-xception, xception, simple-inception, resnet-50, resnet-152, resnext-50), found 3"
    );
    let numerics = refused("family = 'vgg-16'\nnumerics = 'timm'");
    assert!(numerics.starts_with("`numerics` must be left out") && numerics.ends_with("found \"timm\""));
    let entry = refused("family = 'xception'\nentry = [8, 16]");
    assert!(entry.starts_with("`entry` must be left out") && entry.ends_with("found [8,16]"));
    let channels = refused("family = 'xception'\nchannels = [8]");
    assert_eq!(channels, "`channels` must list 8 values, found 1");
    let width = refused("family = 'inception-v3'\nwidth = 40");
    assert!(
        width.starts_with("`width` must leave every layer at most 8192 channels; at 40 one has"),
        "{width}"
    );
}

#[test]
fn images_that_are_too_small_are_refused_by_layer() {
    let spec = NetworkSpec::of(Family::InceptionV3, Numerics::Keras);
    let error = spec.graph(CIFAR, 10).unwrap_err().to_string();
    assert!(error.contains("a window of 3 does not fit"), "{error}");
}
