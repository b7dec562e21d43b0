//! A network with values, behind the seam.

use std::{ops::Range, sync::Arc};

use decouple_kernels::{
    arithmetic::Arithmetic,
    buffer::{Buffer, Scratch},
    convs::Convs,
    isa::Isa,
    layout::{BatchLayout, groups},
    update::{self, Parameter},
};
use decouple_spectrum::{
    backend::{ExecutionError, Executor, Pass, State, Update},
    graph::{ParameterId, Role},
    plan::{Arena, GradientId, MapId, Plan},
};

use crate::{
    memory::{self, Room},
    norm::NormState,
};

/// A plan with values, on this machine.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) isa: Isa,
    pub(crate) plan: Arc<Plan>,
    /// For each step of convolutions, their kernels.
    pub(crate) convs: Vec<Option<Convs>>,
    /// Values, gradients and what is remembered, for each parameter.
    pub(crate) values: Vec<Vec<f32>>,
    pub(crate) gradients: Vec<Vec<f32>>,
    pub(crate) memory: [Vec<Vec<f32>>; 2],
    pub(crate) average: Vec<Vec<f32>>,
    /// For each map, its norm in the present pass.
    pub(crate) norms: Vec<NormState>,
    pub(crate) training: Arc<Arena>,
    pub(crate) inference: Arc<Arena>,
    /// All maps and gradients.
    pub(crate) maps: Buffer,
    /// A step's own gradient, where that is not what its readers have written.
    pub(crate) spare: Buffer,
    /// The sums of each task of a step, before they are added.
    pub(crate) partial: Buffer,
    pub(crate) scratch: Scratch,
    /// The last pass, if a way back may follow: images and seed of dropout.
    pub(crate) open: Option<(usize, u64)>,
    pub(crate) peak_bytes: u64,
}

impl Network {
    pub(crate) fn new(
        isa: Isa,
        plan: Arc<Plan>,
        arithmetic: Arithmetic,
        values: &mut dyn FnMut(ParameterId) -> Vec<f32>,
    ) -> Result<Self, ExecutionError> {
        let values: Vec<Vec<f32>> =
            (0..plan.graph.parameters.len()).map(|index| values(ParameterId(index))).collect();
        for (values, parameter) in values.iter().zip(&plan.graph.parameters) {
            ExecutionError::check_length(&parameter.name, parameter.len(), values.len())?;
        }
        let none = || vec![Vec::new(); plan.graph.parameters.len()];
        Ok(Self {
            isa,
            convs: memory::convs(isa, &plan, arithmetic),
            gradients: none(),
            memory: [none(), none()],
            average: none(),
            norms: vec![NormState::default(); plan.maps.len()],
            training: Arc::new(plan.training_arena()),
            inference: Arc::new(plan.inference_arena()),
            maps: Buffer::default(),
            spare: Buffer::default(),
            partial: Buffer::default(),
            scratch: Scratch::default(),
            open: None,
            peak_bytes: 0,
            values,
            plan,
        })
    }

    /// Makes room for `images` images.
    pub(crate) fn reserve(&mut self, images: usize, is_training: bool) {
        let arena = if is_training { &self.training } else { &self.inference };
        self.maps.reserve(groups(images) * arena.len);
        let room = Room::new(self.isa, &self.plan, &self.convs, images, is_training);
        self.scratch.reserve(room.task);
        self.partial.reserve(room.partial);
        self.spare.reserve(room.spare);
    }

    /// Where a map of `images` images stands.
    pub(crate) fn map(&self, id: MapId, images: usize, is_training: bool) -> Range<usize> {
        let arena = if is_training { &self.training } else { &self.inference };
        self.range(arena.maps[id.0], id, images)
    }

    /// Where a gradient of `images` images stands.
    pub(crate) fn gradient(&self, id: GradientId, images: usize) -> Range<usize> {
        self.range(self.training.gradients[id.0], self.plan.gradients[id.0].map, images)
    }

    fn range(&self, place: usize, map: MapId, images: usize) -> Range<usize> {
        let begin = groups(images) * place;
        begin..begin + self.plan.layout(map).len(images)
    }

    /// Notes how much memory is held.
    pub(crate) fn note_memory(&mut self) {
        let of =
            |values: &[Vec<f32>]| values.iter().map(|values| size_of_val(&values[..]) as u64).sum::<u64>();
        let kept = of(&self.values)
            + of(&self.gradients)
            + of(&self.memory[0])
            + of(&self.memory[1])
            + of(&self.average);
        let buffers = [&self.maps, &self.spare, &self.partial].map(|buffer| size_of_val(&buffer[..]) as u64);
        let packed = self.convs.iter().flatten().map(Convs::packed_bytes).sum::<u64>();
        let held = kept + buffers.iter().sum::<u64>() + packed + self.scratch.bytes();
        self.peak_bytes = self.peak_bytes.max(held);
    }

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
        if update.average_share.is_some() && self.average.iter().all(Vec::is_empty) {
            self.average.clone_from(&self.values);
        }
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
