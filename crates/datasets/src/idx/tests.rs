//! A writer, and what the reader makes of what it wrote and of everything that
//! can happen to a file afterwards.

use std::io;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::test_files::{changed, changes, gzip};

const LAYOUT: IdxLayout = IdxLayout { rows: 2, columns: 3, classes: 10, most_items: 50 };
const IMAGE_LEN: usize = 6;
const LABELS: [u8; 4] = [9, 0, 3, 3];

fn idx(magic: u32, extents: &[u32], items: &[u8]) -> Vec<u8> {
    let header = std::iter::once(&magic).chain(extents).flat_map(|number| number.to_be_bytes());
    header.chain(items.iter().copied()).collect()
}

fn image_file(count: u32) -> Vec<u8> {
    let pixels: Vec<u8> = (0..count as usize * IMAGE_LEN).map(|i| (i * 37) as u8).collect();
    idx(MAGIC_IMAGES, &[count, LAYOUT.rows, LAYOUT.columns], &pixels)
}

fn label_file(labels: &[u8]) -> Vec<u8> {
    idx(MAGIC_LABELS, &[labels.len() as u32], labels)
}

fn source<R>(name: &str, input: R) -> NamedInput<R> {
    NamedInput { file: PathBuf::from(name), input }
}

fn read(images: &[u8], labels: &[u8]) -> Result<Split, DataError> {
    read_split(source("the-images", images), source("the-labels", labels), &LAYOUT)
}

/// The error of a file of images beside a sound file of labels.
fn images_error(images: &[u8]) -> DataError {
    let error = read(images, &label_file(&LABELS)).unwrap_err();
    assert!(error.to_string().contains("the-images: byte "), "{error}");
    error
}

/// The error of a file of labels beside a sound file of images.
fn labels_error(labels: &[u8]) -> DataError {
    let error = read(&image_file(4), labels).unwrap_err();
    assert!(error.to_string().contains("the-labels: byte "), "{error}");
    error
}

/// An input whose disk fails after its bytes.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.0.read(out)? {
            0 if !out.is_empty() => Err(io::Error::other("the disk is gone")),
            n => Ok(n),
        }
    }
}

#[test]
fn every_cut_of_a_plain_file_is_truncated_there() {
    let whole = image_file(4);
    for cut in 0..whole.len() {
        match images_error(&whole[..cut]) {
            DataError::Truncated { place, expected } => {
                assert_eq!(place.offset, cut as u64);
                let known = if cut < 16 { cut / 4 * 4 + 4 } else { whole.len() };
                assert_eq!(expected, known as u64);
            }
            other => panic!("cut at {cut}: {other}"),
        }
    }
    let whole = label_file(&LABELS);
    for cut in 0..whole.len() {
        assert!(matches!(labels_error(&whole[..cut]), DataError::Truncated { .. }), "cut at {cut}");
    }
}

#[test]
fn every_cut_of_a_packed_file_is_seen() {
    let whole = gzip(&image_file(4));
    for cut in 2..whole.len() {
        assert!(matches!(images_error(&whole[..cut]), DataError::Gzip { .. }), "cut at {cut}");
    }
}

#[test]
fn a_packed_file_may_hold_a_truncated_one() {
    match images_error(&gzip(&image_file(4)[..20])) {
        DataError::Truncated { place, expected: 40 } => assert!(place.packed && place.offset == 20),
        other => panic!("{other}"),
    }
}

#[test]
fn every_flipped_bit_of_a_packed_file_is_seen_or_harmless() {
    let (whole, labels) = (gzip(&image_file(4)), label_file(&LABELS));
    let sound = read(&whole, &labels).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        match read(&damaged, &labels) {
            // Time and operating system in the header mean nothing, nor does filling.
            Ok(split) => assert_eq!(split, sound, "bit {bit}"),
            Err(error) => assert!(error.to_string().contains("the-images: byte "), "{error}"),
        }
    }
}

#[test]
fn every_flipped_bit_of_the_magic_number_is_seen() {
    for bit in 0..32 {
        let mut images = image_file(4);
        images[bit / 8] ^= 1 << (bit % 8);
        let wrong = u32::from_be_bytes(images[..4].try_into().unwrap());
        match images_error(&images) {
            DataError::Magic { place, expected: MAGIC_IMAGES, found } => {
                assert_eq!((place.offset, found), (0, wrong));
            }
            other => panic!("bit {bit}: {other}"),
        }
    }
    let exchanged = images_error(&label_file(&LABELS));
    assert_eq!(
        exchanged.to_string(),
        "the-images: byte 0: expected the magic number 0x00000803 (IDX, unsigned bytes, 3 dimensions), found \
         0x00000801"
    );
    assert!(matches!(labels_error(&image_file(4)), DataError::Magic { expected: MAGIC_LABELS, .. }));
}

#[test]
fn wrong_extents_are_refused() {
    match images_error(&idx(MAGIC_IMAGES, &[4, 3, 2], &[0; 24])) {
        DataError::Extents { place, expected: [2, 3], found: [3, 2] } => assert_eq!(place.offset, 8),
        other => panic!("{other}"),
    }
}

