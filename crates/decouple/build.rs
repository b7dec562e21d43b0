//! Tells the program what it was built from, for the records of runs: the
//! compiler, the commit, and whether the checkout had changes of its own.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    // Everything under the first path; the second grows with every commit.
    println!("cargo::rerun-if-changed=..");
    println!("cargo::rerun-if-changed=../../Cargo.lock");
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
    copy_lock();
}

/// Puts the lock file that the program is built with where the program can include
/// it: that of the workspace, or in a package its own.
fn copy_lock() {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let lock = package.ancestors().map(|folder| folder.join("Cargo.lock")).find(|path| path.is_file());
    let text = lock.and_then(|path| fs::read(path).ok()).unwrap_or_default();
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("Cargo.lock"), text).expect("cargo's folder for what build scripts make");
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
