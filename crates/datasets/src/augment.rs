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

use crate::ImageShape;
use crate::seeds::{stream, uniform_below};

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
}

/// A string that names no augmentation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown augmentation `{text}`; known are `pad-crop PIXELS` (1 to 255) and `flip`")]
pub struct ParseAugmentError {
    /// What was written.
    pub text: String,
}

impl FromStr for Augment {
    type Err = ParseAugmentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || ParseAugmentError { text: text.to_owned() };
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        match words[..] {
            ["flip"] => Ok(Self::Flip),
            ["pad-crop", pixels] => match pixels.parse() {
                Ok(pixels) => Ok(Self::PadCrop { pixels }),
                Err(_) => Err(unknown()),
            },
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Augment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PadCrop { pixels } => write!(f, "pad-crop {pixels}"),
            Self::Flip => f.write_str("flip"),
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
/// from the stream of `seed`: two for a crop (row, then column), one for a flip.
/// `scratch` is overwritten and is as long as the image.
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
        match *step {
            Augment::PadCrop { pixels } => {
                let pixels = u32::from(pixels.get());
                let mut offset = || uniform_below(&mut rng, 2 * pixels + 1) as isize - pixels as isize;
                let (down, right) = (offset(), offset());
                scratch.copy_from_slice(image);
                shift(shape, scratch, image, down, right);
            }
            Augment::Flip => {
                if rng.next_u32() & 1 == 1 {
                    flip(shape, image);
                }
            }
        }
    }
}

/// Writes to `out` the window of `image` that begins `down` rows and `right`
/// columns from its corner (negative: above, to the left), black outside of it.
fn shift(shape: ImageShape, image: &[u8], out: &mut [u8], down: isize, right: isize) {
    let (rows, columns) = (shape.h as isize, shape.w as isize);
    let row_len = shape.w * shape.c;
    // The columns of the window that lie in the image.
    let first = (-right).clamp(0, columns);
    let last = (columns - right).clamp(first, columns);
    let inside = first as usize * shape.c..last as usize * shape.c;
    let source = ((first + right).clamp(0, columns)) as usize * shape.c;
    out.fill(0);
    for (row, out) in out.chunks_exact_mut(row_len).enumerate() {
        let from = row as isize + down;
        if (0..rows).contains(&from) {
            let begin = from as usize * row_len + source;
            out[inside.clone()].copy_from_slice(&image[begin..begin + inside.len()]);
        }
    }
}

/// Exchanges left and right. Twice is nothing.
fn flip(shape: ImageShape, image: &mut [u8]) {
    for row in image.chunks_exact_mut(shape.w * shape.c) {
        for left in 0..shape.w / 2 {
            let right = shape.w - 1 - left;
            for channel in 0..shape.c {
                row.swap(left * shape.c + channel, right * shape.c + channel);
            }
        }
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

    fn pixel(shape: ImageShape, image: &[u8], row: isize, column: isize) -> &[u8] {
        static BLACK: [u8; 3] = [0; 3];
        if (0..shape.h as isize).contains(&row) && (0..shape.w as isize).contains(&column) {
            let begin = (row as usize * shape.w + column as usize) * shape.c;
            &image[begin..begin + shape.c]
        } else {
            &BLACK[..shape.c]
        }
    }

    #[test]
    fn strings_are_read_and_written() {
        for (text, augment) in [("flip", Augment::Flip), ("pad-crop 4", pad_crop(4))] {
            assert_eq!(text.parse(), Ok(augment));
            assert_eq!(augment.to_string(), text);
        }
        assert_eq!("  pad-crop   4 ".parse(), Ok(pad_crop(4)));
        for text in
            ["", "Flip", "flip 1", "pad-crop", "pad-crop 0", "pad-crop -1", "pad-crop 256", "pad-crop 1 2"]
        {
            assert_eq!(text.parse::<Augment>(), Err(ParseAugmentError { text: text.to_owned() }));
        }
    }

    #[test]
    fn flip_mirrors_each_row_and_twice_is_nothing() {
        let shape = ImageShape { h: 2, w: 3, c: 2 };
        let mut image = numbered(shape);
        flip(shape, &mut image);
        assert_eq!(image, [5, 6, 3, 4, 1, 2, 11, 12, 9, 10, 7, 8]);
        flip(shape, &mut image);
        assert_eq!(image, numbered(shape));
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
        for (down, right) in (-1..=1).flat_map(|down| (-1..=1).map(move |right| (down, right))) {
            let mut out = vec![0; 9];
            shift(shape, &image, &mut out, down, right);
            possible.insert(out);
        }
        assert_eq!(possible.len(), 9);
        assert_eq!(seen, possible);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Also windows that miss the image altogether.
        #[test]
        fn a_window_shows_the_image_and_black_around_it(
            h in 1_usize..6, w in 1_usize..6, c in 1_usize..4, down in -8_isize..8, right in -8_isize..8,
        ) {
            let shape = ImageShape { h, w, c };
            let image = numbered(shape);
            let mut out = vec![99; shape.len()];
            shift(shape, &image, &mut out, down, right);
            for row in 0..h as isize {
                for column in 0..w as isize {
                    let expected = pixel(shape, &image, row + down, column + right);
                    prop_assert_eq!(pixel(shape, &out, row, column), expected);
                }
            }
        }
    }
}
