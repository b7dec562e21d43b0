//! The backward pass: each step is an operation on dfdx's tape.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use decouple_kernels::{
    convs::{Backward, InputGradient},
    layout::{DropoutMask, LANES, groups},
    maps::{self, InputMap},
    rows::ChannelSums,
};
use decouple_spectrum::{
    backend::ExecutionError,
    graph::ParameterId,
    plan::{MapId, Read, Step, Work},
};
use dfdx::tensor::CpuError;

use crate::{
    forward::{prologue, weights},
    network::Network,
    room::pool,
    tape::{RunningTape, Slot, put, take},
};

/// The parameter gradients from the backward pass of a step.
type Made = Vec<(ParameterId, Vec<f32>)>;

impl Network {
    pub(crate) fn run_backward(
        &mut self,
        logits_gradient: &[f32],
        images: usize,
        dropout_seed: u64,
    ) -> Result<(), ExecutionError> {
        self.put_logits_gradient(logits_gradient, images);
        self.pack_back();
        let mut tape = RunningTape::new();
        let slots: Rc<[Slot]> = self.values.iter().map(|_| tape.slot()).collect();
        // Operations on a tape own their data, so the network is lent to the tape.
        let lent = Rc::new(RefCell::new(self.lend()));
        for index in 0..self.plan.steps.len() {
            let (network, slots) = (Rc::clone(&lent), Rc::clone(&slots));
            tape.record(move |gradients| {
                let made = network.borrow_mut().backward_step(index, images, dropout_seed);
                made.into_iter().try_for_each(|(id, gradient)| put(gradients, &slots[id.0], gradient))
            });
        }
        let result = tape.run();
        self.return_from(lent);
        let device = |error: CpuError| ExecutionError::Device(format!("the way back: {error:?}"));
        let mut gradients = result.map_err(device)?;
        for (gradient, slot) in self.gradients.iter_mut().zip(slots.iter()) {
            *gradient = take(&mut gradients, slot).map_err(device)?;
        }
        self.note_memory();
        Ok(())
    }

    fn return_from(&mut self, lent: Rc<RefCell<Self>>) {
        // The tape has run or was dropped, and with it its operations.
        if let Ok(network) = Rc::try_unwrap(lent) {
            *self = network.into_inner();
        }
    }

    fn put_logits_gradient(&mut self, gradient: &[f32], images: usize) {
        let id = self.plan.logits();
        let Some(place) = self.plan.map(id).gradient else { return };
        let (layout, range) = (self.plan.layout(id).batch(images), self.gradient(place, images));
        let map = &mut self.maps[range];
        map.fill(0.0);
        layout.places(images).zip(gradient).for_each(|(place, &value)| map[place] = value);
    }

    fn pack_back(&mut self) {
        for (step, convs) in self.plan.steps.iter().zip(&mut self.convs) {
            if let (Work::Convs(specs), Some(convs)) = (&step.work, convs) {
                convs.pack_back(&weights(&self.values, specs));
            }
        }
    }

    fn backward_step(&mut self, index: usize, images: usize, dropout_seed: u64) -> Made {
        let plan = Arc::clone(&self.plan);
        let step = &plan.steps[index];
        // Nothing before it is trainable.
        if plan.map(step.writes).gradient.is_none() {
            return Vec::new();
        }
        if let Work::Convs(_) = step.work {
            return self.backward_convs(index, step, images);
        }
        let is_own = self.own_gradient(step, images, dropout_seed);
        let mut made = Vec::new();
        let mut first = 0;
        for read in &step.reads {
            made.extend(self.backward_read(step, read, (first, is_own), images));
            first += if step.work == Work::Add { 0 } else { plan.map(read.map).shape.c };
        }
        made
    }

