//! How cores are shared among trials, and how the threads of one trial stay awake.

use std::{
    hint::spin_loop,
    panic::resume_unwind,
    sync::atomic::{AtomicBool, Ordering},
    thread::{ScopedJoinHandle, sleep},
    time::Duration,
};

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

/// What a thread returns; its panic goes on here.
pub(crate) fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Looks for work in a row after which a thread has waited longer than a step's pieces take.
const PATIENCE: u32 = 4096;
/// Sleep between later looks.
const NAP: Duration = Duration::from_micros(100);

/// Does `work` while the other threads of rayon's current pool keep looking for its pieces. Those of a small
/// network's step are so short that a thread which sleeps in between wakes too late (docs/performance.md).
pub(crate) fn alert<T>(work: impl FnOnce() -> T) -> T {
    if rayon::current_num_threads() == 1 {
        return work();
    }
    let (done, own) = (AtomicBool::new(false), rayon::current_thread_index());
    rayon::in_place_scope(|scope| {
        scope.spawn_broadcast(|_, context| {
            let mut idle = 0;
            while Some(context.index()) != own && !done.load(Ordering::Relaxed) {
                match rayon::yield_now() {
                    Some(rayon::Yield::Executed) => idle = 0,
                    _ if idle < PATIENCE => idle += 1,
                    _ => sleep(NAP),
                }
                spin_loop();
            }
        });
        // Told even when `work` panics.
        let _done = Done(&done);
        work()
    })
}

struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use rayon::prelude::*;

    use super::*;

    #[test]
    fn what_alert_threads_do_is_done_and_a_panic_passes_through_them() {
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let sum = pool.install(|| alert(|| (0..1000_u64).into_par_iter().map(|n| n * n).sum::<u64>()));
            assert_eq!(sum, 332_833_500);
            let within = || (0..9).into_par_iter().for_each(|n| assert!(n < 5, "a broken piece"));
            let caught = catch_unwind(AssertUnwindSafe(|| pool.install(|| alert(within))));
            assert!(caught.is_err(), "{threads} threads");
            // Long enough for the others to nap.
            pool.install(|| alert(|| sleep(Duration::from_millis(20))));
        }
    }
}
