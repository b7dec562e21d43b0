//! The identity of a set on disk: a checksum of its content, cached with other facts that need
//! computing only once.
//!
//! A set in memory is hashed completely. For a streamed set the names and sizes of all files
//! count, and some bytes of a thousand of them, spread over the list: from the beginning, the
//! middle and the end. The result is kept in the user's cache and trusted as long as no file's
//! name, size or modification time has changed.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::shard::Mark;

/// Number of files whose bytes count, and bytes at each of three places.
const SAMPLED: usize = 1_024;
const SAMPLED_BYTES: u64 = 64 << 10;

/// Version of what is learned: raised when equal files make other facts, so that none of an earlier program
/// are believed.
const VERSION: u32 = 1;

/// The length of a file that is not there. Whether it is needed is decided by who decodes it.
const ABSENT: u64 = u64::MAX;

/// The cached facts about a streamed set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cached {
    /// Of the names, sizes and times of all files.
    fingerprint: String,
    pub(crate) checksum: String,
    pub(crate) learned: Learned,
}

/// Facts learned by reading a streamed set once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Learned {
    /// Samples in its training and its test shards.
    pub(crate) samples: [u64; 2],
    /// Which of the former are held out.
    pub(crate) held_out: Option<HeldOut>,
    /// Mean and standard deviation of each channel.
    pub(crate) mean: Vec<f32>,
    pub(crate) std: Vec<f32>,
}

/// The held-out samples of shards: those below a mark.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HeldOut {
    pub(crate) mark: Mark,
    pub(crate) samples: u64,
}

/// Where [`Cached`] is kept between runs.
#[derive(Clone, Debug)]
pub(crate) struct Cache(Option<PathBuf>);

impl Cache {
    /// The user's: `decouple` in `XDG_CACHE_HOME` or `~/.cache`; none without a home.
    pub(crate) fn of_user() -> Self {
        let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let caches = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
        Self(caches.map(|caches| caches.join("decouple").join("sets")))
    }

    /// In this folder.
    #[cfg(test)]
    pub(crate) fn at(folder: &Path) -> Self {
        Self(Some(folder.to_owned()))
    }

    /// The facts about the set of `files`, read as `how` says: from the cache or else from
    /// `learn`; the checksum is computed here. A cache that cannot be read or written only
    /// costs time.
    pub(crate) fn known(
        &self,
        root: &Path,
        files: &[&Path],
        how: &str,
        learn: impl FnOnce() -> Result<Learned, DataError>,
    ) -> Result<Cached, DataError> {
        let fingerprint = fingerprint(root, files);
        let own = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
        let name = blake3::hash(format!("{VERSION}\n{}\n{how}", own.display()).as_bytes()).to_hex();
        let place = self.0.as_ref().map(|folder| folder.join(format!("{name}.json")));
        let kept = place.as_ref().and_then(|place| fs::read(place).ok());
        let kept = kept.and_then(|bytes| serde_json::from_slice::<Cached>(&bytes).ok());
        if let Some(known) = kept.filter(|known| known.fingerprint == fingerprint) {
            return Ok(known);
        }
        let (checksum, is_whole) = checksum(root, files);
        let known = Cached { fingerprint, checksum, learned: learn()? };
        if let (Some(place), true, Ok(text)) = (place, is_whole, serde_json::to_vec(&known)) {
            keep(&place, &text);
        }
        Ok(known)
    }
}

/// Writes a temporary file and renames it, so that no reader sees half a file.
fn keep(place: &Path, text: &[u8]) {
    let beside = place.with_extension(format!("{}.part", std::process::id()));
    let written = place
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(&beside, text))
        .and_then(|()| fs::rename(&beside, place));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
}

fn name<'a>(root: &Path, file: &'a Path) -> &'a [u8] {
    file.strip_prefix(root).unwrap_or(file).as_os_str().as_encoded_bytes()
}

