//! Why data cannot be used: which file, where in it, and what was expected.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Augment, ImageShape, SetName};

/// An image file that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
    /// Whether the machine may be at fault and not the file, as where it may not be read: such a file is never left
    /// out, since another run could have it.
    pub is_fault: bool,
}

impl Skipped {
    pub(crate) fn new(file: &Path, why: impl Into<Unusable>) -> Self {
        let Unusable { reason, is_fault } = why.into();
        Self { file: file.to_owned(), reason, is_fault }
    }
}

/// Why a file gives no image.
#[derive(Debug)]
pub(crate) struct Unusable {
    reason: String,
    is_fault: bool,
}

impl From<String> for Unusable {
    fn from(reason: String) -> Self {
        Self { reason, is_fault: false }
    }
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
        // Too many links, as of one that leads to itself.
        const LOOP: i32 = if cfg!(target_os = "linux") { 40 } else { 62 };
        // A device or a pipe is an invalid input.
        let is_of_file = matches!(error.kind(), NotFound | InvalidInput | NotADirectory | InvalidFilename)
            || error.raw_os_error() == Some(LOOP);
        Self { reason: error.to_string(), is_fault: !is_of_file }
    }
}

/// The position of a byte in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Bytes before this one, counted after unpacking if the file is packed.
    pub offset: u64,
    /// Whether the file is packed with gzip.
    pub packed: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unpacked = if self.packed { " of the unpacked content" } else { "" };
        write!(f, "{}: byte {}{unpacked}", self.file.display(), self.offset)
    }
}

