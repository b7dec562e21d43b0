//! A data set: its splits and their properties.

use std::collections::HashMap;

use crate::stream::{Part, Streamed};
use crate::{ImageShape, Normalisation, Selection, Skipped};

/// A data set, ready to train on.
#[derive(Clone, Debug, Default)]
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
    /// Mean of `train` per channel, with bytes scaled to 0..1.
    pub mean: Vec<f32>,
    /// Population standard deviation of `train` per channel, with bytes scaled to 0..1.
    pub std: Vec<f32>,
    /// BLAKE3 of all images and labels as read, in hexadecimal; for a streamed set, of its
    /// files, those for training before those for testing, and of its lists and weights. It does
    /// not depend on the validation split.
    pub checksum: String,
    /// Files that were skipped because they are broken or missing: of an image folder or a
    /// manifest, with `corrupt = "skip"`.
    pub skipped: Vec<Skipped>,
    /// Notes from reading: folders and files that are not used, images that were rotated.
    pub notes: Vec<String>,
    /// The set itself if it is streamed; the splits above are then empty.
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

/// Bytes of all images that `sets` keep in memory; what several share counts once.
pub fn bytes_in_memory<'a>(sets: impl IntoIterator<Item = &'a Dataset>) -> u64 {
    let parts = sets.into_iter().flat_map(|data| [&data.train, &data.validation, &data.test]);
    let splits: HashMap<_, _> = parts.map(Selection::shared).collect();
    splits.values().sum::<usize>() as u64
}

/// Mean and standard deviation of each channel of `images`.
pub(crate) fn moments(images: &Selection) -> (Vec<f32>, Vec<f32>) {
    let mut moments = Moments::new(images.shape().c);
    images.images().for_each(|image| moments.add(image));
    moments.mean_and_std()
}

/// Sums over pixels. They are integers, so that their order does not matter and nothing is
/// rounded before the end.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    pixels: usize,
    /// For each channel, the sums of bytes and of their squares.
    sums: Vec<(u64, u64)>,
}

impl Moments {
    /// Without pixels.
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

    /// The sums of both.
    pub(crate) fn with(mut self, other: &Self) -> Self {
        self.pixels += other.pixels;
        for (own, other) in self.sums.iter_mut().zip(&other.sums) {
            *own = (own.0 + other.0, own.1 + other.1);
        }
        self
    }

    /// Mean and standard deviation of each channel, bytes scaled to 0..1. Without pixels: 0 and
    /// 0.
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
    use crate::Split;

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
