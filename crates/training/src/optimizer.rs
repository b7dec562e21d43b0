//! Optimisers: plain loops over each parameter's values, with state that can
//! be saved. (dfdx's own hide their state, put RMSprop's learning rate outside
//! the momentum buffer only, and take four times as long.)

use decouple_core_ops::Gradients;
use decouple_experiment::{DecayKind, DecayOn, Optimizer, RmspropForm, TrainingSpec};
use decouple_spectrum::graph::{ParameterId, Role};
use rayon::prelude::*;

use crate::network::Network;

/// Values that one task of a parallel update handles.
const CHUNK: usize = 1 << 14;

/// An optimiser's rule with its hyper-parameters, and what it remembers of each
/// parameter.
#[derive(Clone, Debug)]
pub struct OptimizerState {
    rule: Optimizer,
    weight_decay: f64,
    decay_kind: DecayKind,
    decay_on: DecayOn,
    /// Steps taken; AdamW corrects its bias by it.
    steps: u64,
    /// Two buffers a parameter; empty where the rule has no use for them.
    slots: Vec<[Vec<f32>; 2]>,
}

impl OptimizerState {
    /// State for parameters of the given lengths, before the first step. Running
    /// statistics, which no optimiser changes, have length zero.
    pub fn new(spec: &TrainingSpec, lengths: impl IntoIterator<Item = usize>) -> Self {
        let slots = lengths.into_iter().map(|len| start_slots(&spec.optimizer, len)).collect();
        Self {
            rule: spec.optimizer,
            weight_decay: spec.weight_decay,
            decay_kind: spec.weight_decay_kind,
            decay_on: spec.weight_decay_on,
            steps: 0,
            slots,
        }
    }

    /// All that it remembers: the steps taken and the buffers, in the order of the parameters. For checkpoints.
    pub(crate) fn memory(&mut self) -> (&mut u64, impl Iterator<Item = &mut Vec<f32>>) {
        (&mut self.steps, self.slots.iter_mut().flatten())
    }

    /// Updates every trained parameter of `network` that has a gradient, at
    /// learning rate `rate`.
    pub fn step(&mut self, network: &mut Network, gradients: &mut Gradients, rate: f64) {
        self.begin_step();
        for index in 0..self.slots.len() {
            let id = ParameterId(index);
            if let Some(gradient) = gradients.of(network.parameter(id)) {
                self.update(index, network.role(id), rate, network.values_mut(id), gradient);
            }
        }
    }

    /// Begins a step of single [`update`](Self::update)s.
    pub fn begin_step(&mut self) {
        self.steps += 1;
    }

    /// Updates parameter `index` in place by its gradient at learning rate
    /// `rate`.
    ///
    /// Coupled decay adds `weight_decay * value` to the gradient (L2
    /// regularisation); decoupled decay multiplies the value by `1 - rate *
    /// weight_decay` first (Loshchilov and Hutter 2019).
    pub fn update(&mut self, index: usize, role: Role, rate: f64, values: &mut [f32], gradient: &[f32]) {
        let decays = match self.decay_on {
            DecayOn::All => true,
            DecayOn::Weights => matches!(role, Role::ConvWeight | Role::LinearWeight),
        };
        let decay = if decays { self.weight_decay } else { 0.0 };
        let (l2, shrink) = match self.decay_kind {
            DecayKind::Coupled => (decay as f32, 1.0),
            DecayKind::Decoupled => (0.0, (1.0 - rate * decay) as f32),
        };
        let rule = Rule::new(&self.rule, rate, self.steps);
        let [first, second] = &mut self.slots[index];
        // A slot that the rule does not use is empty; its chunks are too.
        let first = chunks_or_empty(first, values.len());
        let second = chunks_or_empty(second, values.len());
        values
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .zip(first.into_par_iter().zip(second))
            .for_each(|((values, gradient), (first, second))| {
                rule.apply(values, gradient, first, second, l2, shrink);
            });
    }
}

fn chunks_or_empty(slot: &mut [f32], len: usize) -> Vec<&mut [f32]> {
    if slot.is_empty() {
        (0..len.div_ceil(CHUNK)).map(|_| Default::default()).collect()
    } else {
        slot.chunks_mut(CHUNK).collect()
    }
}

