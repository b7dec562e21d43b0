//! CIFAR-10 and CIFAR-100 in their binary form (Krizhevsky, "Learning multiple
//! layers of features from tiny images", 2009).
//!
//! A record consists of labels, one byte each (CIFAR-100 has the coarse label before the fine
//! one, which is used), then 32 rows of 32 red bytes, then green, then blue.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::content::{Content, NamedInput, is_in, open};
use crate::published::Published;
use crate::{DataError, ImageShape, Place, SetName, Split};

/// Shape of every image.
pub(crate) const SHAPE: ImageShape = ImageShape { h: 32, w: 32, c: 3 };

/// The files of a set and what is in them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CifarLayout {
    set: SetName,
    /// Bytes before the image; the last is the label.
    label_bytes: usize,
    /// Names of the classes, by label.
    pub(crate) classes: &'static [&'static str],
    /// The published archive, and the folder inside.
    pub(crate) archive: &'static str,
    archive_folder: &'static str,
    train: &'static [&'static str],
    test: &'static str,
    /// Records of each training file, and of the test file.
    records: [usize; 2],
}

pub(crate) const CIFAR_10: CifarLayout = CifarLayout {
    set: SetName::Cifar10,
    label_bytes: 1,
    classes: &["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
    archive: "cifar-10-binary.tar.gz",
    archive_folder: "cifar-10-batches-bin",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: "test_batch.bin",
    records: [10_000, 10_000],
};

pub(crate) const CIFAR_100: CifarLayout = CifarLayout {
    set: SetName::Cifar100,
    label_bytes: 2,
    classes: &[
        "apple",
        "aquarium_fish",
        "baby",
        "bear",
        "beaver",
        "bed",
        "bee",
        "beetle",
        "bicycle",
        "bottle",
        "bowl",
        "boy",
        "bridge",
        "bus",
        "butterfly",
        "camel",
        "can",
        "castle",
        "caterpillar",
        "cattle",
        "chair",
        "chimpanzee",
        "clock",
        "cloud",
        "cockroach",
        "couch",
        "crab",
        "crocodile",
        "cup",
        "dinosaur",
        "dolphin",
        "elephant",
        "flatfish",
        "forest",
        "fox",
        "girl",
        "hamster",
        "house",
        "kangaroo",
        "keyboard",
        "lamp",
        "lawn_mower",
        "leopard",
        "lion",
        "lizard",
        "lobster",
        "man",
        "maple_tree",
        "motorcycle",
        "mountain",
        "mouse",
        "mushroom",
        "oak_tree",
        "orange",
        "orchid",
        "otter",
        "palm_tree",
        "pear",
        "pickup_truck",
        "pine_tree",
        "plain",
        "plate",
        "poppy",
        "porcupine",
        "possum",
        "rabbit",
        "raccoon",
        "ray",
        "road",
        "rocket",
        "rose",
        "sea",
        "seal",
        "shark",
        "shrew",
        "skunk",
        "skyscraper",
        "snail",
        "snake",
        "spider",
        "squirrel",
        "streetcar",
        "sunflower",
        "sweet_pepper",
        "table",
        "tank",
        "telephone",
        "television",
        "tiger",
        "tractor",
        "train",
        "trout",
        "tulip",
        "turtle",
        "wardrobe",
        "whale",
        "willow_tree",
        "wolf",
        "woman",
        "worm",
    ],
    archive: "cifar-100-binary.tar.gz",
    archive_folder: "cifar-100-binary",
    train: &["train.bin"],
    test: "test.bin",
    records: [50_000, 10_000],
};

/// Reads the files of a set from `folder`, or from a sub-folder of it with the set's name or
/// that of the published archive; without a folder, from the current one. Files may be gzipped,
/// or all be in the archive as published.
pub(crate) fn read(layout: &CifarLayout, folder: Option<&Path>) -> Result<Published, DataError> {
    let outer = folder.unwrap_or(Path::new("."));
    let folder = locate(layout, outer);
    if let Some(archive) = archive(layout, outer, &folder).filter(|_| !is_in(&folder, layout.test)) {
        return read_archive(layout, &archive);
    }
    let mut train = empty();
    for name in layout.train {
        read_file(layout, open(layout.set, &folder, name)?, layout.records[0], &mut train)?;
    }
    let mut test = empty();
    read_file(layout, open(layout.set, &folder, layout.test)?, layout.records[1], &mut test)?;
    Ok(Published::new(train, test))
}

/// Whether [`read`] finds the archive or the test images of a set. Opens no file.
pub(crate) fn is_there(layout: &CifarLayout, folder: Option<&Path>) -> bool {
    let outer = folder.unwrap_or(Path::new("."));
    let folder = locate(layout, outer);
    is_in(&folder, layout.test) || archive(layout, outer, &folder).is_some()
}

/// The published archive in `folder`, which [`locate`] found, or in the `outer` one.
fn archive(layout: &CifarLayout, outer: &Path, folder: &Path) -> Option<PathBuf> {
    [folder, outer].map(|folder| folder.join(layout.archive)).into_iter().find(|archive| archive.is_file())
}

/// Reads the files of a set out of the archive that they are published in.
fn read_archive(layout: &CifarLayout, archive: &Path) -> Result<Published, DataError> {
    let problem = |problem: String| DataError::File { file: archive.to_owned(), problem };
    let broken = |error: io::Error| problem(format!("not an intact gzipped tar file: {error}"));
    let input = BufReader::new(File::open(archive).map_err(broken)?);
    let mut tar = tar::Archive::new(MultiGzDecoder::new(input));
    let mut found: Vec<(&str, Split)> = Vec::new();
    for entry in tar.entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        let is_called = |name: &&&str| path.file_name().is_some_and(|file| file == **name);
        let Some(name) = layout.train.iter().chain([&layout.test]).find(is_called) else { continue };
        if found.iter().any(|(other, _)| other == name) {
            return Err(problem(format!("`{name}` is in it twice")));
        }
        let mut split = empty();
        let records = layout.records[usize::from(*name == layout.test)];
        read_file(layout, NamedInput { file: archive.join(&path), input: entry }, records, &mut split)?;
        found.push((name, split));
    }
    // The reader stops at the end of the archive, before the checksum of gzip, which is checked at its own end.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(broken)?;
    let mut take = |name: &str| {
        let at = found.iter().position(|(other, _)| *other == name);
        at.map(|at| found.swap_remove(at).1).ok_or_else(|| problem(format!("`{name}` is not in it")))
    };
    let mut train = empty();
    for name in layout.train {
        let split = take(name)?;
        train.images.extend(split.images);
        train.labels.extend(split.labels);
    }
    Ok(Published::new(train, take(layout.test)?))
}

