//! The classes of an image, one or several, as written in files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::{DataError, class_names};

/// The classes of a set whose images may have any number of labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Classes {
    /// How many there are.
    pub count: usize,
    /// A file with their names by label. It and the other files are in the folder of the shards or
    /// beside the table.
    pub list: Option<PathBuf>,
    /// Whether an image may have any number of labels.
    pub multi_label: bool,
    /// A file with the class weights of the loss.
    pub class_weights: Option<PathBuf>,
    /// A file with the class weights of MAP@100.
    pub score_weights: Option<PathBuf>,
}

impl Classes {
    /// Their names from the list, which `of` locates, or else their numbers; and how labels are read.
    pub(crate) fn open(&self, of: &dyn Fn(&Path) -> PathBuf) -> Result<(Vec<String>, Labelling), DataError> {
        let labelling = |names: &[String]| Labelling::new(self.count, self.multi_label, names);
        let Some(list) = &self.list else {
            return Ok(((0..self.count).map(|class| class.to_string()).collect(), labelling(&[])));
        };
        let file = of(list);
        let names = class_names::read(&file)?;
        if names.len() != self.count {
            let problem = format!("{} lines, but `data.classes` is {}", names.len(), self.count);
            return Err(DataError::File { file, problem });
        }
        let labelling = labelling(&names);
        Ok((names, labelling))
    }
}

/// Which labels an image may have.
#[derive(Clone, Debug)]
pub(crate) struct Labelling {
    classes: usize,
    /// Whether an image may have any number of labels instead of one.
    is_multi: bool,
    by_name: HashMap<String, u16>,
    /// The first class whose name is or begins with a number. Where there is one, numbers are names.
    numeral: Option<String>,
}

impl Labelling {
    /// Labels below `classes`; `names` by label, or none.
    pub(crate) fn new(classes: usize, is_multi: bool, names: &[String]) -> Self {
        let words = class_names::places(names.iter().map(|name| class_names::first_word(name)));
        // A word that begins several names is none of them.
        let words = words.into_iter().filter_map(|(word, place)| Some((word.to_owned(), place? as u16)));
        let mut by_name: HashMap<String, u16> = words.collect();
        by_name.extend((0u16..=u16::MAX).zip(names).map(|(label, name)| (name.clone(), label)));
        let is_number =
            |name: &&String| class_names::first_word(name).bytes().all(|byte| byte.is_ascii_digit());
        Self { classes, is_multi, by_name, numeral: names.iter().find(is_number).cloned() }
    }

    /// The text that [`of_text`](Self::of_text) reads as the label of the class called `name`: its number,
    /// as other programs expect it, unless numbers are names.
    pub(crate) fn text_of(&self, label: u16, name: &str) -> String {
        if self.numeral.is_some() { name.to_owned() } else { label.to_string() }
    }

    /// Whether an image may have any number of labels.
    pub(crate) fn is_multi(&self) -> bool {
        self.is_multi
    }

    /// The labels in a text: the name of a class, or names and numbers separated by commas, or by
    /// spaces where these are no part of a name.
    pub(crate) fn of_text(&self, text: &str) -> Result<Vec<u16>, String> {
        let text = text.trim().trim_start_matches('\u{feff}');
        if let Some(&label) = self.by_name.get(text) {
            return Ok(vec![label]);
        }
        let mut labels = Vec::new();
        for name in text.split([',', ';', '|']).map(str::trim) {
            match self.by_name.get(name) {
                Some(&label) => labels.push(label),
                None => {
                    for word in name.split_whitespace() {
                        labels.push(self.of_word(word)?);
                    }
                }
            }
        }
        self.checked(labels)
    }

    /// The labels in a JSON document: a number, a name, a list of these, or an object
    /// with one of them under `label`, `labels`, `cls`, `class` or `classes`.
    pub(crate) fn of_json(&self, bytes: &[u8]) -> Result<Vec<u16>, String> {
        let value: serde_json::Value =
            serde_json::from_slice(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
                .map_err(|error| format!("not valid JSON: {error}"))?;
        self.of_value(&value)
    }

    pub(crate) fn of_value(&self, value: &serde_json::Value) -> Result<Vec<u16>, String> {
        use serde_json::Value;
        let one = |value: &Value| match value {
            Value::Number(number) => self.of_word(&number.to_string()),
            Value::String(name) => match self.by_name.get(name) {
                Some(&label) => Ok(label),
                None => self.of_word(name.trim()),
            },
            other => Err(format!("expected the number or name of a class, found {other}")),
        };
        match value {
            Value::Array(list) => self.checked(list.iter().map(one).collect::<Result<_, _>>()?),
            Value::Object(object) => {
                const KEYS: [&str; 5] = ["label", "labels", "cls", "class", "classes"];
                let found = KEYS.iter().find_map(|key| object.get(*key));
                match found.filter(|found| !found.is_object()) {
                    Some(found) => self.of_value(found),
                    None => Err(format!("expected an object with one of the keys {}", KEYS.join(", "))),
                }
            }
            other => self.checked(vec![one(other)?]),
        }
    }

    fn of_word(&self, word: &str) -> Result<u16, String> {
        if let Some(&label) = self.by_name.get(word) {
            return Ok(label);
        }
        match (word.parse::<u16>(), &self.numeral) {
            (Ok(_), Some(name)) => Err(format!(
                "`{word}` is not the name of a class; since `{name}` of `data.class-list` is or begins with a number, \
                 numbers are names and not labels"
            )),
            (Ok(label), None) if usize::from(label) < self.classes => Ok(label),
            (Ok(label), None) => Err(format!("expected a label below {}, found {label}", self.classes)),
            (Err(_), _) if self.by_name.is_empty() => Err(format!(
                "expected a label as a number below {}, found `{word}`; names need `data.class-list`",
                self.classes
            )),
            (Err(_), _) => {
                Err(format!("`{word}` is neither the name of a class nor a number below {}", self.classes))
            }
        }
    }

    /// Sorted, each once; exactly one where an image has one.
    fn checked(&self, mut labels: Vec<u16>) -> Result<Vec<u16>, String> {
        labels.sort_unstable();
        labels.dedup();
        if self.is_multi || labels.len() == 1 {
            return Ok(labels);
        }
        Err(format!(
            "expected one label, found {}; `data.multi-label = true` allows any number",
            labels.len()
        ))
    }
}

/// The labels of the images of a batch, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Those of all images.
    all: Vec<u16>,
    /// Where those of each image end.
    ends: Vec<usize>,
}

