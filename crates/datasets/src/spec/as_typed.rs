//! `[trial.data]` as a person types it: every key is optional; resolving the table checks which
//! of them the set has.

use std::path::PathBuf;

use decouple_keys::InvalidKey;
use serde::{Deserialize, Serialize};

use super::{DataSpec, Source, Subset};
use crate::image_folder::ImageFolder;
use crate::manifest::{Columns, Manifest};
use crate::planted::Planted;
use crate::stream::Shards;
use crate::{Augment, Classes, Corrupt, Filter, Fit, Looking, Reading, SetName};

/// The `data` table as typed. The resolved record is written in the same form,
/// with every key that its set has but those that came later, which are left out at their default: the ids of
/// earlier runs stay as they are.
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
    class_list: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orientation: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    most_pixels: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fit: Option<Fit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crop_fraction: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reduced: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_label: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class_weights: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score_weights: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_column: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label_column: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    split_column: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coupling: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    noise: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

impl TryFrom<DataTable> for DataSpec {
    type Error = InvalidKey;

    fn try_from(typed: DataTable) -> Result<Self, InvalidKey> {
        typed.refuse_foreign_keys()?;
        let source = match typed.set {
            SetName::FashionMnist => Source::FashionMnist { subset: typed.subset.unwrap_or_default() },
            SetName::Cifar10 => Source::Cifar10,
            SetName::Cifar100 => Source::Cifar100,
            SetName::ImageFolder => Source::ImageFolder(typed.image_folder()?),
            SetName::Shards => Source::Shards(typed.shards()?),
            SetName::Manifest => Source::Manifest(typed.manifest()?),
            SetName::Planted => Source::Planted(typed.planted()?),
        };
        Ok(Self { source, validation: typed.validation, split: typed.split, augment: typed.augment })
    }
}

