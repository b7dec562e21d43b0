//! Arguments of the commands on networks and their weights.

use std::{num::NonZeroUsize, path::PathBuf, str::FromStr};

use clap::builder::TypedValueParser;
use clap::{Args, Subcommand, ValueEnum};
use decouple_datasets::{Corrupt, Looking};
use decouple_experiment::Held;
use decouple_kernels::geometry::MapShape;
use decouple_spectrum::weights::names::Naming;

use super::{Format, at_least_one, numbers, one_of, words};

#[derive(Args, Debug)]
pub(crate) struct Describe {
    /// Family of networks, such as xception, or figure-1 to figure-4 for a module
    /// of the paper (mini-xception if left out).
    pub(crate) family: Option<String>,
    /// Segments: a count, per-channel, { channels-per-segment = 2 } or { level = 0.5 }, or one per
    /// stage, of which mini-xception has five, as in [1, 2, 4, 8, 16].
    #[arg(long)]
    pub(crate) segments: Option<String>,
    /// Change any other key of [trial.network], as in --set order=spatial-first.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Find the width at which the network has as much of this quantity as with its family's
    /// own segments (one per channel in the Xceptions).
    #[arg(long, value_parser = quantity())]
    pub(crate) budget: Option<Held>,
    /// Height, width and channels of an image [default: as the network was published; for
    /// mini-xception, 28x28x1].
    #[arg(long, value_name = "HxWxC")]
    pub(crate) input: Option<Extents>,
    /// Number of classes [default: 1000; for mini-xception, 10].
    #[arg(long, value_name = "N")]
    pub(crate) classes: Option<usize>,
    /// Images per step, for the estimate of memory and for step times.
    #[arg(long, default_value = "64", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) batch: u64,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Picture::Human)]
    pub(crate) format: Picture,
}

/// How a network is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Picture {
    /// A human-readable table.
    Human,
    /// One JSON document.
    Json,
    /// A picture: blocks as frames, residual connections as arcs.
    Svg,
}

/// The network that the weights belong to. Files written by this program state it themselves.
#[derive(Args, Debug)]
pub(crate) struct Model {
    /// Family of networks, such as xception [default: what the file says].
    #[arg(long = "model", value_name = "FAMILY")]
    pub(crate) family: Option<String>,
    /// Change a key of [trial.network], as in --set numerics=timm. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", requires = "family")]
    pub(crate) set: Vec<String>,
    /// Height, width and channels of an image [default: as the network was published].
    #[arg(long, value_name = "HxWxC", requires = "family")]
    pub(crate) input: Option<Extents>,
    /// Number of classes [default: 1000; for mini-xception, 10].
    #[arg(long, value_name = "N", requires = "family")]
    pub(crate) classes: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Weights {
    /// Convert a file of timm's or Keras' to this program's format (safetensors;
    /// tools/keras-to-safetensors.py converts Keras' .h5 and .keras files).
    Import(Conversion),
    /// Convert a file of this program to timm's or Keras' format.
    Export(Conversion),
    /// Convert between any two formats of names and layouts.
    Convert(Conversion),
    /// List the tensors of a file without reading their values.
    Inspect(Inspect),
}

#[derive(Args, Debug)]
pub(crate) struct Conversion {
    /// File to read.
    pub(crate) source: PathBuf,
    /// File to write.
    pub(crate) target: PathBuf,
    /// Format of the source's names [default: detected].
    #[arg(long, value_parser = naming())]
    pub(crate) from: Option<Naming>,
    /// Format of the target's names [default: decouple; required for export].
    #[arg(long, value_parser = naming())]
    pub(crate) to: Option<Naming>,
    /// Initialise a new head of --classes from this seed; the source's own head, if any, is
    /// ignored.
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

/// A trained network: from a run, or weights from elsewhere.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("trained").required(true).args(["run", "weights"]))]
pub(crate) struct TrainedArguments {
    /// Folder of a finished run, as in results/mine/runs/segments=4,seed=0-dd132986: its
    /// network, classes and preprocessing.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["from", "family", "set", "input", "classes"])]
    pub(crate) run: Option<PathBuf>,
    /// File of weights (safetensors).
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,
    /// Format of the weights' names [default: detected].
    #[arg(long, value_parser = naming())]
    pub(crate) from: Option<Naming>,
    /// File of class names, one per line in the order of the logits [default: those of the run,
    /// or ImageNet's for 1000 classes].
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) model: Model,
}

/// How photographs are read.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Photographs {
    /// What to do about a broken image file.
    #[arg(long, value_parser = one_of::<Corrupt>(words("data.corrupt")), default_value = "refuse")]
    pub(crate) corrupt: Corrupt,
    /// Leave photographs as stored, ignoring their EXIF orientation.
    #[arg(long)]
    pub(crate) as_stored: bool,
    /// Largest image to read, in pixels.
    #[arg(long, value_name = "N", default_value_t = Looking::default().most_pixels,
        value_parser = clap::value_parser!(u64).range(numbers("data.most-pixels")))]
    pub(crate) most_pixels: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Predict {
    #[command(flatten)]
    pub(crate) trained: TrainedArguments,
    #[command(flatten)]
    pub(crate) photographs: Photographs,
    /// JPEG, PNG or WebP files.
    #[arg(required = true)]
    pub(crate) images: Vec<PathBuf>,
    /// How many classes to show.
    #[arg(long, default_value = "5", value_name = "N", value_parser = at_least_one)]
    pub(crate) top: NonZeroUsize,
    /// Output format; JSON is one document per line, for each file.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct Evaluate {
    #[command(flatten)]
    pub(crate) trained: TrainedArguments,
    #[command(flatten)]
    pub(crate) photographs: Photographs,
    /// Folder of class folders, named by the first word of a label, the whole label or, for a
    /// network without labels, the class numbers from 0 [default: the test images of the run's
    /// own data set].
    #[arg(required_unless_present = "run")]
    pub(crate) folder: Option<PathBuf>,
    /// Images per batch.
    #[arg(long, default_value = "8", value_name = "N", value_parser = at_least_one)]
    pub(crate) batch: NonZeroUsize,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) trained: TrainedArguments,
    /// What to write [default: by the file extension, .onnx or .py].
    #[arg(long, value_enum)]
    pub(crate) format: Option<Exported>,
    /// File to write. A .py file reads its weights from a .safetensors file beside it.
    #[arg(value_name = "OUT")]
    pub(crate) target: PathBuf,
}

/// The format that a network is exported to.
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

/// Reads one of the namings of weights.
fn naming() -> impl TypedValueParser<Value = Naming> {
    one_of(Naming::ALL.map(|naming| (naming.name(), naming.meaning())))
}

/// Reads what a budget holds equal.
fn quantity() -> impl TypedValueParser<Value = Held> {
    one_of(words("experiment.budget").into_iter().filter(|(word, _)| *word != "none"))
}