impl Labels {
    /// One label per image.
    pub fn single(labels: Vec<u16>) -> Self {
        Self { ends: (1..=labels.len()).collect(), all: labels }
    }

    /// Adds an image with these labels.
    pub fn push(&mut self, labels: &[u16]) {
        self.all.extend_from_slice(labels);
        self.ends.push(self.all.len());
    }

    /// Images.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Those of image `at`.
    pub fn of(&self, at: usize) -> &[u16] {
        let begin = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.all[begin..self.ends[at]]
    }

    /// The one label of each image; `None` if one has none or several.
    pub fn as_single(&self) -> Option<&[u16]> {
        self.ends.iter().enumerate().all(|(at, &end)| end == at + 1).then_some(&self.all[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelling(is_multi: bool) -> Labelling {
        let names = ["n01 tench", "golden retriever", "cat"].map(str::to_owned);
        Labelling::new(3, is_multi, &names)
    }

    #[test]
    fn names_and_numbers_are_labels() {
        let one = labelling(false);
        for (text, label) in [("n01", 0), ("golden retriever\n", 1), ("2", 2), (" cat ", 2)] {
            assert_eq!(one.of_text(text), Ok(vec![label]), "{text}");
        }
        for (json, label) in [("2", 2), ("\"cat\"", 2), ("{\"label\": 1, \"x\": {}}", 1), ("[0]", 0)] {
            assert_eq!(one.of_json(json.as_bytes()), Ok(vec![label]), "{json}");
        }
        assert_eq!(labelling(true).of_text("2, n01;2"), Ok(vec![0, 2]));
        assert_eq!(labelling(true).of_json(b"{\"labels\": [1, \"cat\"]}"), Ok(vec![1, 2]));
        assert_eq!(labelling(true).of_text(""), Ok(vec![]));
        assert_eq!(labelling(true).of_text("golden retriever, cat"), Ok(vec![1, 2]));
        let fire = ["fire", "truck", "dog", "fire truck"].map(str::to_owned);
        let fire = Labelling::new(4, true, &fire);
        assert_eq!(fire.of_text("fire truck, dog"), Ok(vec![2, 3]));
        assert_eq!(fire.of_text("fire dog"), Ok(vec![0, 2]));
    }

    #[test]
    fn what_is_no_label_is_named() {
        let one = labelling(false);
        for (text, expected) in [
            ("3", "below 3, found 3"),
            ("dog", "`dog` is neither"),
            ("-1", "`-1` is neither"),
            ("0 1", "expected one label, found 2"),
            ("", "expected one label, found 0"),
        ] {
            let message = one.of_text(text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
        let great = Labelling::new(2, false, &["great white shark", "great grey owl"].map(str::to_owned));
        assert!(great.of_text("great").unwrap_err().contains("`great` is neither"));
        for json in ["", "{}", "{\"label\": {\"label\": 1}}", "1.5", "[[1]]", "null"] {
            assert!(one.of_json(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn numbers_that_are_names_are_no_labels() {
        let names = ["1", "2", "10 ten"].map(str::to_owned);
        let one = Labelling::new(3, false, &names);
        for (label, name) in (0..3).zip(&names) {
            assert_eq!(one.of_text(&one.text_of(label, name)), Ok(vec![label]), "{name}");
        }
        assert_eq!((one.of_text("10"), one.of_json(b"2")), (Ok(vec![2]), Ok(vec![1])));
        let message = one.of_text("0").unwrap_err();
        assert!(message.starts_with("`0` is not the name of a class; since `1` of"), "{message}");
        assert_eq!(labelling(false).text_of(1, "golden retriever"), "1");
    }

    #[test]
    fn a_batch_keeps_the_labels_of_each_image() {
        let mut labels = Labels::single(vec![4, 5]);
        assert_eq!(labels.as_single(), Some(&[4, 5][..]));
        labels.push(&[]);
        labels.push(&[1, 2]);
        assert_eq!((labels.len(), labels.as_single()), (4, None));
        assert_eq!([labels.of(0), labels.of(2), labels.of(3)], [&[4][..], &[], &[1, 2]]);
    }
}
