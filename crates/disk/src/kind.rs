//! What a path leads to: only regular files are read and replaced.

use std::{
    fs::{self, File, FileType},
    io,
    path::Path,
};

use crate::if_there;

/// Opens a regular file for reading. A link may lead to it. A pipe or a device, which could keep the reader
/// waiting or never end, is refused without being opened.
///
/// # Errors
/// If it is not there, is not a regular file or cannot be opened.
pub fn open_regular(path: &Path) -> io::Result<File> {
    refuse_others(fs::metadata(path)?.file_type(), "read")?;
    let file = File::open(path)?;
    // Checked again after opening: the name may lead elsewhere by now.
    refuse_others(file.metadata()?.file_type(), "read")?;
    Ok(file)
}

/// Refuses to replace anything but a regular file; a link is not one.
pub(crate) fn may_replace(path: &Path) -> io::Result<()> {
    match if_there(fs::symlink_metadata(path))? {
        Some(found) if !found.is_dir() => refuse_others(found.file_type(), "replaced"),
        _ => Ok(()),
    }
}

fn refuse_others(found: FileType, what: &str) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    let message = format!("it is {}; only regular files are {what}", name(found));
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

fn name(found: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if found.is_dir() {
        "a folder"
    } else if found.is_symlink() {
        "a symbolic link"
    } else if found.is_fifo() {
        "a pipe"
    } else if found.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}
