//! `decouple report` and `decouple power`: what the runs on disk say.

use std::path::Path;

use decouple_experiment::{Ledger, RunState, Sweep};
use decouple_reporting::analysis::{Analysis, power_plan, scatter};
use decouple_reporting::{analyse, document, terminal_table, update_index, write, write_events, write_latex};

use super::experiment::{ledger, read_with_runs};
use crate::{
    arguments::{Common, Format, Power, Report},
    failure::{DATA, Failure, NOTHING, SUCCESS, USAGE},
    text::{TextTable, print},
};

pub(crate) fn run(common: &Common, arguments: &Report) -> Result<u8, Failure> {
    let sweep = read_with_runs(common, &arguments.experiment.file, &arguments.experiment.set)?;
    let ledger = ledger(common, &sweep);
    needs_runs(&sweep, &ledger)?;
    ledger.sweep()?;
    let analysis = rebuild_and_show(&sweep, &ledger, arguments.format, arguments.index)?;
    if arguments.latex {
        let tables = write_latex(&analysis, ledger.root())?;
        match arguments.format {
            Format::Human => print(&format!("latex     {}\n", tables.display()))?,
            Format::Json => say!("{}", tables.display()),
        }
    }
    Ok(code(&analysis))
}

/// Prints how many seeds detect how large a difference, judging by the runs on disk.
pub(crate) fn power(common: &Common, arguments: &Power) -> Result<u8, Failure> {
    let sweep = read_with_runs(common, &arguments.experiment.file, &arguments.experiment.set)?;
    let ledger = ledger(common, &sweep);
    needs_runs(&sweep, &ledger)?;
    let analysis = analyse(&sweep, &ledger.read()?);
    tell_problems(&sweep, &analysis);
    let Some(scatter) = scatter(&analysis) else {
        let reasons: Vec<String> = (analysis.points.iter())
            .filter_map(|point| Some(format!("\n   = {}: {}", point.label, point.unsupported?)))
            .collect();
        refuse!(
            NOTHING,
            "the runs say nothing of their spread: at least two points that are compared with each other need two finished \
             seeds each that differ by more than one test image{}",
            reasons.concat()
        );
    };
    let is_sensible = |value: f64| value > 0.0 && value < 100.0;
    if !arguments.difference.iter().copied().all(is_sensible) || !(0.05..1.0).contains(&arguments.power) {
        refuse!(
            USAGE,
            "--difference must be above 0 and below 100 points of accuracy, --power at least 0.05 and below 1"
        );
    }
    let shares: Vec<f64> = arguments.difference.iter().map(|points| points / 100.0).collect();
    let mut table = TextTable::new(0, &["difference, points", "seeds per point", "with the largest spread"]);
    let shown =
        |seeds: Option<usize>| seeds.map_or("more than a million".to_owned(), |seeds| seeds.to_string());
    for needed in power_plan(&analysis, &shares, arguments.power) {
        let difference = (needed.difference * 1e6).round() / 1e4;
        table.push(vec![difference.to_string(), shown(needed.typical), shown(needed.most)]);
    }
    print(&format!(
        "{}: a run scatters about its point by {:.2} points at the typical point, by {:.2} at the widest.\nTo tell a \
         true difference with a chance of {}, all pairs together at 95 %:\n\n{table}",
        sweep.name,
        100.0 * scatter.typical,
        100.0 * scatter.most,
        arguments.power,
    ))?;
    Ok(code(&analysis))
}

/// Warns of all that is wrong with the runs of `sweep`, which has told its own warnings when it was read.
pub(super) fn tell_problems(sweep: &Sweep, analysis: &Analysis) {
    for problem in analysis.problems.iter().filter(|problem| !sweep.warnings.contains(problem)) {
        say!("warning: {}", problem.replace("\n= ", "\n   = "));
    }
}

/// The exit code of a command that shows `analysis`, without the runs that cannot be used.
pub(super) fn code(analysis: &Analysis) -> u8 {
    let is_unusable = analysis.is_plan_damaged || analysis.runs.iter().any(|run| run.outcome.is_unusable());
    if is_unusable { DATA } else { SUCCESS }
}

/// Refuses an experiment without a run that can be read, and says what could not be.
pub(super) fn needs_runs(sweep: &Sweep, ledger: &Ledger) -> Result<(), Failure> {
    let contents = ledger.read()?;
    if contents.runs.iter().any(|run| sweep.trials.iter().any(|trial| trial.id == run.id)) {
        return Ok(());
    }
    let what = if contents.runs.is_empty() { "there is no run" } else { "there is no run of these trials" };
    let mut message = format!("{what} in {}", ledger.root().display());
    let run = sweep.command("run");
    for problem in &contents.problems {
        message += &format!("\n   = {problem}; {}", problem.advice(&run));
    }
    let scan = ledger.scan()?;
    for trial in &sweep.trials {
        if !matches!(scan.state(trial)?, RunState::Damaged(_)) {
            return Err(Failure::new(NOTHING, format!("{message}\n   = train them first: {run}")));
        }
    }
    Err(Failure::new(DATA, message))
}

/// The folder of all experiments.
fn results_of(ledger: &Ledger) -> Option<&Path> {
    ledger.root().parent().filter(|path| *path != Path::new(""))
}

/// Rebuilds everything that is made from runs, and prints the table, the
/// verdict and where the figures and the report are, or one JSON document. `adds`: the index lists the
/// experiment from now on.
pub(crate) fn rebuild_and_show(
    sweep: &Sweep,
    ledger: &Ledger,
    format: Format,
    adds: bool,
) -> Result<Analysis, Failure> {
    let contents = ledger.verify()?;
    let analysis = analyse(sweep, &contents);
    let written = write(&analysis, ledger.root())?;
    write_events(&contents)?;
    if let Some(results) = results_of(ledger)
        && !update_index(results, &sweep.name, adds)?
    {
        say!(
            "{}/index.html does not list this experiment: {} --index adds it",
            results.display(),
            sweep.command("report")
        );
    }
    tell_problems(sweep, &analysis);
    if format == Format::Json {
        print(&format!("{}\n", document(&analysis)))?;
        return Ok(analysis);
    }
    let mut text = format!("\n{}\n{}\n", terminal_table(&analysis), analysis.verdict.sentences.join("\n"));
    if let Some(headline) = written.figures.first() {
        text += &format!("figure    {}\n", headline.display());
    }
    text += &format!("tables    {}, {}\n", written.summary.display(), written.runs.display());
    text += &format!("report    {}\n", written.report.display());
    print(&text)?;
    Ok(analysis)
}
