//! Determines which folders of a set are for training and which for testing.

use std::path::{Path, PathBuf};

use crate::directory::{self, Tally};
use crate::{DataError, class_names};

/// Names of the part to train on, in lower case: of folders, of shards and in tables.
pub(crate) const TRAIN: [&str; 2] = ["train", "training"];

/// Names of the other parts, in the order in which one of them is chosen for testing.
pub(crate) const TEST: [&str; 5] = ["test", "testing", "val", "valid", "validation"];

/// The list of labels that Tiny-ImageNet has instead of class folders.
const ANNOTATIONS: &str = "val_annotations.txt";

/// The parts of a set, according to its folders.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The folder of class folders to train on.
    pub(crate) train: PathBuf,
    /// The test images, if there is a folder for them.
    pub(crate) test: Option<Test>,
    /// Notes on unused folders.
    pub(crate) notes: Vec<String>,
}

/// A folder of images for testing.
#[derive(Debug)]
pub(crate) enum Test {
    /// With one folder per class.
    Folders(PathBuf),
    /// With a list of the labels of all files.
    Annotated(PathBuf),
}

impl Test {
    pub(crate) fn folder(&self) -> &Path {
        match self {
            Self::Folders(folder) | Self::Annotated(folder) => folder,
        }
    }
}

/// The parts of the set in `folder`: those beside a folder of training images, or else
/// `folder` itself. A folder called `train` that has no class folders is a class.
pub(crate) fn parts(folder: &Path) -> Result<Parts, DataError> {
    let mut ignored = Tally::default();
    let names = directory::folders(folder, &mut ignored)?;
    let called = |wanted: &str| {
        names.iter().find(|name| name.eq_ignore_ascii_case(wanted)).map(|name| folder.join(name))
    };
    let has_folders =
        |path: &PathBuf| directory::folders(path, &mut Tally::default()).is_ok_and(|found| !found.is_empty());
    let Some(train) = TRAIN.into_iter().find_map(called).filter(has_folders) else {
        return Ok(Parts { train: folder.to_owned(), test: None, notes: Vec::new() });
    };
    // What lies beside them is told by whoever lists their files.
    let classes = directory::folders(&train, &mut Tally::default())?;
    let mut parts = Parts { train: train.clone(), test: None, notes: Vec::new() };
    let mut used = vec![train];
    for other in TEST.into_iter().filter_map(called) {
        used.push(other.clone());
        let found = labelled(&other, &classes)?;
        match (&parts.test, found) {
            (None, Some(test)) => parts.test = Some(test),
            (Some(test), Some(_)) => parts.notes.push(format!(
                "{}: {} not used, since {} is the test set; `data.validation` holds out training images",
                other.display(),
                counted(&other)?,
                test.folder().display()
            )),
            (_, None) => parts.notes.push(format!(
                "{}: {} without class folders or labels not used",
                other.display(),
                counted(&other)?
            )),
        }
    }
    // A second folder for training, or a part's name in other letters, is one of these.
    for other in names.iter().map(|name| folder.join(name)).filter(|other| !used.contains(other)) {
        parts.notes.push(format!("{}: {} not used", other.display(), counted(&other)?));
    }
    parts.notes.extend(ignored.notes());
    Ok(parts)
}

/// Whether all of `names` hold the name of a part as a word, one of them that of training: `seg_train` and
/// `seg_test`, `train2017` and `val2017`.
pub(crate) fn are_parts(names: &[String]) -> bool {
    let has = |name: &String, words: &[&str]| {
        let name = name.to_ascii_lowercase();
        name.split(|c: char| !c.is_alphabetic()).any(|word| words.contains(&word))
    };
    let is_part = |name| has(name, &TRAIN) || has(name, &TEST);
    names.len() > 1 && names.iter().all(is_part) && names.iter().any(|name| has(name, &TRAIN))
}

/// The folder as a labelled one, if it is.
fn labelled(folder: &Path, classes: &[String]) -> Result<Option<Test>, DataError> {
    let found = directory::folders(folder, &mut Tally::default())?;
    // Unlabelled images may lie one folder deeper, as in Tiny-ImageNet.
    let is_flat =
        found.is_empty() || (found.len() == 1 && found[0] == "images" && !classes.contains(&found[0]));
    // A list that was left behind when the images were sorted into the folders of classes says nothing new.
    let has_class = found.iter().any(|name| classes.contains(name));
    Ok(if !has_class && folder.join(ANNOTATIONS).is_file() {
        Some(Test::Annotated(folder.to_owned()))
    } else {
        (!is_flat).then(|| Test::Folders(folder.to_owned()))
    })
}

/// `20 images are`.
fn counted(folder: &Path) -> Result<String, DataError> {
    Ok(directory::are(directory::images(folder, "", &mut Tally::default())?.len(), "image"))
}

/// The files of a folder with annotations, each with the name of its class: lines of a file's
/// name, a tab and the class; the rest is a bounding box and ignored.
pub(crate) fn annotated(folder: &Path) -> Result<Vec<(PathBuf, String)>, DataError> {
    let list = folder.join(ANNOTATIONS);
    let problem = |problem: String| DataError::File { file: list.clone(), problem };
    let text = class_names::text(&list).map_err(problem)?;
    let images = folder.join("images");
    let images = if images.is_dir() { images } else { folder.to_owned() };
    let mut files = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let mut fields = line.split('\t');
        match (fields.next(), fields.next()) {
            (Some(name), Some(class)) if !name.contains(['/', '\\']) && !class.is_empty() => {
                files.push((images.join(name), class.trim().to_owned()));
            }
            _ => {
                let expected = "expected the name of a file, a tab and the name of its class";
                return Err(problem(format!("line {}: {expected}, found `{line}`", index + 1)));
            }
        }
    }
    files.sort_unstable();
    if let Some(pair) = files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(problem(format!("`{}` is listed twice", pair[0].0.display())));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn parts_are_told_from_classes_by_their_names() {
        let named =
            |names: &[&str]| are_parts(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        assert!(named(&["seg_test", "seg_train"]) && named(&["train2017", "val2017"]));
        assert!(named(&["test_set", "training_set"]));
        assert!(!named(&["cat", "train"]) && !named(&["test", "val"]) && !named(&["training"]));
        assert!(!named(&["trainer", "tester"]));
    }

    #[test]
    fn a_second_folder_to_train_on_and_images_beside_folders_are_told() {
        let folder = tempfile::tempdir().unwrap();
        for part in ["train", "training", "test"] {
            fs::create_dir_all(folder.path().join(part).join("a")).unwrap();
            fs::write(folder.path().join(part).join("a/x.png"), "").unwrap();
        }
        fs::write(folder.path().join("loose.png"), "").unwrap();
        // Told with the files of the part, and not twice.
        fs::write(folder.path().join("train/loose.png"), "").unwrap();
        let notes = parts(folder.path()).unwrap().notes.join("\n");
        assert!(notes.contains("training: 1 image is not used"), "{notes}");
        assert!(notes.contains("1 image is beside the folders and not used"), "{notes}");
        assert_eq!(notes.matches("beside the folders").count(), 1, "{notes}");
    }
}
