//! The header of a safetensors file: names, types, shapes and places.
//!
//! A file is eight bytes with the header's length, the header as JSON, and the values.
//! Everything in a header is checked against the length of the file before anything is
//! allocated for it; a header itself is read only up to
//! [`MAX_HEADER_BYTES`](super::MAX_HEADER_BYTES).

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::error::FileProblem;

/// The longest name of a tensor, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// The most extents of a shape.
const MAX_RANK: usize = 8;

/// The key of the metadata among the names of the tensors.
pub(super) const METADATA: &str = "__metadata__";

/// The type of a tensor's values. Only the floating-point types in which networks are exchanged
/// can be read; the others have names and sizes, so that a file that also holds counters can be
/// listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataType {
    /// As in the file, such as `F32`.
    pub name: &'static str,
    /// Bytes of one value.
    pub bytes: usize,
}

impl DataType {
    /// IEEE single precision.
    pub const F32: Self = Self { name: "F32", bytes: 4 };
    /// IEEE half precision.
    pub const F16: Self = Self { name: "F16", bytes: 2 };
    /// The upper half of an [`DataType::F32`].
    pub const BF16: Self = Self { name: "BF16", bytes: 2 };
    /// IEEE double precision, rounded to single when it is read.
    pub const F64: Self = Self { name: "F64", bytes: 8 };

    const KNOWN: [Self; 15] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::F64,
        Self { name: "I64", bytes: 8 },
        Self { name: "U64", bytes: 8 },
        Self { name: "I32", bytes: 4 },
        Self { name: "U32", bytes: 4 },
        Self { name: "I16", bytes: 2 },
        Self { name: "U16", bytes: 2 },
        Self { name: "F8_E5M2", bytes: 1 },
        Self { name: "F8_E4M3", bytes: 1 },
        Self { name: "I8", bytes: 1 },
        Self { name: "U8", bytes: 1 },
        Self { name: "BOOL", bytes: 1 },
    ];

    /// Whether its values can be read as f32.
    pub fn is_readable(self) -> bool {
        [Self::F32, Self::F16, Self::BF16, Self::F64].contains(&self)
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

/// Type, shape and place of a tensor in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// What one value is.
    pub data_type: DataType,
    /// Extents, the last one contiguous; none for a single value.
    pub shape: Vec<usize>,
    /// First byte after the header.
    pub(super) begin: u64,
    /// The byte after its last.
    end: u64,
}

impl TensorInfo {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A checked header: the tensors cover the rest of the file without a gap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The writer's metadata.
    pub metadata: BTreeMap<String, String>,
    /// The tensors by name.
    pub tensors: BTreeMap<String, TensorInfo>,
}

impl Header {
    /// Reads the header `json`, which `data_bytes` bytes of values follow.
    ///
    /// # Errors
    /// [`FileProblem`] for everything that the format forbids.
    pub fn parse(json: &[u8], data_bytes: u64) -> Result<Self, FileProblem> {
        let text = std::str::from_utf8(json)
            .map_err(|error| FileProblem::NotUtf8 { valid_bytes: error.valid_up_to() })?;
        let typed: Typed =
            serde_json::from_str(text).map_err(|error| FileProblem::Json(error.to_string()))?;
        let tensors = typed.tensors.into_iter();
        let tensors = tensors.map(|(name, tensor)| tensor.check(&name).map(|info| (name, info)));
        let tensors = tensors.collect::<Result<BTreeMap<_, _>, _>>()?;
        check_places(&tensors, data_bytes)?;
        Ok(Self { metadata: typed.metadata, tensors })
    }
}

/// Refuses overlaps, gaps, and values before or after what the file holds.
fn check_places(tensors: &BTreeMap<String, TensorInfo>, data_bytes: u64) -> Result<(), FileProblem> {
    let mut by_place: Vec<_> = tensors.iter().collect();
    by_place.sort_by_key(|(_, info)| (info.begin, info.end));
    let mut expected = 0;
    for (name, info) in by_place {
        if info.begin != expected {
            return Err(FileProblem::Place { name: name.clone(), expected, found: info.begin });
        }
        expected = info.end;
    }
    if expected != data_bytes {
        return Err(FileProblem::DataLength { expected, found: data_bytes });
    }
    Ok(())
}

/// A header as typed in a file.
#[derive(Default)]
struct Typed {
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, TypedTensor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl TypedTensor {
    fn check(self, name: &str) -> Result<TensorInfo, FileProblem> {
        let named = |problem: String| FileProblem::Tensor { name: name.to_owned(), problem };
        let data_type = DataType::KNOWN
            .into_iter()
            .find(|known| known.name == self.dtype)
            .ok_or_else(|| named(format!("its type {:.20?} is not a known one", self.dtype)))?;
        if self.shape.len() > MAX_RANK {
            let problem = format!("its shape has {} extents: expected at most {MAX_RANK}", self.shape.len());
            return Err(named(problem));
        }
        let bytes = |bytes: u64, extent: &u64| bytes.checked_mul(*extent);
        let (begin, end) = self.data_offsets;
        let expected = self.shape.iter().try_fold(data_type.bytes as u64, bytes);
        let found = end.checked_sub(begin);
        if expected.is_none() || expected != found {
            let (shape, expected) = (self.shape, expected.map_or("too many".to_owned(), |b| b.to_string()));
            let problem =
                format!("{data_type} {shape:?} takes {expected} bytes, but it lies at {begin}..{end}");
            return Err(named(problem));
        }
        let shape = self.shape.into_iter().map(usize::try_from).collect::<Result<_, _>>();
        let shape = shape.map_err(|_| named("its shape exceeds the address space".to_owned()))?;
        Ok(TensorInfo { data_type, shape, begin, end })
    }
}

// Written by hand because a derived map keeps the last of two equal names.
impl<'de> Deserialize<'de> for Typed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TypedVisitor)
    }
}

struct TypedVisitor;

impl<'de> Visitor<'de> for TypedVisitor {
    type Value = Typed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tensor's type, shape and place for each name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Typed, A::Error> {
        let mut typed = Typed::default();
        let mut has_metadata = false;
        while let Some(name) = map.next_key::<String>()? {
            if name.len() > MAX_NAME_BYTES {
                let found = name.len();
                let problem = format_args!("a name of {found} bytes: expected at most {MAX_NAME_BYTES}");
                return Err(de::Error::custom(problem));
            }
            let is_new = if name == METADATA {
                typed.metadata = map.next_value()?;
                !std::mem::replace(&mut has_metadata, true)
            } else {
                typed.tensors.insert(name.clone(), map.next_value()?).is_none()
            };
            if !is_new {
                return Err(de::Error::custom(format_args!("{name:?} stands there twice")));
            }
        }
        Ok(typed)
    }
}