fn start_slots(rule: &Optimizer, len: usize) -> [Vec<f32>; 2] {
    match *rule {
        Optimizer::Sgd { momentum: 0.0, .. } => [vec![], vec![]],
        Optimizer::Sgd { .. } => [vec![0.0; len], vec![]],
        // TensorFlow starts the mean square at one, PyTorch at zero.
        Optimizer::Rmsprop { form: RmspropForm::Tensorflow, .. } => [vec![1.0; len], vec![0.0; len]],
        Optimizer::Rmsprop { form: RmspropForm::Pytorch, .. } | Optimizer::Adamw { .. } => {
            [vec![0.0; len], vec![0.0; len]]
        }
    }
}

/// One step's rule in the arithmetic of the update.
enum Rule {
    /// v = m v + g; w -= r v, or with Nesterov's look-ahead w -= r (g + m v).
    Sgd { rate: f32, momentum: f32, nesterov: bool },
    /// s = d s + (1 - d) g^2; v = m v + r g / sqrt(s + e); w -= v (TensorFlow's
    /// `RMSPropOptimizer`, Hinton 2012): the rate is inside the momentum.
    RmspropTensorflow { rate: f32, decay: f32, momentum: f32, epsilon: f32 },
    /// s = d s + (1 - d) g^2; v = m v + g / (sqrt(s) + e); w -= r v (PyTorch's
    /// `RMSprop`): the rate is outside.
    RmspropPytorch { rate: f32, decay: f32, momentum: f32, epsilon: f32 },
    /// Adam with its bias corrected (Kingma and Ba 2015, algorithm 1).
    Adam { rate: f32, beta1: f32, beta2: f32, epsilon: f32, second_correction: f32 },
}

impl Rule {
    fn new(rule: &Optimizer, rate: f64, steps: u64) -> Self {
        match *rule {
            Optimizer::Sgd { momentum, nesterov } => {
                Self::Sgd { rate: rate as f32, momentum: momentum as f32, nesterov }
            }
            Optimizer::Rmsprop { form, decay, momentum, epsilon } => {
                let (rate, decay, momentum, epsilon) =
                    (rate as f32, decay as f32, momentum as f32, epsilon as f32);
                match form {
                    RmspropForm::Tensorflow => Self::RmspropTensorflow { rate, decay, momentum, epsilon },
                    RmspropForm::Pytorch => Self::RmspropPytorch { rate, decay, momentum, epsilon },
                }
            }
            Optimizer::Adamw { beta1, beta2, epsilon } => Self::Adam {
                rate: (rate / (1.0 - beta1.powf(steps as f64))) as f32,
                beta1: beta1 as f32,
                beta2: beta2 as f32,
                epsilon: epsilon as f32,
                second_correction: (1.0 - beta2.powf(steps as f64)).sqrt() as f32,
            },
        }
    }

    fn apply(
        &self,
        values: &mut [f32],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
        l2: f32,
        shrink: f32,
    ) {
        let decayed = values.iter_mut().zip(gradient).map(|(value, &gradient)| {
            let gradient = gradient + l2 * *value;
            *value *= shrink;
            (value, gradient)
        });
        match *self {
            Self::Sgd { rate, .. } if first.is_empty() => decayed.for_each(|(w, g)| *w -= rate * g),
            Self::Sgd { rate, momentum, nesterov } => decayed.zip(first).for_each(|((w, g), v)| {
                *v = momentum * *v + g;
                *w -= rate * if nesterov { g + momentum * *v } else { *v };
            }),
            Self::RmspropTensorflow { rate, decay, momentum, epsilon } => {
                decayed.zip(first).zip(second).for_each(|(((w, g), s), v)| {
                    *s = decay * *s + (1.0 - decay) * g * g;
                    *v = momentum * *v + rate * g / (*s + epsilon).sqrt();
                    *w -= *v;
                });
            }
            Self::RmspropPytorch { rate, decay, momentum, epsilon } => {
                decayed.zip(first).zip(second).for_each(|(((w, g), s), v)| {
                    *s = decay * *s + (1.0 - decay) * g * g;
                    *v = momentum * *v + g / (s.sqrt() + epsilon);
                    *w -= rate * *v;
                });
            }
            Self::Adam { rate, beta1, beta2, epsilon, second_correction } => {
                decayed.zip(first).zip(second).for_each(|(((w, g), m), s)| {
                    *m = beta1 * *m + (1.0 - beta1) * g;
                    *s = beta2 * *s + (1.0 - beta2) * g * g;
                    *w -= rate * *m / (s.sqrt() / second_correction + epsilon);
                });
            }
        }
    }
}
