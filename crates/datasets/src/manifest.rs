//! A manifest: a table of paths with their labels, as CSV, TSV, JSON-lines or Parquet.
//!
//! The table is read from front to back and hashed. Only path and labels of each image are
//! kept; the images themselves are streamed.

mod parquet;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use ::parquet::file::reader::ChunkReader;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::class_names::absent;
use crate::directory::are;
use crate::error::{named_file, shortened};
use crate::foreign::{self, START};
use crate::labels::Labelling;
use crate::parts::{TEST, TRAIN};
use crate::{Classes, Corrupt, DataError, Reading, Skipped};

/// Most bytes of a row.
const MOST_ROW_BYTES: usize = 16 << 20;

/// Default names of columns, in order of preference.
const PATHS: [&str; 7] = ["path", "image", "file", "filename", "file_name", "filepath", "image_path"];
const LABELS: [&str; 5] = ["label", "labels", "class", "classes", "category"];
const SPLITS: [&str; 4] = ["split", "subset", "part", "partition"];

/// A table of images and their target format.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The table, relative to the folder of the data sets.
    pub file: PathBuf,
    /// Columns of paths (relative to the table), of labels and of splits; by default the first
    /// of the usual ones.
    pub columns: Columns,
    /// Its classes.
    pub classes: Classes,
    /// Share of the rows used for testing, if there is no split column.
    pub test_share: f64,
    /// How the images are read.
    pub reading: Reading,
}

/// Names of columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// Of the images' paths.
    pub path: Option<String>,
    /// Of their labels.
    pub label: Option<String>,
    /// Of the splits.
    pub split: Option<String>,
}

/// Files with their labels.
pub(crate) type Labelled = Vec<(PathBuf, Vec<u16>)>;

/// The content of a manifest.
#[derive(Debug)]
pub(crate) struct ManifestListing {
    pub(crate) classes: Vec<String>,
    pub(crate) train: Labelled,
    pub(crate) test: Labelled,
    pub(crate) notes: Vec<String>,
    /// Rows whose files are missing.
    pub(crate) skipped: Vec<Skipped>,
    /// BLAKE3 of the table.
    pub(crate) hash: blake3::Hash,
    /// Whether the rows for testing were taken from those of each class.
    pub(crate) is_divided_by_class: bool,
}

impl Manifest {
    /// The table.
    pub(crate) fn path(&self, data: Option<&Path>) -> PathBuf {
        data.unwrap_or(Path::new(".")).join(&self.file)
    }

    /// A file beside the table.
    pub(crate) fn beside(&self, data: Option<&Path>, file: &Path) -> PathBuf {
        self.path(data).parent().unwrap_or(Path::new(".")).join(file)
    }
}

/// Reads the table; no image is opened.
pub(crate) fn list(spec: &Manifest, data: Option<&Path>) -> Result<ManifestListing, DataError> {
    let file = spec.path(data);
    let (classes, labelling) = spec.classes.open(&|list| spec.beside(data, list))?;
    let metadata = fs::metadata(&file).map_err(|error| whole(&file, named_file(&file, error.to_string())))?;
    if !metadata.is_file() {
        return Err(whole(
            &file,
            "expected a CSV, TSV, JSON-lines or Parquet file, found no regular file".to_owned(),
        ));
    }
    let input = File::open(&file).map_err(|error| whole(&file, error.to_string()))?;
    read_from(spec, &file, labelling, classes, input)
}

