//! The networks of a sweep: each is built once, summarised and dropped, however many points and
//! seeds share it. A graph takes a hundred kilobytes; the summary that a trial needs, a few
//! hundred bytes.

use std::collections::HashMap;

use decouple_datasets::DataSpec;
use decouple_kernels::geometry::MapShape;
use decouple_spectrum::budget::{BudgetError, Quantity, Scaling, Solved, solve_scaling};
use decouple_spectrum::error::SpecError;
use decouple_spectrum::network::NetworkSpec;

use crate::trial::{Summary, hash64};

/// Summaries of the networks so far.
#[derive(Default)]
pub(super) struct Networks {
    built: HashMap<u64, Summary>,
    solved: HashMap<u64, Solved>,
}

impl Networks {
    /// What a trial keeps of the graph of `network` on the images of `data`.
    pub(super) fn summary(&mut self, network: &NetworkSpec, data: &DataSpec) -> Result<Summary, SpecError> {
        let key = key(network, data);
        if let Some(known) = self.built.get(&key) {
            return Ok(known.clone());
        }
        let (input, classes) = image_shape(data);
        let summary = Summary::of(&network.graph(input, classes)?);
        self.built.insert(key, summary.clone());
        Ok(summary)
    }

    /// `network` scaled so that it has `target` of `quantity`. Quantity and scaling are the
    /// same for all points of a sweep.
    pub(super) fn solve(
        &mut self,
        network: &NetworkSpec,
        data: &DataSpec,
        quantity: Quantity,
        target: u64,
        scaling: Scaling,
    ) -> Result<Solved, BudgetError> {
        let key = hash64(&(key(network, data), target));
        if let Some(known) = self.solved.get(&key) {
            return Ok(known.clone());
        }
        let (input, classes) = image_shape(data);
        let solved = solve_scaling(network, input, classes, quantity, target, scaling)?;
        self.solved.insert(key, solved.clone());
        Ok(solved)
    }
}

fn key(network: &NetworkSpec, data: &DataSpec) -> u64 {
    let shape = data.shape();
    hash64(&(network, [shape.h, shape.w, shape.c], data.classes()))
}

/// Shape of the images that a network sees, and the number of classes.
pub(super) fn image_shape(data: &DataSpec) -> (MapShape, usize) {
    let shape = data.shape();
    (MapShape::new(shape.h, shape.w, shape.c), data.classes())
}
