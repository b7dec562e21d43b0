//! Processes on this machine, which continue when the terminal is closed.

use std::{
    fs::File,
    path::Path,
    process::{Command, Stdio},
};

use decouple_experiment::{LauncherSpec, shell_word};

use super::{Job, LaunchError, Launcher, RUN_AGAIN, Submitted};
use crate::memory_limit::Limit;

/// How many tasks run side by side where the cores allow `by_cores`, each needs `bytes`, and all have `memory`.
fn at_once(by_cores: usize, bytes: Option<u64>, memory: Option<u64>) -> usize {
    let by_memory = bytes.zip(memory).map_or(usize::MAX, |(bytes, memory)| (memory / bytes.max(1)) as usize);
    by_cores.min(by_memory).max(1)
}

/// A shell that runs the tasks in the background, some at a time.
#[derive(Clone, Copy, Debug)]
pub struct Local;

/// Whether a line of a script is an option of Slurm's.
fn is_option(line: &str) -> bool {
    line.starts_with("#SBATCH")
}

impl Launcher for Local {
    fn ignored(&self, spec: &LauncherSpec) -> Vec<&'static str> {
        let keys = [
            ("partition", spec.partition.is_some()),
            ("account", spec.account.is_some()),
            ("time", spec.time_secs.is_some()),
            ("lines that begin with #SBATCH", spec.lines.iter().any(|line| is_option(line))),
        ];
        keys.into_iter().filter_map(|(key, is_given)| is_given.then_some(key)).collect()
    }

    fn script(&self, job: &Job) -> String {
        let command = job.shell_command();
        let folder = shell_word(&job.folder.display().to_string());
        let working_dir = shell_word(&job.working_dir.display().to_string());
        let at_once = job.spec.at_once.unwrap_or_else(|| {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            at_once(cores / job.spec.cpus, job.bytes, Limit::of_machine().map(Limit::for_trials))
        });
        let (last, requeues) = (job.tasks - 1, job.spec.requeues);
        let lines = job.spec.lines.iter().filter(|line| !is_option(line));
        let lines: String = lines.map(|line| format!("{line}\n")).collect();
        format!(
            "#!/bin/bash\n\
             cd {working_dir} || exit 74\n\
             {lines}\
             task() {{\n    \
                 for _ in $(seq 0 {requeues}); do\n        \
                     {command} \"$1\" >> {folder}/task-\"$1\".log 2>&1\n        \
                     code=$?\n        \
                     # {RUN_AGAIN}: stopped after a checkpoint. The task is run again, so many times at most.\n        \
                     [ \"$code\" -eq {RUN_AGAIN} ] || break\n    \
                 done\n    \
                 return \"$code\"\n\
             }}\n\
             worst=0\n\
             running=0\n\
             for number in $(seq 0 {last}); do\n    \
                 if [ \"$running\" -ge {at_once} ]; then\n        \
                     wait -n || worst=$?\n        \
                     running=$((running - 1))\n    \
                 fi\n    \
                 task \"$number\" &\n    \
                 running=$((running + 1))\n\
             done\n\
             while [ \"$running\" -gt 0 ]; do\n    \
                 wait -n || worst=$?\n    \
                 running=$((running - 1))\n\
             done\n\
             exit \"$worst\"\n"
        )
    }

    /// In its own process group, so that one command stops all of it, and ignoring SIGHUP, so
    /// that it survives the terminal.
    fn submit(&self, job: &Job, path: &Path) -> Result<Submitted, LaunchError> {
        let log_path = job.folder.join("job.log");
        let log = || {
            let opened = File::options().create(true).append(true).open(&log_path);
            opened.map_err(|source| LaunchError::Io { path: log_path.clone(), source })
        };
        let mut command = Command::new("nohup");
        command.arg("bash").arg(path).stdin(Stdio::null()).stdout(log()?).stderr(log()?);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(|source| LaunchError::Missing { program: "nohup", source })?;
        let id = child.id().to_string();
        Ok(Submitted { stop: format!("kill -- -{id}"), id })
    }
}

#[cfg(test)]
mod tests {
    use decouple_experiment::LauncherTable;

    use super::{Launcher, Local, at_once};

    #[test]
    fn what_only_slurm_has_is_named() {
        let lines = ["#SBATCH --exclusive", "module load gcc"].map(str::to_owned).to_vec();
        let table =
            LauncherTable { time: Some("1h".to_owned()), lines: Some(lines), ..LauncherTable::default() };
        assert_eq!(Local.ignored(&table.resolve().unwrap()), ["time", "lines that begin with #SBATCH"]);
        assert!(Local.ignored(&LauncherTable::default().resolve().unwrap()).is_empty());
    }

    #[test]
    fn tasks_share_cores_and_memory() {
        assert_eq!(at_once(8, None, Some(10)), 8);
        assert_eq!(at_once(8, Some(3), None), 8);
        assert_eq!(at_once(8, Some(3), Some(10)), 3);
        assert_eq!(at_once(2, Some(3), Some(10)), 2);
        assert_eq!(at_once(0, Some(11), Some(10)), 1, "one at a time, at least");
    }
}
