//! Turns stored bytes into batches of normalised values.

use decouple_kernels::layout::BatchLayout;
use rayon::prelude::*;

use crate::seeds::{stream, uniform_below};
use crate::view::View;
use crate::{Augment, ImageShape, Mix, PixelBatch, Selection};

/// Fewest images per task of the pool. One image takes a few microseconds, too little for a
/// task of its own.
pub(crate) const IMAGES_PER_TASK: usize = 8;

/// The map from a stored byte to the network's input value, for each channel: `(byte / 255 -
/// mean) / std`.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalisation {
    /// Indexed by channel, then byte. All 256 values are computed once, in f64.
    pub(crate) tables: Vec<[f32; 256]>,
}

impl Normalisation {
    /// From the mean and the standard deviation of each channel, bytes scaled to 0..1. A
    /// channel with standard deviation 0 is only shifted. If the slices differ in length, the
    /// shorter counts.
    pub fn new(mean: &[f32], std: &[f32]) -> Self {
        let table = |(&mean, &std): (&f32, &f32)| {
            let std = if std == 0.0 { 1.0 } else { f64::from(std) };
            std::array::from_fn(|byte| ((byte as f64 / 255.0 - f64::from(mean)) / std) as f32)
        };
        Self { tables: mean.iter().zip(std).map(table).collect() }
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.tables.len()
    }

    /// Normalises one (h, w, c) image. If the slices differ in length, the shorter counts.
    pub fn apply(&self, image: &[u8], out: &mut [f32]) {
        let channels = self.channels().max(1);
        for (pixel, out) in image.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
            for ((&byte, out), table) in pixel.iter().zip(out).zip(&self.tables) {
                *out = table[usize::from(byte)];
            }
        }
    }
}

/// Network inputs and their labels. Refilling a batch allocates nothing if all steps
/// only move pixels.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The values, in the layout that the batch was filled for.
    pub values: Vec<f32>,
    /// (n).
    pub labels: Vec<u16>,
    /// How each image is mixed with another of the batch; empty if none is.
    pub mixes: Vec<Mix>,
}

/// Why a batch cannot be filled: inconsistent arguments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// An index beyond the split.
    #[error("batch: image {index} of a split of {len}")]
    Index {
        /// The index.
        index: u32,
        /// Images in the split.
        len: usize,
    },
    /// The layout is for images of another shape.
    #[error("batch: images of {found} for a network that reads {expected}")]
    Shape {
        /// Shape that the layout is for.
        expected: ImageShape,
        /// Shape of the images.
        found: ImageShape,
    },
    /// The layout is for another number of images.
    #[error("batch: a layout of {found} values, expected {expected}")]
    Layout {
        /// Values that the images need.
        expected: usize,
        /// Values of the layout.
        found: usize,
    },
    /// The normalisation has another number of channels.
    #[error("batch: a normalisation of {found} channels for images of {expected}")]
    Channels {
        /// Channels of the images.
        expected: usize,
        /// Channels of the normalisation.
        found: usize,
    },
}

/// The order in which an epoch visits `len` images: every index once.
///
/// Fisher and Yates' shuffle (Durstenfeld's form, Knuth volume 2, algorithm P)
/// with numbers from [`stream`]: a function of its arguments, the same on every
/// machine.
///
/// # Panics
/// If `len` does not fit into a u32.
pub fn epoch_order(len: usize, seed: u64) -> Vec<u32> {
    let len = u32::try_from(len).expect("image indices are 32 bits wide");
    let mut order: Vec<u32> = (0..len).collect();
    let mut rng = stream(seed);
    for last in (1..len).rev() {
        order.swap(last as usize, uniform_below(&mut rng, last + 1) as usize);
    }
    order
}

/// Augments and normalises the images of `split` that `indices` names, in that order, and
/// writes them to their places in `batch`, directly from the stored bytes if all steps only
/// move pixels.
///
/// * `indices`: (n).
/// * `augment`: applied in order to each image; empty for evaluation.
/// * `augment_seed`: the seed of an image by its index in the split, usually
///   `|index| derive_seed(seed, "augment", epoch, index.into())`. An image's
///   augmentation depends on this alone, not on the batch.
/// * `layout`: where the values of n images go; everything else becomes zero.
/// * `batch`: overwritten.
///
/// Groups of images are spread over rayon's current pool; the result is the same
/// on any number of threads.
///
/// # Errors
/// The arguments are inconsistent, or an index is out of range; `batch` is then unchanged.
pub fn fill_batch(
    split: &Selection,
    indices: &[u32],
    augment: &[Augment],
    augment_seed: impl Fn(u32) -> u64 + Sync,
    normalisation: &Normalisation,
    layout: &BatchLayout,
    batch: &mut Batch,
) -> Result<(), BatchError> {
    check(split, indices, normalisation, layout)?;
    let Batch { values, labels, mixes } = batch;
    labels.clear();
    labels.extend(indices.iter().map(|&index| split.label(index)));
    mixes.clear();
    if !augment.iter().all(Augment::is_move) {
        let pixels = PixelBatch::augmented(split, indices, augment, augment_seed);
        pixels.write(normalisation, layout, values)?;
        *mixes = pixels.mixes;
        return Ok(());
    }
    values.resize(layout.len, 0.0);
    if indices.is_empty() {
        return Ok(());
    }
    let shape = split.shape();
    values
        .par_chunks_exact_mut(layout.group)
        .zip(indices.par_chunks(layout.images_per_group))
        .with_min_len(IMAGES_PER_TASK.div_ceil(layout.images_per_group))
        .for_each(|(group, indices)| {
            let shown = |&index| (split.image(index), View::new(augment, augment_seed(index), shape));
            let shown: Vec<_> = indices.iter().map(shown).collect();
            write_group(&shown, shape, normalisation, layout, group);
        });
    Ok(())
}

