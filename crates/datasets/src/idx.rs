//! Files in the IDX format of MNIST, plain or gzipped.
//!
//! Layout (LeCun, Cortes and Burges, "The MNIST database"): a magic number of
//! two zero bytes, a type (8: unsigned bytes) and the number of dimensions; the
//! extent of each dimension as a big-endian u32; then the items, last dimension
//! fastest.
//!
//! Nothing in a file is trusted before it is checked: memory is reserved for at most as many
//! items as the layout allows, whatever the header declares or a gzipped file unpacks to.

use std::io::Read;

use crate::content::{Content, NamedInput};
use crate::{DataError, ImageShape, Place, Split};

const MAGIC_LABELS: u32 = 0x0000_0801;
const MAGIC_IMAGES: u32 = 0x0000_0803;

/// The expected format of a set's files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdxLayout {
    /// Rows of every image.
    pub(crate) rows: u32,
    /// Columns of every image.
    pub(crate) columns: u32,
    /// Labels are below this.
    pub(crate) classes: usize,
    /// Most images or labels that a file may declare; with the extents it limits the memory
    /// that a hostile file can request.
    pub(crate) most_items: u32,
}

/// Reads a file of grey images, (count, rows, columns) bytes, and the file with
/// one label for each, both to their ends.
pub(crate) fn read_split(
    images: NamedInput<impl Read>,
    labels: NamedInput<impl Read>,
    layout: &IdxLayout,
) -> Result<Split, DataError> {
    let images_file = images.file.clone();
    let (image_count, pixels) = read_images(images, layout)?;
    let (count_place, labels) = read_labels(labels, layout)?;
    if labels.len() != image_count {
        return Err(DataError::Count {
            labels: count_place,
            found: labels.len(),
            images: images_file,
            image_count,
        });
    }
    let shape = ImageShape { h: layout.rows as usize, w: layout.columns as usize, c: 1 };
    Ok(Split { shape, images: pixels, labels })
}

/// The number of images, and their pixels.
fn read_images(source: NamedInput<impl Read>, layout: &IdxLayout) -> Result<(usize, Vec<u8>), DataError> {
    let mut content = Content::open(source)?;
    let (_, count) = content.header(MAGIC_IMAGES, layout.most_items)?;
    let place = content.place();
    let expected = [layout.rows, layout.columns];
    let found = [content.number()?, content.number()?];
    if found != expected {
        return Err(DataError::Extents { place, expected, found });
    }
    let image_len = u64::from(layout.rows) * u64::from(layout.columns);
    let pixels = content.payload(u64::from(count) * image_len)?;
    Ok((count as usize, pixels))
}

/// The position of the number of labels, and the labels.
fn read_labels(source: NamedInput<impl Read>, layout: &IdxLayout) -> Result<(Place, Vec<u16>), DataError> {
    let mut content = Content::open(source)?;
    let (count_place, count) = content.header(MAGIC_LABELS, layout.most_items)?;
    let first = content.place();
    let labels = content.payload(u64::from(count))?;
    if let Some(at) = labels.iter().position(|&label| usize::from(label) >= layout.classes) {
        let place = Place { offset: first.offset + at as u64, ..first };
        return Err(DataError::Label { place, classes: layout.classes, found: labels[at] });
    }
    Ok((count_place, labels.into_iter().map(u16::from).collect()))
}

impl Content<'_> {
    /// Checks the magic number, then reads the count of items and returns its position.
    fn header(&mut self, magic: u32, most_items: u32) -> Result<(Place, u32), DataError> {
        let place = self.place();
        let found = self.number()?;
        if found != magic {
            return Err(DataError::Magic { place, expected: magic, found });
        }
        let place = self.place();
        let count = self.number()?;
        if count > most_items {
            return Err(DataError::TooMany { place, most_items, found: count });
        }
        Ok((place, count))
    }

    /// The next number of the header.
    fn number(&mut self) -> Result<u32, DataError> {
        let expected = self.offset + 4;
        match self.up_to(4)?.try_into() {
            Ok(bytes) => Ok(u32::from_be_bytes(bytes)),
            Err(_) => Err(DataError::Truncated { place: self.place(), expected }),
        }
    }
}

#[cfg(test)]
mod tests;
