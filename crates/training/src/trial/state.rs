//! The state of a training as plain arrays, for checkpoints. The one place that knows what a training consists
//! of: its network, its optimiser, its averaged weights.

use super::Run;
use crate::checkpoint::{Array, Position, State};

impl Run<'_> {
    /// All that is needed to go on from here, with the rows of `epochs` written.
    pub(super) fn state(&mut self, epochs: u64) -> State {
        let mut arrays = Vec::new();
        let (optimizer_steps, average_updates) =
            self.for_each_array(|name, values| arrays.push(Array { name, values: values.to_vec() }));
        let (optimizer_steps, average_updates) = (*optimizer_steps, average_updates.map_or(0, |n| *n));
        let position = Position {
            epochs,
            step: self.step,
            epoch_loss: self.epoch_loss,
            epoch_correct: self.epoch_correct,
            epoch_secs: self.epoch_secs,
            train_secs: self.train_secs,
            optimizer_steps,
            average_updates,
        };
        State { position, arrays }
    }

    /// Goes to where `state` was taken. Whether it is a state of this network, optimiser and average; if it is
    /// not, nothing is changed.
    pub(super) fn restore(&mut self, state: &State) -> bool {
        let mut wanted = Vec::new();
        self.for_each_array(|name, values| wanted.push((name, values.len())));
        let found = state.arrays.iter().map(|array| (array.name.as_str(), array.values.len()));
        let position = &state.position;
        let in_epoch = position.step.checked_sub(position.epochs * self.steps_per_epoch);
        if !found.eq(wanted.iter().map(|(name, length)| (name.as_str(), *length)))
            || in_epoch.is_none_or(|steps| steps > self.steps_per_epoch)
        {
            return false;
        }
        let mut arrays = state.arrays.iter();
        let (optimizer_steps, average_updates) = self.for_each_array(|_, values| {
            if let Some(array) = arrays.next() {
                values.copy_from_slice(&array.values);
            }
        });
        *optimizer_steps = position.optimizer_steps;
        if let Some(updates) = average_updates {
            *updates = position.average_updates;
        }
        (self.step, self.epoch_loss, self.epoch_correct) =
            (position.step, position.epoch_loss, position.epoch_correct);
        (self.epoch_secs, self.train_secs) = (position.epoch_secs, position.train_secs);
        true
    }

    /// Calls `visit` with every array of the training in a fixed order; returns the counters of the optimiser
    /// and the average. The one place that knows what a training consists of.
    fn for_each_array(&mut self, mut visit: impl FnMut(String, &mut [f32])) -> (&mut u64, Option<&mut u64>) {
        let mut count = 0;
        self.network.for_each_state(|values| {
            visit(format!("network.{count}"), values);
            count += 1;
        });
        let (steps, slots) = self.optimizer.memory();
        slots.enumerate().for_each(|(k, values)| visit(format!("optimizer.{}.{}", k / 2, k % 2), values));
        let updates = self.average.as_mut().map(|average| {
            let (updates, arrays) = average.memory();
            arrays.iter_mut().enumerate().for_each(|(k, values)| visit(format!("average.{k}"), values));
            updates
        });
        (steps, updates)
    }
}
