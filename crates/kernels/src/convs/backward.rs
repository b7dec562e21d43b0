//! The backward pass: gradients of the weights and of the input.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    Band, Conv, Convs, Part, Shared,
    band_order::Block,
    forward::{clear_before, map_rows, ring_rows, row_mut, row_of},
};
use crate::{
    buffer::Scratch,
    conv::{Rows, Sums, Walk},
    layout::LANES,
    rows::{self, ChannelSums, Prologue, SumsAbout, ThroughNorm, Undo},
};

/// Inputs and outputs of the backward pass. Maps have the layouts of the [`Convs`].
#[derive(Debug)]
pub struct Backward<'a> {
    /// Images of the batch.
    pub images: usize,
    /// The input.
    pub x: &'a [f32],
    /// How it was read.
    pub prologue: Prologue<'a>,
    /// Of two convolutions, the output of the first.
    pub middle: Option<&'a [f32]>,
    /// The gradient of the output, or of the norm after it.
    pub gradient: &'a [f32],
    /// The coefficients of the gradient through that norm, and the output.
    pub through: Option<(&'a ThroughNorm, &'a [f32])>,
    /// The gradient of each convolution's weights, overwritten.
    pub weights: Vec<&'a mut [f32]>,
    /// Room for each task's sums, [`Convs::partial`] of them; overwritten.
    pub partial: &'a mut [f32],
    /// The gradient of the last convolution's bias, overwritten.
    pub bias: Option<&'a mut [f32]>,
    /// The gradient of the input, where it is wanted.
    pub input: Option<InputGradient<'a>>,
}

/// The destination of an input map's gradient.
#[derive(Debug)]
pub struct InputGradient<'a> {
    /// The gradient of the map, or of its norm's output if it has one.
    pub target: &'a mut [f32],
    /// Whether to add to the existing values.
    pub adds: bool,
    /// If this is the last contribution: the mean of each channel, and the sums of the gradient
    /// and of it times `x - mean`; of a convolution [`Convs::sums`] of them, otherwise one for each group and
    /// channel.
    pub sums: Option<SumsAbout<'a>>,
}

impl Convs {
    /// The gradients of weights, bias and input. Lanes beyond the last image must be zero in
    /// `gradient` where there is no `through`, and are zero in what is written. Cost: twice the
    /// multiply-adds of the forward pass.
    ///
    /// # Panics
    /// If the length of a slice does not match the layouts and images, or no weights are packed.
    pub fn backward(&self, backward: Backward<'_>, scratch: &Scratch) {
        let Backward { images, x, prologue, middle, gradient, through, weights, partial, bias, input } =
            backward;
        self.check_map(0, images, x.len());
        self.check_map(self.convs.len(), images, gradient.len());
        through.iter().for_each(|(_, y)| self.check_map(self.convs.len(), images, y.len()));
        assert_eq!(middle.is_some(), self.convs.len() == 2, "a map between two convolutions");
        middle.iter().for_each(|middle| self.check_map(1, images, middle.len()));
        assert_eq!(input.is_some(), self.has_input_gradient, "a place for the gradient of the input");
        assert!(self.walks_back().all(Walk::is_packed), "weights for the way back");
        let expected = self.convs.iter().map(|conv| conv.spec.geometry.weight_count());
        assert!(expected.eq(weights.iter().map(|weights| weights.len())), "weights of each convolution");

        let mut input = input;
        if let Some(input) = &mut input {
            self.check_map(0, images, input.target.len());
            if let Some((mean, sums)) = &mut input.sums {
                let channels = self.layouts[0].shape.c;
                assert_eq!((mean.len(), sums.len()), (channels, self.sums(&self.layouts[0], images)));
                sums.fill([[0.0; LANES]; 2]);
            }
        }
        let channels = self.output().shape.c;
        let mut bias_sums =
            vec![[[0.0; LANES]; 2]; if bias.is_some() { self.sums(self.output(), images) } else { 0 }];
        let (parts, count) = (self.parts(images), self.weight_count());
        assert_eq!(partial.len(), parts.len() * count, "room for the sums of each task");
        let shared = SharedMaps {
            x: Shared(x.as_ptr().cast_mut()),
            middle: middle.map(|map| Shared(map.as_ptr().cast_mut())),
            gradient: Shared(gradient.as_ptr().cast_mut()),
            y: through.map(|(_, y)| Shared(y.as_ptr().cast_mut())),
            through: through.map(|(through, _)| through),
            bias_sums: bias.is_some().then(|| Shared(bias_sums.as_mut_ptr().cast())),
            adds: input.as_ref().is_some_and(|input| input.adds),
            mean: input.as_ref().and_then(|input| input.sums.as_ref().map(|(mean, _)| *mean)),
            sums: input
                .as_mut()
                .and_then(|input| input.sums.as_mut())
                .map(|(_, sums)| Shared(sums.as_mut_ptr().cast())),
            target: input.as_mut().map(|input| Shared(input.target.as_mut_ptr())),
            images,
            prologue,
        };
        parts.par_iter().zip(partial.par_chunks_mut(count)).for_each(|(part, partial)| {
            scratch.with(self.backward_scratch(), |scratch| {
                Task { convs: self, maps: &shared, part, band: &self.bands[part.band] }.run(partial, scratch);
            });
        });
        let mut first = 0;
        for weights in weights {
            add_parts(partial, count, first, weights);
            first += weights.len();
        }
        if let Some(bias) = bias {
            rows::totals(&bias_sums, channels, |channel, [sum, _]| bias[channel] = sum as f32);
        }
    }
}

