//! Why weights could not be read, written or matched with a network.

use std::fmt;
use std::path::PathBuf;

use super::MAX_HEADER_BYTES;
use super::foreign::Foreign;
use super::naming::Naming;
use crate::error::SpecError;

/// Why weights could not be read, written or matched. Names the file.
#[derive(Debug, thiserror::Error)]
pub enum WeightError {
    /// The system could not read or write the file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not a complete safetensors file.
    #[error("{}: not a safetensors file: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: FileProblem,
    },
    /// The file's tensors are not those of the network.
    #[error("{}: {mismatches}", path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// All mismatches.
        mismatches: Box<Mismatches>,
    },
    /// A value is infinite or not a number.
    #[error(
        "{}: {name}: {found} among its values ({count} of {values} not finite): a network with such weights gives \
         no class and no score; take those saved before the training diverged",
        path.display()
    )]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The first such value.
        found: f32,
        /// How many there are.
        count: usize,
        /// Of how many.
        values: usize,
    },
    /// The metadata of the file are invalid.
    #[error("{}: its metadata `{key}` is {found:.80?}: expected {expected}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// Its value; empty if there is none.
        found: String,
        /// The valid values.
        expected: String,
    },
    /// The network has a layer that the other framework cannot express.
    #[error("{naming} has no name for `{layer}`: {reason}")]
    Unnamed {
        /// The framework.
        naming: Naming,
        /// The layer.
        layer: String,
        /// Why, and what could be expressed.
        reason: &'static str,
    },
    /// The network that the weights are for cannot be built.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// What is wrong with a safetensors file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileProblem {
    /// It ends before the length of its header.
    #[error("it has {0} bytes: expected at least 8, the length of its header")]
    TooShort(u64),
    /// It is another kind of file.
    #[error("{0}")]
    Foreign(Foreign),
    /// The header is longer than the file, or than that of any network.
    #[error(
        "its header of {found} bytes: expected at most {available} of this file's bytes and {MAX_HEADER_BYTES} of any's"
    )]
    HeaderLength {
        /// As the file says.
        found: u64,
        /// Bytes after the length.
        available: u64,
    },
    /// The header is not text.
    #[error("its header is not UTF-8 after {valid_bytes} bytes")]
    NotUtf8 {
        /// Bytes before the mistake.
        valid_bytes: usize,
    },
    /// The header is not JSON of the expected form.
    #[error("its header: {0}")]
    Json(String),
    /// A tensor contradicts itself.
    #[error("tensor {name:?}: {problem}")]
    Tensor {
        /// The tensor.
        name: String,
        /// The contradiction.
        problem: String,
    },
    /// A tensor overlaps the one before it or leaves a gap.
    #[error(
        "tensor {name:?} begins at byte {found} of the values: expected {expected}, where the previous one ends"
    )]
    Place {
        /// The tensor.
        name: String,
        /// Where the previous one ends.
        expected: u64,
        /// Where it begins.
        found: u64,
    },
    /// The file ends before or after its last tensor.
    #[error("it holds {found} bytes of values: expected {expected}, where the last tensor ends")]
    DataLength {
        /// As the header says.
        expected: u64,
        /// As the file has.
        found: u64,
    },
}

/// How many of each kind of mismatch a message lists.
const LISTED: usize = 10;

/// How the tensors of a file differ from those of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatches {
    /// Tensors of the network that the file lacks, with their shapes.
    pub missing: Vec<(String, Vec<usize>)>,
    /// Tensors of the file that the network lacks, with their shapes.
    pub surplus: Vec<(String, Vec<usize>)>,
    /// Tensors with another shape: the name, the network's shape, the file's.
    pub reshaped: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Tensors of a type that is not read: the name and the type.
    pub unreadable: Vec<(String, &'static str)>,
    /// The classes of the file, if only their number differs.
    pub classes: Option<usize>,
}

impl Mismatches {
    /// Whether the tensors are those of the network.
    pub fn is_empty(&self) -> bool {
        let Self { missing, surplus, reshaped, unreadable, classes: _ } = self;
        missing.is_empty() && surplus.is_empty() && reshaped.is_empty() && unreadable.is_empty()
    }

    /// Checks whether the only difference is that the file has another number of classes than
    /// `expected`.
    pub(super) fn find_head(&mut self, expected: usize) {
        let classes = |(_, network, file): &(String, Vec<usize>, Vec<usize>)| {
            let mut differing = network.iter().zip(file).filter(|(a, b)| a != b);
            let head = differing.next().filter(|(a, _)| **a == expected && network.len() == file.len());
            head.filter(|_| differing.next().is_none()).map(|(_, classes)| *classes)
        };
        let found: Option<Vec<usize>> = self.reshaped.iter().map(classes).collect();
        let is_alone = self.missing.is_empty() && self.surplus.is_empty() && self.unreadable.is_empty();
        self.classes = found
            .filter(|all| is_alone && all.windows(2).all(|two| two[0] == two[1]))
            .and_then(|all| all.first().copied());
    }
}

impl fmt::Display for Mismatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its tensors are not those of the network")?;
        list(f, "missing", &self.missing, |(name, shape)| format!("{name} {shape:?}"))?;
        list(f, "surplus", &self.surplus, |(name, shape)| format!("{name:?} {shape:?}"))?;
        list(f, "of another shape", &self.reshaped, |(name, expected, found)| {
            format!("{name}: expected {expected:?}, found {found:?}")
        })?;
        list(f, "of a type that is not read", &self.unreadable, |(name, found)| {
            format!("{name}: expected F32, F16, BF16 or F64, found {found}")
        })?;
        let Some(classes) = self.classes else { return Ok(()) };
        write!(
            f,
            "\n  all else fits: these are weights for {classes} classes, which --classes {classes} says; `weights import \
             --new-head SEED` starts another head"
        )
    }
}

/// `\n  3 missing:` and a line for each of the first [`LISTED`].
fn list<T>(f: &mut fmt::Formatter<'_>, what: &str, items: &[T], show: impl Fn(&T) -> String) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    write!(f, "\n  {} {what}:", items.len())?;
    items.iter().take(LISTED).try_for_each(|item| write!(f, "\n    {}", show(item)))?;
    if items.len() > LISTED { write!(f, "\n    and {} more", items.len() - LISTED) } else { Ok(()) }
}
