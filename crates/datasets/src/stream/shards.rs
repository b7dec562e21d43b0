//! A folder of shards: which are for training, which for testing, and how many samples they
//! have.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{ClassWeights, Files, LeftOut, Origin, Streamed};
use crate::directory::{are, natural};
use crate::parts::{TEST, TRAIN};
use crate::shard::Share;
use crate::{Classes, DataError, Reading, SetName};

/// Tar files of samples and the target format of their images.
#[derive(Clone, Debug, PartialEq)]
pub struct Shards {
    /// The folder, relative to that of the data sets.
    pub folder: PathBuf,
    /// Its classes.
    pub classes: Classes,
    /// Images per epoch, if not all; otherwise the headers of all shards are read once to count
    /// them.
    pub images: Option<usize>,
    /// How the images are read.
    pub reading: Reading,
}

/// The set with its samples not counted yet, the names of its classes and notes on what is not
/// used.
pub(crate) fn open(
    spec: &Shards,
    data: Option<&Path>,
) -> Result<(Streamed, Vec<String>, Vec<String>), DataError> {
    let folder = data.unwrap_or(Path::new(".")).join(&spec.folder);
    let (mut notes, mut of_parts) = (Vec::new(), HashSet::new());
    let listed = files(&folder)?;
    let mut first = |names: &[&'static str]| first_of(&folder, &listed, names, &mut of_parts, &mut notes);
    let (train, test) = (first(&TRAIN)?, first(&TEST)?);
    let others = listed.iter().filter(|(file, name)| is_tar(name) && !of_parts.contains(file)).count();
    if others > 0 {
        let (folder, files) = (folder.display(), are(others, "tar file"));
        let expected = "names begin with `train` or `test`, unless there is a folder of that name";
        notes.push(format!("{folder}: {files} of no part and not used: {expected}"));
    }
    let (classes, labelling) = spec.classes.open(&|list| folder.join(list))?;
    let origin = |files| Origin::Shards { files: Arc::new(files), images: 0, share: Share::All };
    let set = Streamed {
        reading: spec.reading.clone(),
        labelling: Arc::new(labelling),
        train: origin(train),
        validation: Origin::Files(Files::from(Vec::new())),
        test: origin(test),
        left_out: Arc::new(Mutex::new(LeftOut::default())),
        weights: ClassWeights::default(),
    };
    Ok((set, classes, notes))
}

/// The shards of the first of a part's `names` that has some, in `folder` with these [`files`]; those of the others
/// are noted. All of them are added to `of_parts`.
fn first_of(
    folder: &Path,
    listed: &[(PathBuf, String)],
    names: &[&'static str],
    of_parts: &mut HashSet<PathBuf>,
    notes: &mut Vec<String>,
) -> Result<Vec<PathBuf>, DataError> {
    let mut first = Vec::new();
    for name in names {
        let found = part(folder, listed, name, notes)?;
        of_parts.extend(found.iter().cloned());
        if first.is_empty() {
            first = found;
        } else if !found.is_empty() {
            let shards = are(found.len(), "shard");
            notes.push(format!("{}: {shards} of `{name}` and not used", folder.display()));
        }
    }
    if first.is_empty() {
        return Err(DataError::NoShards { folder: folder.to_owned(), part: names[0] });
    }
    Ok(first)
}

/// Shards of a part: those in a folder with its name, or with its name as a prefix. Compressed ones are
/// noted.
fn part(
    folder: &Path,
    listed: &[(PathBuf, String)],
    name: &str,
    notes: &mut Vec<String>,
) -> Result<Vec<PathBuf>, DataError> {
    let own = folder.join(name);
    let is_own = own.is_dir();
    let of_own = if is_own { files(&own)? } else { Vec::new() };
    let (folder, listed) = if is_own { (own.as_path(), &of_own[..]) } else { (folder, listed) };
    let (mut shards, mut compressed) = (Vec::new(), 0);
    for (path, file) in listed {
        let rest = file
            .strip_prefix(name)
            .filter(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() && !c.is_ascii_digit()));
        if !(is_own || rest.is_some()) {
            continue;
        }
        let ending = file.to_ascii_lowercase();
        if is_tar(file) {
            shards.push(path.clone());
        } else if ending.contains(".tar.") || ending.ends_with(".tgz") {
            compressed += 1;
        }
    }
    if compressed > 0 {
        let files = are(compressed, "compressed shard");
        notes.push(format!("{}: {files} not used, since only plain .tar files are read", folder.display()));
    }
    shards.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
    Ok(shards)
}

fn is_tar(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".tar")
}

/// What is in a folder and not hidden, with its names.
fn files(folder: &Path) -> Result<Vec<(PathBuf, String)>, DataError> {
    let error = |source| DataError::Folder { set: SetName::Shards, folder: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(error)? {
        let path = entry.map_err(error)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            files.push((path, name));
        }
    }
    Ok(files)
}
