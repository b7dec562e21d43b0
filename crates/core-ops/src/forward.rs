//! The forward pass.

use std::{ops::Range, sync::Arc};

use decouple_kernels::{
    convs::Forward,
    layout::{DropoutMask, LANES, groups},
    maps::{self, InputMap},
    rows::{ChannelSums, Prologue},
};
use decouple_spectrum::{
    backend::{ExecutionError, Pass},
    graph::ParameterId,
    plan::{Conv, MapId, Norm, Plan, Read, Work},
};

use crate::{
    network::Network,
    norm::{NormState, NormValues},
    room::pool,
};

impl Network {
    pub(crate) fn run_forward(
        &mut self,
        batch: &[f32],
        images: usize,
        pass: Pass,
    ) -> Result<Vec<f32>, ExecutionError> {
        let is_training = matches!(pass, Pass::Training { .. });
        self.open = None;
        self.reserve(images, is_training);
        let input = self.map(MapId(0), images, is_training);
        self.maps[input.clone()].copy_from_slice(batch);
        self.fill_absent_lanes(input, images);
        self.pack_forward();
        if !is_training {
            self.use_running_statistics();
        }
        for index in 0..self.plan.steps.len() {
            self.forward_step(index, images, pass);
        }
        if let Pass::Training { dropout_seed } = pass {
            self.open = Some((images, dropout_seed));
        }
        self.note_memory();
        Ok(self.logits(images, is_training))
    }

    /// Lanes without an image repeat the first one of their group. Zeros, normalised by the spread of a few other
    /// images, may overflow in a deep network, and 0 times infinity is NaN in the sums of the backward pass.
    fn fill_absent_lanes(&mut self, input: Range<usize>, images: usize) {
        let present = images % LANES;
        let has_lanes_of_images = self.plan.steps[0].cut.is_none();
        if present == 0 || !has_lanes_of_images {
            return;
        }
        let last = input.end - self.plan.layout(MapId(0)).group();
        for lanes in self.maps[last..input.end].as_chunks_mut::<LANES>().0 {
            let first = lanes[0];
            lanes[present..].fill(first);
        }
    }

    /// The values of the last map, image by image.
    fn logits(&self, images: usize, is_training: bool) -> Vec<f32> {
        let id = self.plan.logits();
        let map = &self.maps[self.map(id, images, is_training)];
        self.plan.layout(id).batch(images).places(images).map(|place| map[place]).collect()
    }

    fn pack_forward(&mut self) {
        if std::mem::replace(&mut self.is_packed, true) {
            return;
        }
        for (step, convs) in self.plan.steps.iter().zip(&mut self.convs) {
            if let (Work::Convs(specs), Some(convs)) = (&step.work, convs) {
                convs.pack_forward(&weights(&self.values, specs));
            }
        }
    }

    /// Inference: every norm from its running statistics.
    fn use_running_statistics(&mut self) {
        for (map, state) in self.plan.maps.iter().zip(&mut self.norms) {
            let Some(norm) = &map.norm else { continue };
            let double = |id: ParameterId| -> Vec<f64> {
                self.values[id.0].iter().map(|&value| f64::from(value)).collect()
            };
            state.set(norm_values(&self.values, norm), &double(norm.mean), &double(norm.variance));
        }
    }

