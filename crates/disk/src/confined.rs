//! Nothing is written outside the folder of results, whatever links lie in it.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{Disk, kind::may_replace};

impl Disk {
    /// Refuses a path that lies outside, or at which there is something that must not be replaced.
    pub(crate) fn may_write(&self, path: &Path) -> io::Result<()> {
        self.confine(path)?;
        may_replace(path)
    }

    /// Refuses a path whose folder lies outside.
    pub(crate) fn confine(&self, path: &Path) -> io::Result<()> {
        let Some(root) = &self.root else { return Ok(()) };
        let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
        // If the root does not exist, there is no link below it.
        let Ok(root) = root.canonicalize() else { return Ok(()) };
        if path == root || nearest_folder(path)?.starts_with(&root) {
            return Ok(());
        }
        // The root itself, by another name.
        if path.canonicalize().is_ok_and(|real| real == root) {
            return Ok(());
        }
        let message = format!("it leads out of {}, where nothing is written", root.display());
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }
}

/// Where the nearest folder above `path` that exists really is.
fn nearest_folder(path: &Path) -> io::Result<PathBuf> {
    for folder in path.ancestors().skip(1) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        match folder.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
    }
    Path::new(".").canonicalize()
}
