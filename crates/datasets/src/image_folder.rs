//! A folder of JPEG, PNG and WebP files, one folder per class.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::directory::{self, Tally};
use crate::error::shortened;
use crate::parts::{self, Parts, Test};
use crate::published::{Published, Read};
use crate::reading::{Corrupt, Reading};
use crate::{DataError, Skipped, Split, class_names, photograph};

/// Most bytes of all decoded images.
const MOST_SET_BYTES: u64 = 8 << 30;

/// A folder of images and their target format.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageFolder {
    /// The folder, relative to that of the data sets; empty for that folder
    /// itself.
    pub folder: PathBuf,
    /// Number of class folders, stated because networks are planned before images are read.
    pub classes: usize,
    /// A file with the names of the classes in the order of their labels, relative to
    /// the folder; without one the folders' natural order counts.
    pub class_list: Option<PathBuf>,
    /// Share of each class used for testing, if there is no test folder.
    pub test_share: f64,
    /// Whether images are decoded anew in every epoch, from photographs of any number and size;
    /// otherwise they are decoded once and kept in memory.
    pub stream: bool,
    /// How the files are read.
    pub reading: Reading,
}

/// Files and the classes they belong to, in the order of classes and names.
pub(crate) struct FolderListing {
    pub(crate) classes: Vec<String>,
    pub(crate) train: Vec<(PathBuf, u16)>,
    pub(crate) test: Vec<(PathBuf, u16)>,
    /// Notes on what is not read.
    pub(crate) notes: Vec<String>,
    /// The folder of class folders, and that of those for testing, if it is another.
    root: PathBuf,
    test_root: Option<PathBuf>,
    /// Whether a list has the labels of the files for testing.
    pub(crate) is_annotated: bool,
}

impl FolderListing {
    /// Refuses a class without a file for training or for testing.
    pub(crate) fn check_classes(&self) -> Result<(), DataError> {
        for (files, part) in [(&self.train, "training"), (&self.test, "testing")] {
            let labels = files.iter().map(|(_, label)| *label);
            if let Some((_, class)) = class_names::absent(&self.classes, labels).next() {
                return Err(self.empty(class, part, 0, None));
            }
        }
        Ok(())
    }

    /// Refuses a class of which a part, of these `files`, has none of the `labels` that could be read.
    pub(crate) fn check_read(
        &self,
        part: &'static str,
        files: &[(PathBuf, u16)],
        labels: impl IntoIterator<Item = u16>,
        skipped: &[Skipped],
    ) -> Result<(), DataError> {
        let Some((absent, class)) = class_names::absent(&self.classes, labels).next() else { return Ok(()) };
        let own: HashSet<&Path> =
            files.iter().filter(|(_, label)| *label == absent).map(|(file, _)| file.as_path()).collect();
        let first = skipped.iter().find(|skipped| own.contains(skipped.file.as_path())).cloned();
        Err(self.empty(class, part, own.len(), first))
    }

    /// No image of `class` could be read from the `files` of a part.
    fn empty(&self, class: &str, part: &'static str, files: usize, first: Option<Skipped>) -> DataError {
        let folder = self.test_root.as_ref().filter(|_| part == "testing").unwrap_or(&self.root).clone();
        DataError::EmptyClass { folder, class: class.to_owned(), part, files, first: first.map(Box::new) }
    }
}

/// Decodes all images, on rayon's current pool.
pub(crate) fn read(spec: &ImageFolder, data: Option<&Path>) -> Result<Read, DataError> {
    let mut listing = list(spec, data)?;
    let images = listing.train.len() + listing.test.len();
    let shape = spec.reading.shape();
    let bytes = images as u64 * shape.len() as u64;
    if bytes > MOST_SET_BYTES {
        let folder = listing.root;
        return Err(DataError::TooLarge { folder, images, shape, bytes, most_bytes: MOST_SET_BYTES });
    }
    let mut seen = Seen::default();
    let train = decode_all(spec, &listing, "training", &mut seen)?;
    let test = decode_all(spec, &listing, "testing", &mut seen)?;
    listing.notes.extend(orientation_note(seen.turned, &spec.reading));
    let FolderListing { classes, notes, .. } = listing;
    Ok(Read { published: Published::new(train, test), classes, skipped: seen.skipped, notes })
}

/// A note on `count` images with an EXIF orientation.
pub(crate) fn orientation_note(count: usize, reading: &Reading) -> Option<String> {
    let (images, were) = if count == 1 { ("image has", "was") } else { ("images have", "were") };
    let what = if reading.looking.orientation {
        "rotated upright (`data.orientation = false` leaves photographs as stored)"
    } else {
        "left as stored (`data.orientation = true` rotates photographs upright)"
    };
    (count > 0).then(|| format!("{count} {images} an EXIF orientation and {were} {what}"))
}

/// The number of training files, without opening any.
pub(crate) fn count_train(spec: &ImageFolder, data: Option<&Path>) -> Result<usize, DataError> {
    Ok(list(spec, data)?.train.len())
}

