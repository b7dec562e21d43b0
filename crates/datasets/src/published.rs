//! A set in memory as published, the result of a reader.

use crate::{ImageShape, Skipped};

/// Images with their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Shape of every image.
    pub shape: ImageShape,
    /// (n, h, w, c), bytes as stored: 0 is black, 255 full intensity.
    pub images: Vec<u8>,
    /// (n), each an index into [`Dataset::classes`](crate::Dataset::classes).
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

/// The result of reading a set into memory.
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

/// A set as published, with nothing held out.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) train: Split,
    pub(crate) test: Split,
    /// The value of [`Dataset::checksum`](crate::Dataset::checksum): BLAKE3, in hexadecimal, over both
    /// splits' rows, columns, channels and number of images (eight little-endian bytes each), images, and
    /// labels (two little-endian bytes each).
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
}
