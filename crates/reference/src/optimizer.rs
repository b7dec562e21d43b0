//! A step of an optimiser, by its definition.

use std::collections::BTreeMap;

use decouple_spectrum::{
    backend::{ExecutionError, Rule, State, Update},
    graph::{Graph, ParameterId, Role},
};

/// The state of all parameters.
type States = BTreeMap<(State, ParameterId), Vec<f32>>;

/// Updates every trained parameter by its gradient, then the averages.
pub(crate) fn step(graph: &Graph, states: &mut States, update: &Update) -> Result<(), ExecutionError> {
    let ids = || (0..graph.parameters.len()).map(ParameterId);
    let trained = || ids().filter(|&id| graph.parameter(id).role.is_trained());
    if trained().any(|id| !states.contains_key(&(State::Gradient, id))) {
        return Err(ExecutionError::Order { call: "step", before: "a backward pass" });
    }
    if update.average_share.is_some() {
        for id in ids() {
            let values = states[&(State::Value, id)].clone();
            states.entry((State::Average, id)).or_insert(values);
        }
    }
    for id in trained() {
        change(graph.parameter(id).role, id, states, update);
    }
    if let Some(share) = update.average_share {
        for id in ids() {
            let values = states[&(State::Value, id)].clone();
            let averages = states.get_mut(&(State::Average, id)).into_iter().flatten();
            averages.zip(values).for_each(|(average, value)| {
                let old = f64::from(*average);
                *average = (old + f64::from(share) * (f64::from(value) - old)) as f32;
            });
        }
    }
    Ok(())
}

fn change(role: Role, id: ParameterId, states: &mut States, update: &Update) {
    let decays = update.decays_all || matches!(role, Role::ConvWeight | Role::LinearWeight);
    let (l2, shrink) = if decays { (update.l2, update.shrink) } else { (0.0, 1.0) };
    let gradient = states[&(State::Gradient, id)].clone();
    let start = update.rule.start();
    let mut slot = |what, start: Option<f32>| match start {
        Some(start) => states.remove(&(what, id)).unwrap_or_else(|| vec![start; gradient.len()]),
        None => Vec::new(),
    };
    let (mut first, mut second) = (slot(State::First, start[0]), slot(State::Second, start[1]));
    for (index, value) in states.get_mut(&(State::Value, id)).into_iter().flatten().enumerate() {
        let w = f64::from(*value);
        let g = f64::from(gradient[index]) + f64::from(l2) * w;
        let mut remembered = [&first, &second].map(|slot| slot.get(index).map_or(0.0, |&v| f64::from(v)));
        let change = apply(&update.rule, g, &mut remembered);
        *value = (f64::from(shrink) * w - change) as f32;
        for (slot, new) in [&mut first, &mut second].into_iter().zip(remembered) {
            if let Some(slot) = slot.get_mut(index) {
                *slot = new as f32;
            }
        }
    }
    for (what, slot) in [(State::First, first), (State::Second, second)] {
        if !slot.is_empty() {
            states.insert((what, id), slot);
        }
    }
}

/// The amount subtracted from a value with gradient `g`; updates the optimiser state.
fn apply(rule: &Rule, g: f64, [first, second]: &mut [f64; 2]) -> f64 {
    let double = f64::from;
    match *rule {
        Rule::Sgd { rate, momentum: 0.0, .. } => double(rate) * g,
        Rule::Sgd { rate, momentum, nesterov } => {
            *first = double(momentum) * *first + g;
            double(rate) * if nesterov { g + double(momentum) * *first } else { *first }
        }
        Rule::RmspropTensorflow { rate, decay, momentum, epsilon } => {
            *first = double(decay) * *first + (1.0 - double(decay)) * g * g;
            *second = double(momentum) * *second + double(rate) * g / (*first + double(epsilon)).sqrt();
            *second
        }
        Rule::RmspropPytorch { rate, decay, momentum, epsilon } => {
            *first = double(decay) * *first + (1.0 - double(decay)) * g * g;
            *second = double(momentum) * *second + g / (first.sqrt() + double(epsilon));
            double(rate) * *second
        }
        Rule::Adam { rate, beta1, beta2, epsilon, second_correction } => {
            *first = double(beta1) * *first + (1.0 - double(beta1)) * g;
            *second = double(beta2) * *second + (1.0 - double(beta2)) * g * g;
            double(rate) * *first / (second.sqrt() / double(second_correction) + double(epsilon))
        }
    }
}
