//! The content of a data file, plain or packed with gzip: read piece by piece,
//! with the place of every byte at hand for errors.

use std::fs::File;
use std::io::{self, BufReader, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};

use decouple_disk::open_regular;
use flate2::bufread::MultiGzDecoder;

use crate::{DataError, Place, SetName};

/// First bytes of a packed file. Neither an IDX nor a CIFAR file begins with
/// them, so content and not the name decides.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Something to read, and the name it has in errors.
pub(crate) struct Source<R> {
    pub(crate) file: PathBuf,
    pub(crate) input: R,
}

/// Opens the file `name` of `set` in `folder`, or else `name.gz`.
pub(crate) fn open(set: SetName, folder: &Path, name: &'static str) -> Result<Source<File>, DataError> {
    for file in [folder.join(name), folder.join(format!("{name}.gz"))] {
        match open_regular(&file) {
            Ok(input) => return Ok(Source { file, input }),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => {
                return Err(DataError::Io { place: Place { file, offset: 0, packed: false }, source });
            }
        }
    }
    Err(DataError::Missing { set, folder: folder.to_owned(), name })
}

/// The unpacked content of a file and how far it has been read.
pub(crate) struct Content<'a> {
    file: PathBuf,
    packed: bool,
    pub(crate) offset: u64,
    input: Box<dyn Read + 'a>,
}

impl<'a> Content<'a> {
    pub(crate) fn open<R: Read + 'a>(source: Source<R>) -> Result<Self, DataError> {
        let Source { file, mut input } = source;
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
        // One byte more shows both trailing bytes and gzip's own check at its end.
        let bytes = self.up_to(len + 1)?;
        if self.offset < end {
            return Err(DataError::Truncated { place: self.place(), expected: end });
        }
        if self.offset > end {
            return Err(DataError::Oversized { place: Place { offset: end, ..self.place() } });
        }
        Ok(bytes)
    }

    /// Reads `len` bytes, or fewer at the end of the content. Reserves them all, so
    /// `len` must have been compared with a limit.
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

/// Whether an error is the decompressor's verdict on its input, not a failure to
/// read that input.
fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}
