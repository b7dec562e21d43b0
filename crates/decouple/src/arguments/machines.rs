//! The command line of what concerns machines: how much of one is used, where trials
//! run, and how they stand.

use std::{num::NonZeroUsize, path::PathBuf, str::FromStr};

use clap::Args;
use decouple_experiment::{Claims, LauncherKind, parse_size};

use super::{Format, Selection, one_of, words};

/// What of the machine a command may use. Results do not depend on it.
#[derive(Args, Debug)]
pub(crate) struct Resources {
    /// Trials trained at the same time (one a core if left out). `auto` measures how
    /// many trials of how many threads train most images a second here, and remembers it.
    #[arg(long, value_name = "N|auto")]
    pub(crate) jobs: Option<Jobs>,
    /// Cores to use in all (all if left out).
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Memory that all trials at a time may need, by the plan's estimates, such as 8G
    /// (nine tenths of the machine's if left out). A trial that needs more is refused
    /// before anything starts; the others wait for each other.
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_memory: Option<Size>,
}

/// How many trials at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jobs {
    /// As a short measurement says.
    Auto,
    /// So many.
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
The same can stand in the file's [launcher] table; flags stand over it. docs/cluster.md has more.")]
pub(crate) struct Submit {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Who starts the tasks [default: the file's, else slurm].
    #[arg(long, value_parser = one_of::<LauncherKind>(words("launcher.kind")))]
    pub(crate) launcher: Option<LauncherKind>,
    /// Print the script and submit nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Queue of the scheduler.
    #[arg(long, value_name = "NAME")]
    pub(crate) partition: Option<String>,
    /// Whom the time is booked on.
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<String>,
    /// Wall time of a task at most, such as 90min [default: by the plan's estimates].
    #[arg(long, value_name = "TIME")]
    pub(crate) time: Option<String>,
    /// Memory of a task, such as 8G [default: by the plan's estimates].
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// Cores of a task, which trains as many trials at a time [default: 1].
    #[arg(long, value_name = "N")]
    pub(crate) cpus: Option<usize>,
    /// Tasks at a time at most.
    #[arg(long, value_name = "N")]
    pub(crate) at_once: Option<usize>,
    /// Estimated time of a task, into which small trials are packed [default: 1h].
    #[arg(long, value_name = "TIME")]
    pub(crate) task_time: Option<String>,
    /// How often a task that was stopped after a checkpoint goes back into the queue [default: 20].
    #[arg(long, value_name = "N")]
    pub(crate) requeues: Option<u32>,
    /// A line of the script, such as '#SBATCH --constraint=avx512' or 'module load x'.
    /// May be repeated.
    #[arg(long, value_name = "LINE")]
    pub(crate) line: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Example: decouple doctor --results /shared/results --data /shared/data\n\
Exit codes: 0 a run would work here; 74 results could not be written there.")]
pub(crate) struct Doctor {
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    /// Say by the exit code whether the lock of a file can be had.
    #[arg(long, hide = true, value_name = "FILE")]
    pub(crate) try_lock: Option<PathBuf>,
}

/// How runners keep each other off a run: as typed, or as the file system needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimsChoice {
    /// Leases where several hosts may have the folder mounted, else locks.
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
    /// Go on until every trial is over.
    #[arg(long)]
    pub(crate) watch: bool,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    pub(crate) interval: f64,
    /// How to print; with --watch, a JSON document a line whenever something has changed.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}
