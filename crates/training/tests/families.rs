//! Every family trains, and the paper's figures 2 and 3 are one function.

use decouple_kernels::{arithmetic::Arithmetic, geometry::MapShape};
use decouple_made_up::{every_family, noise};
use decouple_spectrum::{
    backend::{Pass, State},
    graph::{Graph, ParameterId},
    network::figures,
    network::{Dense, NetworkSpec},
};
use decouple_training::{
    device::backend,
    loss::{Targets, softmax_cross_entropy},
    start_values,
};

fn values(name: &str, count: usize) -> Vec<f32> {
    noise(name, count).into_iter().map(|value| 0.1 * value).collect()
}

/// A step forward and backward reaches every trained parameter.
fn train(spec: &NetworkSpec) {
    let input = MapShape::new(32, 32, 3);
    let graph = spec.graph(input, 10).expect("a small network");
    let mut network = start_values::start(&graph, 1, &*backend(), Arithmetic::default()).expect("a network");
    let images = network.batch_layout(2).of(&values("images", 2 * input.len()));
    let logits = network.forward(&images, 2, Pass::Training { dropout_seed: 0 }).expect("a forward pass");
    let targets = Targets::Labels { labels: &[3, 7], smoothing: 0.0 };
    let mut gradient = Vec::new();
    let loss = softmax_cross_entropy(&logits, 10, targets, &mut gradient).expect("a loss");
    assert!(loss.is_finite(), "{}", spec.family);
    network.backward(&gradient).expect("a backward pass");
    for (index, parameter) in graph.parameters.iter().enumerate().filter(|(_, p)| p.role.is_trained()) {
        let gradient = network.read(State::Gradient, ParameterId(index));
        assert_eq!(gradient.len(), parameter.len(), "{}: {}", spec.family, parameter.name);
    }
}

#[test]
fn every_family_trains_on_small_images() {
    every_family(0.1).for_each(|network| train(&network));
}

#[test]
fn dense_connections_train() {
    for dense in [Dense::First, Dense::All] {
        train(&NetworkSpec { dense, ..NetworkSpec::default() });
    }
}

/// What the module `graph` makes of one map, with the weights that `weights` gives
/// its convolutions.
fn run(graph: Graph, weights: impl Fn(&str) -> Vec<f32>) -> Vec<f32> {
    let input = graph.input();
    let names: Vec<String> = graph.parameters.iter().map(|parameter| parameter.name.clone()).collect();
    let network = backend().network(graph, Arithmetic::default(), &mut |id| weights(&names[id.0]));
    let mut network = network.expect("weights that fit");
    let map = network.batch_layout(1).of(&values("map", input.len()));
    network.forward(&map, 1, Pass::Inference).expect("a forward pass")
}

#[test]
fn three_towers_are_three_segments() {
    let (across, within) = (288 * 96, 96 * 96 * 9);
    let towers = run(figures::module(2).expect("figure 2"), |name| {
        values(name, if name.contains("1x1") { across } else { within })
    });
    let segments = run(figures::module(3).expect("figure 3"), |name| {
        let (layer, count) = if name.starts_with("pointwise") { ("1x1", across) } else { ("3x3", within) };
        (1..=3).flat_map(|tower| values(&format!("tower{tower}.conv{layer}.weight"), count)).collect()
    });
    let largest = towers.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let error = towers.iter().zip(&segments).fold(0f32, |error, (a, b)| error.max((a - b).abs()));
    assert!(largest > 0.1 && error <= 1e-5 * largest, "{error} of {largest}");
}
