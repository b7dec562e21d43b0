//! The command line as typed.

mod machines;

use std::{path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand, ValueEnum};
use decouple_datasets::Looking;
use decouple_kernels::geometry::MapShape;

pub(crate) use machines::{ClaimsChoice, Doctor, Jobs, Launcher, Resources, Size, Status, Submit};

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
Exit codes: 0 done, and nothing is left; 1 a run failed or diverged; 2 usage or experiment file; 3 data or the \
files of a run missing, corrupt or others than they were; 4 nothing matched; 5 runs in the hands of another \
process; 74 files could not be read or written, or the disk is full; 75 stopped after a checkpoint, run again; \
130 interrupted.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train what an experiment file asks for. Finished trials are not trained
    /// again; one that was cut off goes on from its last checkpoint.
    Run(Run),
    /// List every trial without training: id, cost, estimated time, whether done.
    Plan(Plan),
    /// Hand what is left to train to a cluster (or to processes in the background), and exit.
    Submit(Submit),
    /// Tell how far an experiment is: trials over, running and left, time, best so far.
    Status(Status),
    /// Rebuild report, tables and figures from the runs on disk.
    Report(Report),
    /// How many seeds tell how large a difference, judged by the runs on disk.
    Power(Power),
    /// Show a network layer by layer with its cost, or as a picture.
    Describe(Describe),
    /// Convert weights between this program, timm and Keras, or list them.
    #[command(subcommand)]
    Weights(Weights),
    /// Name what is in photographs: the most probable classes of each.
    Predict(Predict),
    /// Score a network on a folder of photographs, a folder a class.
    Evaluate(Evaluate),
    /// Write a trained network for other programs: ONNX, or PyTorch with safetensors.
    Export(Export),
    /// Tell how much of the trained kernels of one segment is kept when they are
    /// projected on more segments and on separable form, and what that costs.
    Diagnose(Diagnose),
    /// Look at a data set: its numbers, or its images.
    #[command(subcommand)]
    Data(Data),
    /// Write a commented experiment file to start from.
    Init(Init),
    /// Set two experiments side by side: the keys in which they differ, and every
    /// point that they have.
    Compare(Compare),
    /// Say which keys of an edited file have left runs on disk without a trial.
    Diff(Diff),
    /// Show the runs on disk that belong to no trial of the file, and with --yes
    /// remove them.
    Clean(Clean),
    /// Print a JSON schema of experiment files, for editors.
    Schema,
    /// Read every run of a results folder again and compare it with its checksums.
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
    /// A folder of results, or of one experiment [default: that of --results].
    pub(crate) folder: Option<PathBuf>,
    /// Also train this run again, in a folder for the time being, and compare what
    /// it leaves byte for byte.
    #[arg(long, value_name = "ID")]
    pub(crate) rerun: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Diagnose {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// List the sets that are known by name, and which of them are there.
    List,
    /// Read and decode every image of a set, and list what is broken.
    Verify(DataVerify),
    /// Download a known set from its makers; a download that was cut off goes on.
    Fetch(DataFetch),
    /// Write an image folder as shards, its files unchanged.
    Import(DataImport),
    /// Make shards of images with many labels each, a stand-in for collections such as JFT.
    StandIn(DataStandIn),
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
pub(crate) struct DataVerify {
    #[command(flatten)]
    pub(crate) choice: DataChoice,
    /// The checksum that the set must have.
    #[arg(long, value_name = "CHECKSUM")]
    pub(crate) checksum: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct DataFetch {
    /// A name from `decouple data list`.
    pub(crate) set: String,
}

#[derive(Args, Debug)]
pub(crate) struct DataStandIn {
    /// The new folder for the shards.
    pub(crate) target: PathBuf,
    /// Images to train on.
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    pub(crate) train: usize,
    /// Images for testing.
    #[arg(long, default_value_t = 2_000, value_name = "N")]
    pub(crate) test: usize,
    /// Classes.
    #[arg(long, default_value_t = 600, value_name = "N")]
    pub(crate) classes: usize,
    /// Labels an image, about.
    #[arg(long, default_value_t = 36, value_name = "N")]
    pub(crate) labels: usize,
    /// Rows and columns of an image.
    #[arg(long, default_value_t = 32, value_name = "PIXELS")]
    pub(crate) size: usize,
    /// What all is drawn from: other seeds, other images.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
    /// Images of a shard.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub(crate) samples: usize,
}

#[derive(Args, Debug)]
pub(crate) struct DataImport {
    /// The new folder for the shards.
    pub(crate) target: PathBuf,
    /// A key of [trial.data] for the image folder, as in --set classes=10. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) keys: Vec<String>,
    /// Images of a shard.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub(crate) samples: usize,
}

#[derive(Args, Debug)]
pub(crate) struct DataShow {
    #[command(flatten)]
    pub(crate) choice: DataChoice,
    /// The PNG file to write [default: SET.png].
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Images of each class.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) columns: usize,
    /// The seed of the run whose first epoch is shown.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
}

/// The folder of results where none is named.
pub(crate) const RESULTS: &str = "results";

/// Options of every command.
#[derive(Args, Debug)]
pub(crate) struct Common {
    /// Folder of results; an experiment has one of its own in it.
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
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) selection: Selection,
    #[command(flatten)]
    pub(crate) resources: Resources,
    /// Train the selected trials again, even if they are done. The old runs stay
    /// until the new ones are.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Train again only those of the selected trials whose run failed or diverged.
    #[arg(long, value_enum, conflicts_with = "fresh")]
    pub(crate) only: Option<Only>,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    /// Leave trials that another process is training, instead of waiting for them
    /// to take them over if it dies.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How runners keep each other off a trial: `locks` of the system, or `leases` where
    /// locks do not hold between hosts; `leases:60` with their term in seconds. `auto`
    /// takes leases on file systems that several hosts may have mounted.
    #[arg(long, env = "DECOUPLE_CLAIMS", default_value = "auto", value_name = "auto|locks|leases")]
    pub(crate) claims: ClaimsChoice,
    /// No bars: a line a finished trial, as off a terminal.
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
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Lay down the hypotheses, margin and analysis of the file before the first run: lock.json.
    #[arg(long)]
    pub(crate) lock: bool,
    /// Machines like this one that share the trials: also says how long they need. A trial is never shared.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) nodes: usize,
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
    /// Also write the tables for LaTeX: tables.tex.
    #[arg(long)]
    pub(crate) latex: bool,
    /// List the experiment in results/index.html, with all others that have a report.
    #[arg(long)]
    pub(crate) index: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct Power {
    /// Experiment file, such as experiments/quickstart.toml.
    pub(crate) file: PathBuf,
    /// Change a key of the file, as it was changed for the run.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// True difference of two points, in points of accuracy. May be repeated.
    #[arg(long, value_name = "POINTS", default_values_t = [0.1, 0.2, 0.5, 1.0, 2.0])]
    pub(crate) difference: Vec<f64>,
    /// Chance to tell it.
    #[arg(long, value_name = "CHANCE", default_value_t = 0.8)]
    pub(crate) power: f64,
}

#[derive(Args, Debug)]
pub(crate) struct Describe {
    /// Family of networks, such as xception, or figure-1 to figure-4 for a module
    /// of the paper (mini-xception if left out).
    pub(crate) family: Option<String>,
    /// Segments: a count, per-channel, or { level = 0.5 }, or one a stage as in [1, 3, 8].
    #[arg(long)]
    pub(crate) segments: Option<String>,
    /// Change any other key of [trial.network], as in --set order=spatial-first.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Find the width at which the network has as much of this as it has with its
    /// family's own segments, which are one a channel in the Xceptions.
    #[arg(long, value_enum)]
    pub(crate) budget: Option<Budget>,
    /// Height, width and channels of an image [default: those that the network was
    /// published for; of mini-xception, 28x28x1].
    #[arg(long, value_name = "HxWxC")]
    pub(crate) input: Option<Extents>,
    /// Number of classes [default: 1000; of mini-xception, 10].
    #[arg(long, value_name = "N")]
    pub(crate) classes: Option<usize>,
    /// Images a step, for the estimate of memory and for step times.
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub(crate) batch: usize,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Picture::Human)]
    pub(crate) format: Picture,
}

