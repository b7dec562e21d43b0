//! How long a trial will take, from a few of its own steps: by processor time, so that other work on the
//! machine does not count.

use std::time::{Duration, Instant};

use decouple_datasets::{Dataset, ImageShape, Selection, Split};
use decouple_experiment::{Average, Record, TrainingSpec, Trial};
use decouple_kernels::{arithmetic::Arithmetic, layout::LANES};
use decouple_spectrum::{
    graph::Graph,
    network::NetworkSpec,
    plan::{MapId, Plan},
};
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use crate::{
    device::backend,
    error::TrialError,
    optimizer::update,
    processor_time::ProcessorClock,
    run_trial::Training,
    workers::{Workers, joined},
};

/// Passes over a network's multiply-adds that a training step takes: forward,
/// and backward for inputs and weights. An evaluation takes one.
const PASSES: f64 = 3.0;

/// Multiply-adds of a measured step, unless one group of images has more: about a tenth of a
/// second.
const STEP_MACS: f64 = 1e9;

/// Multiply-adds of the longest step that is measured: about a second.
const LONGEST_STEP_MACS: f64 = 3e10;

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum EstimateError {
    /// A step failed.
    #[error(transparent)]
    Trial(#[from] TrialError),
    /// The threads of a worker could not be started.
    #[error("cannot start threads: {0}")]
    Threads(#[from] ThreadPoolBuildError),
}

/// Training speeds of the networks of a sweep, on this machine without other work.
#[derive(Clone, Debug)]
pub struct Speeds {
    /// Network, batch, and multiply-adds per second of one job's forward passes where all jobs run.
    measured: Vec<(NetworkSpec, usize, Arithmetic, f64)>,
    /// For a network that was not measured: the speed of the measured ones.
    macs_per_sec: f64,
}

impl Speeds {
    /// Trains each network of `trials` on noise for a step or more, the cheapest first, until
    /// `patience` runs out. All `workers` train the same network at once, since they share the
    /// machine's memory as in a run. A network whose step would take long is measured on
    /// smaller images.
    ///
    /// # Errors
    /// [`EstimateError`] if a network cannot be executed or no thread started.
    pub fn measure(trials: &[&Trial], workers: Workers, patience: Duration) -> Result<Self, EstimateError> {
        let pools = (0..workers.jobs)
            .map(|_| ThreadPoolBuilder::new().num_threads(workers.threads).build())
            .collect::<Result<Vec<_>, _>>()?;
        let mut distinct: Vec<&Trial> = Vec::new();
        for trial in trials {
            if distinct.iter().all(|other| key(other) != key(trial)) {
                distinct.push(trial);
            }
        }
        distinct.sort_by_key(|trial| trial.cost.macs);
        let began = Instant::now();
        let mut speeds = Self { measured: Vec::new(), macs_per_sec: 0.0 };
        for (index, trial) in distinct.iter().enumerate() {
            let left = patience.saturating_sub(began.elapsed());
            let quick = quick(trial);
            // One step to warm up and one to measure.
            let least = 2.0 * step_macs(&quick) / speeds.macs_per_sec;
            if index > 0 && least > left.as_secs_f64() {
                break;
            }
            let rate = rate(&quick, &pools, left / (distinct.len() - index) as u32)?;
            speeds.macs_per_sec = PASSES * rate * quick.cost.macs as f64;
            let rate = rate * quick.cost.macs as f64;
            let (network, batch, arithmetic) = key(trial);
            speeds.measured.push((network.clone(), batch, arithmetic, rate));
        }
        Ok(speeds)
    }

    /// Training images per second of one job.
    pub fn images_per_sec(&self, trial: &Trial) -> f64 {
        let measured = self
            .measured
            .iter()
            .find(|(network, batch, arithmetic, _)| (network, *batch, *arithmetic) == key(trial));
        measured.map_or(self.macs_per_sec / PASSES, |(.., rate)| *rate) / trial.cost.macs as f64
    }

    /// Seconds that one job needs for `trial` with `train_images` to train on: its steps, and
    /// the scores of the held-out images after every epoch. The one evaluation of the test
    /// images is left out.
    pub fn secs(&self, trial: &Trial, train_images: usize) -> f64 {
        let training = &trial.record.training;
        let weights = if training.average == Average::None { 1.0 } else { 2.0 };
        let scored = weights * trial.record.data.validation as f64 / PASSES;
        training.epochs as f64 * (train_images as f64 + scored) / self.images_per_sec(trial)
    }
}

/// The most memory that training `graph` with `threads` threads takes, in bytes: the executor's and the batch's.
pub fn bytes(graph: &Graph, training: &TrainingSpec, threads: usize) -> u64 {
    let (plan, batch) = (Plan::new(graph.clone()), training.batch);
    let images = (plan.layout(MapId(0)).len(batch) as u64).saturating_mul(size_of::<f32>() as u64);
    backend()
        .training_bytes(&plan, training.arithmetic(), batch, &update(training, 1.0, 1), threads)
        .saturating_add(images)
}

/// What the speed of a trial in multiply-adds depends on.
fn key(trial: &Trial) -> (&NetworkSpec, usize, Arithmetic) {
    let training = &trial.record.training;
    (&trial.record.network, training.batch, training.arithmetic())
}

/// `trial`, or, where its step would take long, the same network on images of a half, a third
/// or less of the rows and columns, as far as it accepts them. The speed in multiply-adds per
/// second depends on the channels, which are the same.
fn quick(trial: &Trial) -> Trial {
    let shape = trial.record.data.shape();
    let smaller = |divisor| {
        let data = trial.record.data.clone();
        let data = data.with_size([shape.h, shape.w].map(|extent| extent.div_ceil(divisor)))?;
        let record = Record { data, ..trial.record.clone() };
        let graph = record.graph().ok()?;
        Some(Trial::new(trial.point.clone(), record, &graph, None))
    };
    let mut quick = trial.clone();
    for divisor in 2..=shape.h.max(shape.w) {
        if step_macs(&quick) <= LONGEST_STEP_MACS {
            break;
        }
        let Some(smaller) = smaller(divisor) else { break };
        quick = smaller;
    }
    quick
}

/// Images of a measured step: in whole groups, since part of a group takes as long.
fn images(trial: &Trial) -> usize {
    let images = STEP_MACS / (PASSES * trial.cost.macs.max(1) as f64);
    (images as usize).max(1).next_multiple_of(LANES).min(trial.record.training.batch)
}

fn step_macs(trial: &Trial) -> f64 {
    PASSES * trial.cost.macs as f64 * images(trial) as f64
}

/// Training images per second of one pool while all train `trial`.
fn rate(trial: &Trial, pools: &[ThreadPool], patience: Duration) -> Result<f64, TrialError> {
    let threads: usize = pools.iter().map(ThreadPool::current_num_threads).sum();
    let cores = std::thread::available_parallelism().map_or(threads, usize::from);
    let rates = std::thread::scope(|scope| {
        let measure =
            || pools.iter().map(|pool| scope.spawn(|| pool.install(|| images_per_sec(trial, patience))));
        let threads: Vec<_> = measure().collect();
        threads.into_iter().map(joined).collect::<Result<Vec<f64>, TrialError>>()
    })?;
    // Processor time does not include threads waiting for each other's cores.
    let core_each = (cores as f64 / threads as f64).min(1.0);
    Ok(core_each * rates.iter().sum::<f64>() / rates.len() as f64)
}

/// Training images per second of `trial` on rayon's current pool: the median of the steps
/// within `patience`, after one that warms up.
fn images_per_sec(trial: &Trial, patience: Duration) -> Result<f64, TrialError> {
    let batch = images(trial);
    let data = noise(trial, batch);
    let mut run = Training::new(trial, &data, &*backend())?;
    let indices: Vec<u32> = (0..batch as u32).collect();
    let began = Instant::now();
    run.train_step(0, &indices)?;
    let mut steps = Vec::new();
    loop {
        let step = ProcessorClock::start();
        run.train_step(0, &indices)?;
        steps.push(step.secs());
        if began.elapsed() >= patience {
            steps.sort_by(f64::total_cmp);
            return Ok(batch as f64 / steps[steps.len() / 2]);
        }
    }
}

/// A data set of one batch with the trial's shapes and nothing to learn.
pub(crate) fn noise(trial: &Trial, images: usize) -> Dataset {
    let graph = trial.graph();
    let (input, classes) = (graph.input(), graph.output().len());
    let shape = ImageShape { h: input.h, w: input.w, c: input.c };
    let pixels = (0..images * shape.len()).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let labels = (0..images).map(|i| (i % classes) as u16).collect();
    let train = Selection::from(Split { shape, images: pixels, labels });
    Dataset {
        name: "noise".to_owned(),
        validation: train.part(&[]),
        test: train.part(&[]),
        train,
        mean: vec![0.5; shape.c],
        std: vec![0.25; shape.c],
        ..Dataset::default()
    }
}

#[cfg(test)]
mod tests {
    use decouple_experiment::{Overrides, parse};

    use super::*;

    fn trial(size: usize, family: &str) -> Trial {
        let text = format!(
            "[trial.data]\nset = 'image-folder'\nfolder = 'photographs'\nclasses = 10\nsize = [{size}, {size}]\n\
             stream = true\n[trial.network]\nfamily = '{family}'"
        );
        parse(&text, "test.toml", &Overrides::default()).expect("the sweep is right").trials.remove(0)
    }

    #[test]
    fn a_large_network_is_measured_on_small_images() {
        for family in ["xception", "inception-v3", "vgg-16"] {
            let large = trial(299, family);
            let quick = quick(&large);
            assert!(
                step_macs(&large) > LONGEST_STEP_MACS && step_macs(&quick) <= LONGEST_STEP_MACS,
                "{family}"
            );
            assert_eq!(quick.record.network, large.record.network);
        }
        let small = trial(32, "mini-xception");
        assert_eq!(quick(&small).record, small.record);
    }

    #[test]
    fn a_network_on_larger_images_is_slower() {
        let (small, large) = (trial(32, "mini-xception"), trial(128, "mini-xception"));
        let (network, batch, arithmetic) = key(&small);
        let speeds = Speeds { measured: vec![(network.clone(), batch, arithmetic, 1e9)], macs_per_sec: 3e9 };
        let ratio = speeds.images_per_sec(&small) / speeds.images_per_sec(&large);
        assert!((15.0..=17.0).contains(&ratio), "{ratio}");
    }
}
