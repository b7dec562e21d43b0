//! A data set in memory: its splits, what is known of them, and how a
//! [`DataSpec`] becomes one.

use std::fmt;
use std::path::Path;

use crate::identity::Cache;
use crate::stream::{self, Part, Streamed};
use crate::{
    Augment, DataError, DataSpec, Normalisation, Skipped, Source, Subset, cifar, derive_seed, epoch_order,
    fashion_mnist, image_folder, planted,
};

/// The shape of one image, stored as (h, w, c): channels last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageShape {
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

impl ImageShape {
    /// Bytes in one image: `h * w * c`.
    pub const fn len(&self) -> usize {
        self.h * self.w * self.c
    }

    /// Whether an image holds no byte at all.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.h, self.w, self.c)
    }
}

/// Images with their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Shape of every image.
    pub shape: ImageShape,
    /// (n, h, w, c), bytes as stored: 0 is black, 255 full intensity.
    pub images: Vec<u8>,
    /// (n), each an index into [`Dataset::classes`].
    pub labels: Vec<u16>,
}

impl Split {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Images of each class, up to the highest label that occurs.
    pub fn class_counts(&self) -> Vec<usize> {
        let classes = self.labels.iter().max().map_or(0, |&highest| usize::from(highest) + 1);
        let mut counts = vec![0; classes];
        for &label in &self.labels {
            counts[usize::from(label)] += 1;
        }
        counts
    }
}

/// A data set, ready to train on.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Name of the set, as experiment files write it.
    pub name: String,
    /// Names of the classes, by label.
    pub classes: Vec<String>,
    /// Images to train on, without those held out.
    pub train: Split,
    /// Training images held out, as many as [`DataSpec::validation`] says.
    pub validation: Split,
    /// The set's own test images.
    pub test: Split,
    /// Mean of `train` a channel, with bytes scaled to 0..1.
    pub mean: Vec<f32>,
    /// Standard deviation (of the population) of `train` a channel, bytes scaled to
    /// 0..1.
    pub std: Vec<f32>,
    /// BLAKE3 of all images and labels as read, in hexadecimal. It does not depend
    /// on what is held out.
    pub checksum: String,
    /// Files that were left out because they are no sound images. Only an image
    /// folder can have some, and only if asked to go on without them.
    pub skipped: Vec<Skipped>,
    /// Words on what was met while reading and left no other trace: folders and files
    /// that are not used, images that were turned.
    pub notes: Vec<String>,
    /// The set itself where it is not kept in memory: the splits above are then empty.
    pub stream: Option<Streamed>,
}

impl Dataset {
    /// Shape of every image.
    pub fn shape(&self) -> ImageShape {
        self.train.shape
    }

    /// Images of a part, in memory or not.
    pub fn images(&self, part: Part) -> usize {
        match &self.stream {
            Some(stream) => stream.len(part),
            None => self.split(part).len(),
        }
    }

    /// A part in memory; empty if the set is streamed.
    pub fn split(&self, part: Part) -> &Split {
        match part {
            Part::Train => &self.train,
            Part::Validation => &self.validation,
            Part::Test => &self.test,
        }
    }

    /// The normalisation to mean 0 and standard deviation 1 over `train`.
    pub fn normalisation(&self) -> Normalisation {
        Normalisation::new(&self.mean, &self.std)
    }
}

