//! A streamed set as a [`Dataset`]: its parts, checksum and statistics, with no image
//! in memory.

use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use super::held_out;
use crate::dataset::Moments;
use crate::fingerprint::{Cache, HeldOut, Learned};
use crate::image_folder::{self, ImageFolder};
use crate::labels::Labelling;
use crate::manifest::{self, Labelled, Manifest};
use crate::shard::{Mark, Share};
use crate::stream::{ClassWeights, Files, LeftOut, Origin, Part, Shards, Streamed, open_shards};
use crate::{
    Classes, DataError, DataSpec, Dataset, Reading, Selection, Skipped, Split, class_weights, photograph,
    shard,
};

/// Images from which mean and standard deviation are computed, spread over the training images.
const MEASURED: usize = 2_000;

/// Shards that some of these are taken from.
const MEASURED_SHARDS: usize = 50;

/// A streamed set with nothing held out and nothing measured.
#[derive(Debug)]
pub(crate) struct Listed {
    set: Streamed,
    classes: Vec<String>,
    notes: Vec<String>,
    /// Files that were found to be missing.
    skipped: Vec<Skipped>,
    /// The folder that its file names are relative to.
    root: PathBuf,
    /// Hashes of other inputs: a table, class weights.
    also: Vec<blake3::Hash>,
    /// Images per epoch, if stated.
    epoch: Option<usize>,
}

/// The files of a folder, decoded anew in every epoch.
pub(crate) fn folder(images: &ImageFolder, data: Option<&Path>) -> Result<Listed, DataError> {
    let listing = image_folder::list(images, data)?;
    listing.check_classes()?;
    let labelled =
        |files: Vec<(PathBuf, u16)>| files.into_iter().map(|(file, label)| (file, vec![label])).collect();
    let labelling = Labelling::new(images.classes, false, &listing.classes);
    // The labels that a list has instead of folders.
    let bytes: Vec<u8> = listing.test.iter().flat_map(|(_, label)| label.to_le_bytes()).collect();
    let also = listing.is_annotated.then(|| blake3::hash(&bytes)).into_iter().collect();
    Ok(Listed {
        set: of_files(&images.reading, labelling, [labelled(listing.train), labelled(listing.test)]),
        classes: listing.classes,
        notes: listing.notes,
        skipped: Vec::new(),
        root: data.unwrap_or(Path::new(".")).join(&images.folder),
        also,
        epoch: None,
    })
}

/// The files of a table, decoded anew in every epoch.
pub(crate) fn manifest(table: &Manifest, data: Option<&Path>) -> Result<Listed, DataError> {
    let listing = manifest::list(table, data)?;
    let labelling = Labelling::new(table.classes.count, table.classes.multi_label, &[]);
    let mut set = of_files(&table.reading, labelling, [listing.train, listing.test]);
    let mut also = vec![listing.hash];
    also.extend(table.classes.list.as_ref().map(|_| hash_of_names(&listing.classes)));
    also.extend(listing.is_divided_by_class.then(|| blake3::hash(b"rows for testing taken class by class")));
    let beside = |file: &Path| table.beside(data, file);
    set.weights = weights(&table.classes, &beside, &mut also)?;
    Ok(Listed {
        set,
        classes: listing.classes,
        notes: listing.notes,
        skipped: listing.skipped,
        root: beside(Path::new("")),
        also,
        epoch: None,
    })
}

/// Shards.
pub(crate) fn shards(shards: &Shards, data: Option<&Path>) -> Result<Listed, DataError> {
    let (mut set, classes, notes) = open_shards(shards, data)?;
    let root = data.unwrap_or(Path::new(".")).join(&shards.folder);
    let (mut also, place) = (Vec::new(), |file: &Path| root.join(file));
    also.extend(shards.classes.list.as_ref().map(|_| hash_of_names(&classes)));
    set.weights = weights(&shards.classes, &place, &mut also)?;
    Ok(Listed { set, classes, notes, skipped: Vec::new(), root, also, epoch: shards.images })
}

/// The names of a list of classes, whose order decides which label a name stands for.
fn hash_of_names(classes: &[String]) -> blake3::Hash {
    blake3::hash(classes.join("\n").as_bytes())
}

/// A set of files: those for training and for testing.
fn of_files(reading: &Reading, labelling: Labelling, parts: [Labelled; 2]) -> Streamed {
    let [train, test] = parts.map(Files::from);
    Streamed {
        reading: reading.clone(),
        labelling: Arc::new(labelling),
        validation: Origin::Files(train.part(&[])),
        train: Origin::Files(train),
        test: Origin::Files(test),
        left_out: Arc::new(Mutex::new(LeftOut::default())),
        weights: ClassWeights::default(),
    }
}

