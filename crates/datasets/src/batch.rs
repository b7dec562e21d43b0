//! From stored bytes to batches of normalised values.

use rayon::prelude::*;

use crate::augment::augment_image;
use crate::seeds::{stream, uniform_below};
use crate::{Augment, ImageShape, Labels, Mix, Split};

/// Images that one task of the pool handles at the least. One image takes a few
/// microseconds, which is too little to be handed out alone.
const IMAGES_PER_TASK: usize = 8;

/// The map from a stored byte to the value that a network sees, for each channel:
/// `(byte / 255 - mean) / std`.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalisation {
    /// Indexed by channel, then byte. All 256 values are computed once, in f64.
    tables: Vec<[f32; 256]>,
}

impl Normalisation {
    /// From the mean and the standard deviation of each channel, bytes scaled to
    /// 0..1. A channel whose standard deviation is 0 is only shifted. Of two
    /// slices of different lengths the shorter counts.
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

    /// Normalises one (h, w, c) image. All values that training and evaluation see are
    /// written here and in [`Self::apply_mixed`].
    fn apply(&self, image: &[u8], out: &mut [f32]) {
        let channels = self.channels();
        for (pixel, out) in image.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
            for ((&byte, out), table) in pixel.iter().zip(out).zip(&self.tables) {
                *out = table[usize::from(byte)];
            }
        }
    }
}

impl Normalisation {
    /// Normalises one (h, w, c) image mixed with another of the same shape.
    fn apply_mixed(&self, shape: ImageShape, image: &[u8], other: &[u8], mix: &Mix, out: &mut [f32]) {
        self.apply(image, out);
        match mix.window {
            Some(window) => {
                for row in window.rows() {
                    let span = window.span(row, shape.w, shape.c);
                    self.apply(&other[span.clone()], &mut out[span]);
                }
            }
            None => {
                let mut normalised = vec![0.0; other.len()];
                self.apply(other, &mut normalised);
                for (out, other) in out.iter_mut().zip(normalised) {
                    *out = mix.share * *out + (1.0 - mix.share) * other;
                }
            }
        }
    }
}

/// The images of a batch as bytes, augmented, with their labels: what background
/// workers make.
#[derive(Clone, Debug, PartialEq)]
pub struct PixelBatch {
    /// Shape of every image.
    pub shape: ImageShape,
    /// (n, h, w, c).
    pub pixels: Vec<u8>,
    /// Those of each image.
    pub labels: Labels,
    /// How each image is mixed with another of the batch; empty if none is. An image
    /// then has its own labels with the share of [`Mix::share`], and those of the other
    /// with the rest.
    pub mixes: Vec<Mix>,
}

impl PixelBatch {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Writes the normalised and mixed values to `out`: (n, h, w, c), overwritten.
    ///
    /// # Errors
    /// `out` or the normalisation do not fit.
    pub fn write(&self, normalisation: &Normalisation, out: &mut [f32]) -> Result<(), BatchError> {
        let image_len = self.shape.len();
        check_shapes(self.shape, self.len(), normalisation, out)?;
        if out.is_empty() {
            return Ok(());
        }
        let image = |at: usize| &self.pixels[at * image_len..(at + 1) * image_len];
        out.par_chunks_exact_mut(image_len).enumerate().with_min_len(IMAGES_PER_TASK).for_each(
            |(at, out)| match self.mixes.get(at) {
                Some(mix) => normalisation.apply_mixed(self.shape, image(at), image(mix.with), mix, out),
                None => normalisation.apply(image(at), out),
            },
        );
        Ok(())
    }
}

/// Why a batch cannot be filled: the arguments do not belong together.
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
    /// The output has not the batch's length.
    #[error("batch: an output of {found} values for a batch of {expected}")]
    Output {
        /// `n * h * w * c`.
        expected: usize,
        /// Its length.
        found: usize,
    },
    /// Images are to be mixed, which gives them two labels.
    #[error("batch: `{0}` mixes images, and one label an image is asked for")]
    Mixing(Augment),
    /// The normalisation is of another number of channels.
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

