//! `decouple plan`: every trial, before anything runs.

use std::time::Duration;

use decouple_datasets::DataSpec;
use decouple_experiment::{Elsewhere, Identity, Outcome, Problem, RunState, Scan, StepTimes, Sweep, Trial};
use decouple_training::{
    estimate::{self, Speeds},
    sweep::Workers,
};
use serde_json::json;

use super::{ledger, read, select, tune};
use crate::{
    arguments::{Common, Format, Plan},
    clock::Clock,
    environment::cores,
    failure::{DATA, Failure, IO, SUCCESS, USAGE},
    text::{Table, bytes, duration, print, short_count},
};

/// Time that all measurements together may take.
const PATIENCE: Duration = Duration::from_millis(800);

pub(crate) fn run(common: &Common, arguments: &Plan) -> Result<u8, Failure> {
    let mut clock = Clock::new(common);
    let step_times = StepTimes::Timer(&mut clock);
    let sweep = read(&arguments.selection.file, &arguments.selection.set, step_times)?;
    let sweep = match tune::settled(common, sweep.clone()) {
        Ok(tuned) => tuned,
        Err(failure) => {
            say!("recipes as written: {}", failure.message());
            sweep
        }
    };
    let trials = select(&sweep, &arguments.selection)?;
    let ledger = ledger(common, &sweep);
    if arguments.lock {
        let path = sweep.lock(&ledger).map_err(|error| Failure::new(USAGE, error))?;
        return print(&format!("locked    {}\n", path.display())).map(|()| SUCCESS);
    }
    let workers = Workers::share(cores(), trials.len(), None);
    let speeds = Speeds::measure(&trials, workers, PATIENCE).map_err(|error| Failure::new(IO, error))?;
    let elsewhere = ledger.elsewhere();
    let scan = ledger.scan()?;
    let mut images = TrainImages::default();
    let row = |&trial| {
        let secs = images.of(trial, common).map(|images| speeds.secs(trial, images));
        Row::new(trial, secs, speeds.secs(trial, 1_000_000), &scan, &elsewhere)
    };
    let rows = trials.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    match arguments.format {
        Format::Human => print(&human(&sweep, &trials, &rows))?,
        Format::Json => print(&format!("{}\n", json!(rows.iter().map(Row::json).collect::<Vec<_>>())))?,
    }
    let problems: Vec<&Problem> = rows.iter().filter_map(|row| row.problem.as_ref()).collect();
    for problem in &problems {
        say!("warning: {problem}\n   = {}", problem.advice(&sweep.command("run")));
    }
    Ok(if problems.is_empty() { SUCCESS } else { DATA })
}

/// Training images of each data set that was asked for; those of a folder are
/// counted once.
#[derive(Default)]
struct TrainImages(Vec<(DataSpec, Option<usize>)>);

impl TrainImages {
    fn of(&mut self, trial: &Trial, common: &Common) -> Option<usize> {
        let spec = &trial.record.data;
        if let Some((_, count)) = self.0.iter().find(|(known, _)| known == spec) {
            return *count;
        }
        let count = spec.train_images(common.data.as_deref());
        self.0.push((spec.clone(), count));
        count
    }
}

/// One trial of the plan.
struct Row<'a> {
    trial: &'a Trial,
    /// `None` where the images cannot be counted yet.
    secs: Option<f64>,
    /// What a million training images would take.
    secs_per_million: f64,
    bytes: u64,
    state: &'static str,
    /// What is wrong with its run.
    problem: Option<Problem>,
}

impl<'a> Row<'a> {
    fn new(
        trial: &'a Trial,
        secs: Option<f64>,
        secs_per_million: f64,
        scan: &Scan<'_>,
        elsewhere: &Elsewhere,
    ) -> Result<Self, Failure> {
        let mut problem = None;
        let state = match scan.state(trial)? {
            // The images are not read for a plan.
            RunState::New if elsewhere.find(trial, &Identity::of_any_data()).is_some() => "elsewhere",
            RunState::New => "new",
            RunState::Partial => "cut off",
            RunState::Running => "running",
            RunState::Damaged(found) => {
                problem = Some(found);
                "damaged"
            }
            RunState::Done(status) => match status.outcome {
                Outcome::Finished => "done",
                Outcome::Diverged { .. } => "diverged",
                Outcome::Stopped { .. } => "stopped",
                Outcome::Failed { .. } => "failed",
            },
        };
        let bytes = estimate::bytes(&trial.graph, &trial.record.training);
        Ok(Self { trial, secs, secs_per_million, bytes, state, problem })
    }

