//! The command line as typed.

mod data;
mod machines;
mod networks;

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use decouple_keys::Values;
use serde::de::{DeserializeOwned, IntoDeserializer, value::Error};

pub(crate) use data::*;
pub(crate) use machines::{ClaimsChoice, Doctor, Jobs, Resources, Size, StatusArguments, Submit};
pub(crate) use networks::*;

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
Exit codes: 0 everything is done; 1 a run failed or diverged; 2 usage or experiment file; 3 data or the \
files of a run missing, corrupt or changed; 4 nothing matched; 5 runs being trained by another \
process; 74 files could not be read or written, or the disk is full; 75 stopped after a checkpoint, run again; \
130 interrupted.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train the trials of an experiment file. Finished trials are not trained again;
    /// interrupted ones continue from their last checkpoint.
    Run(RunArguments),
    /// List every trial without training: id, cost, estimated time, whether done.
    Plan(PlanArguments),
    /// Submit the trials that are left to a cluster (or to background processes), and exit.
    Submit(Submit),
    /// Show the progress of an experiment: trials done, running and left, time, best so far.
    Status(StatusArguments),
    /// Rebuild report, tables and figures from the runs on disk.
    Report(Report),
    /// Show how many seeds detect how large a difference, judging by the runs on disk.
    Power(Power),
    /// Show a network layer by layer with its cost, or as a picture.
    Describe(Describe),
    /// Convert weights between this program, timm and Keras, or list them.
    #[command(subcommand)]
    Weights(Weights),
    /// Classify photographs: the most probable classes of each.
    Predict(Predict),
    /// Score a network on a folder of photographs, one folder per class.
    Evaluate(Evaluate),
    /// Write a trained network for other programs: ONNX, or PyTorch with safetensors.
    Export(Export),
    /// Project trained kernels of one segment onto more segments and onto separable form, and
    /// show how much is kept and what it costs in accuracy.
    Diagnose(Diagnose),
    /// Inspect, fetch, verify or convert data sets.
    #[command(subcommand)]
    Data(Data),
    /// Write a commented experiment file to start from.
    Init(Init),
    /// Compare two experiments: the keys in which they differ, and every point of both.
    Compare(Compare),
    /// Show which keys of an edited file have left runs on disk without a trial.
    Diff(Experiment),
    /// Show the runs on disk that belong to no trial of the file; --yes removes them.
    Clean(Clean),
    /// Print a JSON schema of experiment files, for editors.
    Schema,
    /// Check every run of a results folder against its checksums.
    Verify(Verify),
    /// Check this machine: processor and kernels, memory, disk, data, locks, Slurm.
    Doctor(Doctor),
    /// Print a completion script for a shell.
    Completions(Completions),
    /// Print the manual page (roff), or write one for each command into a folder.
    Manual(Manual),
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// A results folder, or that of one experiment [default: --results].
    pub(crate) folder: Option<PathBuf>,
    /// Also train this run again, in a temporary folder, and compare the results byte for byte.
    #[arg(long, value_name = "ID")]
    pub(crate) rerun: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Diagnose {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

/// The default results folder.
pub(crate) const RESULTS: &str = "results";

/// Variables that take the place of flags, which messages about their values name.
pub(crate) const VARIABLES: [(&str, &str); 3] =
    [("DECOUPLE_RESULTS", "--results"), ("DECOUPLE_DATA", "--data"), ("DECOUPLE_CLAIMS", "--claims")];

/// Options of every command.
#[derive(Args, Debug)]
pub(crate) struct Common {
    /// Results folder; each experiment has its own folder in it.
    #[arg(long, global = true, env = "DECOUPLE_RESULTS", default_value = RESULTS, value_name = "DIR")]
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
#[command(after_help = "\
Example: decouple run experiments/quickstart.toml --jobs auto --max-memory 8G\n\
Any number of processes may run one file: each trial is trained once.")]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) selection: Selection,
    #[command(flatten)]
    pub(crate) resources: Resources,
    /// Train the selected trials again, even if they are done. The old runs are kept until the
    /// new ones are done.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Train only those of the selected trials whose run failed or diverged, again.
    #[arg(long, value_enum, conflicts_with = "fresh")]
    pub(crate) only: Option<Only>,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    /// Skip trials that another process is training, instead of waiting in order to take them
    /// over if it dies.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How a runner claims a trial: with file `locks`, or with `leases` where locks do not hold
    /// between hosts (`leases:60` sets their term in seconds). `auto` uses leases on file
    /// systems that several hosts may have mounted.
    #[arg(long, env = "DECOUPLE_CLAIMS", default_value = "auto", value_name = "auto|locks|leases")]
    pub(crate) claims: ClaimsChoice,
    /// No progress bars: print one line per finished trial, as when not on a terminal.
    #[arg(long)]
    pub(crate) no_progress: bool,
    /// The list of tasks of a submission: only the trials of one of them.
    #[arg(long, hide = true, requires = "task", value_name = "FILE")]
    pub(crate) task_list: Option<PathBuf>,
    /// Its number.
    #[arg(long, hide = true, value_name = "N")]
    pub(crate) task: Option<usize>,
}

/// Which of the selected trials are trained again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Only {
    /// Those whose run failed or diverged.
    Failed,
}

