//! The published networks compute what timm and Keras compute from the same
//! weights (tools/network-fixtures.py): names, layouts and numerics at once.

mod formula;

use std::collections::BTreeMap;

use decouple_core_ops::{Context, FeatureMap, MapShape, Recorder};
use decouple_spectrum::{
    graph::{Graph, Node, Role},
    network::{Family, NetworkSpec, Numerics},
    weights::names::{NamedTensor, Naming, named_tensors},
};
use decouple_training::network::Network;
use formula::uniform;
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

    let context = Context::best();
    let mut tensors = tensors.iter();
    let mut network = Network::with_values(graph.clone(), &context, |id| {
        values(&graph, tensors.next().filter(|tensor| tensor.parameter == id).unwrap())
    });
    let mut recorder = Recorder::inference(&context);
    let x = recorder.input(input, &image(fixture.side)).unwrap();
    let mut inner = BTreeMap::new();
    let observe = |node: &Node, map: &FeatureMap| {
        if fixture.inner.contains_key(&node.name) {
            inner.insert(node.name.clone(), digest(map.values().unwrap()));
        }
    };
    let logits = network.forward_observed(&mut recorder, x, 0, observe).unwrap();
    for (name, expected) in &fixture.inner {
        for (found, expected_value) in inner[name].iter().zip(expected) {
            let error = (found - expected_value).abs() / expected[1];
            assert!(error <= TOLERANCE, "{name}: {found} against {expected_value}");
        }
    }
    let largest = fixture.logits.iter().fold(0.0, |largest: f64, logit| largest.max(logit.abs()));
    let errors =
        logits.values().unwrap().iter().zip(&fixture.logits).map(|(&found, e)| (f64::from(found) - e).abs());
    let error = errors.fold(0.0, f64::max) / largest;
    eprintln!("{family} {naming}: logits within {error:.1e}");
    assert!(error <= TOLERANCE, "logits within {error:.1e} of the largest");
}

/// The values of a tensor, as `values` of the script makes them, in our layout.
fn values(graph: &Graph, tensor: &NamedTensor) -> Vec<f32> {
    let parameter = graph.parameter(tensor.parameter);
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
