//! `decouple plan`: every trial, before anything runs.

use std::collections::HashSet;

use decouple_experiment::{
    Elsewhere, Identity, Ledger, LockError, Outcome, Problem, RunState, Scan, Sweep, Trial,
};
use decouple_training::{memory_limit::Limit, workers::Workers};
use serde_json::json;

use super::{
    estimates::{TrainImages, speeds},
    experiment::{ledger, read_timed, select, settled_or_as_written, warn_of},
    recipes::{Choosing, waits_for_recipes},
    room,
};
use crate::{
    arguments::{Common, Format, PlanArguments},
    environment::cores,
    failure::{DATA, Failure, NOTHING, USAGE},
    text::{TextTable, answer, bytes, duration, plural, print, short_count},
};

pub(crate) fn run(common: &Common, arguments: &PlanArguments) -> Result<u8, Failure> {
    let sweep = settled_or_as_written(common, read_timed(common, &arguments.selection)?);
    if waits_for_recipes(&sweep, &arguments.selection)? {
        refuse!(
            NOTHING,
            "the filter names recipes, which are not chosen yet\n   = `{}` runs the tries that choose them",
            sweep.command("run")
        );
    }
    let trials = select(&sweep, &arguments.selection)?;
    let ledger = ledger(common, &sweep);
    if arguments.lock {
        let (path, is_new) = sweep.lock(&ledger)?;
        let (word, path) = (if is_new { "locked" } else { "locked already" }, path.display());
        return answer(&match arguments.format {
            Format::Human => format!("{word}    {path}\n"),
            Format::Json => format!("{}\n", json!({ "lock": path.to_string(), "is_new": is_new })),
        });
    }
    let mut images = TrainImages::default();
    let limit = room::limit(None);
    let needs = room::needs(&trials, &mut images, common);
    images.warn();
    warn_of_too_large(&trials, &needs, limit);
    let speeds = speeds(&trials, &needs, None, limit)?;
    let (scan, elsewhere) = (ledger.scan()?, ledger.elsewhere());
    let row = |(&trial, &bytes)| {
        let secs = |images| speeds.as_ref().map(|speeds| speeds.secs(trial, images));
        let (state, problem) = state(trial, &scan, &elsewhere)?;
        Ok(Row {
            trial,
            secs: images.of(trial, common).and_then(secs),
            secs_per_million: secs(1_000_000),
            bytes,
            state,
            problem,
        })
    };
    let rows = trials.iter().zip(&needs).map(row).collect::<Result<Vec<_>, Failure>>()?;
    let nodes = arguments.nodes.get();
    match arguments.format {
        Format::Human => {
            let tuning = tuning_left(&sweep, &ledger, |trial| {
                let speeds = speeds.as_ref()?;
                images.of(trial, common).map(|images| speeds.secs(trial, images))
            })?;
            print(&(human(&sweep, &trials, &rows, nodes) + &tuning))?;
        }
        Format::Json => print(&format!("{}\n", document(&rows, nodes)))?,
    }
    Ok(warn_of(rows.iter().filter_map(|row| row.problem.as_ref()), &sweep))
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Ledger(error) => error.into(),
            LockError::Damaged { problem } => {
                Self::new(DATA, format!("{problem}\n   = {}", problem.advice("decouple run FILE")))
            }
            LockError::Nothing { .. }
            | LockError::Set { .. }
            | LockError::Other { .. }
            | LockError::TooLate { .. } => Self::new(USAGE, error),
        }
    }
}

/// One trial of the plan.
struct Row<'a> {
    trial: &'a Trial,
    /// `None` where the images cannot be counted yet.
    secs: Option<f64>,
    /// What a million training images would take.
    secs_per_million: Option<f64>,
    bytes: u64,
    state: &'static str,
    /// What is wrong with its run.
    problem: Option<Problem>,
}

/// The state of a trial in one word, and what is wrong with its run.
fn state(
    trial: &Trial,
    scan: &Scan<'_>,
    elsewhere: &Elsewhere,
) -> Result<(&'static str, Option<Problem>), Failure> {
    let word = match scan.state(trial)? {
        // The images are not read for a plan.
        RunState::New if elsewhere.find(trial, &Identity::of(trial, None)).is_some() => "elsewhere",
        RunState::New => "new",
        RunState::Partial => "cut off",
        RunState::Running => "running",
        RunState::Damaged(found) => return Ok(("damaged", Some(found))),
        RunState::Done(status) => match status.outcome {
            Outcome::Finished => "done",
            Outcome::Diverged { .. } => "diverged",
            Outcome::Stopped { .. } => "stopped",
            Outcome::Failed { .. } => "failed",
        },
    };
    Ok((word, None))
}

