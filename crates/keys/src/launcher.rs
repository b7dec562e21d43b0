//! Keys of `[launcher]`.

use super::values::{
    Values::{List, Noted, Text, Whole},
    WHOLE,
};
use super::{Key, MOST_CORES, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "launcher.kind",
        "Who starts the tasks of `decouple submit`.",
        Noted(&[("slurm", "the scheduler of a cluster"), ("local", "processes on this machine")]),
        "\"slurm\"",
    ),
    key("launcher.partition", "The scheduler's queue (Slurm only).", Text("a name"), ""),
    key("launcher.account", "The account that is charged for the time (Slurm only).", Text("a name"), ""),
    key(
        "launcher.time",
        "Time limit of a task (Slurm only); by default from the plan's estimates.",
        Text("a string such as `\"90min\"`, `\"2h\"` or `\"1-12:00:00\"`"),
        "",
    ),
    key(
        "launcher.memory",
        "Memory of a task; by default from the plan's estimates.",
        Text("a string such as `\"500M\"` or `\"8G\"`"),
        "",
    ),
    key(
        "launcher.cpus",
        "Cores of a task, which trains that many trials at a time.",
        Whole(1, Some(MOST_CORES)),
        "1",
    ),
    key(
        "launcher.at-once",
        "Most tasks at a time; by default as many as the queue allows, or as the cores and the memory of this machine do.",
        Whole(1, Some(100000)),
        "",
    ),
    key(
        "launcher.task-time",
        "Estimated wall time of a task: small trials are packed into one task up to this length.",
        Text("a string such as `\"30min\"` or `\"1h\"`"),
        "\"1h\"",
    ),
    key(
        "launcher.requeues",
        "How often a task that was stopped after a checkpoint (exit code 75) is requeued.",
        WHOLE,
        "20",
    ),
    key(
        "launcher.lines",
        "Extra lines of the job script: those that begin with `#SBATCH` go among its options, others before the trials.",
        List(&Text("a string"), " such as `[\"#SBATCH --constraint=avx512\", \"module load slurm\"]`"),
        "[]",
    ),
];
