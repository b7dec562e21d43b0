//! A folder in which the program is run as a user runs it.

// Each test file uses a part of it.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use assert_cmd::Command;
use tempfile::TempDir;

/// Two points, two seeds, a second or two each.
pub const TINY: &str = r#"# Does the smallest sweep run?

[experiment]
name = "tiny"
budget = "parameters"

[axes]
segments = [1, "per-channel"]
seed = [0, 1]

[trial.network]
stem = 4
entry = [6, 8]
middle = 1
modules = 1
exit = 8

[trial.data]
validation = 9000
augment = ["flip"]

[trial.training]
epochs = 2
schedule = { kind = "cosine", peak = 0.1, warmup-epochs = 0.5 }
average = { kind = "polyak", decay = 0.99 }
"#;

/// A folder with `tiny.toml` in it.
pub struct Workplace(TempDir);

impl Workplace {
    pub fn new() -> Self {
        let workplace = Self(TempDir::new().expect("a folder"));
        workplace.write("tiny.toml", TINY);
        workplace
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file can be written");
    }

    pub fn decouple(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("decouple").expect("the program is built");
        command.current_dir(self.0.path()).args(arguments);
        command.env_remove("DECOUPLE_RESULTS").env_remove("DECOUPLE_DATA");
        command
    }

    /// Standard output, standard error and exit code.
    pub fn run(&self, arguments: &[&str]) -> (String, String, i32) {
        let output = self.decouple(arguments).output().expect("the program runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (text(output.stdout), text(output.stderr), output.status.code().expect("it was not killed"))
    }

    /// Path and content of every file under `folder` that has `ending`.
    pub fn files(&self, folder: &str, ending: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.path(folder), ending, &mut files);
        files
    }
}

fn collect(folder: &Path, ending: &str, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, ending, files);
        } else if path.to_string_lossy().ends_with(ending) {
            files.insert(path.clone(), fs::read(&path).expect("a file can be read"));
        }
    }
}
