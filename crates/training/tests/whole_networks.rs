//! Whole networks of every family, step by step, against the plain executor in
//! double precision.

use decouple_experiment::TrainingSpec;
use decouple_kernels::{
    arithmetic::{Arithmetic, Winograd},
    geometry::MapShape,
};
use decouple_made_up::{every_family, noise, uniform};
use decouple_reference::Reference;
use decouple_spectrum::{
    backend::{Backend, Executor, Pass, State},
    graph::{Graph, ParameterId, Role},
    module::{Intermediate, NormPlacement, Order},
    network::{Dense, Family, NetworkSpec},
    segments::{SegmentSchedule, Segments},
};
use decouple_training::{
    device::backend,
    inference::logits,
    loss::{Targets, softmax_cross_entropy},
    optimizer::update,
    start_values::start_values,
};

const CLASSES: usize = 10;

/// What may differ of a network in single precision: the root of the sum of squared
/// differences, relative to that of the values.
const TOLERANCE: f64 = 2e-3;

/// The same for networks of forty layers and two to eight channels, where some value
/// always lies so near a kink (a rectifier's zero, two equal maxima) that rounding
/// decides which way its gradient goes. (Measured: changing half of Inception V3's
/// weights by one unit in the last place changes the first layer's gradient by 0.6
/// to 0.8 % in the reference itself.)
const DEEP_TOLERANCE: f64 = 0.15;

/// A network, how it is trained, and on how many images at a time.
struct Case {
    tolerance: f64,
    name: String,
    graph: Graph,
    training: TrainingSpec,
    arithmetic: Arithmetic,
    images: usize,
}

fn case(spec: &NetworkSpec, training: serde_json::Value, images: usize) -> Case {
    let training = serde_json::from_value(training).expect("a training section");
    let graph = spec.graph(MapShape::new(32, 32, 3), CLASSES).expect("a small network");
    Case {
        name: format!("{} on {images} images: {spec:?}", spec.family),
        graph,
        training,
        arithmetic: Arithmetic::default(),
        images,
        tolerance: TOLERANCE,
    }
}

/// Initial values with scales and shifts that differ from channel to channel.
fn start(graph: &Graph) -> Vec<Vec<f32>> {
    let mut values = start_values(graph, 3);
    for (spec, values) in graph.parameters.iter().zip(&mut values) {
        if !matches!(spec.role, Role::ConvWeight | Role::LinearWeight) {
            let noise = uniform(&spec.name, values.len());
            values.iter_mut().zip(noise).for_each(|(value, noise)| *value += (0.2 * noise) as f32);
        }
    }
    values
}

fn executor(case: &Case, backend: &dyn Backend, values: &[Vec<f32>]) -> Box<dyn Executor> {
    let executor = backend.network(case.graph.clone(), case.arithmetic, &mut |id| values[id.0].clone());
    executor.expect("values that fit")
}

/// Loss and logits of batch `step`; the executor has gone back afterwards.
fn pass(case: &Case, executor: &mut dyn Executor, step: u64) -> (f64, Vec<f32>) {
    let images = noise(&format!("images {step}"), case.images * case.graph.input().len());
    let labels: Vec<u16> = (0..case.images).map(|i| ((i as u64 + step) % CLASSES as u64) as u16).collect();
    let batch = executor.batch_layout(case.images).of(&images);
    let logits = executor.forward(&batch, case.images, Pass::Training { dropout_seed: step });
    let logits = logits.expect("a forward pass");
    let targets = Targets::Labels { labels: &labels, smoothing: case.training.label_smoothing };
    let mut gradient = Vec::new();
    let loss = softmax_cross_entropy(&logits, CLASSES, targets, &mut gradient).expect("a loss");
    executor.backward(&gradient).expect("a backward pass");
    (loss, logits)
}

