//! A data set: its splits and what is known of them.

use std::fmt;

use crate::stream::{Part, Streamed};
use crate::{Normalisation, Selection, Skipped};

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
        class_counts(self.labels.iter().copied())
    }
}

/// How often each label occurs, up to the highest.
pub(crate) fn class_counts(labels: impl Iterator<Item = u16>) -> Vec<usize> {
    let mut counts = Vec::new();
    for label in labels.map(usize::from) {
        counts.resize(counts.len().max(label + 1), 0);
        counts[label] += 1;
    }
    counts
}

/// A data set, ready to train on.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Name of the set, as experiment files write it.
    pub name: String,
    /// Names of the classes, by label.
    pub classes: Vec<String>,
    /// Images to train on, without those held out.
    pub train: Selection,
    /// Training images held out, as many as [`DataSpec::validation`](crate::DataSpec::validation) says.
    pub validation: Selection,
    /// The set's own test images.
    pub test: Selection,
    /// Mean of `train` a channel, with bytes scaled to 0..1.
    pub mean: Vec<f32>,
    /// Standard deviation (of the population) of `train` a channel, bytes scaled to
    /// 0..1.
    pub std: Vec<f32>,
    /// BLAKE3 of all images and labels as read, in hexadecimal; of a streamed set of its files
    /// in the order of training, validation and testing. Only of files outside shards that are
    /// streamed does it depend on what is held out.
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
        self.train.shape()
    }

    /// Images of a part, in memory or not.
    pub fn images(&self, part: Part) -> usize {
        match &self.stream {
            Some(stream) => stream.len(part),
            None => self.split(part).len(),
        }
    }

    /// A part in memory; empty if the set is streamed.
    pub fn split(&self, part: Part) -> &Selection {
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

/// What the reader of a set in memory returns.
pub(crate) struct Read {
    pub(crate) published: Published,
    pub(crate) classes: Vec<String>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) notes: Vec<String>,
}

impl Read {
    pub(crate) fn named(published: Published, classes: &[&str]) -> Self {
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

/// Mean and standard deviation of each channel of `images`.
pub(crate) fn moments(images: &Selection) -> (Vec<f32>, Vec<f32>) {
    let mut moments = Moments::new(images.shape().c);
    images.images().for_each(|image| moments.add(image));
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

    #[test]
    fn classes_are_counted_up_to_the_highest_label() {
        assert_eq!(numbered(&[2, 0, 2]).class_counts(), [1, 0, 2]);
        assert!(numbered(&[]).class_counts().is_empty());
    }

    #[test]
    fn moments_are_those_of_the_definition() {
        let (shape, images) = (ImageShape { h: 1, w: 2, c: 2 }, vec![0, 51, 255, 51, 0, 51, 255, 51]);
        let of = |images: &[u8]| {
            moments(&Split { shape, images: images.to_vec(), labels: vec![0; images.len() / 4] }.into())
        };
        assert_eq!(of(&images), (vec![0.5, 0.2], vec![0.5, 0.0]));
        assert_eq!(of(&[]), (vec![0.0; 2], vec![0.0; 2]));
        // Image by image, in parts.
        let [mut first, mut second] = [Moments::new(2), Moments::new(2)];
        first.add(&images[..4]);
        second.add(&images[4..]);
        assert_eq!(first.with(&second).mean_and_std(), of(&images));
    }
}
