//! The contents of a folder: class folders in natural order, image files at any depth, and a
//! tally of everything that is ignored.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{DataError, SetName};

/// Endings of the names of image files, in any case.
const ENDINGS: [&str; 6] = ["jpg", "jpeg", "jpe", "jfif", "png", "webp"];

/// Names, in lower case, of leftovers of operating systems, archives and file servers. Names
/// that begin with a dot are ignored as well.
const LEFTOVERS: [&str; 18] = [
    "__macosx",
    "@eadir",
    "@tmp",
    "@recycle",
    "@recently-snapshot",
    "#recycle",
    "#snapshot",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "icon\r",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "recycler",
    "found.000",
    "__pycache__",
    "network trash folder",
];

/// Ignored files, by class and extension, in the order of names; and the folders whose images were listed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    others: BTreeMap<String, BTreeMap<String, usize>>,
    leftovers: BTreeMap<String, usize>,
    /// Images that lie beside class folders, by where they lie.
    beside: BTreeMap<PathBuf, usize>,
    /// Where each folder was found, by where it really is.
    listed: HashMap<PathBuf, PathBuf>,
}

impl Tally {
    /// A sentence for each class with ignored files, and one for system leftovers.
    pub(crate) fn notes(&self) -> Vec<String> {
        let of_class = |(class, endings): (&String, &BTreeMap<String, usize>)| {
            let count: usize = endings.values().sum();
            let endings: Vec<String> =
                endings.iter().map(|(ending, count)| format!("{count} {ending}")).collect();
            let files = if count == 1 { "file" } else { "files" };
            format!(
                "{count} {files} of `{class}` ignored, by extension: {}; only JPEG, PNG and WebP are read",
                endings.join(", ")
            )
        };
        let mut notes: Vec<String> = self.others.iter().map(of_class).collect();
        if !self.leftovers.is_empty() {
            let names: Vec<&str> = self.leftovers.keys().map(String::as_str).collect();
            notes.push(format!("ignored system files: {}", names.join(", ")));
        }
        notes.extend(self.beside.iter().map(|(folder, count)| {
            format!("{}: {} beside the folders and not used", folder.display(), are(*count, "image"))
        }));
        notes
    }

    /// Counts one file of `class` that is not an image.
    pub(crate) fn pass_over(&mut self, class: &str, file: &Path) {
        let ending = match file.extension() {
            Some(ending) => format!(".{}", ending.to_string_lossy().to_ascii_lowercase()),
            None => "without an ending".to_owned(),
        };
        *self.others.entry(class.to_owned()).or_default().entry(ending).or_default() += 1;
    }
}

/// Whether `name` is a system leftover, or hidden. Hidden ones are not counted.
fn is_left_behind(name: &OsStr, tally: &mut Tally) -> bool {
    let name = name.to_string_lossy();
    let is_named = LEFTOVERS.contains(&name.to_lowercase().as_str());
    if is_named {
        *tally.leftovers.entry(name.clone().into_owned()).or_default() += 1;
    }
    is_named || name.starts_with('.')
}

/// The relevant entries of `folder`, in the order of their bytes.
fn entries(folder: &Path, tally: &mut Tally) -> Result<Vec<PathBuf>, DataError> {
    let error = |source| DataError::Folder { set: SetName::ImageFolder, folder: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(error)? {
        let name = entry.map_err(error)?.file_name();
        if !is_left_behind(&name, tally) {
            let shown = name.to_string_lossy();
            if shown.contains(char::is_control) {
                let problem = "has a line break or another control character";
                return Err(DataError::Name { folder: folder.to_owned(), name: shown.into_owned(), problem });
            }
            paths.push(folder.join(name));
        }
    }
    paths.sort_unstable_by(|a, b| a.file_name().cmp(&b.file_name()));
    Ok(paths)
}

/// Names of the folders in `folder`, in natural order: `2` before `10`. Images beside them are counted.
pub(crate) fn folders(folder: &Path, tally: &mut Tally) -> Result<Vec<String>, DataError> {
    let (folders, others): (Vec<_>, Vec<_>) =
        entries(folder, tally)?.into_iter().partition(|path| path.is_dir());
    let images = others.iter().filter(|path| is_image(path)).count();
    if images > 0 && !folders.is_empty() {
        tally.beside.insert(folder.to_owned(), images);
    }
    let mut names = folders.iter().map(|path| class_name(folder, path)).collect::<Result<Vec<_>, _>>()?;
    names.sort_by(|a, b| natural(a, b));
    Ok(names)
}

/// The name of a folder of `parent`, if a list of classes can hold it: otherwise two classes might become one.
fn class_name(parent: &Path, folder: &Path) -> Result<String, DataError> {
    let name = folder.file_name().unwrap_or_default();
    let problem = match name.to_str() {
        None => "is not UTF-8",
        Some(name) if name.trim() != name => "begins or ends with a space",
        Some(name) => return Ok(name.to_owned()),
    };
    let (folder, name) = (parent.to_owned(), name.to_string_lossy().into_owned());
    Err(DataError::Name { folder, name, problem })
}

/// Image files below `folder` at any depth, in the order of the bytes of their paths.
/// Everything else is counted for `class`.
pub(crate) fn images(folder: &Path, class: &str, tally: &mut Tally) -> Result<Vec<PathBuf>, DataError> {
    let mut files = Vec::new();
    let parent = folder.parent().and_then(|parent| fs::canonicalize(parent).ok());
    collect(folder, class, &mut parent.into_iter().collect(), tally, &mut files)?;
    files.sort_unstable();
    Ok(files)
}

fn collect(
    folder: &Path,
    class: &str,
    above: &mut Vec<PathBuf>,
    tally: &mut Tally,
    files: &mut Vec<PathBuf>,
) -> Result<(), DataError> {
    let error = |source| DataError::Folder { set: SetName::ImageFolder, folder: folder.to_owned(), source };
    let own = fs::canonicalize(folder).map_err(error)?;
    // A link to a folder above it, however far: what is there is listed without it, or is no part of the set.
    if above.iter().any(|folder| folder.starts_with(&own)) {
        return Ok(());
    }
    if let Some(first) = tally.listed.insert(own.clone(), folder.to_owned()) {
        return Err(DataError::Twice { folder: folder.to_owned(), first });
    }
    above.push(own);
    for path in entries(folder, tally)? {
        if path.is_dir() {
            collect(&path, class, above, tally, files)?;
        } else if is_image(&path) {
            files.push(path);
        } else {
            tally.pass_over(class, &path);
        }
    }
    above.pop();
    Ok(())
}

/// `1 image is`, `20 images are`.
pub(crate) fn are(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what} is") } else { format!("{count} {what}s are") }
}

