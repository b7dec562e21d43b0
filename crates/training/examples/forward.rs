//! Measures the forward pass of a published network: median and best time of an
//! image, and the most memory that the process has held.
//!
//! ```text
//! cargo run --release --package decouple-training --example forward -- xception 299 1
//! ```
//! The arguments are the family, rows and columns of the images, and the batch.
//! `RAYON_NUM_THREADS` sets the threads. `tools/network-forward.py` measures the
//! same in PyTorch.

use std::time::Instant;

use decouple_kernels::{arithmetic::Arithmetic, geometry::MapShape};
use decouple_spectrum::{backend::Pass, network::NetworkSpec};
use decouple_training::{device::backend, start_values};

/// Passes that are measured, after two that are not.
const PASSES: usize = 15;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // On a thread of the pool, not waiting outside it.
    Ok(rayon::scope(|_| measure().map_err(|error| error.to_string()))?)
}

fn measure() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [family, side, batch] = arguments.as_slice() else {
        return Err("usage: forward FAMILY SIDE BATCH".into());
    };
    let (side, batch): (usize, usize) = (side.parse()?, batch.parse()?);
    let spec: NetworkSpec =
        serde_json::from_value(serde_json::json!({ "family": family, "numerics": "timm" }))?;
    let input = MapShape::new(side, side, 3);
    let mut network = start_values::start(&spec.graph(input, 1000)?, 0, &*backend(), Arithmetic::default())?;
    let images = network.batch_layout(batch).of(&vec![0.5; batch * input.len()]);
    let mut times = Vec::new();
    for _ in 0..PASSES + 2 {
        let began = Instant::now();
        network.forward(&images, batch, Pass::Inference)?;
        times.push(began.elapsed().as_secs_f64() * 1e3 / batch as f64);
    }
    let mut times = times.split_off(2);
    times.sort_by(f64::total_cmp);
    println!(
        "{family} {side}x{side}, batch {batch}: median {:.1} ms an image, best {:.1} ms",
        times[PASSES / 2],
        times[0]
    );
    if let Some(peak) = peak() {
        println!("peak {peak}");
    }
    Ok(())
}

/// The most memory that the process has held, if the system reports it.
fn peak() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().to_owned())
}
