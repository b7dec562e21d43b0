//! Pooling over windows and over the whole map.

use std::ops::Range;

use rayon::prelude::*;

use crate::{
    buffer::Scratch,
    convs::InputGradient,
    geometry::PoolGeometry,
    isa::Isa,
    layout::{LANES, MapLayout, groups},
    maps::{Group, InputMap, Seen, group_mut, split_sums, stored_row},
    rows::{self, Prologue, Undo},
    simd::{Kernel, Simd, dispatch},
};

/// The reduction over a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Its maximum; padding never wins.
    Max,
    /// Its mean.
    Mean {
        /// Whether padding counts as zeros.
        include_padding: bool,
    },
}

/// A pooling of maps of one layout to another.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    /// The instructions.
    pub isa: Isa,
    /// Windows, stride and padding.
    pub geometry: PoolGeometry,
    /// The reduction over a window.
    pub pooling: Pooling,
    /// Of the input.
    pub from: MapLayout,
    /// Of the output.
    pub to: MapLayout,
}

impl Pool {
    /// Scratch values of a task, in either pass.
    pub const fn scratch(&self) -> usize {
        (self.geometry.window() + self.ring()) * self.from.row()
    }

    /// Rows of the input that the windows of two output rows cover.
    const fn ring(&self) -> usize {
        self.geometry.window() + self.geometry.stride()
    }

    /// y = pool(activation(norm(x))), overwriting `y`, margins included.
    ///
    /// # Panics
    /// If the length of a slice does not match its layout.
    pub fn forward(
        &self,
        images: usize,
        prologue: Prologue<'_>,
        x: &[f32],
        y: &mut [f32],
        scratch: &Scratch,
    ) {
        self.check(images, x.len(), y.len());
        y.par_chunks_mut(self.to.group()).zip(x.par_chunks(self.from.group())).for_each(|(y, x)| {
            scratch.with(self.geometry.window() * self.from.row(), |ring| {
                let y = group_mut(&self.to, y);
                let mut seen = Seen::new(self.isa, &self.from, prologue, x, ring);
                for (row, y) in y.chunks_exact_mut(self.to.row()).enumerate() {
                    let x = seen.rows(self.rows(row));
                    dispatch(self.isa, Forward { pool: self, x: &x, y });
                }
            });
        });
    }

    /// The gradient of the input from that of the output: the first of equal maxima gets it,
    /// row by row. `x` may be empty for a mean of values that were read without an activation.
    ///
    /// # Panics
    /// As [`Self::forward`].
    pub fn backward(
        &self,
        images: usize,
        prologue: Prologue<'_>,
        x: &[f32],
        dy: &[f32],
        input: InputGradient<'_>,
        scratch: &Scratch,
    ) {
        self.check(images, input.target.len(), dy.len());
        assert!(x.len() == input.target.len() || x.is_empty(), "values of a map to pool");
        let InputGradient { target, adds, sums } = input;
        let (mean, sums) = split_sums(sums, groups(images), self.from.shape.c);
        let source = InputMap { layout: self.from, prologue, x };
        let work = target.par_chunks_mut(self.from.group()).zip(sums).zip(dy.par_chunks(self.to.group()));
        work.enumerate().for_each(|(group, ((target, mut sums), dy))| {
            scratch.with(self.scratch(), |scratch| {
                let len = self.from.row();
                let of_group =
                    if x.is_empty() { x } else { &x[group * self.from.group()..][..self.from.group()] };
                let (seen, ring) = scratch.split_at_mut(self.geometry.window() * len);
                let mut seen = (self.pooling == Pooling::Max)
                    .then(|| Seen::new(self.isa, &self.from, prologue, of_group, seen));
                let target =
                    if adds { &mut target[self.from.start()..] } else { group_mut(&self.from, target) };
                // The rows that windows still add to, in a ring.
                let capacity = self.ring();
                let (mut begun, mut done) = (0, 0);
                let h = self.from.shape.h;
                let mut dys = Group::new(&self.to, dy).rows();
                for row in 0..=self.to.shape.h {
                    // Rows that no later window covers are complete.
                    let complete = if row < self.to.shape.h { self.rows(row).start } else { h };
                    for index in done..complete {
                        let place = index % capacity * len;
                        if index >= begun {
                            ring[place..place + len].fill(0.0);
                        }
                        let x = stored_row(&source, group, index);
                        let sums = mean.zip(sums.as_deref_mut());
                        let undo = Undo { prologue, x, fresh: &ring[place..place + len], adds, sums };
                        rows::undo(self.isa, &self.from, &self.from, undo, &mut target[index * len..][..len]);
                    }
                    done = done.max(complete);
                    let Some(dy) = dys.next() else { break };
                    let rows = self.rows(row);
                    for index in begun.max(done)..rows.end {
                        ring[index % capacity * len..][..len].fill(0.0);
                    }
                    begun = begun.max(rows.end);
                    let x = seen.as_mut().map_or_else(Vec::new, |seen| seen.rows(rows.clone()));
                    dispatch(self.isa, Backward { pool: self, rows, x: &x, dy, ring, capacity });
                }
            });
        });
    }

