//! This program's side of `tools/bench/run`: `bench THREADS`, then requests
//! on the standard input, see `worker`.

use std::{cell::RefCell, rc::Rc};

use decouple_core_ops::{Context, ConvGeometry, ConvOptions, Gradients, MapShape, Recorder};
use decouple_experiment::{Optimizer, TrainingSpec};
use decouple_kernels::conv;
use decouple_spectrum::{
    builder::{BatchNormOptions, GraphBuilder},
    error::SpecError,
    graph::{Activation, Graph},
    module::{Intermediate, NormPlacement, Order, SpectrumModule},
    network::{Family, NetworkSpec, Numerics},
    segments::{Schedule, Segments},
};
use decouple_training::{network::Network, optimizer::OptimizerState};
use worker::{Missing, Prepared, Request, Run, Work};

mod machine;
mod worker;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let threads = std::env::args().nth(1).ok_or("usage: bench THREADS")?.parse()?;
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    // As a trial of a sweep: on a thread of the pool, not waiting beside it.
    Ok(rayon::scope(|_| serve().map_err(|error| error.to_string()))?)
}

fn serve() -> Result<(), Box<dyn std::error::Error>> {
    worker::serve("decouple", env!("CARGO_PKG_VERSION"), |request| {
        let context = Context::best();
        match request.work {
            Work::Conv => convolution(context, request),
            Work::Module => training(context, chain(request)?, request, None),
            Work::Step => training(context, network(request)?, request, Some(0.01)),
            Work::Forward => inference(context, request),
            Work::Machine => Ok(machine::prepare(&context, request)),
        }
    })
}

/// One segmented 3x3 convolution: forward, gradient of the input, gradient of
/// the weights.
fn convolution(context: Context, request: &Request) -> Result<Prepared, Missing> {
    let map = MapShape::new(request.side, request.side, request.channels);
    let geometry = ConvGeometry::new(map, request.channels, ConvOptions::spatial(3, request.segments))?;
    let x = Rc::new(noise(request.batch * map.len()));
    let weights = Rc::new(noise(geometry.weight_count()));
    let context = Rc::new(context);

    let forward: Run = {
        let (context, x, weights, mut y) = (context.clone(), x.clone(), weights.clone(), x.to_vec());
        Box::new(move || Ok(conv::forward(&context, &geometry, &x, &weights, &mut y)?))
    };
    let input: Run = {
        let (context, grad_y, weights, mut grad_x) =
            (context.clone(), x.clone(), weights.clone(), x.to_vec());
        Box::new(move || Ok(conv::backward_input(&context, &geometry, &grad_y, &weights, &mut grad_x)?))
    };
    let (grad_y, mut grad_weights) = (x.to_vec(), weights.to_vec());
    let weights: Run =
        Box::new(move || Ok(conv::backward_weights(&context, &geometry, &x, &grad_y, &mut grad_weights)?));

    let macs = 3.0 * request.batch as f64 * geometry.macs() as f64;
    Ok(Prepared {
        parts: vec![("forward", forward), ("input", input), ("weights", weights)],
        facts: [("macs", macs)].into(),
    })
}

/// A batch norm, which starts the way of the gradients, the modules, and the
/// mean of each channel as logits.
fn chain(request: &Request) -> Result<Graph, SpecError> {
    let batch_norm = BatchNormOptions { epsilon: 1e-3, momentum: 0.1, scale: true };
    let module = SpectrumModule {
        kind: decouple_spectrum::module::ModuleKind::Spectrum,
        out_c: request.channels,
        inner: None,
        kernel: 3,
        segments: Segments::Count(request.segments),
        order: Order::PointwiseFirst,
        intermediate: Intermediate::None,
        norm: NormPlacement::Module,
        batch_norm,
    };
    let mut b = GraphBuilder::new(MapShape::new(request.side, request.side, request.channels))?;
    let mut map = b.batch_norm("norm", b.input(), batch_norm);
    for index in 0..request.chain {
        let scope = format!("module{index}");
        let rectified = b.activation(&format!("{scope}.relu"), map, Activation::Relu);
        map = module.lower(&mut b, &scope, rectified)?;
    }
    b.global_mean_pool("pool", map);
    Ok(b.finish())
}

fn network(request: &Request) -> Result<Graph, SpecError> {
    let sizes = &request.network;
    let spec = NetworkSpec {
        segments: Schedule::Uniform(Segments::Count(request.segments)),
        stem: sizes.stem,
        entry: sizes.entry.clone(),
        middle: sizes.middle,
        modules: sizes.modules,
        exit: sizes.exit,
        ..NetworkSpec::default()
    };
    spec.graph(MapShape::new(request.side, request.side, sizes.image), sizes.classes)
}

/// Forward and backward passes of `graph`, and with a learning rate also SGD
/// with momentum.
fn training(
    context: Context,
    graph: Graph,
    request: &Request,
    rate: Option<f64>,
) -> Result<Prepared, Missing> {
    let (input, classes) = (graph.input(), graph.output().len());
    let cost = graph.cost();
    let facts = [
        // Forward and backward take three passes over the multiply-adds.
        ("macs", 3.0 * request.batch as f64 * cost.macs as f64),
        ("parameters", cost.parameters as f64),
        ("estimated_bytes", graph.training_bytes(request.batch) as f64),
    ];
    let mut network = Network::new(graph, 0, &context);
    let spec = TrainingSpec {
        optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: false },
        weight_decay: 0.0,
        ..TrainingSpec::default()
    };
    let mut optimizer = OptimizerState::new(&spec, network.parameters().map(|p| p.values().len()));
    let images = noise(request.batch * input.len());
    let labels: Vec<u16> = (0..request.batch).map(|i| (i % classes) as u16).collect();
    // The gradients go from step to step through every recorder.
    let held = RefCell::new(Gradients::default());
    let run: Run = Box::new(move || {
        let mut recorder = Recorder::training(&context, held.take());
        let x = recorder.input(input, &images)?;
        let logits = network.forward(&mut recorder, x, 0)?;
        let loss = recorder.cross_entropy(&logits, &labels, 0.0)?;
        let mut gradients = loss.backward(recorder)?;
        if let Some(rate) = rate {
            optimizer.step(&mut network, &mut gradients, rate);
        }
        gradients.clear(network.parameters());
        held.replace(gradients);
        Ok(())
    });
    let part = if rate.is_some() { "step" } else { "passes" };
    Ok(Prepared { parts: vec![(part, run)], facts: facts.into() })
}

/// A forward pass of Xception, one segment a channel, for 1000 classes.
fn inference(context: Context, request: &Request) -> Result<Prepared, Missing> {
    let spec = NetworkSpec::of(Family::Xception, Numerics::Timm);
    let input = MapShape::new(request.side, request.side, request.network.image);
    let graph = spec.graph(input, 1000)?;
    let cost = graph.cost();
    let facts =
        [("macs", request.batch as f64 * cost.macs as f64), ("parameters", cost.parameters as f64)].into();
    let mut network = Network::new(graph, 0, &context);
    let images = noise(request.batch * input.len());
    let run: Run = Box::new(move || {
        let mut recorder = Recorder::inference(&context);
        let x = recorder.input(input, &images)?;
        network.forward(&mut recorder, x, 0)?;
        Ok(())
    });
    Ok(Prepared { parts: vec![("forward", run)], facts })
}

/// `len` values that look random, between -1 and 1.
fn noise(len: usize) -> Vec<f32> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}
