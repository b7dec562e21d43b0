//! The definitions in f64, one value after the other, for tests of kernels.

use crate::{activation::Activation, conv::WeightOrder, geometry::ConvGeometry};

/// The index of the weight from input `i` to output `j` of `segment` at `(ky, kx)`.
fn weight(
    g: &ConvGeometry,
    order: WeightOrder,
    segment: usize,
    (i, j): (usize, usize),
    ky: usize,
    kx: usize,
) -> usize {
    let o = g.options();
    let (inputs, taps) = (g.segment_inputs(segment).len(), o.kernel_h * o.kernel_w);
    let tap = ky * o.kernel_w + kx;
    g.segment_weights(segment).start
        + j * inputs * taps
        + match order {
            WeightOrder::ChannelFirst => i * taps + tap,
            WeightOrder::ChannelLast => tap * inputs + i,
        }
}

/// Calls `visit` with the places of x, w and y of every product of one image, (h, w, c).
fn products(g: &ConvGeometry, order: WeightOrder, mut visit: impl FnMut(usize, usize, usize)) {
    let (input, output, o) = (g.input(), g.output(), g.options());
    for segment in 0..o.segments {
        for (j, out) in g.segment_outputs(segment).enumerate() {
            for (i, from) in g.segment_inputs(segment).enumerate() {
                for (row, column) in
                    (0..output.h).flat_map(|row| (0..output.w).map(move |column| (row, column)))
                {
                    for (ky, kx) in (0..o.kernel_h).flat_map(|ky| (0..o.kernel_w).map(move |kx| (ky, kx))) {
                        let y = (row * o.stride + ky * o.dilation).wrapping_sub(o.padding.top);
                        let x = (column * o.stride + kx * o.dilation).wrapping_sub(o.padding.left);
                        if y < input.h && x < input.w {
                            let place = (y * input.w + x) * input.c + from;
                            let w = weight(g, order, segment, (i, j), ky, kx);
                            visit(place, w, (row * output.w + column) * output.c + out);
                        }
                    }
                }
            }
        }
    }
}

/// y = x * w, of images one after the other.
pub(crate) fn forward(g: &ConvGeometry, order: WeightOrder, x: &[f64], w: &[f64]) -> Vec<f64> {
    let each = |x: &[f64]| {
        let mut y = vec![0.0; g.output().len()];
        products(g, order, |i, k, j| y[j] += x[i] * w[k]);
        y
    };
    x.chunks_exact(g.input().len()).flat_map(each).collect()
}

/// The gradients of x and w.
pub(crate) fn backward(
    g: &ConvGeometry,
    order: WeightOrder,
    x: &[f64],
    w: &[f64],
    dy: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; w.len()]);
    let images = x.chunks_exact(g.input().len()).zip(dx.chunks_exact_mut(g.input().len()));
    for ((x, dx), dy) in images.zip(dy.chunks_exact(g.output().len())) {
        products(g, order, |i, k, j| {
            dx[i] += dy[j] * w[k];
            dw[k] += dy[j] * x[i];
        });
    }
    (dx, dw)
}

/// The value and derivative of an activation.
pub(crate) fn activate(activation: Option<Activation>, x: f64) -> (f64, f64) {
    match activation {
        _ if x > 0.0 => (x, 1.0),
        None => (x, 1.0),
        Some(Activation::Relu) => (0.0, 0.0),
        Some(Activation::Elu) => (x.exp_m1(), x.exp()),
    }
}
