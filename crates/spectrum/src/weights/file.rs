//! Reading and writing safetensors files, one tensor at a time.
//!
//! The format is small and foreign files enter here, so it is read here rather than by the
//! crate that defines it: that crate needs the whole file in memory, keeps the last of two
//! tensors with one name, and writes metadata in an order that varies from run to run. The
//! tests compare with it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use decouple_disk::{Target, open_regular};
use serde_json::{Map, Value, json};

use super::MAX_HEADER_BYTES;
use super::error::{FileProblem, WeightError};
use super::foreign::{Foreign, RECOGNISED_BYTES};
use super::header::{DataType, Header, METADATA, TensorInfo};

/// Values converted at a time.
const CHUNK: usize = 1 << 14;

/// An open safetensors file whose header has been read and checked.
///
/// ```
/// use decouple_spectrum::weights::file::{WeightFile, write_tensors};
/// let folder = std::env::temp_dir().join("decouple-weight-file-example");
/// std::fs::create_dir_all(&folder)?;
/// let path = folder.join("two.safetensors");
/// let tensors = [("scale".to_owned(), vec![2])];
/// write_tensors(&path, &Default::default(), &tensors, |_| Ok([0.5, 2.0].as_slice().into()))?;
/// assert_eq!(WeightFile::open(&path)?.read("scale")?, Some(vec![0.5, 2.0]));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct WeightFile<R = File> {
    path: PathBuf,
    source: R,
    header: Header,
    /// Bytes before the first tensor.
    data_start: u64,
}

impl WeightFile {
    /// Opens the file at `path` and reads its header.
    ///
    /// # Errors
    /// [`WeightError::Io`] and [`WeightError::File`].
    pub fn open(path: &Path) -> Result<Self, WeightError> {
        let source = open_regular(path).map_err(|source| io_error(path, source))?;
        Self::new(source, path)
    }
}

impl<R: Read + Seek> WeightFile<R> {
    /// Reads the header of `source`, which errors call `path`.
    ///
    /// Reads at most [`MAX_HEADER_BYTES`], and no tensor.
    ///
    /// # Errors
    /// [`WeightError::Io`] and [`WeightError::File`].
    pub fn new(mut source: R, path: &Path) -> Result<Self, WeightError> {
        let (header, data_start) = match read_header(&mut source) {
            Ok(Ok(read)) => read,
            Ok(Err(problem)) => return Err(WeightError::File { path: path.to_owned(), problem }),
            Err(source) => return Err(io_error(path, source)),
        };
        Ok(Self { path: path.to_owned(), source, header, data_start })
    }

    /// The file's name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names, types and shapes of the tensors, and the metadata.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Removes `prefix` from the names that begin with it.
    pub(super) fn drop_prefix(&mut self, prefix: &str) {
        let tensors = std::mem::take(&mut self.header.tensors).into_iter();
        let plain = |name: String| name.strip_prefix(prefix).map(str::to_owned).unwrap_or(name);
        self.header.tensors = tensors.map(|(name, info)| (plain(name), info)).collect();
    }

    /// Ignores the tensors whose names are `unwanted`.
    pub(super) fn pass_over(&mut self, unwanted: impl Fn(&str) -> bool) {
        self.header.tensors.retain(|name, _| !unwanted(name));
    }

    /// The values of the tensor `name` as f32, or `None` if there is no such tensor or its type
    /// is not supported.
    ///
    /// Allocates the values and a fixed 64 KiB more.
    ///
    /// # Errors
    /// [`WeightError::Io`] when the file has become shorter.
    pub fn read(&mut self, name: &str) -> Result<Option<Vec<f32>>, WeightError> {
        let Some(info) = self.header.tensors.get(name).filter(|info| info.data_type.is_readable()) else {
            return Ok(None);
        };
        let values = read_values(&mut self.source, self.data_start, info);
        values.map(Some).map_err(|source| io_error(&self.path, source))
    }
}

/// The header and its length in bytes. The outer error is an I/O error.
fn read_header<R: Read + Seek>(source: &mut R) -> io::Result<Result<(Header, u64), FileProblem>> {
    let file_bytes = source.seek(SeekFrom::End(0))?;
    let Some(available) = file_bytes.checked_sub(8) else {
        return Ok(Err(FileProblem::TooShort(file_bytes)));
    };
    source.seek(SeekFrom::Start(0))?;
    let mut length = [0; 8];
    source.read_exact(&mut length)?;
    let found = u64::from_le_bytes(length);
    if found > available.min(MAX_HEADER_BYTES) {
        let mut start = length.to_vec();
        source.take(RECOGNISED_BYTES).read_to_end(&mut start)?;
        let foreign = Foreign::of(&start).map(FileProblem::Foreign);
        return Ok(Err(foreign.unwrap_or(FileProblem::HeaderLength { found, available })));
    }
    let mut json = vec![0; found as usize];
    source.read_exact(&mut json)?;
    Ok(Header::parse(&json, available - found).map(|header| (header, 8 + found)))
}

