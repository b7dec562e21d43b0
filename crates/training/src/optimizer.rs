//! The coefficients of one step, from an optimiser's rule, its decay, the schedule and the step
//! count. The backend does the arithmetic.

use decouple_experiment::{Average, DecayKind, DecayOn, Optimizer, RmspropForm, TrainingSpec};
use decouple_spectrum::backend::{Rule, Update};

/// Step `step`, counted from 1, of `training` at learning rate `rate`.
///
/// Coupled decay adds `weight_decay * value` to the gradient (L2
/// regularisation); decoupled decay multiplies the value by `1 - rate *
/// weight_decay` first (Loshchilov and Hutter 2019).
pub fn update(training: &TrainingSpec, rate: f64, step: u64) -> Update {
    let (l2, shrink) = match training.weight_decay_kind {
        DecayKind::Coupled => (training.weight_decay as f32, 1.0),
        DecayKind::Decoupled => (0.0, (1.0 - rate * training.weight_decay) as f32),
    };
    Update {
        rule: rule(&training.optimizer, rate, step),
        l2,
        shrink,
        decays_all: training.weight_decay_on == DecayOn::All,
        average_share: match training.average {
            Average::None => None,
            Average::Polyak { decay } => Some(average_share(decay, step)),
        },
    }
}

/// The share of the new value in an exponential moving average (Polyak and Juditsky 1992, in
/// the exponential form that the paper evaluates): 1 - min(decay, (1 + t) / (10 + t)) after t
/// steps, as in TensorFlow's `ExponentialMovingAverage` with `num_updates`. Without it the
/// average of a short run includes its random initial values.
fn average_share(decay: f64, step: u64) -> f32 {
    let t = step as f64;
    (1.0 - decay.min((1.0 + t) / (10.0 + t))) as f32
}

fn rule(optimizer: &Optimizer, rate: f64, step: u64) -> Rule {
    match *optimizer {
        Optimizer::Sgd { momentum, nesterov } => {
            Rule::Sgd { rate: rate as f32, momentum: momentum as f32, nesterov }
        }
        Optimizer::Rmsprop { form, decay, momentum, epsilon } => {
            let (rate, decay, momentum, epsilon) =
                (rate as f32, decay as f32, momentum as f32, epsilon as f32);
            match form {
                RmspropForm::Tensorflow => Rule::RmspropTensorflow { rate, decay, momentum, epsilon },
                RmspropForm::Pytorch => Rule::RmspropPytorch { rate, decay, momentum, epsilon },
            }
        }
        Optimizer::Adamw { beta1, beta2, epsilon } => Rule::Adam {
            rate: (rate / (1.0 - libm::pow(beta1, step as f64))) as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            epsilon: epsilon as f32,
            second_correction: (1.0 - libm::pow(beta2, step as f64)).sqrt() as f32,
        },
    }
}
