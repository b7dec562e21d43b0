//! Tar files in WebDataset's convention: entries that follow each other and share a
//! name up to its first dot are one sample, such as `0001.jpg` and `0001.cls`.
//!
//! A shard is read from front to back and never indexed.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use decouple_disk::open_regular;
use serde::{Deserialize, Serialize};
use tar::{Archive, Entries, EntryType};

use crate::directory::is_image;
use crate::labels::Labelling;
use crate::{DataError, Looking, derive_seed, foreign};

/// Most bytes of a file of labels.
const MOST_LABEL_BYTES: u64 = 1 << 20;

/// Which samples of shards to read: all, or those on one side of a mark.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Share {
    All,
    /// Those held out.
    Below(Mark),
    /// The others.
    From(Mark),
}

/// A position in the order that `draw` gives to the keys of samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) split: Option<u64>,
    pub(crate) at: u64,
}

impl Share {
    fn has(self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Below(mark) => draw(key, mark.split) < mark.at,
            Self::From(mark) => draw(key, mark.split) >= mark.at,
        }
    }
}

/// A number that decides whether the samples named `key` are held out: those with the lowest
/// numbers are. It depends on the key alone, so samples with one key in two shards stay on the
/// same side.
pub(crate) fn draw(key: &str, split: Option<u64>) -> u64 {
    let hash =
        u64::from_le_bytes(blake3::hash(key.as_bytes()).as_bytes()[..8].try_into().unwrap_or_default());
    match split {
        None => derive_seed(0, "validation", 0, hash),
        Some(seed) => derive_seed(seed, "split", 0, hash),
    }
}

/// An image with its labels, not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Its name, for messages.
    pub(crate) name: PathBuf,
    /// The bytes of the image's file, or why they cannot be read.
    pub(crate) image: Result<Vec<u8>, String>,
    pub(crate) labels: Vec<u16>,
    /// The index for its augmentation, besides seed and epoch.
    pub(crate) index: u64,
}

/// The role of an entry in its sample.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Image,
    // In order of precedence.
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

/// Calls `each` with every sample of a share of the shard in `file`, in order, until it says
/// `false`. Memory: two samples.
pub(crate) fn read(
    file: &Path,
    share: Share,
    labelling: &Labelling,
    looking: Looking,
    each: &mut dyn FnMut(Sample) -> bool,
) -> Result<(), DataError> {
    let reader = Reader { file, share, labelling, looking };
    let input = open_regular(file).map_err(|error| reader.shard(error.to_string()))?;
    if let Share::Below(_) = share {
        // Few of many: the content between them is skipped, never read.
        let mut archive = Archive::new(Watched::new(input));
        let is_whole =
            reader.samples(archive.entries_with_seek().map_err(|error| reader.broken(&error))?, each)?;
        return if is_whole { reader.check_end(archive) } else { Ok(()) };
    }
    reader.read_from(BufReader::with_capacity(1 << 18, input), each)
}

/// [`read`] of all samples of any input; `file` is its name.
pub(crate) fn read_from(
    file: &Path,
    input: impl Read,
    labelling: &Labelling,
    looking: Looking,
    each: &mut dyn FnMut(Sample) -> bool,
) -> Result<(), DataError> {
    Reader { file, share: Share::All, labelling, looking }.read_from(input, each)
}

/// Reads a shard.
struct Reader<'a> {
    file: &'a Path,
    share: Share,
    labelling: &'a Labelling,
    looking: Looking,
}

