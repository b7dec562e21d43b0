//! How much memory there is, how much trials need, and which may run now.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{Condvar, Mutex, PoisonError},
};

use decouple_datasets::stream::AHEAD;
use decouple_experiment::{TrainingSpec, Trial};

use crate::{forecast, optimizer::update};

/// The share of the machine's memory for trials; the rest is for the program, its data and
/// other processes.
const SHARE: f64 = 0.9;

/// A limit on memory, and what sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Bytes.
    pub bytes: u64,
    /// Such as "this machine".
    pub set_by: &'static str,
}

impl Limit {
    /// The smallest limit set by the machine, the control group, the address space (`ulimit
    /// -v`) and Slurm; `None` if the system reports none.
    pub fn of_machine() -> Option<Self> {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let per_core = || Some(number("SLURM_MEM_PER_CPU")?.saturating_mul(number("SLURM_CPUS_ON_NODE")?));
        let slurm = number("SLURM_MEM_PER_NODE").or_else(per_core);
        let found = [
            (in_meminfo(&text("/proc/meminfo"), "MemTotal"), "this machine"),
            (of_control_group(Path::new("/sys/fs/cgroup"), &text("/proc/self/cgroup")), "the control group"),
            (address_space(&text("/proc/self/limits")).map(less_than_reserved), "`ulimit -v`"),
            (slurm.filter(|&mib| mib > 0).map(|mib| mib.saturating_mul(1 << 20)), "Slurm"),
        ];
        let limits = found.into_iter().filter_map(|(bytes, set_by)| Some(Self { bytes: bytes?, set_by }));
        limits.min_by_key(|limit| limit.bytes)
    }

    /// The part for trials.
    pub fn for_trials(self) -> u64 {
        (self.bytes as f64 * SHARE) as u64
    }
}

