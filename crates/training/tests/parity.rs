//! Ten steps of training against PyTorch, from the same start and the same
//! batches, for every optimiser and several segment counts
//! (tools/training-parity.py).

use std::collections::BTreeMap;

use decouple_experiment::TrainingSpec;
use decouple_kernels::{arithmetic::Arithmetic, geometry::MapShape};
use decouple_made_up::uniform;
use decouple_spectrum::{
    backend::{Executor, Pass, State},
    graph::{ParameterId, ParameterSpec, Role},
    network::NetworkSpec,
};
use decouple_training::{
    device::backend,
    loss::{Targets, softmax_cross_entropy},
    optimizer::update,
};
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
        let mut run = Training::new(&fixture, case);
        for (step, (&rate, &expected)) in case.rates.iter().zip(&case.losses).enumerate() {
            let loss = run.train(step, rate);
            assert_close(loss, expected, expected, &format!("{}: loss of step {step}", case.name));
        }
        let loss = run.loss(case.rates.len(), Pass::Inference).0;
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

/// A case's network and stream of batches.
struct Training<'a> {
    case: &'a Case,
    network: Box<dyn Executor>,
    input: MapShape,
    batch: usize,
    classes: usize,
}

impl<'a> Training<'a> {
    fn new(fixture: &Fixture, case: &'a Case) -> Self {
        let mut typed = fixture.network.clone();
        typed["segments"] = case.segments.clone();
        let spec: NetworkSpec = serde_json::from_value(typed).expect("a network section");
        let [h, w, c] = fixture.input;
        let input = MapShape::new(h, w, c);
        let graph = spec.graph(input, fixture.classes).expect("it fits the images");
        let parameters = graph.parameters.clone();
        let network =
            backend().network(graph, Arithmetic::default(), &mut |id| start(&parameters[id.0], case.seed));
        let network = network.expect("values that fit");
        Self { case, network, input, batch: fixture.batch, classes: fixture.classes }
    }

    fn train(&mut self, step: usize, rate: f64) -> f64 {
        let (loss, gradient) = self.loss(step, Pass::Training { dropout_seed: 0 });
        self.network.backward(&gradient).expect("a backward pass");
        let update = update(&self.case.training, rate, step as u64 + 1);
        self.network.step(&update).expect("a step");
        loss
    }

    /// The loss of batch `step`, and the gradient of the logits.
    fn loss(&mut self, step: usize, pass: Pass) -> (f64, Vec<f32>) {
        let Case { seed, training, .. } = self.case;
        let images = uniform(&format!("{seed} images {step}"), self.batch * self.input.len());
        let images: Vec<f32> = images.map(|u| u as f32).collect();
        let labels = uniform(&format!("{seed} labels {step}"), self.batch);
        let labels: Vec<u16> = labels.map(|u| ((u + 1.0) * (self.classes as f64 / 2.0)) as u16).collect();
        let images = self.network.batch_layout(self.batch).of(&images);
        let logits = self.network.forward(&images, self.batch, pass).expect("a forward pass");
        let targets = Targets::Labels { labels: &labels, smoothing: training.label_smoothing };
        let mut gradient = Vec::new();
        let loss = softmax_cross_entropy(&logits, self.classes, targets, &mut gradient).expect("a loss");
        (loss, gradient)
    }

    /// First value and root mean square of the running statistic `name`.
    fn running_statistic(&self, name: &str) -> [f64; 2] {
        let parameters = &self.network.plan().graph.parameters;
        let index = parameters.iter().position(|spec| spec.name == name).expect("a statistic");
        let values = self.network.read(State::Value, ParameterId(index));
        let squares: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
        [f64::from(values[0]), (squares / values.len() as f64).sqrt()]
    }
}

/// Initial values of a parameter or statistic: weights of variance 2 / fan-in, everything else
/// around its usual start, so that nothing is special about any of it.
fn start(spec: &ParameterSpec, seed: u64) -> Vec<f32> {
    let (scale, centre) = match spec.role {
        Role::ConvWeight | Role::LinearWeight => ((6.0 / spec.fan_in as f64).sqrt(), 0.0),
        Role::Gamma | Role::RunningVariance => (0.25, 1.0),
        Role::Bias | Role::Beta | Role::RunningMean => (0.25, 0.0),
    };
    uniform(&format!("{seed} {}", spec.name), spec.len()).map(|u| (u * scale + centre) as f32).collect()
}