/// Trains both for a few steps; after each, `tested` continues from the state of the reference,
/// so that differences do not grow. What differs first, if anything does.
fn compare(case: &Case, tested: &dyn Backend, values: &[Vec<f32>]) -> Result<(), String> {
    let mut tested = executor(case, tested, values);
    let mut reference = executor(case, &Reference, &start(&case.graph));
    let ids = || (0..case.graph.parameters.len()).map(ParameterId);
    for step in 1..=3 {
        let (loss, logits) = pass(case, &mut *tested, step);
        let (expected_loss, expected_logits) = pass(case, &mut *reference, step);
        let at = |what: &str| format!("{}: {what} of step {step}", case.name);
        if (loss - expected_loss).abs() > 1e-4 * expected_loss.abs() {
            return Err(format!("{}: {loss}, expected {expected_loss}", at("loss")));
        }
        close(case.tolerance, &logits, &expected_logits, 0.0, &at("logits"))?;
        let of = |executor: &dyn Executor, what, id| executor.read(what, id);
        // A gradient that should vanish is as exact as the others are.
        let gradients: Vec<Vec<f32>> = ids().map(|id| of(&*reference, State::Gradient, id)).collect();
        let count: usize = gradients.iter().map(Vec::len).sum();
        let typical = norm(gradients.iter().flatten().copied()) / (count as f64).sqrt();
        for (id, expected) in ids().zip(&gradients) {
            let what = at(&format!("gradient of {}", case.graph.parameter(id).name));
            close(case.tolerance, &of(&*tested, State::Gradient, id), expected, typical, &what)?;
        }
        let update = update(&case.training, 0.05, step);
        tested.step(&update).expect("a step");
        reference.step(&update).expect("a step");
        for id in ids() {
            for what in [State::Value, State::First, State::Second, State::Average] {
                let expected = of(&*reference, what, id);
                let name = at(&format!("{what:?} of {}", case.graph.parameter(id).name));
                let scale = if what == State::Value || what == State::Average { 0.1 } else { typical };
                close(case.tolerance, &of(&*tested, what, id), &expected, scale, &name)?;
                tested.write(what, id, &expected).expect("values that fit");
            }
        }
        tested.exchange_average();
        reference.exchange_average();
        let image = vec![0.5; case.graph.input().len()];
        let [a, b] = [&mut tested, &mut reference].map(|executor| {
            let batch = executor.batch_layout(1).of(&image);
            executor.forward(&batch, 1, Pass::Inference).expect("a forward pass")
        });
        close(case.tolerance, &a, &b, 0.0, &at("inference with averages"))?;
        tested.exchange_average();
        reference.exchange_average();
    }
    Ok(())
}

