//! The published networks compute what timm and Keras compute from the same
//! weights (tools/network-fixtures.py): names, layouts and numerics at once.

use std::collections::BTreeMap;

use decouple_kernels::{arithmetic::Arithmetic, geometry::MapShape};
use decouple_made_up::uniform;
use decouple_spectrum::{
    backend::Pass,
    graph::{Graph, NodeId, ParameterSpec, Role},
    network::{Family, NetworkSpec, Numerics},
    weights::names::{NamedTensor, Naming, named_tensors},
};
use decouple_training::device::backend;
use serde::Deserialize;

/// What the framework found, in double precision.
#[derive(Deserialize)]
struct Fixture {
    /// Rows and columns of the image.
    side: usize,
    /// How many tensors the framework's network has.
    tensors: usize,
    /// How many values they have.
    values: usize,
    /// First value and root mean square of some layers' maps.
    inner: BTreeMap<String, [f64; 2]>,
    logits: Vec<f64>,
}

/// The largest error that is allowed, relative to the largest logit, or to the
/// root mean square of an inner map.
const TOLERANCE: f64 = 1e-5;

/// Rows and columns of the image's squares.
const SQUARE: usize = 32;

fn check(fixture: &str, family: Family, naming: Naming) {
    let path = format!("{}/tests/fixtures/logits/{fixture}.json", env!("CARGO_MANIFEST_DIR"));
    let fixture: Fixture = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let numerics = if naming == Naming::Keras { Numerics::Keras } else { Numerics::Timm };
    let spec = NetworkSpec::of(family, numerics);
    let input = MapShape::new(fixture.side, fixture.side, 3);
    let graph = spec.graph(input, fixture.logits.len()).unwrap();
    let tensors = named_tensors(&spec, &graph, naming).unwrap();
    assert_eq!(tensors.len(), fixture.tensors);
    let count: usize = tensors.iter().map(|tensor| tensor.layout.shape().iter().product::<usize>()).sum();
    assert_eq!(count, fixture.values);

    let image = image(fixture.side);
    // Inner maps are the results of networks that end there.
    for (name, expected) in &fixture.inner {
        let part = up_to(&graph, name);
        let found = digest(&outcome(part, &tensors, &image));
        for (found, expected_value) in found.iter().zip(expected) {
            let error = (found - expected_value).abs() / expected[1];
            assert!(error <= TOLERANCE, "{name}: {found} against {expected_value}");
        }
    }
    let logits = outcome(graph, &tensors, &image);
    let largest = fixture.logits.iter().fold(0.0, |largest: f64, logit| largest.max(logit.abs()));
    let errors = logits.iter().zip(&fixture.logits).map(|(&found, e)| (f64::from(found) - e).abs());
    let error = errors.fold(0.0, f64::max) / largest;
    eprintln!("{family} {naming}: logits within {error:.1e}");
    assert!(error <= TOLERANCE, "logits within {error:.1e} of the largest");
}

/// What `graph`, with the script's weights, makes of `image`.
fn outcome(graph: Graph, tensors: &[NamedTensor], image: &[f32]) -> Vec<f32> {
    let parameters = graph.parameters.clone();
    let network = backend().network(graph, Arithmetic::default(), &mut |id| {
        values(&parameters[id.0], tensors.iter().find(|tensor| tensor.parameter == id).unwrap())
    });
    let mut network = network.unwrap();
    let batch = network.batch_layout(1).of(image);
    network.forward(&batch, 1, Pass::Inference).unwrap()
}

/// The part of `graph` that makes what node `name` makes.
fn up_to(graph: &Graph, name: &str) -> Graph {
    let last = graph.nodes.iter().position(|node| node.name == name).unwrap();
    let mut nodes = graph.nodes[..=last].to_vec();
    let mut is_needed = vec![false; nodes.len()];
    is_needed[last] = true;
    for index in (0..nodes.len()).rev() {
        if is_needed[index] {
            nodes[index].inputs.iter().for_each(|input| is_needed[input.0] = true);
        }
    }
    let parameters = nodes.iter().flat_map(|node| node.op.parameters()).map(|id| id.0 + 1).max();
    let mut place = 0;
    let places: Vec<NodeId> = is_needed
        .iter()
        .map(|&is_needed| {
            place += usize::from(is_needed);
            NodeId(place.saturating_sub(1))
        })
        .collect();
    let mut kept = is_needed.iter();
    nodes.retain(|_| *kept.next().unwrap());
    nodes.iter_mut().flat_map(|node| &mut node.inputs).for_each(|input| *input = places[input.0]);
    let parameters = graph.parameters[..parameters.unwrap_or(0)].to_vec();
    Graph { nodes, parameters, spatial_layers: Vec::new() }
}

/// The values of a tensor, as `values` of the script makes them, in our layout.
fn values(parameter: &ParameterSpec, tensor: &NamedTensor) -> Vec<f32> {
    let gain = if tensor.name.contains("pointwise") { 3.0 } else { 6.0 };
    let (scale, centre) = match parameter.role {
        Role::ConvWeight | Role::LinearWeight => (f64::sqrt(gain / parameter.fan_in as f64), 0.0),
        Role::Gamma | Role::RunningVariance => (0.25, 1.0),
        Role::Bias | Role::Beta | Role::RunningMean => (0.25, 0.0),
    };
    let values: Vec<f32> =
        uniform(&tensor.name, parameter.len()).map(|u| (u * scale + centre) as f32).collect();
    if tensor.layout.is_kept() { values } else { tensor.layout.to_ours(&values) }
}

/// The image, as `image` of the script makes it.
fn image(side: usize) -> Vec<f32> {
    let squares = side.div_ceil(SQUARE);
    let coarse: Vec<f64> = uniform("image's squares", squares * squares * 3).collect();
    let fine = uniform("image", side * side * 3).enumerate();
    fine.map(|(index, fine)| {
        let (row, column, channel) = (index / 3 / side, index / 3 % side, index % 3);
        let square = (row / SQUARE * squares + column / SQUARE) * 3 + channel;
        (0.75 * coarse[square] + 0.25 * fine) as f32
    })
    .collect()
}

/// First value and root mean square.
fn digest(values: &[f32]) -> [f64; 2] {
    let squares: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
    [f64::from(values[0]), (squares / values.len() as f64).sqrt()]
}

#[test]
fn xception_of_timm() {
    check("xception-timm", Family::Xception, Naming::Timm);
}

#[test]
fn xception_of_keras() {
    check("xception-keras", Family::Xception, Naming::Keras);
}

#[test]
fn inception_v3_of_timm() {
    check("inception-v3-timm", Family::InceptionV3, Naming::Timm);
}

#[test]
fn inception_v3_of_keras() {
    check("inception-v3-keras", Family::InceptionV3, Naming::Keras);
}

#[test]
fn resnet_50_of_timm() {
    check("resnet-50-timm", Family::Resnet50, Naming::Timm);
}

#[test]
fn resnet_50_of_keras() {
    check("resnet-50-keras", Family::Resnet50, Naming::Keras);
}

/// One after the other: each has 138 million weights.
#[test]
fn vgg_16_of_both() {
    check("vgg-16-timm", Family::Vgg16, Naming::Timm);
    check("vgg-16-keras", Family::Vgg16, Naming::Keras);
}
