//! Every family trains, and the paper's figures 2 and 3 are one function.

mod formula;

use decouple_core_ops::{Context, Gradients, MapShape, Recorder};
use decouple_spectrum::{
    graph::{Graph, ParameterId},
    network::{Dense, Family, NetworkSpec, Numerics},
    networks::figures,
};
use decouple_training::network::Network;
use formula::uniform;

fn values(name: &str, count: usize) -> Vec<f32> {
    uniform(name, count).map(|u| (0.1 * u) as f32).collect()
}

/// A step forward and back reaches every trained parameter.
fn train(spec: &NetworkSpec) {
    let input = MapShape::new(32, 32, 3);
    let graph = spec.graph(input, 10).expect("a small network");
    let context = Context::best();
    let mut network = Network::new(graph.clone(), 1, &context);
    let mut recorder = Recorder::training(&context, Gradients::default());
    let x = recorder.input(input, &values("images", 2 * input.len())).expect("two images");
    let logits = network.forward(&mut recorder, x, 0).expect("a forward pass");
    let loss = recorder.cross_entropy(&logits, &[3, 7], 0.0).expect("a loss");
    assert!(loss.value().is_finite(), "{}", spec.family);
    let mut gradients = loss.backward(recorder).expect("a backward pass");
    for (index, parameter) in graph.parameters.iter().enumerate().filter(|(_, p)| p.role.is_trained()) {
        let gradient = gradients.of(network.parameter(ParameterId(index))).map(<[f32]>::len);
        assert_eq!(gradient, Some(parameter.len()), "{}: {}", spec.family, parameter.name);
    }
}

#[test]
fn every_family_trains_on_small_images() {
    for family in Family::ALL {
        for numerics in [Numerics::Keras, Numerics::Timm] {
            if !family.reads("numerics") && numerics == Numerics::Timm {
                continue;
            }
            let own = NetworkSpec::of(family, numerics);
            let fully_connected = if family.reads("fully-connected") { vec![40] } else { Vec::new() };
            let small_stem = family.reads("small-stem");
            train(&NetworkSpec { width: 0.1, small_stem, fully_connected, dropout: 0.5, ..own });
        }
    }
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
    let (context, input) = (Context::best(), graph.input());
    let names: Vec<String> = graph.parameters.iter().map(|parameter| parameter.name.clone()).collect();
    let mut network = Network::with_values(graph, &context, |id| weights(&names[id.0]));
    let mut recorder = Recorder::inference(&context);
    let x = recorder.input(input, &values("map", input.len())).expect("a map");
    let y = network.forward(&mut recorder, x, 0).expect("a forward pass");
    y.values().expect("a map made here").to_vec()
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
