//! Assigns labels to classes by name, never by guessing an order.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::DataError;
use crate::error::shortened;

/// Most bytes of a list of classes.
const MOST_BYTES: u64 = 1 << 26;

/// The text of a small file, without a byte order mark, or an error message.
pub(crate) fn text(file: &Path) -> Result<String, String> {
    let length = fs::metadata(file).map_err(|error| error.to_string())?.len();
    if length > MOST_BYTES {
        return Err(format!("{length} bytes long, and at most {MOST_BYTES} are read"));
    }
    let text = fs::read(file).map_err(|error| error.to_string())?;
    let text = String::from_utf8(text)
        .map_err(|error| format!("byte {}: not UTF-8", error.utf8_error().valid_up_to()))?;
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned))
}

/// The names of `classes` classes from the file `list`, which `of` locates, or else their
/// numbers.
pub(crate) fn stated(
    classes: usize,
    of: &dyn Fn(&Path) -> PathBuf,
    list: Option<&Path>,
) -> Result<Vec<String>, DataError> {
    let Some(list) = list else { return Ok((0..classes).map(|class| class.to_string()).collect()) };
    let file = of(list);
    let names = read(&file)?;
    if names.len() != classes {
        let problem = format!("{} lines, but `data.classes` is {classes}", names.len());
        return Err(DataError::ClassList { file, problem });
    }
    Ok(names)
}

/// Class names from a file, one per line in the order of their labels. In a line such as
/// `n01440764 tench` the first word is enough.
pub(crate) fn read(file: &Path) -> Result<Vec<String>, DataError> {
    let list = |problem: String| DataError::ClassList { file: file.to_owned(), problem };
    let text = text(file).map_err(list)?;
    let names: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    if let Some(line) = names.iter().position(String::is_empty) {
        return Err(list(format!("line {}: empty, expected the name of a class", line + 1)));
    }
    let mut seen = HashMap::new();
    for (line, name) in names.iter().enumerate() {
        if let Some(first) = seen.insert(name, line) {
            return Err(list(format!("line {}: `{name}` is already in line {}", line + 1, first + 1)));
        }
    }
    Ok(names)
}

/// The label of each of `found` among `classes`: their whole line or its first word.
///
/// # Errors
/// The names that are not classes, shortened.
pub fn labels(found: &[String], classes: &[String]) -> Result<Vec<usize>, String> {
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    for (label, class) in classes.iter().enumerate() {
        by_name.entry(class.split(' ').next().unwrap_or_default()).or_insert(label);
    }
    by_name.extend(classes.iter().enumerate().map(|(label, class)| (class.as_str(), label)));
    let unknown: Vec<String> =
        found.iter().filter(|name| !by_name.contains_key(name.as_str())).cloned().collect();
    if unknown.is_empty() {
        Ok(found.iter().map(|name| by_name[name.as_str()]).collect())
    } else {
        Err(shortened(&unknown))
    }
}

/// The label of each of `found` if they are the numbers of `classes` classes, from 0.
pub fn numbered(found: &[String], classes: usize) -> Option<Vec<usize>> {
    let number = |name: &String| {
        let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        name.parse::<usize>().ok().filter(|&number| is_number && number < classes)
    };
    let labels: Vec<usize> = found.iter().map(number).collect::<Option<_>>()?;
    let mut sorted = labels.clone();
    sorted.sort_unstable();
    sorted.dedup();
    // `1` and `01` would be one class.
    (sorted.len() == labels.len()).then_some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_class_is_called_by_its_line_or_the_first_word() {
        let classes = names(&["n01 tench", "n02 gold fish", "cat"]);
        assert_eq!(labels(&names(&["cat", "n02", "n01 tench"]), &classes), Ok(vec![2, 1, 0]));
        assert_eq!(labels(&names(&["dog", "n01", "tench"]), &classes), Err("dog, tench".to_owned()));
    }

    #[test]
    fn numbers_are_labels_if_all_are() {
        assert_eq!(numbered(&names(&["0", "10", "2"]), 11), Some(vec![0, 10, 2]));
        assert_eq!(numbered(&names(&["00", "01"]), 2), Some(vec![0, 1]));
        for (found, classes) in [(["1", "2"], 2), (["0", "a"], 2), (["1", "01"], 2), (["+1", "0"], 2)] {
            assert_eq!(numbered(&names(&found), classes), None);
        }
    }

    #[test]
    fn a_list_with_a_mistake_is_named_with_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("classes.txt");
        for (text, expected) in
            [("a\n\nb\n", "line 2: empty"), ("a\nb\na\n", "line 3: `a` is already in line 1")]
        {
            fs::write(&file, text).unwrap();
            let message = read(&file).unwrap_err().to_string();
            assert!(
                message.starts_with(&file.display().to_string()) && message.contains(expected),
                "{message}"
            );
        }
        fs::write(&file, b"a\xff\n").unwrap();
        assert!(read(&file).unwrap_err().to_string().contains("byte 1: not UTF-8"));
        fs::write(&file, "\u{feff}b\r\na c\r\n").unwrap();
        assert_eq!(read(&file).unwrap(), ["b", "a c"]);
    }
}
