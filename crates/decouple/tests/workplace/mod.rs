//! A folder in which the program is run as a user runs it.

// Each test file uses a part of it.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command as Process, Stdio},
    time::{Duration, Instant},
};

use assert_cmd::cargo::cargo_bin;
use serde::de::DeserializeOwned;
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

/// One trial of a second or two, with segments that do not divide the channels.
pub const ONE: &str = r#"# Does one run run?
[experiment]
name = "one"

[axes]
segments = [3]
seed = [0]

[trial.network]
stem = 4
entry = [7, 8]
middle = 0
modules = 1
exit = 8

[trial.data]
validation = 9000

[trial.training]
epochs = 1
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

    /// The program, to be started and left to itself.
    pub fn process(&self, arguments: &[&str]) -> Process {
        let mut process = Process::new(cargo_bin("decouple"));
        process.current_dir(self.0.path()).args(arguments);
        // Checksums of sets are not left in the user's cache.
        process.env("XDG_CACHE_HOME", self.path("cache"));
        for name in ["DECOUPLE_RESULTS", "DECOUPLE_DATA", "DECOUPLE_CLAIMS"] {
            process.env_remove(name);
        }
        process
    }

    /// The program, started, with a pipe for what it says.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut process = self.process(arguments);
        process.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts")
    }

    /// Standard output, standard error and exit code.
    pub fn run(&self, arguments: &[&str]) -> (String, String, i32) {
        let output = self.process(arguments).output().expect("the program runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (text(output.stdout), text(output.stderr), output.status.code().expect("it was not killed"))
    }

    /// Standard output and standard error of a command that must end with this code.
    pub fn ends(&self, arguments: &[&str], expected: i32) -> (String, String) {
        let (out, talk, code) = self.run(arguments);
        assert_eq!(code, expected, "{arguments:?}: {talk}{out}");
        (out, talk)
    }

    /// Standard output of a command that must succeed.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        self.ends(arguments, 0).0
    }

    /// Standard error of a command that must succeed.
    pub fn told(&self, arguments: &[&str]) -> String {
        self.ends(arguments, 0).1
    }

    /// The JSON document that a command must print.
    pub fn json<T: DeserializeOwned>(&self, arguments: &[&str]) -> T {
        let text = self.succeed(arguments);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Checks message and code of a command that must fail without output.
    pub fn fail(&self, arguments: &[&str], expected: &str, expected_code: i32) {
        let (out, talk) = self.ends(arguments, expected_code);
        assert!(talk.contains(expected), "{arguments:?}: {talk}");
        assert!(talk.lines().any(|line| line.starts_with("error")), "{arguments:?}: {talk}");
        assert!(!talk.contains("panicked") && out.is_empty(), "{arguments:?}: {talk}{out}");
    }

    /// Path and content of every file under `folder` that has `ending`.
    pub fn files(&self, folder: &str, ending: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.path(folder), ending, &mut files);
        files
    }
}

/// Waits until `is_so`, a few minutes at most.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(200), "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn send(signal: &str, child: &Child) {
    let sent = Process::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
    assert!(sent.expect("there is a kill").success());
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
