//! `decouple submit`: submit the trials that are left to a cluster, and exit.

use std::{
    path::{Path, PathBuf, absolute},
    time::SystemTime,
};

use decouple_experiment::{
    Held, LauncherKind, LauncherSpec, LauncherTable, Ledger, Problem, RunId, RunState, Sweep, Trial,
    timestamp,
};
use decouple_keys::InvalidKey;
use decouple_training::launcher::{Job, LaunchError, Piece, Task, launcher, pack};

use super::{
    estimates::{TrainImages, speeds},
    experiment::{each_once, ledger, read_timed, select, settled_or_as_written, warn_of},
    recipes::{Choosing, waits_for_recipes},
    room,
    train::selecting,
};
use crate::{
    arguments::{Common, Submit},
    failure::{Failure, IO, USAGE},
    text::{bytes, duration, plural, print},
};

/// Slurm's own limit on the elements of an array is 1001 where nobody has changed it.
const MOST_TASKS: usize = 1_000;

/// Overhead of a trial: building its network, syncing its files.
const EACH_SECS: f64 = 0.5;

/// The time limit of a task is this many times its estimate plus a constant: nodes differ, and
/// the estimate is for this machine. A task that is stopped continues later.
const TIME_FACTOR: f64 = 3.0;
const TIME_MORE: u64 = 600;

/// The same for memory: what the program needs besides trials and images.
const MEMORY_FACTOR: f64 = 1.25;
const MEMORY_MORE: u64 = 256 << 20;

pub(crate) fn run(common: &Common, arguments: &Submit) -> Result<u8, Failure> {
    let sweep = read_timed(common, &arguments.selection)?;
    let spec = spec(&sweep, arguments)?;
    let ledger = ledger(common, &sweep);
    let sweep = settled_or_as_written(common, sweep);
    let choosing = Choosing::of(&sweep, &ledger)?;
    let trials = if waits_for_recipes(&sweep, &arguments.selection)? {
        // The one task has the filter.
        sweep.trials.iter().collect()
    } else {
        select(&sweep, &arguments.selection)?
    };
    let (mut left, problems) = left(&trials, &ledger)?;
    let code = warn_of(&problems, &sweep);
    if let Some(choosing) = &choosing {
        // The trials once more, by the recipes that the other runs will choose.
        left.extend(choosing.runs().chain(trials.iter().copied()));
    } else {
        left = each_once(left);
    }
    if left.is_empty() {
        let sound = trials.len() - problems.len();
        say!("nothing to submit: {} done or being trained", plural(sound, "trial"));
        return Ok(code);
    }
    let pieces = pieces(&left, &spec, common)?;
    let whole = whole_experiment(&sweep, choosing.is_none());
    if let Some(why) = whole {
        say!("one task for all trials: {why}");
    }
    let most = if whole.is_some() { 1 } else { MOST_TASKS };
    let tasks = pack(pieces, spec.cpus, spec.task_secs, most);
    let job = job(common, arguments, &sweep, &tasks, spec, whole.is_some())?;
    let longest = tasks.iter().map(|task| task.secs(job.spec.cpus)).fold(0.0, f64::max);
    let words = format!(
        "{} in {} of about {} at most, {}{} each",
        plural(left.len(), if choosing.is_some() { "run" } else { "trial" }),
        plural(tasks.len(), "task"),
        duration(longest),
        plural(job.spec.cpus, "core"),
        job.bytes.map_or(String::new(), |needed| format!(" and {}", bytes(needed))),
    );
    if arguments.dry_run {
        say!("{words}; nothing is submitted");
        print(&launcher(job.spec.kind).script(&job))?;
        return Ok(code);
    }
    sweep.write_plan(&ledger)?;
    write_copy(&job.folder, &sweep)?;
    let ids: Vec<Vec<RunId>> =
        tasks.iter().map(|task| task.pieces.iter().map(|piece| piece.trial.id).collect()).collect();
    let submitted = job.submit(&ids)?;
    print(&format!("{}\n", submitted.id))?;
    say!("submitted {words}");
    say!("logs      {}", job.folder.display());
    say!("progress  {} --watch", selecting(sweep.command("status"), &arguments.selection));
    say!("stop      {}", submitted.stop);
    Ok(code)
}

