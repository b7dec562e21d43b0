//! Images of a split, by index: parts of one split share its bytes.

use std::sync::Arc;

use crate::published::{Split, class_counts};
use crate::{Filter, ImageShape};

/// Some or all images of a split, in any order. A copy is cheap.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    of: Arc<Split>,
    /// (n), each the place of an image in `of`.
    places: Arc<[u32]>,
    /// How parts of its images are scaled.
    filter: Filter,
}

impl From<Split> for Selection {
    /// All images of a split, in its order.
    ///
    /// # Panics
    /// If their number does not fit into a u32.
    fn from(split: Split) -> Self {
        let len = split.len().min(split.images.len() / split.shape.len().max(1));
        let len = u32::try_from(len).expect("image indices are 32 bits wide");
        Self { of: Arc::new(split), places: (0..len).collect(), filter: Filter::default() }
    }
}

impl Selection {
    /// The images at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is [`len`](Self::len) or more.
    pub fn part(&self, indices: &[u32]) -> Self {
        let places = indices.iter().map(|&index| self.places[index as usize]).collect();
        Self { of: self.of.clone(), places, filter: self.filter }
    }

    /// The same images, parts of which augmentation scales by `filter`.
    pub(crate) fn scaled_by(self, filter: Filter) -> Self {
        Self { filter, ..self }
    }

    /// How augmentation scales parts of the images.
    pub(crate) fn filter(&self) -> Filter {
        self.filter
    }

    /// Where the bytes are that it shares with other parts, and how many.
    pub(crate) fn shared(&self) -> (*const u8, usize) {
        (self.of.images.as_ptr(), self.of.images.len())
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Shape of every image.
    pub fn shape(&self) -> ImageShape {
        self.of.shape
    }

    /// (h, w, c) of an image, bytes as stored.
    ///
    /// # Panics
    /// If `index` is [`len`](Self::len) or more.
    pub fn image(&self, index: u32) -> &[u8] {
        let len = self.of.shape.len();
        &self.of.images[self.places[index as usize] as usize * len..][..len]
    }

    /// All images in their order.
    pub fn images(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len() as u32).map(|index| self.image(index))
    }

    /// The label of an image, an index into [`Dataset::classes`](crate::Dataset::classes).
    ///
    /// # Panics
    /// If `index` is [`len`](Self::len) or more.
    pub fn label(&self, index: u32) -> u16 {
        self.of.labels[self.places[index as usize] as usize]
    }

    /// (n), the label of each image.
    pub fn labels(&self) -> impl Iterator<Item = u16> {
        (0..self.len() as u32).map(|index| self.label(index))
    }

    /// Images of each class, up to the highest label that occurs.
    pub fn class_counts(&self) -> Vec<usize> {
        class_counts(self.labels())
    }
}

impl PartialEq for Selection {
    /// Whether they are the same images with the same labels, wherever they are kept.
    fn eq(&self, other: &Self) -> bool {
        self.shape() == other.shape() && self.labels().eq(other.labels()) && self.images().eq(other.images())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_parts_are_images_of_the_whole() {
        let shape = ImageShape { h: 1, w: 2, c: 1 };
        let split = Split { shape, images: (0..10).collect(), labels: vec![0, 1, 2, 1, 0] };
        let whole = Selection::from(split);
        assert_eq!((whole.len(), whole.image(3), whole.class_counts()), (5, &[6, 7][..], vec![2, 2, 1]));
        let part = whole.part(&[4, 1, 0]).part(&[1, 0]);
        assert_eq!(part.images().collect::<Vec<_>>(), [[2, 3], [8, 9]]);
        assert_eq!((part.labels().collect::<Vec<_>>(), part.class_counts()), (vec![1, 0], vec![1, 1]));
        let copied = Split { shape, images: vec![2, 3, 8, 9], labels: vec![1, 0] };
        assert!(part == Selection::from(copied) && part != whole.part(&[0, 1]));
        assert!(whole.part(&[]).is_empty() && whole.part(&[]).class_counts().is_empty());
    }
}
