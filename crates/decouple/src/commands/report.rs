//! `decouple report` and `decouple power`: what the runs on disk say.

use std::path::Path;

use decouple_experiment::{Ledger, StepTimes, Sweep};
use decouple_reporting::analysis::{Analysis, power_plan};
use decouple_reporting::{analyse, terminal_table, write, write_events, write_index, write_latex};

use super::{ledger, read, tune::settled};
use crate::{
    arguments::{Common, Power, Report},
    failure::{DATA, Failure, NOTHING, SUCCESS, USAGE},
    text::{Table, print},
};

pub(crate) fn run(common: &Common, arguments: &Report) -> Result<u8, Failure> {
    let step_times = StepTimes::Runs(&common.results);
    let sweep = settled(common, read(&arguments.file, &arguments.set, step_times)?)?;
    let ledger = ledger(common, &sweep);
    needs_runs(&sweep, &ledger)?;
    ledger.sweep()?;
    let analysis = rebuild_and_show(&sweep, &ledger)?;
    if arguments.latex {
        print(&format!("latex     {}\n", write_latex(&analysis, ledger.root())?.display()))?;
    }
    let is_unusable = analysis.runs.iter().any(|run| run.outcome.is_unusable());
    Ok(if is_unusable { DATA } else { SUCCESS })
}

/// Prints how many seeds tell how large a difference, judged by the runs on disk.
pub(crate) fn power(common: &Common, arguments: &Power) -> Result<u8, Failure> {
    let sweep = read(&arguments.file, &arguments.set, StepTimes::Runs(&common.results))?;
    let ledger = ledger(common, &sweep);
    needs_runs(&sweep, &ledger)?;
    let analysis = analyse(&sweep, &ledger.read()?);
    let Some(residual) = analysis.residual else {
        let message =
            "the runs say nothing of their spread: at least two points need two finished seeds each";
        return Err(Failure::new(NOTHING, message));
    };
    let is_sensible = |value: f64| value > 0.0 && value < 100.0;
    if !arguments.difference.iter().copied().all(is_sensible) || !(0.05..1.0).contains(&arguments.power) {
        let message =
            "--difference is in points of accuracy, above 0 and below 100; --power is from 0.05 to below 1";
        return Err(Failure::new(USAGE, message));
    }
    let shares: Vec<f64> = arguments.difference.iter().map(|points| points / 100.0).collect();
    let mut table = Table::new(0, &["difference, points", "seeds a point"]);
    for (share, seeds) in power_plan(&analysis, &shares, arguments.power) {
        let seeds = seeds.map_or("more than a million".to_owned(), |seeds| seeds.to_string());
        table.push(vec![format!("{}", (share * 1e6).round() / 1e4), seeds]);
    }
    print(&format!(
        "{}: a run scatters by {:.2} points about its point and seed ({} degrees of freedom).\nTo tell a true \
         difference with a chance of {}, all comparisons together at 95 %:\n\n{table}",
        sweep.name,
        100.0 * residual.sd,
        residual.degrees_of_freedom,
        arguments.power,
    ))?;
    Ok(SUCCESS)
}

/// Refuses an experiment without a run that can be read, and says what could not be.
fn needs_runs(sweep: &Sweep, ledger: &Ledger) -> Result<(), Failure> {
    let contents = ledger.read()?;
    if contents.runs.iter().any(|run| sweep.trials.iter().any(|trial| trial.id == run.id)) {
        return Ok(());
    }
    let what = if contents.runs.is_empty() { "there is no run" } else { "there is no run of these trials" };
    let mut message = format!("{what} in {}", ledger.root().display());
    for problem in &contents.problems {
        message += &format!("\n   = {problem}");
    }
    message += &format!("\n   = train first: decouple run {}", sweep.path.display());
    Err(Failure::new(NOTHING, message))
}

/// Rebuilds everything that is made from runs, and prints the table, the
/// verdict and where the figures and the report are.
pub(crate) fn rebuild_and_show(sweep: &Sweep, ledger: &Ledger) -> Result<Analysis, Failure> {
    let contents = ledger.verify()?;
    let analysis = analyse(sweep, &contents);
    let written = write(&analysis, ledger.root())?;
    write_events(&contents)?;
    if let Some(results) = ledger.root().parent().filter(|path| *path != Path::new("")) {
        write_index(results)?;
    }
    for problem in &analysis.problems {
        say!("warning: {problem}");
    }
    let mut text = format!("\n{}\n{}\n", terminal_table(&analysis), analysis.verdict);
    if let Some(headline) = written.figures.first() {
        text += &format!("figure    {}\n", headline.display());
    }
    text += &format!("tables    {}, {}\n", written.summary.display(), written.runs.display());
    text += &format!("report    {}\n", written.report.display());
    print(&text)?;
    Ok(analysis)
}
