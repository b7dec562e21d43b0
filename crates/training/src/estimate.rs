//! How long a trial will take, from a few of its own steps.

use std::time::{Duration, Instant};

use decouple_datasets::{Dataset, ImageShape, Split};
use decouple_experiment::Trial;

use crate::trial::{Run, TrialError};

/// Images of the measured steps: enough to be like a batch, few enough to be
/// quick.
const IMAGES: usize = 32;

/// Training images a second of `trial` on rayon's current pool: the best of a
/// few steps on noise, within about `patience` after a first step that warms
/// up. `None` if that first step alone is expected to take longer, by
/// `macs_per_sec` as measured before.
///
/// # Errors
/// [`TrialError`] if the network cannot be executed.
pub fn images_per_sec(
    trial: &Trial,
    patience: Duration,
    macs_per_sec: Option<f64>,
) -> Result<Option<f64>, TrialError> {
    let batch = trial.record.training.batch.min(IMAGES);
    // Forward and backward take three passes over the multiply-adds.
    let macs = 3.0 * trial.cost.macs as f64 * batch as f64;
    if macs_per_sec.is_some_and(|rate| macs / rate > patience.as_secs_f64()) {
        return Ok(None);
    }
    let data = noise(trial, batch);
    let mut run = Run::new(trial, &data)?;
    let indices: Vec<u32> = (0..batch as u32).collect();
    run.train_step(0, &indices)?;
    let began = Instant::now();
    let mut best = f64::INFINITY;
    loop {
        let step = Instant::now();
        run.train_step(0, &indices)?;
        best = best.min(step.elapsed().as_secs_f64());
        if began.elapsed() >= patience {
            return Ok(Some(batch as f64 / best));
        }
    }
}

/// A data set of one batch with the trial's shapes and nothing to learn.
fn noise(trial: &Trial, images: usize) -> Dataset {
    let (input, classes) = (trial.graph.input(), trial.graph.output().len());
    let shape = ImageShape { h: input.h, w: input.w, c: input.c };
    let pixels = (0..images * shape.len()).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let labels = (0..images).map(|i| (i % classes) as u16).collect();
    let empty = Split { shape, images: Vec::new(), labels: Vec::new() };
    Dataset {
        name: "noise".to_owned(),
        classes: Vec::new(),
        train: Split { shape, images: pixels, labels },
        validation: empty.clone(),
        test: empty,
        mean: vec![0.5; shape.c],
        std: vec![0.25; shape.c],
        checksum: String::new(),
        skipped: Vec::new(),
    }
}
