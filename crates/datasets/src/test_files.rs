//! Files as the tests write them, and what may happen to one.

use std::io::{Cursor, Write};

use flate2::{Compression, write::GzEncoder};
use image::{DynamicImage, ImageFormat};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::import::append;

/// The file of an image.
pub(crate) fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.into().write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// A file as gzip packs it.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A tar file of these entries.
pub(crate) fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        append(&mut builder, name, content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Bytes that change, and a place at which others are removed, doubled or added.
pub(crate) type Changes = (Vec<(Index, u8)>, Index, u8);

pub(crate) fn changes() -> impl Strategy<Value = Changes> {
    (prop::collection::vec(any::<(Index, u8)>(), 0..6), any::<Index>(), 0..5_u8)
}

/// A file, which is not empty, after these changes.
pub(crate) fn changed(mut bytes: Vec<u8>, (places, at, how): Changes) -> Vec<u8> {
    for (place, byte) in places {
        let place = place.index(bytes.len());
        bytes[place] = byte;
    }
    let at = at.index(bytes.len());
    match how {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..(at + 16).min(bytes.len()))),
        2 => bytes.extend_from_within(at..),
        3 => drop(bytes.splice(at..at, *b"added")),
        _ => {}
    }
    bytes
}
