//! A plan with values, on which the forward and backward passes work.

use std::{ops::Range, sync::Arc};

use decouple_kernels::{
    arithmetic::Arithmetic,
    buffer::{Buffer, Scratch},
    convs::Convs,
    isa::Isa,
    layout::groups,
};
use decouple_spectrum::{
    backend::ExecutionError,
    graph::ParameterId,
    plan::{Arena, GradientId, MapId, Plan},
};

use crate::{
    norm::NormState,
    room::{self, Room},
};

/// A plan with values, on this machine.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) isa: Isa,
    pub(crate) plan: Arc<Plan>,
    pub(crate) arithmetic: Arithmetic,
    /// For each step of convolutions, their kernels.
    pub(crate) convs: Vec<Option<Convs>>,
    /// Values, gradients and optimiser state of each parameter.
    pub(crate) values: Vec<Vec<f32>>,
    pub(crate) gradients: Vec<Vec<f32>>,
    pub(crate) memory: [Vec<Vec<f32>>; 2],
    pub(crate) average: Vec<Vec<f32>>,
    /// For each map, its norm in the current pass.
    pub(crate) norms: Vec<NormState>,
    pub(crate) training: Arc<Arena>,
    pub(crate) inference: Arc<Arena>,
    /// All maps and gradients.
    pub(crate) maps: Buffer,
    /// A step's own gradient, if it differs from what its readers have written.
    pub(crate) spare: Buffer,
    /// The sums of each task of a step, before they are added.
    pub(crate) partial: Buffer,
    pub(crate) scratch: Scratch,
    /// Whether the kernels have the weights as they are, for the way forward.
    pub(crate) is_packed: bool,
    /// For inference on one image, its plan in strips; the values are here.
    pub(crate) alone: Option<Box<Network>>,
    /// The last pass, if a backward pass may follow: images and dropout seed.
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
        Ok(Self { values, ..Self::empty(isa, plan, arithmetic) })
    }

    /// Without values.
    pub(crate) fn empty(isa: Isa, plan: Arc<Plan>, arithmetic: Arithmetic) -> Self {
        let none = || vec![Vec::new(); plan.graph.parameters.len()];
        Self {
            isa,
            arithmetic,
            convs: room::convs(isa, &plan, arithmetic),
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
            is_packed: false,
            alone: None,
            open: None,
            peak_bytes: 0,
            values: none(),
            plan,
        }
    }

    /// The weights have changed.
    pub(crate) fn forget_packed(&mut self) {
        self.is_packed = false;
        if let Some(alone) = &mut self.alone {
            alone.is_packed = false;
        }
    }

    /// Allocates memory for `images` images.
    pub(crate) fn reserve(&mut self, images: usize, is_training: bool) {
        let arena = if is_training { &self.training } else { &self.inference };
        self.maps.reserve(groups(images) * arena.len);
        let room = Room::new(self.isa, &self.plan, &self.convs, images, is_training);
        self.scratch.reserve(room.task);
        self.partial.reserve(room.partial);
        self.spare.reserve(room.spare);
    }

    /// The place of a map of `images` images.
    pub(crate) fn map(&self, id: MapId, images: usize, is_training: bool) -> Range<usize> {
        let arena = if is_training { &self.training } else { &self.inference };
        self.range(arena.maps[id.0], id, images)
    }

    /// The place of a gradient of `images` images.
    pub(crate) fn gradient(&self, id: GradientId, images: usize) -> Range<usize> {
        self.range(self.training.gradients[id.0], self.plan.gradients[id.0].map, images)
    }

    fn range(&self, place: usize, map: MapId, images: usize) -> Range<usize> {
        let begin = groups(images) * place;
        begin..begin + self.plan.layout(map).len(images)
    }

    /// Records the memory in use.
    pub(crate) fn note_memory(&mut self) {
        self.peak_bytes = self.peak_bytes.max(self.held_bytes());
    }

    fn held_bytes(&self) -> u64 {
        let of =
            |values: &[Vec<f32>]| values.iter().map(|values| size_of_val(&values[..]) as u64).sum::<u64>();
        let kept = of(&self.values)
            + of(&self.gradients)
            + of(&self.memory[0])
            + of(&self.memory[1])
            + of(&self.average);
        let buffers = [&self.maps, &self.spare, &self.partial].map(|buffer| size_of_val(&buffer[..]) as u64);
        let packed = self.convs.iter().flatten().map(Convs::packed_bytes).sum::<u64>();
        let alone = self.alone.as_ref().map_or(0, |alone| alone.held_bytes());
        kept + buffers.iter().sum::<u64>() + packed + self.scratch.bytes() + alone
    }
}
