//! Why data cannot be used: which file, where in it, what was expected.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::{Augment, ImageShape, SetName};

/// A byte of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Bytes before this one, counted after unpacking if the file is packed.
    pub offset: u64,
    /// Whether the file is packed with gzip.
    pub packed: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unpacked = if self.packed { " of the unpacked content" } else { "" };
        write!(f, "{}: byte {}{unpacked}", self.file.display(), self.offset)
    }
}

/// Why a data set could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file of the set is not there, neither plain nor packed.
    #[error(
        "{folder}: neither `{name}` nor `{name}.gz` is here; the full set is four such files: install \
         Debian's package `dataset-{set}`, or let the environment variable DECOUPLE_DATA name the folder \
         that holds them",
        folder = folder.display()
    )]
    Missing {
        /// The set.
        set: SetName,
        /// The folder that was searched.
        folder: PathBuf,
        /// The file's published name, without `.gz`.
        name: &'static str,
    },
    /// The operating system could not read on.
    #[error("{place}: {source}")]
    Io {
        /// The first byte that could not be read.
        place: Place,
        /// What it said.
        source: io::Error,
    },
    /// The packed file is damaged: cut short, changed, or with something after its
    /// end.
    #[error("{place}: expected intact gzip data ({source})")]
    Gzip {
        /// The first byte of the unpacked content that could not be had.
        place: Place,
        /// What the decompressor said.
        source: io::Error,
    },
    /// The file does not begin as an IDX file of the wanted kind does.
    #[error(
        "{place}: expected the magic number {expected:#010x} (IDX, unsigned bytes, {} dimensions), found \
         {found:#010x}",
        expected & 0xff
    )]
    Magic {
        /// The first byte of the magic number.
        place: Place,
        /// The wanted number.
        expected: u32,
        /// What is there.
        found: u32,
    },
    /// The images are not of the set's size.
    #[error(
        "{place}: expected images of {} rows and {} columns, found {} and {}",
        expected[0], expected[1], found[0], found[1]
    )]
    Extents {
        /// The first byte of the number of rows.
        place: Place,
        /// Rows and columns of the set.
        expected: [u32; 2],
        /// Rows and columns that the file declares.
        found: [u32; 2],
    },
    /// The file declares more items than any file of the set has. Found before
    /// memory is reserved.
    #[error("{place}: expected at most {most_items} items, found a count of {found}")]
    TooMany {
        /// The first byte of the count.
        place: Place,
        /// Most that are accepted.
        most_items: u32,
        /// What the file declares.
        found: u32,
    },
    /// The content ends early.
    #[error("{place}: the content ends here; expected {expected} bytes")]
    Truncated {
        /// One past the last byte.
        place: Place,
        /// Length of header and payload, as far as it is known.
        expected: u64,
    },
    /// There is content after the last item.
    #[error(
        "{place}: expected the content to end here, after the items that the header declares; found more"
    )]
    Oversized {
        /// The first byte too many.
        place: Place,
    },
    /// A label stands for no class.
    #[error("{place}: expected a label below {classes}, found {found}")]
    Label {
        /// The label.
        place: Place,
        /// Number of classes.
        classes: usize,
        /// What is there.
        found: u8,
    },
    /// A file of labels has not one label for each image.
    #[error("{labels}: expected {image_count} labels, one for each image of {images}, found {found}", images = images.display())]
    Count {
        /// The first byte of the count of labels.
        labels: Place,
        /// Labels there are.
        found: usize,
        /// The file of images.
        images: PathBuf,
        /// Images there are.
        image_count: usize,
    },
    /// The files are sound but hold something else, for example MNIST, whose files
    /// have the same names.
    #[error(
        "{folder}: expected the published files of {set} (checksum {expected}), found other images or labels \
         (checksum {found}); MNIST, for one, has files of the same names",
        folder = folder.display()
    )]
    NotPublished {
        /// The set.
        set: SetName,
        /// The folder that was read.
        folder: PathBuf,
        /// Checksum of the published set.
        expected: &'static str,
        /// Checksum of what was read.
        found: String,
    },
    /// More validation images are wanted than can be held out.
    #[error(
        "validation = {requested}: this holds out {from_class} of the {available} training images of class \
         `{class}`; at least one must stay"
    )]
    Validation {
        /// Validation images wanted.
        requested: usize,
        /// The first class that has too few.
        class: String,
        /// What it would have to give.
        from_class: usize,
        /// What it has.
        available: usize,
    },
    /// A crop could miss the image altogether.
    #[error("augment: `{augment}` needs images of more rows and columns than it pads, found {shape}")]
    Crop {
        /// The augmentation.
        augment: Augment,
        /// The images' shape.
        shape: ImageShape,
    },
}