    /// Computes the gradient of a step's own output in `spare`, if it differs from the one
    /// written by its readers: before the norm, or before the dropout.
    fn own_gradient(&mut self, step: &Step, images: usize, dropout_seed: u64) -> bool {
        let plan = Arc::clone(&self.plan);
        let (map, layout) = (plan.map(step.writes), plan.layout(step.writes));
        let Some(gradient) = map.gradient.map(|id| self.gradient(id, images)) else { return false };
        let y = if map.norm.is_some() { self.map(step.writes, images, true) } else { 0..0 };
        if map.norm.is_none() && !matches!(step.work, Work::Dropout(_)) {
            return false;
        }
        let spare = &mut self.spare[..layout.len(images)];
        let (read, []) = self.maps.parts(&[gradient, y], []);
        if map.norm.is_some() {
            let through = &self.norms[step.writes.0].through;
            maps::through_norm(self.isa, &layout, images, through, (read[0], read[1]), spare);
        } else {
            spare.copy_from_slice(read[0]);
        }
        if let Work::Dropout(rate) = step.work {
            maps::dropout(&layout, images, DropoutMask::new(rate, dropout_seed, step.node.0), spare);
        }
        true
    }

    /// Passes the gradient of a step's output to one of its input maps: channels from `first`
    /// on, from `spare` or from where readers have written it.
    fn backward_read(
        &mut self,
        step: &Step,
        read: &Read,
        (first, is_own): (usize, bool),
        images: usize,
    ) -> Made {
        let plan = Arc::clone(&self.plan);
        let Some(write) = read.gradient else { return Vec::new() };
        let (layout, own_layout) = (plan.layout(read.map), plan.layout(step.writes));
        let norm = plan.map(read.map).norm.as_ref().filter(|_| write.completes);
        let channels = layout.shape.c;
        let mut sums = vec![[[0.0; LANES]; 2]; if norm.is_some() { groups(images) * channels } else { 0 }];
        // Values that the backward pass does not need are no longer available.
        let needs_x = read.activation.is_some() || norm.is_some() || matches!(step.work, Work::MaxPool(_));
        let x = if needs_x { self.map(read.map, images, true) } else { 0..0 };
        let id_range = |map: MapId| plan.map(map).gradient.map_or(0..0, |id| self.gradient(id, images));
        let (dy, target) = (id_range(step.writes), id_range(read.map));
        let mean = &self.norms[read.map.0].mean;
        if write.is_shared {
            let (maps, []) = self.maps.parts(&[x, dy], []);
            if norm.is_some() {
                maps::norm_sums(self.isa, &layout, images, mean, (maps[1], maps[0]), &mut sums);
            }
        } else {
            let read_from = if is_own { 0..0 } else { dy };
            let (maps, [target]) = self.maps.parts(&[x, read_from], [target]);
            let dy = if is_own { &self.spare[..own_layout.len(images)] } else { maps[1] };
            let sums = norm.map(|_| (&mean[..], &mut sums[..]));
            let input = InputGradient { target, adds: write.adds, sums };
            let source = InputMap { layout, prologue: prologue(&plan, &self.norms, read), x: maps[0] };
            match (&step.work, pool(self.isa, &plan, step)) {
                (_, Some(pool)) => pool.backward(images, source.prologue, source.x, dy, input, &self.scratch),
                (Work::GlobalMeanPool, _) => {
                    maps::global_mean_backward(
                        self.isa,
                        &source,
                        &own_layout,
                        images,
                        dy,
                        input,
                        &self.scratch,
                    );
                }
                _ => maps::join_backward(self.isa, &own_layout, images, &source, (dy, first), input),
            }
        }
        self.finish_norm(read, &sums, images)
    }