/// Says that `decouple run` would refuse some trials here.
fn warn_of_too_large(trials: &[&Trial], needs: &[u64], limit: Option<Limit>) {
    let too_large = room::too_large(trials, needs, limit);
    if let (Some((trial, need)), Some(limit)) = (too_large.first(), limit) {
        say!(
            "warning: {} of {} trials need more memory than {} leaves, {}: trial {} about {}",
            too_large.len(),
            trials.len(),
            limit.set_by,
            bytes(limit.bytes),
            trial.id.short(),
            bytes(*need),
        );
        say!("   = `decouple run` would refuse them here, so they were not measured");
    }
}

impl Row<'_> {
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

/// The plan as JSON.
fn document(rows: &[Row<'_>], nodes: usize) -> serde_json::Value {
    let left = Left::of(rows);
    let Pace { at_once, threads, secs } = left.on(nodes);
    json!({
        "trials": rows.iter().map(Row::json).collect::<Vec<_>>(),
        "left": {
            "trials": left.trials,
            "nodes": nodes,
            "at_once": at_once,
            "threads_each": threads,
            "estimated_secs": secs.filter(|_| left.is_counted),
            "estimated_secs_per_million_images": secs.filter(|_| !left.is_counted),
        },
    })
}

/// The plan as a table.
fn human(sweep: &Sweep, trials: &[&Trial], rows: &[Row<'_>], nodes: usize) -> String {
    let axes: Vec<&str> =
        trials[0].point.iter().map(|(axis, _)| axis.as_str()).chain(std::iter::once("seed")).collect();
    let mut header = vec!["id"];
    header.extend(&axes);
    header.extend(["level", "width", "params", "MACs"]);
    let is_timed = trials.iter().any(|trial| step_time(trial).is_some());
    header.extend(is_timed.then_some("step (measured)"));
    header.extend(["time", "memory", "state"]);
    let mut table = TextTable::new(1 + axes.len(), &header);
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
        cells.extend([time(row), bytes(row.bytes), row.state.to_owned()]);
        table.push(cells);
    }
    let budget = sweep.budget.map_or("no budget".to_owned(), |held| format!("equal {}", held.words()));
    let is_counted = |row: &Row<'_>| row.secs.is_some() || row.secs_per_million.is_none();
    let note = if rows.iter().all(is_counted) {
        ""
    } else {
        "/ M: per million training images, since the set cannot be counted here\n"
    };
    format!("{table}\n{}, {budget}; {}\n{note}", plural(rows.len(), "trial"), Left::of(rows).words(nodes))
}

/// The runs by which a `[tune]` section chooses recipes and those by the recipes chosen, while they are not:
/// a line, or nothing.
fn tuning_left(
    sweep: &Sweep,
    ledger: &Ledger,
    mut secs: impl FnMut(&Trial) -> Option<f64>,
) -> Result<String, Failure> {
    let Some(choosing) = Choosing::of(sweep, ledger)? else { return Ok(String::new()) };
    let secs: Option<Vec<f64>> = choosing.runs().chain(&sweep.trials).map(&mut secs).collect();
    let points: HashSet<_> = choosing.tries.iter().map(|trial| &trial.point).collect();
    // Tries that are halved take turns, those of a point.
    let takes_turns = sweep.tune.as_ref().is_some_and(|tune| tune.halving);
    let pieces = if takes_turns { points.len() } else { choosing.tries.len() };
    let jobs = Workers::share(cores(), pieces, None).jobs;
    let time = secs.map_or("an unknown time".to_owned(), |secs| duration(makespan(&secs, jobs)));
    let finals = match choosing.finals.len() {
        0 => String::new(),
        finals => format!(", {} of the best with more seeds", plural(finals, "run")),
    };
    Ok(format!(
        "besides, as [tune] says: {} left{finals}, and each trial once more by the recipe chosen; at most {time} more\n",
        if choosing.tries.len() == 1 {
            "1 try".to_owned()
        } else {
            format!("{} tries", choosing.tries.len())
        },
    ))
}

/// The time of a trial in words.
fn time(row: &Row<'_>) -> String {
    match (row.secs, row.secs_per_million) {
        (Some(secs), _) => duration(secs),
        (None, Some(secs)) => format!("{} / M", duration(secs)),
        (None, None) => "not measured".to_owned(),
    }
}

/// A step time that was measured, and how far it is from the reference's.
fn step_time(trial: &Trial) -> Option<String> {
    let budget = trial.budget.as_ref()?;
    let (nanoseconds, target) = (budget.reached as f64, budget.target as f64);
    let over = 100.0 * (nanoseconds / target - 1.0);
    Some(format!("{:.2} ms {over:+.1} % ±{:.1}", nanoseconds / 1e6, 100.0 * budget.spread?))
}

/// What is left to train.
struct Left {
    trials: usize,
    /// Seconds of each trial with as many threads as it gets on this machine alone.
    secs: Option<Vec<f64>>,
    /// Whether these are of whole trials: if not all images can be counted here, they are of a million each.
    is_counted: bool,
}

/// How fast the trials left are trained on some machines.
struct Pace {
    /// Trials at a time.
    at_once: usize,
    /// Threads of each.
    threads: usize,
    /// Seconds until all are trained, in the unit of [`Left::secs`].
    secs: Option<f64>,
}

impl Left {
    fn of(rows: &[Row<'_>]) -> Self {
        let mut seen = HashSet::new();
        // Two points may share a run: the recipe as written may be the one chosen.
        let is_left = |row: &&Row<'_>| row.is_to_do() && seen.insert(row.trial.id);
        let to_do: Vec<&Row<'_>> = rows.iter().filter(is_left).collect();
        let is_counted = to_do.iter().all(|row| row.secs.is_some());
        let secs = |row: &&Row<'_>| if is_counted { row.secs } else { row.secs_per_million };
        Self { trials: to_do.len(), secs: to_do.iter().map(secs).collect(), is_counted }
    }

    /// The pace on `nodes` machines such as this.
    fn on(&self, nodes: usize) -> Pace {
        let here = Workers::share(cores(), self.trials, None);
        // Fewer trials on each machine leave more threads to each of them.
        let there = Workers::share(cores(), self.trials.div_ceil(nodes), None);
        let at_once = self.trials.min(there.jobs * nodes);
        // They were measured with as many threads as each trial gets here.
        let scale = here.threads as f64 / there.threads as f64;
        let secs = self.secs.as_ref().map(|secs| makespan(secs, at_once) * scale);
        Pace { at_once, threads: there.threads, secs }
    }

    /// What is left, and how long it takes, in words.
    fn words(&self, nodes: usize) -> String {
        if self.trials == 0 {
            return "nothing left to train".to_owned();
        }
        let time = |pace: &Pace| match pace.secs {
            Some(secs) => format!("about {}{}", duration(secs), if self.is_counted { "" } else { " / M" }),
            None => "in an unknown time".to_owned(),
        };
        let here = self.on(1);
        let words = format!("{} to train, {} with {} at a time", self.trials, time(&here), here.at_once);
        if nodes == 1 {
            return words;
        }
        let there = self.on(nodes);
        let (time, threads) = (time(&there), plural(there.threads, "thread"));
        let at_once = there.at_once;
        format!("{words}; on {nodes} machines like this one {time} with {at_once} at a time of {threads}")
    }
}

/// Seconds until all are done with `jobs` workers, each taking the next trial when free.
fn makespan(secs: &[f64], jobs: usize) -> f64 {
    let mut free = vec![0.0_f64; jobs.max(1)];
    for secs in secs {
        let first = free.iter_mut().min_by(|a, b| a.total_cmp(b)).expect("at least one job");
        *first += secs;
    }
    free.into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_never_shared_by_two_machines() {
        assert_eq!(makespan(&[3.0, 1.0, 1.0, 1.0], 1), 6.0);
        assert_eq!(makespan(&[3.0, 1.0, 1.0, 1.0], 2), 3.0);
        assert_eq!(makespan(&[3.0, 1.0, 1.0, 1.0], 100), 3.0);
        assert_eq!(makespan(&[1.0, 1.0, 3.0], 2), 4.0);
    }
}
