//! A fully connected layer: the classifier at the end of a network.
//!
//! Small next to the convolutions, so plain loops over vectors: scalar products
//! forward, scaled rows added up for both gradients. Each result is summed in
//! one fixed order by one thread. Where the context asks for bf16, factors are
//! rounded to it first.

use rayon::prelude::*;

use crate::{bf16::Factor, error::ShapeError, isa::Context, numerics::Precision, per_isa::per_isa};

/// The numbers of features on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinearShape {
    /// Features of `x`.
    pub inputs: usize,
    /// Features of `y`.
    pub outputs: usize,
}

impl LinearShape {
    /// Number of weights, and multiply-adds of one row.
    pub const fn weight_count(&self) -> usize {
        self.inputs * self.outputs
    }

    /// Checks all lengths and returns the number of rows.
    fn check(
        &self,
        op: &'static str,
        x: (&'static str, usize),
        y: (&'static str, usize),
        w: (&'static str, usize),
    ) -> Result<usize, ShapeError> {
        let features = [("inputs", self.inputs), ("outputs", self.outputs)];
        if let Some((argument, _)) = features.into_iter().find(|&(_, features)| features == 0) {
            return Err(ShapeError { op, argument, expected: 1, found: 0 });
        }
        let rows = ShapeError::batch(op, x.0, self.inputs, x.1)?;
        ShapeError::check(op, y.0, rows * self.outputs, y.1)?;
        ShapeError::check(op, w.0, self.weight_count(), w.1)?;
        Ok(rows)
    }
}

/// `y[n][o] = bias[o] + sum over i of weights[o][i] * x[n][i]`, overwriting `y`.
///
/// `x` is (n, inputs), `weights` (outputs, inputs), `bias` (outputs) if there is
/// one, `y` (n, outputs). Costs `n * inputs * outputs` multiply-adds.
///
/// ```
/// use decouple_kernels::{isa::Context, linear::{self, LinearShape}};
/// let mut y = [0.0; 2];
/// let shape = LinearShape { inputs: 3, outputs: 2 };
/// let weights = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0];
/// linear::forward(&Context::best(), shape, &[1.0, 2.0, 3.0], &weights, Some(&[0.5, 0.0]), &mut y)?;
/// assert_eq!(y, [1.5, 6.0]);
/// # Ok::<(), decouple_kernels::error::ShapeError>(())
/// ```
///
/// # Errors
/// [`ShapeError`] when a side has no features, `x` is not whole rows or another
/// length does not match.
pub fn forward(
    ctx: &Context,
    shape: LinearShape,
    x: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
) -> Result<(), ShapeError> {
    const OP: &str = "linear";
    shape.check(OP, ("x", x.len()), ("y", y.len()), ("weights", weights.len()))?;
    ShapeError::check(OP, "bias", shape.outputs, bias.map_or(shape.outputs, <[f32]>::len))?;
    let rounds = ctx.numerics().precision == Precision::Bf16;
    let (x, weights) = (&*Factor::new(ctx, rounds, x), &*Factor::new(ctx, rounds, weights));
    y.par_chunks_mut(shape.outputs).zip(x.par_chunks(shape.inputs)).for_each(|(y, x)| {
        products(ctx, x, weights, y);
        if let Some(bias) = bias {
            y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
        }
    });
    Ok(())
}

/// `grad_x[n][i] = sum over o of grad_y[n][o] * weights[o][i]`, overwriting
/// `grad_x`. Shapes and cost as in [`forward`].
///
/// # Errors
/// As [`forward`].
pub fn backward_input(
    ctx: &Context,
    shape: LinearShape,
    weights: &[f32],
    grad_y: &[f32],
    grad_x: &mut [f32],
) -> Result<(), ShapeError> {
    const OP: &str = "linear input gradient";
    shape.check(OP, ("grad_x", grad_x.len()), ("grad_y", grad_y.len()), ("weights", weights.len()))?;
    let rounds = ctx.numerics().precision == Precision::Bf16;
    let (weights, grad_y) = (&*Factor::new(ctx, rounds, weights), &*Factor::new(ctx, rounds, grad_y));
    grad_x
        .par_chunks_mut(shape.inputs)
        .zip(grad_y.par_chunks(shape.outputs))
        .for_each(|(grad_x, grad_y)| combination(ctx, 0, 1, grad_y, weights, grad_x));
    Ok(())
}

/// `grad_weights[o][i] = sum over n of grad_y[n][o] * x[n][i]`, overwriting
/// `grad_weights`. Shapes and cost as in [`forward`]; the gradient of the bias
/// is [`bias_gradient`](crate::elementwise::bias_gradient).
///
/// # Errors
/// As [`forward`].
pub fn backward_weights(
    ctx: &Context,
    shape: LinearShape,
    x: &[f32],
    grad_y: &[f32],
    grad_weights: &mut [f32],
) -> Result<(), ShapeError> {
    const OP: &str = "linear weight gradient";
    shape.check(OP, ("x", x.len()), ("grad_y", grad_y.len()), ("grad_weights", grad_weights.len()))?;
    let rounds = ctx.numerics().precision == Precision::Bf16;
    let (x, grad_y) = (&*Factor::new(ctx, rounds, x), &*Factor::new(ctx, rounds, grad_y));
    grad_weights.par_chunks_mut(shape.inputs).enumerate().for_each(|(output, grad_weights)| {
        combination(ctx, output, shape.outputs, grad_y, x, grad_weights);
    });
    Ok(())
}

/// Lanes summed side by side in a scalar product.
const LANES: usize = 16;

per_isa! {
    /// The scalar products of `x` with every row of `rows`.
    fn products(x: &[f32], rows: &[f32], y: &mut [f32]) {
        let row = |index: usize| &rows[index * x.len()..][..x.len()];
        let last = y.len() - 1;
        for (group, y) in y.chunks_mut(4).enumerate() {
            // A short last group repeats the last row.
            let products = scalar_products(x, std::array::from_fn(|i| row((4 * group + i).min(last))));
            y.copy_from_slice(&products[..y.len()]);
        }
    }

    /// `sum = sum over k of factors[first + k * stride] * rows[k]`, overwriting
    /// `sum`; four rows at a time so that the sums are loaded and stored less
    /// often.
    fn combination(first: usize, stride: usize, factors: &[f32], rows: &[f32], sum: &mut [f32]) {
        let len = sum.len();
        let factor = |k: usize| factors[first + k * stride];
        sum.fill(0.0);
        let mut quads = rows.chunks_exact(4 * len);
        let whole = rows.len() / len / 4 * 4;
        for (quad, k) in (&mut quads).zip((0..).step_by(4)) {
            let (f0, f1, f2, f3) = (factor(k), factor(k + 1), factor(k + 2), factor(k + 3));
            let (r01, r23) = quad.split_at(2 * len);
            let ((r0, r1), (r2, r3)) = (r01.split_at(len), r23.split_at(len));
            for (sum, ((r0, r1), (r2, r3))) in sum.iter_mut().zip(r0.iter().zip(r1).zip(r2.iter().zip(r3))) {
                *sum += (f0 * r0 + f1 * r1) + (f2 * r2 + f3 * r3);
            }
        }
        for (row, k) in quads.remainder().chunks_exact(len).zip(whole..) {
            let factor = factor(k);
            sum.iter_mut().zip(row).for_each(|(sum, row)| *sum += factor * row);
        }
    }
}

/// The scalar products of `x` with four rows, every one summed in [`LANES`]
/// lanes that are added in order at the end.
#[inline(always)]
fn scalar_products(x: &[f32], rows: [&[f32]; 4]) -> [f32; 4] {
    let (whole, rest) = x.as_chunks::<LANES>();
    let [(r0, rest0), (r1, rest1), (r2, rest2), (r3, rest3)] = rows.map(|row| row.as_chunks::<LANES>());
    let [mut s0, mut s1, mut s2, mut s3] = [[0.0_f32; LANES]; 4];
    for ((((x, r0), r1), r2), r3) in whole.iter().zip(r0).zip(r1).zip(r2).zip(r3) {
        for lane in 0..LANES {
            s0[lane] += x[lane] * r0[lane];
            s1[lane] += x[lane] * r1[lane];
            s2[lane] += x[lane] * r2[lane];
            s3[lane] += x[lane] * r3[lane];
        }
    }
    let total = |lanes: [f32; LANES], row: &[f32]| {
        lanes.iter().sum::<f32>() + rest.iter().zip(row).map(|(x, weight)| x * weight).sum::<f32>()
    };
    [total(s0, rest0), total(s1, rest1), total(s2, rest2), total(s3, rest3)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        bf16,
        checks::{assert_close, assert_gradient, dot, double, on_all, values},
        numerics::Numerics,
    };

    fn reference(shape: LinearShape, x: &[f64], weights: &[f64], bias: &[f64]) -> Vec<f64> {
        let row = |x: &[f64]| -> Vec<f64> {
            weights.chunks(shape.inputs).zip(bias).map(|(row, bias)| dot(x, row) + bias).collect()
        };
        x.chunks(shape.inputs).flat_map(row).collect()
    }

    /// `(grad_x, grad_weights)`.
    fn reference_backward(
        shape: LinearShape,
        x: &[f64],
        weights: &[f64],
        grad_y: &[f64],
    ) -> (Vec<f64>, Vec<f64>) {
        let LinearShape { inputs, outputs } = shape;
        let (mut grad_x, mut grad_weights) = (vec![0.0; x.len()], vec![0.0; weights.len()]);
        for (k, grad) in grad_y.iter().enumerate() {
            let (n, o) = (k / outputs, k % outputs);
            for i in 0..inputs {
                grad_x[n * inputs + i] += grad * weights[o * inputs + i];
                grad_weights[o * inputs + i] += grad * x[n * inputs + i];
            }
        }
        (grad_x, grad_weights)
    }

    #[test]
    fn reference_gradients_are_the_finite_differences() {
        let shape = LinearShape { inputs: 3, outputs: 4 };
        let (x, weights) = (double(&values(1, 6)), double(&values(2, 12)));
        let (bias, grad_y) = (double(&values(3, 4)), double(&values(4, 8)));
        let (grad_x, grad_weights) = reference_backward(shape, &x, &weights, &grad_y);
        assert_gradient("x", &x, &grad_x, |x| dot(&reference(shape, x, &weights, &bias), &grad_y));
        assert_gradient("weights", &weights, &grad_weights, |w| {
            dot(&reference(shape, &x, w, &bias), &grad_y)
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn products_are_the_reference(
            inputs in prop::sample::select(vec![1_usize, 3, 15, 16, 17, 64, 131]),
            outputs in 1_usize..12,
            rows in 0_usize..12,
            with_bias: bool,
            seed in any::<u64>(),
        ) {
            let shape = LinearShape { inputs, outputs };
            let (x, weights) = (values(seed, rows * inputs), values(seed ^ 1, shape.weight_count()));
            let (bias, grad_y) = (values(seed ^ 2, outputs), values(seed ^ 3, rows * outputs));
            let bias = with_bias.then_some(&bias[..]);
            let [y, grad_x, grad_weights] = on_all(|ctx| {
                let mut results =
                    [vec![f32::NAN; grad_y.len()], vec![f32::NAN; x.len()], vec![f32::NAN; weights.len()]];
                forward(ctx, shape, &x, &weights, bias, &mut results[0]).unwrap();
                backward_input(ctx, shape, &weights, &grad_y, &mut results[1]).unwrap();
                backward_weights(ctx, shape, &x, &grad_y, &mut results[2]).unwrap();
                results
            });
            let (x, weights, grad_y) = (double(&x), double(&weights), double(&grad_y));
            let exact = reference(shape, &x, &weights, &bias.map_or(vec![0.0; outputs], double));
            assert_close("y", &y, &exact, 1e-5);
            let exact = reference_backward(shape, &x, &weights, &grad_y);
            assert_close("grad_x", &grad_x, &exact.0, 1e-5);
            assert_close("grad_weights", &grad_weights, &exact.1, 1e-5);
        }
    }

    /// Rounding first and multiplying then: the reference of rounded values.
    #[test]
    fn factors_are_rounded_where_asked() {
        let shape = LinearShape { inputs: 37, outputs: 5 };
        let (x, weights, grad_y) = (values(1, 3 * 37), values(2, shape.weight_count()), values(3, 3 * 5));
        let [y, grad_x, grad_weights] = on_all(|ctx| {
            let ctx = ctx.clone().with(Numerics { precision: Precision::Bf16, ..Numerics::default() });
            let mut results = [vec![f32::NAN; 15], vec![f32::NAN; x.len()], vec![f32::NAN; weights.len()]];
            forward(&ctx, shape, &x, &weights, None, &mut results[0]).unwrap();
            backward_input(&ctx, shape, &weights, &grad_y, &mut results[1]).unwrap();
            backward_weights(&ctx, shape, &x, &grad_y, &mut results[2]).unwrap();
            results
        });
        let rounded = |values: &[f32]| double(&bf16::rounded(&Context::best(), values));
        let (x, weights, grad_y) = (rounded(&x), rounded(&weights), rounded(&grad_y));
        assert_close("y", &y, &reference(shape, &x, &weights, &[0.0; 5]), 1e-5);
        let exact = reference_backward(shape, &x, &weights, &grad_y);
        assert_close("grad_x", &grad_x, &exact.0, 1e-5);
        assert_close("grad_weights", &grad_weights, &exact.1, 1e-5);
    }

    #[test]
    fn lengths_are_checked() {
        let (ctx, shape) = (Context::best(), LinearShape { inputs: 2, outputs: 3 });
        let error = forward(&ctx, shape, &[0.0; 4], &[0.0; 5], None, &mut [0.0; 6]).unwrap_err();
        assert_eq!(error.to_string(), "linear: `weights` has 5 values, expected 6");
        assert!(forward(&ctx, shape, &[0.0; 4], &[0.0; 6], Some(&[0.0; 2]), &mut [0.0; 6]).is_err());
        assert!(backward_input(&ctx, shape, &[0.0; 6], &[0.0; 6], &mut [0.0; 5]).is_err());
        assert!(backward_weights(&ctx, shape, &[0.0; 4], &[0.0; 6], &mut [0.0; 7]).is_err());
        let none = LinearShape { inputs: 0, outputs: 3 };
        assert_eq!(forward(&ctx, none, &[], &[], None, &mut []).unwrap_err().argument, "inputs");
    }
}
