//! Pooling in f64 for one image, as its definition reads: over the windows, and
//! within a window over the pixels that exist.

use crate::geometry::PoolGeometry;

/// The pixels under window (`out_row`, `out_column`), in row-major order, each
/// as the index of its first channel.
fn pixels(g: &PoolGeometry, out_row: usize, out_column: usize) -> Vec<usize> {
    let inside = |out: usize, tap: usize, before: usize, extent: usize| {
        (out * g.stride() + tap).checked_sub(before).filter(|&index| index < extent)
    };
    let mut pixels = Vec::new();
    for row in 0..g.window() {
        for column in 0..g.window() {
            let row = inside(out_row, row, g.padding().top, g.input().h);
            let column = inside(out_column, column, g.padding().left, g.input().w);
            if let (Some(row), Some(column)) = (row, column) {
                pixels.push((row * g.input().w + column) * g.input().c);
            }
        }
    }
    pixels
}

/// Calls `each(result, sources)` with the index of every result and those of
/// the values it is made from.
fn for_each_result(g: &PoolGeometry, mut each: impl FnMut(usize, Vec<usize>)) {
    let channels = g.input().c;
    for out_row in 0..g.output().h {
        for out_column in 0..g.output().w {
            for c in 0..channels {
                let result = (out_row * g.output().w + out_column) * channels + c;
                each(result, pixels(g, out_row, out_column).iter().map(|pixel| pixel + c).collect());
            }
        }
    }
}

/// The first of the largest values.
fn argmax(x: &[f64], sources: &[usize]) -> usize {
    sources.iter().copied().reduce(|best, next| if x[next] > x[best] { next } else { best }).unwrap()
}

pub(super) fn max(g: &PoolGeometry, x: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; g.output().len()];
    for_each_result(g, |result, sources| y[result] = x[argmax(x, &sources)]);
    y
}

pub(super) fn max_backward(g: &PoolGeometry, x: &[f64], grad_y: &[f64]) -> Vec<f64> {
    let mut grad_x = vec![0.0; g.input().len()];
    for_each_result(g, |result, sources| grad_x[argmax(x, &sources)] += grad_y[result]);
    grad_x
}

fn divisor(g: &PoolGeometry, include_padding: bool, sources: &[usize]) -> f64 {
    if include_padding { (g.window() * g.window()) as f64 } else { sources.len() as f64 }
}

pub(super) fn mean(g: &PoolGeometry, include_padding: bool, x: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; g.output().len()];
    for_each_result(g, |result, sources| {
        y[result] =
            sources.iter().map(|&source| x[source]).sum::<f64>() / divisor(g, include_padding, &sources);
    });
    y
}

pub(super) fn mean_backward(g: &PoolGeometry, include_padding: bool, grad_y: &[f64]) -> Vec<f64> {
    let mut grad_x = vec![0.0; g.input().len()];
    for_each_result(g, |result, sources| {
        let share = grad_y[result] / divisor(g, include_padding, &sources);
        sources.iter().for_each(|&source| grad_x[source] += share);
    });
    grad_x
}
