//! `[trial.data]` as a person types it: every key optional, and which of them a
//! set has checked when the table is resolved.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::image_folder::{Corrupt, ImageFolder};
use crate::planted::Planted;
use crate::{Augment, DataSpec, SetName, Source, Subset};

/// The `data` table as typed. The resolved record is written in the same form,
/// with every key that its set has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DataTable {
    set: SetName,
    #[serde(skip_serializing_if = "Option::is_none")]
    subset: Option<Subset>,
    validation: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<u64>,
    augment: Vec<Augment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    classes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<[usize; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_share: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    corrupt: Option<Corrupt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coupling: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    noise: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

/// A key of the data table whose value is refused, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {message}")]
pub struct DataKeyError {
    /// The key.
    pub key: &'static str,
    /// What is wrong, to be read after the key: "must be at least 1".
    pub message: String,
}

impl TryFrom<DataTable> for DataSpec {
    type Error = DataKeyError;

    fn try_from(typed: DataTable) -> Result<Self, DataKeyError> {
        typed.refuse_foreign_keys()?;
        let source = match typed.set {
            SetName::FashionMnist => Source::FashionMnist { subset: typed.subset.unwrap_or_default() },
            SetName::Cifar10 => Source::Cifar10,
            SetName::Cifar100 => Source::Cifar100,
            SetName::ImageFolder => Source::ImageFolder(typed.image_folder()?),
            SetName::Planted => Source::Planted(typed.planted()?),
        };
        Ok(Self { source, validation: typed.validation, split: typed.split, augment: typed.augment })
    }
}

impl DataTable {
    /// Refuses the first key that was typed although the set lacks it.
    fn refuse_foreign_keys(&self) -> Result<(), DataKeyError> {
        use SetName::{FashionMnist, ImageFolder, Planted};
        let keys: [(&'static str, bool, &[SetName]); 10] = [
            ("subset", self.subset.is_some(), &[FashionMnist]),
            ("folder", self.folder.is_some(), &[ImageFolder]),
            ("classes", self.classes.is_some(), &[ImageFolder]),
            ("size", self.size.is_some(), &[ImageFolder]),
            ("channels", self.channels.is_some(), &[ImageFolder]),
            ("test-share", self.test_share.is_some(), &[ImageFolder]),
            ("corrupt", self.corrupt.is_some(), &[ImageFolder]),
            ("coupling", self.coupling.is_some(), &[Planted]),
            ("images", self.images.is_some(), &[Planted]),
            ("noise", self.noise.is_some(), &[Planted]),
        ];
        let seed = ("seed", self.seed.is_some(), &[Planted][..]);
        match keys.into_iter().chain([seed]).find(|(_, typed, sets)| *typed && !sets.contains(&self.set)) {
            Some((key, ..)) => {
                Err(DataKeyError { key, message: format!("is not a key of the set `{}`", self.set) })
            }
            None => Ok(()),
        }
    }

    fn image_folder(&self) -> Result<ImageFolder, DataKeyError> {
        let needed = |key, what: &str| DataKeyError {
            key,
            message: format!(
                "is needed for an image folder: {what}, since networks are planned before images are read"
            ),
        };
        let size = self.size.ok_or_else(|| needed("size", "[rows, columns] that images are brought to"))?;
        let classes = self.classes.ok_or_else(|| needed("classes", "the number of folders"))?;
        let folder = ImageFolder {
            folder: self.folder.clone().unwrap_or_default(),
            classes,
            size,
            channels: self.channels.unwrap_or(3),
            test_share: self.test_share.unwrap_or(0.2),
            corrupt: self.corrupt.unwrap_or_default(),
        };
        check(
            "size",
            size.iter().all(|extent| (1..=1024).contains(extent)),
            "must be two numbers from 1 to 1024",
        )?;
        check("classes", (2..=65_536).contains(&classes), "must be from 2 to 65536")?;
        check("channels", [1, 3].contains(&folder.channels), "must be 1 (grey) or 3 (colour)")?;
        let share = folder.test_share;
        check("test-share", share > 0.0 && share < 1.0, "must be between 0 and 1")?;
        Ok(folder)
    }

    fn planted(&self) -> Result<Planted, DataKeyError> {
        let default = Planted::default();
        let planted = Planted {
            coupling: self.coupling.unwrap_or(default.coupling),
            images: self.images.unwrap_or(default.images),
            noise: self.noise.unwrap_or(default.noise),
            seed: self.seed.unwrap_or(default.seed),
        };
        check("coupling", (0.0..=1.0).contains(&planted.coupling), "must be from 0 to 1")?;
        check("images", (1..=1_000_000).contains(&planted.images), "must be from 1 to 1000000")?;
        check("noise", (0.0..=1.0).contains(&planted.noise), "must be from 0 to 1")?;
        Ok(planted)
    }
}

fn check(key: &'static str, allowed: bool, expected: &str) -> Result<(), DataKeyError> {
    if allowed { Ok(()) } else { Err(DataKeyError { key, message: expected.to_owned() }) }
}

impl From<DataSpec> for DataTable {
    fn from(spec: DataSpec) -> Self {
        let DataSpec { source, validation, split, augment } = spec;
        let table = Self { set: source.set(), validation, split, augment, ..Self::default() };
        match source {
            Source::FashionMnist { subset } => Self { subset: Some(subset), ..table },
            Source::Cifar10 | Source::Cifar100 => table,
            Source::ImageFolder(ImageFolder { folder, classes, size, channels, test_share, corrupt }) => {
                Self {
                    folder: Some(folder),
                    classes: Some(classes),
                    size: Some(size),
                    channels: Some(channels),
                    test_share: Some(test_share),
                    corrupt: Some(corrupt),
                    ..table
                }
            }
            Source::Planted(Planted { coupling, images, noise, seed }) => Self {
                coupling: Some(coupling),
                images: Some(images),
                noise: Some(noise),
                seed: Some(seed),
                ..table
            },
        }
    }
}
