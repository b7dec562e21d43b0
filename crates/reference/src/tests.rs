//! Gradients by finite differences, and the contract of the backend traits.

use std::sync::Arc;

use decouple_kernels::{
    arithmetic::Arithmetic,
    geometry::{ConvOptions, MapShape, Padding},
};
use decouple_made_up::{every_family, noise, values};
use decouple_spectrum::{
    backend::{Backend, ExecutionError, Executor, Pass, Rule, State, Update},
    builder::{BatchNormOptions, GraphBuilder},
    error::SpecError,
    graph::{Activation, Graph, NodeId, ParameterId},
    network::{Dense, NetworkSpec},
    plan::Plan,
};

use crate::{Reference, executor::Network};

const TRAINING: Pass = Pass::Training { dropout_seed: 5 };

fn network(graph: Graph) -> Network {
    let values = values(&graph);
    Network::new(Arc::new(Plan::new(graph)), &mut |id| values[id.0].clone()).expect("values that fit")
}

/// The sum of all outputs, each with a weight of its own.
fn objective(network: &mut Network, batch: &[f32]) -> f64 {
    let maps = network.maps(batch, TRAINING);
    let output = &maps[maps.len() - 1];
    output.iter().zip(noise("gradient", output.len())).map(|(y, weight)| y * f64::from(weight)).sum()
}

/// Compares the gradient of every parameter with central differences.
fn check_gradients(graph: Graph, images: usize) {
    let batch = noise("images", images * graph.input().len());
    let mut network = network(graph.clone());
    let outputs = images * graph.output().len();
    network.forward(&batch, images, TRAINING).expect("a batch that fits");
    network.backward(&noise("gradient", outputs)).expect("a gradient that fits");
    for (index, spec) in graph.parameters.iter().enumerate().filter(|(_, spec)| spec.role.is_trained()) {
        let id = ParameterId(index);
        let (gradient, values) = (network.read(State::Gradient, id), network.read(State::Value, id));
        assert_eq!(gradient.len(), values.len(), "{}", spec.name);
        // A few values of each: all of small ones.
        for place in (0..values.len()).step_by(values.len().div_ceil(12)) {
            let mut at = |change: f32| {
                let mut changed = values.clone();
                changed[place] += change;
                network.write(State::Value, id, &changed).expect("as many values");
                (f64::from(changed[place]), objective(&mut network, &batch))
            };
            let ((after, above), (before, below)) = (at(1e-5), at(-1e-5));
            network.write(State::Value, id, &values).expect("as many values");
            let expected = (above - below) / (after - before);
            let found = f64::from(gradient[place]);
            let tolerance = 1e-5 * (1.0 + expected.abs());
            assert!(
                (found - expected).abs() < tolerance,
                "{}[{place}]: {found}, expected {expected}",
                spec.name
            );
        }
    }
}

const NORM: BatchNormOptions = BatchNormOptions { epsilon: 1e-3, momentum: 0.1, scale: true };

/// A graph that begins with a biased convolution, so that a gradient reaches it
/// through whatever `body` makes of it.
fn graph(
    body: impl FnOnce(&mut GraphBuilder, NodeId) -> Result<NodeId, SpecError>,
) -> Result<Graph, SpecError> {
    let mut b = GraphBuilder::new(MapShape::new(5, 4, 2))?;
    let first = b.conv_with_bias("first", b.input(), 3, ConvOptions::spatial(3, 1))?;
    let end = body(&mut b, first)?;
    if b.shape(end).pixels() > 1 {
        b.linear("dense", end, 4);
    }
    Ok(b.finish())
}

#[test]
fn convolutions_have_the_gradients_of_finite_differences() -> Result<(), SpecError> {
    let uneven = ConvOptions::spatial(3, 2);
    let dilated = ConvOptions { dilation: 2, padding: Padding::symmetric(2), ..ConvOptions::spatial(3, 3) };
    let strided = ConvOptions {
        stride: 2,
        padding: Padding { top: 0, bottom: 1, left: 0, right: 1 },
        ..ConvOptions::spatial(3, 1)
    };
    for options in [uneven, dilated, strided, ConvOptions::pointwise()] {
        check_gradients(graph(|b, x| b.conv("conv", x, 3, options))?, 3);
    }
    Ok(())
}