/// Why a data set could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file of the set is missing, both plain and gzipped.
    #[error(
        "{folder}: neither `{name}` nor `{name}.gz` is here; {origin}; --data or the environment variable \
         DECOUPLE_DATA names the folder that holds them",
        folder = folder.display(),
        origin = set.origin()
    )]
    Missing {
        /// The set.
        set: SetName,
        /// The folder that was searched.
        folder: PathBuf,
        /// The file's published name, without `.gz`.
        name: &'static str,
    },
    /// The operating system could not read on.
    #[error("{place}: {source}")]
    Io {
        /// The first byte that could not be read.
        place: Place,
        /// What it said.
        source: io::Error,
    },
    /// The gzipped file is damaged: truncated, changed, or with trailing data.
    #[error("{place}: expected intact gzip data ({source})")]
    Gzip {
        /// The first byte of the unpacked content that could not be read.
        place: Place,
        /// The decompressor's message.
        source: io::Error,
    },
    /// The file does not begin like an IDX file of the expected kind.
    #[error(
        "{place}: expected the magic number {expected:#010x} (IDX, unsigned bytes, {} dimensions), found \
         {found:#010x}",
        expected & 0xff
    )]
    Magic {
        /// The first byte of the magic number.
        place: Place,
        /// The wanted number.
        expected: u32,
        /// What is there.
        found: u32,
    },
    /// The images are not of the set's size.
    #[error(
        "{place}: expected images of {} rows and {} columns, found {} and {}",
        expected[0], expected[1], found[0], found[1]
    )]
    Extents {
        /// The first byte of the number of rows.
        place: Place,
        /// Rows and columns of the set.
        expected: [u32; 2],
        /// Rows and columns that the file declares.
        found: [u32; 2],
    },
    /// The file declares more items than any file of the set has. Detected before memory is
    /// reserved.
    #[error("{place}: expected at most {most_items} items, found a count of {found}")]
    TooMany {
        /// The first byte of the count.
        place: Place,
        /// Most that are accepted.
        most_items: u32,
        /// What the file declares.
        found: u32,
    },
    /// The content ends early.
    #[error("{place}: the content ends here; expected {expected} bytes")]
    Truncated {
        /// One past the last byte.
        place: Place,
        /// Length of header and payload, as far as it is known.
        expected: u64,
    },
    /// There is content after the last item.
    #[error(
        "{place}: expected the content to end here, after the items that the header declares; found more"
    )]
    Oversized {
        /// The first byte too many.
        place: Place,
    },
    /// A label is not a class.
    #[error("{place}: expected a label below {classes}, found {found}")]
    Label {
        /// The label.
        place: Place,
        /// Number of classes.
        classes: usize,
        /// What is there.
        found: u8,
    },
    /// A file of labels does not have one label per image.
    #[error("{labels}: expected {image_count} labels, one for each image of {images}, found {found}", images = images.display())]
    Count {
        /// The first byte of the count of labels.
        labels: Place,
        /// Labels there are.
        found: usize,
        /// The file of images.
        images: PathBuf,
        /// Images there are.
        image_count: usize,
    },
    /// The files are intact but hold something else, for example MNIST, whose files have the
    /// same names.
    #[error(
        "{folder}: expected the published files of {set} (checksum {expected}), found other images or labels \
         (checksum {found}); MNIST, for one, has files of the same names",
        folder = folder.display()
    )]
    NotPublished {
        /// The set.
        set: SetName,
        /// The folder that was read.
        folder: PathBuf,
        /// Checksum of the published set.
        expected: &'static str,
        /// Checksum of what was read.
        found: String,
    },
    /// A folder of the set cannot be listed.
    #[error("{folder}: expected a folder that can be listed ({source}); {origin}", folder = folder.display(), origin = set.origin())]
    Folder {
        /// The set.
        set: SetName,
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file or folder of the set has a name that no list or message could hold.
    #[error("{folder}: the name {name:?} {problem}; rename it", folder = folder.display())]
    Name {
        /// Where it is.
        folder: PathBuf,
        /// Its name; what is not UTF-8 is replaced.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A folder is reached from two places, by a link.
    #[error(
        "{} and {} are one folder, by a link: its images would count twice, maybe for two classes or in both parts; \
         remove the link",
        first.display(), folder.display()
    )]
    Twice {
        /// The second place.
        folder: PathBuf,
        /// The first.
        first: PathBuf,
    },
    /// The folders are named like the parts of a set, not like classes.
    #[error(
        "{folder}: the folders {} look like parts of a set, not like classes: parts are called `train` and `test` \
         (or `val`); `data.class-list` says that they are classes",
        shortened(names), folder = folder.display()
    )]
    PartsForClasses {
        /// Their folder.
        folder: PathBuf,
        /// Their names.
        names: Vec<String>,
    },
    /// The number of folders is not that of the classes in the experiment file.
    #[error(
        "{folder}: expected {expected} folders, one per class, as `data.classes` says; found {found_count}{}{}",
        after_colon(found), deeper_hint(deeper.as_ref()),
        folder = folder.display(),
        found_count = found.len()
    )]
    Classes {
        /// The folder of folders.
        folder: PathBuf,
        /// Classes wanted.
        expected: usize,
        /// Names of the folders that are there.
        found: Vec<String>,
        /// A folder below it that has the expected number.
        deeper: Option<PathBuf>,
    },
    /// A file is damaged, or says what does not match the rest of the set: a list of classes or
    /// their weights, a published archive, a shard.
    #[error("{file}: {problem}", file = file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The folders of test images are not those of training images.
    #[error(
        "{} and {} must have the same class folders; {}",
        train.display(), test.display(), differing(train, only_train, test, only_test)
    )]
    TestClasses {
        /// The folder of folders of training images.
        train: PathBuf,
        /// The folder of folders of test images.
        test: PathBuf,
        /// Classes that only the training images have.
        only_train: Vec<String>,
        /// Classes that only the test images have.
        only_test: Vec<String>,
    },
    /// A test share of less than one image of a class, or a class of one image, which cannot be
    /// on both sides.
    #[error("{}: {}", folder.display(), share_problem(*images, *share))]
    TestShare {
        /// The class's folder.
        folder: PathBuf,
        /// Its images.
        images: usize,
        /// The share that is for testing.
        share: f64,
    },
    /// A class without a single image that can be read.
    #[error(
        "{folder}: expected at least one sound JPEG, PNG or WebP file of class `{class}` for {part}, found {}",
        left(*files, first.as_deref()),
        folder = folder.display()
    )]
    EmptyClass {
        /// The folder of class folders.
        folder: PathBuf,
        /// The class.
        class: String,
        /// `training` or `testing`.
        part: &'static str,
        /// Files there are, all of them left out.
        files: usize,
        /// One of them.
        first: Option<Box<Skipped>>,
    },
    /// A file is broken or not an image.
    #[error("{}", broken(.0))]
    Image(Skipped),
    /// There is something where a new folder is to be made.
    #[error(
        "{place}: expected a new folder, but there is one, or a file, of this name: name another, or move it away",
        place = place.display()
    )]
    Exists {
        /// The folder.
        place: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot write {file}: {source}", file = file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A table of images cannot be read, or a row of it is invalid.
    #[error("{file}{}: {problem}", line.map_or(String::new(), |line| format!(":{line}")), file = file.display())]
    Manifest {
        /// The table.
        file: PathBuf,
        /// The line, from 1.
        line: Option<u64>,
        /// What is wrong.
        problem: String,
    },
    /// A stand-in with these settings cannot be generated.
    #[error("a stand-in {problem}")]
    StandIn {
        /// The valid settings.
        problem: &'static str,
    },
    /// A folder of shards lacks a part.
    #[error(
        "{folder}: no tar file for `{part}`: expected names such as `{part}-000.tar`, or a folder `{part}` of them",
        folder = folder.display()
    )]
    NoShards {
        /// The folder.
        folder: PathBuf,
        /// The part.
        part: &'static str,
    },
    /// Shards without a sample.
    #[error(
        "{}: no sample here nor in the other {} shards of its part: expected pairs of an image and a label with one \
         name, as in `0001.jpg` and `0001.cls`",
        file.display(), shards.saturating_sub(1)
    )]
    EmptyShards {
        /// The first of them.
        file: PathBuf,
        /// How many there are.
        shards: usize,
    },
    /// No image of shards would be left to train on, or none held out.
    #[error(
        "validation = {requested}: the {samples} samples of the training shards have too few different names to hold \
         out so many by name and keep others to train on"
    )]
    ShardValidation {
        /// Validation images wanted.
        requested: usize,
        /// Samples of the training shards.
        samples: u64,
    },
    /// An augmentation in the wrong place, or one that does not suit the shape of the images.
    #[error("augment: `{augment}` {problem}")]
    Augment {
        /// The augmentation.
        augment: Augment,
        /// What is wrong.
        problem: String,
    },
    /// The threads that decode in the background cannot be started.
    #[error("cannot start threads to decode images: {0}")]
    Workers(String),
    /// The images do not fit into the memory limit of a set.
    #[error(
        "{folder}: {images} images of {shape} take {bytes} bytes of memory, and a set may take {most_bytes}; \
         choose a smaller `data.size`, or `data.stream = true` to decode them anew in every epoch",
        folder = folder.display()
    )]
    TooLarge {
        /// The folder.
        folder: PathBuf,
        /// Files in it.
        images: usize,
        /// Shape that they are brought to.
        shape: ImageShape,
        /// Their product.
        bytes: u64,
        /// The limit.
        most_bytes: u64,
    },
    /// No image is left to train on.
    #[error(
        "validation = {requested}: the set has {available} training images; some of each class must stay"
    )]
    NoneLeft {
        /// Validation images wanted.
        requested: usize,
        /// Training images of the set.
        available: usize,
    },
    /// More validation images are wanted than can be held out.
    #[error(
        "validation = {requested}: this holds out {from_class} of the {available} training images of class \
         `{class}`; at least one must stay"
    )]
    Validation {
        /// Validation images wanted.
        requested: usize,
        /// The first class that has too few.
        class: String,
        /// The number that would be held out of it.
        from_class: usize,
        /// The number it has.
        available: usize,
    },
}

