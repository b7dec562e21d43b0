//! A folder of JPEG and PNG files, a folder a class, decoded once into memory.

use std::fs;
use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::dataset::Published;
use crate::{DataError, ImageShape, Skipped, Split, photograph};

/// Endings of the names of image files, in any case. Other files are no images
/// and are passed over.
const ENDINGS: [&str; 3] = ["jpg", "jpeg", "png"];

/// Most bytes of all decoded images.
const MOST_SET_BYTES: u64 = 8 << 30;

/// A folder of images and what they are brought to.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageFolder {
    /// The folder, relative to that of the data sets; empty for that folder
    /// itself.
    pub folder: PathBuf,
    /// Number of class folders. It is stated because networks are planned before
    /// images are read.
    pub classes: usize,
    /// Rows and columns: an image of others is scaled until it covers them, and
    /// what stands over on two sides is cut off evenly.
    pub size: [usize; 2],
    /// 1 for grey, 3 for colour.
    pub channels: usize,
    /// Share of each class that is for testing, where no folder says which images
    /// are.
    pub test_share: f64,
    /// What to do about a file that is no sound image.
    pub corrupt: Corrupt,
}

/// What is done about a file that is no sound image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Corrupt {
    /// Nothing is loaded; the file is named.
    #[default]
    Refuse,
    /// It is left out and listed.
    Skip,
}

impl ImageFolder {
    /// Shape of every image after loading.
    pub(crate) const fn shape(&self) -> ImageShape {
        ImageShape { h: self.size[0], w: self.size[1], c: self.channels }
    }
}

/// The images of a folder.
pub(crate) struct Decoded {
    pub(crate) published: Published,
    pub(crate) classes: Vec<String>,
    pub(crate) skipped: Vec<Skipped>,
}

/// Files and the classes they belong to, in the order of names.
struct Listing {
    classes: Vec<String>,
    train: Vec<(PathBuf, u16)>,
    test: Vec<(PathBuf, u16)>,
    /// The folder of class folders.
    root: PathBuf,
}

/// Decodes all images, on rayon's current pool.
pub(crate) fn read(spec: &ImageFolder, data: Option<&Path>) -> Result<Decoded, DataError> {
    let listing = list(spec, data)?;
    let images = listing.train.len() + listing.test.len();
    let bytes = images as u64 * spec.shape().len() as u64;
    if bytes > MOST_SET_BYTES {
        let (folder, shape) = (listing.root, spec.shape());
        return Err(DataError::TooLarge { folder, images, shape, bytes, most_bytes: MOST_SET_BYTES });
    }
    let mut skipped = Vec::new();
    let train = decode_all(spec, &listing, "training", &mut skipped)?;
    let test = decode_all(spec, &listing, "testing", &mut skipped)?;
    Ok(Decoded { published: Published::new(train, test), classes: listing.classes, skipped })
}

/// Files to train on, without opening one.
pub(crate) fn count_train(spec: &ImageFolder, data: Option<&Path>) -> Result<usize, DataError> {
    Ok(list(spec, data)?.train.len())
}

/// What [`labelled_files`] finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledFiles {
    /// Names of the class folders, sorted.
    pub classes: Vec<String>,
    /// Image files in the order of names, with the index of their class.
    pub files: Vec<(PathBuf, usize)>,
}

/// The class folders of `folder` and the image files in them. Opens no file.
///
/// # Errors
/// [`DataError::Folder`].
pub fn labelled_files(folder: &Path) -> Result<LabelledFiles, DataError> {
    let classes = entries(folder, |path| path.is_dir())?;
    let mut files = Vec::new();
    for (label, class) in classes.iter().enumerate() {
        files.extend(image_files(&folder.join(class))?.into_iter().map(|file| (file, label)));
    }
    Ok(LabelledFiles { classes, files })
}

