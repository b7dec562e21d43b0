//! The command line as typed.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand, ValueEnum};
use decouple_core_ops::MapShape;

/// How far should a convolutional network decouple cross-channel from spatial
/// correlations? Trains the Inception-to-Xception spectrum under equal budgets
/// and many seeds, and shows accuracy against decoupling level.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 a run failed or diverged; 2 usage or experiment file; 3 data missing or corrupt; \
4 nothing matched; 5 runs in the hands of another process; 74 files could not be read or written.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train what an experiment file asks for. Finished trials are not trained
    /// again; one that was cut off starts afresh.
    Run(Run),
    /// List every trial without training: id, cost, estimated time, whether done.
    Plan(Plan),
    /// Rebuild tables and figures from the runs on disk.
    Report(Report),
    /// Show a network layer by layer with its cost.
    Describe(Describe),
    /// Look at a data set: its numbers, or its images.
    #[command(subcommand)]
    Data(Data),
    /// Print a completion script for a shell.
    Completions(Completions),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// Counts, classes, statistics of the channels, checksum, files left out.
    Info(DataInfo),
    /// Draw a contact sheet of training images, augmented as training sees them.
    Show(DataShow),
}

/// Which data set.
#[derive(Args, Debug)]
pub(crate) struct DataChoice {
    /// A set, such as fashion-mnist, cifar-10, image-folder or planted, or an
    /// experiment file, whose first trial's data it is.
    #[arg(default_value = "fashion-mnist")]
    pub(crate) set: String,
    /// Change a key of [trial.data], as in --set coupling=1 or --set 'augment=["flip"]'.
    /// May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) keys: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct DataInfo {
    #[command(flatten)]
    pub(crate) choice: DataChoice,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct DataShow {
    #[command(flatten)]
    pub(crate) choice: DataChoice,
    /// The PNG file to write [default: <set>.png].
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Images of each class.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) columns: usize,
    /// The seed of the run whose first epoch is shown.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
}

/// Options of every command.
#[derive(Args, Debug)]
pub(crate) struct Common {
    /// Folder of results; an experiment has one of its own in it.
    #[arg(long, global = true, env = "DECOUPLE_RESULTS", default_value = "results", value_name = "DIR")]
    pub(crate) results: PathBuf,
    /// Folder of data sets that are not built in.
    #[arg(long, global = true, env = "DECOUPLE_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// Which trials of which file.
#[derive(Args, Debug)]
pub(crate) struct Selection {
    /// Experiment file, such as experiments/quickstart.toml.
    pub(crate) file: PathBuf,
    /// Change a key of the file, as in --set training.epochs=3. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Only trials that match, as in --filter 'segments>=8 & seed=0'.
    #[arg(long, value_name = "CONDITION")]
    pub(crate) filter: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Trials trained at the same time (one a core if left out).
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<std::num::NonZeroUsize>,
    /// Cores to use in all (all if left out).
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<std::num::NonZeroUsize>,
    /// Train the selected trials again, even if they are done.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// No bars: a line a finished trial, as off a terminal.
    #[arg(long)]
    pub(crate) no_progress: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct Report {
    /// Experiment file, such as experiments/quickstart.toml.
    pub(crate) file: PathBuf,
    /// Change a key of the file, as it was changed for the run.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Describe {
    /// Family of networks (mini-xception if left out).
    pub(crate) family: Option<String>,
    /// Segments: a count, per-channel, or { level = 0.5 }, or one a stage as in [1, 3, 8].
    #[arg(long)]
    pub(crate) segments: Option<String>,
    /// Change any other key of [trial.network], as in --set order=spatial-first.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Find the width at which the network has as much of this as it has at one
    /// segment a channel.
    #[arg(long, value_enum)]
    pub(crate) budget: Option<Budget>,
    /// Extents of an image: height, width, channels.
    #[arg(long, default_value = "28x28x1", value_name = "HxWxC")]
    pub(crate) input: Extents,
    /// Number of classes.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) classes: usize,
    /// Images a step, for the estimate of memory.
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub(crate) batch: usize,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

/// Extents of an image, written as in `28x28x1`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extents(pub(crate) MapShape);

impl FromStr for Extents {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Option<Vec<usize>> = text.split('x').map(|part| part.parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[h, w, c]) if h > 0 && w > 0 && c > 0 => Ok(Self(MapShape::new(h, w, c))),
            _ => Err("expected height, width and channels, as in 28x28x1".to_owned()),
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

/// How a command prints what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables for people.
    Human,
    /// One JSON document.
    Json,
}

/// The quantity that a budget holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Budget {
    /// Trained values.
    Parameters,
    /// Multiply-adds of an image.
    Macs,
    /// Outputs of convolutions and dense layers.
    Activations,
}