/// Reads the table `input`, which is `file`; its extension determines the format.
pub(crate) fn read_from(
    spec: &Manifest,
    file: &Path,
    labelling: Labelling,
    classes: Vec<String>,
    input: impl ChunkReader + 'static,
) -> Result<ManifestListing, DataError> {
    let kind = Kind::of(file)?;
    let mut rows = Rows {
        spec,
        file,
        kind,
        labelling,
        parts: Default::default(),
        folder: Path::new(".").join(file.parent().unwrap_or(Path::new(""))).canonicalize().ok(),
        seen: HashMap::new(),
        missing: Vec::new(),
        has_crlf: false,
    };
    let mut start = Vec::new();
    let first = input.get_read(0).and_then(|bytes| Ok(bytes.take(START as u64).read_to_end(&mut start)?));
    first.map_err(|error| whole(file, error.to_string()))?;
    let line_feed = start.iter().position(|&byte| byte == b'\n');
    rows.has_crlf = line_feed.is_some_and(|end| start[..end].ends_with(b"\r"));
    if let Some(found) = foreign::named(&start) {
        return Err(whole(
            file,
            format!("expected a CSV, TSV, JSON-lines or Parquet file, but it is {found}"),
        ));
    }
    let mut bytes = input.get_read(0).map_err(|error| whole(file, error.to_string()))?;
    let (has_splits, hash) = if kind == Kind::Parquet {
        let mut hasher = blake3::Hasher::new();
        io::copy(&mut bytes, &mut hasher).map_err(|error| whole(file, error.to_string()))?;
        (rows.parquet(input)?, hasher.finalize())
    } else {
        let mut input = Checked::new(bytes);
        let has_splits = match kind {
            Kind::Separated(separator) => rows.separated(&mut input, separator)?,
            _ => rows.json_lines(&mut input)?,
        };
        (has_splits, input.hasher.finalize())
    };
    let (train, test, mut notes) = rows.divided(has_splits)?;
    if !spec.classes.multi_label {
        notes.extend(rows.missing_classes(&classes, &train, &test));
    }
    let is_divided_by_class = !has_splits && !spec.classes.multi_label;
    Ok(ManifestListing { classes, train, test, notes, skipped: rows.missing, hash, is_divided_by_class })
}

/// The format of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A row a line, with this byte between cells.
    Separated(u8),
    /// An object a line.
    JsonLines,
    Parquet,
}

impl Kind {
    fn of(file: &Path) -> Result<Self, DataError> {
        let ending = file.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match ending.as_str() {
            "csv" => Ok(Self::Separated(b',')),
            "tsv" | "tab" => Ok(Self::Separated(b'\t')),
            "jsonl" | "ndjson" | "json" => Ok(Self::JsonLines),
            "parquet" | "pq" => Ok(Self::Parquet),
            _ => {
                let problem = "expected a table that ends in .csv, .tsv, .jsonl, .ndjson or .parquet";
                Err(whole(file, problem.to_owned()))
            }
        }
    }

    /// What rows are called in messages: lines of a text, or rows of a table.
    const fn place(self) -> &'static str {
        match self {
            Self::Separated(_) | Self::JsonLines => "line",
            Self::Parquet => "row",
        }
    }
}

fn whole(file: &Path, problem: String) -> DataError {
    DataError::Manifest { file: file.to_owned(), line: None, problem }
}

/// A row of the table.
struct Row {
    /// Its line, or its number where a table has no lines.
    line: u64,
    path: String,
    labels: Result<Vec<u16>, String>,
    split: Option<String>,
}

struct Rows<'a> {
    spec: &'a Manifest,
    file: &'a Path,
    kind: Kind,
    labelling: Labelling,
    /// The training part, then one for each of [`TEST`]. Without splits, all rows are in the
    /// first.
    parts: [Labelled; 1 + TEST.len()],
    /// The folder of the table, without links.
    folder: Option<PathBuf>,
    /// Where each path is, by its hash.
    seen: HashMap<u64, (usize, usize)>,
    /// Missing files.
    missing: Vec<Skipped>,
    /// Whether the first line ends in CR and LF.
    has_crlf: bool,
}

