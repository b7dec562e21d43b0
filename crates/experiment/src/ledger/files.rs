//! Reads parts of a run's folder: its name, a text, the environment.

use std::io;
use std::path::Path;

use decouple_disk::{Disk, if_there};

use super::{Environment, LedgerError};

/// The eight digits at the end of the name of a run's folder.
pub(super) fn short_id(dir: &Path) -> Option<&str> {
    let (_, id) = dir.file_name()?.to_str()?.rsplit_once('-')?;
    (id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

/// The text of a file; `None` where it is not there.
pub(super) fn text(disk: &Disk, path: &Path) -> Result<Option<String>, LedgerError> {
    if_there(disk.read_to_string(path)).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => LedgerError::malformed(path, error),
        _ => LedgerError::io("read", path)(error),
    })
}

/// `environment.json`; `None` where it is not there.
pub(super) fn environment(disk: &Disk, path: &Path) -> Result<Option<Environment>, LedgerError> {
    let Some(text) = text(disk, path)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| LedgerError::malformed(path, error))
}
