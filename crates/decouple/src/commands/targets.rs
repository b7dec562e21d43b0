//! Files that are written where the user says.

use std::{fs::File, io::Read, path::Path};

use decouple_disk::write_output;
use decouple_spectrum::weights::{Description, file::WeightFile};

use crate::failure::{Failure, IO, USAGE};

/// Refuses to replace the weights that are read by those that are written, and any file that no
/// export has written.
pub(super) fn check(target: &Path, source: &Path) -> Result<(), Failure> {
    let real = |path: &Path| path.canonicalize().ok();
    let shown = target.display();
    if real(target).is_some_and(|target| real(source) == Some(target)) {
        refuse!(
            USAGE,
            "{shown}: these weights are read, and would be replaced: expected another file to write"
        );
    }
    if target.is_file() && !is_an_export(target) {
        refuse!(
            USAGE,
            "{shown}: there is such a file already, which no export has written: name another, or move it away"
        );
    }
    Ok(())
}

/// Whether the file says that it was written by this program, and not as part of a run.
fn is_an_export(path: &Path) -> bool {
    let Ok(mut file) = File::open(path) else { return false };
    let mut buffer = [0; 512];
    let length = file.read(&mut buffer).unwrap_or(0);
    let head = &buffer[..length];
    let is_module = || {
        let text = String::from_utf8_lossy(head);
        text.lines().take(8).any(|line| line.starts_with("Written by decouple "))
    };
    // The producer, which follows the version of the format.
    let is_onnx = || head.get(2..).is_some_and(|rest| rest.starts_with(b"\x12\x08decouple"));
    let is_run = || path.with_file_name("trial.toml").exists();
    let is_weights = || {
        WeightFile::open(path).is_ok_and(|file| matches!(Description::of(&file), Ok(Some(_)))) && !is_run()
    };
    is_module() || is_onnx() || is_weights()
}

/// Replaces a file as a whole: the old one is kept until the new one is complete.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_output(path, |out| out.write_all(bytes)).map_err(|error: std::io::Error| {
        Failure::new(IO, format!("cannot write {}: {error}", path.display()))
    })
}
