//! Times training steps of two trials in turn, for a budget of step time.

use std::time::{Duration, Instant};

use decouple_datasets::Dataset;
use decouple_experiment::Trial;
use decouple_spectrum::budget::step_time::{StepTime, TimedPair};
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use crate::{
    device::backend, error::TrialError, forecast::noise, processor_time::ProcessorClock, run_trial::Training,
};

/// Warm-up steps of each: buffers are allocated, weights move into caches, the processor
/// reaches its clock speed.
const WARM_UP: usize = 3;

/// The least number of steps of each, and the least time in all.
const LEAST_STEPS: usize = 9;
const LEAST_TIME: Duration = Duration::from_millis(800);

/// Timing goes on until the standard error of the ratio is this small...
const WANTED_SPREAD: f64 = 0.004;

/// ...or this long.
const PATIENCE: Duration = Duration::from_secs(4);

/// Threads of a timed step: a sweep trains a trial on each core.
pub const THREADS: usize = 1;

/// The threads that steps are timed on.
#[derive(Debug)]
pub struct Timer(ThreadPool);

impl Timer {
    /// Starts [`THREADS`] threads.
    ///
    /// # Errors
    /// If the system refuses them.
    pub fn new() -> Result<Self, ThreadPoolBuildError> {
        ThreadPoolBuilder::new().num_threads(THREADS).build().map(Self)
    }

    /// Times whole training steps of `trial` and of `reference`, each with its own batch of
    /// noise, in processor time: what else the machine does is not part of a network's step.
    /// Steps of the two alternate, so that both see the machine in the same states. Takes about
    /// a second; longer if nine steps of each do, and up to four seconds if the machine is
    /// busy.
    ///
    /// # Errors
    /// [`TrialError`] if a network cannot be executed.
    pub fn compare(&self, trial: &Trial, reference: &Trial) -> Result<TimedPair, TrialError> {
        self.0.install(|| compare(trial, reference))
    }
}

fn compare(trial: &Trial, reference: &Trial) -> Result<TimedPair, TrialError> {
    let (data, reference_data) = (batch_of_noise(trial), batch_of_noise(reference));
    let mut network = Stepper::new(trial, &data)?;
    let mut reference = Stepper::new(reference, &reference_data)?;
    for _ in 0..WARM_UP {
        network.step()?;
        reference.step()?;
    }
    let (mut secs, mut reference_secs) = (Vec::new(), Vec::new());
    let began = Instant::now();
    loop {
        secs.push(network.step()?);
        reference_secs.push(reference.step()?);
        if secs.len() < LEAST_STEPS || began.elapsed() < LEAST_TIME {
            continue;
        }
        let comparison = TimedPair {
            network: StepTime::of(secs.clone()),
            reference: StepTime::of(reference_secs.clone()),
        };
        if comparison.spread() <= WANTED_SPREAD || began.elapsed() >= PATIENCE {
            return Ok(comparison);
        }
    }
}

fn batch_of_noise(trial: &Trial) -> Dataset {
    noise(trial, trial.step_images())
}

/// A training that repeats the same step.
struct Stepper<'a> {
    run: Training<'a>,
    indices: Vec<u32>,
}

impl<'a> Stepper<'a> {
    fn new(trial: &'a Trial, data: &'a Dataset) -> Result<Self, TrialError> {
        let indices = (0..trial.step_images() as u32).collect();
        Ok(Self { run: Training::new(trial, data, &*backend())?, indices })
    }

    /// Processor seconds of one step.
    fn step(&mut self) -> Result<f64, TrialError> {
        let began = ProcessorClock::start();
        self.run.train_step(0, &self.indices)?;
        Ok(began.secs())
    }
}
