//! An optimiser's step on the values of one parameter.

use rayon::prelude::*;

use crate::{
    isa::Isa,
    simd::{Kernel, Simd, dispatch},
};

/// Fewest values per task.
const CHUNK: usize = 1 << 14;

/// How a gradient changes a value; g is the gradient with its decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// v = m v + g; w -= r v, or with Nesterov's look-ahead w -= r (g + m v). Without momentum,
    /// w -= r g and there is no state.
    Sgd {
        /// r.
        rate: f32,
        /// m.
        momentum: f32,
        /// Whether it looks ahead.
        nesterov: bool,
    },
    /// s = d s + (1 - d) g^2; v = m v + r g / sqrt(s + e); w -= v (TensorFlow's
    /// `RMSPropOptimizer`, Hinton 2012). s, the first state, starts at one.
    RmspropTensorflow {
        /// r.
        rate: f32,
        /// d.
        decay: f32,
        /// m.
        momentum: f32,
        /// e.
        epsilon: f32,
    },
    /// s = d s + (1 - d) g^2; v = m v + g / (sqrt(s) + e); w -= r v (PyTorch's `RMSprop`). s,
    /// the first state, starts at zero.
    RmspropPytorch {
        /// r.
        rate: f32,
        /// d.
        decay: f32,
        /// m.
        momentum: f32,
        /// e.
        epsilon: f32,
    },
    /// m = b1 m + (1 - b1) g; s = b2 s + (1 - b2) g^2; w -= r m / (sqrt(s) / c + e) (Kingma and
    /// Ba 2015, algorithm 1). m is the first state.
    Adam {
        /// r, divided by the first moment's bias correction.
        rate: f32,
        /// b1.
        beta1: f32,
        /// b2.
        beta2: f32,
        /// e.
        epsilon: f32,
        /// c, the root of the second moment's bias correction.
        second_correction: f32,
    },
}

impl Rule {
    /// The initial values of the rule's two states; `None` for a state that it does not have.
    pub const fn start(&self) -> [Option<f32>; 2] {
        match *self {
            Self::Sgd { momentum: 0.0, .. } => [None, None],
            Self::Sgd { .. } => [Some(0.0), None],
            Self::RmspropTensorflow { .. } => [Some(1.0), Some(0.0)],
            Self::RmspropPytorch { .. } | Self::Adam { .. } => [Some(0.0), Some(0.0)],
        }
    }
}

/// The values of a parameter with the optimiser's state.
#[derive(Debug)]
pub struct Parameter<'a> {
    /// Changed in place.
    pub values: &'a mut [f32],
    /// Of the loss.
    pub gradient: &'a [f32],
    /// The rule's two states, empty if it does not have them.
    pub memory: [&'a mut [f32]; 2],
}

/// Changes the values by their gradient, to which `l2` times the value is added,
/// after they are multiplied by `shrink`.
///
/// # Panics
/// If the lengths differ.
pub fn update(isa: Isa, rule: Rule, l2: f32, shrink: f32, parameter: Parameter<'_>) {
    let Parameter { values, gradient, memory: [first, second] } = parameter;
    let expected = rule.start().map(|start| if start.is_some() { values.len() } else { 0 });
    assert_eq!((gradient.len(), [first.len(), second.len()]), (values.len(), expected), "values to update");
    let parts = values.len().div_ceil(CHUNK);
    let first = split(first, parts);
    let second = split(second, parts);
    values
        .par_chunks_mut(CHUNK)
        .zip(gradient.par_chunks(CHUNK))
        .zip(first.into_par_iter().zip(second))
        .for_each(|((values, gradient), (first, second))| {
            dispatch(isa, Step { rule, l2, shrink, values, gradient, first, second });
        });
}

/// `average += share (value - average)`.
///
/// # Panics
/// If the lengths differ.
pub fn follow(isa: Isa, share: f32, values: &[f32], average: &mut [f32]) {
    struct Work<'a>(f32, &'a [f32], &'a mut [f32]);
    impl Kernel for Work<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            for (average, value) in self.2.iter_mut().zip(self.1) {
                *average += self.0 * (*value - *average);
            }
        }
    }
    assert_eq!(values.len(), average.len(), "values and their averages");
    dispatch(isa, Work(share, values, average));
}

/// Chunks of a state; if it is empty, as many empty chunks.
fn split(memory: &mut [f32], parts: usize) -> Vec<&mut [f32]> {
    let mut chunks: Vec<&mut [f32]> = memory.chunks_mut(CHUNK).collect();
    chunks.resize_with(parts, Default::default);
    chunks
}

struct Step<'a> {
    rule: Rule,
    l2: f32,
    shrink: f32,
    values: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

impl Kernel for Step<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { rule, l2, shrink, values, gradient, first, second } = self;
        let decayed = values.iter_mut().zip(gradient).map(|(value, &gradient)| {
            let gradient = gradient + l2 * *value;
            *value *= shrink;
            (value, gradient)
        });
        match rule {
            Rule::Sgd { rate, momentum: 0.0, .. } => decayed.for_each(|(w, g)| *w -= rate * g),
            Rule::Sgd { rate, momentum, nesterov } => decayed.zip(first).for_each(|((w, g), v)| {
                *v = momentum * *v + g;
                *w -= rate * if nesterov { g + momentum * *v } else { *v };
            }),
            Rule::RmspropTensorflow { rate, decay, momentum, epsilon } => {
                decayed.zip(first).zip(second).for_each(|(((w, g), s), v)| {
                    *s = decay * *s + (1.0 - decay) * g * g;
                    *v = momentum * *v + rate * g / (*s + epsilon).sqrt();
                    *w -= *v;
                });
            }
            Rule::RmspropPytorch { rate, decay, momentum, epsilon } => {
                decayed.zip(first).zip(second).for_each(|(((w, g), s), v)| {
                    *s = decay * *s + (1.0 - decay) * g * g;
                    *v = momentum * *v + g / (s.sqrt() + epsilon);
                    *w -= rate * *v;
                });
            }
            Rule::Adam { rate, beta1, beta2, epsilon, second_correction } => {
                decayed.zip(first).zip(second).for_each(|(((w, g), m), s)| {
                    *m = beta1 * *m + (1.0 - beta1) * g;
                    *s = beta2 * *s + (1.0 - beta2) * g * g;
                    *w -= rate * *m / (s.sqrt() / second_correction + epsilon);
                });
            }
        }
    }
}
