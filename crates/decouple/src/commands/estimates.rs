//! What trials cost: their images, and the speed of their networks on this machine.

use std::{collections::HashSet, time::Duration};

use decouple_datasets::{DataError, DataSpec};
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
pub(super) struct TrainImages {
    counts: Vec<(DataSpec, Option<usize>)>,
    /// Why the first of those that could not be counted could not.
    problem: Option<DataError>,
}

impl TrainImages {
    pub(super) fn of(&mut self, trial: &Trial, common: &Common) -> Option<usize> {
        let spec = &trial.record.data;
        if let Some((_, count)) = self.counts.iter().find(|(known, _)| known == spec) {
            return *count;
        }
        let count = spec.train_images(common.data.as_deref()).unwrap_or_else(|error| {
            self.problem.get_or_insert(error);
            None
        });
        self.counts.push((spec.clone(), count));
        count
    }

    /// Warns that images could not be counted, if so.
    pub(super) fn warn(&self) {
        if let Some(error) = &self.problem {
            say!(
                "warning: {error}\n   = so the times of whole trials are not known, and `decouple run` would end here, too"
            );
        }
    }
}

/// The trials in the order in which they start: the longest first, so that the last to
/// end are short ones and no core waits long for another. Lengths are counted, not
/// measured (multiply-adds of all images of all epochs), and those of the same half power
/// of two count as equal: equal ones keep the file's order, in which every point comes up
/// before any has its second seed.
pub(super) fn longest_first<'a>(mut trials: Vec<&'a Trial>, common: &Common) -> Vec<&'a Trial> {
    let mut images = TrainImages::default();
    trials.sort_by_cached_key(|trial| {
        let images = images.of(trial, common).unwrap_or(1).max(1) as f64;
        let length = images * trial.cost.macs.max(1) as f64 * trial.record.training.epochs as f64;
        std::cmp::Reverse((2.0 * length.log2()) as u64)
    });
    trials
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
