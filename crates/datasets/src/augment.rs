//! Random changes to one training image.
//!
//! What happens to an image is a pure function of its seed: neither the batch it
//! is in, nor the images before it, nor the thread that does the work matters.

use std::fmt;
use std::num::NonZero;
use std::str::FromStr;

use rand_chacha::rand_core::Rng;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::framing::part;
use crate::rand_augment::rand_augment;
use crate::random_numbers::{below, between};
use crate::resample::{Axis, Filter, resample};
use crate::seeds::stream;
use crate::view::View;
use crate::{ImageShape, Reading, colour};

/// One random change, written in files as a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Augment {
    /// `pad-crop PIXELS`: pads every side with `pixels` rows and columns of black
    /// (byte 0, before normalisation, as torchvision's `RandomCrop` does) and cuts
    /// a window of the original size out at a place drawn uniformly. He et al.,
    /// arXiv:1512.03385, section 4.2, use 4 pixels for 32x32 images.
    PadCrop {
        /// Rows and columns added on each side; less than the image's own, which
        /// [`load`](crate::load) checks.
        pixels: NonZero<u8>,
    },
    /// `flip`: exchanges left and right with probability 1/2.
    Flip,
    /// `random-resized-crop LEAST MOST`: cuts a part out whose area is drawn between
    /// these shares of the image's (0.08 and 1 if left out) and whose ratio between
    /// 3/4 and 4/3, and scales it to the size of the set (Szegedy et al.,
    /// arXiv:1409.4842, as torchvision draws it). It comes first.
    RandomResizedCrop {
        /// Least share of the area.
        least: Thousandths,
        /// Largest.
        most: Thousandths,
    },
    /// `jitter BRIGHTNESS CONTRAST SATURATION HUE`: changes each by up to so much, as
    /// torchvision's `ColorJitter`.
    Jitter {
        /// Brightness, contrast, saturation, hue.
        by: [Thousandths; 4],
    },
    /// `cutout PIXELS`: blackens a square of this side, its centre drawn uniformly
    /// (`DeVries` and Taylor, arXiv:1708.04552).
    Cutout {
        /// Its side.
        pixels: NonZero<u8>,
    },
    /// `rand-augment OPERATIONS MAGNITUDE`: see Cubuk et al., arXiv:1909.13719.
    RandAugment {
        /// How many operations.
        operations: u8,
        /// How strong, from 0 to 30.
        magnitude: u8,
    },
    /// `mixup ALPHA`: mixes the image with the next of its batch, its own share drawn
    /// from Beta(ALPHA, ALPHA) (Zhang et al., arXiv:1710.09412).
    Mixup {
        /// Both parameters of Beta.
        alpha: Thousandths,
    },
    /// `cutmix ALPHA`: puts a window of the next image of the batch into the image
    /// (Yun et al., arXiv:1905.04899).
    CutMix {
        /// Both parameters of Beta.
        alpha: Thousandths,
    },
}

/// A number in steps of a thousandth, so that it is equal to itself in every file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thousandths(u32);

impl Thousandths {
    /// The number.
    pub fn value(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// The number if it is one from 0 to 100 with at most three decimals.
    fn parse(text: &str) -> Option<Self> {
        let scaled = text.parse::<f64>().ok()? * 1000.0;
        let rounded = scaled.round();
        ((0.0..=100_000.0).contains(&rounded) && (scaled - rounded).abs() < 1e-6)
            .then_some(Self(rounded as u32))
    }
}

impl fmt::Display for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value())
    }
}

impl Augment {
    /// Whether it mixes images of a batch, so that they have two labels.
    pub const fn is_mixing(&self) -> bool {
        matches!(self, Self::Mixup { .. } | Self::CutMix { .. })
    }

    /// Whether it only moves pixels, so that no byte has to be copied for it.
    pub(crate) const fn is_move(&self) -> bool {
        matches!(self, Self::PadCrop { .. } | Self::Flip)
    }
}