impl Rows<'_> {
    fn at(&self, line: u64, problem: String) -> DataError {
        match self.kind {
            Kind::Parquet => whole(self.file, format!("row {line}: {problem}")),
            _ => DataError::Manifest { file: self.file.to_owned(), line: Some(line), problem },
        }
    }

    /// The places of the columns of paths, of labels and of splits among `names`.
    fn columns(&self, names: &[&str]) -> Result<(usize, usize, Option<usize>), String> {
        let column = |own: &Option<String>, usual: &[&str]| match own {
            Some(own) => names.iter().position(|name| name == own),
            None => {
                usual.iter().find_map(|usual| names.iter().position(|name| name.eq_ignore_ascii_case(usual)))
            }
        };
        let needed = |key: &str, own: &Option<String>, usual: &[&str]| {
            column(own, usual).ok_or_else(|| no_column(key, own, usual, names))
        };
        let Columns { path, label, split } = &self.spec.columns;
        let split = match split {
            own @ Some(_) => Some(needed("split-column", own, &SPLITS)?),
            None => column(&None, &SPLITS),
        };
        Ok((needed("path-column", path, &PATHS)?, needed("label-column", label, &LABELS)?, split))
    }

    /// Reads a table with a header. Returns whether it has splits.
    fn separated(&mut self, input: impl Read, separator: u8) -> Result<bool, DataError> {
        let mut reader = csv::ReaderBuilder::new().delimiter(separator).from_reader(input);
        let head = reader.headers().map_err(|error| self.of_csv(&error))?.clone();
        let names: Vec<&str> = head.iter().map(|name| name.trim_start_matches('\u{feff}').trim()).collect();
        if let Some(name) = repeated(&names) {
            return Err(self.at(1, format!("two columns are called `{name}`")));
        }
        if let Some(name) = names.iter().find(|name| name.contains(['\n', '\r'])) {
            let problem =
                format!("the name of a column has several lines, as after an open quotation mark: {name:?}");
            return Err(self.at(1, problem));
        }
        let (path, label, split) = self.columns(&names).map_err(|problem| self.at(1, problem))?;
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(|error| self.of_csv(&error))? {
            let line = self.line_of(record.position());
            if let Some(row) = self.swallowed(&record, path, separator) {
                let problem = format!(
                    "a quotation mark opens a cell that goes on over rows such as `{row}`: double it, or close the cell"
                );
                return Err(self.at(line, problem));
            }
            let cell = |column: usize| record.get(column).unwrap_or_default();
            let labels = self.labelling.of_text(cell(label));
            let split = split.map(|split| cell(split).to_owned());
            self.add(Row { line, path: cell(path).to_owned(), labels, split })?;
        }
        Ok(split.is_some())
    }

    /// A line of a cell that names a file where paths stand: a row that an open quotation mark has swallowed.
    fn swallowed(&self, record: &csv::StringRecord, path: usize, separator: u8) -> Option<String> {
        let names_a_file = |line: &&str| {
            let cell = line.split(char::from(separator)).nth(path);
            let cell = cell.map_or("", |cell| cell.trim().trim_matches('"'));
            !cell.is_empty() && self.beside(cell).is_file()
        };
        let later = record.iter().flat_map(|cell| cell.split(['\n', '\r']).skip(1));
        later.filter(names_a_file).map(str::to_owned).next()
    }

    /// A file beside the table.
    fn beside(&self, path: impl AsRef<Path>) -> PathBuf {
        self.file.parent().unwrap_or(Path::new(".")).join(path)
    }

    /// The line of a row. After the first, the reader counts from before the line feed of the row above, if lines end
    /// in CR and LF.
    fn line_of(&self, position: Option<&csv::Position>) -> u64 {
        position.map_or(0, csv::Position::line)
            + u64::from(self.has_crlf && position.is_some_and(|p| p.byte() > 0))
    }

    fn of_csv(&self, error: &csv::Error) -> DataError {
        let line = error.position().map(|position| self.line_of(Some(position)));
        let problem = match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("expected {expected_len} cells as in the first line, found {len}")
            }
            csv::ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
            csv::ErrorKind::Io(error) => error.to_string(),
            _ => error.to_string(),
        };
        DataError::Manifest { file: self.file.to_owned(), line, problem }
    }

    /// Reads one object per line. Returns whether they have splits.
    fn json_lines(&mut self, input: impl Read) -> Result<bool, DataError> {
        let mut input = BufReader::new(input);
        let (mut text, mut line, mut has_splits) = (Vec::new(), 0, None);
        loop {
            text.clear();
            line += 1;
            if input.read_until(b'\n', &mut text).map_err(|error| self.at(line, error.to_string()))? == 0 {
                return Ok(has_splits == Some(true));
            }
            let text = if line == 1 { text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text) } else { &text };
            if text.trim_ascii().is_empty() {
                continue;
            }
            let Object(cells) = serde_json::from_slice(text)
                .map_err(|error| self.at(line, format!("expected an object as JSON: {error}")))?;
            let names: Vec<&str> = cells.iter().map(|(name, _)| name.as_str()).collect();
            if let Some(name) = repeated(&names) {
                return Err(self.at(line, format!("two values of `{name}`")));
            }
            let (path, label, split) = self.columns(&names).map_err(|problem| self.at(line, problem))?;
            let text_of = |what: &str, value: &serde_json::Value| match value {
                serde_json::Value::String(text) => Ok(text.clone()),
                other => Err(self.at(line, format!("expected {what} as a string, found {other}"))),
            };
            let path = text_of("a path", &cells[path].1)?;
            let labels = self.labelling.of_value(&cells[label].1);
            let split = split.map(|split| text_of("a split", &cells[split].1)).transpose()?;
            if *has_splits.get_or_insert(split.is_some()) != split.is_some() {
                let problem = "some rows have a split (train, test) and others do not";
                return Err(self.at(line, problem.to_owned()));
            }
            self.add(Row { line, path, labels, split })?;
        }
    }

    fn add(&mut self, row: Row) -> Result<(), DataError> {
        let Row { line, path, labels, split } = row;
        let path = path.trim();
        if path.is_empty() {
            return Err(self.at(line, "no path".to_owned()));
        }
        if path.contains(char::is_control) {
            return Err(self.at(line, format!("the path {path:?} has a line break or a control character")));
        }
        if path.contains("://") {
            return Err(self.at(line, format!("`{path}` is a web address, but images are read from files")));
        }
        let labels = labels.map_err(|problem| self.at(line, problem))?;
        let part = match &split {
            None => 0,
            Some(split) => self.part(line, split)?,
        };
        // `./a.png` and `a.png` are one file.
        let image: PathBuf = self.beside(path).components().collect();
        let place = (part, self.parts[part].len());
        // So are `a.png`, `b/../a.png` and `/set/a.png`.
        let has_parent = image.components().any(|component| component == Component::ParentDir);
        // A link is a file of its own, though, wherever it leads.
        let real = (has_parent || Path::new(path).is_absolute()).then(|| {
            let folder = image.parent()?.canonicalize().ok()?;
            Some(folder.join(image.file_name()?))
        });
        let real = real.flatten();
        let own = self.folder.as_deref().and_then(|folder| real.as_ref()?.strip_prefix(folder).ok());
        let own = own.map(|inside| self.beside(inside));
        let name: PathBuf = own.or(real).unwrap_or_else(|| image.clone()).components().collect();
        let hash = blake3::hash(name.as_os_str().as_encoded_bytes());
        let hash = u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap_or_default());
        match self.seen.entry(hash) {
            Entry::Occupied(first) => {
                let (first_part, index) = *first.get();
                if first_part != part || !self.spec.classes.multi_label {
                    let problem = format!(
                        "`{path}` stands in an earlier row already; with `data.multi-label = true` rows of one \
                         image and one split are its labels together"
                    );
                    return Err(self.at(line, problem));
                }
                if let Some((_, own)) = self.parts[part].get_mut(index) {
                    own.extend(labels);
                    own.sort_unstable();
                    own.dedup();
                }
                return Ok(());
            }
            Entry::Vacant(new) => new.insert(place),
        };
        if !image.is_file() {
            if self.spec.reading.corrupt == Corrupt::Refuse {
                let problem = format!(
                    "no file `{}`; `data.corrupt = \"skip\"` skips and counts such rows",
                    image.display()
                );
                return Err(self.at(line, problem));
            }
            self.seen.remove(&hash);
            let reason = format!("missing; {} {line} of {} names it", self.kind.place(), self.file.display());
            self.missing.push(Skipped::new(&image, reason));
            return Ok(());
        }
        self.parts[part].push((image, labels));
        Ok(())
    }

    /// Notes on classes with no row to train on, or for testing.
    fn missing_classes(&self, classes: &[String], train: &Labelled, test: &Labelled) -> Vec<String> {
        let note = |(rows, purpose): (&Labelled, &str)| {
            let labels = rows.iter().flat_map(|(_, labels)| labels).copied();
            let missing: Vec<String> = absent(classes, labels).map(|(_, class)| class.clone()).collect();
            let (count, all, which) = (missing.len(), classes.len(), shortened(&missing));
            let file = self.file.display();
            (count > 0).then(|| format!("{file}: no row {purpose} of {count} of the {all} classes: {which}"))
        };
        [(train, "to train on"), (test, "for testing")].into_iter().filter_map(note).collect()
    }

    /// The place of a split in [`Self::parts`].
    fn part(&self, line: u64, split: &str) -> Result<usize, DataError> {
        let name = split.trim().to_ascii_lowercase();
        if TRAIN.contains(&name.as_str()) {
            return Ok(0);
        }
        TEST.iter().position(|test| *test == name).map(|place| place + 1).ok_or_else(|| {
            let expected = [&TRAIN[..], &TEST[..]].concat().join(", ");
            self.at(line, format!("expected a split, one of {expected}, found `{split}`"))
        })
    }

    /// Rows for training, for testing, and notes on unused ones.
    fn divided(&mut self, has_splits: bool) -> Result<(Labelled, Labelled, Vec<String>), DataError> {
        let [all, tests @ ..] = std::mem::take(&mut self.parts);
        if all.is_empty() {
            return Err(whole(self.file, "no row with an image to train on".to_owned()));
        }
        let (mut train, mut test, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        if has_splits {
            train = all;
            for (name, rows) in TEST.iter().zip(tests) {
                if test.is_empty() {
                    test = rows;
                } else if !rows.is_empty() {
                    let rows = are(rows.len(), "row");
                    notes.push(format!("{}: {rows} of the split `{name}` and not used", self.file.display()));
                }
            }
        } else {
            let (share, is_multi) = (self.spec.test_share, self.spec.classes.multi_label);
            // As many of each class, where an image has one.
            let mut seen: HashMap<u16, usize> = HashMap::new();
            for row in all {
                let class = if is_multi { 0 } else { row.1.first().copied().unwrap_or(0) };
                let index = seen.entry(class).or_default();
                let is_test = crate::image_folder::held_out(*index, share);
                *index += 1;
                if is_test { &mut test } else { &mut train }.push(row);
            }
        }
        if test.is_empty() {
            let problem = if has_splits {
                "no row with an image for testing: none of its column of splits says `test`; without that column \
                 `data.test-share` takes some of the rows"
            } else {
                "no row with an image for testing: no class has enough rows for this `data.test-share`"
            };
            return Err(whole(self.file, problem.to_owned()));
        }
        Ok((train, test, notes))
    }
}

