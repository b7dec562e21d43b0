//! Time and memory of a whole training step against the segment count.
//!
//! `cargo run --release -p decouple-training --example step [wide] [SEGMENTS...]`,
//! where `wide` is the network of the benchmarks.

use std::time::Instant;

use decouple_experiment::TrainingSpec;
use decouple_kernels::{arithmetic::Arithmetic, geometry::MapShape};
use decouple_spectrum::{
    backend::Pass,
    network::NetworkSpec,
    segments::{SegmentSchedule, Segments},
};
use decouple_training::{
    device::backend,
    forecast::bytes,
    loss::{Targets, softmax_cross_entropy},
    optimizer::update,
    start_values,
};

const BATCH: usize = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // As in a trial of a sweep: on a thread of the pool, not waiting outside it.
    Ok(rayon::scope(|_| measure().map_err(|error| error.to_string()))?)
}

fn measure() -> Result<(), Box<dyn std::error::Error>> {
    let wide = std::env::args().any(|argument| argument == "wide");
    let (base, input) = if wide {
        let base = NetworkSpec {
            stem: 32,
            entry: vec![64, 128],
            middle: 3,
            modules: 1,
            exit: 256,
            ..NetworkSpec::default()
        };
        (base, MapShape::new(32, 32, 3))
    } else {
        (NetworkSpec::default(), MapShape::new(28, 28, 1))
    };
    let chosen: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let all = [1, 2, 3, 4, 8, 16, 32, 64, 128, 256];
    println!("segments   MMACs   ms a step   images/s   GMAC/s   peak MiB   estimate MiB");
    for segments in if chosen.is_empty() { all.to_vec() } else { chosen } {
        let spec =
            NetworkSpec { segments: SegmentSchedule::Uniform(Segments::Count(segments)), ..base.clone() };
        let graph = spec.graph(input, 10)?;
        let macs = graph.cost().macs;
        let estimate = bytes(
            &graph,
            &TrainingSpec { batch: BATCH, ..TrainingSpec::default() },
            rayon::current_num_threads(),
        );
        let mut network = start_values::start(&graph, 0, &*backend(), Arithmetic::default())?;
        let training = TrainingSpec::default();
        let images: Vec<f32> =
            (0..BATCH * input.len()).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect();
        let images = network.batch_layout(BATCH).of(&images);
        let labels: Vec<u16> = (0..BATCH).map(|i| (i % 10) as u16).collect();
        let targets = Targets::Labels { labels: &labels, smoothing: 0.0 };
        let (mut gradient, mut times) = (Vec::new(), Vec::new());
        for step in 1..=12 {
            let began = Instant::now();
            let logits = network.forward(&images, BATCH, Pass::Training { dropout_seed: 0 })?;
            softmax_cross_entropy(&logits, 10, targets, &mut gradient)?;
            network.backward(&gradient)?;
            network.step(&update(&training, 0.01, step))?;
            times.push(began.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        let secs = times[times.len() / 2];
        println!(
            "{segments:>8} {:>7.1} {:>11.2} {:>10.0} {:>8.1} {:>10.1} {:>14.1}",
            macs as f64 / 1e6,
            secs * 1e3,
            BATCH as f64 / secs,
            3.0 * macs as f64 * BATCH as f64 / secs / 1e9,
            network.peak_bytes() as f64 / f64::from(1 << 20),
            estimate as f64 / f64::from(1 << 20),
        );
    }
    Ok(())
}
