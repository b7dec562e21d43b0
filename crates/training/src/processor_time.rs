//! Processor time of a piece of work: the time it takes on an otherwise idle machine, however busy this one
//! is.

use std::time::{Duration, Instant};

/// Runs from [`ProcessorClock::start`] on, on rayon's current pool.
#[derive(Debug)]
pub(crate) struct ProcessorClock {
    wall: Instant,
    /// For each thread of the pool, before the work; `None` if the system does not report it.
    threads: Option<Vec<Duration>>,
}

impl ProcessorClock {
    pub(crate) fn start() -> Self {
        Self { wall: Instant::now(), threads: of_threads() }
    }

    /// Processor seconds of the busiest thread of the pool: the elapsed time if no thread waited for a
    /// processor. Elapsed seconds if the system does not report it.
    pub(crate) fn secs(&self) -> f64 {
        let busiest = self.threads.as_ref().zip(of_threads()).and_then(|(before, after)| {
            after.iter().zip(before).map(|(after, before)| after.saturating_sub(*before)).max()
        });
        busiest.unwrap_or_else(|| self.wall.elapsed()).as_secs_f64()
    }
}

fn of_threads() -> Option<Vec<Duration>> {
    rayon::broadcast(|_| of_this_thread()).into_iter().collect()
}

#[cfg(unix)]
fn of_this_thread() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
}

#[cfg(not(unix))]
fn of_this_thread() -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn work_counts_and_waiting_does_not() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        pool.install(|| {
            let waiting = ProcessorClock::start();
            std::thread::sleep(Duration::from_millis(50));
            let idle = waiting.secs();
            let working = ProcessorClock::start();
            while working.secs() < idle + 0.01 {}
            assert!(working.wall.elapsed().as_secs_f64() >= working.secs());
        });
    }
}