/// The file's `[launcher]` table, with the flags over it.
fn spec(sweep: &Sweep, arguments: &Submit) -> Result<LauncherSpec, Failure> {
    let flags = LauncherTable {
        kind: arguments.launcher,
        partition: arguments.partition.clone(),
        account: arguments.account.clone(),
        time: arguments.time.clone(),
        memory: arguments.memory.clone(),
        cpus: arguments.cpus,
        at_once: arguments.at_once,
        task_time: arguments.task_time.clone(),
        requeues: arguments.requeues,
        lines: (!arguments.line.is_empty()).then(|| arguments.line.clone()),
    };
    let spec = flags.over(sweep.launcher.clone()).resolve();
    let spec = spec.map_err(|InvalidKey { key, message }| {
        // A flag, since the values of the file are checked when it is read.
        let flag = if key == "lines" { "line" } else { &key };
        Failure::new(USAGE, format!("launcher.{key} {message} in --{flag}"))
    })?;
    let ignored = launcher(spec.kind).ignored(&spec);
    if !ignored.is_empty() {
        say!("note: without effect on processes of this machine: {}", ignored.join(", "));
    }
    Ok(spec)
}

/// Trials that are neither done nor being trained, and what is wrong with damaged runs.
fn left<'a>(trials: &[&'a Trial], ledger: &Ledger) -> Result<(Vec<&'a Trial>, Vec<Problem>), Failure> {
    let scan = ledger.scan()?;
    let (mut left, mut problems) = (Vec::new(), Vec::new());
    for &trial in trials {
        match scan.state(trial)? {
            RunState::New | RunState::Partial => left.push(trial),
            RunState::Damaged(problem) => problems.push(problem),
            RunState::Running | RunState::Done(_) => {}
        }
    }
    Ok((left, problems))
}

/// The cost of each trial, by the plan's estimates.
fn pieces<'a>(trials: &[&'a Trial], spec: &LauncherSpec, common: &Common) -> Result<Vec<Piece<'a>>, Failure> {
    let mut images = TrainImages::default();
    let needs = room::needs(trials, &mut images, common);
    images.warn();
    // Tasks count what a trial takes on one core.
    let speeds = speeds(trials, &needs, Some(1), room::limit(None))?;
    let mut pieces = Vec::new();
    for (&trial, bytes) in trials.iter().zip(needs) {
        let secs = speeds.as_ref().zip(images.of(trial, common));
        // Without an estimate, a trial is a task of its own.
        let secs =
            secs.map_or(spec.task_secs as f64, |(speeds, images)| EACH_SECS + speeds.secs(trial, images));
        pieces.push(Piece { trial, secs, bytes });
    }
    if trials.iter().any(|trial| images.of(trial, common).is_none()) {
        say!(
            "note: where images cannot be counted, a trial is taken to need {}",
            duration(spec.task_secs as f64)
        );
    }
    Ok(pieces)
}

/// Why the trials cannot be divided among tasks beforehand, if they cannot.
fn whole_experiment(sweep: &Sweep, is_tuned: bool) -> Option<&'static str> {
    if !is_tuned {
        Some("the tries of [tune] must be run before the other recipes are known")
    } else if sweep.budget == Some(Held::StepTime) {
        Some("a budget of step time must be measured on the machine that trains")
    } else {
        None
    }
}

