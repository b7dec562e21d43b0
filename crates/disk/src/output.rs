//! An output file named by the user, which may be a pipe, a device or a link.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use crate::Disk;

/// Where a whole file goes.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// To a path that a person has named: [`write_output`].
    Named(&'a Path),
    /// To a file of results: [`Disk::replace_with`].
    On(&'a Disk, &'a Path),
}

impl<'a> Target<'a> {
    /// The path.
    pub fn path(&self) -> &'a Path {
        let (Self::Named(path) | Self::On(_, path)) = self;
        path
    }

    /// Writes what `write` writes.
    ///
    /// # Errors
    /// If the system refuses, and those of `write`.
    pub fn write<E: From<io::Error>>(
        &self,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Named(path) => write_output(path, write),
            Self::On(disk, path) => disk.replace_with(path, write),
        }
    }
}

impl<'a> From<&'a Path> for Target<'a> {
    fn from(path: &'a Path) -> Self {
        Self::Named(path)
    }
}

impl<'a> From<&'a PathBuf> for Target<'a> {
    fn from(path: &'a PathBuf) -> Self {
        Self::Named(path)
    }
}

/// Writes to `path` what `write` writes. A regular file is replaced as a whole or not at all, behind a link
/// too; into a pipe or a device the bytes go as they are, and it stays what it is.
///
/// # Errors
/// If the system refuses, and those of `write`.
pub fn write_output<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let disk = Disk::default();
    match fs::metadata(path) {
        Ok(found) if found.is_file() => disk.replace_with(&path.canonicalize()?, write),
        Ok(found) if found.is_dir() => Err(E::from(io::Error::from(io::ErrorKind::IsADirectory))),
        Ok(_) => {
            let mut out = BufWriter::with_capacity(1 << 16, File::options().write(true).open(path)?);
            write(&mut out)?;
            Ok(out.flush()?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => disk.replace_with(path, write),
        Err(error) => Err(error.into()),
    }
}
