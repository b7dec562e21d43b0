//! Small networks with every operation, against the plain executor in double
//! precision: what the engine gives in a step of training and in inference.

use decouple_core_ops::{Engine, Isa};
use decouple_kernels::{
    arithmetic::{Arithmetic, Precision},
    geometry::{ConvOptions, MapShape, Padding},
};
use decouple_made_up::{noise, values};
use decouple_reference::Reference;
use decouple_spectrum::{
    backend::{Backend, Executor, Pass, Rule, State, Update},
    builder::{BatchNormOptions, GraphBuilder},
    error::SpecError,
    graph::{Activation, Graph, ParameterId},
};

const NORM: BatchNormOptions = BatchNormOptions { epsilon: 1e-3, momentum: 0.1, scale: true };

/// A network with every operation: norms after everything, activations of sums and
/// of joins, dropout, both poolings, a dense layer over a map.
fn everything() -> Result<Graph, SpecError> {
    let mut b = GraphBuilder::new(MapShape::new(9, 8, 3))?;
    let image = b.batch_norm("image", b.input(), NORM);
    let stem = b.conv_with_bias("stem", image, 5, ConvOptions::spatial(3, 1))?;
    let norm = b.batch_norm("stem.norm", stem, NORM);
    let relu = b.activation("stem.relu", norm, Activation::Relu);
    let first = b.conv("pointwise", relu, 5, ConvOptions::pointwise())?;
    let between = b.activation("between", first, Activation::Elu);
    let second = b.spatial("spatial", between, 3, 2)?;
    let norm = b.batch_norm("module.norm", second, NORM);
    let sum = b.add("sum", norm, relu)?;
    let sum_norm = b.batch_norm("sum.norm", sum, NORM);
    let elu = b.activation("sum.elu", sum_norm, Activation::Elu);
    let pooled = b.max_pool("max", elu, 3, 2, Padding::symmetric(1))?;
    let skip = b.conv("skip", sum, 5, ConvOptions { stride: 2, ..ConvOptions::pointwise() })?;
    let mean = b.mean_pool("mean", skip, 3, 1, Padding::symmetric(1), false)?;
    let joined = b.concat("join", pooled, &[mean, skip])?;
    let plain_sum = b.add("again", joined, joined)?;
    let dropped = b.dropout("drop", plain_sum, 0.3);
    let relu = b.activation("drop.relu", dropped, Activation::Relu);
    let dense = b.linear("dense", relu, 7);
    let relu = b.activation("dense.relu", dense, Activation::Relu);
    b.linear("logits", relu, 4);
    Ok(b.finish())
}

/// A residual flow: sums that share their gradients.
fn residual() -> Result<Graph, SpecError> {
    let mut b = GraphBuilder::new(MapShape::new(6, 6, 2))?;
    let mut map = b.conv("stem", b.input(), 6, ConvOptions::spatial(3, 1))?;
    for block in 0..3 {
        map = b.scope(&format!("block{block}"), |b| {
            let mut inner = map;
            for module in 0..=block {
                inner = b.scope(&format!("module{module}"), |b| {
                    let relu = b.activation("relu", inner, Activation::Relu);
                    let pointwise = b.conv("pointwise", relu, 6, ConvOptions::pointwise())?;
                    let spatial = b.spatial("spatial", pointwise, 3, 4)?;
                    Ok(b.batch_norm("norm", spatial, NORM))
                })?;
            }
            b.add("add", inner, map)
        })?;
    }
    let pool = b.global_mean_pool("pool", map);
    b.linear("logits", pool, 3);
    Ok(b.finish())
}

fn executor(backend: &dyn Backend, graph: &Graph) -> Box<dyn Executor> {
    let values = values(graph);
    backend
        .network(graph.clone(), Arithmetic::default(), &mut |id| values[id.0].clone())
        .expect("values that fit")
}

/// Images as the executor wants them.
fn batch(executor: &dyn Executor, images: usize, seed: u32) -> Vec<f32> {
    let layout = executor.batch_layout(images);
    layout.of(&noise(&format!("images {seed}"), images * layout.shape.len()))
}

