//! A file as a network sees it that was trained on a data set.

use std::path::Path;

use image::imageops::FilterType;

use crate::image_folder::{Corrupt, ImageFolder};
use crate::{DataSpec, Skipped, Source, photograph};

impl DataSpec {
    /// Images of `size` rows, columns and channels in so many `classes`, of which
    /// nothing else is known: for a network without its data set.
    pub fn of_images([h, w, channels]: [usize; 3], classes: usize) -> Self {
        let folder = ImageFolder {
            folder: "unknown".into(),
            classes,
            size: [h, w],
            channels,
            test_share: 0.5,
            corrupt: Corrupt::Refuse,
        };
        Self { source: Source::ImageFolder(folder), ..Self::default() }
    }

    /// The (h, w, c) bytes of the JPEG or PNG file at `path`, brought to the shape
    /// of the set's images as a folder of images is: scaled until it covers them,
    /// what stands over cut off evenly, and made grey where they are.
    ///
    /// # Errors
    /// [`Skipped`] when it cannot be read or is no sound image.
    pub fn see(&self, path: &Path) -> Result<Vec<u8>, Skipped> {
        let mut image = photograph::decode(path)?;
        let shape = self.shape();
        let (rows, columns) = (shape.h as u32, shape.w as u32);
        if (image.height(), image.width()) != (rows, columns) {
            image = image.resize_to_fill(columns, rows, FilterType::Triangle);
        }
        Ok(if shape.c == 1 { image.into_luma8().into_raw() } else { image.into_rgb8().into_raw() })
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    #[test]
    fn a_photograph_becomes_an_image_of_the_set() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wide.png");
        // Twice as wide as high: the middle is white, both sides are black.
        let wide = RgbImage::from_fn(112, 56, |x, _| Rgb([if (28..84).contains(&x) { 255 } else { 0 }; 3]));
        wide.save(&path).unwrap();
        let grey = DataSpec::default();
        let seen = grey.see(&path).unwrap();
        assert_eq!(seen.len(), 28 * 28);
        // The first and last column may see a little of what was cut off.
        assert!(seen.chunks_exact(28).all(|row| row[1..27] == [255; 26]), "{seen:?}");
        assert!(grey.see(&folder.path().join("nothing.png")).is_err());
    }
}