/// How a network is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Picture {
    /// A table for people.
    Human,
    /// One JSON document.
    Json,
    /// A picture: blocks as frames, residual connections as arcs.
    Svg,
}

/// Which network weights are for. Files that this program has written say so
/// themselves.
#[derive(Args, Debug)]
pub(crate) struct Model {
    /// Family of networks, such as xception [default: what the file says].
    #[arg(long = "model", value_name = "FAMILY")]
    pub(crate) family: Option<String>,
    /// Change a key of [trial.network], as in --set numerics=timm. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", requires = "family")]
    pub(crate) set: Vec<String>,
    /// Height, width and channels of an image [default: those that the network was
    /// published for].
    #[arg(long, value_name = "HxWxC", requires = "family")]
    pub(crate) input: Option<Extents>,
    /// Number of classes [default: 1000; of mini-xception, 10].
    #[arg(long, value_name = "N", requires = "family")]
    pub(crate) classes: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Weights {
    /// Make a file of this program's from one of timm's or Keras' (safetensors;
    /// tools/keras-to-safetensors.py makes those of Keras' .h5 and .keras).
    Import(Conversion),
    /// Make a file for timm or Keras from one of this program's.
    Export(Conversion),
    /// Make a file with names and layouts of one kind from one of another.
    Convert(Conversion),
    /// List a file's tensors without reading their values.
    Inspect(Inspect),
}

#[derive(Args, Debug)]
pub(crate) struct Conversion {
    /// File to read.
    pub(crate) source: PathBuf,
    /// File to write.
    pub(crate) target: PathBuf,
    /// Whose names the source has [default: as they look].
    #[arg(long, value_enum)]
    pub(crate) from: Option<Names>,
    /// Whose names the target gets [default: decouple; export needs it].
    #[arg(long, value_enum)]
    pub(crate) to: Option<Names>,
    /// Start the head of --classes anew, from values drawn from this number; the source's head,
    /// where it has one, is passed over.
    #[arg(long, value_name = "SEED", requires = "classes")]
    pub(crate) new_head: Option<u64>,
    #[command(flatten)]
    pub(crate) model: Model,
}

#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// File of weights.
    pub(crate) file: PathBuf,
}

