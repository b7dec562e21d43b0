//! A folder to run the program in.

use std::{fs, path::PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;

/// One trial of a second or two, with segments that do not divide the channels.
pub(crate) const ONE: &str = r#"# Does one run run?
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

/// An empty folder of its own.
pub(crate) struct Workplace(TempDir);

impl Workplace {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file can be written");
    }

    /// Standard output, standard error and exit code.
    pub(crate) fn run(&self, arguments: &[&str]) -> (String, String, i32) {
        let mut command = Command::cargo_bin("decouple").expect("the program is built");
        command.env_remove("DECOUPLE_RESULTS").env_remove("DECOUPLE_DATA");
        let output = command.current_dir(self.0.path()).args(arguments).output().expect("the program runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (text(output.stdout), text(output.stderr), output.status.code().expect("it was not killed"))
    }

    /// Standard output of a command that must succeed.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let (out, talk, code) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {talk}");
        out
    }

    /// Checks message and code of a command that must fail without output.
    pub(crate) fn fail(&self, arguments: &[&str], expected: &str, expected_code: i32) {
        let (out, talk, code) = self.run(arguments);
        assert!(talk.contains(expected), "{arguments:?}: {talk}");
        assert_eq!((code, out.as_str()), (expected_code, ""), "{arguments:?}: {talk}");
    }
}