/// Whether a name has the extension of an image file.
pub(crate) fn is_image(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

/// Natural order: runs of digits by value, everything else by characters; for equal values,
/// fewer leading zeros first.
pub(crate) fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (run_a, rest_a) = run(a);
        let (run_b, rest_b) = run(b);
        let digits = |run: &str| run.starts_with(|first: char| first.is_ascii_digit());
        let order = if digits(run_a) && digits(run_b) {
            let value = |run: &'_ str| run.trim_start_matches('0').len();
            value(run_a)
                .cmp(&value(run_b))
                .then_with(|| run_a.trim_start_matches('0').cmp(run_b.trim_start_matches('0')))
                .then_with(|| run_a.len().cmp(&run_b.len()))
        } else {
            run_a.cmp(run_b)
        };
        if order.is_ne() || (rest_a.is_empty() && rest_b.is_empty()) {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// The digits that `text` begins with, or else what is before its first digit.
fn run(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|first: char| first.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_counted() {
        let mut names =
            ["10", "2", "1", "class 12", "class 3", "n02", "n1", "a", "", "b10c2", "b10c10", "b9"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(
            names,
            ["", "1", "2", "10", "a", "b9", "b10c2", "b10c10", "class 3", "class 12", "n1", "n02"]
        );
        assert_eq!(natural("99999999999999999999999", "100000000000000000000000"), Ordering::Less);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_above_ends() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/x.png"), "").unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/up")).unwrap();
        let files = images(folder.path(), "all", &mut Tally::default()).unwrap();
        assert_eq!(files, [folder.path().join("a/x.png")]);
        // However far above: what lies there is no part of the class.
        fs::create_dir(folder.path().join("other")).unwrap();
        fs::write(folder.path().join("other/y.png"), "").unwrap();
        fs::create_dir_all(folder.path().join("set/a")).unwrap();
        std::os::unix::fs::symlink("../..", folder.path().join("set/a/up")).unwrap();
        assert_eq!(images(&folder.path().join("set/a"), "a", &mut Tally::default()).unwrap().len(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_another_class_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for class in ["a", "b"] {
            fs::create_dir(folder.path().join(class)).unwrap();
            fs::write(folder.path().join(class).join("x.png"), "").unwrap();
        }
        std::os::unix::fs::symlink("../b", folder.path().join("a/leak")).unwrap();
        let mut tally = Tally::default();
        assert_eq!(images(&folder.path().join("a"), "a", &mut tally).unwrap().len(), 2);
        let error = images(&folder.path().join("b"), "b", &mut tally).unwrap_err().to_string();
        assert!(error.contains("a/leak and") && error.contains("/b are one folder"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn names_that_a_list_cannot_hold_are_refused() {
        use std::os::unix::ffi::OsStrExt;
        for (name, expected) in [
            (&b"caf\xe9"[..], "is not UTF-8"),
            (b"a\nb", r#""a\nb" has a line break"#),
            (b"a ", "begins or ends with a space"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join(OsStr::from_bytes(name))).unwrap();
            let error = folders(folder.path(), &mut Tally::default()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn the_order_is_an_order(a in "[ab0-2]{0,5}", b in "[ab0-2]{0,5}", c in "[ab0-2]{0,5}") {
            prop_assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
            prop_assert_eq!(natural(&a, &b).is_eq(), a == b);
            if natural(&a, &b).is_lt() && natural(&b, &c).is_lt() {
                prop_assert!(natural(&a, &c).is_lt(), "{} {} {}", a, b, c);
            }
        }
    }
}
