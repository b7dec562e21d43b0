//! Brings a photograph of any size to the size of the set.

use serde::{Deserialize, Serialize};

use crate::Photograph;
use crate::resize::{Filter, Side, resample};

/// How an image is brought to another aspect ratio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// It is scaled until it covers the target size and centre-cropped, as in torchvision and
    /// timm.
    #[default]
    Cover,
    /// Each side is scaled on its own, as in Keras.
    Stretch,
}

/// How a photograph is scaled and cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Framing {
    /// Rows and columns of the result.
    pub(crate) size: [usize; 2],
    /// Rows and columns that are covered before `size` is cut out of the middle.
    pub(crate) cover: [usize; 2],
    pub(crate) fit: Fit,
    pub(crate) filter: Filter,
}

impl Framing {
    /// The (h, w, c) bytes of the result.
    pub(crate) fn frame(&self, photograph: &Photograph) -> Vec<u8> {
        let [h, w] = photograph.size();
        let [rows, columns] = self.size;
        let [scaled_h, scaled_w] = self.scaled([h, w]);
        if [h, w] == self.size && [scaled_h, scaled_w] == self.size {
            return photograph.pixels().0.to_vec();
        }
        let down = Side::whole(h, scaled_h, middle(scaled_h, rows), rows);
        let across = Side::whole(w, scaled_w, middle(scaled_w, columns), columns);
        let mut out = vec![0; rows * columns * photograph.pixels().1];
        part(photograph, down, across, self.filter, &mut out);
        out
    }

    /// How many pixels per side of a photograph of this size become one, on the side where
    /// there are fewer.
    pub(crate) fn shrink(&self, [h, w]: [usize; 2]) -> f64 {
        let [rows, columns] = self.scaled([h, w]);
        (h as f64 / rows as f64).min(w as f64 / columns as f64)
    }

    /// The size that a photograph is scaled to.
    fn scaled(&self, [h, w]: [usize; 2]) -> [usize; 2] {
        let [rows, columns] = self.cover;
        match self.fit {
            Fit::Stretch => self.cover,
            // The side that needs the larger scale meets its extent; the other, rounded down as
            // in torchvision, still covers its own.
            Fit::Cover if rows * w >= columns * h => [rows, w * rows / h],
            Fit::Cover => [h * columns / w, columns],
        }
    }
}

impl Photograph {
    /// The photograph scaled so that its shorter side has `shorter` pixels, by a
    /// bicubic filter that averages where it shrinks, and `size` rows and columns
    /// cut out of the middle, as (h, w, c): what torchvision's `Resize` and
    /// `CenterCrop` make of it, to the bit. Where the scaled photograph is smaller
    /// than that, it is scaled until it covers them.
    pub fn central_crop(&self, shorter: usize, size: [usize; 2]) -> Vec<u8> {
        let cover = size.map(|extent| extent.max(shorter));
        Framing { size, cover, fit: Fit::Cover, filter: Filter::Bicubic }.frame(self)
    }
}

/// Writes a part of a photograph, scaled, to `out`, (h, w, c) bytes. The axes are those of the file.
pub(crate) fn part(photograph: &Photograph, rows: Side, columns: Side, filter: Filter, out: &mut [u8]) {
    let by = photograph.reduction();
    let (rows, columns) = (rows.reduced(by), columns.reduced(by));
    match photograph.pixels() {
        (bytes, 1) => resample::<1>(bytes, rows, columns, filter, out),
        (bytes, _) => resample::<3>(bytes, rows, columns, filter, out),
    }
}

/// The first of the middle `window` of `extent` pixels. Halves are rounded to even, like
/// Python's `round`, which torchvision uses.
fn middle(extent: usize, window: usize) -> usize {
    let surplus = extent - window;
    let half = surplus / 2;
    if surplus % 2 == 1 && half % 2 == 1 { half + 1 } else { half }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_to_the_even_number() {
        let middles: Vec<usize> = (0..8).map(|surplus| middle(10 + surplus, 10)).collect();
        assert_eq!(middles, [0, 0, 1, 2, 2, 2, 3, 4]);
    }

    #[test]
    fn the_shorter_side_is_met_and_the_longer_rounded_down() {
        let framing = |fit| Framing { size: [224; 2], cover: [256; 2], fit, filter: Filter::Bicubic };
        let scaled = |size| framing(Fit::Cover).scaled(size);
        assert_eq!(scaled([375, 500]), [256, 341]);
        assert_eq!(scaled([500, 375]), [341, 256]);
        assert_eq!(scaled([1, 16_000]), [256, 4_096_000]);
        assert_eq!(framing(Fit::Stretch).scaled([375, 500]), [256; 2]);
    }
}
