//! `decouple report`: tables and figures from the runs alone.

use decouple_experiment::{Ledger, Sweep};
use decouple_reporting::{analyse, terminal_table, write};

use super::{ledger, read, tune::settled};
use crate::{
    arguments::{Common, Report},
    failure::{Failure, NOTHING, SUCCESS},
    text::print,
};

pub(crate) fn run(common: &Common, arguments: &Report) -> Result<u8, Failure> {
    let sweep = settled(common, read(&arguments.file, &arguments.set)?)?;
    let ledger = ledger(common, &sweep);
    if ledger.read()?.runs.is_empty() {
        let message = format!(
            "there is no run in {}\n   = train first: decouple run {}",
            ledger.root().display(),
            sweep.path.display()
        );
        return Err(Failure::new(NOTHING, message));
    }
    rebuild_and_show(&sweep, &ledger)?;
    Ok(SUCCESS)
}

/// Rebuilds everything that is made from runs, and prints the table, the
/// verdict and where the figures are.
pub(crate) fn rebuild_and_show(sweep: &Sweep, ledger: &Ledger) -> Result<(), Failure> {
    let contents = ledger.read()?;
    let analysis = analyse(sweep, &contents);
    let written = write(&analysis, ledger.root())?;
    for problem in &analysis.problems {
        eprintln!("warning: {problem}");
    }
    let mut text = format!("\n{}\n{}\n", terminal_table(&analysis), analysis.verdict);
    for figure in written.figures.iter().filter(|path| path.extension().is_some_and(|ending| ending == "svg"))
    {
        text += &format!("figure    {}\n", figure.display());
    }
    text += &format!("tables    {}, {}\n", written.summary.display(), written.runs.display());
    print(&text)
}
