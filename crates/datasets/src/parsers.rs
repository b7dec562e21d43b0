//! Each parser as a function of bytes, for tests with mutated files and for the targets in
//! `fuzz/`: whatever the bytes, the result is a value or an error.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::content::NamedInput;
use crate::labels::Labelling;
use crate::manifest::{self, Columns, Manifest};
use crate::{Classes, Corrupt, DataError, Looking, Photograph, Reading, cifar, idx, shard};

/// Few pixels, so that changed headers cannot make a test slow.
const LOOKING: Looking = Looking { orientation: true, most_pixels: 1 << 16 };

/// A file of a photograph: its rows and columns.
///
/// # Errors
/// What is wrong with it.
pub fn photograph(bytes: &[u8]) -> Result<[usize; 2], String> {
    Photograph::decode(bytes, 3, LOOKING).map(|photograph| photograph.size())
}

/// A file of a photograph, decoded at a quarter of its size if it is JPEG: its rows and columns.
///
/// # Errors
/// What is wrong with it.
pub fn reduced_photograph(bytes: &[u8]) -> Result<[usize; 2], String> {
    let reading = Reading { looking: LOOKING, reduced: true, ..Reading::of_size([4, 4]) };
    reading.photograph(bytes, |_| 8.0).map(|photograph| photograph.size())
}

/// A shard of ten classes, with any number of labels: its samples.
///
/// # Errors
/// What is wrong with it.
pub fn shard(bytes: &[u8]) -> Result<usize, DataError> {
    let (mut samples, labelling) = (0, Labelling::new(10, true, &[]));
    shard::read_from(Path::new("shard.tar"), bytes, &labelling, LOOKING, &mut |_| {
        samples += 1;
        true
    })?;
    Ok(samples)
}

/// A file of IDX images of 4x4, packed or not, with ten labels: the images.
///
/// # Errors
/// What is wrong with it.
pub fn idx(images: &[u8], labels: &[u8]) -> Result<usize, DataError> {
    let source = |name: &str, input| NamedInput { file: PathBuf::from(name), input };
    let layout = idx::IdxLayout { rows: 4, columns: 4, classes: 10, most_items: 100 };
    Ok(idx::read_split(source("images", images), source("labels", labels), &layout)?.len())
}

/// A file of two records of CIFAR-10, packed or not: the images.
///
/// # Errors
/// What is wrong with it.
pub fn cifar(bytes: &[u8]) -> Result<usize, DataError> {
    cifar::read_records(bytes, 2)
}

/// The labels of an image as JSON or, if it is none, as text.
///
/// # Errors
/// What is wrong with them.
pub fn labels(bytes: &[u8]) -> Result<Vec<u16>, String> {
    let labelling = Labelling::new(10, true, &["a".to_owned(), "b c".to_owned()]);
    labelling.of_json(bytes).or_else(|_| labelling.of_text(&String::from_utf8_lossy(bytes)))
}

/// A manifest with the extension `kind` and ten classes, whose files do not exist, so that it is
/// always too small for a set.
///
/// # Errors
/// What is wrong with it.
pub fn manifest(bytes: &[u8], kind: &str) -> Result<(), DataError> {
    let file = PathBuf::from("no-such-folder/table").with_extension(kind);
    let reading = Reading { corrupt: Corrupt::Skip, ..Reading::of_size([4, 4]) };
    let spec = Manifest {
        file: file.clone(),
        columns: Columns::default(),
        classes: Classes { count: 10, multi_label: true, ..Classes::default() },
        test_share: 0.5,
        reading,
    };
    let input = Bytes::copy_from_slice(bytes);
    manifest::read_from(&spec, &file, Labelling::new(10, true, &[]), Vec::new(), input).map(drop)
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Rgb, RgbImage};
    use proptest::prelude::*;

    use super::*;
    use crate::test_files::{changed, changes, encoded, gzip};

    fn picture(format: ImageFormat) -> Vec<u8> {
        let image = RgbImage::from_fn(17, 11, |x, y| Rgb([(x * 15) as u8, (y * 23) as u8, (x * y) as u8]));
        encoded(image, format)
    }

    fn idx_files() -> [Vec<u8>; 2] {
        let images = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 4][..], &[7; 32]].concat();
        [images, vec![0, 0, 8, 1, 0, 0, 0, 2, 3, 9]]
    }

    fn records() -> Vec<u8> {
        [&[3][..], &[1; 3072], &[9], &[2; 3072]].concat()
    }

    #[test]
    fn unchanged_files_are_read() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
            assert_eq!(photograph(&picture(format)), Ok([11, 17]));
            assert_eq!(reduced_photograph(&picture(format)), Ok([11, 17]));
        }
        let [images, of_images] = idx_files();
        assert_eq!(idx(&images, &gzip(&of_images)).unwrap(), 2);
        assert_eq!(cifar(&records()).unwrap(), 2);
        assert_eq!(labels(b"[1, 2]"), Ok(vec![1, 2]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn a_changed_photograph_is_read_or_refused(kind in 0_usize..3, changes in changes()) {
            let format = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP][kind];
            if let Ok([h, w]) = photograph(&changed(picture(format), changes)) {
                prop_assert!(h * w <= 1 << 16);
            }
        }

        #[test]
        fn a_changed_photograph_is_reduced_or_refused(changes in changes()) {
            if let Ok([h, w]) = reduced_photograph(&changed(picture(ImageFormat::Jpeg), changes)) {
                prop_assert!(h * w <= 1 << 16);
            }
        }

        #[test]
        fn changed_idx_files_are_read_or_refused(
            of_images in changes(), of_labels in changes(), is_packed: bool,
        ) {
            let [images, labels] = idx_files();
            let images = if is_packed { gzip(&images) } else { images };
            if let Ok(count) = idx(&changed(images, of_images), &changed(labels, of_labels)) {
                prop_assert!(count <= 100);
            }
        }

        #[test]
        fn changed_records_are_read_or_refused(changes in changes(), is_packed: bool) {
            let records = if is_packed { gzip(&records()) } else { records() };
            if let Ok(count) = cifar(&changed(records, changes)) {
                prop_assert_eq!(count, 2);
            }
        }

        #[test]
        fn changed_labels_are_read_or_refused(changes in changes()) {
            if let Ok(labels) = labels(&changed(b"{\"labels\": [1, \"b c\", \"a\", 7]}".to_vec(), changes)) {
                prop_assert!(labels.iter().all(|&label| label < 10));
            }
        }
    }
}
