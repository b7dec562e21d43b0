//! `--jobs auto`: which split of the cores into trials trains the most images per second here.
//!
//! Measured on one of the trials (the longest), a second or so for each way to share the
//! cores, and remembered in `results/throughput.json` by machine, cores and network.

use std::{fs, path::Path, time::Duration};

use decouple_disk::Disk;
use decouple_experiment::{NUMERICS_VERSION, Trial};
use decouple_training::{device::backend, forecast::Speeds, workers::Workers};
use serde_json::{Value, json};

use crate::{
    arguments::Common,
    environment::cpu,
    failure::{Failure, IO},
    text::{grouped, plural},
};

/// The file that remembers, in the folder of results.
const FILE: &str = "throughput.json";

/// Version of the file. Another one is measured again.
const FORMAT: u64 = 1;

/// Time that the measurement of one way may take.
const PATIENCE: Duration = Duration::from_millis(1_200);

/// Another split has to be this much faster than one trial per core, which needs no waiting and
/// is less sensitive to errors of measurement.
const WORTHWHILE: f64 = 1.03;

/// The best of the ways to share the cores of `workers` among `trials`, of which `trial`
/// is one that needs `bytes`.
pub(super) fn auto(
    common: &Common,
    cores: usize,
    trials: usize,
    trial: &Trial,
    bytes: u64,
    memory: Option<u64>,
) -> Result<Workers, Failure> {
    let path = common.results.join(FILE);
    let fits = |jobs: usize| {
        jobs <= trials && memory.is_none_or(|memory| bytes.saturating_mul(jobs as u64) <= memory)
    };
    let key = key(cores, trial);
    let mut known = read(&path);
    let measured = match known.iter().find(|entry| entry["key"] == key) {
        Some(entry) => rates(entry),
        None => Vec::new(),
    };
    let mut ways = Vec::new();
    let mut is_new = false;
    for jobs in ways_to_share(cores).into_iter().filter(|&jobs| jobs == 1 || fits(jobs)) {
        let rate = match measured.iter().find(|(known, _)| *known == jobs) {
            Some((_, rate)) => *rate,
            None => {
                is_new = true;
                measure(trial, jobs, cores / jobs)?
            }
        };
        ways.push((jobs, rate));
    }
    if is_new {
        known.retain(|entry| entry["key"] != key);
        let all = ways
            .iter()
            .map(|(jobs, rate)| json!({ "jobs": jobs, "threads": cores / jobs, "images_per_sec": rate }));
        known.push(json!({ "key": key, "ways": all.collect::<Vec<_>>() }));
        remember(&path, &known);
    }
    let (jobs, rate) = best(&ways);
    let (source, threads) = (if is_new { "measured" } else { "remembered" }, cores / jobs);
    say!(
        "jobs      auto: {jobs} at a time of {}, {} images/s together ({source})",
        plural(threads, "thread"),
        grouped(rate as u64)
    );
    Ok(Workers { jobs, threads, memory })
}

/// Numbers of trials at a time: one per core, half as many, and so on down to one.
fn ways_to_share(cores: usize) -> Vec<usize> {
    let mut ways: Vec<usize> =
        std::iter::successors(Some(cores.max(1)), |&jobs| (jobs > 1).then_some(jobs / 2)).collect();
    ways.dedup();
    ways
}

/// The fastest way; of those about as fast as the first, the first.
fn best(ways: &[(usize, f64)]) -> (usize, f64) {
    let first = ways.first().copied().unwrap_or((1, 0.0));
    ways.iter().copied().fold(first, |best, way| if way.1 > WORTHWHILE * best.1 { way } else { best })
}

/// Images per second of `jobs` trainings together.
fn measure(trial: &Trial, jobs: usize, threads: usize) -> Result<f64, Failure> {
    let workers = Workers { jobs, threads, memory: None };
    let speeds = Speeds::measure(&[trial], workers, PATIENCE).map_err(|error| Failure::new(IO, error))?;
    Ok(jobs as f64 * speeds.images_per_sec(trial))
}

/// What a measurement applies to.
fn key(cores: usize, trial: &Trial) -> String {
    let backend = backend();
    let kernels = backend.name();
    format!(
        "{} · {kernels}, numerics {NUMERICS_VERSION} · {} · {cores} cores · {:016x}",
        env!("CARGO_PKG_VERSION"),
        cpu(),
        trial.workload()
    )
}

fn rates(entry: &Value) -> Vec<(usize, f64)> {
    let way = |way: &Value| Some((way["jobs"].as_u64()? as usize, way["images_per_sec"].as_f64()?));
    entry["ways"].as_array().into_iter().flatten().filter_map(way).collect()
}

/// What is remembered; nothing, if the file is not there or not ours.
fn read(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let file: Value = serde_json::from_str(&text).unwrap_or_default();
    if file["format"] != FORMAT {
        return Vec::new();
    }
    file["measured"].as_array().cloned().unwrap_or_default()
}

/// Stores it for the next time. If that fails, it is measured again.
fn remember(path: &Path, measured: &[Value]) {
    let text = format!("{:#}\n", json!({ "format": FORMAT, "measured": measured }));
    let folder = path.parent().unwrap_or(Path::new(""));
    let disk = Disk::within(folder);
    let kept = disk.create_dir_all(folder).and_then(|()| disk.replace(path, text.as_bytes()));
    if let Err(error) = kept {
        say!("warning: {}: the measurement could not be saved: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_shared_by_halves() {
        assert_eq!(ways_to_share(1), [1]);
        assert_eq!(ways_to_share(2), [2, 1]);
        assert_eq!(ways_to_share(12), [12, 6, 3, 1]);
    }

    #[test]
    fn a_trial_a_core_stays_unless_another_way_is_worth_it() {
        assert_eq!(best(&[(4, 100.0), (2, 102.0), (1, 90.0)]).0, 4);
        assert_eq!(best(&[(4, 100.0), (2, 120.0), (1, 121.0)]).0, 2);
    }

    #[test]
    fn what_is_remembered_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results/throughput.json");
        assert!(read(&path).is_empty());
        let entry = json!({ "key": "a", "ways": [{ "jobs": 2, "threads": 1, "images_per_sec": 7.5 }] });
        remember(&path, std::slice::from_ref(&entry));
        assert_eq!(read(&path), std::slice::from_ref(&entry));
        assert_eq!(rates(&entry), [(2, 7.5)]);
        fs::write(&path, "{").unwrap();
        assert!(read(&path).is_empty());
    }
}
