//! Writes the reports of made-up runs into a folder, to look at while changing how they look:
//! `cargo run -p decouple-reporting --example gallery -- /tmp/gallery`.

use std::path::Path;

use decouple_reporting::{write, write_index, write_latex};

#[path = "../tests/made_up/mod.rs"]
mod made_up;

const DENSE: [&str; 9] = ["1", "2", "3", "4", "8", "16", "32", "64", "per-channel"];
const QUICK: [&str; 6] = ["1", "3", "4", "8", "32", "per-channel"];
const FEW: [&str; 5] = ["1", "3", "8", "32", "per-channel"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "gallery".to_owned());
    let decays = ["0", "1e-5", "1e-4", "4e-4", "1e-3", "4e-3"];
    let cases = [
        made_up::spectrum("spectrum", &QUICK, 3),
        made_up::spectrum("dense", &DENSE, 8),
        made_up::spectrum("single", &QUICK, 1),
        made_up::crossed("interaction", &FEW, "intermediate", &["none", "relu", "elu"], 4),
        made_up::crossed("decay", &["per-channel"], "training.weight-decay", &decays, 5),
        made_up::crossed("residual", &["per-channel"], "residual", &["true", "false"], 5),
        made_up::crossed("grid", &FEW, "training.weight-decay", &decays, 3),
    ];
    for case in cases {
        let root = Path::new(&folder).join(&case.study.name);
        let written = write(&case, &root)?;
        write_latex(&case, &root)?;
        println!("{}\n  {}", written.report.display(), case.verdict);
    }
    println!("{}", write_index(Path::new(&folder))?.display());
    Ok(())
}
