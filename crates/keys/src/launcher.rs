//! Keys of `[launcher]`.

use super::values::{
    Values::{List, Text, Whole, Words},
    WHOLE,
};
use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "launcher.kind",
        "Who starts the tasks of `decouple submit`: processes on this machine, or Slurm.",
        Words(&["slurm", "local"]),
        "",
        "\"slurm\"",
    ),
    key("launcher.partition", "Queue of the scheduler.", Text("a name"), "", ""),
    key("launcher.account", "Whom the time is booked on.", Text("a name"), "", ""),
    key(
        "launcher.time",
        "Wall time of a task at most; without it by the plan's estimates.",
        Text("a string such as `\"90min\"`, `\"2h\"` or `\"1-12:00:00\"`"),
        "",
        "",
    ),
    key(
        "launcher.memory",
        "Memory of a task; without it by the plan's estimates.",
        Text("a string such as `\"500M\"` or `\"8G\"`"),
        "",
        "",
    ),
    key(
        "launcher.cpus",
        "Cores of a task, which trains as many trials at a time.",
        Whole(1, Some(100000)),
        "",
        "1",
    ),
    key(
        "launcher.at-once",
        "Tasks at a time at most; without it all that the queue has room for, on this machine one a core.",
        Whole(1, Some(100000)),
        "",
        "",
    ),
    key(
        "launcher.task-time",
        "Estimated wall time of a task: small trials are packed into one until it takes this long.",
        Text("a string such as `\"30min\"` or `\"1h\"`"),
        "",
        "\"1h\"",
    ),
    key(
        "launcher.requeues",
        "How often a task that was stopped after a checkpoint (exit code 75) is put back into the queue.",
        WHOLE,
        "",
        "20",
    ),
    key(
        "launcher.lines",
        "Lines of the job's script: those that begin with `#SBATCH` among its options, others before the trials.",
        List(&Text("a string"), " such as `[\"#SBATCH --constraint=avx512\", \"module load slurm\"]`"),
        "",
        "[]",
    ),
];
