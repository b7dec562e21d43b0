//! Times the report of a generated ledger of 1,000 runs:
//! `cargo run --release -p decouple-reporting --example many_runs -- /tmp/many`.

use std::time::Instant;

use decouple_experiment::{Ledger, Overrides, parse};
use decouple_reporting::{analyse, write, write_events, write_index};

#[path = "../tests/made_up/mod.rs"]
mod made_up;

const SWEEP: &str = "
[axes]
segments = [1, 2, 3, 4, 5, 8, 12, 16, 32, \"per-channel\"]
training.weight-decay = [0.0, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3]
seed = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "many".to_owned());
    let sweep = parse(SWEEP, "many.toml", &Overrides::default())?;
    let ledger = Ledger::open(std::path::Path::new(&folder).join("many"));
    made_up::fill(&ledger, &sweep);
    let began = Instant::now();
    let step = |what: &str| println!("{what:20} {:6.2} s", began.elapsed().as_secs_f64());
    let contents = ledger.read()?;
    step("read");
    let analysis = analyse(&sweep, &contents);
    step("analysed");
    let written = write(&analysis, ledger.root())?;
    step("written");
    let files = write_events(&contents)?;
    write_index(std::path::Path::new(&folder))?;
    step(&format!("{files} event files"));
    println!("{} runs: {}", analysis.runs.len(), written.report.display());
    Ok(())
}
