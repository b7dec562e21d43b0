//! File access: reads regular files, replaces files as a whole.
//!
//! Runs and reports reach the disk through [`Disk`] alone. A file is replaced by a temporary one beside
//! it, fsync, rename and fsync of the folder; what is not a regular file is never replaced, and nothing is
//! written through a link that leads out of the folder that the disk is confined to. Every step can be made
//! to fail ([`Disk::failing`]), so that tests can show what a full or a broken disk does.
//!
//! ```
//! use decouple_disk::Disk;
//! # fn main() -> std::io::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! let disk = Disk::within(folder.path());
//! let path = folder.path().join("status.json");
//! disk.replace(&path, b"{}")?;
//! assert_eq!(disk.read(&path)?, b"{}");
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod confined;
mod failpoints;
mod kind;
mod output;
mod replace;

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

pub use failpoints::{Fault, FaultKind};
pub use kind::open_regular;
pub use output::{Target, write_output};

use failpoints::Faults;

/// Where files are written, and whether its steps fail. Cheap to clone; clones count their steps together.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// Nothing is written outside this folder.
    root: Option<PathBuf>,
    faults: Option<Arc<Faults>>,
}

impl Disk {
    /// A disk that writes below `root` only, which need not exist yet.
    pub fn within(root: impl Into<PathBuf>) -> Self {
        Self { root: Some(root.into()), faults: None }
    }

    /// The same disk, on which one step fails, or every step from one on: for tests.
    #[must_use]
    pub fn failing(self, fault: Fault) -> Self {
        Self { faults: Some(Arc::new(Faults::new(fault))), ..self }
    }

    /// Steps that a disk made by [`failing`](Self::failing) has counted.
    pub fn steps(&self) -> u64 {
        self.faults.as_ref().map_or(0, |faults| faults.steps())
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// If it is not there, is not a regular file or cannot be opened.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        self.step()?;
        open_regular(path)
    }

    /// The bytes of a regular file.
    ///
    /// # Errors
    /// As [`open`](Self::open), or if it cannot be read.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut file = self.open(path)?;
        self.step()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The text of a regular file.
    ///
    /// # Errors
    /// As [`read`](Self::read), or if it is not UTF-8.
    pub fn read_to_string(&self, path: &Path) -> io::Result<String> {
        let not_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text");
        String::from_utf8(self.read(path)?).map_err(not_text)
    }

    /// Creates a folder and its parents, also while others remove these whenever they are empty.
    ///
    /// # Errors
    /// If it cannot be made, or would lie outside.
    pub fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.may_write(path)?;
        self.step()?;
        while_folders_vanish(|| fs::create_dir_all(path), || is_barred(path))
    }

    /// Opens a file that any number of processes may lock; creates it if it is missing.
    ///
    /// # Errors
    /// If it cannot be opened, is not a regular file or lies outside.
    pub fn open_lock(&self, path: &Path) -> io::Result<File> {
        self.may_write(path)?;
        self.step()?;
        File::options().create(true).truncate(false).write(true).open(path)
    }

    /// Creates an empty file to be appended to, replacing an existing one.
    ///
    /// # Errors
    /// If it cannot be created, is there but not a regular file, or lies outside.
    pub fn create(&self, path: &Path) -> io::Result<Growing> {
        self.may_write(path)?;
        self.step()?;
        Ok(Growing { file: File::create(path)?, disk: self.clone() })
    }

    /// Opens a file to be written to at its end.
    ///
    /// # Errors
    /// As [`create`](Self::create), or if it is not there.
    pub fn append(&self, path: &Path) -> io::Result<Growing> {
        self.may_write(path)?;
        self.step()?;
        Ok(Growing { file: File::options().append(true).open(path)?, disk: self.clone() })
    }

    /// Renames a file or folder, and syncs the new name. The folder that it moves into is created if it is
    /// missing, also while others remove that whenever it is empty.
    ///
    /// # Errors
    /// If the system refuses, or either lies outside.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.confine(from)?;
        self.confine(to)?;
        self.step()?;
        let enter = || {
            fs::create_dir_all(folder_of(to))?;
            fs::rename(from, to)
        };
        let is_there = |path: &Path| path.symlink_metadata().is_ok();
        while_folders_vanish(enter, || !is_there(from) || is_there(to) || is_barred(folder_of(to)))?;
        self.sync_folder(to)
    }

    /// Removes a folder and its contents. A missing folder is not an error.
    ///
    /// # Errors
    /// If the system refuses, or it lies outside.
    pub fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.confine(path)?;
        self.step()?;
        if_there(fs::remove_dir_all(path)).map(drop)
    }

    /// Removes a file. A missing file is not an error.
    ///
    /// # Errors
    /// If the system refuses, or it lies outside.
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.confine(path)?;
        self.step()?;
        if_there(fs::remove_file(path)).map(drop)
    }

    /// The paths in a folder, sorted; none if the folder is missing.
    ///
    /// # Errors
    /// If it cannot be listed.
    pub fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.step()?;
        let Some(entries) = if_there(fs::read_dir(folder))? else { return Ok(Vec::new()) };
        let mut paths =
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    }

    /// Syncs the folder of `path`, so that its names survive a crash.
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        File::open(folder_of(path))?.sync_all()
    }

    /// Counts a step, and fails if it is the one that should.
    fn step(&self) -> io::Result<()> {
        self.faults.as_ref().map_or(Ok(()), |faults| faults.step())
    }
}

/// The folder that holds `path`.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// For how long folders may vanish. Whoever removes them in a loop can win a thousand times in a row.
const PATIENCE: Duration = Duration::from_secs(5);

/// Does again what fails as if a folder had just been removed, or removed while it was found to be there,
/// unless `is_real` finds another reason.
fn while_folders_vanish(
    mut work: impl FnMut() -> io::Result<()>,
    is_real: impl Fn() -> bool,
) -> io::Result<()> {
    let begin = Instant::now();
    loop {
        match work() {
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists)
                    && begin.elapsed() < PATIENCE
                    && !is_real() => {}
            done => return done,
        }
    }
}

/// Whether something other than a folder stands where `folder` or one above it should be.
fn is_barred(folder: &Path) -> bool {
    folder.ancestors().any(|above| above.symlink_metadata().is_ok() && !above.is_dir())
}

/// What was found, or `None` if nothing is there.
///
/// # Errors
/// Any other than that nothing is there.
pub fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// A file that is being written.
#[derive(Debug)]
pub struct Growing {
    file: File,
    disk: Disk,
}

impl Growing {
    /// Syncs what was written to the disk.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn sync(&self) -> io::Result<()> {
        self.disk.step()?;
        self.file.sync_all()
    }
}

impl Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(faults) = &self.disk.faults {
            let allowed = faults.write(bytes.len())?;
            return self.file.write(&bytes[..allowed]);
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests;