fn list(spec: &ImageFolder, data: Option<&Path>) -> Result<Listing, DataError> {
    let folder = data.unwrap_or(Path::new(".")).join(&spec.folder);
    let train_folder = folder.join("train");
    let test_folder = ["test", "val"].map(|name| folder.join(name)).into_iter().find(|path| path.is_dir());
    let root = if train_folder.is_dir() { train_folder } else { folder };
    // A `test` beside `train` holds test images; a `test` among classes is a class.
    let test_folder = test_folder.filter(|_| root.ends_with("train"));

    let classes = entries(&root, |path| path.is_dir())?;
    if classes.len() != spec.classes {
        return Err(DataError::Classes { folder: root, expected: spec.classes, found: classes });
    }
    let mut listing = Listing { classes, train: Vec::new(), test: Vec::new(), root };
    if let Some(folder) = &test_folder {
        same_classes(&listing.classes, folder)?;
    }
    for (label, class) in (0u16..).zip(&listing.classes) {
        let files = image_files(&listing.root.join(class))?;
        match &test_folder {
            Some(folder) => {
                listing.train.extend(files.into_iter().map(|file| (file, label)));
                let files = image_files(&folder.join(class))?;
                listing.test.extend(files.into_iter().map(|file| (file, label)));
            }
            None => {
                for (index, file) in files.into_iter().enumerate() {
                    let is_test = held_out(index, spec.test_share);
                    let part = if is_test { &mut listing.test } else { &mut listing.train };
                    part.push((file, label));
                }
            }
        }
    }
    Ok(listing)
}

/// Whether file number `index` of a class is among the share held out: these are
/// spread evenly over the names, so that a folder sorted by time is not cut in two.
fn held_out(index: usize, share: f64) -> bool {
    ((index + 1) as f64 * share).floor() > (index as f64 * share).floor()
}

fn same_classes(classes: &[String], folder: &Path) -> Result<(), DataError> {
    let found = entries(folder, |path| path.is_dir())?;
    let missing = classes.iter().find(|class| !found.contains(class));
    match missing.or_else(|| found.iter().find(|class| !classes.contains(class))) {
        Some(class) => Err(DataError::TestClass { folder: folder.to_owned(), class: class.clone() }),
        None => Ok(()),
    }
}

/// Image files of a folder.
fn image_files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let is_image = |path: &Path| {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
    };
    Ok(entries(folder, is_image)?.into_iter().map(|name| folder.join(name)).collect())
}

/// Names in `folder` that are wanted and not hidden, sorted.
fn entries(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<String>, DataError> {
    let error = |source| DataError::Folder { folder: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(error)? {
        let path = entry.map_err(error)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with('.') && wanted(&path) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Decodes one part of the listing in its order.
fn decode_all(
    spec: &ImageFolder,
    listing: &Listing,
    part: &'static str,
    skipped: &mut Vec<Skipped>,
) -> Result<Split, DataError> {
    let files = if part == "training" { &listing.train } else { &listing.test };
    let decoded: Vec<Result<Vec<u8>, Skipped>> =
        files.par_iter().map(|(file, _)| decode(spec, file)).collect();
    let mut split = Split { shape: spec.shape(), images: Vec::new(), labels: Vec::new() };
    split.images.reserve_exact(files.len() * spec.shape().len());
    for (image, (_, label)) in decoded.into_iter().zip(files) {
        match image {
            Ok(image) => {
                split.images.extend(image);
                split.labels.push(*label);
            }
            Err(file) if spec.corrupt == Corrupt::Skip => skipped.push(file),
            Err(file) => return Err(DataError::Image(file)),
        }
    }
    let counts = split.class_counts();
    match (0..listing.classes.len()).find(|&class| counts.get(class).is_none_or(|&count| count == 0)) {
        Some(class) => {
            Err(DataError::EmptyClass { folder: listing.root.join(&listing.classes[class]), part })
        }
        None => Ok(split),
    }
}

/// The (h, w, c) bytes of one file, brought to the wanted shape.
fn decode(spec: &ImageFolder, file: &Path) -> Result<Vec<u8>, Skipped> {
    let mut image = photograph::decode(file)?;
    let [rows, columns] = spec.size.map(|extent| extent as u32);
    if (image.height(), image.width()) != (rows, columns) {
        image = image.resize_to_fill(columns, rows, FilterType::Triangle);
    }
    Ok(if spec.channels == 1 { image.into_luma8().into_raw() } else { image.into_rgb8().into_raw() })
}

#[cfg(test)]
mod tests;
