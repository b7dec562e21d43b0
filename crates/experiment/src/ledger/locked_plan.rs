//! `lock.json`, which proves what was declared before the first run.
//!
//! `decouple plan FILE --lock` writes it beside the runs-to-be: the hash of the file, its hypotheses, margin
//! and analysis. Committed with the file before the first run, it shows that the tests in the report were not
//! chosen after seeing the results.

use std::path::{Path, PathBuf};

use decouple_disk::{Disk, if_there};
use serde::{Deserialize, Serialize};

use super::LedgerError;
use crate::Declared;

/// The name of the file in an experiment's folder.
pub(crate) const FILE_NAME: &str = "lock.json";

/// `lock.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPlan {
    /// Version of the file.
    pub format: u32,
    /// BLAKE3 of the experiment file's text, in hexadecimal.
    pub file_hash: String,
    /// When it was locked, UTC.
    pub locked_at: String,
    /// What was declared.
    pub declared: Declared,
}

/// Where the lock of the experiment in the folder `root` is.
pub(super) fn path(root: &Path) -> PathBuf {
    root.join(FILE_NAME)
}

/// The lock in an experiment's folder; `None` where there is none.
pub(super) fn read(root: &Path) -> Result<Option<LockedPlan>, LedgerError> {
    let path = path(root);
    let text = if_there(Disk::default().read_to_string(&path)).map_err(LedgerError::io("read", &path))?;
    let Some(text) = text else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| LedgerError::malformed(&path, error))
}
