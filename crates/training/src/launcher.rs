//! Submits the trials of an experiment to a scheduler.
//!
//! A submission is a folder with a list of tasks, one per line, and a script that runs them; a
//! task is a group of trials that one process trains. A [`Launcher`] writes the script for its
//! scheduler and submits it. [`local`] starts processes on this machine, [`slurm`] an array
//! job; another scheduler is one more file with its arm here.

pub mod local;
pub mod slurm;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use decouple_experiment::{LauncherKind, LauncherSpec, RunId, Trial, shell_word};

/// The exit code of a run that stopped after a checkpoint and should be run again.
pub const RUN_AGAIN: i32 = 75;

/// What is submitted.
#[derive(Clone, Debug)]
pub struct Job {
    /// Name of the experiment.
    pub name: String,
    /// The submission's folder, as an absolute path.
    pub folder: PathBuf,
    /// Where the command is run.
    pub working_dir: PathBuf,
    /// The command of a task, program first, to which the number of the task is added.
    pub command: Vec<String>,
    /// Number of tasks.
    pub tasks: usize,
    /// Time limit of a task, in seconds.
    pub secs: u64,
    /// Memory of a task, in bytes, if the scheduler manages memory.
    pub bytes: Option<u64>,
    /// What the experiment asks of its launcher.
    pub spec: LauncherSpec,
}

/// A job as accepted by the scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The scheduler's name for it.
    pub id: String,
    /// The command that stops it.
    pub stop: String,
}

/// Why a job could not be submitted.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A program of the scheduler is not there.
    #[error("cannot start `{program}`: {source}")]
    Missing {
        /// The program.
        program: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The scheduler refused the job.
    #[error("`{program}` refused the job: {message}")]
    Refused {
        /// The program.
        program: &'static str,
        /// What it said.
        message: String,
    },
    /// A file of the submission cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A scheduler.
pub trait Launcher {
    /// Whether the scheduler knows how much memory its nodes have. If it does not, it refuses
    /// every job that requests memory.
    fn gives_memory_out(&self) -> bool {
        true
    }

    /// The keys of `[launcher]` that `spec` has and that this launcher has no use for.
    fn ignored(&self, _: &LauncherSpec) -> Vec<&'static str> {
        Vec::new()
    }

    /// The script that runs the tasks of `job`.
    fn script(&self, job: &Job) -> String;

    /// Submits the script at `path` and returns at once.
    ///
    /// # Errors
    /// [`LaunchError`] if the scheduler is not there or refuses.
    fn submit(&self, job: &Job, path: &Path) -> Result<Submitted, LaunchError>;
}

/// The launcher of a kind.
pub fn launcher(kind: LauncherKind) -> Box<dyn Launcher> {
    match kind {
        LauncherKind::Local => Box::new(local::Local),
        LauncherKind::Slurm => Box::new(slurm::Slurm),
    }
}

impl Job {
    /// The list of tasks in a submission's `folder`: each has a line with the ids of its trials.
    pub fn list(folder: &Path) -> PathBuf {
        folder.join("tasks.txt")
    }

    /// Writes the list of tasks and the script, and submits the script.
    ///
    /// # Errors
    /// As [`Launcher::submit`], or if a file cannot be written.
    pub fn submit(&self, tasks: &[Vec<RunId>]) -> Result<Submitted, LaunchError> {
        let launcher = launcher(self.spec.kind);
        let line = |ids: &Vec<RunId>| ids.iter().map(RunId::to_string).collect::<Vec<_>>().join(" ") + "\n";
        write(&Self::list(&self.folder), &tasks.iter().map(line).collect::<String>())?;
        let script = self.folder.join("job.sh");
        write(&script, &launcher.script(self))?;
        let submitted = launcher.submit(self, &script)?;
        // The job is accepted whether or not this note of it can be kept; the caller prints both.
        let _ = write(&self.folder.join("job.txt"), &format!("{}\n{}\n", submitted.id, submitted.stop));
        Ok(submitted)
    }

    /// The command of a task for a shell, without its number.
    fn shell_command(&self) -> String {
        self.command.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
    }
}

fn write(path: &Path, text: &str) -> Result<(), LaunchError> {
    let io = |source| LaunchError::Io { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io)?;
    }
    fs::write(path, text).map_err(io)
}

/// The output of a scheduler's program, if it succeeds.
fn output(program: &'static str, command: &mut Command) -> Result<String, LaunchError> {
    let output = command.output().map_err(|source| LaunchError::Missing { program, source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(LaunchError::Refused { program, message })
}

/// A trial that is to be packed into a task.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// The trial.
    pub trial: &'a Trial,
    /// Seconds that it takes on one core, by estimate.
    pub secs: f64,
    /// Bytes that it needs, by estimate.
    pub bytes: u64,
}

/// Trials that one process trains.
#[derive(Clone, Debug, Default)]
pub struct Task<'a> {
    /// They, the longest first.
    pub pieces: Vec<Piece<'a>>,
}

impl Task<'_> {
    fn work_secs(&self) -> f64 {
        self.pieces.iter().map(|piece| piece.secs).sum()
    }

    /// Wall time on `cpus` cores that train one trial each.
    pub fn secs(&self, cpus: usize) -> f64 {
        let longest = self.pieces.first().map_or(0.0, |piece| piece.secs);
        (self.work_secs() / cpus.min(self.pieces.len()).max(1) as f64).max(longest)
    }

    /// Memory that `cpus` trials at a time need at most.
    pub fn bytes(&self, cpus: usize) -> u64 {
        let mut needs: Vec<u64> = self.pieces.iter().map(|piece| piece.bytes).collect();
        needs.sort_unstable_by(|a, b| b.cmp(a));
        needs.iter().take(cpus).sum()
    }
}

/// Packs `pieces` into as few tasks as take about `task_secs` each on `cpus` cores, at
/// most `most`. The longest pieces are placed first, each into the task with the least
/// work so far.
pub fn pack<'a>(mut pieces: Vec<Piece<'a>>, cpus: usize, task_secs: u64, most: usize) -> Vec<Task<'a>> {
    pieces.sort_by(|a, b| b.secs.total_cmp(&a.secs));
    let work: f64 = pieces.iter().map(|piece| piece.secs).sum();
    let wanted = (work / (cpus as f64 * task_secs.max(1) as f64)).ceil() as usize;
    let count = wanted.clamp(1, most.max(1)).min(pieces.len());
    let mut tasks = vec![Task::default(); count];
    // The least loaded task is on top; ties go to the first, so that packing is deterministic.
    let mut loads: std::collections::BinaryHeap<_> =
        (0..count).map(|task| std::cmp::Reverse((0u64, task))).collect();
    for piece in pieces {
        let Some(std::cmp::Reverse((load, task))) = loads.pop() else { break };
        tasks[task].pieces.push(piece);
        loads.push(std::cmp::Reverse((load + (1e3 * piece.secs).max(1.0) as u64, task)));
    }
    tasks
}

#[cfg(test)]
mod tests;