    fn forward_step(&mut self, index: usize, images: usize, pass: Pass) {
        let is_training = matches!(pass, Pass::Training { .. });
        let plan = Arc::clone(&self.plan);
        let step = &plan.steps[index];
        let layout = plan.layout(step.writes);
        let norm = plan.map(step.writes).norm.as_ref().filter(|_| is_training);
        let centre = norm.map(|norm| &self.values[norm.mean.0][..]);
        let ranges: Vec<_> = step.reads.iter().map(|read| self.map(read.map, images, is_training)).collect();
        let written = self.map(step.writes, images, is_training);
        let middle = step.middle.map(|map| self.map(map, images, is_training)).unwrap_or(0..0);
        let (xs, [middle, y]) = self.maps.parts(&ranges, [middle, written]);
        let source = |(read, x): (&Read, _)| InputMap {
            layout: plan.layout(read.map),
            prologue: prologue(&plan, &self.norms, read),
            x,
        };
        let mut sources: Vec<InputMap<'_>> = step.reads.iter().zip(xs).map(source).collect();
        if let Some(cut) = step.cut {
            let layout = plan.found(step);
            let outside = if matches!(step.work, Work::MaxPool(_)) { f32::NEG_INFINITY } else { 0.0 };
            let x = &mut self.spare[..layout.len(1)];
            maps::cut(self.isa, &sources[0], cut, outside, (&layout, x), &self.scratch);
            sources[0] = InputMap { layout, prologue: Prologue::default(), x };
        }
        let first = &sources[0];
        let mut sums = Vec::new();
        match (&step.work, &self.convs[index]) {
            (Work::Convs(specs), Some(convs)) => {
                let bias =
                    |conv: Option<&Conv>| conv.and_then(|conv| conv.bias).map(|id| &self.values[id.0][..]);
                if centre.is_some() {
                    sums = vec![[[0.0; LANES]; 2]; convs.sums(&layout, images)];
                }
                let forward = Forward {
                    images,
                    x: first.x,
                    prologue: first.prologue,
                    biases: [bias(specs.first()), bias(specs.get(1))],
                    middle: step.middle.map(|_| middle),
                    y: &mut *y,
                    moments: centre.map(|centre| (centre, &mut sums[..])),
                };
                convs.forward(forward, &self.scratch);
            }
            (Work::MaxPool(_) | Work::MeanPool(..), _) => {
                pool(self.isa, &plan, step)
                    .into_iter()
                    .for_each(|pool| pool.forward(images, first.prologue, first.x, y, &self.scratch));
            }
            (Work::GlobalMeanPool, _) => {
                maps::global_mean(self.isa, first, &layout, images, y, &self.scratch)
            }
            (Work::Add, _) => maps::add(self.isa, &layout, images, &sources, y, &self.scratch),
            (Work::Concat | Work::Dropout(_) | Work::Convs(_), _) => {
                maps::concat(self.isa, &layout, images, &sources, y);
            }
        }
        if let (Work::Dropout(rate), Pass::Training { dropout_seed }) = (&step.work, pass) {
            maps::dropout(&layout, images, DropoutMask::new(*rate, dropout_seed, step.node.0), y);
        }
        let Some(norm) = norm else { return };
        if let Some(centre) = centre.filter(|_| sums.is_empty()) {
            sums = vec![[[0.0; LANES]; 2]; groups(images) * layout.shape.c];
            maps::moments(self.isa, &layout, images, centre, y, &mut sums);
        }
        self.take_norm(step.writes, norm, &mut sums, images);
    }

    /// The norm of a map from the sums of its batch.
    fn take_norm(&mut self, map: MapId, norm: &Norm, sums: &mut ChannelSums, images: usize) {
        // Lanes without an image hold values that do not belong to the batch.
        let shape = self.plan.map(map).shape;
        clear_absent(sums, images, shape.c);
        let mut running = [norm.mean, norm.variance].map(|id| std::mem::take(&mut self.values[id.0]));
        let [mean, variance] = &mut running;
        let values = norm_values(&self.values, norm);
        self.norms[map.0].set_from_batch(values, sums, images * shape.pixels(), [mean, variance]);
        for (id, values) in [norm.mean, norm.variance].into_iter().zip(running) {
            self.values[id.0] = values;
        }
    }
}

/// Zeroes the sums over lanes without an image in the last group.
fn clear_absent(sums: &mut ChannelSums, images: usize, channels: usize) {
    let present = images - (groups(images) - 1) * LANES;
    let parts = sums.len() / channels / groups(images);
    let last = sums.len() - parts * channels;
    for sum in sums[last..].iter_mut().flatten() {
        sum[present..].fill(0.0);
    }
}

/// How a step reads a map.
pub(crate) fn prologue<'a>(plan: &Plan, norms: &'a [NormState], read: &Read) -> Prologue<'a> {
    let affine = plan.map(read.map).norm.is_some().then(|| norms[read.map.0].affine());
    Prologue { affine, activation: read.activation }
}

/// The weights of each of `specs`.
pub(crate) fn weights<'a>(values: &'a [Vec<f32>], specs: &[Conv]) -> Vec<&'a [f32]> {
    specs.iter().map(|conv| &values[conv.weights.0][..]).collect()
}

/// The trained values of a norm.
fn norm_values<'a>(values: &'a [Vec<f32>], norm: &'a Norm) -> NormValues<'a> {
    NormValues { norm, gamma: norm.gamma.map(|id| &values[id.0][..]), beta: &values[norm.beta.0] }
}