fn fingerprint(root: &Path, files: &[&Path]) -> String {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        let metadata = fs::metadata(file).ok();
        let changed = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
        let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let name = name(root, file);
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name);
        hasher.update(&metadata.map_or(ABSENT, |metadata| metadata.len()).to_le_bytes());
        hasher.update(&changed.map_or(0, |time| time.as_nanos()).to_le_bytes());
    }
    hasher.finalize().to_string()
}

/// BLAKE3 over each file's name, size and, of a thousand, some bytes; and whether these could all be read.
fn checksum(root: &Path, files: &[&Path]) -> (String, bool) {
    let (mut hasher, mut is_whole) = (blake3::Hasher::new(), true);
    let step = files.len().div_ceil(SAMPLED).max(1);
    for (index, file) in files.iter().enumerate() {
        let metadata = fs::metadata(file).ok();
        let length = metadata.as_ref().map_or(ABSENT, |metadata| metadata.len());
        let name = name(root, file);
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name).update(&length.to_le_bytes());
        if index % step == 0 && metadata.is_some_and(|metadata| metadata.is_file()) {
            match sampled(file, length) {
                Ok(bytes) => hasher.update(&bytes),
                Err(_) => {
                    is_whole = false;
                    hasher.update(b"cannot be read")
                }
            };
        }
    }
    (hasher.finalize().to_string(), is_whole)
}

/// The beginning, the middle and the end of a file, or all of a short one.
fn sampled(file: &Path, length: u64) -> io::Result<Vec<u8>> {
    let mut input = File::open(file)?;
    let mut bytes = Vec::new();
    if length <= 3 * SAMPLED_BYTES {
        input.take(3 * SAMPLED_BYTES).read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    for begin in [0, (length - SAMPLED_BYTES) / 2, length - SAMPLED_BYTES] {
        input.seek(SeekFrom::Start(begin))?;
        input.by_ref().take(SAMPLED_BYTES).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_and_not_the_place_makes_the_checksum() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let of = |folder: &tempfile::TempDir| {
            let files = [folder.path().join("a"), folder.path().join("b")];
            checksum(folder.path(), &[&files[0], &files[1]]).0
        };
        for folder in &folders {
            fs::write(folder.path().join("a"), vec![1; 300_000]).unwrap();
            fs::write(folder.path().join("b"), "b").unwrap();
        }
        let first = of(&folders[0]);
        assert_eq!(first, of(&folders[1]));
        for place in [0, 150_000, 299_999] {
            let mut changed = vec![1; 300_000];
            changed[place] = 2;
            fs::write(folders[1].path().join("a"), changed).unwrap();
            assert_ne!(of(&folders[1]), first);
        }
        fs::write(folders[1].path().join("a"), vec![1; 300_001]).unwrap();
        assert_ne!(of(&folders[1]), first);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_nothing_has_a_checksum_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("x.png");
        std::os::unix::fs::symlink("target", &link).unwrap();
        let of = || (fingerprint(folder.path(), &[&link]), checksum(folder.path(), &[&link]));
        let dangling = of();
        assert_eq!(dangling, of());
        fs::write(folder.path().join("target"), "").unwrap();
        let whole = of();
        assert!(dangling.0 != whole.0 && dangling.1 != whole.1, "{whole:?}");
    }

    #[test]
    fn what_is_kept_is_believed_until_a_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (file, cache) = (folder.path().join("x"), Cache::at(&folder.path().join("cache")));
        fs::write(&file, "one").unwrap();
        let mut times = 0;
        let mut known = |how: &str| {
            let learn = || {
                times += 1;
                Ok(Learned { samples: [times, 0], held_out: None, mean: vec![0.5], std: vec![0.25] })
            };
            cache.known(folder.path(), &[&file], how, learn).unwrap().learned.samples[0]
        };
        assert_eq!([known("a"), known("a"), known("b"), known("a")], [1, 1, 2, 1]);
        fs::write(&file, "another").unwrap();
        assert_eq!([known("a"), known("a")], [3, 3]);
        for entry in fs::read_dir(folder.path().join("cache")).unwrap() {
            fs::write(entry.unwrap().path(), "{").unwrap();
        }
        assert_eq!(known("a"), 4);
    }
}