impl DataTable {
    /// Refuses the first key that was typed although the set lacks it.
    fn refuse_foreign_keys(&self) -> Result<(), InvalidKey> {
        use SetName::{FashionMnist, ImageFolder, Manifest, Planted, Shards};
        let photographs: &[SetName] = &[ImageFolder, Shards, Manifest];
        let keys: [(&'static str, bool, &[SetName]); 26] = [
            ("subset", self.subset.is_some(), &[FashionMnist]),
            ("folder", self.folder.is_some(), &[ImageFolder, Shards]),
            ("classes", self.classes.is_some(), photographs),
            ("size", self.size.is_some(), photographs),
            ("channels", self.channels.is_some(), photographs),
            ("test-share", self.test_share.is_some(), &[ImageFolder, Manifest]),
            ("corrupt", self.corrupt.is_some(), photographs),
            ("class-list", self.class_list.is_some(), photographs),
            ("orientation", self.orientation.is_some(), photographs),
            ("most-pixels", self.most_pixels.is_some(), photographs),
            ("fit", self.fit.is_some(), photographs),
            ("crop-fraction", self.crop_fraction.is_some(), photographs),
            ("filter", self.filter.is_some(), photographs),
            ("reduced", self.reduced.is_some(), photographs),
            ("stream", self.stream.is_some(), photographs),
            ("multi-label", self.multi_label.is_some(), &[Shards, Manifest]),
            ("class-weights", self.class_weights.is_some(), &[Shards, Manifest]),
            ("score-weights", self.score_weights.is_some(), &[Shards, Manifest]),
            ("manifest", self.manifest.is_some(), &[Manifest]),
            ("path-column", self.path_column.is_some(), &[Manifest]),
            ("label-column", self.label_column.is_some(), &[Manifest]),
            ("split-column", self.split_column.is_some(), &[Manifest]),
            ("coupling", self.coupling.is_some(), &[Planted]),
            ("images", self.images.is_some(), &[Planted, Shards]),
            ("noise", self.noise.is_some(), &[Planted]),
            ("seed", self.seed.is_some(), &[Planted]),
        ];
        match keys.into_iter().find(|(_, typed, sets)| *typed && !sets.contains(&self.set)) {
            Some((key, ..)) => Err(InvalidKey::new(key, format!("is not a key of the set `{}`", self.set))),
            None => Ok(()),
        }
    }

    fn image_folder(&self) -> Result<ImageFolder, InvalidKey> {
        let folder = ImageFolder {
            folder: self.folder.clone().unwrap_or_default(),
            reading: self.reading()?,
            classes: self.number_of_classes()?,
            class_list: self.class_list.clone(),
            test_share: self.test_share.unwrap_or(0.2),
            stream: self.stream.unwrap_or(false),
        };
        check("test-share", folder.test_share)?;
        Ok(folder)
    }

    /// Refuses `stream = false` for sets that are always streamed.
    fn check_streamed(&self) -> Result<(), InvalidKey> {
        let is_streamed = self.stream != Some(false);
        let message = "must be true or left out: shards and manifests are never kept in memory";
        InvalidKey::unless(is_streamed, "stream", message)
    }

    fn manifest(&self) -> Result<Manifest, InvalidKey> {
        self.check_streamed()?;
        let missing =
            || InvalidKey::new("manifest", "is needed: the table, a .csv, .tsv, .jsonl or .parquet file");
        let table = Manifest {
            file: self.manifest.clone().ok_or_else(missing)?,
            columns: Columns {
                path: self.path_column.clone(),
                label: self.label_column.clone(),
                split: self.split_column.clone(),
            },
            reading: self.reading()?,
            classes: self.classes()?,
            test_share: self.test_share.unwrap_or(0.2),
        };
        check("test-share", table.test_share)?;
        Ok(table)
    }

    /// The classes of shards or a manifest. Only multi-label sets have class weights of MAP@100.
    fn classes(&self) -> Result<Classes, InvalidKey> {
        let count = self.number_of_classes()?;
        let has_score = self.score_weights.is_none() || self.multi_label == Some(true);
        let message = "is for MAP@100, the score where `multi-label = true`";
        InvalidKey::unless(has_score, "score-weights", message)?;
        Ok(Classes {
            count,
            list: self.class_list.clone(),
            multi_label: self.multi_label.unwrap_or(false),
            class_weights: self.class_weights.clone(),
            score_weights: self.score_weights.clone(),
        })
    }

    fn shards(&self) -> Result<Shards, InvalidKey> {
        check("images", self.images.unwrap_or(1) as f64)?;
        self.check_streamed()?;
        Ok(Shards {
            folder: self.folder.clone().unwrap_or_default(),
            reading: self.reading()?,
            classes: self.classes()?,
            images: self.images,
        })
    }

    fn number_of_classes(&self) -> Result<usize, InvalidKey> {
        let classes = self.classes.ok_or_else(|| needed("classes", "their number"))?;
        check("classes", classes as f64)?;
        Ok(classes)
    }

    fn reading(&self) -> Result<Reading, InvalidKey> {
        let size = self.size.ok_or_else(|| needed("size", "[rows, columns] that images are brought to"))?;
        let default = Reading::of_size(size);
        let reading = Reading {
            size,
            channels: self.channels.unwrap_or(default.channels),
            fit: self.fit.unwrap_or(default.fit),
            crop_fraction: self.crop_fraction.unwrap_or(default.crop_fraction),
            filter: self.filter.unwrap_or(default.filter),
            looking: Looking {
                orientation: self.orientation.unwrap_or(default.looking.orientation),
                most_pixels: self.most_pixels.unwrap_or(default.looking.most_pixels),
            },
            corrupt: self.corrupt.unwrap_or(default.corrupt),
            reduced: self.reduced.unwrap_or(default.reduced),
        };
        size.iter().try_for_each(|&extent| check("size", extent as f64))?;
        check("channels", reading.channels as f64)?;
        check("crop-fraction", reading.crop_fraction)?;
        check("most-pixels", reading.looking.most_pixels as f64)?;
        Ok(reading)
    }

    fn planted(&self) -> Result<Planted, InvalidKey> {
        let default = Planted::default();
        let planted = Planted {
            coupling: self.coupling.unwrap_or(default.coupling),
            images: self.images.unwrap_or(default.images),
            noise: self.noise.unwrap_or(default.noise),
            seed: self.seed.unwrap_or(default.seed),
        };
        check("coupling", planted.coupling)?;
        let message = "must be from 1 to 1000000: planted images are kept in memory";
        InvalidKey::unless((1..=1_000_000).contains(&planted.images), "images", message)?;
        check("noise", planted.noise)?;
        Ok(planted)
    }
}

fn needed(key: &str, what: &str) -> InvalidKey {
    let message =
        format!("is needed for images in files: {what}, since networks are planned before images are read");
    InvalidKey::new(key, message)
}

/// The value unless it is the default, so that records from before this key existed stay the
/// same.
fn unless_default<T: PartialEq>(value: T, default: T) -> Option<T> {
    (value != default).then_some(value)
}

fn check(key: &str, number: f64) -> Result<(), InvalidKey> {
    decouple_keys::check("data", key, number)
}

impl From<DataSpec> for DataTable {
    fn from(spec: DataSpec) -> Self {
        let DataSpec { source, validation, split, augment } = spec;
        let table = Self { set: source.set(), validation, split, augment, ..Self::default() };
        match source {
            Source::FashionMnist { subset } => Self { subset: Some(subset), ..table },
            Source::Cifar10 | Source::Cifar100 => table,
            Source::ImageFolder(ImageFolder { folder, classes, class_list, test_share, stream, reading }) => {
                Self {
                    folder: Some(folder),
                    classes: Some(classes),
                    class_list,
                    test_share: Some(test_share),
                    stream: unless_default(stream, false),
                    ..table.with(reading)
                }
            }
            Source::Shards(shards) => Self {
                folder: Some(shards.folder),
                images: shards.images,
                ..table.with(shards.reading).with_classes(shards.classes)
            },
            Source::Manifest(list) => Self {
                manifest: Some(list.file),
                path_column: list.columns.path,
                label_column: list.columns.label,
                split_column: list.columns.split,
                test_share: Some(list.test_share),
                ..table.with(list.reading).with_classes(list.classes)
            },
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

impl DataTable {
    fn with(self, reading: Reading) -> Self {
        let default = Reading::of_size(reading.size);
        Self {
            size: Some(reading.size),
            channels: Some(reading.channels),
            corrupt: Some(reading.corrupt),
            orientation: unless_default(reading.looking.orientation, default.looking.orientation),
            most_pixels: unless_default(reading.looking.most_pixels, default.looking.most_pixels),
            fit: unless_default(reading.fit, default.fit),
            crop_fraction: unless_default(reading.crop_fraction, default.crop_fraction),
            filter: unless_default(reading.filter, default.filter),
            reduced: unless_default(reading.reduced, default.reduced),
            ..self
        }
    }

    fn with_classes(self, classes: Classes) -> Self {
        Self {
            classes: Some(classes.count),
            class_list: classes.list,
            multi_label: unless_default(classes.multi_label, false),
            class_weights: classes.class_weights,
            score_weights: classes.score_weights,
            ..self
        }
    }
}