/// The class weights of the loss and of the score from their files; the hashes of these are
/// added to `also`.
fn weights(
    classes: &Classes,
    place: &dyn Fn(&Path) -> PathBuf,
    also: &mut Vec<blake3::Hash>,
) -> Result<ClassWeights, DataError> {
    let mut read = |name: &str, list: Option<&Path>| {
        let weights = list.map(|list| class_weights::read(&place(list), classes.count)).transpose()?;
        also.extend(weights.iter().map(|weights| {
            let bytes: Vec<u8> = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
            blake3::hash(&[name.as_bytes(), &bytes].concat())
        }));
        Ok(weights)
    };
    let loss = read("loss", classes.class_weights.as_deref())?;
    let score = read("score", classes.score_weights.as_deref())?;
    let loss = loss.map(|weights| weights.into_iter().map(|weight| weight as f32).collect());
    Ok(ClassWeights { loss, score: score.map(Arc::from) })
}

impl Listed {
    /// The set with the validation split of `spec`. Facts learned about it are kept in `cache`.
    pub(crate) fn part(&self, spec: &DataSpec, cache: &Cache) -> Result<Dataset, DataError> {
        let mut set = Streamed { left_out: Arc::new(Mutex::new(LeftOut::default())), ..self.set.clone() };
        if let Origin::Files(files) = &self.set.train {
            let [train, validation] = hold_out(files, spec, &self.classes)?;
            (set.train, set.validation) = (Origin::Files(train), Origin::Files(validation));
        }
        // In the order of the listing: what is held out does not make it another set.
        let parts = Part::ALL.map(|part| self.set.origin(part).files());
        let files = parts.concat();
        let stated = self.epoch.filter(|_| spec.validation == 0).map(|images| images as u64);
        // What was learned holds for this division of the files, and for these tables.
        let lengths = parts.map(|files| files.len());
        let how = format!(
            "{:?} {:?} {:?} {stated:?} {lengths:?} {:?}",
            set.reading, spec.validation, spec.split, self.also
        );
        let known = cache.known(&self.root, &files, &how, || {
            let (train, held_out) = match stated {
                Some(images) => (images, None),
                None => set.train.count(spec.validation, spec.split)?,
            };
            let samples = [train, set.test.count(0, None)?.0];
            let (mean, std) = measured(&set.clone().counted(samples, held_out))?.mean_and_std();
            Ok(Learned { samples, held_out, mean, std })
        })?;
        let Learned { samples, held_out, mean, std } = known.learned;
        let mut set = set.counted(samples, held_out);
        if let (Some(epoch), Origin::Shards { images, .. }) = (self.epoch, &mut set.train) {
            *images = epoch as u64;
        }
        let shape = set.reading.shape();
        let none = Selection::from(Split { shape, images: Vec::new(), labels: Vec::new() });
        Ok(Dataset {
            name: spec.source.set().to_string(),
            classes: self.classes.clone(),
            train: none.clone(),
            validation: none.clone(),
            test: none,
            mean,
            std,
            checksum: hashed_with(known.checksum, &self.also),
            skipped: self.skipped.clone(),
            notes: self.notes.clone(),
            stream: Some(set),
        })
    }
}

