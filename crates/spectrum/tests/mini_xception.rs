//! The graph of mini-xception: its counts by hand, its layers, its limits.

use decouple_kernels::geometry::{MapShape, partition};
use decouple_spectrum::cost::Cost;
use decouple_spectrum::error::SpecError;
use decouple_spectrum::graph::{Activation, Graph, NodeId, Op};
use decouple_spectrum::layer_table::layer_rows;
use decouple_spectrum::module::{Intermediate, NormPlacement, Order};
use decouple_spectrum::network::{MAX_CHANNELS, NetworkSpec};
use decouple_spectrum::segments::{SegmentSchedule, Segments};
use proptest::prelude::*;
use std::collections::HashSet;

const FASHION: MapShape = MapShape::new(28, 28, 1);
const CIFAR: MapShape = MapShape::new(32, 32, 3);

fn with_segments(segments: Segments) -> NetworkSpec {
    NetworkSpec { segments: segments.into(), ..NetworkSpec::default() }
}

/// Weights of a spatial convolution, from the definition.
fn spatial(channels: usize, kernel: usize, segments: usize) -> usize {
    let segments = segments.min(channels);
    (0..segments).map(|s| partition(channels, segments, s).len().pow(2)).sum::<usize>() * kernel * kernel
}

/// Trained values of `spec` with `s` segments everywhere, written from the
/// figure of the network and not from its code.
fn parameters_by_hand(spec: &NetworkSpec, image_c: usize, classes: usize, s: usize) -> usize {
    let module = |in_c: usize, out_c: usize| {
        let first_c = if spec.order == Order::PointwiseFirst { out_c } else { in_c };
        let norms = 2 * out_c + if spec.norm == NormPlacement::Both { 2 * first_c } else { 0 };
        in_c * out_c + spatial(first_c, spec.kernel, s) + norms
    };
    let skip = |in_c: usize, out_c: usize| if spec.residual { in_c * out_c + 2 * out_c } else { 0 };
    let mut total = spec.stem_kernel.pow(2) * image_c * spec.stem + 2 * spec.stem;
    let mut c = spec.stem;
    for &out_c in &spec.entry {
        total += module(c, out_c) + module(out_c, out_c) + skip(c, out_c);
        c = out_c;
    }
    total += spec.middle * spec.modules * module(c, c);
    total += module(c, c) + module(c, spec.exit) + skip(c, spec.exit);
    total + spec.exit * classes + classes
}

#[test]
fn parameters_are_those_counted_by_hand() {
    for s in [1, 2, 3, 5, 7, 8, 16, 33, 64, 127, 128] {
        for order in [Order::PointwiseFirst, Order::SpatialFirst] {
            for norm in [NormPlacement::Module, NormPlacement::Both] {
                for (residual, kernel, stem_kernel) in [(true, 3, 3), (false, 5, 1)] {
                    let segments = Segments::Count(s).into();
                    let sizes = NetworkSpec { segments, kernel, stem_kernel, ..NetworkSpec::default() };
                    let spec = NetworkSpec { order, norm, residual, ..sizes };
                    let counted = spec.graph(CIFAR, 100).unwrap().cost().parameters;
                    assert_eq!(counted, parameters_by_hand(&spec, 3, 100, s) as u64, "{spec:?}");
                }
            }
        }
    }
}

#[test]
fn the_default_costs_what_its_documentation_says() {
    let graph = NetworkSpec::default().graph(FASHION, 10).unwrap();
    let expected = Cost { parameters: 66_810, statistics: 2_112, macs: 2_326_400, activations: 125_034 };
    assert_eq!(graph.cost(), expected);
}