fn norm(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

/// Refuses values that differ by more than the tolerance; `scale` is what a value is
/// at the least taken to be.
fn close(tolerance: f64, found: &[f32], expected: &[f32], scale: f64, what: &str) -> Result<(), String> {
    if found.len() != expected.len() {
        return Err(format!("{what}: {} values, expected {}", found.len(), expected.len()));
    }
    let difference = norm(found.iter().zip(expected).map(|(a, b)| a - b));
    let size = norm(expected.iter().copied()).max(scale * (expected.len() as f64).sqrt());
    if difference <= tolerance * size || difference == 0.0 {
        return Ok(());
    }
    Err(format!("{what}: {difference:e} away, of {size:e}"))
}

fn sgd() -> serde_json::Value {
    serde_json::json!({ "average": { "kind": "polyak", "decay": 0.9 }, "label-smoothing": 0.1 })
}

fn mini() -> NetworkSpec {
    let segments = SegmentSchedule::Uniform(Segments::Count(3));
    NetworkSpec {
        stem: 5,
        entry: vec![7, 8],
        middle: 1,
        modules: 2,
        exit: 10,
        segments,
        ..NetworkSpec::default()
    }
}

fn assert_equal(case: &Case) {
    if let Err(difference) = compare(case, &*backend(), &start(&case.graph)) {
        panic!("{difference}");
    }
}

#[test]
fn every_family_is_the_reference_s() {
    // ResNet-152 has the blocks of ResNet-50, but in a chain so long that rounding
    // alone turns its first gradients by a quarter.
    for network in every_family(0.06).filter(|network| network.family != Family::Resnet152) {
        // Norms over few values would make much of any rounding.
        assert_equal(&Case { tolerance: DEEP_TOLERANCE, ..case(&network, sgd(), 21) });
    }
}

/// One image's rows lie in the lanes; its logits are the same bits as among others.
#[test]
fn every_family_answers_for_an_image_alone_as_among_others() {
    let wide = NetworkSpec { segments: SegmentSchedule::Uniform(Segments::Count(1)), width: 2.0, ..mini() };
    for network in every_family(0.06).chain([mini(), wide]) {
        let graph = network.graph(MapShape::new(81, 77, 3), CLASSES).expect("a network");
        let values = start(&graph);
        let network =
            || backend().network(graph.clone(), Arithmetic::default(), &mut |id| values[id.0].clone());
        let [mut many, mut few] = [(); 2].map(|()| network().expect("values that fit"));
        let images = noise("images", 5 * graph.input().len());
        let all = logits(&mut *many, &images).expect("whole images");
        for (image, expected) in images.chunks_exact(graph.input().len()).zip(all.chunks_exact(CLASSES)) {
            assert_eq!(logits(&mut *few, image).expect("a whole image"), expected, "{:?}", graph.nodes[1]);
        }
    }
}

#[test]
fn every_point_of_the_spectrum_is_the_reference_s() {
    for count in [1, 2, 3, 5] {
        let segments = SegmentSchedule::Uniform(Segments::Count(count));
        assert_equal(&case(&NetworkSpec { segments, ..mini() }, sgd(), 17));
    }
    let segments = SegmentSchedule::Uniform(Segments::PerChannel);
    for (norm, intermediate, order) in [
        (NormPlacement::Both, Intermediate::Elu, Order::PointwiseFirst),
        (NormPlacement::Both, Intermediate::None, Order::SpatialFirst),
        (NormPlacement::Module, Intermediate::Relu, Order::SpatialFirst),
    ] {
        let own = NetworkSpec { norm, intermediate, order, ..mini() };
        assert_equal(&case(&own, sgd(), 3));
        assert_equal(&case(&NetworkSpec { segments: segments.clone(), kernel: 5, ..own }, sgd(), 20));
    }
    for dense in [Dense::First, Dense::All] {
        assert_equal(&case(&NetworkSpec { dense, ..mini() }, sgd(), 16));
    }
}

#[test]
fn networks_wide_enough_for_tiles_are_the_reference_s() {
    let segments = SegmentSchedule::Uniform(Segments::Count(1));
    let wide = NetworkSpec { stem: 8, entry: vec![49], exit: 48, middle: 0, segments, ..mini() };
    for (order, winograd) in [(Order::PointwiseFirst, Winograd::F2), (Order::SpatialFirst, Winograd::F4)] {
        let arithmetic = Arithmetic { winograd, ..Arithmetic::default() };
        // Tiles of 4x4 outputs round ten times as much.
        let tolerance = if winograd == Winograd::F4 { 10.0 * TOLERANCE } else { TOLERANCE };
        let case = case(&NetworkSpec { order, ..wide.clone() }, sgd(), 2);
        assert_equal(&Case { arithmetic, tolerance, ..case });
    }
}

#[test]
fn every_optimiser_is_the_reference_s() {
    for (optimizer, images) in [
        (serde_json::json!({ "kind": "sgd", "momentum": 0.0, "nesterov": false }), 33),
        (serde_json::json!({ "kind": "sgd", "momentum": 0.9, "nesterov": true }), 32),
        (serde_json::json!({ "kind": "rmsprop", "form": "tensorflow", "epsilon": 1.0 }), 31),
        (serde_json::json!({ "kind": "rmsprop", "form": "pytorch", "epsilon": 1.0 }), 2),
        (serde_json::json!({ "kind": "adamw", "epsilon": 1.0 }), 7),
    ] {
        for kind in ["coupled", "decoupled"] {
            let training = serde_json::json!({
                "optimizer": optimizer, "weight-decay": 0.1, "weight-decay-kind": kind,
            });
            assert_equal(&case(&mini(), training, images));
        }
    }
}

#[test]
fn a_weight_that_is_a_little_wrong_is_noticed() {
    let case = case(&mini(), sgd(), 5);
    let right = start(&case.graph);
    assert_eq!(compare(&case, &Reference, &right), Ok(()));
    for (index, spec) in case.graph.parameters.iter().enumerate() {
        let mut values = right.clone();
        values[index].iter_mut().for_each(|value| *value = *value * 1.02 + 0.002);
        assert!(compare(&case, &Reference, &values).is_err(), "{}", spec.name);
    }
}
