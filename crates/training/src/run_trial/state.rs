//! The state of a training as plain arrays, for checkpoints. The only place that knows what a training
//! consists of: the executor's state of each parameter, and a position.

use decouple_spectrum::{
    backend::{self, ExecutionError},
    graph::ParameterId,
};

use super::Training;
use crate::{
    checkpoint::{Array, Position, Snapshot},
    optimizer::update,
};

/// The saved state of each parameter, and its name in checkpoints. Gradients are not saved: each step
/// computes its own.
const KEPT: [(backend::State, &str); 4] = [
    (backend::State::Value, "value"),
    (backend::State::First, "first"),
    (backend::State::Second, "second"),
    (backend::State::Average, "average"),
];

impl Training<'_> {
    /// All that is needed to continue from here, with the rows of `epochs` written.
    pub(super) fn state(&self, epochs: u64) -> Snapshot {
        let arrays = self.kept(self.step).map(|(what, id, name, _)| {
            let values = self.network.read(what, id);
            Array { name, values }
        });
        let position = Position {
            epochs,
            step: self.step,
            epoch_loss: self.epoch_loss,
            epoch_correct: self.epoch_correct,
            epoch_secs: self.epoch_secs,
            train_secs: self.train_secs,
        };
        Snapshot { position, arrays: arrays.collect() }
    }

    /// Restores `state`. Returns whether it belongs to this network, optimiser and average; if not, nothing
    /// is changed.
    ///
    /// # Errors
    /// [`ExecutionError`] when the device does not take it.
    pub(super) fn restore(&mut self, state: &Snapshot) -> Result<bool, ExecutionError> {
        let position = &state.position;
        let found = state.arrays.iter().map(|array| (array.name.as_str(), array.values.len()));
        let wanted: Vec<_> = self.kept(position.step).collect();
        let in_epoch = (position.epochs.checked_mul(self.steps_per_epoch))
            .and_then(|before| position.step.checked_sub(before));
        if !found.eq(wanted.iter().map(|(_, _, name, length)| (name.as_str(), *length)))
            || in_epoch.is_none_or(|steps| steps > self.steps_per_epoch)
        {
            return Ok(false);
        }
        for ((what, id, ..), array) in wanted.into_iter().zip(&state.arrays) {
            self.network.write(what, id, &array.values)?;
        }
        (self.step, self.epoch_loss, self.epoch_correct) =
            (position.step, position.epoch_loss, position.epoch_correct);
        (self.epoch_secs, self.train_secs) = (position.epoch_secs, position.train_secs);
        Ok(true)
    }

    /// Every array of the training after `step` steps, in a fixed order: kind, parameter, name and length.
    /// State that no step has written yet is empty.
    fn kept(&self, step: u64) -> impl Iterator<Item = (backend::State, ParameterId, String, usize)> {
        let update = update(&self.record.training, 1.0, step.max(1));
        let [first, second] = update.rule.start().map(|start| start.is_some() && step > 0);
        let average = update.average_share.is_some() && step > 0;
        let parameters = &self.network.plan().graph.parameters;
        parameters.iter().enumerate().flat_map(move |(index, parameter)| {
            let is_trained = parameter.role.is_trained();
            KEPT.map(|(what, name)| {
                let is_kept = match what {
                    backend::State::Value => true,
                    backend::State::First => first && is_trained,
                    backend::State::Second => second && is_trained,
                    backend::State::Average => average,
                    backend::State::Gradient => false,
                };
                let length = if is_kept { parameter.len() } else { 0 };
                (what, ParameterId(index), format!("{name}.{index}"), length)
            })
        })
    }
}