/// Loads what `spec` asks for.
///
/// What is not carried or made is read from `folder` or from a sub-folder of it
/// with the set's name, without a folder from the present one:
///
/// * the full Fashion-MNIST: its four IDX files under their published names,
///   plain or with `.gz`; without a folder from where Debian's package puts them;
/// * CIFAR-10 and CIFAR-100: the files of their published binary archives, in the
///   archive's own folder or not, plain or with `.gz`;
/// * an image folder: [`ImageFolder::folder`](crate::image_folder::ImageFolder),
///   in which `train` and one of `test`, `val`, `valid` and `validation` hold a
///   folder a class each, or which holds these itself. Images may lie at any depth
///   of a class folder; labels are the folders' natural order, or that of
///   [`class_list`](crate::image_folder::ImageFolder::class_list).
///
/// Validation images are the last of each class in the set's order, an equal
/// number a class (the first classes give one more where the number does not
/// divide), so that all trials share them; with [`DataSpec::split`] as many of each class are
/// drawn from that number's stream. All splits keep the set's order.
///
/// Cost: the embedded subset takes tens of milliseconds and 9.4 MB. No file can
/// make this reserve much more memory than a sound one needs, whatever its header
/// says and however far it unpacks. Images of a folder are decoded on rayon's
/// current pool, and stay in memory at the size asked for.
///
/// # Errors
/// A file is missing, unreadable, damaged, of the wrong layout, or sound but not
/// the published one; folders are not the classes asked for; more validation images than a class has; a crop that pads
/// by the image's extent or more.
pub fn load(spec: &DataSpec, folder: Option<&Path>) -> Result<Dataset, DataError> {
    check_augment(&spec.augment, spec.shape())?;
    let Read { published, classes, skipped, notes } = match &spec.source {
        Source::ImageFolder(images) if images.stream => {
            return stream::load::folder(spec, images, folder, &Cache::of_user());
        }
        Source::Shards(shards) => return stream::load::shards(spec, shards, folder, &Cache::of_user()),
        Source::Manifest(table) => return stream::load::manifest(spec, table, folder, &Cache::of_user()),
        Source::ImageFolder(spec) => image_folder::read(spec, folder)?,
        Source::FashionMnist { subset: Subset::Embedded } => {
            Read::named(fashion_mnist::embedded()?, &fashion_mnist::CLASSES)
        }
        Source::FashionMnist { subset: Subset::Full } => {
            Read::named(fashion_mnist::full(folder)?, &fashion_mnist::CLASSES)
        }
        Source::Cifar10 => Read::named(cifar::read(&cifar::CIFAR_10, folder)?, cifar::CIFAR_10.classes),
        Source::Cifar100 => Read::named(cifar::read(&cifar::CIFAR_100, folder)?, cifar::CIFAR_100.classes),
        Source::Planted(planted) => {
            let classes: Vec<String> = (0..planted::CLASSES).map(|class| class.to_string()).collect();
            Read { classes, ..Read::named(planted::generate(planted), &[]) }
        }
    };
    let Published { train, test, checksum } = published;
    let (train, validation) = hold_out(train, spec.validation, spec.split, &classes)?;
    let (mean, std) = moments(&train);
    let name = spec.source.set().to_string();
    Ok(Dataset { name, classes, train, validation, test, mean, std, checksum, skipped, notes, stream: None })
}

/// What the reader of a set in memory returns.
pub(crate) struct Read {
    pub(crate) published: Published,
    pub(crate) classes: Vec<String>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) notes: Vec<String>,
}

impl Read {
    fn named(published: Published, classes: &[&str]) -> Self {
        let classes = classes.iter().map(|&class| class.to_owned()).collect();
        Self { published, classes, skipped: Vec::new(), notes: Vec::new() }
    }
}

/// A set as its makers published it, nothing held out.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) train: Split,
    pub(crate) test: Split,
    /// What [`Dataset::checksum`] says: BLAKE3, in hexadecimal, over both splits'
    /// rows, columns, channels and number of images (eight little-endian bytes
    /// each), images, and labels (two little-endian bytes each).
    pub(crate) checksum: String,
}

impl Published {
    pub(crate) fn new(train: Split, test: Split) -> Self {
        let mut hasher = blake3::Hasher::new();
        for split in [&train, &test] {
            for number in [split.shape.h, split.shape.w, split.shape.c, split.len()] {
                hasher.update(&(number as u64).to_le_bytes());
            }
            hasher.update(&split.images);
            let labels: Vec<u8> = split.labels.iter().flat_map(|label| label.to_le_bytes()).collect();
            hasher.update(&labels);
        }
        let checksum = hasher.finalize().to_string();
        Self { train, test, checksum }
    }
}