/// The checksum of a set combined with the hashes of its other inputs.
fn hashed_with(checksum: String, also: &[blake3::Hash]) -> String {
    if also.is_empty() {
        return checksum;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(checksum.as_bytes());
    for hash in also {
        hasher.update(hash.as_bytes());
    }
    hasher.finalize().to_string()
}

/// The files for training and those that `spec` holds out: equally many per class; for
/// multi-label images the last, or a random draw.
fn hold_out(files: &Files, spec: &DataSpec, classes: &[String]) -> Result<[Files; 2], DataError> {
    let label = |labels: &[u16]| if spec.is_multi_label() { 0 } else { labels.first().copied().unwrap_or(0) };
    let labels: Vec<u16> = files.iter().map(|(_, labels)| label(labels)).collect();
    let all = ["any".to_owned()];
    let classes = if spec.is_multi_label() { &all } else { classes };
    Ok(held_out(&labels, spec.validation, spec.split, classes)?.map(|places| files.part(&places)))
}

impl Streamed {
    /// The set with its shards counted, and with those samples held out.
    fn counted(mut self, samples: [u64; 2], held_out: Option<HeldOut>) -> Self {
        self.test.believe(samples[1]);
        self.train.believe(samples[0]);
        if let (Some(held), Origin::Shards { files, images, share }) = (held_out, &mut self.train) {
            let (files, below) = (files.clone(), Share::Below(held.mark));
            self.validation = Origin::Shards { files, images: held.samples, share: below };
            (*images, *share) = (*images - held.samples, Share::From(held.mark));
        }
        self
    }
}

impl Origin {
    pub(crate) fn files(&self) -> Vec<&Path> {
        match self {
            Self::Files(files) => files.iter().map(|(file, _)| file.as_path()).collect(),
            Self::Shards { files, .. } => files.iter().map(PathBuf::as_path).collect(),
        }
    }

    /// Counts the samples of shards by reading their headers, and finds which are held out.
    /// Memory: eight bytes per held-out sample.
    fn count(&self, requested: usize, split: Option<u64>) -> Result<(u64, Option<HeldOut>), DataError> {
        let files = match self {
            Self::Files(files) => return Ok((files.len() as u64, None)),
            Self::Shards { files, .. } => files,
        };
        let of_shard = |file: &PathBuf| {
            let mut count = Count::of(requested);
            shard::keys(file, &mut |key| count.add(|| shard::draw(key, split)))?;
            Ok(count)
        };
        let none = || Count::of(requested);
        let counts = files.par_iter().map(of_shard).try_reduce(none, |a, b| Ok(a.with(b)))?;
        let samples = counts.samples;
        if samples == 0 {
            let file = files.first().cloned().unwrap_or_default();
            return Err(DataError::EmptyShards { file, shards: files.len() });
        }
        if requested == 0 {
            return Ok((samples, None));
        }
        let held = counts.below_mark().filter(|(_, held)| *held > 0);
        let (at, held) = held.ok_or(DataError::ShardValidation { requested, samples })?;
        Ok((samples, Some(HeldOut { mark: Mark { split, at }, samples: held })))
    }

    fn believe(&mut self, count: u64) {
        if let Self::Shards { images, .. } = self {
            *images = count;
        }
    }
}

/// The number of samples, and their lowest numbers: one more than are to be held out.
#[derive(Debug)]
struct Count {
    samples: u64,
    requested: usize,
    lowest: BinaryHeap<u64>,
}

impl Count {
    fn of(requested: usize) -> Self {
        Self { samples: 0, requested, lowest: BinaryHeap::new() }
    }

    fn add(&mut self, number: impl FnOnce() -> u64) {
        self.samples += 1;
        if self.requested > 0 {
            self.keep(number());
        }
    }

    fn keep(&mut self, number: u64) {
        self.lowest.push(number);
        if self.lowest.len() > self.requested.saturating_add(1) {
            self.lowest.pop();
        }
    }

    fn with(mut self, other: Self) -> Self {
        self.samples += other.samples;
        other.lowest.into_iter().for_each(|number| self.keep(number));
        self
    }

    /// A mark with the requested number of samples below it (fewer if several share a key), and how many that
    /// is. `None` if no sample would be left above.
    fn below_mark(self) -> Option<(u64, u64)> {
        let is_enough = self.lowest.len() > self.requested;
        let numbers = self.lowest.into_sorted_vec();
        let mark = *numbers.last().filter(|_| is_enough)?;
        Some((mark, numbers.partition_point(|number| *number < mark) as u64))
    }
}

/// Training images spread over the set, of shards the first ones, so that they need not be read to their ends.
/// Preprocessed as for evaluation, one at a time. Broken images are skipped here; training reports them.
fn measured(set: &Streamed) -> Result<Moments, DataError> {
    let reading = &set.reading;
    let none = || Moments::new(reading.channels);
    match &set.train {
        Origin::Files(files) => {
            let spread: Vec<_> = files.iter().step_by(files.len().div_ceil(MEASURED).max(1)).collect();
            let with_file = |mut sums: Moments, (file, _): &&(PathBuf, Vec<u16>)| {
                let bytes = photograph::read(file, reading.looking).ok();
                sums.add(&framed(reading, bytes).unwrap_or_default());
                sums
            };
            Ok(spread.par_iter().fold(none, with_file).reduce(none, |a, b| a.with(&b)))
        }
        Origin::Shards { files, share, .. } => {
            let spread: Vec<_> = files.iter().step_by(files.len().div_ceil(MEASURED_SHARDS).max(1)).collect();
            let from_each = MEASURED.div_ceil(spread.len().max(1));
            let of_shard = |file: &&PathBuf| {
                let (mut sums, mut images) = (none(), 0);
                shard::read(file, *share, &set.labelling, reading.looking, &mut |sample| {
                    if let Some(image) = framed(reading, sample.image.ok()) {
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

fn framed(reading: &Reading, bytes: Option<Vec<u8>>) -> Option<Vec<u8>> {
    Some(reading.framed(&bytes?).ok()?.0)
}
