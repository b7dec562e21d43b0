//! The estimate of a training's memory against what is allocated.
//!
//! One test, alone in its process: what others allocate would count.

use std::sync::Arc;

use decouple_core_ops::Engine;
use decouple_kernels::{arithmetic::Arithmetic, geometry::MapShape};
use decouple_spectrum::{
    backend::{Backend, Pass, Rule, Update},
    graph::{Graph, ParameterId},
    network::{Family, NetworkKey, NetworkSpec, Numerics},
    plan::Plan,
    segments::{SegmentSchedule, Segments},
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

const UPDATE: Update = Update {
    rule: Rule::Sgd { rate: 0.01, momentum: 0.9, nesterov: true },
    l2: 0.0,
    shrink: 1.0,
    decays_all: false,
    average_share: Some(0.1),
};

/// The most that two steps of training allocate, and what the executor says of itself.
fn measured(graph: &Graph, images: usize, threads: usize) -> [f64; 2] {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let plan = Arc::new(Plan::new(graph.clone()));
    pool.install(|| {
        let before = ALLOCATED.current_usage();
        ALLOCATED.reset_peak_usage();
        let mut values = |id: ParameterId| vec![0.1; graph.parameter(id).len()];
        let network = Engine::best().executor(plan, Arithmetic::default(), &mut values);
        let mut network = network.expect("values that fit");
        let batch = vec![0.5; network.batch_layout(images).len];
        let gradient = vec![0.01; images * graph.output().len()];
        for step in 0..2 {
            network.forward(&batch, images, Pass::Training { dropout_seed: step }).expect("a forward pass");
            network.backward(&gradient).expect("a backward pass");
            network.step(&UPDATE).expect("a step");
        }
        let given = size_of_val(&batch[..]) + size_of_val(&gradient[..]);
        let allocated = ALLOCATED.peak_usage() - before - given;
        [allocated as f64, network.peak_bytes() as f64]
    })
}

#[test]
fn estimates_are_within_a_twentieth_of_what_is_allocated() {
    let cases = [(Segments::Count(1), 20, 1), (Segments::PerChannel, 48, 1), (Segments::Count(3), 64, 2)];
    let mut wrong = Vec::new();
    for (&family, (segments, images, threads)) in
        Family::ALL.iter().flat_map(|family| cases.map(|case| (family, case)))
    {
        let own = NetworkSpec::of(family, Numerics::Keras);
        let is_segmented =
            family.reads(NetworkKey::Segments) && !matches!(family, Family::Resnet50 | Family::Resnet152);
        let spec = NetworkSpec {
            width: if family == Family::MiniXception { 0.5 } else { 0.07 },
            small_stem: family.reads(NetworkKey::SmallStem),
            segments: if is_segmented { SegmentSchedule::Uniform(segments) } else { own.segments.clone() },
            ..own
        };
        let graph = spec.graph(MapShape::new(32, 32, 3), 10).expect("a small network");
        let plan = Plan::new(graph.clone());
        let estimate = |threads| {
            Engine::best().training_bytes(&plan, Arithmetic::default(), images, &UPDATE, threads) as f64
        };
        // Whether two threads have ever worked at the same time is for the system to say.
        let (least, most) = (0.95 * estimate(1), 1.05 * estimate(threads));
        let measured = measured(&graph, images, threads);
        if measured.iter().any(|bytes| !(least..=most).contains(bytes)) {
            wrong.push(format!("{family}, {images} images: {measured:?} bytes, not {least} to {most}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