#[test]
fn norms_activations_and_dropout_have_the_gradients_of_finite_differences() -> Result<(), SpecError> {
    for options in [NORM, BatchNormOptions { scale: false, ..NORM }] {
        check_gradients(graph(|b, x| Ok(b.batch_norm("norm", x, options)))?, 3);
    }
    for kind in [Activation::Relu, Activation::Elu] {
        check_gradients(graph(|b, x| Ok(b.activation("activation", x, kind)))?, 3);
    }
    check_gradients(graph(|b, x| Ok(b.dropout("dropout", x, 0.4)))?, 3);
    Ok(())
}

#[test]
fn pools_have_the_gradients_of_finite_differences() -> Result<(), SpecError> {
    let padding = Padding { top: 1, bottom: 0, left: 0, right: 1 };
    check_gradients(graph(|b, x| b.max_pool("pool", x, 3, 2, padding))?, 3);
    for include_padding in [false, true] {
        check_gradients(graph(|b, x| b.mean_pool("pool", x, 3, 2, padding, include_padding))?, 3);
    }
    check_gradients(graph(|b, x| Ok(b.global_mean_pool("pool", x)))?, 3);
    Ok(())
}

#[test]
fn paths_that_meet_have_the_gradients_of_finite_differences() -> Result<(), SpecError> {
    check_gradients(
        graph(|b, x| {
            let left = b.conv("left", x, 3, ConvOptions::spatial(3, 3))?;
            let right = b.activation("right", x, Activation::Elu);
            let sum = b.add("sum", left, right)?;
            let norm = b.batch_norm("norm", sum, NORM);
            b.concat("concat", norm, &[x, sum])
        })?,
        2,
    );
    Ok(())
}

#[test]
fn norms_follow_the_batch_with_the_unbiased_variance() -> Result<(), SpecError> {
    let mut b = GraphBuilder::new(MapShape::new(1, 2, 1))?;
    b.batch_norm("norm", b.input(), NORM);
    let mut network = network(b.finish());
    let [gamma, beta, mean, variance] = [0, 1, 2, 3].map(ParameterId);
    for (id, value) in [(gamma, 1.0), (beta, 0.0), (mean, 0.0), (variance, 1.0)] {
        network.write(State::Value, id, &[value]).expect("one value");
    }
    let batch = [1.0, 3.0, 5.0, 7.0];
    let y = network.forward(&batch, 2, TRAINING).expect("a batch");
    let expected = batch.map(|x| (x - 4.0) / (5.0f32 + 1e-3).sqrt());
    assert!(y.iter().zip(expected).all(|(y, expected)| (y - expected).abs() < 1e-6), "{y:?}");
    assert_eq!(network.read(State::Value, mean), [0.4]);
    assert!((network.read(State::Value, variance)[0] - (0.9 + 0.1 * 20.0 / 3.0)).abs() < 1e-6);
    let y = network.forward(&[0.4, 0.4], 1, Pass::Inference).expect("a batch");
    assert_eq!(y, [0.0, 0.0]);
    Ok(())
}

#[test]
fn every_family_runs_forward_and_back() {
    let dense = NetworkSpec { dense: Dense::All, width: 0.05, ..NetworkSpec::default() };
    for spec in every_family(0.05).chain([dense]) {
        let graph = spec.graph(MapShape::new(32, 32, 3), 4).expect("a small network");
        let mut network = network(graph.clone());
        let batch = noise("images", 2 * graph.input().len());
        let logits = network.forward(&batch, 2, TRAINING).expect("a batch");
        assert!(logits.len() == 8 && logits.iter().all(|value| value.is_finite()), "{}", spec.family);
        network.backward(&noise("gradient", 8)).expect("a gradient");
        for (index, parameter) in graph.parameters.iter().enumerate().filter(|(_, p)| p.role.is_trained()) {
            let gradient = network.read(State::Gradient, ParameterId(index));
            assert_eq!(gradient.len(), parameter.len(), "{}: {}", spec.family, parameter.name);
            assert!(gradient.iter().all(|value| value.is_finite()), "{}: {}", spec.family, parameter.name);
        }
        let bias = network.read(State::Gradient, ParameterId(graph.parameters.len() - 1));
        assert!(bias.iter().all(|&value| value != 0.0), "{}: {bias:?}", spec.family);
    }
}