/// Scratch values of a task: its rings, rows of the input's gradient, the running sums of the
/// weights' gradients, and the scratch of a walk.
pub(super) fn scratch(convs: &Convs) -> usize {
    let most = |rows: fn(&super::BandOrder, usize) -> usize, map: usize| {
        convs.bands.iter().map(|band| rows(&band.schedule, map)).max().unwrap_or(0)
    };
    let ring = |map: usize, rows: usize| convs.layouts[map].start() + rows * convs.layouts[map].row();
    let gradients: usize = (1..=convs.convs.len())
        .map(|map| ring(map, most(|schedule, map| schedule.gradient_rows[map], map)))
        .sum();
    let inputs = ring(0, most(|schedule, _| schedule.input_rows, 0));
    let fresh = ring(0, convs.convs[0].back.rows_at_once());
    gradients + inputs + fresh + running(&convs.convs) + work(convs)
}

/// Values of the running sums of the weights' gradients.
fn running(convs: &[Conv]) -> usize {
    convs.iter().map(|conv| conv.gradient.running()).sum()
}

/// Values of the scratch of a walk, or of a weights' gradient.
fn work(convs: &Convs) -> usize {
    let gradients = convs.convs.iter().map(|conv| conv.gradient.scratch());
    convs.walks_back().map(Walk::scratch).chain(gradients).max().unwrap_or(0)
}

/// `weights[i]` is the sum over the parts, in their order.
fn add_parts(partial: &[f32], count: usize, first: usize, weights: &mut [f32]) {
    for (index, part) in partial.chunks_exact(count).enumerate() {
        let part = &part[first..first + weights.len()];
        if index == 0 {
            weights.copy_from_slice(part);
        } else {
            weights.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
    }
}

/// What all tasks share.
struct SharedMaps<'a> {
    x: Shared,
    middle: Option<Shared>,
    gradient: Shared,
    y: Option<Shared>,
    through: Option<&'a ThroughNorm>,
    bias_sums: Option<Shared>,
    target: Option<Shared>,
    adds: bool,
    mean: Option<&'a [f32]>,
    sums: Option<Shared>,
    images: usize,
    prologue: Prologue<'a>,
}

/// One part.
struct Task<'a> {
    convs: &'a Convs,
    maps: &'a SharedMaps<'a>,
    part: &'a Part,
    band: &'a Band,
}

/// The rows of one group that a task works on.
struct Group<'a> {
    index: usize,
    /// The input as it is stored, and as it is read.
    x: Rows,
    inputs: Rows,
    middle: Option<Rows>,
    /// The gradient of the output, or of the norm after it.
    from: Rows,
    /// The gradient of each map: of the output before its norm, in between, of the input.
    gradients: [Rows; 3],
    /// Rows of the input's gradient.
    fresh: Rows,
    /// Scratch of a walk.
    work: &'a mut [f32],
}

/// Rows that a task keeps for as long as they are read.
struct Rings {
    gradients: [Rows; 3],
    inputs: Rows,
    fresh: Rows,
}

