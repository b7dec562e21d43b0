//! A second set of weights: the running average of the first.

use crate::network::Network;

/// Exponential moving average of parameters and running statistics (Polyak and
/// Juditsky 1992, in the exponential form that the paper evaluates).
#[derive(Clone, Debug)]
pub struct WeightAverage {
    decay: f64,
    updates: u64,
    /// Every parameter and running statistic, in the graph's order.
    values: Vec<Vec<f32>>,
}

impl WeightAverage {
    /// Starts at the network's present values.
    pub fn new(network: &mut Network, decay: f64) -> Self {
        let mut values = Vec::new();
        network.for_each_state(|state| values.push(state.to_vec()));
        Self { decay, updates: 0, values }
    }

    /// All that it remembers: the updates made and the values. For checkpoints.
    pub(crate) fn memory(&mut self) -> (&mut u64, &mut [Vec<f32>]) {
        (&mut self.updates, &mut self.values)
    }

    /// Follows the network by one step: average = d average + (1 - d) value,
    /// with d = min(decay, (1 + t) / (10 + t)) after t updates, as TensorFlow's
    /// `ExponentialMovingAverage` with `num_updates`: without it a short run is
    /// averaged with its random start.
    pub fn update(&mut self, network: &mut Network) {
        self.updates += 1;
        let t = self.updates as f64;
        let share = (1.0 - self.decay.min((1.0 + t) / (10.0 + t))) as f32;
        let mut averages = self.values.iter_mut();
        network.for_each_state(|state| {
            if let Some(average) = averages.next() {
                average
                    .iter_mut()
                    .zip(state)
                    .for_each(|(average, value)| *average += share * (*value - *average));
            }
        });
    }

    /// Exchanges the network's values with the averaged ones; a second call
    /// puts them back.
    pub fn swap(&mut self, network: &mut Network) {
        let mut averages = self.values.iter_mut();
        network.for_each_state(|state| {
            if let Some(average) = averages.next() {
                average.swap_with_slice(state);
            }
        });
    }
}
