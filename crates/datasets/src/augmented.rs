//! Applies random augmentation to one training image.
//!
//! The result is a pure function of the image's seed: neither the batch, nor the images before
//! it, nor the thread matters.

use rand_chacha::rand_core::Rng;

use crate::framing::part;
use crate::rand_augment::rand_augment;
use crate::random_numbers::{below, between};
use crate::resize::{Filter, Side, resample};
use crate::seeds::stream;
use crate::view::{View, copied};
use crate::{Augment, ImageShape, Reading, Thousandths, colour};

/// Applies `augment` in order to one (h, w, c) image in place. The draws come
/// from the stream of `seed`: two for a pad-crop (row, then column), one for a flip.
/// `filter` scales the part that a random crop cuts out. Mixing is not done here. `scratch` is
/// overwritten.
pub(crate) fn augment_image(
    augment: &[Augment],
    seed: u64,
    shape: ImageShape,
    filter: Filter,
    image: &mut [u8],
    scratch: &mut Vec<u8>,
) {
    if augment.is_empty() {
        return;
    }
    let mut rng = stream(seed);
    for step in augment {
        if let Augment::RandomResizedCrop { least, most } = *step {
            let size = [shape.h, shape.w];
            let [rows, columns] = crop(size, [least.value(), most.value()], size, &mut rng);
            let whole = copied(image, scratch);
            match shape.c {
                1 => resample::<1>(whole, rows, columns, filter, image),
                3 => resample::<3>(whole, rows, columns, filter, image),
                _ => {}
            }
        } else {
            change(*step, &mut rng, shape, image, scratch);
        }
    }
}

/// Decodes a photograph for training to `image`: framed as for evaluation, unless a random part
/// is cut out, then augmented.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn augment_photograph(
    augment: &[Augment],
    seed: u64,
    bytes: &[u8],
    reading: &Reading,
    image: &mut [u8],
) -> Result<(), String> {
    let mut scratch = Vec::new();
    let Some((&Augment::RandomResizedCrop { least, most }, rest)) = augment.split_first() else {
        image.copy_from_slice(&reading.framed(bytes)?.0);
        augment_image(augment, seed, reading.shape(), reading.filter, image, &mut scratch);
        return Ok(());
    };
    let drawn = |size| {
        let mut rng = stream(seed);
        (crop(size, [least.value(), most.value()], reading.size, &mut rng), rng)
    };
    // The part depends only on the size, so it is known before decoding.
    let photograph = reading.photograph(bytes, |size| {
        let ([rows, columns], _) = drawn(size);
        rows.shrink().min(columns.shrink())
    })?;
    let ([rows, columns], mut rng) = drawn(photograph.size());
    part(&photograph, rows, columns, reading.filter, image);
    for &step in rest {
        change(step, &mut rng, reading.shape(), image, &mut scratch);
    }
    Ok(())
}

/// The rows and columns of a random part of an image, scaled to `size`: torchvision's
/// `RandomResizedCrop.get_params`.
fn crop(
    [h, w]: [usize; 2],
    [least, most]: [f64; 2],
    [to_h, to_w]: [usize; 2],
    rng: &mut impl Rng,
) -> [Side; 2] {
    let area = (h * w) as f64;
    let log_ratio = libm::log(4.0 / 3.0);
    for _ in 0..10 {
        let wanted = area * between(rng, least, most);
        let ratio = libm::exp(between(rng, -log_ratio, log_ratio));
        let columns = libm::rint(libm::sqrt(wanted * ratio)) as usize;
        let rows = libm::rint(libm::sqrt(wanted / ratio)) as usize;
        if (1..=h).contains(&rows) && (1..=w).contains(&columns) {
            let (top, left) = (below(rng, h - rows + 1), below(rng, w - columns + 1));
            return [Side::part(h, top, rows, to_h), Side::part(w, left, columns, to_w)];
        }
    }
    // The largest centred part with an allowed aspect ratio.
    let rows = if 3 * h > 4 * w { (4 * w + 1) / 3 } else { h };
    let columns = if 3 * w > 4 * h { (4 * h + 1) / 3 } else { w };
    [Side::part(h, (h - rows) / 2, rows, to_h), Side::part(w, (w - columns) / 2, columns, to_w)]
}

/// Applies one step that keeps the size.
fn change(step: Augment, rng: &mut impl Rng, shape: ImageShape, image: &mut [u8], scratch: &mut Vec<u8>) {
    match step {
        Augment::PadCrop { .. } | Augment::Flip => {
            let mut view = View::whole(shape);
            view.follow(step, rng);
            if view != View::whole(shape) {
                view.show(copied(image, scratch), image);
            }
        }
        Augment::Jitter { by } => colour::jitter(image, shape.c, by.map(Thousandths::value), rng),
        Augment::Cutout { pixels } => cutout(shape, image, pixels.get().into(), rng),
        Augment::RandAugment { operations, magnitude } => {
            rand_augment(shape, image, scratch, operations, magnitude, rng);
        }
        Augment::RandomResizedCrop { .. } | Augment::Mixup { .. } | Augment::CutMix { .. } => {}
    }
}