/// Whose names and layouts a file of weights has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Names {
    /// This program's.
    Decouple,
    /// PyTorch image models.
    Timm,
    /// keras.applications.
    Keras,
}

/// A trained network: that of a run, or weights from anywhere.
#[derive(Args, Debug)]
pub(crate) struct Trained {
    /// Folder of a finished run, as in results/mine/runs/segments=4,seed=0-dd132986:
    /// its network with its classes and its way to see images.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["weights", "from", "family"])]
    pub(crate) run: Option<PathBuf>,
    /// File of weights (safetensors).
    #[arg(long, value_name = "FILE", required_unless_present = "run")]
    pub(crate) weights: Option<PathBuf>,
    /// Whose names the weights have [default: as they look].
    #[arg(long, value_enum)]
    pub(crate) from: Option<Names>,
    /// Names of the classes, one a line in the order of the logits [default: those
    /// of the run, or ImageNet's for 1000 classes].
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) model: Model,
}

/// How photographs are looked at.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Photographs {
    /// What to do about a file that is no sound image.
    #[arg(long, value_enum, default_value_t = Corrupt::Refuse)]
    pub(crate) corrupt: Corrupt,
    /// Leave photographs as stored, whatever they note on how the camera was held.
    #[arg(long)]
    pub(crate) as_stored: bool,
    /// Most pixels of an image.
    #[arg(long, value_name = "N", default_value_t = Looking::default().most_pixels)]
    pub(crate) most_pixels: u64,
}

/// What is done about a file that is no sound image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Corrupt {
    /// Stop and name it.
    Refuse,
    /// Leave it out, and list it.
    Skip,
}

#[derive(Args, Debug)]
pub(crate) struct Predict {
    #[command(flatten)]
    pub(crate) trained: Trained,
    #[command(flatten)]
    pub(crate) photographs: Photographs,
    /// JPEG, PNG or WebP files.
    #[arg(required = true)]
    pub(crate) images: Vec<PathBuf>,
    /// How many classes to name.
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) top: usize,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct Evaluate {
    #[command(flatten)]
    pub(crate) trained: Trained,
    #[command(flatten)]
    pub(crate) photographs: Photographs,
    /// Folder of class folders, called by the first word of a label, by the whole
    /// label or, for a network without labels, by the numbers of the classes from 0
    /// [default: the test images of the run's own data set].
    #[arg(required_unless_present = "run")]
    pub(crate) folder: Option<PathBuf>,
    /// Images computed together.
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(crate) batch: usize,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) trained: Trained,
    /// What to write [default: as the file's ending says, .onnx or .py].
    #[arg(long, value_enum)]
    pub(crate) format: Option<Exported>,
    /// File to write; beside a .py file go the weights that it reads, as .safetensors.
    #[arg(value_name = "OUT")]
    pub(crate) target: PathBuf,
}

/// What a network is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Exported {
    /// One ONNX file, for onnxruntime and others.
    Onnx,
    /// A Python file that rebuilds the network in PyTorch, and its weights.
    Pytorch,
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
pub(crate) struct Init {
    /// Name of the experiment; the file is experiments/NAME.toml, or NAME.toml where
    /// there is no such folder. A file that is there already is left alone.
    pub(crate) name: String,
}

#[derive(Args, Debug)]
pub(crate) struct Compare {
    /// Experiment file.
    pub(crate) first: PathBuf,
    /// Experiment file; differences are this one's less the first one's.
    pub(crate) second: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct Diff {
    /// Experiment file, such as experiments/quickstart.toml.
    pub(crate) file: PathBuf,
    /// Change a key of the file, as it was changed for the run.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Clean {
    /// Experiment file, such as experiments/quickstart.toml.
    pub(crate) file: PathBuf,
    /// Change a key of the file, as it was changed for the run.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
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
    /// Time of a training step, measured on this machine.
    StepTime,
}