#[test]
fn the_layers_of_the_default_network() {
    let graph = NetworkSpec::default().graph(FASHION, 10).unwrap();
    let rows: Vec<String> = layer_rows(&graph)
        .iter()
        .map(|row| {
            let segments = row.segments.map_or("-".to_owned(), |[segments, _]| segments.to_string());
            let Cost { parameters, statistics, macs, activations } = row.cost;
            format!(
                "{:26} {:16} {:9} {segments:>4} {parameters:>5} {statistics:>4} {macs:>7} {activations:>6}",
                row.name,
                row.op,
                row.output.to_string(),
            )
        })
        .collect();
    insta::assert_snapshot!(rows.join("\n"));
}

/// What an executor, a counter and a reader of weights rely on.
fn check_graph(graph: &Graph) {
    assert_eq!(graph.nodes[0].op, Op::Input);
    let names: HashSet<_> = graph.nodes.iter().map(|node| &node.name).collect();
    assert_eq!(names.len(), graph.nodes.len());
    let names: HashSet<_> = graph.parameters.iter().map(|parameter| &parameter.name).collect();
    assert_eq!(names.len(), graph.parameters.len());

    let mut owned = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        assert!(node.inputs.iter().all(|input| input.0 < index), "{} comes before an input", node.name);
        owned.extend(node.op.parameters());
        if let Op::Conv { geometry, weights, bias } = &node.op {
            assert_eq!(graph.parameter(*weights).len(), geometry.weight_count(), "{}", node.name);
            assert_eq!(geometry.input(), graph.node(node.inputs[0]).output);
            assert_eq!(geometry.output(), node.output);
            assert_eq!(*bias, None);
        }
        assert!(node.op == Op::Input || !node.inputs.is_empty());
    }
    assert!(owned.iter().map(|id| id.0).eq(0..graph.parameters.len()), "each parameter has one owner");

    let nodes = 0..graph.nodes.len();
    assert_eq!(graph.cost(), nodes.map(|index| graph.node_cost(NodeId(index))).sum());
    let consumed: HashSet<_> = graph.nodes.iter().flat_map(|node| &node.inputs).collect();
    assert_eq!(consumed.len(), graph.nodes.len() - 1, "every node but the last is used");
}

