//! The optimisers against vectors made by PyTorch and TensorFlow themselves
//! (tools/optimizer-fixtures.py).

use decouple_experiment::TrainingSpec;
use decouple_kernels::{
    arithmetic::Arithmetic,
    geometry::{ConvOptions, MapShape},
};
use decouple_spectrum::{
    backend::{Executor, Pass, State},
    builder::{BatchNormOptions, GraphBuilder},
    graph::{Graph, ParameterId},
};
use decouple_training::{device::backend, optimizer::update};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Fixture {
    start: Vec<f32>,
    rates: Vec<f64>,
    gradients: Vec<Vec<f32>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Case {
    name: String,
    optimizer: Value,
    weight_decay: f64,
    weight_decay_kind: Option<String>,
    /// The values after each step.
    after: Vec<Vec<f32>>,
}

impl Case {
    /// What the case would be in an experiment file.
    fn spec(&self) -> TrainingSpec {
        let kind = self.weight_decay_kind.as_deref().unwrap_or("coupled");
        let typed = serde_json::json!({
            "optimizer": self.optimizer,
            "weight-decay": self.weight_decay,
            "weight-decay-kind": kind,
        });
        serde_json::from_value(typed).expect("the fixture is a training section")
    }
}

const TRAINING: Pass = Pass::Training { dropout_seed: 0 };

fn network(graph: Graph, mut values: impl FnMut(ParameterId) -> Vec<f32>) -> Box<dyn Executor> {
    backend().network(graph, Arithmetic::default(), &mut values).expect("values that fit")
}

#[test]
fn every_rule_follows_its_framework() {
    let fixture: Fixture =
        serde_json::from_str(include_str!("fixtures/optimizers.json")).expect("the fixture is JSON");
    assert_eq!(fixture.cases.len(), 7);
    for case in &fixture.cases {
        // Of a pixel of one, the logits are the weights, and so are their gradients.
        let mut b = GraphBuilder::new(MapShape::new(1, 1, 1)).expect("an image");
        b.conv("conv", b.input(), fixture.start.len(), ConvOptions::pointwise()).expect("a convolution");
        let mut network = network(b.finish(), |_| fixture.start.clone());
        let pixel = network.batch_layout(1).of(&[1.0]);
        let steps = (1..).zip(fixture.rates.iter().zip(&fixture.gradients).zip(&case.after));
        for (step, ((&rate, gradient), after)) in steps {
            network.forward(&pixel, 1, TRAINING).expect("a forward pass");
            network.backward(gradient).expect("a backward pass");
            network.step(&update(&case.spec(), rate, step)).expect("a step");
            for (found, expected) in network.read(State::Value, ParameterId(0)).iter().zip(after) {
                let close = (found - expected).abs() <= 2e-6 * expected.abs().max(1.0);
                assert!(close, "{} at step {step}: {found} against {expected}", case.name);
            }
        }
    }
}

#[test]
fn biases_and_batch_norms_are_pulled_only_when_asked() {
    let mut b = GraphBuilder::new(MapShape::new(1, 1, 1)).expect("an image");
    let options = BatchNormOptions { epsilon: 1e-3, momentum: 0.1, scale: true };
    let conv = b.conv_with_bias("conv", b.input(), 2, ConvOptions::pointwise()).expect("a convolution");
    let norm = b.batch_norm("norm", conv, options);
    b.linear("dense", norm, 2);
    let graph = b.finish();
    let typed = |on: &str| serde_json::json!({ "weight-decay": 0.5, "weight-decay-on": on });
    for on in ["weights", "all"] {
        let spec: TrainingSpec = serde_json::from_value(typed(on)).expect("a training section");
        let mut network = network(graph.clone(), |id| vec![1.0; graph.parameter(id).len()]);
        let pixel = network.batch_layout(1).of(&[1.0]);
        network.forward(&pixel, 1, TRAINING).expect("a forward pass");
        network.backward(&[0.0; 2]).expect("a backward pass");
        network.step(&update(&spec, 0.1, 1)).expect("a step");
        for (index, parameter) in graph.parameters.iter().enumerate().filter(|(_, p)| p.role.is_trained()) {
            let values = network.read(State::Value, ParameterId(index));
            let pulled = on == "all" || parameter.name.ends_with("weight");
            let is_pulled = values.iter().all(|&value| value < 1.0);
            assert_eq!(is_pulled, pulled, "{} with weight-decay-on = {on}: {values:?}", parameter.name);
        }
    }
}

#[test]
fn the_share_of_an_average_grows_with_the_steps() {
    let typed = serde_json::json!({ "average": { "kind": "polyak", "decay": 0.9 } });
    let spec: TrainingSpec = serde_json::from_value(typed).expect("a training section");
    let share = |step| update(&spec, 0.1, step).average_share;
    assert_eq!([1, 8, 1000].map(share), [Some((9.0f64 / 11.0) as f32), Some(0.5), Some(0.1)]);
    assert_eq!(update(&TrainingSpec::default(), 0.1, 1).average_share, None);
}
