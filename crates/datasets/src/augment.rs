//! Random changes to one training image.
//!
//! What happens to an image is a pure function of its seed: neither the batch it
//! is in, nor the images before it, nor the thread that does the work matters.

use std::fmt;
use std::num::NonZero;
use std::ops::Range;
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

/// Which pixel of an image every pixel of its augmented form shows: all the
/// changes at once, so that none of them moves a byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    /// Rows and columns that show a pixel; the others are black.
    pub(crate) rows: Range<isize>,
    pub(crate) columns: Range<isize>,
    /// Row r shows row r + down.
    down: isize,
    /// Column x shows column origin + x, or origin - x of a mirrored image.
    origin: isize,
    pub(crate) is_mirrored: bool,
    shape: ImageShape,
}

impl View {
    /// An image as it is.
    pub(crate) fn whole(shape: ImageShape) -> Self {
        let (rows, columns) = (0..shape.h as isize, 0..shape.w as isize);
        Self { rows, columns, down: 0, origin: 0, is_mirrored: false, shape }
    }

    /// What `augment`, applied in order, makes of an image. The draws come from the
    /// stream of `seed`: two for a crop (row, then column), one for a flip.
    pub(crate) fn new(augment: &[Augment], seed: u64, shape: ImageShape) -> Self {
        let mut view = Self::whole(shape);
        if augment.is_empty() {
            return view;
        }
        let mut rng = stream(seed);
        for step in augment {
            match *step {
                Augment::PadCrop { pixels } => {
                    let pixels = u32::from(pixels.get());
                    let mut offset = || uniform_below(&mut rng, 2 * pixels + 1) as isize - pixels as isize;
                    let (down, right) = (offset(), offset());
                    view.shift(down, right);
                }
                Augment::Flip => {
                    if rng.next_u32() & 1 == 1 {
                        view.flip();
                    }
                }
            }
        }
        view
    }

    /// The window that begins `down` rows and `right` columns from the corner
    /// (negative: above, to the left), black outside.
    fn shift(&mut self, down: isize, right: isize) {
        let moved = |range: &Range<isize>, by: isize, extent: usize| {
            let start = (range.start - by).max(0);
            start..(range.end - by).min(extent as isize).max(start)
        };
        self.rows = moved(&self.rows, down, self.shape.h);
        self.columns = moved(&self.columns, right, self.shape.w);
        self.down += down;
        self.origin += if self.is_mirrored { -right } else { right };
    }

    /// Exchanges left and right. Twice is nothing.
    fn flip(&mut self) {
        let width = self.shape.w as isize;
        self.columns = width - self.columns.end..width - self.columns.start;
        self.origin += if self.is_mirrored { 1 - width } else { width - 1 };
        self.is_mirrored = !self.is_mirrored;
    }

    /// The row that row `row` shows, where it shows one.
    pub(crate) fn row(&self, row: usize) -> Option<usize> {
        let row = row as isize;
        self.rows.contains(&row).then(|| (row + self.down) as usize)
    }

    /// The leftmost of the columns that [`Self::columns`] show.
    pub(crate) fn first_column(&self) -> usize {
        let first = if self.is_mirrored {
            self.origin - (self.columns.end - 1)
        } else {
            self.origin + self.columns.start
        };
        if self.columns.is_empty() { 0 } else { first as usize }
    }

    /// The bytes of the augmented form of one (h, w, c) image.
    pub(crate) fn of(&self, image: &[u8]) -> Vec<u8> {
        let ImageShape { h, w, c } = self.shape;
        let mut out = vec![0; image.len()];
        for row in 0..h {
            let Some(from) = self.row(row) else { continue };
            for (index, column) in self.columns.clone().enumerate() {
                let index = if self.is_mirrored { self.columns.len() - 1 - index } else { index };
                let (to, from) = (row * w + column as usize, from * w + self.first_column() + index);
                out[to * c..][..c].copy_from_slice(&image[from * c..][..c]);
            }
        }
        out
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

    fn flipped(shape: ImageShape, image: &[u8]) -> Vec<u8> {
        let mut view = View::whole(shape);
        view.flip();
        view.of(image)
    }

    fn shifted(shape: ImageShape, image: &[u8], down: isize, right: isize) -> Vec<u8> {
        let mut view = View::whole(shape);
        view.shift(down, right);
        view.of(image)
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
        let image = flipped(shape, &numbered(shape));
        assert_eq!(image, [5, 6, 3, 4, 1, 2, 11, 12, 9, 10, 7, 8]);
        assert_eq!(flipped(shape, &image), numbered(shape));
    }

    #[test]
    fn half_of_the_images_are_flipped() {
        let shape = ImageShape { h: 1, w: 2, c: 1 };
        let flipped =
            (0..10_000).filter(|&seed| View::new(&[Augment::Flip], seed, shape).of(&[1, 2]) == [2, 1]);
        // Five standard deviations are 250.
        assert!(flipped.count().abs_diff(5_000) < 250);
    }

    #[test]
    fn every_crop_occurs_and_no_other() {
        let shape = ImageShape { h: 3, w: 3, c: 1 };
        let image = numbered(shape);
        let mut found = std::collections::BTreeSet::new();
        for seed in 0..1_000 {
            found.insert(View::new(&[pad_crop(1)], seed, shape).of(&image));
        }
        let mut possible = std::collections::BTreeSet::new();
        for (down, right) in (-1..=1).flat_map(|down| (-1..=1).map(move |right| (down, right))) {
            possible.insert(shifted(shape, &image, down, right));
        }
        assert_eq!(possible.len(), 9);
        assert_eq!(found, possible);
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
            let out = shifted(shape, &image, down, right);
            for row in 0..h as isize {
                for column in 0..w as isize {
                    let expected = pixel(shape, &image, row + down, column + right);
                    prop_assert_eq!(pixel(shape, &out, row, column), expected);
                }
            }
        }

        /// A view of several changes shows what one change after the other makes.
        #[test]
        fn changes_follow_each_other(
            h in 1_usize..6, w in 1_usize..6,
            changes in prop::collection::vec(prop::option::of((-4_isize..5, -4_isize..5)), 0..5),
        ) {
            let shape = ImageShape { h, w, c: 1 };
            let mut image = numbered(shape);
            let mut view = View::whole(shape);
            for change in changes {
                match change {
                    Some((down, right)) => {
                        image = shifted(shape, &image, down, right);
                        view.shift(down, right);
                    }
                    None => {
                        image = flipped(shape, &image);
                        view.flip();
                    }
                }
            }
            prop_assert_eq!(view.of(&numbered(shape)), image);
        }
    }
}
