//! What trials cost: their images, and the speed of their networks on this machine.

use std::{collections::HashSet, time::Duration};

use decouple_datasets::DataSpec;
use decouple_experiment::Trial;
use decouple_training::{forecast::Speeds, memory_limit::Limit, workers::Workers};

use crate::{
    arguments::Common,
    environment::cores,
    failure::{Failure, IO},
};

/// Time that all measurements together may take.
const PATIENCE: Duration = Duration::from_millis(800);

/// Networks that are measured at most, the cheapest.
const MOST_MEASURED: usize = 64;

/// Training images of each data set that was asked for; those of a folder are
/// counted once.
#[derive(Default)]
pub(super) struct TrainImages(Vec<(DataSpec, Option<usize>)>);

impl TrainImages {
    pub(super) fn of(&mut self, trial: &Trial, common: &Common) -> Option<usize> {
        let spec = &trial.record.data;
        if let Some((_, count)) = self.0.iter().find(|(known, _)| known == spec) {
            return *count;
        }
        let count = spec.train_images(common.data.as_deref());
        self.0.push((spec.clone(), count));
        count
    }
}

/// Training speeds of the networks that fit into `limit`, on `threads` each or what `run` would give them;
/// nothing if none does.
pub(super) fn speeds(
    trials: &[&Trial],
    needs: &[u64],
    threads: Option<usize>,
    limit: Option<Limit>,
) -> Result<Option<Speeds>, Failure> {
    let workers = Workers::share(cores(), trials.len(), None);
    let workers = Workers { threads: threads.unwrap_or(workers.threads), ..workers };
    let most = limit.map_or(u64::MAX, |limit| limit.bytes);
    let mut seen = HashSet::new();
    let mut fitting: Vec<&Trial> = trials
        .iter()
        .zip(needs)
        // Each worker trains a copy.
        .filter(|(_, need)| need.saturating_mul(workers.jobs as u64) <= most)
        .map(|(trial, _)| *trial)
        .filter(|trial| seen.insert(trial.workload()))
        .collect();
    if fitting.is_empty() {
        return Ok(None);
    }
    // There is time for a few networks only; the others are assumed to be as fast per
    // multiply-add.
    fitting.sort_by_key(|trial| trial.cost.macs);
    fitting.truncate(MOST_MEASURED);
    Speeds::measure(&fitting, workers, PATIENCE).map(Some).map_err(|error| Failure::new(IO, error))
}