    fn is_to_do(&self) -> bool {
        matches!(self.state, "new" | "cut off")
    }

    fn json(&self) -> serde_json::Value {
        let trial = self.trial;
        json!({
            "id": trial.id.to_string(),
            "point": trial.point.iter().map(|(axis, value)| json!({ "axis": axis, "value": value })).collect::<Vec<_>>(),
            "seed": trial.seed(),
            "level": trial.level,
            "width": trial.width(),
            "budget": trial.budget,
            "parameters": trial.cost.parameters,
            "macs": trial.cost.macs,
            "activations": trial.cost.activations,
            "estimated_secs": self.secs,
            "estimated_secs_per_million_images": self.secs_per_million,
            "estimated_bytes": self.bytes,
            "state": self.state,
        })
    }
}

/// The plan as a table.
fn human(sweep: &Sweep, trials: &[&Trial], rows: &[Row<'_>]) -> String {
    let axes: Vec<&str> =
        trials[0].point.iter().map(|(axis, _)| axis.as_str()).chain(std::iter::once("seed")).collect();
    let mut header = vec!["id"];
    header.extend(&axes);
    header.extend(["level", "width", "params", "MACs"]);
    let is_timed = trials.iter().any(|trial| step_time(trial).is_some());
    header.extend(is_timed.then_some("step (measured)"));
    header.extend(["time", "memory", "state"]);
    let mut table = Table::new(1 + axes.len(), &header);
    for row in rows {
        let trial = row.trial;
        let mut cells = vec![trial.id.short()];
        cells.extend(trial.point.iter().map(|(_, value)| value.clone()));
        cells.extend([
            trial.seed().to_string(),
            format!("{:.2}", trial.level),
            format!("{:.3}", trial.width()),
            short_count(trial.cost.parameters),
            short_count(trial.cost.macs),
        ]);
        cells.extend(is_timed.then(|| step_time(trial).unwrap_or_default()));
        cells.extend([
            row.secs.map_or_else(|| format!("{} / M", duration(row.secs_per_million)), duration),
            bytes(row.bytes),
            row.state.to_owned(),
        ]);
        table.push(cells);
    }
    let budget = sweep.budget.map_or("no budget".to_owned(), |quantity| format!("equal {quantity}"));
    let note = if rows.iter().all(|row| row.secs.is_some()) {
        ""
    } else {
        "/ M: for every million training images of a set that is not there to be counted\n"
    };
    format!("{table}\n{} trials, {budget}; {}\n{note}", rows.len(), left(rows))
}

/// A step time that was measured, and how far it is from the reference's.
fn step_time(trial: &Trial) -> Option<String> {
    let budget = trial.budget.as_ref()?;
    let (nanoseconds, target) = (budget.reached as f64, budget.target as f64);
    let over = 100.0 * (nanoseconds / target - 1.0);
    Some(format!("{:.2} ms {over:+.1} % ±{:.1}", nanoseconds / 1e6, 100.0 * budget.spread?))
}

/// What is left to train, and how long that takes.
fn left(rows: &[Row<'_>]) -> String {
    let to_do: Vec<&Row<'_>> = rows.iter().filter(|row| row.is_to_do()).collect();
    if to_do.is_empty() {
        return "nothing left to train".to_owned();
    }
    let jobs = Workers::share(cores(), to_do.len(), None).jobs;
    let secs: Option<f64> = to_do.iter().map(|row| row.secs).sum();
    let time = secs
        .map_or("in an unknown time".to_owned(), |secs| format!("about {}", duration(secs / jobs as f64)));
    format!("{} to train, {time} with {jobs} at a time", to_do.len())
}
