//! This program's side of `tools/bench/run`: `bench THREADS`, then requests on standard input,
//! see `worker`.

use decouple_experiment::{Optimizer, TrainingSpec};
use decouple_kernels::{arithmetic::Arithmetic, geometry::MapShape};
use decouple_spectrum::{
    backend::Pass,
    builder::{BatchNormOptions, GraphBuilder},
    error::SpecError,
    graph::{Activation, Graph},
    module::{Intermediate, NormPlacement, Order, SpectrumModule},
    network::{Family, NetworkSpec, Numerics},
    segments::{SegmentSchedule, Segments},
};
use decouple_training::{
    device::backend,
    forecast::bytes,
    loss::{Targets, softmax_cross_entropy},
    optimizer::update,
    start_values,
};
use worker::{Missing, Prepared, Request, Run, Work};

mod machine;
mod worker;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let threads = std::env::args().nth(1).ok_or("usage: bench THREADS")?.parse()?;
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    // As in a trial of a sweep: on a thread of the pool, not waiting outside it.
    Ok(rayon::scope(|_| serve().map_err(|error| error.to_string()))?)
}

fn serve() -> Result<(), Box<dyn std::error::Error>> {
    worker::serve("decouple", env!("CARGO_PKG_VERSION"), |request| match request.work {
        Work::Conv => convolution(request),
        Work::Module => training(chain(request)?, request, None),
        Work::Step => training(network(request)?, request, Some(0.01)),
        Work::Xception => training(xception(request)?, request, Some(0.01)),
        Work::Forward => inference(request),
        Work::Machine => Ok(machine::prepare(request)),
    })
}

/// One segmented 3x3 convolution, forward and backward. The batch norm before it makes the
/// gradient of its input necessary.
fn convolution(request: &Request) -> Result<Prepared, Missing> {
    let map = MapShape::new(request.side, request.side, request.channels);
    let mut b = GraphBuilder::new(map)?;
    let norm = b.batch_norm("norm", b.input(), NORM);
    b.spatial("conv", norm, 3, request.segments)?;
    let graph = b.finish();
    let facts = [("macs", 3.0 * request.batch as f64 * graph.cost().macs as f64)];
    let mut network = start_values::start(&graph, 0, &*backend(), Arithmetic::default())?;
    let batch = request.batch;
    let x = network.batch_layout(batch).of(&noise(batch * map.len()));
    let grad_y = noise(batch * map.len());
    let run: Run = Box::new(move || {
        network.forward(&x, batch, TRAINING)?;
        Ok(network.backward(&grad_y)?)
    });
    Ok(Prepared { parts: vec![("passes", run)], facts: facts.into() })
}

const TRAINING: Pass = Pass::Training { dropout_seed: 0 };

const NORM: BatchNormOptions = BatchNormOptions { epsilon: 1e-3, momentum: 0.1, scale: true };

/// A batch norm, which makes the gradients of all modules necessary, the modules, and the mean
/// of each channel as logits.
fn chain(request: &Request) -> Result<Graph, SpecError> {
    let module = SpectrumModule {
        kind: decouple_spectrum::module::ModuleKind::Spectrum,
        out_c: request.channels,
        inner: None,
        kernel: 3,
        segments: Segments::Count(request.segments),
        order: Order::PointwiseFirst,
        intermediate: Intermediate::None,
        norm: NormPlacement::Module,
        batch_norm: NORM,
    };
    let mut b = GraphBuilder::new(MapShape::new(request.side, request.side, request.channels))?;
    let mut map = b.batch_norm("norm", b.input(), NORM);
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
        segments: SegmentSchedule::Uniform(Segments::Count(request.segments)),
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
fn training(graph: Graph, request: &Request, rate: Option<f64>) -> Result<Prepared, Missing> {
    let (input, classes) = (graph.input(), graph.output().len());
    let spec = TrainingSpec {
        optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: false },
        weight_decay: 0.0,
        batch: request.batch,
        ..TrainingSpec::default()
    };
    let cost = graph.cost();
    let facts = [
        // Forward and backward take three passes over the multiply-adds.
        ("macs", 3.0 * request.batch as f64 * cost.macs as f64),
        ("parameters", cost.parameters as f64),
        ("estimated_bytes", bytes(&graph, &spec, rayon::current_num_threads()) as f64),
    ];
    let mut network = start_values::start(&graph, 0, &*backend(), Arithmetic::default())?;
    let batch = request.batch;
    let images = network.batch_layout(batch).of(&noise(batch * input.len()));
    let labels: Vec<u16> = (0..batch).map(|i| (i % classes) as u16).collect();
    let (mut gradient, mut steps) = (Vec::new(), 0);
    let run: Run = Box::new(move || {
        let logits = network.forward(&images, batch, TRAINING)?;
        let targets = Targets::Labels { labels: &labels, smoothing: 0.0 };
        softmax_cross_entropy(&logits, classes, targets, &mut gradient)?;
        network.backward(&gradient)?;
        if let Some(rate) = rate {
            steps += 1;
            network.step(&update(&spec, rate, steps))?;
        }
        Ok(())
    });
    let part = if rate.is_some() { "step" } else { "passes" };
    Ok(Prepared { parts: vec![(part, run)], facts: facts.into() })
}

/// Xception, one segment per channel, for 1000 classes.
fn xception(request: &Request) -> Result<Graph, SpecError> {
    let spec = NetworkSpec::of(Family::Xception, Numerics::Timm);
    spec.graph(MapShape::new(request.side, request.side, request.network.image), 1000)
}

/// A forward pass of it.
fn inference(request: &Request) -> Result<Prepared, Missing> {
    let graph = xception(request)?;
    let input = graph.input();
    let cost = graph.cost();
    let facts =
        [("macs", request.batch as f64 * cost.macs as f64), ("parameters", cost.parameters as f64)].into();
    let mut network = start_values::start(&graph, 0, &*backend(), Arithmetic::default())?;
    let batch = request.batch;
    let images = network.batch_layout(batch).of(&noise(batch * input.len()));
    let run: Run = Box::new(move || {
        network.forward(&images, batch, Pass::Inference)?;
        Ok(())
    });
    Ok(Prepared { parts: vec![("forward", run)], facts })
}

/// `len` values that look random, between -1 and 1.
fn noise(len: usize) -> Vec<f32> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}
