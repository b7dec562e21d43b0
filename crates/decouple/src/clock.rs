//! The timer behind a budget of step time, and what is shown while it runs.

use std::path::PathBuf;

use decouple_experiment::{ClockError, LedgerError, Machine, RememberingTimer, StepTimer, Trial};
use decouple_spectrum::budget::step_time::TimedPair;
use decouple_training::{
    device::backend,
    timer::{THREADS, Timer},
};

use crate::{arguments::Common, environment::cpu, text::short_count};

/// The file that remembers step times, in the folder of results.
const FILE: &str = "step-times.json";

/// Measures only what is not remembered. Nothing is read or started until a step time is
/// needed, which few experiments do.
pub(crate) struct StepClock {
    path: PathBuf,
    timer: Option<RememberingTimer<Measuring>>,
    /// Whether the file could not be read or written.
    pub(crate) is_barred: bool,
}

impl StepClock {
    pub(crate) fn new(common: &Common) -> Self {
        Self { path: common.results.join(FILE), timer: None, is_barred: false }
    }

    fn timer(&mut self) -> Result<&mut RememberingTimer<Measuring>, ClockError> {
        match &mut self.timer {
            Some(timer) => Ok(timer),
            none => {
                let measuring = Measuring { timer: Timer::new()?, has_begun: false };
                let (timer, word) = RememberingTimer::open(&self.path, machine(), measuring)?;
                if let Some(word) = word {
                    say!("warning: {word}");
                }
                Ok(none.insert(timer))
            }
        }
    }
}

impl StepTimer for StepClock {
    fn compare(&mut self, trial: &Trial, reference: &Trial) -> Result<TimedPair, ClockError> {
        let compared = self.timer().and_then(|timer| timer.compare(trial, reference));
        self.is_barred |= compared.as_ref().is_err_and(|error| error.is::<LedgerError>());
        compared
    }
}

/// The machine that the times apply to.
fn machine() -> Machine {
    Machine {
        decouple: env!("CARGO_PKG_VERSION").to_owned(),
        cpu: cpu(),
        kernels: backend().name().to_owned(),
        threads: THREADS,
    }
}

/// Trains steps, measures them, and reports it.
struct Measuring {
    timer: Timer,
    has_begun: bool,
}

impl StepTimer for Measuring {
    fn compare(&mut self, trial: &Trial, reference: &Trial) -> Result<TimedPair, ClockError> {
        if !self.has_begun {
            self.has_begun = true;
            say!("measuring step times beside the reference, a second or more per network");
        }
        let comparison = self.timer.compare(trial, reference)?;
        let parameters = short_count(trial.cost.parameters);
        say!("  {}, {parameters} parameters: {comparison}", trial.point_label());
        Ok(comparison)
    }
}
