//! Decides when a run is saved: as often as 2 % of its time allow, and when it is asked to
//! stop.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use decouple_experiment::{LedgerError, RunWriter};

use crate::{
    checkpoint::{Checkpoint, Owner, Snapshot},
    progress::{News, Progress},
};

/// A request to stop, checked by every trial between two steps. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicUsize>);

impl Stop {
    /// Asks to stop, for a reason that is not zero, such as the number of a signal.
    pub fn request(&self, reason: usize) {
        self.0.store(reason, Ordering::SeqCst);
    }

    /// Why to stop, if so.
    pub fn reason(&self) -> Option<usize> {
        Some(self.0.load(Ordering::SeqCst)).filter(|reason| *reason != 0)
    }

    /// Where a signal handler leaves its number.
    pub fn flag(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.0)
    }
}

/// Planned share of the time for checkpoints, below the permitted 2 %.
const SHARE: f64 = 0.015;

/// The least and most time between two checkpoints, and the share of the time so far between
/// these limits.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(60);
const OF_THE_TIME: f64 = 0.01;

/// Expected time of the first one: opening and syncing, and the bytes per second of a slow disk.
const FIRST_SECS: f64 = 0.01;
const FIRST_BYTES_PER_SEC: f64 = 100e6;

/// When the next checkpoint is due, given how long the previous ones took.
#[derive(Debug)]
pub(crate) struct Pace {
    began: Instant,
    last: Instant,
    spent_secs: f64,
    expected_secs: f64,
    /// Whether a failure to write one has been reported.
    has_warned: bool,
}

impl Pace {
    /// For checkpoints of about `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        let now = Instant::now();
        let expected_secs = FIRST_SECS + bytes as f64 / FIRST_BYTES_PER_SEC;
        Self { began: now, last: now, spent_secs: 0.0, expected_secs, has_warned: false }
    }

    fn is_due(&self, now: Instant) -> bool {
        let so_far = (now - self.began).as_secs_f64();
        let apart = Duration::from_secs_f64(OF_THE_TIME * so_far).clamp(LEAST, MOST);
        now - self.last >= apart && self.spent_secs + self.expected_secs <= SHARE * so_far
    }

    fn note(&mut self, began: Instant, now: Instant) {
        let secs = (now - began).as_secs_f64();
        self.last = now;
        self.spent_secs += secs;
        // One that happened to be quick does not make the next one come early.
        self.expected_secs = secs.max(0.5 * (secs + self.expected_secs));
    }
}

/// What happens between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Between {
    GoOn,
    /// A checkpoint has been written; the run stops here.
    Stop,
}

/// Saves a run while it is trained.
pub(crate) struct Keeper<'a> {
    pub(crate) writer: &'a mut RunWriter,
    pub(crate) pace: &'a mut Pace,
    pub(crate) owner: &'a Owner,
    pub(crate) stop: &'a Stop,
    /// Index in the sweep's list.
    pub(crate) trial: usize,
    /// Told once if a checkpoint cannot be written.
    pub(crate) progress: &'a Progress,
}

impl Keeper<'_> {
    /// Saves `state` if that is due or requested.
    ///
    /// # Errors
    /// If the run may be another's by now, or has to stop and cannot be saved. Otherwise it continues
    /// without a checkpoint and tries again later.
    pub(crate) fn between_steps(&mut self, state: impl FnOnce() -> Snapshot) -> Result<Between, LedgerError> {
        let stops = self.stop.reason().is_some();
        let began = Instant::now();
        if !stops && !self.pace.is_due(began) {
            return Ok(Between::GoOn);
        }
        self.writer.check()?;
        let saved = save(self.writer, self.owner, state());
        self.pace.note(began, Instant::now());
        match saved {
            Err(source) if stops => Err(LedgerError::io("save a checkpoint in", self.writer.dir())(source)),
            Err(error) => {
                if !std::mem::replace(&mut self.pace.has_warned, true) {
                    let message = format!("no checkpoint could be saved: {error}; training continues");
                    self.progress.tell(self.trial, News::Warned(message));
                }
                Ok(Between::GoOn)
            }
            Ok(()) if stops => Ok(Between::Stop),
            Ok(()) => Ok(Between::GoOn),
        }
    }
}

/// Writes a checkpoint beside the run's files.
pub(crate) fn save(writer: &RunWriter, owner: &Owner, state: Snapshot) -> io::Result<()> {
    let tables = writer.tables().map(str::to_owned);
    Checkpoint { owner: owner.clone(), tables, state }.write(writer.disk(), writer.dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulated: an hour of training whose checkpoints take a fixed time.
    #[test]
    fn checkpoints_take_at_most_two_percent_of_the_time() {
        for cost in [0.000_1, 0.02, 0.5, 20.0, 100.0] {
            let mut pace = Pace::new(1 << 20);
            let (mut secs, mut count, mut longest) = (0.0, 0, 0.0f64);
            let (began, mut last) = (pace.began, 0.0);
            let at = |secs: f64| began + Duration::from_secs_f64(secs);
            while secs < 3600.0 {
                secs += 0.1;
                if pace.is_due(at(secs)) {
                    longest = longest.max(secs - last);
                    pace.note(at(secs), at(secs + cost));
                    secs += cost;
                    (last, count) = (secs, count + 1);
                }
            }
            let share = f64::from(count) * cost / secs;
            // Only the first one may be far slower than expected.
            assert!(share <= 0.02 || count == 1, "{share} of the time at {cost} s each");
            assert!(cost > 30.0 || count > 1, "{count} at {cost} s each");
            assert!(cost > 0.1 || longest < 61.0, "{longest} s without one at {cost} s each");
        }
    }
}