#[test]
fn hostile_counts_are_refused_before_memory_is_reserved() {
    for count in [51, 4_000_000_000, u32::MAX] {
        match images_error(&idx(MAGIC_IMAGES, &[count, 2, 3], &[])) {
            DataError::TooMany { place, most_items: 50, found } => {
                assert_eq!((place.offset, found), (4, count))
            }
            other => panic!("{other}"),
        }
        assert!(matches!(labels_error(&idx(MAGIC_LABELS, &[count], &[])), DataError::TooMany { .. }));
    }
}

#[test]
fn trailing_bytes_are_refused() {
    let mut long = image_file(4);
    long.push(0);
    for (file, packed) in [(long.clone(), false), (gzip(&long), true)] {
        match images_error(&file) {
            DataError::Oversized { place } => assert_eq!((place.offset, place.packed), (40, packed)),
            other => panic!("{other}"),
        }
    }
    let mut after_the_end = gzip(&image_file(4));
    after_the_end.push(0);
    assert!(matches!(images_error(&after_the_end), DataError::Gzip { .. }));
    assert!(matches!(labels_error(&idx(MAGIC_LABELS, &[2], &LABELS)), DataError::Oversized { .. }));
}

#[test]
fn an_endless_file_is_refused() {
    let images = image_file(4);
    let endless = images.chain(io::repeat(0));
    let labels = label_file(&LABELS);
    let error = read_split(source("i", endless), source("l", &labels[..]), &LAYOUT).unwrap_err();
    assert!(matches!(error, DataError::Oversized { .. }), "{error}");
}

#[test]
fn a_bomb_is_not_unpacked_beyond_what_it_declares() {
    let mut content = image_file(4);
    content.resize(64 << 20, 0);
    let bomb = gzip(&content);
    let labels = label_file(&LABELS);
    let mut left = &bomb[..];
    let error = read_split(source("i", &mut left), source("l", &labels[..]), &LAYOUT).unwrap_err();
    assert!(matches!(error, DataError::Oversized { .. }), "{error}");
    assert!(
        bomb.len() - left.len() <= 16 << 10,
        "{} of {} bytes were read",
        bomb.len() - left.len(),
        bomb.len()
    );
}

#[test]
fn labels_without_a_class_are_refused() {
    for packed in [false, true] {
        let file = label_file(&[0, 1, 10, 255]);
        match labels_error(&if packed { gzip(&file) } else { file }) {
            DataError::Label { place, classes: 10, found: 10 } => {
                assert_eq!((place.offset, place.packed), (10, packed));
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn counts_must_agree() {
    match read(&image_file(3), &label_file(&LABELS)).unwrap_err() {
        error @ DataError::Count { .. } => assert_eq!(
            error.to_string(),
            "the-labels: byte 4: expected 3 labels, one for each image of the-images, found 4"
        ),
        other => panic!("{other}"),
    }
}

#[test]
fn a_failing_disk_is_told_from_a_damaged_file() {
    let labels = label_file(&LABELS);
    for whole in [image_file(4), gzip(&image_file(4))] {
        for cut in 0..whole.len() {
            let images = source("i", Failing(&whole[..cut]));
            let error = read_split(images, source("l", &labels[..]), &LAYOUT).unwrap_err();
            assert!(matches!(error, DataError::Io { .. }), "cut at {cut}: {error}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_is_read(
        images in prop::collection::vec((any::<[u8; IMAGE_LEN]>(), 0..10_u8), 0..50), packed in any::<[bool; 2]>(),
    ) {
        let (pixels, labels): (Vec<_>, Vec<_>) = images.into_iter().unzip();
        let pixels = pixels.concat();
        let pack = |file: Vec<u8>, packed| if packed { gzip(&file) } else { file };
        let split = read(
            &pack(idx(MAGIC_IMAGES, &[labels.len() as u32, 2, 3], &pixels), packed[0]),
            &pack(label_file(&labels), packed[1]),
        )
        .unwrap();
        prop_assert_eq!(split.shape, ImageShape { h: 2, w: 3, c: 1 });
        prop_assert_eq!(split.images, pixels);
        prop_assert_eq!(split.labels, labels.into_iter().map(u16::from).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_changed_file_is_read_or_refused_by_name(
        changes in changes(), of_images in any::<bool>(), packed in any::<bool>(),
    ) {
        let (mut images, mut labels) = (image_file(4), label_file(&LABELS));
        let file = if of_images { &mut images } else { &mut labels };
        *file = changed(if packed { gzip(file) } else { file.clone() }, changes);
        match read(&images, &labels) {
            Ok(split) => {
                prop_assert_eq!(split.len(), 4);
                prop_assert_eq!(split.images.len(), 4 * IMAGE_LEN);
                prop_assert!(split.labels.iter().all(|&label| label < 10));
            }
            Err(error) => {
                let text = error.to_string();
                let name = if of_images { "the-images" } else { "the-labels" };
                prop_assert!(text.contains(name) && text.contains(": byte "), "{}", text);
            }
        }
    }
}