/// Writes the images of a group, each with its view, row by row, so that images side by side
/// share cache lines. All values for training and evaluation are written here, and mixed
/// afterwards.
pub(crate) fn write_group(
    images: &[(&[u8], View)],
    shape: ImageShape,
    normalisation: &Normalisation,
    layout: &BatchLayout,
    group: &mut [f32],
) {
    let ImageShape { h, w, c } = shape;
    if layout.group > layout.images_per_group * shape.len() || images.len() < layout.images_per_group {
        group.fill(0.0);
    }
    for row in 0..h {
        for (place, (image, view)) in images.iter().enumerate() {
            let source = view.row(row).map(|row| {
                let begin = row * w * c;
                &image[begin + view.first_column() * c..begin + w * c]
            });
            let begin = layout.start + place * layout.image + row * layout.row;
            for (channel, table) in normalisation.tables.iter().enumerate() {
                let out = group[begin + channel * layout.channel..].iter_mut();
                let mut out = out.step_by(layout.column).take(w);
                let black = table[0];
                if let Some(source) = source {
                    let (first, shown) = (view.columns.start as usize, view.columns.len());
                    out.by_ref().take(first).for_each(|value| *value = black);
                    let pixels = source.get(channel..).unwrap_or_default().iter().step_by(c).take(shown);
                    // The pixels come first in each pair, so places without a pixel keep their
                    // value in `out`.
                    if view.is_mirrored {
                        write(pixels.rev(), &mut out, table);
                    } else {
                        write(pixels, &mut out, table);
                    }
                }
                out.for_each(|value| *value = black);
            }
        }
    }
}

fn write<'a, 'b>(
    pixels: impl Iterator<Item = &'a u8>,
    out: &mut impl Iterator<Item = &'b mut f32>,
    table: &[f32; 256],
) {
    pixels.zip(out).for_each(|(&byte, value)| *value = table[usize::from(byte)]);
}

fn check(
    split: &Selection,
    indices: &[u32],
    normalisation: &Normalisation,
    layout: &BatchLayout,
) -> Result<(), BatchError> {
    let len = split.len();
    if let Some(&index) = indices.iter().find(|&&index| index as usize >= len) {
        return Err(BatchError::Index { index, len });
    }
    check_layout(split.shape(), indices.len(), normalisation, layout)
}

