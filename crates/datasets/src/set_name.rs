//! What sets are called.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A data set that the program can read or make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SetName {
    /// [`Source::FashionMnist`](crate::Source::FashionMnist).
    #[default]
    FashionMnist,
    /// [`Source::Cifar10`](crate::Source::Cifar10).
    #[serde(rename = "cifar-10")]
    Cifar10,
    /// [`Source::Cifar100`](crate::Source::Cifar100).
    #[serde(rename = "cifar-100")]
    Cifar100,
    /// [`Source::ImageFolder`](crate::Source::ImageFolder).
    ImageFolder,
    /// [`Source::Shards`](crate::Source::Shards).
    Shards,
    /// [`Source::Manifest`](crate::Source::Manifest).
    Manifest,
    /// [`Source::Planted`](crate::Source::Planted).
    Planted,
}

impl SetName {
    /// Where the files of the set come from, for the message that one is missing.
    pub(crate) const fn origin(self) -> &'static str {
        match self {
            Self::FashionMnist => {
                "the full set is four files, as Debian's package `dataset-fashion-mnist` has them"
            }
            Self::Cifar10 => "the set is the six files of `cifar-10-binary.tar.gz` by A. Krizhevsky",
            Self::Cifar100 => "the set is the two files of `cifar-100-binary.tar.gz` by A. Krizhevsky",
            Self::ImageFolder => {
                "the set is a folder with a folder of JPEG, PNG or WebP files for each class"
            }
            Self::Shards => "the set is tar files in which an image and its label share a name",
            Self::Manifest => "the set is a table of paths with their labels",
            Self::Planted => "the set is made by the program",
        }
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::FashionMnist => "fashion-mnist",
            Self::Cifar10 => "cifar-10",
            Self::Cifar100 => "cifar-100",
            Self::ImageFolder => "image-folder",
            Self::Shards => "shards",
            Self::Manifest => "manifest",
            Self::Planted => "planted",
        })
    }
}