    /// Input rows of the window of output row `row`.
    fn rows(&self, row: usize) -> Range<usize> {
        let p = self.geometry.padding();
        window(row, self.geometry.stride(), p.top, self.geometry.window(), self.from.shape.h)
    }

    fn check(&self, images: usize, x: usize, y: usize) {
        assert_eq!((self.geometry.input(), self.geometry.output()), (self.from.shape, self.to.shape));
        assert_eq!((x, y), (self.from.len(images), self.to.len(images)), "values of maps to pool");
    }

    /// Input columns of the window of output column `column`.
    fn columns(&self, column: usize) -> Range<usize> {
        let p = self.geometry.padding();
        window(column, self.geometry.stride(), p.left, self.geometry.window(), self.from.shape.w)
    }

    /// The divisor of the mean over the window.
    fn count(&self, include_padding: bool, rows: usize, columns: usize) -> f32 {
        if include_padding {
            (self.geometry.window() * self.geometry.window()) as f32
        } else {
            (rows * columns) as f32
        }
    }
}

/// The part of window `index` that lies in a map of `extent`.
fn window(index: usize, stride: usize, padding: usize, size: usize, extent: usize) -> Range<usize> {
    let begin = index * stride;
    begin.saturating_sub(padding)..(begin + size).saturating_sub(padding).min(extent)
}

struct Forward<'a> {
    pool: &'a Pool,
    x: &'a [&'a [f32]],
    y: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { pool, x, y } = self;
        y.fill(0.0);
        for column in 0..pool.to.shape.w {
            let columns = pool.columns(column);
            for channel in 0..pool.to.shape.c {
                let first = channel * pool.from.channel();
                let y = lane_mut(y, channel * pool.to.channel() + column * LANES);
                let mut value = s.splat(if pool.pooling == Pooling::Max { f32::NEG_INFINITY } else { 0.0 });
                for row in x {
                    for column in columns.clone() {
                        let tap = s.of_array(lane(row, first + column * LANES));
                        value = if pool.pooling == Pooling::Max {
                            s.larger(tap, value)
                        } else {
                            s.add(value, tap)
                        };
                    }
                }
                let mut value = s.to_array(value);
                if let Pooling::Mean { include_padding } = pool.pooling {
                    let count = pool.count(include_padding, x.len(), columns.len());
                    value = value.map(|sum| sum / count);
                }
                *y = value;
            }
        }
    }
}

/// The values of every image at a place of a row.
#[inline(always)]
fn lane(row: &[f32], place: usize) -> [f32; LANES] {
    let mut lane = [0.0; LANES];
    lane.copy_from_slice(&row[place..place + LANES]);
    lane
}

/// The same, to be written.
#[inline(always)]
fn lane_mut(row: &mut [f32], place: usize) -> &mut [f32; LANES] {
    match row[place..].first_chunk_mut() {
        Some(lane) => lane,
        None => unreachable!("rows are whole vectors"),
    }
}

struct Backward<'a> {
    pool: &'a Pool,
    /// Input rows of the window.
    rows: Range<usize>,
    /// Of a maximum, their values.
    x: &'a [&'a [f32]],
    dy: &'a [f32],
    /// The last rows of the input's gradient, row r at r modulo the capacity.
    ring: &'a mut [f32],
    capacity: usize,
}

impl Kernel for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { pool, rows, x, dy, ring, capacity } = self;
        let (len, channel_len) = (pool.from.row(), pool.from.channel());
        for channel in 0..pool.to.shape.c {
            for column in 0..pool.to.shape.w {
                let columns = pool.columns(column);
                let gradient = s.of_array(lane(dy, channel * pool.to.channel() + column * LANES));
                let first = channel * channel_len;
                if let Pooling::Mean { include_padding } = pool.pooling {
                    let count = pool.count(include_padding, rows.len(), columns.len());
                    let share = s.of_array(s.to_array(gradient).map(|gradient| gradient / count));
                    for row in rows.clone() {
                        for column in columns.clone() {
                            let fresh = lane_mut(ring, row % capacity * len + first + column * LANES);
                            *fresh = s.to_array(s.add(s.of_array(*fresh), share));
                        }
                    }
                    continue;
                }
                let mut best = s.splat(f32::NEG_INFINITY);
                for row in x {
                    for column in columns.clone() {
                        best = s.larger(s.of_array(lane(row, first + column * LANES)), best);
                    }
                }
                // The gradient that no tap has received yet.
                let mut left = gradient;
                for (index, row) in rows.clone().zip(x) {
                    for column in columns.clone() {
                        let place = first + column * LANES;
                        let taken;
                        [taken, left] = s.part_equal(s.of_array(lane(row, place)), best, left);
                        let fresh = lane_mut(ring, index % capacity * len + place);
                        *fresh = s.to_array(s.add(s.of_array(*fresh), taken));
                    }
                }
            }
        }
    }
}