/// Checks that `images` images of `shape` fit `layout`.
pub(crate) fn check_layout(
    shape: ImageShape,
    images: usize,
    normalisation: &Normalisation,
    layout: &BatchLayout,
) -> Result<(), BatchError> {
    let expected = ImageShape { h: layout.shape.h, w: layout.shape.w, c: layout.shape.c };
    if shape != expected {
        return Err(BatchError::Shape { expected, found: shape });
    }
    let expected = images.div_ceil(layout.images_per_group) * layout.group;
    if layout.len != expected {
        return Err(BatchError::Layout { expected, found: layout.len });
    }
    let (expected, found) = (shape.c, normalisation.channels());
    if found != expected {
        return Err(BatchError::Channels { expected, found });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use decouple_kernels::{geometry::MapShape, layout::MapLayout};
    use proptest::prelude::*;

    use super::*;
    use crate::augmented::augment_image;
    use crate::{Split, derive_seed};

    const SHAPE: ImageShape = ImageShape { h: 5, w: 4, c: 3 };
    const MAP: MapShape = MapShape::new(5, 4, 3);
    const AUGMENT: [Augment; 2] = [Augment::PadCrop { pixels: NonZero::new(2).unwrap() }, Augment::Flip];

    fn split(len: usize) -> Selection {
        let images = (0..len * SHAPE.len()).map(|i| (i * 31 % 256) as u8).collect();
        Split { shape: SHAPE, images, labels: (0..len).map(|i| (i % 7) as u16).collect() }.into()
    }

    fn normalisation() -> Normalisation {
        Normalisation::new(&[0.25, 0.5, 0.75], &[0.5, 1.0, 0.0])
    }

    fn seed_of(index: u32) -> u64 {
        derive_seed(3, "augment", 1, index.into())
    }

    fn batch(split: &Selection, indices: &[u32], augment: &[Augment]) -> (Vec<f32>, Vec<u16>) {
        let mut batch = Batch { values: vec![f32::NAN; 7], labels: vec![99], ..Batch::default() };
        let layout = BatchLayout::channels_last(MAP, indices.len());
        fill_batch(split, indices, augment, seed_of, &normalisation(), &layout, &mut batch).unwrap();
        (batch.values, batch.labels)
    }

    #[test]
    fn values_are_normalised_a_channel() {
        let split = split(3);
        let (out, labels) = batch(&split, &[2, 0], &[]);
        assert_eq!(labels, [2, 0]);
        let images = [2, 0].map(|image| split.image(image));
        for (i, (&value, &byte)) in out.iter().zip(images.concat().iter()).enumerate() {
            let (mean, std) = [(0.25, 0.5), (0.5, 1.0), (0.75, 1.0)][i % 3];
            assert_eq!(value, ((f64::from(byte) / 255.0 - mean) / std) as f32);
        }
    }

    #[test]
    fn a_batch_is_the_same_on_any_number_of_threads() {
        let split = split(100);
        let indices = epoch_order(split.len(), 5);
        let batches = [1, 2, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| batch(&split, &indices, &AUGMENT))
        });
        assert_eq!(batches[0], batches[1]);
        assert_eq!(batches[0], batches[2]);
        assert_ne!(batches[0], batch(&split, &indices, &[]));
    }

    #[test]
    fn an_image_does_not_depend_on_its_batch() {
        let split = split(20);
        let (together, _) = batch(&split, &epoch_order(20, 0), &AUGMENT);
        for (index, image) in epoch_order(20, 0).into_iter().zip(together.chunks_exact(SHAPE.len())) {
            assert_eq!(batch(&split, &[index], &AUGMENT).0, image);
        }
    }

    #[test]
    fn each_image_follows_its_own_seed() {
        let split = split(20);
        let steps = ["flip", "jitter 0.4 0.4 0.4 0.1", "pad-crop 2", "cutout 2"];
        for augment in [AUGMENT.to_vec(), steps.map(|step| step.parse().unwrap()).to_vec()] {
            let (out, _) = batch(&split, &epoch_order(20, 0), &augment);
            for (index, out) in epoch_order(20, 0).into_iter().zip(out.chunks_exact(SHAPE.len())) {
                let mut image = split.image(index).to_vec();
                augment_image(&augment, seed_of(index), SHAPE, split.filter(), &mut image, &mut Vec::new());
                let normalisation = normalisation();
                let expected = image.iter().enumerate();
                let expected = expected.map(|(i, &byte)| normalisation.tables[i % 3][usize::from(byte)]);
                assert_eq!(out, expected.collect::<Vec<f32>>(), "image {index}");
            }
        }
    }

    #[test]
    fn every_layout_holds_the_same_values_and_zeros_between() {
        let cutout = "cutout 3".parse().unwrap();
        for augment in [AUGMENT, [AUGMENT[1], cutout]] {
            check_layouts(&augment);
        }
    }

    fn check_layouts(augment: &[Augment]) {
        let split = split(40);
        let indices = &epoch_order(40, 3)[..37];
        let (plain, _) = batch(&split, indices, augment);
        let layout = MapLayout::new(MAP, 2).batch(indices.len());
        let mut batch = Batch { values: vec![f32::NAN; layout.len], ..Batch::default() };
        // A longer batch leaves nothing in the places of a shorter one.
        for indices in [indices, &indices[..20]] {
            let layout = MapLayout::new(MAP, 2).batch(indices.len());
            fill_batch(&split, indices, augment, seed_of, &normalisation(), &layout, &mut batch).unwrap();
            let mut values = batch.values.clone();
            for (index, &expected) in plain[..indices.len() * SHAPE.len()].iter().enumerate() {
                let (image, pixel, channel) = (index / 60, index % 60 / 3, index % 3);
                let place = layout.place(image, pixel / 4, pixel % 4, channel);
                assert_eq!(std::mem::take(&mut values[place]), expected);
            }
            assert!(values.iter().all(|&value| value == 0.0));
        }
    }

    #[test]
    fn padding_is_black_before_normalisation() {
        let white = Split { shape: SHAPE, images: vec![255; SHAPE.len()], labels: vec![0] }.into();
        let normalisation = Normalisation::new(&[0.5; 3], &[0.5; 3]);
        let augment = [Augment::PadCrop { pixels: NonZero::new(4).unwrap() }];
        let (layout, mut batch) = (BatchLayout::channels_last(MAP, 1), Batch::default());
        let mut padded = 0;
        for seed in 0..20 {
            fill_batch(&white, &[0], &augment, |_| seed, &normalisation, &layout, &mut batch).unwrap();
            let values = &batch.values;
            assert!(values.iter().all(|&value| value == 1.0 || value == -1.0), "{values:?}");
            padded += values.iter().filter(|&&value| value == -1.0).count();
        }
        assert!(padded > 0);
    }

    #[test]
    fn the_empty_batch_is_filled() {
        assert_eq!(batch(&split(1), &[], &AUGMENT), (vec![], vec![]));
        assert_eq!(batch(&split(0), &[], &[]), (vec![], vec![]));
    }

    #[test]
    fn arguments_that_do_not_fit_are_refused_and_change_nothing() {
        let (split, mut batch) = (split(2), Batch { values: vec![7.0], labels: vec![9], ..Batch::default() });
        let mut fill = |indices: &[u32], normalisation: &Normalisation, shape: MapShape, images| {
            let layout = BatchLayout::channels_last(shape, images);
            let error = fill_batch(&split, indices, &[], |_| 0, normalisation, &layout, &mut batch);
            assert_eq!((&batch.values[..], &batch.labels[..]), (&[7.0][..], &[9][..]));
            error.unwrap_err()
        };
        let own = normalisation();
        assert_eq!(fill(&[2], &own, MAP, 1), BatchError::Index { index: 2, len: 2 });
        assert_eq!(fill(&[1], &own, MAP, 2), BatchError::Layout { expected: 60, found: 120 });
        let wrong = fill(&[1], &own, MapShape::new(8, 8, 1), 1);
        assert_eq!(wrong.to_string(), "batch: images of 5x4x3 for a network that reads 8x8x1");
        let grey = Normalisation::new(&[0.0], &[1.0]);
        assert_eq!(fill(&[1], &grey, MAP, 1), BatchError::Channels { expected: 3, found: 1 });
    }

    #[test]
    fn mixed_images_are_weighed_sums_of_augmented_ones() {
        let (split, indices, layout) = (split(5), [3, 1, 4, 0, 2], BatchLayout::channels_last(MAP, 5));
        let flip: Augment = "flip".parse().unwrap();
        let fill = |augment: &[Augment]| {
            let mut batch = Batch::default();
            fill_batch(&split, &indices, augment, seed_of, &normalisation(), &layout, &mut batch).unwrap();
            batch
        };
        let (alone, mixed) = (fill(&[flip]), fill(&[flip, "mixup 0.4".parse().unwrap()]));
        assert_eq!((&alone.labels, alone.mixes.len(), mixed.mixes.len()), (&mixed.labels, 0, 5));
        let len = SHAPE.len();
        for (image, mix) in mixed.mixes.iter().enumerate() {
            let of = |image: usize| &alone.values[image * len..][..len];
            for ((&own, &other), &value) in
                of(image).iter().zip(of(mix.with)).zip(&mixed.values[image * len..])
            {
                assert_eq!(value, mix.share * own + (1.0 - mix.share) * other);
            }
        }
    }

    /// Results of every run depend on this order, so it must never change. Computed
    /// with another implementation, in Python.
    #[test]
    fn the_order_is_pinned() {
        assert_eq!(epoch_order(10, 0), [5, 3, 0, 2, 9, 6, 4, 8, 7, 1]);
        assert_eq!(epoch_order(10, 12_345_678_901_234_567), [4, 8, 0, 1, 5, 7, 2, 9, 6, 3]);
        let bytes: Vec<u8> = epoch_order(60_000, 7).into_iter().flat_map(u32::to_le_bytes).collect();
        let expected = "e4a22630a3836e6c008372b5ecdf8b8118648ea6e06fb417401b5e16a08b5690";
        assert_eq!(blake3::hash(&bytes).to_string(), expected);
    }

    #[test]
    fn each_image_comes_first_equally_often() {
        let mut counts = [0_u32; 6];
        for seed in 0..12_000 {
            counts[epoch_order(6, seed)[0] as usize] += 1;
        }
        // Five standard deviations are 204.
        assert!(counts.iter().all(|&n| n.abs_diff(2_000) < 204), "{counts:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn an_order_holds_every_image_once(len in 0_usize..3_000, seed: u64) {
            let mut order = epoch_order(len, seed);
            prop_assert_eq!(&order, &epoch_order(len, seed));
            order.sort_unstable();
            prop_assert!(order.iter().enumerate().all(|(i, &image)| i == image as usize));
            prop_assert_eq!(order.len(), len);
        }
    }
}
