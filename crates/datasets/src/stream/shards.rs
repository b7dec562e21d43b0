//! A folder of shards: which are for training, which for testing, and how many samples they
//! have.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{ClassWeights, Files, LeftOut, Origin, Streamed};
use crate::directory::{are, natural};
use crate::shard::Share;
use crate::{Classes, DataError, Reading};

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

/// Names of the parts in the order in which one of them is chosen for testing.
const TEST: [&str; 4] = ["test", "val", "valid", "validation"];

/// The set with its samples not counted yet, the names of its classes and notes on what is not
/// used.
pub(crate) fn open(
    spec: &Shards,
    data: Option<&Path>,
) -> Result<(Streamed, Vec<String>, Vec<String>), DataError> {
    let folder = data.unwrap_or(Path::new(".")).join(&spec.folder);
    let mut notes = Vec::new();
    let train = part(&folder, "train", &mut notes)?;
    if train.is_empty() {
        return Err(DataError::NoShards { folder, part: "train" });
    }
    let mut test = Vec::new();
    for name in TEST {
        let found = part(&folder, name, &mut notes)?;
        if test.is_empty() {
            test = found;
        } else if !found.is_empty() {
            let shards = are(found.len(), "shard");
            notes.push(format!("{}: {shards} of `{name}` not used", folder.display()));
        }
    }
    if test.is_empty() {
        return Err(DataError::NoShards { folder, part: "test" });
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

/// Shards of a part: those in a folder with its name, or with its name as a prefix. Compressed ones are
/// noted.
fn part(folder: &Path, name: &str, notes: &mut Vec<String>) -> Result<Vec<PathBuf>, DataError> {
    let own = folder.join(name);
    let (folder, is_own) = if own.is_dir() { (own.as_path(), true) } else { (folder, false) };
    let error = |source| DataError::Folder { folder: folder.to_owned(), source };
    let (mut files, mut compressed) = (Vec::new(), 0);
    for entry in std::fs::read_dir(folder).map_err(error)? {
        let path = entry.map_err(error)?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let rest = file
            .strip_prefix(name)
            .filter(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() && !c.is_ascii_digit()));
        if file.starts_with('.') || !(is_own || rest.is_some()) {
            continue;
        }
        let ending = file.to_ascii_lowercase();
        if ending.ends_with(".tar") {
            files.push(path);
        } else if ending.contains(".tar.") || ending.ends_with(".tgz") {
            compressed += 1;
        }
    }
    if compressed > 0 {
        let files = are(compressed, "compressed shard");
        notes.push(format!("{}: {files} not used, since only plain .tar files are read", folder.display()));
    }
    files.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
    Ok(files)
}
