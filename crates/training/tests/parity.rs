//! Ten steps of training against PyTorch, from the same start and the same
//! batches, for every optimiser and several segment counts
//! (tools/training-parity.py).

mod formula;

use std::collections::BTreeMap;

use decouple_core_ops::{Context, Gradients, Loss, MapShape, Recorder};
use decouple_experiment::TrainingSpec;
use decouple_spectrum::{
    graph::{Graph, Op, ParameterId, ParameterSpec, Role},
    network::NetworkSpec,
};
use decouple_training::{
    network::{Network, NetworkError},
    optimizer::OptimizerState,
};
use formula::uniform;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Fixture {
    network: Value,
    input: [usize; 3],
    classes: usize,
    batch: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Case {
    name: String,
    /// Begins the name of every sequence of numbers.
    seed: u64,
    segments: Value,
    training: TrainingSpec,
    rates: Vec<f64>,
    losses: Vec<f64>,
    /// Loss of one more batch after the last step, in inference.
    inference_loss: f64,
    /// First value and root mean square of each running mean and variance.
    running_statistics: BTreeMap<String, [f64; 2]>,
}

#[test]
fn ten_steps_follow_pytorch() {
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/parity.json")).expect("the fixture");
    assert_eq!(fixture.cases.len(), 16, "four optimisers at four segment counts");
    for case in &fixture.cases {
        let mut run = Run::new(&fixture, case);
        for (step, (&rate, &expected)) in case.rates.iter().zip(&case.losses).enumerate() {
            let loss = run.train(step, rate).expect("a step");
            assert_close(loss, expected, expected, &format!("{}: loss of step {step}", case.name));
        }
        let loss = run.infer(case.rates.len()).expect("inference");
        assert_close(loss, case.inference_loss, case.inference_loss, &format!("{}: inference", case.name));
        for (name, expected) in &case.running_statistics {
            let found = run.running_statistic(name);
            let scale = expected[1];
            for (found, &expected) in found.into_iter().zip(expected) {
                assert_close(found, expected, scale, &format!("{}: {name}", case.name));
            }
        }
    }
}

fn assert_close(found: f64, expected: f64, scale: f64, what: &str) {
    assert!((found - expected).abs() <= 1e-4 * scale.abs(), "{what}: {found} against {expected}");
}

/// A case's network, optimiser and stream of batches.
struct Run<'a> {
    case: &'a Case,
    context: Context,
    network: Network,
    optimizer: OptimizerState,
    input: MapShape,
    batch: usize,
    classes: usize,
}

impl<'a> Run<'a> {
    fn new(fixture: &Fixture, case: &'a Case) -> Self {
        let mut typed = fixture.network.clone();
        typed["segments"] = case.segments.clone();
        let spec: NetworkSpec = serde_json::from_value(typed).expect("a network section");
        let [h, w, c] = fixture.input;
        let input = MapShape::new(h, w, c);
        let graph = spec.graph(input, fixture.classes).expect("the network fits the images");
        let context = Context::best();
        let mut network = Network::new(graph, 0, &context);
        start(&mut network, case.seed);
        let lengths: Vec<usize> = network.parameters().map(|p| p.values().len()).collect();
        let optimizer = OptimizerState::new(&case.training, lengths);
        Self { case, context, network, optimizer, input, batch: fixture.batch, classes: fixture.classes }
    }

    fn train(&mut self, step: usize, rate: f64) -> Result<f64, NetworkError> {
        let mut recorder = Recorder::training(&self.context, Gradients::default());
        let loss = self.loss(&mut recorder, step)?;
        let value = f64::from(loss.value());
        let mut gradients = loss.backward(recorder)?;
        self.optimizer.step(&mut self.network, &mut gradients, rate);
        Ok(value)
    }

    fn infer(&mut self, step: usize) -> Result<f64, NetworkError> {
        let mut recorder = Recorder::inference(&self.context);
        Ok(f64::from(self.loss(&mut recorder, step)?.value()))
    }

    fn loss(&mut self, recorder: &mut Recorder, step: usize) -> Result<Loss, NetworkError> {
        let Case { seed, training, .. } = self.case;
        let images = uniform(&format!("{seed} images {step}"), self.batch * self.input.len());
        let images: Vec<f32> = images.map(|u| u as f32).collect();
        let labels = uniform(&format!("{seed} labels {step}"), self.batch);
        let labels: Vec<u16> = labels.map(|u| ((u + 1.0) * (self.classes as f64 / 2.0)) as u16).collect();
        let x = recorder.input(self.input, &images)?;
        let logits = self.network.forward(recorder, x, 0)?;
        Ok(recorder.cross_entropy(&logits, &labels, training.label_smoothing as f32)?)
    }

    /// First value and root mean square of the running statistic `name`.
    fn running_statistic(&mut self, name: &str) -> [f64; 2] {
        let mut digest = None;
        for_each_named(&mut self.network, |spec, values| {
            if spec.name == name {
                let squares: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
                digest = Some([f64::from(values[0]), (squares / values.len() as f64).sqrt()]);
            }
        });
        digest.expect("a statistic of the network")
    }
}

/// Start values of the whole state: weights of variance 2 / fan-in, everything
/// else around its usual start, so that nothing is special about any of it.
fn start(network: &mut Network, seed: u64) {
    for_each_named(network, |spec, values| {
        let (scale, centre) = match spec.role {
            Role::ConvWeight | Role::LinearWeight => ((6.0 / spec.fan_in as f64).sqrt(), 0.0),
            Role::Gamma | Role::RunningVariance => (0.25, 1.0),
            Role::Bias | Role::Beta | Role::RunningMean => (0.25, 0.0),
        };
        let u = uniform(&format!("{seed} {}", spec.name), values.len());
        values.iter_mut().zip(u).for_each(|(value, u)| *value = (u * scale + centre) as f32);
    });
}

/// Calls `visit` with everything that the network's state holds values of.
fn for_each_named(network: &mut Network, mut visit: impl FnMut(&ParameterSpec, &mut [f32])) {
    let graph = network.graph().clone();
    let mut ids = state_order(&graph).into_iter();
    network.for_each_state(|values| {
        let id = ids.next().expect("a name for every part of the state");
        if !values.is_empty() {
            visit(graph.parameter(id), values);
        }
    });
}

/// What [`Network::for_each_state`] visits: the parameters, among which running
/// statistics are empty, then the running statistics of every batch norm.
fn state_order(graph: &Graph) -> Vec<ParameterId> {
    let statistics = graph.nodes.iter().filter_map(|node| match node.op {
        Op::BatchNorm { mean, variance, .. } => Some([mean, variance]),
        _ => None,
    });
    (0..graph.parameters.len()).map(ParameterId).chain(statistics.flatten()).collect()
}