fn sgd() -> Update {
    let rule = Rule::Sgd { rate: 0.5, momentum: 0.5, nesterov: false };
    Update { rule, l2: 0.0, shrink: 1.0, decays_all: false, average_share: None }
}

/// One weight w; the gradient of its network for an input of one is one.
fn one_weight() -> Network {
    let mut b = GraphBuilder::new(MapShape::new(1, 1, 1)).expect("an image");
    b.conv("conv", b.input(), 1, ConvOptions::pointwise()).expect("a convolution");
    let mut network = network(b.finish());
    network.write(State::Value, ParameterId(0), &[2.0]).expect("one value");
    network
}

fn pass(network: &mut Network) {
    network.forward(&[1.0], 1, TRAINING).expect("a batch");
    network.backward(&[1.0]).expect("a gradient");
}

#[test]
fn steps_decay_and_averages_as_written() {
    let (mut network, w) = (one_weight(), ParameterId(0));
    pass(&mut network);
    let averaged = Update { average_share: Some(0.25), ..sgd() };
    network.step(&averaged).expect("a step");
    assert_eq!(network.read(State::Value, w), [1.5]);
    assert_eq!(network.read(State::First, w), [1.0]);
    assert_eq!(network.read(State::Average, w), [1.875], "three quarters of the value before");
    pass(&mut network);
    network.step(&averaged).expect("a step");
    // v = 0.5 + 1; w = 1.5 - 0.75.
    assert_eq!(network.read(State::Value, w), [0.75]);
    // Two maps and their gradients; value, gradient, momentum and average.
    assert_eq!(network.peak_bytes(), 2 * 2 * 8 + 4 * 4);
    assert_eq!(
        Reference.training_bytes(network.plan(), Arithmetic::default(), 1, &averaged, 1),
        2 * 2 * 8 + 4 * 4
    );
    network.exchange_average();
    assert_eq!(network.forward(&[1.0], 1, Pass::Inference).expect("a batch"), [1.59375]);
    network.exchange_average();
    assert_eq!(network.read(State::Value, w), [0.75]);

    let mut network = one_weight();
    pass(&mut network);
    let rule = Rule::Sgd { rate: 0.5, momentum: 0.0, nesterov: false };
    network.step(&Update { rule, l2: 0.25, shrink: 0.5, ..sgd() }).expect("a step");
    // g = 1 + 0.25 * 2; w = 0.5 * 2 - 0.5 * 1.5.
    assert_eq!(network.read(State::Value, w), [0.25]);
    assert!(network.read(State::First, w).is_empty());
}

#[test]
fn calls_that_come_too_early_or_do_not_fit_are_refused() {
    let mut network = one_weight();
    assert!(matches!(network.backward(&[1.0]), Err(ExecutionError::Order { call: "backward", .. })));
    assert!(matches!(network.step(&sgd()), Err(ExecutionError::Order { call: "step", .. })));
    let wrong = network.forward(&[1.0, 2.0], 1, TRAINING);
    assert_eq!(wrong.expect_err("it is refused").to_string(), "batch: 2 values, expected 1");
    network.forward(&[1.0], 1, TRAINING).expect("a batch");
    assert!(matches!(network.backward(&[]), Err(ExecutionError::Length { found: 0, .. })));
    network.backward(&[1.0]).expect("the pass is still there");
    network.forward(&[1.0], 1, Pass::Inference).expect("a batch");
    assert!(matches!(network.backward(&[1.0]), Err(ExecutionError::Order { .. })));
    assert!(network.write(State::Value, ParameterId(0), &[]).is_err());
    let graph = network.plan().graph.clone();
    let error = Reference.network(graph, Arithmetic::default(), &mut |_| vec![0.0; 2]);
    assert_eq!(error.expect_err("it is refused").to_string(), "conv.weight: 2 values, expected 1");
}
