//! Trains two networks from Rust: an experiment as text, its trials, their scores.
//!
//!     cargo run --release --package decouple-training --example train

use decouple_experiment::{Environment, Ledger, Overrides, parse};
use decouple_training::{
    progress::Progress,
    run_sweep::{Conduct, LoadedData, Setup, run_sweep},
    workers::Workers,
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
    let setup = Setup {
        ledger: &ledger,
        data: &data,
        workers,
        environment: &Environment::default(),
        progress: &Progress::silent(),
        conduct: &Conduct::default(),
    };
    run_sweep(&trials, &setup)?;
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
