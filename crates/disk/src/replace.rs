//! Replaces a file as a whole, and removes what a killed writer leaves behind.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{Disk, Growing};

/// Prefix and suffix of the names of temporary files.
const PREFIX: &str = ".decouple-";
const SUFFIX: &str = ".tmp";

impl Disk {
    /// Replaces a file by rename, once its bytes are on the disk, then syncs the new name.
    ///
    /// # Errors
    /// If a step fails: the old file stays as it was. What is not a regular file is not
    /// replaced.
    pub fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.replace_with(path, |out| out.write_all(bytes))
    }

    /// Like [`replace`](Self::replace), with the bytes that `write` writes.
    ///
    /// # Errors
    /// As [`replace`](Self::replace), and those of `write`.
    pub fn replace_with<E: From<io::Error>>(
        &self,
        path: &Path,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        self.may_write(path)?;
        let (temporary, file) = self.temporary(path)?;
        // Holds the lock until the file has its name.
        let _locked = file.try_clone();
        let written = self.fill(file, write).and_then(|()| {
            self.step()?;
            Ok(fs::rename(&temporary, path)?)
        });
        if written.is_err() {
            // The first error is the one to report; the temporary file is swept later.
            let _ = fs::remove_file(&temporary);
            return written;
        }
        Ok(self.sync_folder(path)?)
    }

    fn fill<E: From<io::Error>>(
        &self,
        file: File,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut out = BufWriter::with_capacity(1 << 16, Growing { file, disk: self.clone() });
        write(&mut out)?;
        let growing = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(growing.sync()?)
    }

    /// Makes a network file system look at `folder` anew, if it is there: what it remembers of a folder, such as that a
    /// file is missing, holds no longer once something has been created in it.
    ///
    /// # Errors
    /// If no file can be created or removed there.
    pub fn look_anew(&self, folder: &Path) -> io::Result<()> {
        if !folder.is_dir() {
            return Ok(());
        }
        let (path, _file) = self.temporary(&folder.join("look"))?;
        self.remove_file(&path)
    }

    /// A new file beside `path`, locked, so that a sweep can tell that it is in use.
    pub(crate) fn temporary(&self, path: &Path) -> io::Result<(PathBuf, File)> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            self.step()?;
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let temporary = path.with_file_name(format!("{PREFIX}{}-{count}{SUFFIX}", std::process::id()));
            let file = match File::options().write(true).create_new(true).open(&temporary) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                file => file?,
            };
            // A sweep may have removed the file between the two steps; then another name is tried.
            // On a file system without locks this fails, and a sweep there removes nothing.
            if !matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)) && temporary.exists() {
                return Ok((temporary, file));
            }
        }
    }

    /// Removes from `folder` the temporary files of writers that are gone: nobody has locked them, and they
    /// are older than `age`. Where locks do not hold between hosts only the age tells.
    ///
    /// # Errors
    /// If the folder cannot be listed or a file not removed.
    pub fn sweep(&self, folder: &Path, age: Duration) -> io::Result<()> {
        let is_old = |file: &File| {
            let written = file.metadata().and_then(|found| found.modified());
            age.is_zero() || written.is_ok_and(|at| at.elapsed().is_ok_and(|since| since > age))
        };
        for path in self.list(folder)? {
            if is_temporary(&path) && path.symlink_metadata().is_ok_and(|found| found.is_file()) {
                let is_gone = |file: File| is_old(&file) && file.try_lock().is_ok() && path.exists();
                if File::open(&path).is_ok_and(is_gone) {
                    self.remove_file(&path)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether it is a temporary file of this program.
fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}
