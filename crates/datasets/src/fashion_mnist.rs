//! Fashion-MNIST: the embedded part, and the full set from a folder.

use std::path::{Path, PathBuf};

use crate::content::{NamedInput, is_in, open};
use crate::idx::{IdxLayout, read_split};
use crate::published::Published;
use crate::{DataError, SetName};

/// The licence of the images.
pub const LICENCE: &str = include_str!("../assets/fashion-mnist/LICENSE");

/// The classes, by label.
pub(crate) const CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

const LAYOUT: IdxLayout = IdxLayout {
    rows: 28,
    columns: 28,
    classes: CLASSES.len(),
    // More than the 60,000 images of the training file, but few enough that no header can
    // request more than 79 MB.
    most_items: 100_000,
};

/// Where Debian's package `dataset-fashion-mnist` puts the full set.
const DEBIAN_FOLDER: &str = "/usr/share/datasets/fashion-mnist";

/// Checksum of the published 60,000 training and 10,000 test images.
const PUBLISHED_CHECKSUM: &str = "3541b2d7c6594e3f3ecb59079e485409b42f20ed2ef5563963f382bbd0ee1842";

/// The two files of a split under their published names, and the embedded part of them: the
/// first 1,000 training or 200 test images of each class, in the order of the published file.
/// `tools/make-fashion-mnist-subset` makes them and, with `--check`, verifies them.
struct Files {
    images: &'static str,
    labels: &'static str,
    embedded_images: &'static [u8],
    embedded_labels: &'static [u8],
}

const TRAIN: Files = Files {
    images: "train-images-idx3-ubyte",
    labels: "train-labels-idx1-ubyte",
    embedded_images: include_bytes!("../assets/fashion-mnist/train-images-idx3-ubyte.gz"),
    embedded_labels: include_bytes!("../assets/fashion-mnist/train-labels-idx1-ubyte.gz"),
};

const TEST: Files = Files {
    images: "t10k-images-idx3-ubyte",
    labels: "t10k-labels-idx1-ubyte",
    embedded_images: include_bytes!("../assets/fashion-mnist/t10k-images-idx3-ubyte.gz"),
    embedded_labels: include_bytes!("../assets/fashion-mnist/t10k-labels-idx1-ubyte.gz"),
};

/// The embedded training and test images.
pub(crate) fn embedded() -> Result<Published, DataError> {
    let split = |files: Files| {
        let images =
            NamedInput { file: Path::new("embedded").join(files.images), input: files.embedded_images };
        let labels =
            NamedInput { file: Path::new("embedded").join(files.labels), input: files.embedded_labels };
        read_split(images, labels, &LAYOUT)
    };
    Ok(Published::new(split(TRAIN)?, split(TEST)?))
}

/// The published training and test images from `folder` or its sub-folder
/// `fashion-mnist`; if no folder is given, from where Debian's package puts them.
pub(crate) fn full(folder: Option<&Path>) -> Result<Published, DataError> {
    let folder = &locate(folder);
    let published = read_folder(folder)?;
    if published.checksum != PUBLISHED_CHECKSUM {
        return Err(DataError::NotPublished {
            set: SetName::FashionMnist,
            folder: folder.to_owned(),
            expected: PUBLISHED_CHECKSUM,
            found: published.checksum,
        });
    }
    Ok(published)
}

/// Whether [`full`] finds the training images. Opens no file.
pub(crate) fn is_there(folder: Option<&Path>) -> bool {
    is_in(&locate(folder), TRAIN.images)
}

fn locate(folder: Option<&Path>) -> PathBuf {
    let folder = folder.unwrap_or(Path::new(DEBIAN_FOLDER));
    let named = folder.join(SetName::FashionMnist.to_string());
    if named.is_dir() { named } else { folder.to_owned() }
}

/// Training and test images from any four sound files under the published names.
fn read_folder(folder: &Path) -> Result<Published, DataError> {
    let open = |name| open(SetName::FashionMnist, folder, name);
    let split = |files: Files| read_split(open(files.images)?, open(files.labels)?, &LAYOUT);
    Ok(Published::new(split(TRAIN)?, split(TEST)?))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    /// The embedded files under their published names, unpacked where `plain` says.
    fn folder(plain: impl Fn(&str) -> bool) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for files in [TRAIN, TEST] {
            for (name, packed) in
                [(files.images, files.embedded_images), (files.labels, files.embedded_labels)]
            {
                if plain(name) {
                    let mut content = Vec::new();
                    GzDecoder::new(packed).read_to_end(&mut content).unwrap();
                    fs::write(folder.path().join(name), content).unwrap();
                } else {
                    fs::write(folder.path().join(format!("{name}.gz")), packed).unwrap();
                }
            }
        }
        folder
    }

    #[test]
    fn plain_and_packed_files_are_the_same() {
        let expected = embedded().unwrap();
        for folder in [folder(|_| false), folder(|_| true), folder(|name| name.contains("images"))] {
            let read = read_folder(folder.path()).unwrap();
            assert!(read.train == expected.train && read.test == expected.test);
            assert_eq!(read.checksum, expected.checksum);
        }
    }

    #[test]
    fn sound_files_of_other_images_are_not_the_published_set() {
        let folder = folder(|_| false);
        let error = full(Some(folder.path())).unwrap_err();
        assert!(matches!(error, DataError::NotPublished { .. }), "{error}");
        assert!(error.to_string().starts_with(&folder.path().display().to_string()), "{error}");
    }

    #[test]
    fn the_sets_own_folder_is_found() {
        let inner = folder(|_| false);
        let outer = tempfile::tempdir().unwrap();
        fs::rename(inner.path(), outer.path().join("fashion-mnist")).unwrap();
        assert!(matches!(full(Some(outer.path())), Err(DataError::NotPublished { .. })));
    }

    #[test]
    fn each_missing_file_is_named_with_what_to_do() {
        for files in [TRAIN, TEST] {
            for name in [files.images, files.labels] {
                let folder = folder(|_| false);
                fs::remove_file(folder.path().join(format!("{name}.gz"))).unwrap();
                let text = full(Some(folder.path())).unwrap_err().to_string();
                for part in [name, &format!("{name}.gz"), "dataset-fashion-mnist", "DECOUPLE_DATA"] {
                    assert!(text.contains(part), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_damaged_file_is_named_with_its_path() {
        let folder = folder(|_| true);
        let file = folder.path().join(TEST.labels);
        fs::write(&file, b"\0\0\x08\x01").unwrap();
        let text = full(Some(folder.path())).unwrap_err().to_string();
        assert_eq!(text, format!("{}: byte 4: the content ends here; expected 8 bytes", file.display()));
    }

    #[test]
    fn a_folder_in_place_of_a_file_is_an_error() {
        let folder = folder(|_| true);
        let file = folder.path().join(TRAIN.images);
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert!(matches!(full(Some(folder.path())), Err(DataError::Io { .. })));
    }
}
