//! A convolution seen from the map that is written.
//!
//! The forward pass and the gradient of the input are the same sum,
//!
//! ```text
//! target[t, o] = sum over taps j and channels i of weight[j, i, o] * source[s(t, j), i]
//! s(t, j) = (t * step + j * dilation - before) / split
//! ```
//!
//! along each axis, over the `j` for which the division leaves nothing and `s`
//! is inside the map. Forward, `step` is the stride and `split` is one; for the
//! gradient of the input it is the other way round, the kernel is flipped, and
//! `before` is what the window sticks out of the padded map. The targets with
//! the same remainder modulo `split` (a phase) see the same taps, so a kernel
//! that walks phase by phase never tests a tap twice.

use std::ops::Range;

use crate::geometry::{ConvGeometry, MapShape, partition};

/// Which sum of a convolution is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The output from the input.
    Forward,
    /// The gradient of the input from the gradient of the output.
    Backward,
}

/// One axis of a [`Correlation`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// Taps of the kernel.
    pub taps: usize,
    /// Source positions between neighbouring targets of one phase.
    pub step: usize,
    /// Phases of the targets, and the distance of targets within a phase.
    pub split: usize,
    dilation: usize,
    before: isize,
}

impl Axis {
    fn new(direction: Direction, taps: usize, stride: usize, dilation: usize, padding: usize) -> Self {
        match direction {
            Direction::Forward => Self { taps, step: stride, split: 1, dilation, before: padding as isize },
            Direction::Backward => {
                let before = ((taps - 1) * dilation) as isize - padding as isize;
                Self { taps, step: 1, split: stride, dilation, before }
            }
        }
    }

    /// What is added to `step` times the index of a target within its phase to
    /// find the source of `tap`; `None` when the phase does not see this tap.
    #[inline(always)]
    pub(super) fn shift(&self, phase: usize, tap: usize) -> Option<isize> {
        let numerator = (phase + tap * self.dilation) as isize - self.before;
        if self.split == 1 {
            return Some(numerator);
        }
        let split = self.split as isize;
        (numerator.rem_euclid(split) == 0).then(|| numerator.div_euclid(split))
    }

    /// The indices within `phase` of the targets in `targets`.
    #[inline(always)]
    pub(super) fn indices(&self, phase: usize, targets: Range<usize>) -> Range<usize> {
        let index = |target: usize| (target + self.split - 1 - phase) / self.split;
        index(targets.start)..index(targets.end)
    }

    /// The part of `indices` whose source, for a tap with this `shift`, lies
    /// within `0..sources`.
    #[inline(always)]
    pub(super) fn inside(&self, shift: isize, sources: usize, indices: Range<usize>) -> Range<usize> {
        // The first index whose source is not before `position`.
        let first_from = |position: isize| {
            let distance = position - shift;
            if distance <= 0 { 0 } else { (distance as usize).div_ceil(self.step) }
        };
        let start = first_from(0).max(indices.start);
        start..first_from(sources as isize).min(indices.end).max(start)
    }

    /// Whether neighbouring taps of neighbouring targets share their sources.
    pub(super) fn is_dense(&self) -> bool {
        (self.step, self.split, self.dilation) == (1, 1, 1)
    }
}

/// Neighbouring groups with the same numbers of channels. Channels are dealt
/// out so that there are at most three runs, one where groups divide channels.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    /// Number of groups.
    pub groups: usize,
    /// Source channels of one group.
    pub source_c: usize,
    /// Target channels of one group.
    pub target_c: usize,
    /// First source channel of the run.
    pub source_start: usize,
    /// First target channel of the run.
    pub target_start: usize,
    /// Where the run's weights start in the weight slice.
    pub weight_start: usize,
}

impl Run {
    /// Number of weights of the run, for `taps` taps a channel pair.
    pub(super) fn weight_count(&self, taps: usize) -> usize {
        self.groups * self.source_c * self.target_c * taps
    }
}

/// A convolution seen from the map that is written: see the module's text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Correlation {
    pub direction: Direction,
    pub rows: Axis,
    pub columns: Axis,
    pub source: MapShape,
    pub target: MapShape,
    runs: [Run; 3],
    run_count: usize,
}

impl Correlation {
    pub(super) fn new(g: &ConvGeometry, direction: Direction) -> Self {
        let o = g.options();
        let (source, target) = match direction {
            Direction::Forward => (g.input(), g.output()),
            Direction::Backward => (g.output(), g.input()),
        };
        let mut all_runs = [Run::default(); 3];
        let run_count = all_runs.iter_mut().zip(runs(g, direction)).map(|(slot, run)| *slot = run).count();
        Self {
            runs: all_runs,
            run_count,
            direction,
            rows: Axis::new(direction, o.kernel_h, o.stride, o.dilation, o.padding.top),
            columns: Axis::new(direction, o.kernel_w, o.stride, o.dilation, o.padding.left),
            source,
            target,
        }
    }

    /// The runs of equal groups, in order.
    pub(super) fn runs(&self) -> &[Run] {
        &self.runs[..self.run_count]
    }

    /// The same sum over a whole batch as one image of a single column, which
    /// a 1x1 kernel at stride 1 cannot tell apart.
    pub(super) fn as_one_column(mut self, batch: usize) -> Self {
        self.source = MapShape::new(batch * self.source.pixels(), 1, self.source.c);
        self.target = MapShape::new(batch * self.target.pixels(), 1, self.target.c);
        self
    }

