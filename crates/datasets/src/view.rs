//! Combines augmentation steps that only move pixels.

use std::ops::Range;

use rand_chacha::rand_core::Rng;

use crate::seeds::{stream, uniform_below};
use crate::{Augment, ImageShape};

/// Which pixel of an image each pixel of its augmented form shows: all steps combined, so that
/// none of them copies the image.
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

    /// The view after `augment`, whose steps satisfy [`Augment::is_move`]. The draws come from
    /// the stream of `seed`.
    pub(crate) fn new(augment: &[Augment], seed: u64, shape: ImageShape) -> Self {
        let mut view = Self::whole(shape);
        if !augment.is_empty() {
            let mut rng = stream(seed);
            augment.iter().for_each(|&step| view.follow(step, &mut rng));
        }
        view
    }

    /// Appends `step`, if it is a move: two draws for a crop (row, then column), one for a
    /// flip.
    pub(crate) fn follow(&mut self, step: Augment, rng: &mut impl Rng) {
        match step {
            Augment::PadCrop { pixels } => {
                let pixels = u32::from(pixels.get());
                let mut offset = || uniform_below(rng, 2 * pixels + 1) as isize - pixels as isize;
                let (down, right) = (offset(), offset());
                self.shift(down, right);
            }
            Augment::Flip if rng.next_u32() & 1 == 1 => self.flip(),
            _ => {}
        }
    }

    /// The window that begins `down` rows and `right` columns from the corner
    /// (negative: above, to the left), black outside.
    fn shift(&mut self, down: isize, right: isize) {
        let moved = |range: &Range<isize>, by: isize, extent: usize| {
            let start = (range.start - by).clamp(0, extent as isize);
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

    /// Writes the augmented form of one (h, w, c) image to `out`.
    pub(crate) fn show(&self, image: &[u8], out: &mut [u8]) {
        let ImageShape { w, c, .. } = self.shape;
        out.fill(0);
        for (row, out) in out.chunks_exact_mut(w * c).enumerate() {
            let Some(from) = self.row(row) else { continue };
            let out = &mut out[self.columns.start as usize * c..self.columns.end as usize * c];
            let begin = (from * w + self.first_column()) * c;
            let source = &image[begin..begin + out.len()];
            if self.is_mirrored {
                let pixels = out.chunks_exact_mut(c).zip(source.chunks_exact(c).rev());
                pixels.for_each(|(out, source)| out.copy_from_slice(source));
            } else {
                out.copy_from_slice(source);
            }
        }
    }
}

/// `image`, copied to `scratch`.
pub(crate) fn copied<'a>(image: &[u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    scratch.clear();
    scratch.extend_from_slice(image);
    scratch
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An image in which every byte is different and none is black.
    fn numbered(shape: ImageShape) -> Vec<u8> {
        (1..=shape.len() as u8).collect()
    }

    fn shown(view: &View, image: &[u8]) -> Vec<u8> {
        let mut out = vec![99; image.len()];
        view.show(image, &mut out);
        out
    }

    fn flipped(shape: ImageShape, image: &[u8]) -> Vec<u8> {
        let mut view = View::whole(shape);
        view.flip();
        shown(&view, image)
    }

    fn shifted(shape: ImageShape, image: &[u8], down: isize, right: isize) -> Vec<u8> {
        let mut view = View::whole(shape);
        view.shift(down, right);
        shown(&view, image)
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
    fn flip_mirrors_each_row_and_twice_is_nothing() {
        let shape = ImageShape { h: 2, w: 3, c: 2 };
        let image = flipped(shape, &numbered(shape));
        assert_eq!(image, [5, 6, 3, 4, 1, 2, 11, 12, 9, 10, 7, 8]);
        assert_eq!(flipped(shape, &image), numbered(shape));
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
            prop_assert_eq!(shown(&view, &numbered(shape)), image);
        }
    }
}