fn cutout(shape: ImageShape, image: &mut [u8], side: usize, rng: &mut impl Rng) {
    let (row, column) = (below(rng, shape.h), below(rng, shape.w));
    let span = |centre: usize, extent: usize| {
        let first = centre.saturating_sub(side / 2);
        first..(centre + side.div_ceil(2)).min(extent)
    };
    let columns = span(column, shape.w);
    for row in span(row, shape.h) {
        let begin = (row * shape.w + columns.start) * shape.c;
        image[begin..begin + columns.len() * shape.c].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use proptest::prelude::*;

    use super::*;
    use crate::{PixelBatch, Selection, Split};

    /// An image in which every byte is different and none is black.
    fn numbered(shape: ImageShape) -> Vec<u8> {
        (1..=shape.len() as u8).collect()
    }

    fn pad_crop(pixels: u8) -> Augment {
        Augment::PadCrop { pixels: NonZero::new(pixels).unwrap() }
    }

    #[test]
    fn half_of_the_images_are_flipped() {
        let shape = ImageShape { h: 1, w: 2, c: 1 };
        let flipped = (0..10_000).filter(|&seed| {
            let mut image = [1, 2];
            augment_image(&[Augment::Flip], seed, shape, Filter::default(), &mut image, &mut Vec::new());
            image == [2, 1]
        });
        // Five standard deviations are 250.
        assert!(flipped.count().abs_diff(5_000) < 250);
    }

    #[test]
    fn every_crop_occurs_and_no_other() {
        let shape = ImageShape { h: 3, w: 3, c: 1 };
        let image = numbered(shape);
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..1_000 {
            let mut out = image.clone();
            augment_image(&[pad_crop(1)], seed, shape, Filter::default(), &mut out, &mut Vec::new());
            seen.insert(out);
        }
        let mut possible = std::collections::BTreeSet::new();
        for (down, right) in (-1_i32..=1).flat_map(|down| (-1_i32..=1).map(move |right| (down, right))) {
            let window = (0..9).map(|at| (at / 3 + down, at % 3 + right));
            let inside = |(y, x)| (0..3).contains(&y) && (0..3).contains(&x);
            possible
                .insert(window.map(|at| if inside(at) { (at.0 * 3 + at.1 + 1) as u8 } else { 0 }).collect());
        }
        assert_eq!(possible.len(), 9);
        assert_eq!(seen, possible);
    }

    #[test]
    fn a_random_part_is_scaled_as_the_set_is() {
        let shape = ImageShape { h: 8, w: 8, c: 1 };
        let split =
            Split { shape, images: (0..64_u32).map(|at| (at * at % 251) as u8).collect(), labels: vec![0] };
        let steps = ["random-resized-crop 0.1 0.3".parse().unwrap()];
        let of = |filter| {
            let set = Selection::from(split.clone()).scaled_by(filter);
            PixelBatch::augmented(&set.part(&[0]), &[0], &steps, |_| 3).pixels
        };
        let whole = split.images.clone();
        for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic] {
            let [rows, columns] = crop([8, 8], [0.1, 0.3], [8, 8], &mut stream(3));
            let mut expected = vec![0; 64];
            resample::<1>(&whole, rows, columns, filter, &mut expected);
            assert_eq!(of(filter), expected, "{filter:?}");
        }
        assert!(of(Filter::Bicubic) != of(Filter::Bilinear));
    }

    #[test]
    fn a_cutout_is_a_black_square_around_a_drawn_centre() {
        let shape = ImageShape { h: 6, w: 7, c: 1 };
        for seed in 0..50 {
            let mut image = vec![9; shape.len()];
            augment_image(
                &["cutout 4".parse().unwrap()],
                seed,
                shape,
                Filter::default(),
                &mut image,
                &mut Vec::new(),
            );
            let black: Vec<usize> = (0..42).filter(|&at| image[at] == 0).collect();
            let (rows, columns) = (
                black[black.len() - 1] / 7 - black[0] / 7 + 1,
                black.iter().map(|at| at % 7).max().unwrap() - black.iter().map(|at| at % 7).min().unwrap()
                    + 1,
            );
            assert_eq!(rows * columns, black.len());
            assert!((2..=4).contains(&rows) && (2..=4).contains(&columns), "{rows} {columns}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_random_part_lies_in_the_image(
            h in 1_usize..400, w in 1_usize..400, seed: u64, least in 0.01..1.0_f64,
        ) {
            for axis in crop([h, w], [least, 1.0], [8, 8], &mut stream(seed)) {
                prop_assert!(axis.from >= 0.0 && axis.len >= 1.0);
                prop_assert!(axis.from + axis.len <= axis.source as f64);
            }
        }

        #[test]
        fn every_step_works_on_every_shape(h in 1_usize..9, w in 1_usize..9, c in 1_usize..5, seed: u64) {
            let shape = ImageShape { h, w, c };
            let steps = ["random-resized-crop", "flip", "jitter 1 1 1 0.5", "cutout 3", "rand-augment 3 30"]
                .map(|step| step.parse().unwrap());
            let of = || {
                let mut image = vec![77; shape.len()];
                augment_image(&steps, seed, shape, Filter::default(), &mut image, &mut Vec::new());
                image
            };
            prop_assert_eq!(of(), of());
        }
    }
}
