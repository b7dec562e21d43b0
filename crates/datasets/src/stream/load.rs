//! A streamed set as a [`Dataset`]: its parts, checksum and statistics, with no image
//! in memory.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use super::{LeftOut, Origin, Part, Shards, Streamed, Weights, open_shards};
use crate::dataset::Moments;
use crate::identity::Cache;
use crate::image_folder::{self, ImageFolder};
use crate::labels::Labelling;
use crate::manifest::{self, Labelled, Manifest};
use crate::{DataError, DataSpec, Dataset, Reading, Split, class_weights, photograph, shard};

/// Images from which mean and deviation are computed, spread over the training images.
const MEASURED: usize = 2_000;

/// Shards that some of these are taken from.
const MEASURED_SHARDS: usize = 50;

/// The files of a folder, decoded anew in every epoch.
pub(crate) fn folder(
    spec: &DataSpec,
    images: &ImageFolder,
    data: Option<&Path>,
    cache: &Cache,
) -> Result<Dataset, DataError> {
    let listing = image_folder::list(images, data)?;
    let labelled =
        |files: Vec<(PathBuf, u16)>| files.into_iter().map(|(file, label)| (file, vec![label])).collect();
    let (train, validation) = hold_out(labelled(listing.train), spec, &listing.classes)?;
    let labelling = Labelling::new(images.classes, false, &listing.classes);
    let set = of_files(&images.reading, labelling, [train, validation, labelled(listing.test)]);
    let root = data.unwrap_or(Path::new(".")).join(&images.folder);
    dataset(spec, set, &root, listing.classes, listing.notes, cache)
}

/// The files of a table, decoded anew in every epoch.
pub(crate) fn manifest(
    spec: &DataSpec,
    table: &Manifest,
    data: Option<&Path>,
    cache: &Cache,
) -> Result<Dataset, DataError> {
    let listing = manifest::list(table, data)?;
    let (train, validation) = hold_out(listing.train, spec, &listing.classes)?;
    let labelling = Labelling::new(table.classes, table.multi_label, &[]);
    let mut set = of_files(&table.reading, labelling, [train, validation, listing.test]);
    let mut also = vec![listing.hash];
    let beside = |file: &Path| table.beside(data, file);
    set.weights = weights(
        table.classes,
        &beside,
        [table.class_weights.as_deref(), table.score_weights.as_deref()],
        &mut also,
    )?;
    let root = beside(Path::new(""));
    let dataset = dataset(spec, set, &root, listing.classes, listing.notes, cache)?;
    Ok(hashed_with(dataset, &also))
}

/// A set of files: those of training, validation and testing.
fn of_files(reading: &Reading, labelling: Labelling, parts: [Labelled; 3]) -> Streamed {
    let [train, validation, test] = parts.map(|files| Origin::Files(Arc::new(files)));
    Streamed {
        reading: reading.clone(),
        labelling: Arc::new(labelling),
        train,
        validation,
        test,
        left_out: Arc::new(Mutex::new(LeftOut::default())),
        weights: Weights::default(),
    }
}

/// What classes count in the loss and in the score, by the lists that are named; what is
/// in these goes to `also`.
fn weights(
    classes: usize,
    place: &dyn Fn(&Path) -> PathBuf,
    lists: [Option<&Path>; 2],
    also: &mut Vec<blake3::Hash>,
) -> Result<Weights, DataError> {
    let mut read = |name: &str, list: Option<&Path>| {
        let weights = list.map(|list| class_weights::read(&place(list), classes)).transpose()?;
        also.extend(weights.iter().map(|weights| {
            let bytes: Vec<u8> = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
            blake3::hash(&[name.as_bytes(), &bytes].concat())
        }));
        Ok(weights)
    };
    let [loss, score] = [read("loss", lists[0])?, read("score", lists[1])?];
    let loss = loss.map(|weights| weights.into_iter().map(|weight| weight as f32).collect());
    Ok(Weights { loss, score: score.map(Arc::from) })
}

