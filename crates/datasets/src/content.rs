//! The content of a data file, plain or gzipped, read piece by piece with the position of every
//! byte for errors.

use std::fs::File;
use std::io::{self, BufReader, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};

use decouple_disk::open_regular;
use flate2::bufread::MultiGzDecoder;

use crate::{DataError, Place, SetName};

/// First bytes of a gzipped file. Neither an IDX nor a CIFAR file begins with them, so content
/// decides, not the name.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// An input, and its name in errors.
pub(crate) struct NamedInput<R> {
    pub(crate) file: PathBuf,
    pub(crate) input: R,
}

/// The files that may hold `name` in `folder`.
fn candidates(folder: &Path, name: &str) -> [PathBuf; 2] {
    [folder.join(name), folder.join(format!("{name}.gz"))]
}

/// Whether `folder` has the file `name` or `name.gz`.
pub(crate) fn is_in(folder: &Path, name: &str) -> bool {
    candidates(folder, name).iter().any(|file| file.exists())
}

/// Opens the file `name` of `set` in `folder`, or else `name.gz`.
pub(crate) fn open(set: SetName, folder: &Path, name: &'static str) -> Result<NamedInput<File>, DataError> {
    for file in candidates(folder, name) {
        match open_regular(&file) {
            Ok(input) => return Ok(NamedInput { file, input }),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => {
                return Err(DataError::Io { place: Place { file, offset: 0, packed: false }, source });
            }
        }
    }
    Err(DataError::Missing { set, folder: folder.to_owned(), name })
}

/// The unpacked content of a file, and the position in it.
pub(crate) struct Content<'a> {
    file: PathBuf,
    packed: bool,
    pub(crate) offset: u64,
    input: Box<dyn Read + 'a>,
}

impl<'a> Content<'a> {
    pub(crate) fn open<R: Read + 'a>(source: NamedInput<R>) -> Result<Self, DataError> {
        let NamedInput { file, mut input } = source;
        let mut start = Vec::new();
        if let Err(source) = input.by_ref().take(2).read_to_end(&mut start) {
            return Err(DataError::Io { place: Place { file, offset: 0, packed: false }, source });
        }
        let packed = start == GZIP_MAGIC;
        let whole = Cursor::new(start).chain(input);
        let input: Box<dyn Read + 'a> =
            if packed { Box::new(MultiGzDecoder::new(BufReader::new(whole))) } else { Box::new(whole) };
        Ok(Self { file, packed, offset: 0, input })
    }

    /// The next byte.
    pub(crate) fn place(&self) -> Place {
        Place { file: self.file.clone(), offset: self.offset, packed: self.packed }
    }

    /// The rest of the content, which must be `len` bytes.
    pub(crate) fn payload(mut self, len: u64) -> Result<Vec<u8>, DataError> {
        let end = self.offset + len;
        // One byte more reveals trailing bytes, and makes gzip verify its checksum.
        let bytes = self.up_to(len + 1)?;
        if self.offset < end {
            return Err(DataError::Truncated { place: self.place(), expected: end });
        }
        if self.offset > end {
            return Err(DataError::Oversized { place: Place { offset: end, ..self.place() } });
        }
        Ok(bytes)
    }

    /// Reads `len` bytes, or fewer at the end of the content. Reserves memory for all, so `len`
    /// must have been checked against a limit.
    pub(crate) fn up_to(&mut self, len: u64) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::with_capacity(len as usize);
        let result = self.input.by_ref().take(len).read_to_end(&mut bytes);
        self.offset += bytes.len() as u64;
        match result {
            Ok(_) => Ok(bytes),
            Err(source) if self.packed && is_damage(&source) => {
                Err(DataError::Gzip { place: self.place(), source })
            }
            Err(source) => Err(DataError::Io { place: self.place(), source }),
        }
    }
}

/// Whether an error means that the compressed data are damaged, rather than that they could not
/// be read.
fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}