/// The job, in a folder of its own below the experiment's.
fn job(
    common: &Common,
    arguments: &Submit,
    sweep: &Sweep,
    tasks: &[Task<'_>],
    spec: LauncherSpec,
    is_whole: bool,
) -> Result<Job, Failure> {
    let now = timestamp(SystemTime::now()).replace(':', "");
    let results = absolutely(&common.results)?;
    let folder = results.join(&sweep.name).join("submissions").join(format!("{now}-{}", std::process::id()));
    let data = data_bytes(tasks, common);
    let cpus = spec.cpus;
    let secs = tasks.iter().map(|task| task.secs(cpus)).fold(0.0, f64::max);
    let need = tasks.iter().map(|task| task.bytes(cpus)).max().unwrap_or(0).saturating_add(data);
    let secs = spec.time_secs.unwrap_or(((TIME_FACTOR * secs) as u64).saturating_add(TIME_MORE));
    if spec.memory_bytes.is_some_and(|given| given < need) {
        say!(
            "warning: launcher.memory (--memory) is less than a task needs by the plan's estimates, {}; a size without \
             a unit is in bytes",
            bytes(need)
        );
    }
    let need = ((MEMORY_FACTOR * need as f64) as u64).saturating_add(MEMORY_MORE);
    let bytes = spec.memory_bytes.or_else(|| launcher(spec.kind).gives_memory_out().then_some(need));
    let mut command = vec![program()?, "run".to_owned(), text(&copy(&folder, sweep))?];
    command.extend(arguments.selection.set.iter().flat_map(|set| ["--set".to_owned(), set.clone()]));
    command.extend(["--results".to_owned(), text(&results)?]);
    if let Some(data) = &common.data {
        command.extend(["--data".to_owned(), text(&absolutely(data)?)?]);
    }
    command.extend(["--threads".to_owned(), cpus.to_string(), "--no-progress".to_owned()]);
    if let (LauncherKind::Local, Some(bytes)) = (spec.kind, bytes) {
        command.extend(["--max-memory".to_owned(), bytes.to_string()]);
    }
    // Tasks need not wait for each other, since each has its own trials; but choosing a recipe
    // needs all tries.
    if sweep.tune.is_none() {
        command.push("--no-wait".to_owned());
    }
    if is_whole {
        let filter =
            arguments.selection.filter.iter().flat_map(|filter| ["--filter".to_owned(), filter.clone()]);
        command.extend(filter);
        command.push("--task".to_owned());
    } else {
        command.extend(["--task-list".to_owned(), text(&Job::list(&folder))?, "--task".to_owned()]);
    }
    let working_dir = std::env::current_dir()
        .map_err(|error| Failure::new(IO, format!("cannot tell the working folder: {error}")))?;
    Ok(Job { name: sweep.name.clone(), folder, working_dir, command, tasks: tasks.len(), secs, bytes, spec })
}

/// The experiment file as it was submitted: a task may start days later, when the file says something else. Its name
/// is the experiment's, which the file need not state.
fn copy(folder: &Path, sweep: &Sweep) -> PathBuf {
    folder.join(format!("{}.toml", sweep.name))
}

fn write_copy(folder: &Path, sweep: &Sweep) -> Result<(), Failure> {
    let copy = copy(folder, sweep);
    let io = |error| Failure::new(IO, format!("cannot write {}: {error}", copy.display()));
    std::fs::create_dir_all(folder).map_err(io)?;
    std::fs::write(&copy, &sweep.text).map_err(io)
}

/// Bytes of the images that one task holds at most.
fn data_bytes(tasks: &[Task<'_>], common: &Common) -> u64 {
    let mut images = TrainImages::default();
    let mut of = |trial: &Trial| {
        if trial.record.data.is_streamed() {
            return 0;
        }
        // Plus a quarter as many for testing.
        let images = images.of(trial, common).unwrap_or(0) + trial.record.data.validation;
        (images as u64).saturating_mul(trial.record.data.shape().len() as u64) / 4 * 5
    };
    let largest = |task: &Task<'_>| {
        let mut seen: Vec<(&decouple_experiment::Trial, u64)> = Vec::new();
        for piece in &task.pieces {
            if seen.iter().all(|(known, _)| known.record.data != piece.trial.record.data) {
                seen.push((piece.trial, of(piece.trial)));
            }
        }
        seen.iter().map(|(_, bytes)| bytes).sum()
    };
    tasks.iter().map(largest).max().unwrap_or(0)
}

/// This program, as the nodes find it.
fn program() -> Result<String, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(IO, format!("cannot tell where this program is: {error}")))?;
    text(&program)
}

fn absolutely(path: &Path) -> Result<PathBuf, Failure> {
    absolute(path).map_err(|error| Failure::new(IO, format!("{}: {error}", path.display())))
}

/// A path for a script.
fn text(path: &Path) -> Result<String, Failure> {
    let is_plain = |text: &&str| !text.contains(['\n', '\r']);
    let plain = path.to_str().filter(is_plain);
    plain.map(str::to_owned).ok_or_else(|| {
        let message = format!(
            "{}: a script cannot name this path: it is not UTF-8, or has a line break",
            path.display()
        );
        Failure::new(USAGE, message)
    })
}

impl From<LaunchError> for Failure {
    fn from(error: LaunchError) -> Self {
        let advice = match &error {
            LaunchError::Missing { .. } => {
                "is Slurm installed here? `--launcher local` starts processes on this machine"
            }
            LaunchError::Refused { .. } => {
                "check partition, account, time, memory and cores in [launcher]; --dry-run shows the script"
            }
            LaunchError::Io { .. } => return Self::new(IO, error),
        };
        Self::new(USAGE, format!("{error}\n   = {advice}"))
    }
}