/// Augments and normalises the images of `split` that `indices` names, in that
/// order.
///
/// * `indices`: (n).
/// * `augment`: applied in order to each image; empty for evaluation.
/// * `augment_seed`: the seed of an image by its index in the split, usually
///   `|index| derive_seed(seed, "augment", epoch, index.into())`. An image's
///   augmentation depends on this alone, not on the batch.
/// * `out`: (n, h, w, c), overwritten.
/// * `labels`: (n), replaced.
///
/// Images are spread over rayon's current pool; the result is the same on any
/// number of threads. Scratch: two images a task.
///
/// # Errors
/// The arguments' shapes do not fit, or an index is out of range; `out` and
/// `labels` are then as they were.
pub fn fill_batch(
    split: &Split,
    indices: &[u32],
    augment: &[Augment],
    augment_seed: impl Fn(u32) -> u64 + Sync,
    normalisation: &Normalisation,
    out: &mut [f32],
    labels: &mut Vec<u16>,
) -> Result<(), BatchError> {
    let shape = split.shape;
    let image_len = shape.len();
    if let Some(&mixing) = augment.iter().find(|step| step.is_mixing()) {
        return Err(BatchError::Mixing(mixing));
    }
    check(split, indices, normalisation, out)?;
    labels.clear();
    labels.extend(indices.iter().map(|&index| split.labels[index as usize]));
    if out.is_empty() {
        return Ok(());
    }
    out.par_chunks_exact_mut(image_len).zip(indices).with_min_len(IMAGES_PER_TASK).for_each_init(
        || (vec![0; image_len], vec![0; image_len]),
        |(image, scratch), (out, &index)| {
            let begin = index as usize * image_len;
            image.copy_from_slice(&split.images[begin..begin + image_len]);
            augment_image(augment, augment_seed(index), shape, image, scratch);
            normalisation.apply(image, out);
        },
    );
    Ok(())
}

fn check(
    split: &Split,
    indices: &[u32],
    normalisation: &Normalisation,
    out: &[f32],
) -> Result<(), BatchError> {
    let image_len = split.shape.len();
    let len = split.len().min(split.images.len() / image_len.max(1));
    if let Some(&index) = indices.iter().find(|&&index| index as usize >= len) {
        return Err(BatchError::Index { index, len });
    }
    check_shapes(split.shape, indices.len(), normalisation, out)
}

