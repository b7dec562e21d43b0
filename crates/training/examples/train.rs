//! Trains two networks from Rust: an experiment as text, its trials, their scores.
//!
//!     cargo run --release --package decouple-training --example train

use decouple_experiment::{Environment, Ledger, NUMERICS_VERSION, Overrides, parse};
use decouple_training::{
    progress::Progress,
    sweep::{Conduct, LoadedData, Workers, run_sweep},
};

const FILE: &str = "
axes.segments = [1, 'per-channel']
axes.seed = [0]
trial.training.epochs = 1
trial.data.validation = 8000
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sweep = parse(FILE, "example.toml", &Overrides::default())?;
    let trials: Vec<_> = sweep.trials.iter().collect();
    let ledger = Ledger::open(std::env::temp_dir().join("decouple-example"));
    let data = LoadedData::read(&trials, None)?;
    let workers = Workers::share(std::thread::available_parallelism()?.get(), trials.len(), None);
    run_sweep(&trials, &ledger, &data, workers, &environment(), &Progress::silent(), &Conduct::default())?;
    for trial in trials {
        let scores = ledger.run(trial)?.status.and_then(|status| status.test);
        println!(
            "{}: {:.1} %",
            trial.point_label(),
            100.0 * scores.map_or(f64::NAN, |scores| scores.accuracy)
        );
    }
    Ok(())
}

/// What a run notes about where it happened; a real program says more.
fn environment() -> Environment {
    Environment {
        decouple: env!("CARGO_PKG_VERSION").to_owned(),
        git_revision: None,
        git_dirty: None,
        lock_hash: None,
        rustc: None,
        cpu: std::env::consts::ARCH.to_owned(),
        cpu_flags: Vec::new(),
        kernels: String::new(),
        threads: 0,
        data_checksum: String::new(),
        numerics_version: NUMERICS_VERSION,
        command: "example train".to_owned(),
    }
}