impl Reader<'_> {
    fn shard(&self, problem: String) -> DataError {
        DataError::File { file: self.file.to_owned(), problem }
    }

    fn broken(&self, error: &io::Error) -> DataError {
        self.shard(not_a_shard(self.file, error))
    }

    fn read_from(&self, input: impl Read, each: &mut dyn FnMut(Sample) -> bool) -> Result<(), DataError> {
        let mut archive = Archive::new(Watched::new(input));
        let is_whole = self.samples(archive.entries().map_err(|error| self.broken(&error))?, each)?;
        if is_whole { self.check_end(archive) } else { Ok(()) }
    }

    /// Refuses a file that ends between two entries, as a download cut there does, or goes on after the end of
    /// its archive, as two files put together do: samples would be missing without a word.
    fn check_end(&self, archive: Archive<Watched<impl Read>>) -> Result<(), DataError> {
        let mut input = archive.into_inner();
        if input.is_at_end {
            let problem = "it ends without the empty blocks that end a tar file: it is cut short, or empty";
            return Err(self.shard(problem.to_owned()));
        }
        let mut block = [0; 512];
        loop {
            match input.read(&mut block).map_err(|error| self.broken(&error))? {
                0 => return Ok(()),
                length if block[..length].iter().all(|&byte| byte == 0) => {}
                _ => {
                    let problem = "it goes on after the end of its archive, as tar files put one after the other do: \
                                   give them as files of their own";
                    return Err(self.shard(problem.to_owned()));
                }
            }
        }
    }

    /// Whether all samples were wanted.
    fn samples(
        &self,
        entries: Entries<'_, impl Read>,
        each: &mut dyn FnMut(Sample) -> bool,
    ) -> Result<bool, DataError> {
        let mut open: Option<Open> = None;
        let mut index = 0;
        for entry in entries {
            let mut entry = entry.map_err(|error| self.broken(&error))?;
            let Some(name) = Name::of(&entry) else { continue };
            if name.path.contains(char::is_control) {
                return Err(self.shard(format!("the name {:?} has a control character", name.path)));
            }
            if let Some(done) = open.take_if(|open| open.key != name.key()) {
                if !self.hand_over(done, index, each)? {
                    return Ok(false);
                }
                index += 1;
            }
            let open = open.get_or_insert_with(|| Open::new(name.key(), self.share));
            if open.is_wanted {
                let content = self.content(&mut entry, &name)?;
                open.add(name.kind, &name.path, content).map_err(|problem| self.shard(problem))?;
            }
        }
        match open {
            Some(done) => self.hand_over(done, index, each),
            None => Ok(true),
        }
    }

    /// Whether further samples are wanted.
    fn hand_over(
        &self,
        done: Open,
        index: u64,
        each: &mut dyn FnMut(Sample) -> bool,
    ) -> Result<bool, DataError> {
        if !done.is_wanted {
            return Ok(true);
        }
        let sample = done.finish(self.file, self.labelling, index);
        Ok(each(sample.map_err(|problem| self.shard(problem))?))
    }

    /// The bytes of an entry, or an error if there are too many.
    fn content(
        &self,
        entry: &mut tar::Entry<'_, impl Read>,
        name: &Name,
    ) -> Result<Result<Vec<u8>, String>, DataError> {
        let most = match name.kind {
            Kind::Image => self.looking.most_pixels.saturating_mul(2),
            _ => MOST_LABEL_BYTES,
        };
        if name.is_link {
            let problem =
                format!("`{}` is a link: expected the file itself (`tar --dereference`)", name.path);
            return Err(self.shard(problem));
        }
        let size = entry.size();
        if size > most {
            return Ok(Err(format!("{size} bytes long, and at most {most} are read")));
        }
        let mut bytes = Vec::with_capacity(size.min(1 << 20) as usize);
        entry.read_to_end(&mut bytes).map_err(|error| self.broken(&error))?;
        if (bytes.len() as u64) < size {
            let (path, length) = (&name.path, bytes.len());
            return Err(self.shard(format!("`{path}` is cut short: {length} of {size} bytes")));
        }
        Ok(Ok(bytes))
    }
}

/// The name of an entry that belongs to a sample.
struct Name {
    path: String,
    /// Bytes of the sample's key, at the front of the path.
    key: usize,
    kind: Kind,
    is_link: bool,
}

impl Name {
    fn of(entry: &tar::Entry<'_, impl Read>) -> Option<Self> {
        let is_link = match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => false,
            EntryType::Link | EntryType::Symlink => true,
            _ => return None,
        };
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let (key, ending) = key_and_ending(&path)?;
        let (key, kind) = (key.len(), kind(&ending.to_ascii_lowercase())?);
        Some(Self { path, key, kind, is_link })
    }

    fn key(&self) -> &str {
        &self.path[..self.key]
    }
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
    is_wanted: bool,
    image: Option<Result<Vec<u8>, String>>,
    /// What says the label, in order of precedence.
    labels: BTreeMap<Kind, Result<Vec<u8>, String>>,
}

impl Open {
    fn new(key: &str, share: Share) -> Self {
        Self { key: key.to_owned(), is_wanted: share.has(key), image: None, labels: BTreeMap::new() }
    }

    fn add(&mut self, kind: Kind, path: &str, content: Result<Vec<u8>, String>) -> Result<(), String> {
        if kind == Kind::Image {
            if self.image.is_some() {
                return Err(format!("`{path}` is a second image of one sample"));
            }
            self.image = Some(content);
        } else if self.labels.insert(kind, content).is_some() {
            return Err(format!("`{path}` is a second one of its sample"));
        }
        Ok(())
    }

