//! A network behind the seam.

use decouple_kernels::{
    layout::BatchLayout,
    update::{self, Parameter},
};
use decouple_spectrum::{
    backend::{ExecutionError, Executor, Pass, State, Update},
    graph::{ParameterId, Role},
    plan::{MapId, Plan},
};

use crate::network::Network;

impl Network {
    fn state(&self, what: State) -> &[Vec<f32>] {
        match what {
            State::Value => &self.values,
            State::Gradient => &self.gradients,
            State::First => &self.memory[0],
            State::Second => &self.memory[1],
            State::Average => &self.average,
        }
    }
}

impl Executor for Network {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn batch_layout(&self, images: usize) -> BatchLayout {
        self.plan.layout(MapId(0)).batch(images)
    }

    fn forward(&mut self, batch: &[f32], images: usize, pass: Pass) -> Result<Vec<f32>, ExecutionError> {
        ExecutionError::check_length("batch", self.batch_layout(images).len, batch.len())?;
        if images == 0 && matches!(pass, Pass::Training { .. }) {
            // A batch norm has no statistics of nothing.
            return Err(ExecutionError::Length { what: "images".to_owned(), expected: 1, found: 0 });
        }
        if pass == Pass::Inference && self.are_few(images) {
            return self.run_alone(batch, images);
        }
        self.alone = None;
        self.run_forward(batch, images, pass)
    }

    fn backward(&mut self, logits_gradient: &[f32]) -> Result<(), ExecutionError> {
        let Some((images, dropout_seed)) = self.open else {
            return Err(ExecutionError::Order { call: "backward", before: "a forward in training" });
        };
        ExecutionError::check_length(
            "gradient of the logits",
            images * self.plan.graph.output().len(),
            logits_gradient.len(),
        )?;
        self.open = None;
        self.run_backward(logits_gradient, images, dropout_seed)
    }

    fn step(&mut self, update: &Update) -> Result<(), ExecutionError> {
        let is_trained = |index: usize| self.plan.graph.parameters[index].role.is_trained();
        if (0..self.values.len()).all(|index| self.gradients[index].is_empty() || !is_trained(index)) {
            return Err(ExecutionError::Order { call: "step", before: "a backward" });
        }
        if update.average_share.is_some() {
            let pairs = self.average.iter_mut().zip(&self.values);
            pairs
                .filter(|(average, _)| average.is_empty())
                .for_each(|(average, value)| average.clone_from(value));
        }
        self.forget_packed();
        let start = update.rule.start();
        for (index, parameter) in self.plan.graph.parameters.iter().enumerate() {
            let (values, gradient) = (&mut self.values[index], &self.gradients[index]);
            if !parameter.role.is_trained() || gradient.is_empty() {
                continue;
            }
            for (memory, start) in self.memory.iter_mut().zip(start) {
                if let Some(start) = start.filter(|_| memory[index].is_empty()) {
                    memory[index] = vec![start; values.len()];
                }
            }
            let decays = update.decays_all || matches!(parameter.role, Role::ConvWeight | Role::LinearWeight);
            let (l2, shrink) = if decays { (update.l2, update.shrink) } else { (0.0, 1.0) };
            let [first, second] = &mut self.memory;
            let memory = [&mut first[index][..], &mut second[index][..]];
            update::update(self.isa, update.rule, l2, shrink, Parameter { values, gradient, memory });
        }
        if let Some(share) = update.average_share {
            for (average, values) in self.average.iter_mut().zip(&self.values) {
                update::follow(self.isa, share, values, average);
            }
        }
        self.note_memory();
        Ok(())
    }

    fn read(&self, what: State, id: ParameterId) -> Vec<f32> {
        self.state(what)[id.0].clone()
    }

    fn write(&mut self, what: State, id: ParameterId, values: &[f32]) -> Result<(), ExecutionError> {
        let parameter = &self.plan.graph.parameters[id.0];
        if !values.is_empty() || what == State::Value {
            ExecutionError::check_length(&parameter.name, parameter.len(), values.len())?;
        }
        self.forget_packed();
        let held = match what {
            State::Value => &mut self.values,
            State::Gradient => &mut self.gradients,
            State::First => &mut self.memory[0],
            State::Second => &mut self.memory[1],
            State::Average => &mut self.average,
        };
        held[id.0] = values.to_vec();
        Ok(())
    }

    fn exchange_average(&mut self) {
        self.forget_packed();
        for (value, average) in self.values.iter_mut().zip(&mut self.average) {
            if !average.is_empty() {
                std::mem::swap(value, average);
            }
        }
    }

    fn peak_bytes(&self) -> u64 {
        self.peak_bytes
    }
}