/// A line of `/proc/meminfo`, in bytes.
fn in_meminfo(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What is free or can be freed now, if the system reports it.
pub fn available() -> Option<u64> {
    in_meminfo(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable")
}

/// What a limit on the address space leaves for values: threads reserve more of it than they use, a stack and an arena
/// of the allocator each.
fn less_than_reserved(limit: u64) -> u64 {
    const OF_A_THREAD: u64 = 72 << 20;
    let used = fs::read_to_string("/proc/self/status").ok().and_then(|text| in_meminfo(&text, "VmSize"));
    // The workers, and those that watch and write.
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64 + 3;
    limit.saturating_sub(used.unwrap_or(0)).saturating_sub(threads * OF_A_THREAD)
}

/// The soft limit on the address space in `/proc/self/limits`; none if unlimited.
fn address_space(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The least limit of the process's control group and of those above it, in
/// version 2 (`memory.max`) and version 1 (`memory.limit_in_bytes`).
fn of_control_group(root: &Path, own: &str) -> Option<u64> {
    let number = |path: &Path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let groups = own.lines().filter_map(|line| {
        let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
        let version_1 = controllers.split(',').any(|name| name == "memory");
        (version_1 || controllers.is_empty()).then_some((version_1, group.trim_start_matches('/')))
    });
    let mut least: Option<u64> = None;
    for (version_1, group) in groups {
        let (top, file) = if version_1 {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            (root.to_owned(), "memory.max")
        };
        for folder in top.join(group).ancestors().take_while(|folder| folder.starts_with(&top)) {
            least = least.into_iter().chain(number(&folder.join(file))).min();
        }
    }
    // Version 1 writes "no limit" as the largest multiple of a page.
    least.filter(|&bytes| bytes < 1 << 60)
}

/// Estimated bytes of training each trial, computed once per network and optimiser state.
#[derive(Clone, Debug)]
pub struct Needs {
    threads: usize,
    known: HashMap<(u64, usize, usize), u64>,
}

impl Needs {
    /// With this many threads per trial.
    pub fn new(threads: usize) -> Self {
        Self { threads, known: HashMap::new() }
    }

    /// The need of `trial` with `images` to train on: no batch is larger than the set.
    pub fn of(&mut self, trial: &Trial, images: Option<usize>) -> u64 {
        let batch = trial.record.training.batch.min(images.unwrap_or(usize::MAX).max(1));
        let training = TrainingSpec { batch, ..trial.record.training.clone() };
        let key = (trial.workload(), batch, update(&training, 1.0, 1).copies());
        let estimate = || forecast::bytes(&trial.graph(), &training, self.threads);
        let executor = *self.known.entry(key).or_insert_with(estimate);
        let data = &trial.record.data;
        // Batches of pixels that are decoded ahead, in use and being filled.
        let ahead = if data.is_streamed() { AHEAD + 2 } else { 1 };
        executor + (ahead * batch * data.shape().len()) as u64
    }
}

/// Admits trials as memory allows: one that does not fit waits until others have ended.
#[derive(Debug)]
pub struct Admission {
    limit: Option<u64>,
    in_use: Mutex<u64>,
    left: Condvar,
}

impl Admission {
    /// With `limit` bytes; without a limit nobody waits.
    pub fn new(limit: Option<u64>) -> Self {
        Self { limit, in_use: Mutex::new(0), left: Condvar::new() }
    }

    /// Waits until `bytes` fit beside the others. A need that never fits is admitted once
    /// nobody else is there.
    pub fn enter(&self, bytes: u64) -> Admitted<'_> {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full =
            |in_use: u64| self.limit.is_some_and(|limit| in_use > 0 && in_use.saturating_add(bytes) > limit);
        while is_full(*in_use) {
            in_use = self.left.wait(in_use).unwrap_or_else(PoisonError::into_inner);
        }
        *in_use = in_use.saturating_add(bytes);
        Admitted { admission: self, bytes }
    }
}

/// Memory reserved until this is dropped.
#[derive(Debug)]
pub struct Admitted<'a> {
    admission: &'a Admission,
    bytes: u64,
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        let mut in_use = self.admission.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        *in_use = in_use.saturating_sub(self.bytes);
        self.admission.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn limits_are_read_as_the_system_writes_them() {
        assert_eq!(
            in_meminfo("MemTotal:       24654788 kB\nMemFree: 1 kB\n", "MemTotal"),
            Some(24654788 << 10)
        );
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max address space         8192000000           unlimited            bytes\n";
        assert_eq!(address_space(limits), Some(8_192_000_000));
        assert_eq!(address_space(&limits.replace("8192000000", "unlimited ")), None);
    }

    #[test]
    fn the_least_limit_of_a_control_group_and_those_above_it_counts() {
        let root = tempfile::tempdir().unwrap();
        let job = root.path().join("slurm/job_1");
        fs::create_dir_all(&job).unwrap();
        fs::write(job.join("memory.max"), "max\n").unwrap();
        assert_eq!(of_control_group(root.path(), "0::/slurm/job_1\n"), None);
        fs::write(root.path().join("slurm/memory.max"), "2000000\n").unwrap();
        assert_eq!(of_control_group(root.path(), "0::/slurm/job_1\n"), Some(2_000_000));
        fs::create_dir_all(root.path().join("memory/job")).unwrap();
        fs::write(root.path().join("memory/job/memory.limit_in_bytes"), "9223372036854771712\n").unwrap();
        assert_eq!(of_control_group(root.path(), "4:cpu,memory:/job\n"), None, "version 1's unlimited");
        fs::write(root.path().join("memory/job/memory.limit_in_bytes"), "1000000\n").unwrap();
        assert_eq!(of_control_group(root.path(), "4:cpu,memory:/job\n"), Some(1_000_000));
    }

    #[test]
    fn no_more_than_the_limit_is_ever_in_use() {
        let admission = Admission::new(Some(100));
        let (in_use, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8u64 {
                let (admission, in_use, most) = (&admission, &in_use, &most);
                scope.spawn(move || {
                    for piece in 0..50 {
                        let bytes = 10 + (7 * thread + 13 * piece) % 60;
                        let _room = admission.enter(bytes);
                        let now = in_use.fetch_add(bytes, Ordering::SeqCst) + bytes;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        in_use.fetch_sub(bytes, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!((60..=100).contains(&most.load(Ordering::SeqCst)), "{most:?}");
        // A need larger than the limit is admitted alone, and does not wait for ever.
        drop(admission.enter(1_000));
    }
}