/// The set, which is another one if what else decides about it is another.
fn hashed_with(dataset: Dataset, also: &[blake3::Hash]) -> Dataset {
    if also.is_empty() {
        return dataset;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(dataset.checksum.as_bytes());
    for hash in also {
        hasher.update(hash.as_bytes());
    }
    Dataset { checksum: hasher.finalize().to_string(), ..dataset }
}

/// Shards.
pub(crate) fn shards(
    spec: &DataSpec,
    shards: &Shards,
    data: Option<&Path>,
    cache: &Cache,
) -> Result<Dataset, DataError> {
    let (mut set, classes, notes) = open_shards(shards, data)?;
    if spec.validation > 0 {
        return Err(DataError::ShardValidation { requested: spec.validation });
    }
    let root = data.unwrap_or(Path::new(".")).join(&shards.folder);
    let (mut also, place) = (Vec::new(), |file: &Path| root.join(file));
    set.weights = weights(
        shards.classes,
        &place,
        [shards.class_weights.as_deref(), shards.score_weights.as_deref()],
        &mut also,
    )?;
    let mut dataset = hashed_with(dataset(spec, set, &root, classes, notes, cache)?, &also);
    if let (Some(images), Some(Streamed { train: Origin::Shards { images: train, .. }, .. })) =
        (shards.images, &mut dataset.stream)
    {
        *train = images as u64;
    }
    Ok(dataset)
}

/// Parts the files that `spec` holds out from the others: as many of each class; of images
/// with any number of labels the last, or some that are drawn.
fn hold_out(files: Labelled, spec: &DataSpec, classes: &[String]) -> Result<(Labelled, Labelled), DataError> {
    let label = |labels: &[u16]| if spec.is_multi_label() { 0 } else { labels.first().copied().unwrap_or(0) };
    let labels: Vec<u16> = files.iter().map(|(_, labels)| label(labels)).collect();
    let all = ["any".to_owned()];
    let classes = if spec.is_multi_label() { &all } else { classes };
    let is_held = crate::dataset::held_out(&labels, spec.validation, spec.split, classes)?;
    let (mut kept, mut held) = (Vec::new(), Vec::new());
    for (file, is_held) in files.into_iter().zip(is_held) {
        if is_held { held.push(file) } else { kept.push(file) }
    }
    Ok((kept, held))
}

fn dataset(
    spec: &DataSpec,
    mut set: Streamed,
    root: &Path,
    classes: Vec<String>,
    notes: Vec<String>,
    cache: &Cache,
) -> Result<Dataset, DataError> {
    let files: Vec<&Path> = [Part::Train, Part::Validation, Part::Test]
        .into_iter()
        .flat_map(|part| set.origin(part).files())
        .collect();
    let how = format!("{:?} {:?} {:?}", set.reading, spec.validation, spec.split);
    let known = cache.known(root, &files, &how, || {
        let samples = [set.train.count()?, set.test.count()?];
        let (mean, std) = measured(&set)?.mean_and_std();
        Ok((samples, mean, std))
    })?;
    set.train.believe(known.samples[0]);
    set.test.believe(known.samples[1]);
    let shape = set.reading.shape();
    let empty = Split { shape, images: Vec::new(), labels: Vec::new() };
    Ok(Dataset {
        name: spec.source.set().to_string(),
        classes,
        train: empty.clone(),
        validation: empty.clone(),
        test: empty,
        mean: known.mean,
        std: known.std,
        checksum: known.checksum,
        skipped: Vec::new(),
        notes,
        stream: Some(set),
    })
}

impl Origin {
    fn files(&self) -> Vec<&Path> {
        match self {
            Self::Files(files) => files.iter().map(|(file, _)| file.as_path()).collect(),
            Self::Shards { files, .. } => files.iter().map(PathBuf::as_path).collect(),
        }
    }

    /// Counts the samples; shards are read for that, header by header.
    fn count(&self) -> Result<u64, DataError> {
        match self {
            Self::Files(files) => Ok(files.len() as u64),
            Self::Shards { files, .. } => files.par_iter().map(|file| shard::count(file)).sum(),
        }
    }

    fn believe(&mut self, count: u64) {
        if let Self::Shards { images, .. } = self {
            *images = count;
        }
    }
}

/// Training images spread over the set, as an evaluation sees them, one at a time. Those
/// that are no sound images are passed over: training says what becomes of them.
fn measured(set: &Streamed) -> Result<Moments, DataError> {
    let reading = &set.reading;
    let none = || Moments::new(reading.channels);
    match &set.train {
        Origin::Files(files) => {
            let spread: Vec<_> = files.iter().step_by(files.len().div_ceil(MEASURED).max(1)).collect();
            let with_file = |mut sums: Moments, (file, _): &&(PathBuf, Vec<u16>)| {
                sums.add(&framed(reading, photograph::read(file, reading.looking)).unwrap_or_default());
                sums
            };
            Ok(spread.par_iter().fold(none, with_file).reduce(none, |a, b| a.with(&b)))
        }
        Origin::Shards { files, .. } => {
            let spread: Vec<_> = files.iter().step_by(files.len().div_ceil(MEASURED_SHARDS).max(1)).collect();
            let from_each = MEASURED.div_ceil(spread.len().max(1));
            let of_shard = |file: &&PathBuf| {
                let (mut sums, mut images) = (none(), 0);
                shard::read(file, &set.labelling, reading.looking, &mut |sample| {
                    if let Some(image) = framed(reading, sample.image) {
                        sums.add(&image);
                        images += 1;
                    }
                    images < from_each
                })?;
                Ok(sums)
            };
            spread.par_iter().map(of_shard).try_reduce(none, |a, b| Ok(a.with(&b)))
        }
    }
}

fn framed(reading: &Reading, bytes: Result<Vec<u8>, String>) -> Option<Vec<u8>> {
    Some(reading.framed(&bytes.ok()?).ok()?.0)
}
