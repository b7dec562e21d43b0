//! `decouple plan`: every trial, before anything runs.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use decouple_experiment::{Ledger, Outcome, RunState, Sweep, Trial};
use decouple_training::{estimate::images_per_sec, sweep::Workers};
use serde_json::json;

use super::{ledger, read, select};
use crate::{
    arguments::{Common, Format, Plan},
    environment::cores,
    failure::{Failure, IO, SUCCESS},
    text::{Table, bytes, duration, print, short_count},
};

/// Time that all measurements together may take.
const PATIENCE: Duration = Duration::from_millis(600);

pub(crate) fn run(common: &Common, arguments: &Plan) -> Result<u8, Failure> {
    let sweep = read(&arguments.selection.file, &arguments.selection.set)?;
    let trials = select(&sweep, &arguments.selection)?;
    let ledger = ledger(common, &sweep);
    let speeds = Speeds::measure(&trials)?;
    let rows = trials
        .iter()
        .map(|trial| Row::new(trial, common, &ledger, &speeds))
        .collect::<Result<Vec<_>, _>>()?;
    match arguments.format {
        Format::Human => print(&human(&sweep, &trials, &rows))?,
        Format::Json => print(&format!("{}\n", json!(rows.iter().map(Row::json).collect::<Vec<_>>())))?,
    }
    Ok(SUCCESS)
}

/// One trial of the plan.
struct Row<'a> {
    trial: &'a Trial,
    /// `None` where the images cannot be counted yet.
    secs: Option<f64>,
    bytes: u64,
    state: &'static str,
}

impl<'a> Row<'a> {
    fn new(trial: &'a Trial, common: &Common, ledger: &Ledger, speeds: &Speeds) -> Result<Self, Failure> {
        let state = match ledger.state(trial)? {
            RunState::New => "new",
            RunState::Partial => "cut off",
            RunState::Running => "running",
            RunState::Done(status) => match status.outcome {
                Outcome::Finished => "done",
                Outcome::Diverged { .. } => "diverged",
                Outcome::Failed { .. } => "failed",
            },
        };
        let data = &trial.record.data;
        let training = &trial.record.training;
        let images = data.train_images(common.data.as_deref()).map(|images| images * training.epochs);
        let secs = images.map(|images| images as f64 / speeds.of(trial));
        Ok(Self { trial, secs, bytes: trial.graph.training_bytes(training.batch), state })
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
            "width": trial.budget.as_ref().map(|budget| budget.width),
            "parameters": trial.cost.parameters,
            "macs": trial.cost.macs,
            "activations": trial.cost.activations,
            "estimated_secs": self.secs,
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
    header.extend(["level", "width", "params", "MACs", "time", "memory", "state"]);
    let mut table = Table::new(1 + axes.len(), &header);
    for row in rows {
        let trial = row.trial;
        let mut cells = vec![trial.id.short()];
        cells.extend(trial.point.iter().map(|(_, value)| value.clone()));
        cells.extend([
            trial.seed().to_string(),
            format!("{:.2}", trial.level),
            trial.budget.as_ref().map_or("1".to_owned(), |budget| format!("{:.3}", budget.width)),
            short_count(trial.cost.parameters),
            short_count(trial.cost.macs),
            row.secs.map_or_else(|| "?".to_owned(), duration),
            bytes(row.bytes),
            row.state.to_owned(),
        ]);
        table.push(cells);
    }
    let to_do: Vec<&Row<'_>> = rows.iter().filter(|row| row.is_to_do()).collect();
    let jobs = Workers::share(cores(), to_do.len(), None).jobs;
    let secs: Option<f64> = to_do.iter().map(|row| row.secs).sum();
    let secs = secs.map_or_else(
        || "in an unknown time".to_owned(),
        |secs| format!("about {}", duration(secs / jobs as f64)),
    );
    let budget = sweep.budget.map_or("equal width".to_owned(), |quantity| format!("equal {quantity}"));
    format!(
        "{table}\n{} trials, {budget}; {} to train, {} with {jobs} at a time\n",
        rows.len(),
        to_do.len(),
        secs
    )
}

/// Training images a second of each point on one core.
struct Speeds {
    by_point: BTreeMap<String, f64>,
    /// Of a point that was not measured: what the measured ones make of it.
    macs_per_sec: f64,
}

impl Speeds {
    /// Measures each distinct point, the cheapest first, until patience runs out.
    fn measure(trials: &[&Trial]) -> Result<Self, Failure> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let pool = pool.map_err(|error| Failure::new(IO, format!("cannot start a thread: {error}")))?;
        let mut distinct: BTreeMap<String, &Trial> = BTreeMap::new();
        for trial in trials {
            distinct.entry(trial.point_label()).or_insert(trial);
        }
        let mut distinct: Vec<_> = distinct.into_iter().collect();
        distinct.sort_by_key(|(_, trial)| trial.cost.macs);
        let began = Instant::now();
        let each = PATIENCE / (4 * distinct.len() as u32).max(1);
        let mut speeds = Self { by_point: BTreeMap::new(), macs_per_sec: 0.0 };
        for (label, trial) in distinct {
            let left = PATIENCE.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            let known = (speeds.macs_per_sec > 0.0).then_some(speeds.macs_per_sec);
            let patience = each.min(left);
            let found = pool.install(|| images_per_sec(trial, patience, known));
            let Some(rate) = found.map_err(|error| Failure::new(IO, error))? else { continue };
            speeds.macs_per_sec = 3.0 * rate * trial.cost.macs as f64;
            speeds.by_point.insert(label, rate);
        }
        Ok(speeds)
    }

    fn of(&self, trial: &Trial) -> f64 {
        let measured = self.by_point.get(&trial.point_label()).copied();
        measured.unwrap_or(self.macs_per_sec / (3.0 * trial.cost.macs as f64))
    }
}
