//! Preprocesses a file for a network that was trained on a data set.

use std::path::Path;

use crate::image_folder::ImageFolder;
use crate::{DataSpec, Looking, Reading, Skipped, Source, photograph};

impl DataSpec {
    /// A stand-in for the data set of a network of which only rows, columns, channels and the
    /// number of `classes` are known.
    pub fn of_images([h, w, channels]: [usize; 3], classes: usize) -> Self {
        let folder = ImageFolder {
            folder: "unknown".into(),
            classes,
            class_list: None,
            test_share: 0.5,
            stream: false,
            reading: Reading { channels, ..Reading::of_size([h, w]) },
        };
        Self { source: Source::ImageFolder(folder), ..Self::default() }
    }

    /// How files become images of the set: like the photographs of a set, or otherwise scaled
    /// until they cover an image, centre-cropped, and converted to grey if the images are grey.
    pub fn reading(&self) -> Reading {
        match &self.source {
            Source::ImageFolder(folder) => folder.reading.clone(),
            Source::Shards(shards) => shards.reading.clone(),
            Source::Manifest(table) => table.reading.clone(),
            _ => {
                let shape = self.shape();
                Reading { channels: shape.c, ..Reading::of_size([shape.h, shape.w]) }
            }
        }
    }

    /// The (h, w, c) bytes of the file at `path` as an image of the set, and whether it has an
    /// EXIF orientation.
    ///
    /// # Errors
    /// [`Skipped`] when it cannot be read or is no sound image.
    pub fn see(&self, path: &Path, looking: Looking) -> Result<(Vec<u8>, bool), Skipped> {
        let reading = Reading { looking, ..self.reading() };
        let bytes = photograph::read(path, looking).map_err(|why| Skipped::new(path, why))?;
        reading.framed(&bytes).map_err(|reason| Skipped::new(path, reason))
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
        let wide = RgbImage::from_fn(112, 56, |x, _| Rgb([if (20..92).contains(&x) { 255 } else { 0 }; 3]));
        wide.save(&path).unwrap();
        let grey = DataSpec::default();
        let (image, has_orientation) = grey.see(&path, Looking::default()).unwrap();
        assert_eq!((image, has_orientation), (vec![255; 28 * 28], false));
        assert!(grey.see(&folder.path().join("nothing.png"), Looking::default()).is_err());
    }
}