fn read_values<R: Read + Seek>(source: &mut R, data_start: u64, info: &TensorInfo) -> io::Result<Vec<f32>> {
    source.seek(SeekFrom::Start(data_start + info.begin))?;
    let (count, width) = (info.len(), info.data_type.bytes);
    let mut values = Vec::with_capacity(count);
    let mut bytes = vec![0; CHUNK.min(count) * width];
    while values.len() < count {
        let chunk = &mut bytes[..CHUNK.min(count - values.len()) * width];
        source.read_exact(chunk)?;
        match info.data_type {
            DataType::F32 => values.extend(chunk.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))),
            // Rounded to the nearest; values too large for f32 become infinite.
            DataType::F64 => {
                values.extend(chunk.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b) as f32));
            }
            DataType::F16 => values.extend(chunk.as_chunks().0.iter().map(|&b| half(u16::from_le_bytes(b)))),
            _ => values.extend(chunk.as_chunks().0.iter().map(|&b| brain(u16::from_le_bytes(b)))),
        }
    }
    Ok(values)
}

/// A bfloat16 is the upper half of an f32.
fn brain(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The value of an IEEE 754 binary16: 1 bit of sign, 5 of exponent with bias
/// 15, 10 of fraction. Every one of them is exact in f32.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let (exponent, fraction) = (u32::from(bits >> 10 & 31), u32::from(bits & 1023));
    let magnitude = match exponent {
        // Zero and subnormal numbers: multiples of 2^-24.
        0 => (fraction as f32 * 2f32.powi(-24)).to_bits(),
        31 => 255 << 23 | fraction << 13,
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

/// Writes `tensors` (name and shape) with `metadata` to `target` as f32, in the given order:
/// equal arguments give equal bytes. `values` is called for one tensor at a time, by its index.
/// An existing file is kept until the new one is complete; a pipe or a device remains one.
///
/// # Errors
/// [`WeightError::Io`], and those of `values`.
///
/// # Panics
/// When `values` gives another number of values than the shape has.
pub fn write_tensors<'a, 'p>(
    target: impl Into<Target<'p>>,
    metadata: &BTreeMap<String, String>,
    tensors: &[(String, Vec<usize>)],
    mut values: impl FnMut(usize) -> Result<Cow<'a, [f32]>, WeightError>,
) -> Result<(), WeightError> {
    let target = target.into();
    let written = target.write(|out| {
        let header = header_text(metadata, tensors);
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        for (index, (name, shape)) in tensors.iter().enumerate() {
            let values = values(index).map_err(Stopped::Values)?;
            assert_eq!(values.len(), shape.iter().product::<usize>(), "{name}: not a value for each place");
            for chunk in values.chunks(CHUNK) {
                let bytes: Vec<u8> = chunk.iter().flat_map(|value| value.to_le_bytes()).collect();
                out.write_all(&bytes)?;
            }
        }
        Ok(())
    });
    written.map_err(|stopped| match stopped {
        Stopped::System(source) => io_error(target.path(), source),
        Stopped::Values(error) => error,
    })
}

/// Why writing a file was aborted.
enum Stopped {
    System(io::Error),
    Values(WeightError),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// The header, with spaces at its end so that the values begin at a multiple
/// of eight bytes.
fn header_text(metadata: &BTreeMap<String, String>, tensors: &[(String, Vec<usize>)]) -> String {
    let mut text = Map::new();
    if !metadata.is_empty() {
        text.insert(METADATA.to_owned(), json!(metadata));
    }
    let mut begin = 0;
    for (name, shape) in tensors {
        let end = begin + shape.iter().product::<usize>() * DataType::F32.bytes;
        let info = json!({ "dtype": DataType::F32.name, "shape": shape, "data_offsets": [begin, end] });
        text.insert(name.clone(), info);
        begin = end;
    }
    let mut text = Value::Object(text).to_string();
    text.push_str(&" ".repeat(text.len().next_multiple_of(8) - text.len()));
    text
}

fn io_error(path: &Path, source: io::Error) -> WeightError {
    WeightError::Io { path: path.to_owned(), source }
}