    /// The sum over the channels of each group alone, for each of `rows` rows of
    /// values: the same convolution with a kernel of one tap.
    pub(super) fn over_channels(mut self, rows: usize) -> Self {
        let taps = self.taps();
        self.runs.iter_mut().for_each(|run| run.weight_start /= taps);
        let one = Axis { taps: 1, step: 1, split: 1, dilation: 1, before: 0 };
        (self.rows, self.columns) = (one, one);
        self.source = MapShape::new(rows, 1, self.source.c);
        self.target = MapShape::new(rows, 1, self.target.c);
        self
    }

    /// The sum of a 1x1 convolution of one group taken over pairs of channels,
    /// with weights that lie as `[target][pair]`.
    pub(super) fn over_pairs(mut self) -> Self {
        let pairs = self.source.c.div_ceil(2);
        self.direction = Direction::Forward;
        (self.source.c, self.runs[0].source_c) = (pairs, pairs);
        self
    }

    /// Taps of the kernel.
    pub(super) fn taps(&self) -> usize {
        self.rows.taps * self.columns.taps
    }

    /// Where the weight between channel `source` and channel `target` of group
    /// `group` of `run` lies for the tap in kernel row `row`, column `column`.
    #[inline(always)]
    pub(super) fn weight_index(
        &self,
        run: &Run,
        group: usize,
        (source, target): (usize, usize),
        (row, column): (usize, usize),
    ) -> usize {
        let tap = row * self.columns.taps + column;
        let (channels, tap) = match self.direction {
            Direction::Forward => ((group * run.target_c + target) * run.source_c + source, tap),
            // The stored kernel is [out][in], and seen from the input it is flipped.
            Direction::Backward => {
                ((group * run.source_c + source) * run.target_c + target, self.taps() - 1 - tap)
            }
        };
        run.weight_start + channels * self.taps() + tap
    }
}

/// The runs of groups of `g` in order, source and target as `direction` has them.
fn runs(g: &ConvGeometry, direction: Direction) -> impl Iterator<Item = Run> {
    let (groups, in_c, out_c) = (g.options().groups, g.input().c, g.output().c);
    let taps = g.options().kernel_h * g.options().kernel_w;
    let (larger_in, larger_out) = (in_c % groups, out_c % groups);
    let ends = [0, larger_in.min(larger_out), larger_in.max(larger_out), groups];
    let mut weight_start = 0;
    (0..3).filter(move |&k| ends[k] < ends[k + 1]).map(move |k| {
        let inputs = partition(in_c, groups, ends[k]);
        let outputs = partition(out_c, groups, ends[k]);
        let (source, target) = match direction {
            Direction::Forward => (inputs, outputs),
            Direction::Backward => (outputs, inputs),
        };
        let run = Run {
            groups: ends[k + 1] - ends[k],
            source_c: source.len(),
            target_c: target.len(),
            source_start: source.start,
            target_start: target.start,
            weight_start,
        };
        weight_start += run.weight_count(taps);
        run
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{ConvOptions, Padding};

    #[test]
    fn both_directions_pair_the_same_positions() {
        let mut options = ConvOptions::spatial(3, 1);
        (options.stride, options.dilation) = (2, 3);
        options.padding = Padding { top: 4, bottom: 1, left: 0, right: 5 };
        let g = ConvGeometry::new(MapShape::new(11, 9, 1), 1, options).unwrap();
        let pairs = |direction| {
            let c = Correlation::new(&g, direction);
            let mut pairs = Vec::new();
            for phase in 0..c.rows.split {
                for tap in 0..c.rows.taps {
                    let Some(shift) = c.rows.shift(phase, tap) else { continue };
                    for index in c.rows.indices(phase, 0..c.target.h) {
                        let source = (index * c.rows.step) as isize + shift;
                        let target = phase + index * c.rows.split;
                        if (0..c.source.h as isize).contains(&source) {
                            pairs.push((source as usize, tap, target));
                        }
                    }
                }
            }
            pairs
        };
        let mut flipped: Vec<_> =
            pairs(Direction::Backward).into_iter().map(|(s, tap, t)| (t, 2 - tap, s)).collect();
        let mut forward = pairs(Direction::Forward);
        flipped.sort();
        forward.sort();
        assert!(!forward.is_empty());
        assert_eq!(forward, flipped);
    }

    #[test]
    fn runs_cover_uneven_groups() {
        // Inputs 3, 2, 2, 2; outputs 2, 2, 2, 1.
        let g = ConvGeometry::new(MapShape::new(3, 3, 9), 7, ConvOptions::spatial(3, 4)).unwrap();
        let found: Vec<_> = runs(&g, Direction::Forward)
            .map(|r| (r.groups, r.source_c, r.target_c, r.weight_start))
            .collect();
        assert_eq!(found, [(1, 3, 2, 0), (2, 2, 2, 54), (1, 2, 1, 126)]);
        let last = runs(&g, Direction::Backward).last().unwrap();
        assert_eq!(last.weight_start + last.weight_count(9), g.weight_count());
        assert_eq!((last.source_start, last.target_start), (6, 7));
    }
}
