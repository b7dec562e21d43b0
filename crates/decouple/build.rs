//! Tells the program what it was built from, for the records of runs: the
//! compiler, the commit, and whether the checkout had changes of its own.

use std::{path::Path, process::Command};

fn main() {
    // Everything under the first path; the second grows with every commit.
    println!("cargo::rerun-if-changed=..");
    let log = output("git", &["rev-parse", "--git-path", "logs/HEAD"]);
    if let Some(log) = log.filter(|log| Path::new(log).exists()) {
        println!("cargo::rerun-if-changed={log}");
    }
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    tell("DECOUPLE_RUSTC", output(&compiler, &["--version"]));
    tell("DECOUPLE_GIT_REVISION", output("git", &["rev-parse", "HEAD"]));
    // Results are what runs write, not what the program is made of.
    let changes =
        output("git", &["status", "--porcelain", "--untracked-files=no", "--", "..", "../../Cargo.lock"]);
    tell("DECOUPLE_GIT_DIRTY", changes.map(|changes| (!changes.is_empty()).to_string()));
}

/// Passes a value on to the program; without one, it is left out of records.
fn tell(name: &str, value: Option<String>) {
    if let Some(value) = value {
        println!("cargo::rustc-env={name}={value}");
    }
}

/// What a program prints, if it is there and succeeds.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
