//! How cores are shared among trials.

/// How a sweep uses the machine. Results do not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers {
    /// Trials trained at the same time.
    pub jobs: usize,
    /// Threads that each of them has.
    pub threads: usize,
    /// Estimated bytes that concurrent trials may need together; without a limit all run at
    /// once.
    pub memory: Option<u64>,
}

impl Workers {
    /// Shares `cores` among `trials`: one core per trial as long as there are enough trials,
    /// since separate trials never wait for each other.
    pub fn share(cores: usize, trials: usize, jobs: Option<usize>) -> Self {
        let jobs = jobs.unwrap_or(cores).clamp(1, trials.max(1));
        Self { jobs, threads: (cores / jobs).max(1), memory: None }
    }
}