/// `: a, b, c and 4 more`, or nothing.
pub(crate) fn after_colon(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(": {}", shortened(names)) }
}

/// `a, b, c and 4 more`.
pub(crate) fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len() {
        0..=SHOWN => shown,
        count => format!("{shown} and {} more", count - SHOWN),
    }
}

/// The problem of a file that an experiment names; for a missing one, with where it is looked for.
pub(crate) fn named_file(file: &Path, problem: String) -> String {
    if file.exists() {
        return problem;
    }
    format!("{problem}; --data or the environment variable DECOUPLE_DATA names the folder that sets are in")
}

fn deeper_hint(deeper: Option<&PathBuf>) -> String {
    deeper.map_or_else(String::new, |folder| {
        format!("; {} has as many: is that what `data.folder` should name?", folder.display())
    })
}

fn differing(train: &Path, only_train: &[String], test: &Path, only_test: &[String]) -> String {
    let only = |folder: &Path, names: &[String]| {
        (!names.is_empty()).then(|| format!("only {} has {}", folder.display(), shortened(names)))
    };
    let parts: Vec<String> = [only(train, only_train), only(test, only_test)].into_iter().flatten().collect();
    parts.join("; ")
}

fn share_problem(images: usize, share: f64) -> String {
    if images == 1 {
        "one image, which cannot be both for training and for testing; add images to this class, or a folder \
         `test` beside a folder `train`"
            .to_owned()
    } else {
        // Rounded up, so that the suggested share is large enough.
        let enough = (1e4 / images as f64).ceil() / 1e4;
        format!(
            "a share of {share} of {images} images is none for testing; `data.test-share = {enough}` or more \
             gives at least one, or a folder `test` beside a folder `train` says which they are"
        )
    }
}

fn left(files: usize, first: Option<&Skipped>) -> String {
    let such_as = |first: &Skipped| format!(", such as {}: {}", first.file.display(), first.reason);
    let first = first.map_or(String::new(), such_as);
    match files {
        0 => "none".to_owned(),
        1 => format!("one, which was skipped{first}"),
        files => format!("{files}, all of which were skipped{first}"),
    }
}

/// The message for a file that may not be left out.
fn broken(Skipped { file, reason, is_fault }: &Skipped) -> String {
    let file = file.display();
    if *is_fault {
        return format!("{file}: cannot be read: {reason}");
    }
    format!(
        "{file}: expected a sound JPEG, PNG or WebP file ({reason}); `data.corrupt = \"skip\"` skips such files and \
         lists them"
    )
}