fn any_spec() -> impl Strategy<Value = NetworkSpec> {
    let choices = (
        prop::sample::select(vec![Order::PointwiseFirst, Order::SpatialFirst]),
        prop::sample::select(vec![Intermediate::None, Intermediate::Relu, Intermediate::Elu]),
        prop::sample::select(vec![NormPlacement::Module, NormPlacement::Both]),
        any::<bool>(),
        prop::sample::select(vec![(3usize, 3usize), (5, 1), (7, 3), (3, 1)]),
    );
    let sizes = (1usize..20, prop::collection::vec(1usize..40, 0..4), 0usize..3, 1usize..4, 1usize..60);
    let scalars = (0.05f64..2.0, prop::sample::select(vec![0.0, 0.5]), 1usize..50);
    (choices, sizes, scalars).prop_map(|(choices, sizes, scalars)| {
        let (order, intermediate, norm, residual, (kernel, stem_kernel)) = choices;
        let (stem, entry, middle, modules, exit) = sizes;
        let (width, dropout, segments) = scalars;
        let segments = Segments::Count(segments).into();
        NetworkSpec {
            segments,
            order,
            intermediate,
            norm,
            residual,
            kernel,
            stem,
            stem_kernel,
            entry,
            middle,
            modules,
            exit,
            width,
            dropout,
            ..NetworkSpec::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_network_is_a_sound_graph(spec in any_spec(), h in 1usize..40, w in 1usize..40) {
        match spec.graph(MapShape::new(h, w, 3), 10) {
            Ok(graph) => {
                check_graph(&graph);
                prop_assert_eq!(graph.output(), MapShape::new(1, 1, 10));
                prop_assert_eq!(graph.spatial_layers.len(),
                    2 * spec.entry.len() + spec.middle * spec.modules + 2);
            }
            // Each entry stage halves the map, rounded up, and needs 2 pixels.
            Err(SpecError::MapTooSmall { .. }) => {
                let needed = spec.entry.len().checked_sub(1).map_or(0, |stages| 1 << stages);
                prop_assert!(h.min(w) <= needed);
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn more_segments_never_cost_more(spec in any_spec(), s in 1usize..80) {
        let cost = |s| {
            let spec = NetworkSpec { segments: Segments::Count(s).into(), ..spec.clone() };
            spec.graph(CIFAR, 10).unwrap().cost()
        };
        let (fewer, more) = (cost(s), cost(s + 1));
        let widest = spec.graph(CIFAR, 10).unwrap().spatial_layers.iter().map(|l| l.channels).max();
        // Strictly less while some layer still has channels to decouple.
        let falls = Some(s) < widest;
        prop_assert_eq!(more.parameters < fewer.parameters, falls);
        prop_assert_eq!(more.macs < fewer.macs, falls);
        prop_assert!(more.parameters <= fewer.parameters && more.activations == fewer.activations);
    }

    #[test]
    fn a_record_is_read_back_as_written(spec in any_spec()) {
        let text = toml::to_string(&spec).unwrap();
        prop_assert_eq!(toml::from_str::<NetworkSpec>(&text).unwrap(), spec);
    }
}

#[test]
fn parameters_fall_with_every_segment_up_to_one_a_channel() {
    let cost = |s| with_segments(Segments::Count(s)).graph(FASHION, 10).unwrap().cost().parameters;
    let counts: Vec<u64> = (1..=130).map(cost).collect();
    assert!(counts[..128].is_sorted_by(|fewer, more| fewer > more));
    assert_eq!(counts[127..], [66_810; 3]);
}

#[test]
fn a_module_is_two_convolutions_in_the_order_asked_for() {
    let spec = NetworkSpec {
        order: Order::SpatialFirst,
        intermediate: Intermediate::Elu,
        norm: NormPlacement::Both,
        ..with_segments(Segments::Count(3))
    };
    let graph = spec.graph(FASHION, 10).unwrap();
    let scope = "entry.1.module0.";
    let layers: Vec<_> = graph.nodes.iter().filter(|node| node.name.starts_with(scope)).collect();
    let names: Vec<_> = layers.iter().map(|node| &node.name[scope.len()..]).collect();
    assert_eq!(names, ["relu", "spatial", "norm1", "intermediate", "pointwise", "norm2"]);
    assert_eq!(layers[3].op, Op::Activation(Activation::Elu));
    assert_eq!([layers[1].output.c, layers[4].output.c], [16, 32]);
    assert!(layers.windows(2).all(|pair| graph.node(pair[1].inputs[0]) == pair[0]));
}

#[test]
fn uneven_segments_have_one_flat_weight() {
    let graph = with_segments(Segments::Count(3)).graph(FASHION, 10).unwrap();
    let weight = |name: &str| graph.parameters.iter().find(|parameter| parameter.name == name).unwrap();
    // 32 channels are 11, 11 and 10.
    let uneven = weight("entry.1.module1.spatial.weight");
    assert_eq!(uneven.shape, [9 * (121 + 121 + 100)]);
    // (11 * 11 + 11 * 11 + 10 * 10) / 32 = 10.7 channels, 9 taps each.
    assert_eq!(uneven.fan_in, 96);
    let even = with_segments(Segments::Count(4)).graph(FASHION, 10).unwrap();
    let even = even.parameters.iter().find(|parameter| parameter.name == uneven.name).unwrap();
    assert_eq!((&even.shape[..], even.fan_in), (&[32, 8, 3, 3][..], 72));
}

#[test]
fn a_schedule_gives_each_stage_its_segments() {
    let list = [1, 2, 4, 8, 16].map(Segments::Count).to_vec();
    let spec = NetworkSpec { segments: SegmentSchedule::PerStage(list), ..NetworkSpec::default() };
    assert_eq!(spec.stages(), 5);
    let graph = spec.graph(FASHION, 10).unwrap();
    let segments: Vec<usize> = graph.spatial_layers.iter().map(|layer| layer.segments).collect();
    assert_eq!(segments, [1, 1, 2, 2, 4, 4, 8, 8, 8, 8, 8, 8, 16, 16]);

    let without_middle = NetworkSpec { middle: 0, ..spec };
    let error = without_middle.graph(FASHION, 10).unwrap_err();
    assert_eq!(error.to_string(), "`segments` lists 5 values, but the network has 4 stages");
}

#[test]
fn the_level_is_the_mean_over_the_spatial_layers() {
    let level = |segments| with_segments(segments).graph(FASHION, 10).unwrap().level();
    assert_eq!(level(Segments::Count(1)), 0.0);
    assert_eq!(level(Segments::PerChannel), 1.0);
    // ln 8 over ln 16 twice, ln 32 twice, ln 64 nine times, ln 128 once.
    let expected = (2.0 * 3.0 / 4.0 + 2.0 * 3.0 / 5.0 + 9.0 * 3.0 / 6.0 + 3.0 / 7.0) / 14.0;
    assert!((level(Segments::Count(8)) - expected).abs() < 1e-12);
}

#[test]
fn small_maps_are_pooled_while_two_pixels_are_left() {
    let output_of = |size: usize, layer: &str| {
        let graph = NetworkSpec::default().graph(MapShape::new(size, size, 1), 10).unwrap();
        graph.nodes.iter().find(|node| node.name == layer).map(|node| node.output)
    };
    assert_eq!(output_of(28, "exit.add"), Some(MapShape::new(2, 2, 128)));
    // 8, 4, 2, 1: nothing left to pool in the exit flow, the residual stays.
    assert_eq!(output_of(8, "exit.pool"), None);
    assert_eq!(output_of(8, "exit.add"), Some(MapShape::new(1, 1, 128)));

    let error = NetworkSpec::default().graph(MapShape::new(4, 4, 1), 10).unwrap_err();
    assert_eq!(error.to_string(), "entry.2.pool: a map of 1x1x64 is too small");
    let error = NetworkSpec::default().graph(MapShape::new(28, 0, 1), 10).unwrap_err();
    assert_eq!(error.to_string(), "input: a map of 28x0x1 is too small");
}

#[test]
fn impossible_values_are_refused_by_key() {
    let default = NetworkSpec::default;
    let refused = [
        NetworkSpec { kernel: 4, ..default() },
        NetworkSpec { stem: 0, ..default() },
        NetworkSpec { stem_kernel: 2, ..default() },
        NetworkSpec { entry: vec![16, 0], ..default() },
        NetworkSpec { exit: MAX_CHANNELS, width: 1.1, ..default() },
        NetworkSpec { modules: 0, ..default() },
        NetworkSpec { middle: 101, ..default() },
        NetworkSpec { entry: vec![1; 101], ..default() },
        NetworkSpec { width: 0.0, ..default() },
        NetworkSpec { width: f64::NAN, ..default() },
        NetworkSpec { dropout: 1.0, ..default() },
        NetworkSpec { norm_epsilon: 0.0, ..default() },
        NetworkSpec { norm_momentum: 1.5, ..default() },
        with_segments(Segments::Count(0)),
        with_segments(Segments::Level(f64::NAN)),
    ];
    let messages: Vec<String> =
        refused.iter().map(|spec| spec.graph(FASHION, 10).unwrap_err().to_string()).collect();
    insta::assert_snapshot!(messages.join("\n"));
    assert!(default().graph(FASHION, 0).is_err());
}

#[test]
fn a_misspelt_key_is_refused_with_its_line() {
    let error = toml::from_str::<NetworkSpec>("stem = 8\nsegmnets = 3\n").unwrap_err();
    insta::assert_snapshot!(error);
}
