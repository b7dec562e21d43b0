//! Arguments that concern machines: the resources to use, where trials run, and their progress.

use std::{num::NonZeroUsize, path::PathBuf, str::FromStr};

use clap::Args;
use decouple_experiment::{Claims, LauncherKind, parse_size};

use super::{Format, Selection, at_least_one, one_of, words};

/// The resources that a command may use. Results do not depend on them.
#[derive(Args, Debug)]
pub(crate) struct Resources {
    /// Trials trained at the same time [default: one per core]. `auto` measures which split of
    /// the cores trains the most images per second here, and remembers it.
    #[arg(long, value_name = "N|auto")]
    pub(crate) jobs: Option<Jobs>,
    /// Total number of cores to use [default: all].
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Memory that concurrent trials, by the plan's estimates, and their images may need
    /// together, such as 8G [default: nine tenths of the machine's]. A trial that needs more on
    /// its own is refused before anything starts; the others wait for each other.
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_memory: Option<Size>,
}

/// How many trials at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jobs {
    /// As determined by a short measurement.
    Auto,
    /// This many.
    Count(NonZeroUsize),
}

impl FromStr for Jobs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            count => {
                count.parse().map(Self::Count).map_err(|_| "expected a number from 1, or auto".to_owned())
            }
        }
    }
}

/// Bytes, written as in `8G`, `500M` or `1.5GiB`: powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_size(text).map(Self).ok_or_else(|| "expected a size such as 500M or 8G".to_owned())
    }
}

#[derive(Args, Debug)]
#[command(after_help = "\
Example: decouple submit experiments/quickstart.toml --launcher slurm --partition cpu --cpus 4 --dry-run\n\
The file's [launcher] table can hold the same settings; flags override it. See docs/cluster.md.")]
pub(crate) struct Submit {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// What runs the tasks [default: as in the file, else slurm].
    #[arg(long, value_parser = one_of::<LauncherKind>(words("launcher.kind")))]
    pub(crate) launcher: Option<LauncherKind>,
    /// Print the script and submit nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The scheduler's queue (Slurm only).
    #[arg(long, value_name = "NAME")]
    pub(crate) partition: Option<String>,
    /// The account that is charged for the time (Slurm only).
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<String>,
    /// Time limit of a task, such as 90min (Slurm only) [default: from the plan's estimates].
    #[arg(long, value_name = "TIME")]
    pub(crate) time: Option<String>,
    /// Memory of a task, such as 8G [default: from the plan's estimates].
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// Cores of a task, which trains that many trials at a time [default: 1].
    #[arg(long, value_name = "N")]
    pub(crate) cpus: Option<usize>,
    /// Most tasks at a time.
    #[arg(long, value_name = "N")]
    pub(crate) at_once: Option<usize>,
    /// Target time of a task; small trials are packed into one task up to this length [default:
    /// 1h].
    #[arg(long, value_name = "TIME")]
    pub(crate) task_time: Option<String>,
    /// How often a task that was stopped after a checkpoint is requeued [default: 20].
    #[arg(long, value_name = "N")]
    pub(crate) requeues: Option<u32>,
    /// An extra line of the script, such as '#SBATCH --constraint=avx512' or 'module load x'.
    /// May be repeated.
    #[arg(long, value_name = "LINE")]
    pub(crate) line: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Example: decouple doctor --results /shared/results --data /shared/data\n\
Exit codes: 0 a run would work here; 74 results cannot be written.")]
pub(crate) struct Doctor {
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    /// Report by exit code whether the lock on a file can be taken.
    #[arg(long, hide = true, value_name = "FILE")]
    pub(crate) try_lock: Option<PathBuf>,
}

/// How a runner claims a run: as typed, or as the file system requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimsChoice {
    /// Leases where several hosts may have the folder mounted, otherwise locks.
    Auto,
    /// As typed.
    Typed(Claims),
}

impl FromStr for ClaimsChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" { Ok(Self::Auto) } else { text.parse().map(Self::Typed) }
    }
}

#[derive(Args, Debug)]
#[command(after_help = "Example: decouple status experiments/quickstart.toml --watch")]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Keep updating until every trial has ended.
    #[arg(long)]
    pub(crate) watch: bool,
    /// Seconds between updates.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    pub(crate) interval: f64,
    /// Output format. JSON is one document per line: with --watch another whenever something
    /// has changed; while `[tune]` chooses, one of the tries and one of the finals.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}