/// Every value that two steps of training and an inference give, by name.
fn results(backend: &dyn Backend, graph: &Graph, images: usize) -> Vec<(String, Vec<f32>)> {
    let mut network = executor(backend, graph);
    let mut all = Vec::new();
    for step in 0..2 {
        let batch = batch(&*network, images, 50 + step);
        let logits = network.forward(&batch, images, Pass::Training { dropout_seed: 9 }).expect("a forward");
        network.backward(&noise(&format!("gradient {step}"), logits.len())).expect("a backward");
        all.push((format!("logits {step}"), logits));
        for (index, parameter) in graph.parameters.iter().enumerate() {
            all.push((
                format!("gradient {step} of {}", parameter.name),
                network.read(State::Gradient, ParameterId(index)),
            ));
        }
        let rule = Rule::Sgd { rate: 1e-3, momentum: 0.9, nesterov: true };
        let update = Update { rule, l2: 1e-2, shrink: 1.0, decays_all: false, average_share: Some(0.5) };
        network.step(&update).expect("a step");
    }
    for what in [State::Value, State::First, State::Average] {
        for (index, parameter) in graph.parameters.iter().enumerate() {
            all.push((format!("{what:?} of {}", parameter.name), network.read(what, ParameterId(index))));
        }
    }
    network.exchange_average();
    let batch = batch(&*network, 3, 70);
    all.push(("inference".to_owned(), network.forward(&batch, 3, Pass::Inference).expect("a forward")));
    all
}

fn size(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn the_engine_agrees_with_the_reference() {
    for (name, graph) in [("everything", everything()), ("residual", residual())] {
        let graph = graph.expect("a network");
        for images in [1, 5, 33] {
            let expected = results(&Reference, &graph, images);
            let found = results(&Engine::best(), &graph, images);
            for ((what, expected), (_, found)) in expected.iter().zip(&found) {
                assert_eq!(found.len(), expected.len(), "{name}, {images} images: {what}");
                let difference: Vec<f32> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
                let allowed = 1e-3 * size(expected).max(1e-2 * (expected.len() as f64).sqrt());
                assert!(
                    size(&difference) <= allowed,
                    "{name}, {images} images: {what} is {found:?}, should be {expected:?}"
                );
            }
        }
    }
}

/// A norm divides by the spread of the images that are there, which may be none.
#[test]
fn lanes_without_an_image_reach_no_gradient() {
    let chain = || -> Result<Graph, SpecError> {
        let mut b = GraphBuilder::new(MapShape::new(2, 2, 4))?;
        let mut map = b.input();
        for module in 0..24 {
            map = b.scope(&format!("module{module}"), |b| {
                let conv = b.conv("conv", map, 4, ConvOptions::pointwise())?;
                Ok(b.batch_norm("norm", conv, NORM))
            })?;
        }
        let pool = b.global_mean_pool("pool", map);
        b.linear("logits", pool, 3);
        Ok(b.finish())
    };
    let graph = chain().expect("a network");
    let mut network = executor(&Engine::best(), &graph);
    let layout = network.batch_layout(2);
    let batch = layout.of(&noise("an image", layout.shape.len()).repeat(2));
    network.forward(&batch, 2, Pass::Training { dropout_seed: 9 }).expect("a forward");
    network.backward(&[0.3, -0.2, 0.1].repeat(2)).expect("a backward");
    for (index, parameter) in graph.parameters.iter().enumerate() {
        let gradient = network.read(State::Gradient, ParameterId(index));
        assert!(gradient.iter().all(|value| value.is_finite()), "{}: {gradient:?}", parameter.name);
    }
}

#[test]
fn every_instruction_set_and_number_of_threads_gives_the_same_bits() {
    let graph = everything().expect("a network");
    let expected = results(&Engine::best(), &graph, 33);
    for isa in Isa::available() {
        for threads in 1..=3 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            let found = pool.install(|| results(&Engine::new(isa), &graph, 33));
            assert!(found == expected, "{} on {threads} threads", isa.name());
        }
    }
}

#[test]
fn factors_in_bf16_give_nearly_the_same() {
    let graph = everything().expect("a network");
    let values = values(&graph);
    let logits = |precision| {
        let arithmetic = Arithmetic { precision, ..Arithmetic::default() };
        let network = Engine::best().network(graph.clone(), arithmetic, &mut |id| values[id.0].clone());
        let mut network = network.expect("values that fit");
        let batch = batch(&*network, 33, 50);
        network.forward(&batch, 33, Pass::Training { dropout_seed: 9 }).expect("a forward pass")
    };
    let [exact, rounded] = [Precision::F32, Precision::Bf16].map(logits);
    let difference: Vec<f32> = exact.iter().zip(&rounded).map(|(a, b)| a - b).collect();
    let share = size(&difference) / size(&exact);
    assert!(share > 1e-5 && share < 0.03, "{share}");
}

#[test]
fn calls_that_do_not_fit_are_refused() {
    let graph = residual().expect("a network");
    let mut network = executor(&Engine::best(), &graph);
    assert!(network.backward(&[]).is_err(), "nothing to go back from");
    assert!(network.forward(&[1.0], 1, Pass::Inference).is_err(), "a batch of one value");
}
