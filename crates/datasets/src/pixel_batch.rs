//! Batches that are decoded and augmented, but not normalised yet.

use std::ops::Range;

use decouple_kernels::layout::BatchLayout;
use rayon::prelude::*;

use crate::augmented::augment_image;
use crate::batch::{IMAGES_PER_TASK, check_layout, write_group};
use crate::mixing::{Window, mixes};
use crate::view::View;
use crate::{Augment, BatchError, ImageShape, Labels, Mix, Normalisation, Selection};

/// The augmented images of a batch as bytes, with their labels, as made by background workers.
#[derive(Clone, Debug, PartialEq)]
pub struct PixelBatch {
    /// Shape of every image.
    pub shape: ImageShape,
    /// (n, h, w, c).
    pub pixels: Vec<u8>,
    /// Those of each image.
    pub labels: Labels,
    /// How each image is mixed with another of the batch; empty if none is. A mixed image has
    /// its own labels with weight [`Mix::share`], and those of the other with the rest.
    pub mixes: Vec<Mix>,
}

impl PixelBatch {
    /// The images of `split` at `indices`, each augmented by its seed, and how they are mixed. Spread over
    /// rayon's current pool.
    pub(crate) fn augmented(
        split: &Selection,
        indices: &[u32],
        augment: &[Augment],
        augment_seed: impl Fn(u32) -> u64,
    ) -> Self {
        let (shape, len) = (split.shape(), split.shape().len());
        let seeds: Vec<u64> = indices.iter().map(|&index| augment_seed(index)).collect();
        let mut pixels = vec![0; indices.len() * len];
        pixels
            .par_chunks_exact_mut(len)
            .zip(indices.par_iter().zip(&seeds))
            .with_min_len(IMAGES_PER_TASK)
            .for_each_init(Vec::new, |scratch, (image, (&index, &seed))| {
                image.copy_from_slice(split.image(index));
                augment_image(augment, seed, shape, split.filter(), image, scratch);
            });
        let labels = Labels::single(indices.iter().map(|&index| split.label(index)).collect());
        Self { shape, pixels, labels, mixes: mixes(augment, &seeds, shape) }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    fn image(&self, index: usize) -> &[u8] {
        &self.pixels[index * self.shape.len()..][..self.shape.len()]
    }

    /// Writes the normalised and mixed values to their places in `values`; everything else
    /// becomes zero.
    ///
    /// # Errors
    /// The layout or the normalisation do not fit; `values` are then unchanged.
    pub fn write(
        &self,
        normalisation: &Normalisation,
        layout: &BatchLayout,
        values: &mut Vec<f32>,
    ) -> Result<(), BatchError> {
        check_layout(self.shape, self.len(), normalisation, layout)?;
        values.resize(layout.len, 0.0);
        if self.is_empty() {
            return Ok(());
        }
        let together = layout.images_per_group;
        let tasks = values.par_chunks_exact_mut(layout.group).enumerate();
        tasks.with_min_len(IMAGES_PER_TASK.div_ceil(together)).for_each(|(number, group)| {
            let first = number * together;
            let images: Range<usize> = first..(first + together).min(self.len());
            let shown: Vec<_> = images.map(|index| (self.image(index), View::whole(self.shape))).collect();
            write_group(&shown, self.shape, normalisation, layout, group);
            for (place, mix) in self.mixes.iter().skip(first).take(together).enumerate() {
                let image = &mut group[layout.start + place * layout.image..];
                self.mix(mix, normalisation, layout, image);
            }
        });
        Ok(())
    }

    /// Mixes the image whose values begin at the first of `values` with another.
    fn mix(&self, mix: &Mix, normalisation: &Normalisation, layout: &BatchLayout, values: &mut [f32]) {
        let ImageShape { h, w, c } = self.shape;
        let other = self.image(mix.with);
        let (window, share) = match mix.window {
            Some(window) => (window, 0.0),
            None => (Window { top: 0, left: 0, h, w }, mix.share),
        };
        for row in window.rows() {
            for (place, byte) in window.span(row, w, c).zip(&other[window.span(row, w, c)]) {
                let (column, channel) = (place / c % w, place % c);
                let other = normalisation.tables[channel][usize::from(*byte)];
                let place = row * layout.row + column * layout.column + channel * layout.channel;
                let value = &mut values[place];
                *value = if share == 0.0 { other } else { share * *value + (1.0 - share) * other };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use decouple_kernels::{geometry::MapShape, layout::MapLayout};

    use super::*;

    #[test]
    fn mixed_images_are_weighed_or_cut_together_in_every_layout() {
        let normalisation = Normalisation::new(&[0.5], &[0.5]);
        let (shape, map) = (ImageShape { h: 2, w: 2, c: 1 }, MapShape::new(2, 2, 1));
        let pixels = vec![0, 0, 0, 0, 255, 255, 255, 255];
        let window = Window { top: 0, left: 1, h: 2, w: 1 };
        let mixes = vec![
            Mix { with: 1, share: 0.75, window: None },
            Mix { with: 0, share: 0.5, window: Some(window) },
        ];
        let batch = PixelBatch { shape, pixels, labels: Labels::single(vec![0, 1]), mixes };
        let expected = [-0.5, -0.5, -0.5, -0.5, 1.0, -1.0, 1.0, -1.0];
        let mut values = vec![9.0; 3];
        batch.write(&normalisation, &BatchLayout::channels_last(map, 2), &mut values).unwrap();
        assert_eq!(values, expected);
        let layout = MapLayout::new(map, 1).batch(2);
        batch.write(&normalisation, &layout, &mut values).unwrap();
        for (index, expected) in expected.into_iter().enumerate() {
            let place = layout.place(index / 4, index / 2 % 2, index % 2, 0);
            assert_eq!(std::mem::take(&mut values[place]), expected);
        }
        assert!(values.iter().all(|&value| value == 0.0));
        let before = values.clone();
        assert!(batch.write(&normalisation, &BatchLayout::channels_last(map, 3), &mut values).is_err());
        assert_eq!(values, before);
    }
}