/// What [`labelled_files`] finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledFiles {
    /// Names of the class folders, in natural order.
    pub classes: Vec<String>,
    /// Image files in the order of classes and names, with the index of their class.
    pub files: Vec<(PathBuf, usize)>,
    /// Notes on what is not read.
    pub notes: Vec<String>,
}

/// The class folders of `folder` and the image files below them. Opens no file.
///
/// # Errors
/// [`DataError::Folder`].
pub fn labelled_files(folder: &Path) -> Result<LabelledFiles, DataError> {
    let mut tally = Tally::default();
    let folders = directory::folders(folder, &mut tally)?;
    let mut files = Vec::new();
    for (label, class) in folders.iter().enumerate() {
        let found = directory::images(&folder.join(class), class, &mut tally)?;
        files.extend(found.into_iter().map(|file| (file, label)));
    }
    Ok(LabelledFiles { classes: folders, files, notes: tally.notes() })
}

/// Finds the files of a set, without opening one.
pub(crate) fn list(spec: &ImageFolder, data: Option<&Path>) -> Result<FolderListing, DataError> {
    let folder = data.unwrap_or(Path::new(".")).join(&spec.folder);
    let Parts { train: root, test, notes } = parts::parts(&folder)?;
    let mut tally = Tally::default();
    let folders = directory::folders(&root, &mut tally)?;
    if spec.class_list.is_none() && test.is_none() && parts::are_parts(&folders) {
        return Err(DataError::PartsForClasses { folder: root, names: folders });
    }
    let (classes, folders) = in_order(spec, &folder, &root, folders)?;
    if classes.len() != spec.classes {
        let deeper = deeper(&root, &folders, spec.classes);
        return Err(DataError::Classes { folder: root, expected: spec.classes, found: classes, deeper });
    }
    let test_root = test.as_ref().map(|test| test.folder().to_owned());
    let is_annotated = matches!(test, Some(Test::Annotated(_)));
    let (train, held) = (Vec::new(), Vec::new());
    let mut listing = FolderListing { classes, train, test: held, notes, root, test_root, is_annotated };
    if let Some(Test::Folders(folder)) = &test {
        same_classes(&listing.root, &folders, folder)?;
    }
    for (label, class) in (0u16..).zip(&folders) {
        let name = listing.classes[usize::from(label)].clone();
        let files = directory::images(&listing.root.join(class), &name, &mut tally)?;
        match &test {
            Some(Test::Folders(folder)) => {
                let test = directory::images(&folder.join(class), &name, &mut tally)?;
                listing.test.extend(test.into_iter().map(|file| (file, label)));
                listing.train.extend(files.into_iter().map(|file| (file, label)));
            }
            Some(Test::Annotated(_)) => listing.train.extend(files.into_iter().map(|file| (file, label))),
            None => divide(spec, &listing.root.join(class), label, files, &mut listing)?,
        }
    }
    if let Some(Test::Annotated(folder)) = &test {
        listing.test = annotated(&listing.classes, folder, &mut listing.notes)?;
    }
    listing.notes.extend(tally.notes());
    Ok(listing)
}

/// The names of the classes by label, and their folders.
fn in_order(
    spec: &ImageFolder,
    folder: &Path,
    root: &Path,
    folders: Vec<String>,
) -> Result<(Vec<String>, Vec<String>), DataError> {
    let Some(list) = &spec.class_list else { return Ok((folders.clone(), folders)) };
    let file = folder.join(list);
    let classes = class_names::read(&file)?;
    let differ = |problem| DataError::File { file: file.clone(), problem };
    let labels = class_names::labels(&folders, &classes).map_err(|unknown| {
        differ(format!("{} has folders that are not in the list: {unknown}", root.display()))
    })?;
    let of_label = |label: usize| labels.iter().position(|&found| found == label);
    for (place, &label) in labels.iter().enumerate() {
        // One by the class's line, one by its first word.
        if let Some(first) = of_label(label).filter(|&first| first < place) {
            return Err(differ(format!(
                "the folders `{}` and `{}` of {} are both called like its class `{}`: put their images into one of \
                 them",
                folders[first],
                folders[place],
                root.display(),
                classes[label]
            )));
        }
    }
    let places: Vec<Option<usize>> = (0..classes.len()).map(of_label).collect();
    let missing: Vec<String> = classes
        .iter()
        .zip(&places)
        .filter(|(_, place)| place.is_none())
        .map(|(class, _)| class.clone())
        .collect();
    if !missing.is_empty() {
        let missing = shortened(&missing);
        return Err(differ(format!("{} has no folder for: {missing}", root.display())));
    }
    let folders = places.into_iter().flatten().map(|place| folders[place].clone()).collect();
    Ok((classes, folders))
}

/// One of the `folders` that contains the expected number of folders.
fn deeper(root: &Path, folders: &[String], wanted: usize) -> Option<PathBuf> {
    let holds = |path: &PathBuf| {
        directory::folders(path, &mut Tally::default()).is_ok_and(|found| found.len() == wanted)
    };
    folders.iter().map(|name| root.join(name)).find(holds)
}

