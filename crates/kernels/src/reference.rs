//! Convolution as its definition says it, in f64: what every fast path is
//! tested against. Slow, and without a trick that could hide a mistake.

use crate::geometry::ConvGeometry;

/// One product of the sum: which values of one image meet in which weight.
struct Term {
    x: usize,
    weight: usize,
    y: usize,
}

/// Calls `visit` for every product of one image's convolution.
fn for_each_term(g: &ConvGeometry, mut visit: impl FnMut(Term)) {
    let (input, output, o) = (g.input(), g.output(), g.options());
    for group in 0..o.groups {
        let (inputs, outputs) = (g.group_inputs(group), g.group_outputs(group));
        let mut weight = g.group_weights(group).start;
        for out_c in outputs {
            for in_c in inputs.clone() {
                for ky in 0..o.kernel_h {
                    for kx in 0..o.kernel_w {
                        for oy in 0..output.h {
                            for ox in 0..output.w {
                                let iy = (oy * o.stride + ky * o.dilation).wrapping_sub(o.padding.top);
                                let ix = (ox * o.stride + kx * o.dilation).wrapping_sub(o.padding.left);
                                if iy < input.h && ix < input.w {
                                    let x = (iy * input.w + ix) * input.c + in_c;
                                    let y = (oy * output.w + ox) * output.c + out_c;
                                    visit(Term { x, weight, y });
                                }
                            }
                        }
                        weight += 1;
                    }
                }
            }
        }
    }
}

/// The output of [`crate::conv::forward`], in f64.
pub fn conv_forward(g: &ConvGeometry, x: &[f64], weights: &[f64]) -> Vec<f64> {
    x.chunks(g.input().len())
        .flat_map(|x| {
            let mut y = vec![0.0; g.output().len()];
            for_each_term(g, |term| y[term.y] += weights[term.weight] * x[term.x]);
            y
        })
        .collect()
}

/// The gradient of [`crate::conv::backward_input`], in f64.
pub fn conv_backward_input(g: &ConvGeometry, grad_y: &[f64], weights: &[f64]) -> Vec<f64> {
    grad_y
        .chunks(g.output().len())
        .flat_map(|grad_y| {
            let mut grad_x = vec![0.0; g.input().len()];
            for_each_term(g, |term| grad_x[term.x] += weights[term.weight] * grad_y[term.y]);
            grad_x
        })
        .collect()
}

/// The gradient of [`crate::conv::backward_weights`], in f64.
pub fn conv_backward_weights(g: &ConvGeometry, x: &[f64], grad_y: &[f64]) -> Vec<f64> {
    let mut grad_weights = vec![0.0; g.weight_count()];
    for (x, grad_y) in x.chunks(g.input().len()).zip(grad_y.chunks(g.output().len())) {
        for_each_term(g, |term| grad_weights[term.weight] += x[term.x] * grad_y[term.y]);
    }
    grad_weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{ConvOptions, MapShape, Padding};

    fn values(len: usize, seed: usize) -> Vec<f64> {
        (0..len).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f64 / 504.5 - 1.0).collect()
    }

    fn inner(a: &[f64], b: &[f64]) -> f64 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    /// Nudges each value up and down and compares the slope of the sum
    /// `<grad_y, conv(x, weights)>` with the gradients.
    #[test]
    fn gradients_are_the_slopes_of_the_forward_pass() {
        let mut options = ConvOptions::spatial(3, 2);
        (options.stride, options.dilation) = (2, 2);
        options.padding = Padding { top: 1, bottom: 3, left: 4, right: 0 };
        let g = ConvGeometry::new(MapShape::new(5, 6, 3), 4, options).unwrap();
        let (x, weights) = (values(2 * g.input().len(), 1), values(g.weight_count(), 2));
        let grad_y = values(2 * g.output().len(), 3);
        let loss = |x: &[f64], weights: &[f64]| inner(&grad_y, &conv_forward(&g, x, weights));
        let slope = |values: &[f64], i: usize, loss: &dyn Fn(&[f64]) -> f64| {
            let mut nudged = values.to_vec();
            nudged[i] = values[i] + 0.5;
            let above = loss(&nudged);
            nudged[i] = values[i] - 0.5;
            above - loss(&nudged)
        };
        for (i, found) in conv_backward_input(&g, &grad_y, &weights).into_iter().enumerate() {
            assert!((found - slope(&x, i, &|x| loss(x, &weights))).abs() < 1e-9);
        }
        for (i, found) in conv_backward_weights(&g, &x, &grad_y).into_iter().enumerate() {
            assert!((found - slope(&weights, i, &|weights| loss(&x, weights))).abs() < 1e-9);
        }
    }

    #[test]
    fn a_sum_worked_out_by_hand() {
        // A 2x2 map, a 3x3 kernel of 1..9, padding 1: the top left output sees
        // the kernel's lower right quarter.
        let g = ConvGeometry::new(MapShape::new(2, 2, 1), 1, ConvOptions::spatial(3, 1)).unwrap();
        let kernel: Vec<f64> = (1..=9).map(f64::from).collect();
        let y = conv_forward(&g, &[1.0, 10.0, 100.0, 1000.0], &kernel);
        assert_eq!(y[0], 5.0 + 60.0 + 800.0 + 9000.0);
        assert_eq!(y[3], 1.0 + 20.0 + 400.0 + 5000.0);
    }
}
