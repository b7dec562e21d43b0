//! Measures a streamed set: images per second, processor time and memory.
//!
//! ```sh
//! cargo run --release -p decouple-datasets --example throughput -- set.toml DATA WORKERS [IMAGES]
//! ```
//!
//! `set.toml` holds the keys of `[trial.data]`. The first two batches are not counted. A line
//! after each tenth of the images shows whether memory grows.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use decouple_datasets::stream::{BatchOrder, Part};
use decouple_datasets::{DataSpec, load};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (file, data, workers) = match &arguments[..] {
        [file, data, workers, ..] => (file, data, workers.parse()?),
        _ => return Err("expected set.toml, the folder of data sets, workers and, if need be, images".into()),
    };
    let most = arguments.get(3).map_or(Ok(usize::MAX), |images| images.parse())?;
    let spec: DataSpec = toml::from_str(&std::fs::read_to_string(file)?)?;
    let began = Instant::now();
    let data = load(&spec, Some(Path::new(data)))?;
    let stream = data.stream.as_ref().ok_or("expected a streamed set")?;
    println!("{} images, opened in {:.2} s", stream.len(Part::Train), began.elapsed().as_secs_f64());

    let order = BatchOrder::Shuffled { seed: 0, epoch: 0 };
    let mut batches = stream.batches(Part::Train, order, 64, &spec.augment, workers);
    for batch in batches.by_ref().take(2) {
        batch?;
    }
    let (began, cpu, mut images) = (Instant::now(), cpu_ms(), 0);
    let tenth = most.min(stream.len(Part::Train)) / 10;
    let tell = |images: usize| {
        let rate = images as f64 / began.elapsed().as_secs_f64();
        let cpu = (cpu_ms() - cpu) / images as f64;
        println!(
            "{images} images, {rate:.1} a second, {cpu:.3} ms of processor time each, {}",
            peak_memory()
        );
    };
    println!("{workers} workers, {}", peak_memory());
    for batch in batches {
        let before = images;
        images += batch?.len();
        if images >= most {
            break;
        }
        if images / tenth.max(1) > before / tenth.max(1) {
            tell(images);
        }
    }
    tell(images);
    Ok(())
}

/// The most memory that this process ever held, if the system reports it: on Linux.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or("memory unknown".to_owned(), |peak| format!("{} of memory at most", peak.trim()))
}

/// Processor time of this process, if the system reports it: on Linux, in hundredths of a
/// second.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name, in brackets, may contain spaces.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * 10.0
}