/// A string that names no augmentation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown augmentation `{text}`; known are `pad-crop PIXELS` (1 to 255), `flip`, `random-resized-crop \
     [LEAST MOST]` (shares from 0.001 to 1), `jitter BRIGHTNESS CONTRAST SATURATION HUE` (0 to 1, hue to 0.5), \
     `cutout PIXELS` (1 to 255), `rand-augment OPERATIONS MAGNITUDE` (1 to 16, 0 to 30), `mixup ALPHA` and \
     `cutmix ALPHA` (0.001 to 100); three decimals at most"
)]
pub struct ParseAugmentError {
    /// What was written.
    pub text: String,
}

impl FromStr for Augment {
    type Err = ParseAugmentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        parsed(&words).ok_or_else(|| ParseAugmentError { text: text.to_owned() })
    }
}

fn parsed(words: &[&str]) -> Option<Augment> {
    let number = |text: &str, least: u32, most: u32| {
        Thousandths::parse(text).filter(|number| (least..=most).contains(&number.0))
    };
    Some(match *words {
        ["flip"] => Augment::Flip,
        ["pad-crop", pixels] => Augment::PadCrop { pixels: pixels.parse().ok()? },
        ["random-resized-crop"] => {
            Augment::RandomResizedCrop { least: Thousandths(80), most: Thousandths(1000) }
        }
        ["random-resized-crop", least, most] => {
            let (least, most) = (number(least, 1, 1000)?, number(most, 1, 1000)?);
            (least <= most).then_some(Augment::RandomResizedCrop { least, most })?
        }
        ["jitter", brightness, contrast, saturation, hue] => {
            let share = |text| number(text, 0, 1000);
            let by = [share(brightness)?, share(contrast)?, share(saturation)?, number(hue, 0, 500)?];
            Augment::Jitter { by }
        }
        ["cutout", pixels] => Augment::Cutout { pixels: pixels.parse().ok()? },
        ["rand-augment", operations, magnitude] => {
            let (operations, magnitude) = (operations.parse().ok()?, magnitude.parse().ok()?);
            ((1..=16).contains(&operations) && magnitude <= 30)
                .then_some(Augment::RandAugment { operations, magnitude })?
        }
        ["mixup", alpha] => Augment::Mixup { alpha: number(alpha, 1, 100_000)? },
        ["cutmix", alpha] => Augment::CutMix { alpha: number(alpha, 1, 100_000)? },
        _ => return None,
    })
}

impl fmt::Display for Augment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PadCrop { pixels } => write!(f, "pad-crop {pixels}"),
            Self::Flip => f.write_str("flip"),
            Self::RandomResizedCrop { least, most } => write!(f, "random-resized-crop {least} {most}"),
            Self::Jitter { by: [brightness, contrast, saturation, hue] } => {
                write!(f, "jitter {brightness} {contrast} {saturation} {hue}")
            }
            Self::Cutout { pixels } => write!(f, "cutout {pixels}"),
            Self::RandAugment { operations, magnitude } => write!(f, "rand-augment {operations} {magnitude}"),
            Self::Mixup { alpha } => write!(f, "mixup {alpha}"),
            Self::CutMix { alpha } => write!(f, "cutmix {alpha}"),
        }
    }
}

impl Serialize for Augment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Augment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Parsed inside the visitor and not after it (as `serde(try_from)` would):
        // only there does the reader of a file know where it is.
        struct InString;
        impl Visitor<'_> for InString {
            type Value = Augment;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an augmentation such as \"pad-crop 2\" or \"flip\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Augment, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(InString)
    }
}

/// Applies `augment` in order to one (h, w, c) image in place. The draws come
/// from the stream of `seed`: two for a pad-crop (row, then column), one for a flip.
/// Mixing is not done here. `scratch` is overwritten and is as long as the image.
pub(crate) fn augment_image(
    augment: &[Augment],
    seed: u64,
    shape: ImageShape,
    image: &mut [u8],
    scratch: &mut [u8],
) {
    if augment.is_empty() {
        return;
    }
    let mut rng = stream(seed);
    for step in augment {
        if let Augment::RandomResizedCrop { least, most } = *step {
            let size = [shape.h, shape.w];
            let [rows, columns] = crop(size, [least.value(), most.value()], size, &mut rng);
            let cut = match shape.c {
                1 => resample::<1>(image, rows, columns, Filter::Bilinear),
                3 => resample::<3>(image, rows, columns, Filter::Bilinear),
                _ => continue,
            };
            image.copy_from_slice(&cut);
        } else {
            change(*step, &mut rng, shape, image, scratch);
        }
    }
}

/// What training sees of the photograph in the bytes of a file: `framed` as an
/// evaluation does, unless a random part is cut out of it, then augmented.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn augment_photograph(
    augment: &[Augment],
    seed: u64,
    bytes: &[u8],
    reading: &Reading,
) -> Result<Vec<u8>, String> {
    let Some((&Augment::RandomResizedCrop { least, most }, rest)) = augment.split_first() else {
        let (mut image, _) = reading.framed(bytes)?;
        let mut scratch = vec![0; image.len()];
        augment_image(augment, seed, reading.shape(), &mut image, &mut scratch);
        return Ok(image);
    };
    let drawn = |size| {
        let mut rng = stream(seed);
        (crop(size, [least.value(), most.value()], reading.size, &mut rng), rng)
    };
    // The part is drawn from the size alone, so it is known before anything is decoded.
    let photograph = reading.photograph(bytes, |size| {
        let ([rows, columns], _) = drawn(size);
        rows.shrink().min(columns.shrink())
    })?;
    let ([rows, columns], mut rng) = drawn(photograph.size());
    let mut image = part(&photograph, rows, columns, reading.filter);
    let mut scratch = vec![0; image.len()];
    for &step in rest {
        change(step, &mut rng, reading.shape(), &mut image, &mut scratch);
    }
    Ok(image)
}

/// The rows and columns of a random part of an image, scaled to `size`: torchvision's
/// `RandomResizedCrop.get_params`.
fn crop(
    [h, w]: [usize; 2],
    [least, most]: [f64; 2],
    [to_h, to_w]: [usize; 2],
    rng: &mut impl Rng,
) -> [Axis; 2] {
    let area = (h * w) as f64;
    let log_ratio = libm::log(4.0 / 3.0);
    for _ in 0..10 {
        let wanted = area * between(rng, least, most);
        let ratio = libm::exp(between(rng, -log_ratio, log_ratio));
        let columns = libm::rint(libm::sqrt(wanted * ratio)) as usize;
        let rows = libm::rint(libm::sqrt(wanted / ratio)) as usize;
        if (1..=h).contains(&rows) && (1..=w).contains(&columns) {
            let (top, left) = (below(rng, h - rows + 1), below(rng, w - columns + 1));
            return [Axis::part(h, top, rows, to_h), Axis::part(w, left, columns, to_w)];
        }
    }
    // The largest part in the middle whose ratio is allowed.
    let rows = if 3 * h > 4 * w { (4 * w + 1) / 3 } else { h };
    let columns = if 3 * w > 4 * h { (4 * h + 1) / 3 } else { w };
    [Axis::part(h, (h - rows) / 2, rows, to_h), Axis::part(w, (w - columns) / 2, columns, to_w)]
}

/// One step that leaves the size as it is.
fn change(step: Augment, rng: &mut impl Rng, shape: ImageShape, image: &mut [u8], scratch: &mut [u8]) {
    match step {
        Augment::PadCrop { .. } | Augment::Flip => {
            let mut view = View::whole(shape);
            view.follow(step, rng);
            scratch.copy_from_slice(image);
            view.show(scratch, image);
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
    use proptest::prelude::*;

    use super::*;

    /// An image in which every byte is different and none is black.
    fn numbered(shape: ImageShape) -> Vec<u8> {
        (1..=shape.len() as u8).collect()
    }

    fn pad_crop(pixels: u8) -> Augment {
        Augment::PadCrop { pixels: NonZero::new(pixels).unwrap() }
    }

    #[test]
    fn strings_are_read_and_written() {
        for (text, augment) in [("flip", Augment::Flip), ("pad-crop 4", pad_crop(4))] {
            assert_eq!(text.parse(), Ok(augment));
            assert_eq!(augment.to_string(), text);
        }
        for text in [
            "random-resized-crop 0.08 1",
            "jitter 0.4 0.4 0.4 0.1",
            "cutout 16",
            "rand-augment 2 9",
            "mixup 0.2",
            "cutmix 1",
        ] {
            assert_eq!(text.parse::<Augment>().unwrap().to_string(), text);
        }
        assert_eq!("random-resized-crop".parse::<Augment>(), "random-resized-crop 0.08 1.0".parse());
        for text in [
            "mixup 0",
            "mixup",
            "cutmix x",
            "jitter 1 1 1 0.6",
            "rand-augment 0 9",
            "rand-augment 2 31",
            "random-resized-crop 0.5 0.4",
            "random-resized-crop 0 1",
            "mixup 0.0001",
            "mixup nan",
            "cutout 0",
        ] {
            assert!(text.parse::<Augment>().is_err(), "{text}");
        }
        assert_eq!("  pad-crop   4 ".parse(), Ok(pad_crop(4)));
        for text in
            ["", "Flip", "flip 1", "pad-crop", "pad-crop 0", "pad-crop -1", "pad-crop 256", "pad-crop 1 2"]
        {
            assert_eq!(text.parse::<Augment>(), Err(ParseAugmentError { text: text.to_owned() }));
        }
    }

    #[test]
    fn half_of_the_images_are_flipped() {
        let shape = ImageShape { h: 1, w: 2, c: 1 };
        let flipped = (0..10_000).filter(|&seed| {
            let mut image = [1, 2];
            augment_image(&[Augment::Flip], seed, shape, &mut image, &mut [0; 2]);
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
            augment_image(&[pad_crop(1)], seed, shape, &mut out, &mut [0; 9]);
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
    fn a_cutout_is_a_black_square_around_a_drawn_centre() {
        let shape = ImageShape { h: 6, w: 7, c: 1 };
        for seed in 0..50 {
            let mut image = vec![9; shape.len()];
            augment_image(&["cutout 4".parse().unwrap()], seed, shape, &mut image, &mut [0; 42]);
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
                augment_image(&steps, seed, shape, &mut image, &mut vec![0; shape.len()]);
                image
            };
            prop_assert_eq!(of(), of());
        }
    }
}
