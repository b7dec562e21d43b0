//! Assigns labels to classes by name, never by guessing an order.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::Path;

use decouple_disk::open_regular;

use crate::DataError;
use crate::error::{named_file, shortened};

/// Most bytes of a list of classes.
const MOST_BYTES: u64 = 1 << 26;

/// The text of a small file, without a byte order mark, or an error message.
pub fn text(file: &Path) -> Result<String, String> {
    let input = open_regular(file).map_err(|error| error.to_string())?;
    let mut text = Vec::new();
    input.take(MOST_BYTES + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > MOST_BYTES {
        return Err(format!("longer than {MOST_BYTES} bytes, the most that is read"));
    }
    let mut text = String::from_utf8(text)
        .map_err(|error| format!("byte {}: not UTF-8", error.utf8_error().valid_up_to()))?;
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(text)
}

/// The classes that no image has, with their labels.
pub(crate) fn absent(
    classes: &[String],
    labels: impl IntoIterator<Item = u16>,
) -> impl Iterator<Item = (u16, &String)> {
    let known: HashSet<u16> = labels.into_iter().collect();
    (0u16..).zip(classes).filter(move |(label, _)| !known.contains(label))
}

/// Class names from a file, one per line in the order of their labels. In a line such as
/// `n01440764 tench` the first word is enough.
pub(crate) fn read(file: &Path) -> Result<Vec<String>, DataError> {
    let list = |problem: String| DataError::File { file: file.to_owned(), problem };
    let text = text(file).map_err(|problem| list(named_file(file, problem)))?;
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

/// The label of each of `found` among `classes`: their whole line or its first word, whichever only one of
/// them has.
///
/// # Errors
/// The names that are not classes or could be several, shortened.
pub fn labels(found: &[String], classes: &[String]) -> Result<Vec<usize>, String> {
    let lines = places(classes.iter().map(String::as_str));
    let words = places(classes.iter().map(|class| first_word(class)));
    let label = |name: &String| match lines.get(name.as_str()).or(words.get(name.as_str())) {
        Some(&Some(label)) => Ok(label),
        Some(None) => Err(format!("{name} (which several classes are called)")),
        None => Err(name.clone()),
    };
    let wrong: Vec<String> = found.iter().filter_map(|name| label(name).err()).collect();
    if wrong.is_empty() { found.iter().map(label).collect() } else { Err(shortened(&wrong)) }
}

/// The first word of a line such as `n01440764 tench`, by which a class may be called.
pub(crate) fn first_word(name: &str) -> &str {
    name.split(' ').next().unwrap_or_default()
}

/// Where each name is; `None` for one that stands in several places.
pub(crate) fn places<'a>(names: impl Iterator<Item = &'a str>) -> HashMap<&'a str, Option<usize>> {
    let mut places = HashMap::new();
    for (place, name) in names.enumerate() {
        places.entry(name).and_modify(|found| *found = None).or_insert(Some(place));
    }
    places
}

/// The label of each of `found` if they are the numbers of `classes` classes, from 0.
///
/// # Errors
/// The names that are no such numbers or repeat one, shortened.
pub fn numbered(found: &[String], classes: usize) -> Result<Vec<usize>, String> {
    let number = |name: &String| {
        let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        name.parse::<usize>().ok().filter(|&number| is_number && number < classes)
    };
    let labels: Vec<Option<usize>> = found.iter().map(number).collect();
    let mut seen = HashSet::new();
    // `1` and `01` would be one class.
    let is_wrong = |label: Option<usize>| label.is_none_or(|label| !seen.insert(label));
    let wrong: Vec<bool> = labels.iter().copied().map(is_wrong).collect();
    let wrong: Vec<String> =
        found.iter().zip(wrong).filter(|(_, is_wrong)| *is_wrong).map(|(name, _)| name.clone()).collect();
    if wrong.is_empty() { Ok(labels.into_iter().flatten().collect()) } else { Err(shortened(&wrong)) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_class_is_called_by_its_line_or_the_first_word() {
        let classes = names(&["n01 tench", "n02 gold fish", "cat"]);
        assert_eq!(labels(&names(&["cat", "n02", "n01 tench"]), &classes), Ok(vec![2, 1, 0]));
        assert_eq!(labels(&names(&["dog", "n01", "tench"]), &classes), Err("dog, tench".to_owned()));
        let cranes = names(&["crane bird", "crane machine", "heron", "heron", "owl"]);
        assert_eq!(labels(&names(&["crane bird", "owl"]), &cranes), Ok(vec![0, 4]));
        for several in ["crane", "heron"] {
            let expected = format!("{several} (which several classes are called)");
            assert_eq!(labels(&names(&[several]), &cranes), Err(expected));
        }
    }

    #[test]
    fn numbers_are_labels_if_all_are() {
        assert_eq!(numbered(&names(&["0", "10", "2"]), 11), Ok(vec![0, 10, 2]));
        assert_eq!(numbered(&names(&["00", "01"]), 2), Ok(vec![0, 1]));
        for (found, wrong) in [(["1", "2"], "2"), (["0", "a"], "a"), (["1", "01"], "01"), (["+1", "0"], "+1")]
        {
            assert_eq!(numbered(&names(&found), 2), Err(wrong.to_owned()));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let problem = text(Path::new("/dev/zero")).unwrap_err();
        assert!(problem.contains("only regular files are read"), "{problem}");
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
        let missing = read(&folder.path().join("missing.txt")).unwrap_err().to_string();
        assert!(missing.contains("missing.txt: ") && missing.contains("DECOUPLE_DATA"), "{missing}");
        fs::write(&file, b"a\xff\n").unwrap();
        assert!(read(&file).unwrap_err().to_string().contains("byte 1: not UTF-8"));
        fs::write(&file, "\u{feff}b\r\na c\r\n").unwrap();
        assert_eq!(read(&file).unwrap(), ["b", "a c"]);
    }
}