fn check_shapes(
    shape: ImageShape,
    images: usize,
    normalisation: &Normalisation,
    out: &[f32],
) -> Result<(), BatchError> {
    let expected = images * shape.len();
    if out.len() != expected {
        return Err(BatchError::Output { expected, found: out.len() });
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

    use proptest::prelude::*;

    use super::*;
    use crate::derive_seed;

    const SHAPE: ImageShape = ImageShape { h: 5, w: 4, c: 3 };
    const AUGMENT: [Augment; 2] = [Augment::PadCrop { pixels: NonZero::new(2).unwrap() }, Augment::Flip];

    fn split(len: usize) -> Split {
        let images = (0..len * SHAPE.len()).map(|i| (i * 31 % 256) as u8).collect();
        Split { shape: SHAPE, images, labels: (0..len).map(|i| (i % 7) as u16).collect() }
    }

    fn normalisation() -> Normalisation {
        Normalisation::new(&[0.25, 0.5, 0.75], &[0.5, 1.0, 0.0])
    }

    fn seed_of(index: u32) -> u64 {
        derive_seed(3, "augment", 1, index.into())
    }

    fn batch(split: &Split, indices: &[u32], augment: &[Augment]) -> (Vec<f32>, Vec<u16>) {
        let (mut out, mut labels) = (vec![f32::NAN; indices.len() * SHAPE.len()], vec![99]);
        fill_batch(split, indices, augment, seed_of, &normalisation(), &mut out, &mut labels).unwrap();
        (out, labels)
    }

    #[test]
    fn values_are_normalised_a_channel() {
        let split = split(3);
        let (out, labels) = batch(&split, &[2, 0], &[]);
        assert_eq!(labels, [2, 0]);
        let images = [2, 0].map(|image| &split.images[image * SHAPE.len()..(image + 1) * SHAPE.len()]);
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
        let (out, _) = batch(&split, &epoch_order(20, 0), &AUGMENT);
        for (index, out) in epoch_order(20, 0).into_iter().zip(out.chunks_exact(SHAPE.len())) {
            let begin = index as usize * SHAPE.len();
            let mut image = split.images[begin..begin + SHAPE.len()].to_vec();
            augment_image(&AUGMENT, seed_of(index), SHAPE, &mut image, &mut [0; SHAPE.len()]);
            let mut expected = [0.0; SHAPE.len()];
            normalisation().apply(&image, &mut expected);
            assert_eq!(out, expected, "image {index}");
        }
    }

    #[test]
    fn padding_is_black_before_normalisation() {
        let white = Split { shape: SHAPE, images: vec![255; SHAPE.len()], labels: vec![0] };
        let (mut out, mut labels) = (vec![0.0; SHAPE.len()], Vec::new());
        let normalisation = Normalisation::new(&[0.5; 3], &[0.5; 3]);
        let augment = [Augment::PadCrop { pixels: NonZero::new(4).unwrap() }];
        let mut padded = 0;
        for seed in 0..20 {
            fill_batch(&white, &[0], &augment, |_| seed, &normalisation, &mut out, &mut labels).unwrap();
            assert!(out.iter().all(|&value| value == 1.0 || value == -1.0), "{out:?}");
            padded += out.iter().filter(|&&value| value == -1.0).count();
        }
        assert!(padded > 0);
    }

    #[test]
    fn mixed_images_are_weighed_or_cut_together() {
        let normalisation = Normalisation::new(&[0.5], &[0.5]);
        let shape = ImageShape { h: 2, w: 2, c: 1 };
        let pixels = vec![0, 0, 0, 0, 255, 255, 255, 255];
        let window = crate::mixing::Window { top: 0, left: 1, h: 2, w: 1 };
        let mixes = vec![
            Mix { with: 1, share: 0.75, window: None },
            Mix { with: 0, share: 0.5, window: Some(window) },
        ];
        let batch = PixelBatch { shape, pixels, labels: Labels::single(vec![0, 1]), mixes };
        let mut out = vec![9.0; 8];
        batch.write(&normalisation, &mut out).unwrap();
        assert_eq!(out, [-0.5, -0.5, -0.5, -0.5, 1.0, -1.0, 1.0, -1.0]);
        assert!(batch.write(&normalisation, &mut out[1..]).is_err());
        let mixing = ["mixup 1".parse().unwrap()];
        let split = Split { shape, images: vec![0; 4], labels: vec![0] };
        let error = fill_batch(&split, &[0], &mixing, |_| 0, &normalisation, &mut out[..4], &mut Vec::new());
        assert_eq!(error, Err(BatchError::Mixing(mixing[0])));
    }

    #[test]
    fn the_empty_batch_is_filled() {
        assert_eq!(batch(&split(1), &[], &AUGMENT), (vec![], vec![]));
        assert_eq!(batch(&split(0), &[], &[]), (vec![], vec![]));
    }

    #[test]
    fn arguments_that_do_not_fit_are_refused_and_change_nothing() {
        let (split, mut labels) = (split(2), vec![9]);
        let mut fill = |indices: &[u32], normalisation: &Normalisation, len| {
            let mut out = vec![7.0; len];
            let error = fill_batch(&split, indices, &[], |_| 0, normalisation, &mut out, &mut labels);
            assert!(out.iter().all(|&value| value == 7.0));
            assert_eq!(labels, [9]);
            error.unwrap_err()
        };
        let len = SHAPE.len();
        assert_eq!(fill(&[2], &normalisation(), len), BatchError::Index { index: 2, len: 2 });
        let short = BatchError::Output { expected: len, found: len - 1 };
        assert_eq!(fill(&[1], &normalisation(), len - 1), short);
        let grey = Normalisation::new(&[0.0], &[1.0]);
        assert_eq!(fill(&[1], &grey, len), BatchError::Channels { expected: 3, found: 1 });
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