fn check_augment(augment: &[Augment], shape: ImageShape) -> Result<(), DataError> {
    let mut before_mixing = augment.iter().skip_while(|step| !step.is_mixing());
    if let Some(&augment) = before_mixing.find(|step| !step.is_mixing()) {
        return Err(DataError::Augment {
            augment,
            problem: "stands after one that mixes images; those come last",
        });
    }
    for (place, &augment) in augment.iter().enumerate() {
        let problem = match augment {
            Augment::PadCrop { pixels } if usize::from(pixels.get()) >= shape.h.min(shape.w) => {
                return Err(DataError::Crop { augment, shape });
            }
            Augment::RandomResizedCrop { .. } if place > 0 => "must come first",
            Augment::RandomResizedCrop { .. } | Augment::Jitter { .. } | Augment::RandAugment { .. }
                if ![1, 3].contains(&shape.c) =>
            {
                "needs grey images or images in colour"
            }
            _ => continue,
        };
        return Err(DataError::Augment { augment, problem });
    }
    Ok(())
}

/// Whether each training image is held out, `requested` of them in all: the last ones of each class, or some drawn
/// by `seed`.
pub(crate) fn held_out(
    labels: &[u16],
    requested: usize,
    seed: Option<u64>,
    classes: &[String],
) -> Result<Vec<bool>, DataError> {
    let mut available = vec![0_usize; classes.len()];
    for &label in labels {
        available[usize::from(label)] += 1;
    }
    let mut to_keep = Vec::with_capacity(classes.len());
    for (class, &available) in available.iter().enumerate() {
        let from_class = requested / classes.len() + usize::from(class < requested % classes.len());
        if from_class > 0 && from_class >= available {
            let class = classes[class].clone();
            return Err(DataError::Validation { requested, class, from_class, available });
        }
        to_keep.push(available - from_class);
    }
    // The images of a class in the order in which they are kept: that of the set, or one drawn.
    let order = match seed {
        Some(seed) => epoch_order(labels.len(), derive_seed(seed, "split", 0, 0)),
        None => (0..labels.len() as u32).collect(),
    };
    let mut is_held = vec![false; labels.len()];
    for image in order {
        let left = &mut to_keep[usize::from(labels[image as usize])];
        is_held[image as usize] = *left == 0;
        *left = left.saturating_sub(1);
    }
    Ok(is_held)
}

/// Parts images of each class, `requested` in all, from the others, as [`held_out`] says.
fn hold_out(
    train: Split,
    requested: usize,
    seed: Option<u64>,
    classes: &[String],
) -> Result<(Split, Split), DataError> {
    let mut held = Split { shape: train.shape, images: Vec::new(), labels: Vec::new() };
    if requested == 0 {
        return Ok((train, held));
    }
    let is_held = held_out(&train.labels, requested, seed, classes)?;
    let mut kept = held.clone();
    let images = train.images.chunks_exact(train.shape.len());
    for ((image, &label), is_held) in images.zip(&train.labels).zip(is_held) {
        let split = if is_held { &mut held } else { &mut kept };
        split.images.extend_from_slice(image);
        split.labels.push(label);
    }
    Ok((kept, held))
}

/// Mean and standard deviation of each channel of `split`.
pub(crate) fn moments(split: &Split) -> (Vec<f32>, Vec<f32>) {
    let mut moments = Moments::new(split.shape.c);
    moments.add(&split.images);
    moments.mean_and_std()
}

/// Sums over pixels. They are whole numbers, so that their order does not matter and
/// nothing is rounded before the end.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    pixels: usize,
    /// Of each channel, the bytes and their squares.
    sums: Vec<(u64, u64)>,
}

impl Moments {
    /// Of no pixel.
    pub(crate) fn new(channels: usize) -> Self {
        Self { pixels: 0, sums: vec![(0, 0); channels] }
    }

    /// Adds images, (n, h, w, c).
    pub(crate) fn add(&mut self, images: &[u8]) {
        for pixel in images.chunks_exact(self.sums.len()) {
            for ((sum, squares), &byte) in self.sums.iter_mut().zip(pixel) {
                *sum += u64::from(byte);
                *squares += u64::from(byte).pow(2);
            }
        }
        self.pixels += images.len() / self.sums.len();
    }