#[derive(Args, Debug)]
#[command(after_help = "Example: decouple plan experiments/quickstart.toml --filter 'segments>=8 & seed=0'")]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Record the hypotheses, margin and analysis of the file before the first run, in
    /// lock.json.
    #[arg(long)]
    pub(crate) lock: bool,
    /// Also estimate the time on N machines like this one. Each trial runs on one machine.
    #[arg(long, value_name = "N", default_value = "1", value_parser = at_least_one)]
    pub(crate) nodes: NonZeroUsize,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

// An experiment as its runs have it.
#[derive(Args, Debug)]
pub(crate) struct Experiment {
    /// Experiment file, such as experiments/quickstart.toml.
    pub(crate) file: PathBuf,
    /// Change a key of the file, as for the run.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Report {
    #[command(flatten)]
    pub(crate) experiment: Experiment,
    /// Also write the tables for LaTeX: tables.tex.
    #[arg(long)]
    pub(crate) latex: bool,
    /// Add the experiment to results/index.html.
    #[arg(long)]
    pub(crate) index: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct Power {
    #[command(flatten)]
    pub(crate) experiment: Experiment,
    /// True difference of two points, in points of accuracy. May be repeated.
    #[arg(long, value_name = "POINTS", default_values_t = [0.1, 0.2, 0.5, 1.0, 2.0])]
    pub(crate) difference: Vec<f64>,
    /// Probability of detecting it.
    #[arg(long, value_name = "CHANCE", default_value_t = 0.8)]
    pub(crate) power: f64,
}

#[derive(Args, Debug)]
pub(crate) struct Init {
    /// Name of the experiment; the file is experiments/NAME.toml, or NAME.toml where there is
    /// no such folder. An existing file is not overwritten.
    pub(crate) name: String,
}

#[derive(Args, Debug)]
pub(crate) struct Compare {
    /// Experiment file.
    pub(crate) first: PathBuf,
    /// Experiment file; differences are this one minus the first.
    pub(crate) second: PathBuf,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct Clean {
    #[command(flatten)]
    pub(crate) experiment: Experiment,
    /// Remove what is shown.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Manual {
    /// Folder for the pages decouple.1, decouple-run.1 and so on.
    pub(crate) folder: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

/// How a command prints what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Human-readable tables.
    Human,
    /// One JSON document.
    Json,
}

/// Reads a `T` from one of the words that files have for it, each shown with its meaning.
fn one_of<T>(
    words: impl IntoIterator<Item = (&'static str, &'static str)>,
) -> impl TypedValueParser<Value = T>
where
    T: Clone + DeserializeOwned + Send + Sync + 'static,
{
    let read = |word: String| -> Result<T, Error> { T::deserialize(word.into_deserializer()) };
    let shown = |(word, meaning): (&'static str, _)| PossibleValue::new(word).help(meaning);
    PossibleValuesParser::new(words.into_iter().map(shown)).try_map(read)
}

/// The numbers that a key of an experiment file may be.
fn numbers(key: &str) -> RangeInclusive<u64> {
    match decouple_keys::find(key).expect("a key of the table").values {
        Values::Whole(least, Some(most)) => least..=most,
        _ => unreachable!("{key} is a whole number with two bounds"),
    }
}

/// A count of which none would make no sense.
fn at_least_one(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "expected a whole number, 1 or above".to_owned())
}

/// The words that a key of an experiment file may be, with their meanings.
fn words(key: &str) -> Vec<(&'static str, &'static str)> {
    decouple_keys::find(key).expect("a key of the table").values.notes()
}
