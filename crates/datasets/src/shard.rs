//! Tar files in WebDataset's convention: entries that follow each other and share a
//! name up to its first dot are one sample, such as `0001.jpg` and `0001.cls`.
//!
//! A shard is read from front to back and never indexed.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use tar::{Archive, EntryType};

use crate::labels::Labelling;
use crate::walk::is_image;
use crate::{DataError, Looking};

/// Most bytes of a file of labels.
const MOST_LABEL_BYTES: u64 = 1 << 20;

/// An image with its labels, not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Its name, for messages.
    pub(crate) name: PathBuf,
    /// The bytes of the image's file, or why they cannot be had.
    pub(crate) image: Result<Vec<u8>, String>,
    pub(crate) labels: Vec<u16>,
    /// What its augmentation is drawn from, besides seed and epoch.
    pub(crate) index: u64,
}

/// What an entry says about its sample.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Image,
    // In the order in which they are believed.
    Class,
    Json,
    Text,
}

fn kind(ending: &str) -> Option<Kind> {
    match ending {
        "cls" => Some(Kind::Class),
        "json" => Some(Kind::Json),
        "txt" => Some(Kind::Text),
        _ if is_image(Path::new(&format!("x.{}", ending.rsplit('.').next().unwrap_or_default()))) => {
            Some(Kind::Image)
        }
        _ => None,
    }
}

/// Calls `each` with every sample of the shard in `file`, in order, until it says
/// `false`. Memory: two samples.
pub(crate) fn read(
    file: &Path,
    labelling: &Labelling,
    looking: Looking,
    each: &mut dyn FnMut(Sample) -> bool,
) -> Result<(), DataError> {
    let shard = |problem: String| DataError::Shard { file: file.to_owned(), problem };
    if !std::fs::metadata(file).map_err(|error| shard(error.to_string()))?.is_file() {
        return Err(shard("a device, a pipe or a socket and no regular file".to_owned()));
    }
    let input = File::open(file).map_err(|error| shard(error.to_string()))?;
    read_from(file, BufReader::with_capacity(1 << 18, input), labelling, looking, each)
}

/// [`read`] of any input; `file` is its name.
pub(crate) fn read_from(
    file: &Path,
    input: impl Read,
    labelling: &Labelling,
    looking: Looking,
    each: &mut dyn FnMut(Sample) -> bool,
) -> Result<(), DataError> {
    let shard = |problem: String| DataError::Shard { file: file.to_owned(), problem };
    let broken = |error: io::Error| shard(format!("no sound tar file: {error}"));
    let mut archive = Archive::new(input);
    let mut open: Option<Open> = None;
    let mut index = 0;
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        if !matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Continuous) {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some((key, ending)) = key_and_ending(&path) else { continue };
        let Some(kind) = kind(&ending.to_ascii_lowercase()) else { continue };
        if open.as_ref().is_some_and(|open| open.key != key)
            && let Some(done) = open.take()
        {
            let sample = done.finish(file, labelling, index).map_err(shard)?;
            index += 1;
            if !each(sample) {
                return Ok(());
            }
        }
        let open = open.get_or_insert_with(|| Open { key: key.to_owned(), image: None, label: None });
        let most = if kind == Kind::Image { looking.most_pixels.saturating_mul(2) } else { MOST_LABEL_BYTES };
        let size = entry.size();
        let content = if size > most {
            Err(format!("{size} bytes long, and at most {most} are read"))
        } else {
            let mut bytes = Vec::with_capacity(size.min(1 << 20) as usize);
            entry.read_to_end(&mut bytes).map_err(broken)?;
            if (bytes.len() as u64) < size {
                return Err(shard(format!("`{path}` is cut short: {} of {size} bytes", bytes.len())));
            }
            Ok(bytes)
        };
        open.add(kind, &path, content).map_err(shard)?;
    }
    if let Some(done) = open {
        each(done.finish(file, labelling, index).map_err(shard)?);
    }
    Ok(())
}

/// `train/0001` and `seg.png` of `train/0001.seg.png`; hidden files have none.
fn key_and_ending(path: &str) -> Option<(&str, &str)> {
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    let dot = path[name..].find('.').filter(|&dot| dot > 0)?;
    Some((&path[..name + dot], &path[name + dot + 1..]))
}

/// A sample whose entries are being collected.
struct Open {
    key: String,
    image: Option<Result<Vec<u8>, String>>,
    label: Option<(Kind, Result<Vec<u8>, String>)>,
}

impl Open {
    fn add(&mut self, kind: Kind, path: &str, content: Result<Vec<u8>, String>) -> Result<(), String> {
        if kind == Kind::Image {
            if self.image.is_some() {
                return Err(format!("`{path}` is a second image of one sample"));
            }
            self.image = Some(content);
        } else if self.label.as_ref().is_none_or(|(other, _)| kind < *other) {
            self.label = Some((kind, content));
        }
        Ok(())
    }

