//! Pooling of channels-last maps: maximum, mean, and the mean of the whole map.
//!
//! Every kernel gathers, forward and backward: each value of its result is
//! computed once, from the windows' pixels or from the windows that cover a
//! pixel. So rows of results are independent and nothing is filled with zeros
//! first.

pub use global::{global_mean_backward, global_mean_forward};
pub use max::{max_backward, max_forward, max_forward_indexed};
pub use mean::{mean_backward, mean_forward};

mod global;
mod max;
mod mean;

use std::ops::Range;

use crate::{geometry::PoolGeometry, rows::CHUNK};

/// Rows or columns of a pooling: which pixels a window covers and which windows
/// cover a pixel.
#[derive(Clone, Copy)]
struct Axis {
    window: usize,
    stride: usize,
    padding_before: usize,
    inputs: usize,
    outputs: usize,
}

impl Axis {
    /// The rows of `g`, then its columns.
    fn pair(g: &PoolGeometry) -> (Self, Self) {
        let (window, stride) = (g.window(), g.stride());
        let axis = |padding_before, inputs, outputs| Self { window, stride, padding_before, inputs, outputs };
        (axis(g.padding().top, g.input().h, g.output().h), axis(g.padding().left, g.input().w, g.output().w))
    }

    /// The pixels under window `output`; at least one, as padding is smaller
    /// than the window.
    fn covered(self, output: usize) -> Range<usize> {
        let start = output * self.stride;
        let end = (start + self.window).min(self.padding_before + self.inputs);
        start.max(self.padding_before) - self.padding_before..end - self.padding_before
    }

    /// The windows over pixel `input`; none where the stride skips it.
    fn covering(self, input: usize) -> Range<usize> {
        let padded = input + self.padding_before;
        let first = (padded + 1).saturating_sub(self.window).div_ceil(self.stride);
        first..(padded / self.stride + 1).min(self.outputs)
    }

    /// Where in window `output` the pixel `input` lies.
    fn tap(self, input: usize, output: usize) -> usize {
        input + self.padding_before - output * self.stride
    }
}

/// How many rows of `row_len` values one task should take at least.
fn rows_per_task(row_len: usize) -> usize {
    (CHUNK / row_len).max(1)
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