    fn backward_convs(&mut self, index: usize, step: &Step, images: usize) -> Made {
        let plan = Arc::clone(&self.plan);
        let (Work::Convs(specs), Some(convs)) = (&step.work, &self.convs[index]) else { return Vec::new() };
        let read = &step.reads[0];
        let layout = plan.layout(read.map);
        let completes = read.gradient.is_some_and(|write| write.completes);
        let norm = plan.map(read.map).norm.as_ref().filter(|_| completes);
        let mut sums = vec![[[0.0; LANES]; 2]; if norm.is_some() { convs.sums(&layout, images) } else { 0 }];
        let gradient = |map: MapId| plan.map(map).gradient.map_or(0..0, |id| self.gradient(id, images));
        let middle = step.middle.map_or(0..0, |map| self.map(map, images, true));
        let y = if plan.map(step.writes).norm.is_some() { self.map(step.writes, images, true) } else { 0..0 };
        let ranges = [self.map(read.map, images, true), middle, gradient(step.writes), y];
        let target = if read.gradient.is_some() { gradient(read.map) } else { 0..0 };
        let take = |id: ParameterId| {
            let mut held = std::mem::take(&mut self.gradients[id.0]);
            held.resize(self.values[id.0].len(), 0.0);
            held
        };
        let bias = specs.last().and_then(|conv| conv.bias);
        let ids: Vec<ParameterId> = specs.iter().map(|conv| conv.weights).chain(bias).collect();
        let mut grads: Vec<Vec<f32>> = ids.iter().copied().map(take).collect();
        let (maps, [target]) = self.maps.parts(&ranges, [target]);
        let [x, middle, dy, y] = maps[..] else { return Vec::new() };
        let (weights, biases) = grads.split_at_mut(specs.len());
        let mean = &self.norms[read.map.0].mean;
        let backward = Backward {
            images,
            x,
            prologue: prologue(&plan, &self.norms, read),
            middle: step.middle.map(|_| middle),
            gradient: dy,
            through: plan.map(step.writes).norm.as_ref().map(|_| (&self.norms[step.writes.0].through, y)),
            weights: weights.iter_mut().map(|weights| &mut weights[..]).collect(),
            partial: &mut self.partial[..convs.partial(images)],
            bias: biases.first_mut().map(|bias| &mut bias[..]),
            input: read.gradient.map(|write| InputGradient {
                target,
                adds: write.adds,
                sums: norm.map(|_| (&mean[..], &mut sums[..])),
            }),
        };
        convs.backward(backward, &self.scratch);
        let mut made: Made = ids.into_iter().zip(grads).collect();
        made.extend(self.finish_norm(read, &sums, images));
        made
    }

    /// Once a map's gradient is complete: the gradient of its norm's parameters, and the
    /// coefficients of the gradient through the norm.
    fn finish_norm(&mut self, read: &Read, sums: &ChannelSums, images: usize) -> Made {
        let plan = Arc::clone(&self.plan);
        let map = plan.map(read.map);
        let (Some(norm), false) = (&map.norm, sums.is_empty()) else { return Vec::new() };
        let count = images * map.shape.pixels();
        let (gamma, beta) = self.norms[read.map.0].backward(sums, count);
        norm.gamma.map(|id| (id, gamma)).into_iter().chain([(norm.beta, beta)]).collect()
    }

    /// Lends out everything but the plan, to be returned.
    fn lend(&mut self) -> Self {
        Self {
            isa: self.isa,
            plan: Arc::clone(&self.plan),
            arithmetic: self.arithmetic,
            convs: std::mem::take(&mut self.convs),
            values: std::mem::take(&mut self.values),
            gradients: std::mem::take(&mut self.gradients),
            memory: std::mem::take(&mut self.memory),
            average: std::mem::take(&mut self.average),
            norms: std::mem::take(&mut self.norms),
            training: Arc::clone(&self.training),
            inference: Arc::clone(&self.inference),
            maps: std::mem::take(&mut self.maps),
            spare: std::mem::take(&mut self.spare),
            partial: std::mem::take(&mut self.partial),
            scratch: std::mem::take(&mut self.scratch),
            is_packed: self.is_packed,
            alone: self.alone.take(),
            open: self.open,
            peak_bytes: self.peak_bytes,
        }
    }
}
