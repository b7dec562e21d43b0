//! Lists the contents of a weight file without reading values.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::Description;
use super::error::WeightError;
use super::file::WeightFile;
use super::header::TensorInfo;
use super::names::Naming;

/// The contents of a weight file. Its text is a table of the tensors with totals.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// The network described in the file, if it is ours.
    pub description: Option<Description>,
    /// The naming of its tensors, as far as it can be determined.
    pub naming: Naming,
    /// Types and shapes by name.
    pub tensors: BTreeMap<String, TensorInfo>,
    /// Values of all tensors.
    pub values: u64,
}

/// Inspects the file at `path`. Reads only its header.
///
/// # Errors
/// [`WeightError::Io`], [`WeightError::File`], [`WeightError::Metadata`].
pub fn inspect(path: &Path) -> Result<Inspection, WeightError> {
    let file = WeightFile::open(path)?;
    let header = file.header();
    Ok(Inspection {
        description: Description::of(&file)?,
        naming: Naming::of(header),
        values: header.tensors.values().map(|info| info.len() as u64).sum(),
        tensors: header.tensors.clone(),
    })
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Description { network, input: [h, w, c], classes }) = &self.description {
            let text = serde_json::to_string(network).map_err(|_| fmt::Error)?;
            writeln!(f, "network {text}\nimages  {h}x{w}x{c}, {classes} classes")?;
        }
        writeln!(f, "names   {}\n", self.naming)?;
        let width = self.tensors.keys().map(String::len).max().unwrap_or(0);
        for (name, info) in &self.tensors {
            writeln!(f, "{name:width$}  {:4}  {:?}", info.data_type, info.shape)?;
        }
        write!(f, "\n{} tensors, {} values", self.tensors.len(), self.values)
    }
}