/// The number of images in `bytes`, which must be `records` of CIFAR-10.
pub(crate) fn read_records(bytes: &[u8], records: usize) -> Result<usize, DataError> {
    let mut split = empty();
    read_file(&CIFAR_10, NamedInput { file: "records".into(), input: bytes }, records, &mut split)?;
    Ok(split.len())
}

fn empty() -> Split {
    Split { shape: SHAPE, images: Vec::new(), labels: Vec::new() }
}

/// The first of the possible folders that exists, the most specific first.
fn locate(layout: &CifarLayout, folder: &Path) -> PathBuf {
    let named = folder.join(layout.set.to_string());
    let inside = [named.join(layout.archive_folder), folder.join(layout.archive_folder), named];
    inside.into_iter().find(|path| path.is_dir()).unwrap_or_else(|| folder.to_owned())
}

/// Appends the `records` images of one file to `split`.
fn read_file(
    layout: &CifarLayout,
    source: NamedInput<impl Read>,
    records: usize,
    split: &mut Split,
) -> Result<(), DataError> {
    let record_len = layout.label_bytes + SHAPE.len();
    let content = Content::open(source)?;
    let start = content.place();
    let bytes = content.payload((records * record_len) as u64)?;
    let plane = SHAPE.h * SHAPE.w;
    for (index, record) in bytes.chunks_exact(record_len).enumerate() {
        let (labels, pixels) = record.split_at(layout.label_bytes);
        let label = labels[layout.label_bytes - 1];
        if usize::from(label) >= layout.classes.len() {
            let offset = (index * record_len + layout.label_bytes - 1) as u64;
            let place = Place { offset, ..start };
            return Err(DataError::Label { place, classes: layout.classes.len(), found: label });
        }
        split.labels.push(label.into());
        split
            .images
            .extend((0..plane).flat_map(|at| [pixels[at], pixels[plane + at], pixels[2 * plane + at]]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SMALL_10: CifarLayout = CifarLayout { records: [3, 2], ..CIFAR_10 };
    const SMALL_100: CifarLayout = CifarLayout { records: [3, 2], ..CIFAR_100 };

    /// A file of records with these labels; the pixels count on.
    fn file(layout: &CifarLayout, labels: &[u8]) -> Vec<u8> {
        let record = |(index, &label): (usize, &u8)| {
            let mut record = vec![19; layout.label_bytes - 1];
            record.push(label);
            record.extend((0..SHAPE.len()).map(|at| (index * 7 + at / 1024 * 100 + at % 1024) as u8));
            record
        };
        labels.iter().enumerate().flat_map(record).collect()
    }

    /// A sound set in the folder of the published archive.
    fn folder(layout: &CifarLayout) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join(layout.archive_folder);
        fs::create_dir(&inner).unwrap();
        for name in layout.train {
            fs::write(inner.join(name), file(layout, &[1, 0, 9])).unwrap();
        }
        fs::write(inner.join(layout.test), file(layout, &[2, 3])).unwrap();
        folder
    }

    #[test]
    fn planes_become_pixels_and_the_last_label_counts() {
        for (layout, files) in [(SMALL_10, 5), (SMALL_100, 1)] {
            let folder = folder(&layout);
            let Published { train, test, .. } = read(&layout, Some(folder.path())).unwrap();
            assert_eq!(train.labels, [1, 0, 9].repeat(files));
            assert_eq!(test.labels, [2, 3]);
            assert_eq!(train.images.len(), train.len() * SHAPE.len());
            // Row 0, columns 0 and 1 of the second image.
            assert_eq!(train.images[SHAPE.len()..][..6], [7, 107, 207, 8, 108, 208]);
        }
    }

    #[test]
    fn the_archive_is_read_as_it_is_downloaded() {
        for layout in [SMALL_10, SMALL_100] {
            let unpacked = folder(&layout);
            let expected = read(&layout, Some(unpacked.path())).unwrap();
            let pack = |without: &str| {
                let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                let mut tar = tar::Builder::new(gzip);
                let inner = unpacked.path().join(layout.archive_folder);
                for name in [layout.test].iter().chain(layout.train).filter(|name| **name != without) {
                    tar.append_path_with_name(inner.join(name), Path::new(layout.archive_folder).join(name))
                        .unwrap();
                }
                tar.into_inner().unwrap().finish().unwrap()
            };
            let packed = tempfile::tempdir().unwrap();
            let archive = packed.path().join(layout.archive);
            fs::write(&archive, pack("")).unwrap();
            let found = read(&layout, Some(packed.path())).unwrap();
            assert_eq!((found.checksum, found.train), (expected.checksum, expected.train));

            // A changed checksum of gzip, which nothing but its own end tells.
            let mut changed = pack("");
            let end = changed.len();
            changed[end - 8] ^= 1;
            fs::write(&archive, changed).unwrap();
            let message = read(&layout, Some(packed.path())).unwrap_err().to_string();
            assert!(message.contains("not an intact gzipped tar file"), "{message}");

            fs::write(&archive, pack(layout.test)).unwrap();
            let message = read(&layout, Some(packed.path())).unwrap_err().to_string();
            assert_eq!(message, format!("{}: `{}` is not in it", archive.display(), layout.test));
            fs::write(&archive, &pack("")[..50]).unwrap();
            let message = read(&layout, Some(packed.path())).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{}: ", archive.display())), "{message}");
        }
    }

    #[test]
    fn the_sets_own_folder_is_found() {
        let inner = folder(&SMALL_10);
        let outer = tempfile::tempdir().unwrap();
        fs::rename(inner.path(), outer.path().join("cifar-10")).unwrap();
        assert!(read(&SMALL_10, Some(outer.path())).is_ok());
    }

    #[test]
    fn a_wrong_file_is_named_with_the_place() {
        let record = (SHAPE.len() + 1) as u64;
        let full = file(&SMALL_10, &[1, 0, 9]);
        let longer = [&full[..], &[0]].concat();
        let label = file(&SMALL_10, &[1, 0, 10]);
        for (content, expected) in [
            (&full[..100], format!("byte 100: the content ends here; expected {} bytes", 3 * record)),
            (&longer, format!("byte {}: expected the content to end here", 3 * record)),
            (&label, format!("byte {}: expected a label below 10, found 10", 2 * record)),
        ] {
            let folder = folder(&SMALL_10);
            let file = folder.path().join("cifar-10-batches-bin/data_batch_3.bin");
            fs::write(&file, content).unwrap();
            let message = read(&SMALL_10, Some(folder.path())).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{}: {expected}", file.display())), "{message}");
        }
    }

    #[test]
    fn a_missing_file_is_named_with_its_origin() {
        let folder = folder(&SMALL_100);
        fs::remove_file(folder.path().join("cifar-100-binary/test.bin")).unwrap();
        let message = read(&SMALL_100, Some(folder.path())).unwrap_err().to_string();
        for part in ["`test.bin`", "cifar-100-binary.tar.gz", "DECOUPLE_DATA"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