impl Task<'_> {
    fn run(&self, partial: &mut [f32], scratch: &mut [f32]) {
        let (convs, schedule) = (self.convs, &self.band.schedule);
        let (running_sums, scratch) = scratch.split_at_mut(running(&convs.convs));
        let (work, scratch) = scratch.split_at_mut(work(convs));
        let rings = self.rings(scratch);
        assert_eq!(partial.len(), convs.weight_count(), "a sum for each weight");
        let (running_sums, partial) = (running_sums.as_mut_ptr(), partial.as_mut_ptr());
        let calls = self.part.groups.len() * schedule.blocks.len();
        let mut call = 0;
        for index in self.part.groups.clone() {
            let mut group = self.group(index, &rings, work);
            for block in &schedule.blocks {
                let sums = |conv: usize| {
                    let before = &convs.convs[..conv];
                    let first: usize = before.iter().map(|conv| conv.spec.geometry.weight_count()).sum();
                    Sums {
                        running: running_sums.wrapping_add(running(before)),
                        is_first: call == 0,
                        total: (call + 1 == calls).then(|| partial.wrapping_add(first)),
                    }
                };
                self.block(block, &mut group, [sums(0), sums(convs.convs.len() - 1)]);
                call += 1;
            }
        }
    }

    /// Divides `scratch` into rings.
    fn rings(&self, mut scratch: &mut [f32]) -> Rings {
        let (convs, schedule) = (self.convs, &self.band.schedule);
        let mut ring = |map: usize, rows: usize| {
            let layout = &convs.layouts[map];
            let len = layout.start() + rows * layout.row();
            let (ring, rest) = std::mem::take(&mut scratch).split_at_mut(len);
            scratch = rest;
            ring_rows(ring, layout, rows)
        };
        let mut gradients = [Rows::new(std::ptr::null_mut(), 0, 1); 3];
        for (map, gradients) in gradients.iter_mut().enumerate().take(convs.convs.len() + 1).skip(1) {
            *gradients = ring(map, schedule.gradient_rows[map]);
        }
        Rings {
            gradients,
            inputs: ring(0, schedule.input_rows),
            fresh: ring(0, convs.convs[0].back.rows_at_once()),
        }
    }

    /// The rows of a group; those that are no part of a map are in the rings.
    fn group<'w>(&self, index: usize, rings: &Rings, work: &'w mut [f32]) -> Group<'w> {
        let (convs, maps, layout) = (self.convs, self.maps, &self.convs.layouts[0]);
        let x = map_rows(maps.x, layout, index);
        let mut gradients = rings.gradients;
        let from = map_rows(maps.gradient, convs.output(), index);
        if maps.through.is_none() {
            gradients[convs.convs.len()] = from;
        }
        if let Some(target) = maps.target {
            gradients[0] = map_rows(target, layout, index);
            if self.part.band == 0 && !maps.adds {
                // SAFETY: the first band owns the beginning of a group.
                unsafe { target.slice(index * layout.group(), layout.start()) }.fill(0.0);
            }
        }
        Group {
            index,
            x,
            inputs: if maps.prologue.is_plain() { x } else { rings.inputs },
            middle: maps.middle.map(|map| map_rows(map, &convs.layouts[1], index)),
            from,
            gradients,
            fresh: rings.fresh,
            work,
        }
    }

    fn block(&self, block: &Block, group: &mut Group<'_>, sums: [Sums; 2]) {
        let (convs, maps) = (self.convs, self.maps);
        let last = convs.convs.len();
        if let (Some(through), Some(y)) = (maps.through, maps.y) {
            self.output_gradient(block.gradients[last].clone(), group, through, y);
        }
        if let Some(bias_sums) = maps.bias_sums {
            self.add_bias(block.weights[last - 1].clone(), group, bias_sums);
        }
        if let Some(middle) = group.middle {
            self.second_conv(block, group, middle, sums[1]);
        }
        if !maps.prologue.is_plain() {
            let layout = &convs.layouts[0];
            for row in block.inputs.clone() {
                let [x, inputs] = [group.x, group.inputs];
                let (x, seen) = (row_of(x, row, layout.row()), row_mut(inputs, row, layout.row()));
                rows::read(convs.isa, layout, layout, maps.prologue, x, seen);
                clear_before(inputs, row, layout);
            }
        }
        // SAFETY: the schedule has computed the rows that these read.
        unsafe {
            let rows = block.weights[0].clone();
            let work = group.work.as_mut_ptr();
            convs.convs[0].gradient.rows(rows, group.inputs, group.gradients[1], sums[0], work);
        }
        if maps.target.is_some() {
            self.input_gradient(block.gradients[0].clone(), group);
        }
    }

    /// Rows of the output's gradient, from that of the norm after it.
    fn output_gradient(&self, rows: Range<usize>, group: &Group<'_>, through: &ThroughNorm, y: Shared) {
        let layout = self.convs.output();
        let from = [group.from, map_rows(y, layout, group.index)];
        let to = group.gradients[self.convs.convs.len()];
        let images = Convs::images_of(group.index, self.maps.images);
        for row in rows {
            let [dy, y] = from.map(|rows| row_of(rows, row, layout.row()));
            let target = row_mut(to, row, layout.row());
            rows::through_norm(self.convs.isa, layout, through, (dy, y), images, target);
            clear_before(to, row, layout);
        }
    }

    /// The gradients of the second convolution's weights, and of the map between the two.
    fn second_conv(&self, block: &Block, group: &mut Group<'_>, middle: Rows, sums: Sums) {
        let (layout, [first, second]) = (&self.convs.layouts[1], [0, 1].map(|conv| &self.convs.convs[conv]));
        let [_, to, from] = group.gradients;
        // SAFETY: the schedule has computed the rows that each of these reads.
        unsafe {
            second.gradient.rows(block.weights[1].clone(), middle, from, sums, group.work.as_mut_ptr());
        };
        for step in second.back.steps(block.gradients[1].clone()) {
            // SAFETY: as above.
            unsafe {
                let work = group.work.as_mut_ptr();
                second.back.rows(step.clone(), from, to, None, work, to.at(step.start));
            }
            for row in step {
                let (y, gradient) = (row_of(middle, row, layout.row()), row_mut(to, row, layout.row()));
                rows::finish_back(self.convs.isa, layout, first.spec.activation, y, gradient);
                clear_before(to, row, layout);
            }
        }
    }

    fn add_bias(&self, rows: Range<usize>, group: &Group<'_>, sums: Shared) {
        let (layout, last) = (self.convs.output(), self.convs.convs.len());
        let sums = self.sums(sums, group.index, layout.shape.c);
        let centre = vec![0.0; layout.shape.c];
        for row in rows {
            let gradient = row_of(group.gradients[last], row, layout.row());
            rows::add_moments(self.convs.isa, layout, &centre, gradient, sums);
        }
    }

    fn input_gradient(&self, rows: Range<usize>, group: &mut Group<'_>) {
        let (convs, maps) = (self.convs, self.maps);
        let layout = &convs.layouts[0];
        let mut sums = maps.sums.map(|sums| self.sums(sums, group.index, layout.shape.c));
        let back = &convs.convs[0].back;
        for step in back.steps(rows) {
            let (fresh, work) = (group.fresh, group.work.as_mut_ptr());
            // SAFETY: the schedule has computed the rows that these read; the band owns them.
            unsafe {
                // Where these rows will go.
                let ahead = group.gradients[0].at(step.start);
                back.rows(step.clone(), group.gradients[1], fresh, None, work, ahead);
            }
            for row in step {
                let undo = Undo {
                    prologue: maps.prologue,
                    x: row_of(group.x, row, layout.row()),
                    fresh: row_of(fresh, row, layout.row()),
                    adds: maps.adds,
                    sums: maps.mean.zip(sums.as_deref_mut()),
                };
                rows::undo(convs.isa, layout, layout, undo, row_mut(group.gradients[0], row, layout.row()));
            }
        }
    }

    /// The sums of the task's group and band.
    fn sums<'s>(&self, sums: Shared, group: usize, channels: usize) -> &'s mut ChannelSums {
        let len = channels * 2 * LANES;
        // SAFETY: each group and band has its own sums.
        let sums = unsafe { sums.slice((group * self.convs.bands.len() + self.part.band) * len, len) };
        sums.as_chunks_mut::<LANES>().0.as_chunks_mut::<2>().0
    }
}