/// Divides the files of one class into training and test files.
fn divide(
    spec: &ImageFolder,
    folder: &Path,
    label: u16,
    files: Vec<PathBuf>,
    listing: &mut FolderListing,
) -> Result<(), DataError> {
    let (images, share) = (files.len(), spec.test_share);
    let for_testing = (images as f64 * share).floor();
    if images > 0 && for_testing < 1.0 {
        return Err(DataError::TestShare { folder: folder.to_owned(), images, share });
    }
    for (index, file) in files.into_iter().enumerate() {
        let part = if held_out(index, share) { &mut listing.test } else { &mut listing.train };
        part.push((file, label));
    }
    Ok(())
}

/// Whether file number `index` of a class is among the share held out: these are spread evenly
/// over the names, so that a folder sorted by time is not split in two.
pub(crate) fn held_out(index: usize, share: f64) -> bool {
    ((index + 1) as f64 * share).floor() > (index as f64 * share).floor()
}

/// Refuses folders of test images in `folder` that are not those of training images, `train` in `root`.
fn same_classes(root: &Path, train: &[String], folder: &Path) -> Result<(), DataError> {
    let test = directory::folders(folder, &mut Tally::default())?;
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|name| !those.contains(name)).cloned().collect()
    };
    let (only_test, only_train) = (only(&test, train), only(train, &test));
    if only_test.is_empty() && only_train.is_empty() {
        return Ok(());
    }
    let (train, test) = (root.to_owned(), folder.to_owned());
    Err(DataError::TestClasses { train, test, only_train, only_test })
}

/// The files of a folder with a list of labels. Images that it does not list are noted.
fn annotated(
    classes: &[String],
    folder: &Path,
    notes: &mut Vec<String>,
) -> Result<Vec<(PathBuf, u16)>, DataError> {
    let files = parts::annotated(folder)?;
    let listed: HashSet<&Path> = files.iter().map(|(file, _)| file.as_path()).collect();
    let mut unlisted = directory::images(folder, "", &mut Tally::default())?;
    unlisted.retain(|file| !listed.contains(file.as_path()));
    if !unlisted.is_empty() {
        let images = directory::are(unlisted.len(), "image");
        notes.push(format!("{}: {images} not in the list of labels, and not used", folder.display()));
    }
    let names: Vec<String> = files.iter().map(|(_, class)| class.clone()).collect();
    let labels = class_names::labels(&names, classes).map_err(|unknown| {
        let problem = format!("names classes that the training images do not have: {unknown}");
        DataError::File { file: folder.to_owned(), problem }
    })?;
    Ok(files.into_iter().zip(labels).map(|((file, _), label)| (file, label as u16)).collect())
}

/// Findings while files were decoded.
#[derive(Default)]
struct Seen {
    skipped: Vec<Skipped>,
    /// Images with an EXIF orientation.
    turned: usize,
}

/// Decodes one part of the listing in its order.
fn decode_all(
    spec: &ImageFolder,
    listing: &FolderListing,
    part: &'static str,
    seen: &mut Seen,
) -> Result<Split, DataError> {
    let files = if part == "training" { &listing.train } else { &listing.test };
    let (shape, length) = (spec.reading.shape(), spec.reading.shape().len());
    let mut split = Split { shape, images: vec![0; files.len() * length], labels: Vec::new() };
    // The first file that is refused: those after it need not be decoded.
    let refused = AtomicUsize::new(usize::MAX);
    let to_place = |(place, (image, (file, _))): (usize, (&mut [u8], &(PathBuf, u16)))| {
        if place > refused.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let (bytes, is_turned) = decode(&spec.reading, file).inspect_err(|_| {
            if spec.reading.corrupt == Corrupt::Refuse {
                refused.fetch_min(place, Ordering::Relaxed);
            }
        })?;
        image.copy_from_slice(&bytes);
        Ok(is_turned)
    };
    let places = split.images.par_chunks_exact_mut(length).zip(files).enumerate();
    let decoded: Vec<Result<bool, Skipped>> = places.map(to_place).collect();
    for (place, (image, (_, label))) in decoded.into_iter().zip(files).enumerate() {
        match image {
            Ok(is_turned) => {
                // To the place of an image before it that was skipped.
                let (from, to) = (place * length, split.labels.len() * length);
                if from != to {
                    split.images.copy_within(from..from + length, to);
                }
                split.labels.push(*label);
                seen.turned += usize::from(is_turned);
            }
            Err(file) if spec.reading.corrupt.leaves_out(&file) => seen.skipped.push(file),
            Err(file) => return Err(DataError::Image(file)),
        }
    }
    split.images.truncate(split.labels.len() * length);
    listing.check_read(part, files, split.labels.iter().copied(), &seen.skipped)?;
    Ok(split)
}

/// The (h, w, c) bytes of one file, brought to the target shape, and whether it has an EXIF
/// orientation.
fn decode(reading: &Reading, file: &Path) -> Result<(Vec<u8>, bool), Skipped> {
    let bytes = photograph::read(file, reading.looking).map_err(|why| Skipped::new(file, why))?;
    reading.framed(&bytes).map_err(|reason| Skipped::new(file, reason))
}

#[cfg(test)]
mod tests;
