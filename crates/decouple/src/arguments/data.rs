//! The arguments of `decouple data`.

use std::num::NonZeroUsize;
use std::ops::RangeBounds;
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand};

use super::{Format, at_least_one};

#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// List the sets that are known by name, and which of them are present.
    List,
    /// Read and decode every image of a set, and list what is broken.
    Verify(DataVerify),
    /// Download a known set from its publisher; an interrupted download resumes.
    Fetch(DataFetch),
    /// Pack an image folder into shards, with its files unchanged.
    Import(DataImport),
    /// Generate shards of images with many labels each, a stand-in for collections such as JFT.
    StandIn(DataStandIn),
    /// Show counts, classes, channel statistics, checksum and skipped files.
    Info(DataInfo),
    /// Draw a contact sheet of training images, augmented as training sees them.
    Show(DataShow),
}

/// Which data set.
#[derive(Args, Debug)]
pub(crate) struct DataChoice {
    /// A set, such as fashion-mnist, cifar-10, image-folder or planted, or an experiment file
    /// (then the data of its first trial).
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
    /// The expected checksum of the set.
    #[arg(long, value_name = "CHECKSUM")]
    pub(crate) checksum: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct DataFetch {
    /// A name from `decouple data list`.
    pub(crate) set: String,
}

/// The most images of a set that is drawn: more than twice those of JFT.
const MOST_IMAGES: u64 = 1_000_000_000;

#[derive(Args, Debug)]
pub(crate) struct DataStandIn {
    /// The new folder for the shards.
    pub(crate) target: PathBuf,
    /// Training images.
    #[arg(long, default_value = "20000", value_name = "N", value_parser = within(1..=MOST_IMAGES))]
    pub(crate) train: usize,
    /// Test images.
    #[arg(long, default_value = "2000", value_name = "N", value_parser = within(1..=MOST_IMAGES))]
    pub(crate) test: usize,
    /// Classes.
    #[arg(long, default_value = "600", value_name = "N", value_parser = within(16..=65_536))]
    pub(crate) classes: usize,
    /// Approximate number of labels per image, at most a quarter of the classes.
    #[arg(long, default_value = "36", value_name = "N", value_parser = within(1..))]
    pub(crate) labels: usize,
    /// Rows and columns of an image.
    #[arg(long, default_value = "32", value_name = "PIXELS", value_parser = within(4..=1_024))]
    pub(crate) size: usize,
    /// Seed of the generator.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
    /// Images per shard.
    #[arg(long, default_value = "1000", value_name = "N", value_parser = within(1..))]
    pub(crate) samples: usize,
}

/// A number in `range`.
fn within(range: impl RangeBounds<u64>) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(range)
}

#[derive(Args, Debug)]
pub(crate) struct DataImport {
    /// The new folder for the shards.
    pub(crate) target: PathBuf,
    /// A key of [trial.data] for the image folder, as in --set classes=10. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) keys: Vec<String>,
    /// Images per shard.
    #[arg(long, default_value = "1000", value_name = "N", value_parser = at_least_one)]
    pub(crate) samples: NonZeroUsize,
}

#[derive(Args, Debug)]
pub(crate) struct DataShow {
    #[command(flatten)]
    pub(crate) choice: DataChoice,
    /// The PNG file to write [default: SET.png].
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Images of each class, at most 100.
    #[arg(long, default_value = "10", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(crate) columns: u64,
    /// The seed of the run whose first epoch is shown.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
}