    /// Both.
    pub(crate) fn with(mut self, other: &Self) -> Self {
        self.pixels += other.pixels;
        for (own, other) in self.sums.iter_mut().zip(&other.sums) {
            *own = (own.0 + other.0, own.1 + other.1);
        }
        self
    }

    /// Mean and standard deviation of each channel, bytes scaled to 0..1. Of no pixel: 0
    /// and 0.
    pub(crate) fn mean_and_std(&self) -> (Vec<f32>, Vec<f32>) {
        let count = self.pixels.max(1) as f64;
        let of_channel = |&(sum, squares): &(u64, u64)| {
            let mean = sum as f64 / count;
            let variance = (squares as f64 / count - mean * mean).max(0.0);
            ((mean / 255.0) as f32, (variance.sqrt() / 255.0) as f32)
        };
        self.sums.iter().map(of_channel).unzip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images of one byte, its value the image's place; labels as given.
    fn numbered(labels: &[u16]) -> Split {
        let shape = ImageShape { h: 1, w: 1, c: 1 };
        Split { shape, images: (0..labels.len() as u8).collect(), labels: labels.to_vec() }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn classes_are_counted_up_to_the_highest_label() {
        assert_eq!(numbered(&[2, 0, 2]).class_counts(), [1, 0, 2]);
        assert!(numbered(&[]).class_counts().is_empty());
    }

    #[test]
    fn the_last_of_each_class_are_held_out_in_order() {
        let train = numbered(&[0, 1, 1, 0, 2, 1, 0, 2, 2, 0]);
        let (kept, held_out) = hold_out(train, 5, None, &names(&["a", "b", "c"])).unwrap();
        // Two of a, two of b, one of c.
        assert_eq!(
            (&held_out.images[..], &held_out.labels[..]),
            (&[2, 5, 6, 8, 9][..], &[1, 1, 0, 2, 0][..])
        );
        assert_eq!((&kept.images[..], &kept.labels[..]), (&[0, 1, 3, 4, 7][..], &[0, 1, 0, 2, 2][..]));
    }

    #[test]
    fn a_split_is_drawn_by_its_number() {
        let labels: Vec<u16> = (0..60).map(|image| image % 3).collect();
        let split = |seed| hold_out(numbered(&labels), 9, seed, &names(&["a", "b", "c"])).unwrap();
        let ((kept, held_out), other) = (split(Some(0)), split(Some(1)));
        assert_eq!((held_out.class_counts(), kept.len()), (vec![3, 3, 3], 51));
        assert!(held_out.images.is_sorted() && kept.images.is_sorted(), "both keep the set's order");
        assert_eq!((&kept.images, &held_out.images), (&split(Some(0)).0.images, &split(Some(0)).1.images));
        assert_ne!(held_out.images, other.1.images);
        assert_ne!(held_out.images, split(None).1.images);
    }

    #[test]
    fn a_class_keeps_an_image_to_train_on() {
        let error = hold_out(numbered(&[0, 0, 0, 1, 1]), 4, None, &names(&["a", "b"])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "validation = 4: this holds out 2 of the 2 training images of class `b`; at least one must stay"
        );
        assert!(hold_out(numbered(&[0, 0, 0, 1, 1]), usize::MAX, None, &names(&["a", "b"])).is_err());
        assert!(hold_out(numbered(&[0, 0]), 2, None, &names(&["a", "absent"])).is_err());
    }

    #[test]
    fn moments_are_those_of_the_definition() {
        let shape = ImageShape { h: 1, w: 2, c: 2 };
        let split = Split { shape, images: vec![0, 51, 255, 51, 0, 51, 255, 51], labels: vec![0, 0] };
        assert_eq!(moments(&split), (vec![0.5, 0.2], vec![0.5, 0.0]));
        assert_eq!(moments(&numbered(&[])), (vec![0.0], vec![0.0]));
        // Image by image, in parts.
        let [mut first, mut second] = [Moments::new(2), Moments::new(2)];
        first.add(&split.images[..4]);
        second.add(&split.images[4..]);
        assert_eq!(first.with(&second).mean_and_std(), moments(&split));
    }
}