    fn finish(self, file: &Path, labelling: &Labelling, index: u64) -> Result<Sample, String> {
        let Self { key, image, label } = self;
        let of_sample = |problem: String| format!("sample `{key}`: {problem}");
        let image = image.ok_or_else(|| of_sample("no JPEG, PNG or WebP entry".to_owned()))?;
        let (kind, label) =
            label.ok_or_else(|| of_sample("no entry .cls, .json or .txt with its label".to_owned()))?;
        let bytes = label.map_err(of_sample)?;
        let labels = if kind == Kind::Json {
            labelling.of_json(&bytes)
        } else {
            std::str::from_utf8(&bytes)
                .map_err(|_| "its label is no UTF-8".to_owned())
                .and_then(|text| labelling.of_text(text))
        };
        Ok(Sample { name: file.join(&key), image, labels: labels.map_err(of_sample)?, index })
    }
}

/// Counts the samples of a shard by the headers of its entries; nothing else is read.
pub(crate) fn count(file: &Path) -> Result<u64, DataError> {
    let shard = |problem: String| DataError::Shard { file: file.to_owned(), problem };
    let broken = |error: io::Error| shard(format!("no sound tar file: {error}"));
    let mut archive = Archive::new(File::open(file).map_err(|error| shard(error.to_string()))?);
    let (mut samples, mut last) = (0, String::new());
    for entry in archive.entries_with_seek().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let is_file = matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Continuous);
        if let Some((key, ending)) = key_and_ending(&path)
            && is_file
            && kind(&ending.to_ascii_lowercase()).is_some()
            && key != last
        {
            samples += 1;
            key.clone_into(&mut last);
        }
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A tar file of these entries.
    fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn samples(tar: &[u8]) -> Result<Vec<Sample>, DataError> {
        let mut samples = Vec::new();
        let labelling = Labelling::new(10, false, &[]);
        let looking = Looking { most_pixels: 1 << 20, ..Looking::default() };
        read_from(Path::new("x.tar"), tar, &labelling, looking, &mut |sample| {
            samples.push(sample);
            true
        })?;
        Ok(samples)
    }

    #[test]
    fn entries_of_one_name_are_a_sample() {
        let shard = tar(&[
            ("a/0.jpg", b"first"),
            ("a/0.cls", b"3"),
            ("a/1.cls", b"4\n"),
            ("a/1.txt", b"ignored beside .cls"),
            ("a/1.png", b"second"),
            ("b/1.JPEG", b"third"),
            ("b/1.json", b"{\"label\": 5}"),
            ("b/.hidden", b"x"),
            ("README", b"x"),
        ]);
        let found = samples(&shard).unwrap();
        let seen: Vec<_> = found
            .iter()
            .map(|sample| {
                (
                    sample.name.to_str().unwrap(),
                    &sample.image.as_ref().unwrap()[..],
                    sample.labels[0],
                    sample.index,
                )
            })
            .collect();
        let expected: [(&str, &[u8], u16, u64); 3] =
            [("x.tar/a/0", b"first", 3, 0), ("x.tar/a/1", b"second", 4, 1), ("x.tar/b/1", b"third", 5, 2)];
        assert_eq!(seen, expected);

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.tar");
        std::fs::write(&file, shard).unwrap();
        assert_eq!(count(&file).unwrap(), 3);
    }

    #[test]
    fn a_broken_sample_is_named() {
        for (entries, expected) in [
            (&[("0.jpg", &b"x"[..])][..], "sample `0`: no entry .cls"),
            (&[("0.cls", b"1")], "sample `0`: no JPEG"),
            (&[("0.jpg", b"x"), ("0.png", b"x")], "`0.png` is a second image"),
            (&[("0.jpg", b"x"), ("0.cls", b"10")], "sample `0`: expected a label below 10, found 10"),
        ] {
            let message = samples(&tar(entries)).unwrap_err().to_string();
            assert!(message.starts_with("x.tar: ") && message.contains(expected), "{message}");
        }
        let whole = tar(&[("0.jpg", &[7; 3000]), ("0.cls", b"1")]);
        let message = samples(&whole[..1024]).unwrap_err().to_string();
        assert!(message.contains("cut short") || message.contains("no sound tar file"), "{message}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        /// Nothing in a shard can end the program or ask for more memory than it has bytes.
        #[test]
        fn a_changed_shard_is_read_or_refused(
            changes in prop::collection::vec((0_usize..4096, any::<u8>()), 1..8), cut in 0_usize..6000,
        ) {
            let mut shard = tar(&[("0.jpg", b"first"), ("0.cls", b"3"), ("1.json", b"[1]"), ("1.jpg", &[1; 600])]);
            for (at, byte) in changes {
                if let Some(place) = shard.get_mut(at) {
                    *place = byte;
                }
            }
            shard.truncate(cut);
            if let Ok(samples) = samples(&shard) {
                prop_assert!(samples.len() <= 8);
            }
        }
    }
}