    fn finish(self, file: &Path, labelling: &Labelling, index: u64) -> Result<Sample, String> {
        let Self { key, image, labels, .. } = self;
        let of_sample = |problem: String| format!("sample `{key}`: {problem}");
        let image = image.ok_or_else(|| of_sample("no JPEG, PNG or WebP entry".to_owned()))?;
        let read = |(kind, content): (&Kind, &Result<Vec<u8>, String>)| {
            let bytes = content.as_ref().map_err(Clone::clone)?;
            if *kind == Kind::Json {
                return labelling.of_json(bytes);
            }
            let text = std::str::from_utf8(bytes).map_err(|_| "its label is no UTF-8".to_owned())?;
            labelling.of_text(text)
        };
        let first = labels
            .iter()
            .next()
            .map(read)
            .unwrap_or_else(|| Err("no entry .cls, .json or .txt with its label".to_owned()));
        let first = first.map_err(of_sample)?;
        // A .txt beside it may be a caption, and a .json anything, but no other label.
        let json = labels.get_key_value(&Kind::Json).map(read);
        if let Some(other) = json.and_then(Result::ok).filter(|other| *other != first) {
            return Err(of_sample(format!("one of its files says label {first:?}, another {other:?}")));
        }
        Ok(Sample { name: file.join(&key), image, labels: first, index })
    }
}

/// Why `file` cannot be read as a tar file: what else it is, or what the reader says.
fn not_a_shard(file: &Path, error: &io::Error) -> String {
    match foreign::named_at(file) {
        Some(kind) => format!("expected a tar file, but it is {kind}"),
        None => format!("not an intact tar file: {error}"),
    }
}

/// An input that notes whether its end was met.
struct Watched<R> {
    input: R,
    is_at_end: bool,
}

impl<R> Watched<R> {
    fn new(input: R) -> Self {
        Self { input, is_at_end: false }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.is_at_end |= length == 0 && !buffer.is_empty();
        Ok(length)
    }
}

impl<R: Seek> Seek for Watched<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.input.seek(to)
    }
}

/// Calls `each` with the key of every sample of a shard; only the headers of its entries are read.
pub(crate) fn keys(file: &Path, each: &mut dyn FnMut(&str)) -> Result<(), DataError> {
    let shard = |problem: String| DataError::File { file: file.to_owned(), problem };
    let broken = |error: io::Error| shard(not_a_shard(file, &error));
    let mut archive = Archive::new(open_regular(file).map_err(|error| shard(error.to_string()))?);
    let mut last = String::new();
    for entry in archive.entries_with_seek().map_err(broken)? {
        let Some(name) = Name::of(&entry.map_err(broken)?) else { continue };
        if name.key() != last {
            name.key().clone_into(&mut last);
            each(&last);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_files::{changed, changes, tar};

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
        let mut found = Vec::new();
        keys(&file, &mut |key| found.push(key.to_owned())).unwrap();
        std::fs::write(folder.path().join("y.tar"), b"\x1f\x8b\x08 packed").unwrap();
        let error = keys(&folder.path().join("y.tar"), &mut |_| {}).unwrap_err().to_string();
        assert!(error.ends_with("expected a tar file, but it is packed with gzip: unpack it"), "{error}");
        assert_eq!(found, ["a/0", "a/1", "b/1"]);
    }

    #[test]
    fn a_broken_sample_is_named() {
        for (entries, expected) in [
            (&[("0.jpg", &b"x"[..])][..], "sample `0`: no entry .cls"),
            (&[("0.cls", b"1")], "sample `0`: no JPEG"),
            (&[("0.jpg", b"x"), ("0.png", b"x")], "`0.png` is a second image"),
            (&[("0\n1.jpg", b"x")], r#""0\n1.jpg" has a control character"#),
            (&[("0.jpg", b"x"), ("0.cls", b"1"), ("0.cls", b"1")], "`0.cls` is a second one"),
            (&[("0.jpg", b"x"), ("0.cls", b"1"), ("0.json", b"[2]")], "says label [1], another [2]"),
            (&[("0.jpg", b"x"), ("0.cls", b"10")], "sample `0`: expected a label below 10, found 10"),
        ] {
            let message = samples(&tar(entries)).unwrap_err().to_string();
            assert!(message.starts_with("x.tar: ") && message.contains(expected), "{message}");
        }
        let whole = tar(&[("0.jpg", &[7; 30]), ("0.cls", b"1")]);
        for (shard, expected) in [
            (&whole[..2048], "ends without the empty blocks"),
            (&[], "ends without the empty blocks"),
            (&[&whole[..], &whole].concat(), "goes on after the end of its archive"),
        ] {
            let message = samples(shard).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let whole = tar(&[("0.jpg", &[7; 3000]), ("0.cls", b"1")]);
        let message = samples(&whole[..1024]).unwrap_err().to_string();
        assert!(message.contains("cut short") || message.contains("not an intact tar file"), "{message}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        /// Nothing in a shard can end the program or ask for more memory than it has bytes.
        #[test]
        fn a_changed_shard_is_read_or_refused(changes in changes()) {
            let shard = tar(&[("0.jpg", b"first"), ("0.cls", b"3"), ("1.json", b"[1]"), ("1.jpg", &[1; 600])]);
            if let Ok(samples) = samples(&changed(shard, changes)) {
                prop_assert!(samples.len() <= 8);
            }
        }
    }
}
