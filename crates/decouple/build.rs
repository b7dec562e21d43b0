//! Notes where the binary comes from, for the record of every run.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=../../Cargo.lock");
    println!("cargo:rerun-if-changed=../../.git/HEAD");
    note(
        "DECOUPLE_RUSTC",
        output(&std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into()), &["--version"]),
    );
    note("DECOUPLE_GIT_REVISION", output("git", &["rev-parse", "HEAD"]));
    note(
        "DECOUPLE_GIT_DIRTY",
        output(
            "git",
            &["status", "--porcelain", "--untracked-files=no", "--", "../../crates", "../../Cargo.lock"],
        )
        .map(|changes| (!changes.is_empty()).to_string()),
    );
}

/// Sets an environment variable for `option_env!`, if there is a value.
fn note(name: &str, value: Option<String>) {
    if let Some(value) = value {
        println!("cargo:rustc-env={name}={value}");
    }
}

/// What a command prints; `None` if it cannot be run or fails.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
