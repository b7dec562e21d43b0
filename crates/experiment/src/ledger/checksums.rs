//! `checksums.txt`: the BLAKE3 of each file of a run that has ended, in the format of `b3sum`.
//!
//! It is written just before the status, so every run that has ended has it. Runs of numerics version 0 have
//! none.

use std::collections::BTreeMap;
use std::path::Path;

use decouple_disk::{Disk, if_there};

use super::{LedgerError, files};

/// Its name.
pub(super) const FILE: &str = "checksums.txt";

/// The file that may be absent: weights are large, and results are kept without them.
const WEIGHTS: &str = "weights.safetensors";

/// The small files, of which every run that is over has the last four.
const SMALL: [&str; 5] = ["environment.json", "metrics.csv", "status.json", "timing.csv", "trial.toml"];

/// How much of a run is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Only the small files: a few kilobytes.
    Small,
    /// The weights too.
    All,
}

/// The checksum of each file, by name.
pub(super) type Checksums = BTreeMap<String, String>;

pub(super) fn of_bytes(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Whether a file of a run's folder is covered: one that a run writes, and not rebuilt, temporary, or the list itself.
pub(super) fn is_covered(name: &str) -> bool {
    SMALL.contains(&name) || name == WEIGHTS || name == super::per_image::FILE_NAME
}

/// The checksums of all files in `dir`, and of a status that is not there yet.
pub(super) fn of_folder(disk: &Disk, dir: &Path, status: &[u8]) -> Result<Checksums, LedgerError> {
    let mut sums = Checksums::new();
    for path in disk.list(dir).map_err(LedgerError::io("list", dir))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_covered(&name) && path.is_file() {
            let bytes = disk.read(&path).map_err(LedgerError::io("read", &path))?;
            sums.insert(name, of_bytes(&bytes));
        }
    }
    sums.insert("status.json".to_owned(), of_bytes(status));
    Ok(sums)
}

/// Writes the list into `dir`.
pub(super) fn write(disk: &Disk, dir: &Path, sums: &Checksums) -> Result<(), LedgerError> {
    // The status last: without its line the list is incomplete.
    let is_status = |name: &&String| *name == "status.json";
    let names = sums.keys().filter(|name| !is_status(name)).chain(sums.keys().filter(is_status));
    let text: String = names.map(|name| format!("{}  {name}\n", sums[name])).collect();
    let path = dir.join(FILE);
    disk.replace(&path, text.as_bytes()).map_err(LedgerError::io("write", &path))
}

/// The list in `dir`; `None` where a run of an earlier version has none.
pub(super) fn list(disk: &Disk, dir: &Path) -> Result<Option<Checksums>, LedgerError> {
    let path = dir.join(FILE);
    let Some(text) = files::text(disk, &path)? else {
        let environment = files::environment(disk, &dir.join("environment.json"))?;
        if environment.is_none_or(|environment| environment.numerics_version > 0) {
            return Err(LedgerError::malformed(&path, "it is missing, so the run may be incomplete"));
        }
        let missing = SMALL.iter().map(|name| dir.join(name)).find(|path| !path.is_file());
        return missing.map_or(Ok(None), |path| {
            Err(LedgerError::malformed(&path, "it is missing, so the run is incomplete"))
        });
    };
    parse(&text).map(Some).map_err(|message| LedgerError::malformed(&path, message))
}

fn parse(text: &str) -> Result<Checksums, String> {
    let mut sums = Checksums::new();
    for line in text.split_inclusive('\n') {
        let parts = line.strip_suffix('\n').and_then(|line| line.split_once("  "));
        let Some((sum, name)) = parts.filter(|(sum, _)| sum.len() == 64) else {
            return Err(format!("{line:?} is not a checksum and a name"));
        };
        if sums.insert(name.to_owned(), sum.to_owned()).is_some_and(|other| other != sum) {
            return Err(format!("it has two checksums of {name}"));
        }
    }
    match SMALL[1..].iter().find(|name| !sums.contains_key(**name)) {
        Some(name) => Err(format!("it has no line for {name}")),
        None => Ok(sums),
    }
}

/// Whether the file at `path` is as the run in `dir` wrote it.
pub(super) fn is_intact(dir: &Path, path: &Path) -> bool {
    let disk = Disk::default();
    let expected = list(&disk, dir).ok().flatten().and_then(|mut sums| {
        let name = path.strip_prefix(dir).ok()?.to_str()?;
        sums.remove(name)
    });
    expected.is_some_and(|expected| disk.read(path).is_ok_and(|bytes| of_bytes(&bytes) == expected))
}

/// Compares the files in `dir` with its list. Returns whether there is one.
pub(super) fn check(disk: &Disk, dir: &Path, depth: Depth) -> Result<bool, LedgerError> {
    let Some(sums) = list(disk, dir)? else { return Ok(false) };
    for (name, expected) in &sums {
        if depth == Depth::Small && name == WEIGHTS {
            continue;
        }
        let path = dir.join(name);
        let is_plain_name = Path::new(name).file_name().is_some_and(|file| file.to_str() == Some(name));
        if !is_plain_name {
            return Err(LedgerError::malformed(
                &dir.join(FILE),
                format!("{name:?} is not a file of this folder"),
            ));
        }
        // Earlier versions listed whatever somebody had put there. That a name is garbled shows, since it is not there.
        if !is_covered(name) && path.is_file() {
            continue;
        }
        let Some(bytes) = if_there(disk.read(&path)).map_err(LedgerError::io("read", &path))? else {
            if name == WEIGHTS {
                continue;
            }
            return Err(LedgerError::malformed(&path, format!("it is missing; {FILE} lists it")));
        };
        if of_bytes(&bytes) != *expected {
            let message = format!("it has changed since the run wrote it: {FILE} has another checksum");
            return Err(LedgerError::malformed(&path, message));
        }
    }
    Ok(true)
}
