//! Slurm: one array job, whose elements are the tasks.

use std::{path::Path, process::Command};

use decouple_experiment::shell_word;

use super::{Job, LaunchError, Launcher, RUN_AGAIN, Submitted, output};

/// Seconds before its time limit at which a task is asked to stop.
const NOTICE_SECS: u64 = 120;

/// Slurm.
#[derive(Clone, Copy, Debug)]
pub struct Slurm;

impl Launcher for Slurm {
    /// A node without `RealMemory` in the configuration counts as one of a megabyte.
    fn gives_memory_out(&self) -> bool {
        let told = output("sinfo", Command::new("sinfo").args(["--noheader", "--format=%m"]));
        let is_known = |text: &str| text.trim().trim_end_matches('+').parse().is_ok_and(|mib: u64| mib > 1);
        told.map_or(true, |text| text.lines().any(is_known))
    }

    /// The options are in the script, so that it can be submitted again as it is.
    ///
    /// `--signal` reaches the step that `srun` starts but not this script, which therefore sees
    /// the exit code. `scancel` also ends the script, so a cancelled task is never requeued.
    fn script(&self, job: &Job) -> String {
        let spec = &job.spec;
        // In the names of logs, a per cent sign is special.
        let folder = job.folder.display().to_string().replace('%', "%%");
        let at_once = spec.at_once.map_or(String::new(), |tasks| format!("%{tasks}"));
        let mut options = vec![
            format!("--job-name=decouple-{}", job.name),
            format!("--array=0-{}{at_once}", job.tasks - 1),
            "--requeue".to_owned(),
            format!("--signal=TERM@{NOTICE_SECS}"),
            "--open-mode=append".to_owned(),
            format!("--output={folder}/task-%a.log"),
            format!("--chdir={}", job.working_dir.display()),
            "--nodes=1".to_owned(),
            "--ntasks=1".to_owned(),
            format!("--cpus-per-task={}", spec.cpus),
            // At least twice the notice, so that a task has time to do any work.
            format!("--time={}", job.secs.max(2 * NOTICE_SECS).div_ceil(60)),
        ];
        options.extend(job.bytes.map(|bytes| format!("--mem={}M", bytes.div_ceil(1 << 20))));
        options.extend(spec.partition.as_ref().map(|partition| format!("--partition={partition}")));
        options.extend(spec.account.as_ref().map(|account| format!("--account={account}")));
        let mut script = "#!/bin/bash\n".to_owned();
        for option in options {
            script += &format!("#SBATCH {}\n", quoted_option(&option));
        }
        let (own, before): (Vec<&String>, Vec<&String>) =
            spec.lines.iter().partition(|line| line.starts_with("#SBATCH"));
        own.iter().for_each(|line| script += &format!("{line}\n"));
        script += "\n";
        before.iter().for_each(|line| script += &format!("{line}\n"));
        let command = job.shell_command();
        let (cpus, requeues) = (spec.cpus, spec.requeues);
        script += &format!(
            "srun --ntasks=1 --cpus-per-task={cpus} {command} \"$SLURM_ARRAY_TASK_ID\"\n\
             code=$?\n\
             # {RUN_AGAIN}: stopped after a checkpoint. The task goes back into the queue, so many times at most.\n\
             if [ \"$code\" -eq {RUN_AGAIN} ] && [ \"${{SLURM_RESTART_COUNT:-0}}\" -lt {requeues} ]; then\n    \
                 scontrol requeue \"${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID\"\n\
             fi\n\
             exit \"$code\"\n"
        );
        script
    }

    fn submit(&self, _: &Job, path: &Path) -> Result<Submitted, LaunchError> {
        let mut sbatch = Command::new("sbatch");
        let said = output("sbatch", sbatch.arg("--parsable").arg(path))?;
        // With several clusters it is `id;cluster`.
        let id = said.split(';').next().unwrap_or_default().to_owned();
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(LaunchError::Refused { program: "sbatch", message: format!("it said {said:?}") });
        }
        Ok(Submitted { stop: format!("scancel {id}"), id })
    }
}

/// An option with its value as `sbatch` reads it from a script: quotes keep spaces together.
fn quoted_option(option: &str) -> String {
    match option.split_once('=') {
        Some((name, value)) if value.contains(char::is_whitespace) => format!("{name}={}", shell_word(value)),
        _ => option.to_owned(),
    }
}
