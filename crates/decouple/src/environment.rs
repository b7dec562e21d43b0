//! The environment of a run: what results should not depend on, recorded in case they do.

use decouple_experiment::{Environment, shell_word};
use decouple_training::device::backend;

/// The environment of this process. The sweep fills in threads, data checksum and numerics
/// version.
pub(crate) fn environment() -> Environment {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    Environment {
        decouple: env!("CARGO_PKG_VERSION").to_owned(),
        git_revision: option_env!("DECOUPLE_GIT_REVISION").map(str::to_owned),
        git_dirty: option_env!("DECOUPLE_GIT_DIRTY").and_then(|dirty| dirty.parse().ok()),
        lock_hash: Some(lock_hash()),
        rustc: option_env!("DECOUPLE_RUSTC").map(str::to_owned),
        cpu: cpu_name(&cpuinfo),
        cpu_flags: cpu_flags(&cpuinfo),
        kernels: backend().name().to_owned(),
        threads: 0,
        data_checksum: String::new(),
        data_notes: Vec::new(),
        numerics_version: 0,
        command: command(),
    }
}

/// This command, as a shell reads it. Bytes that are not UTF-8, as names of files may have, are replaced.
fn command() -> String {
    std::env::args_os().map(|word| shell_word(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// The processor's name, as it reports it.
pub(crate) fn cpu() -> String {
    cpu_name(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

/// Processors that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn lock_hash() -> String {
    // The lock file that the binary was built with, not one that happens to be in the current
    // folder.
    let lock = include_bytes!(concat!(env!("OUT_DIR"), "/Cargo.lock"));
    blake3::hash(lock).to_hex()[..16].to_owned()
}

fn cpu_name(cpuinfo: &str) -> String {
    field(cpuinfo, "model name").unwrap_or(std::env::consts::ARCH).to_owned()
}

fn cpu_flags(cpuinfo: &str) -> Vec<String> {
    let flags = field(cpuinfo, "flags").or_else(|| field(cpuinfo, "Features")).unwrap_or_default();
    flags.split_whitespace().map(str::to_owned).collect()
}

/// The value of the first line `name : value`.
fn field<'a>(cpuinfo: &'a str, name: &str) -> Option<&'a str> {
    cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}