/// An object of JSON in its order, repeated names included.
struct Object(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Cells;
        impl<'de> Visitor<'de> for Cells {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut cells = Vec::new();
                while let Some(cell) = map.next_entry()? {
                    cells.push(cell);
                }
                Ok(Object(cells))
            }
        }
        deserializer.deserialize_map(Cells)
    }
}

/// A name that occurs twice.
fn repeated<'n>(names: &[&'n str]) -> Option<&'n str> {
    let twice = names.iter().enumerate().find(|(place, name)| names[..*place].contains(name));
    twice.map(|(_, name)| *name)
}

/// The message for a missing column.
fn no_column(key: &str, own: &Option<String>, usual: &[&str], found: &[&str]) -> String {
    let found = found.join(", ");
    match own {
        Some(own) => format!("no column `{own}`, which `data.{key}` names; columns are: {found}"),
        None => format!(
            "expected a column {}, or one that `data.{key}` names; columns are: {found}",
            usual.join(" or ")
        ),
    }
}

/// Hashes a table while it is read, and refuses endless rows.
struct Checked<R> {
    input: R,
    hasher: blake3::Hasher,
    row: usize,
}

impl<R> Checked<R> {
    fn new(input: R) -> Self {
        Self { input, hasher: blake3::Hasher::new(), row: 0 }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        let bytes = &buffer[..length];
        self.hasher.update(bytes);
        self.row = match bytes.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => length - end - 1,
            None => self.row + length,
        };
        if self.row > MOST_ROW_BYTES {
            return Err(io::Error::other(format!("a row of more than {MOST_ROW_BYTES} bytes")));
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
