//! Pooling over windows and over the whole map.

use std::ops::Range;

use rayon::prelude::*;

use crate::{
    convs::InputGradient,
    geometry::PoolGeometry,
    isa::Isa,
    layout::{LANES, MapLayout, groups},
    maps::{Group, Seen, Source, group_mut, split_sums, stored_row},
    rows::{self, Reading, Undo},
    simd::{Kernel, Simd, dispatch},
};

/// What a window becomes.
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
    /// What a window becomes.
    pub pooling: Pooling,
    /// Of the input.
    pub from: MapLayout,
    /// Of the output.
    pub to: MapLayout,
}

/// A value of every lane.
type Lane = [f32; LANES];

impl Pool {
    /// y = pool(activation(norm(x))), overwriting `y`, margins included.
    ///
    /// # Panics
    /// If a slice has not the length that its layout gives.
    pub fn forward(&self, images: usize, reading: Reading<'_>, x: &[f32], y: &mut [f32]) {
        self.check(images, x.len(), y.len());
        y.par_chunks_mut(self.to.group()).zip(x.par_chunks(self.from.group())).for_each(|(y, x)| {
            let (y, mut seen) = (group_mut(&self.to, y), Seen::new(self.isa, &self.from, reading, x));
            for (row, y) in y.chunks_exact_mut(self.to.row()).enumerate() {
                let x = seen.rows(self.rows(row));
                dispatch(self.isa, Forward { pool: self, x: &x, y });
            }
        });
    }

    /// The gradient of the input from that of the output: of equal maxima the
    /// first gets it, row by row. `x` may be empty for a mean of values that were
    /// read without an activation.
    ///
    /// # Panics
    /// As [`Self::forward`].
    pub fn backward(
        &self,
        images: usize,
        reading: Reading<'_>,
        x: &[f32],
        dy: &[f32],
        input: InputGradient<'_>,
    ) {
        self.check(images, input.target.len(), dy.len());
        assert!(x.len() == input.target.len() || x.is_empty(), "values of a map to pool");
        let InputGradient { target, adds, sums } = input;
        let (mean, sums) = split_sums(sums, groups(images), self.from.shape.c);
        let source = Source { layout: self.from, reading, x };
        let work = target.par_chunks_mut(self.from.group()).zip(sums).zip(dy.par_chunks(self.to.group()));
        work.enumerate().for_each(|(group, ((target, mut sums), dy))| {
            let len = self.from.row();
            let mut fresh = vec![0.0; self.from.shape.h * len];
            let of_group =
                if x.is_empty() { x } else { &x[group * self.from.group()..][..self.from.group()] };
            let mut seen =
                (self.pooling == Pooling::Max).then(|| Seen::new(self.isa, &self.from, reading, of_group));
            for (row, dy) in Group::new(&self.to, dy).rows().enumerate() {
                let rows = self.rows(row);
                let x = seen.as_mut().map_or_else(Vec::new, |seen| seen.rows(rows.clone()));
                let fresh = &mut fresh[rows.start * len..rows.end * len];
                dispatch(self.isa, Backward { pool: self, rows: rows.len(), x: &x, dy, fresh });
            }
            let target = if adds { &mut target[self.from.start()..] } else { group_mut(&self.from, target) };
            for (row, (fresh, target)) in
                fresh.chunks_exact(len).zip(target.chunks_exact_mut(len)).enumerate()
            {
                let x = stored_row(&source, group, row);
                let sums = mean.zip(sums.as_deref_mut());
                rows::undo(self.isa, &self.from, &self.from, Undo { reading, x, fresh, adds, sums }, target);
            }
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

    /// What the mean of the window divides by.
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

/// The value of every lane at a place of a row.
#[inline(always)]
fn at(row: &[f32], place: usize) -> Lane {
    let mut lane = [0.0; LANES];
    lane.copy_from_slice(&row[place..place + LANES]);
    lane
}

struct Forward<'a> {
    pool: &'a Pool,
    x: &'a [&'a [f32]],
    y: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { pool, x, y } = self;
        y.fill(0.0);
        for column in 0..pool.to.shape.w {
            let columns = pool.columns(column);
            for channel in 0..pool.to.shape.c {
                let taps = x.iter().flat_map(|row| {
                    columns.clone().map(move |column| at(row, channel * pool.from.channel() + column * LANES))
                });
                let value = match pool.pooling {
                    Pooling::Max => taps.fold([f32::NEG_INFINITY; LANES], larger),
                    Pooling::Mean { include_padding } => {
                        let count = pool.count(include_padding, x.len(), columns.len());
                        let sum =
                            taps.fold([0.0; LANES], |sum, value| std::array::from_fn(|i| sum[i] + value[i]));
                        sum.map(|sum| sum / count)
                    }
                };
                let place = channel * pool.to.channel() + column * LANES;
                y[place..place + LANES].copy_from_slice(&value);
            }
        }
    }
}

/// The larger of two; what is not a number wins.
#[inline(always)]
fn larger(best: Lane, value: Lane) -> Lane {
    std::array::from_fn(|i| if value[i] > best[i] || value[i].is_nan() { value[i] } else { best[i] })
}

struct Backward<'a> {
    pool: &'a Pool,
    /// Input rows of the window, and of a maximum their values.
    rows: usize,
    x: &'a [&'a [f32]],
    dy: &'a [f32],
    /// Rows of the input's gradient that the window covers.
    fresh: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { pool, rows, x, dy, fresh } = self;
        let (len, channel_len) = (pool.from.row(), pool.from.channel());
        for channel in 0..pool.to.shape.c {
            for column in 0..pool.to.shape.w {
                let columns = pool.columns(column);
                let gradient = at(dy, channel * pool.to.channel() + column * LANES);
                let taps = (0..rows).flat_map(|row| {
                    columns.clone().map(move |column| (row, channel * channel_len + column * LANES))
                });
                match pool.pooling {
                    Pooling::Max => {
                        let best = taps.clone().fold([f32::NEG_INFINITY; LANES], |best, (row, place)| {
                            larger(best, at(x[row], place))
                        });
                        // The gradient that no tap has taken yet.
                        let mut left = gradient;
                        for (row, place) in taps {
                            let value = at(x[row], place);
                            let fresh = &mut fresh[row * len + place..][..LANES];
                            for i in 0..LANES {
                                let takes = value[i] == best[i] || value[i].is_nan();
                                fresh[i] += if takes { left[i] } else { 0.0 };
                                left[i] = if takes { 0.0 } else { left[i] };
                            }
                        }
                    }
                    Pooling::Mean { include_padding } => {
                        let count = pool.count(include_padding, rows, columns.len());
                        let share = gradient.map(|gradient| gradient / count);
                        for (row, place) in taps {
                            let fresh = &mut fresh[row * len + place..][..LANES];
                            fresh.iter_mut().zip(share).for_each(|(fresh, share)| *fresh += share);
                        }
                    }
                }
            }
        }
    }
}
