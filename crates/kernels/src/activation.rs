//! Activations, with gradients taken from the output: what the backward pass
//! needs is the map that the next operation keeps anyway.

use rayon::prelude::*;

use crate::{error::ShapeError, isa::Context, per_isa::per_isa, rows::CHUNK};

/// A function applied to every value of a map. A value that is not a number
/// stays one, so a diverged run shows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `x` above zero, `exp(x) - 1` below (Clevert, Unterthiner and Hochreiter
    /// 2016, with alpha 1).
    Elu,
}

/// `y = a(x)`, overwriting `y`. Both have the same number of values. For ELU
/// the error is below 2 units in the last place of `y`.
///
/// ```
/// use decouple_kernels::{activation::{self, Activation}, isa::Context};
/// let mut y = [0.0; 3];
/// activation::forward(&Context::best(), Activation::Relu, &[-1.0, 0.5, 2.0], &mut y)?;
/// assert_eq!(y, [0.0, 0.5, 2.0]);
/// # Ok::<(), decouple_kernels::error::ShapeError>(())
/// ```
///
/// # Errors
/// [`ShapeError`] when the lengths differ.
pub fn forward(ctx: &Context, a: Activation, x: &[f32], y: &mut [f32]) -> Result<(), ShapeError> {
    ShapeError::check("activation forward", "y", x.len(), y.len())?;
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| forward_chunk(ctx, a, x, y));
    Ok(())
}

/// `x = a(x)`.
pub fn forward_in_place(ctx: &Context, a: Activation, x: &mut [f32]) {
    x.par_chunks_mut(CHUNK).for_each(|x| forward_in_place_chunk(ctx, a, x));
}

/// `grad_x = grad_y * a'(x)`, overwriting `grad_x`, from the output `y` of the
/// forward pass: the derivative is 1 where `y > 0`; elsewhere 0 for ReLU and
/// `y + 1` for ELU.
///
/// # Errors
/// [`ShapeError`] when the lengths differ.
pub fn backward(
    ctx: &Context,
    a: Activation,
    y: &[f32],
    grad_y: &[f32],
    grad_x: &mut [f32],
) -> Result<(), ShapeError> {
    const OP: &str = "activation backward";
    ShapeError::check(OP, "grad_y", y.len(), grad_y.len())?;
    ShapeError::check(OP, "grad_x", y.len(), grad_x.len())?;
    grad_x
        .par_chunks_mut(CHUNK)
        .zip(y.par_chunks(CHUNK).zip(grad_y.par_chunks(CHUNK)))
        .for_each(|(grad_x, (y, grad_y))| backward_chunk(ctx, a, y, grad_y, grad_x));
    Ok(())
}

/// [`backward`] over its own input: `grad` holds `grad_y` before and `grad_x`
/// after.
///
/// # Errors
/// [`ShapeError`] when the lengths differ.
pub fn backward_in_place(
    ctx: &Context,
    a: Activation,
    y: &[f32],
    grad: &mut [f32],
) -> Result<(), ShapeError> {
    ShapeError::check("activation backward", "grad", y.len(), grad.len())?;
    grad.par_chunks_mut(CHUNK)
        .zip(y.par_chunks(CHUNK))
        .for_each(|(grad, y)| backward_in_place_chunk(ctx, a, y, grad));
    Ok(())
}

per_isa! {
    pub(crate) fn forward_chunk(a: Activation, x: &[f32], y: &mut [f32]) {
        match a {
            Activation::Relu => y.iter_mut().zip(x).for_each(|(y, &x)| *y = relu(x)),
            Activation::Elu => y.iter_mut().zip(x).for_each(|(y, &x)| *y = elu(x)),
        }
    }

    fn forward_in_place_chunk(a: Activation, x: &mut [f32]) {
        match a {
            Activation::Relu => x.iter_mut().for_each(|x| *x = relu(*x)),
            Activation::Elu => x.iter_mut().for_each(|x| *x = elu(*x)),
        }
    }

    fn backward_chunk(a: Activation, y: &[f32], grad_y: &[f32], grad_x: &mut [f32]) {
        let values = grad_x.iter_mut().zip(y.iter().zip(grad_y));
        match a {
            Activation::Relu => values.for_each(|(grad_x, (&y, &grad))| *grad_x = relu_gradient(y, grad)),
            Activation::Elu => values.for_each(|(grad_x, (&y, &grad))| *grad_x = elu_gradient(y, grad)),
        }
    }

    pub(crate) fn backward_in_place_chunk(a: Activation, y: &[f32], grad: &mut [f32]) {
        let values = grad.iter_mut().zip(y);
        match a {
            Activation::Relu => values.for_each(|(grad, &y)| *grad = relu_gradient(y, *grad)),
            Activation::Elu => values.for_each(|(grad, &y)| *grad = elu_gradient(y, *grad)),
        }
    }
}

#[inline(always)]
pub(crate) fn relu(x: f32) -> f32 {
    // Written so that a value that is not a number passes.
    if x <= 0.0 { 0.0 } else { x }
}

#[inline(always)]
fn relu_gradient(y: f32, grad_y: f32) -> f32 {
    if y <= 0.0 { 0.0 } else { grad_y }
}

#[inline(always)]
pub(crate) fn elu(x: f32) -> f32 {
    let negative = if x > 0.0 { 0.0 } else { x };
    if x > 0.0 { x } else { exp_minus_one(negative) }
}

#[inline(always)]
fn elu_gradient(y: f32, grad_y: f32) -> f32 {
    if y > 0.0 { grad_y } else { grad_y * (y + 1.0) }
}

/// `exp(x) - 1` for `x <= 0`, without a branch so that it vectorises. With
/// `x = n ln 2 + r` and `|r| <= ln 2 / 2` it is `2^n (exp(r) - 1) + (2^n - 1)`;
/// the Taylor polynomial of `exp(r) - 1` is exact to 2^-26 there. For small `x`
/// `n` is zero, and nothing cancels.
#[inline(always)]
fn exp_minus_one(x: f32) -> f32 {
    /// Adding it rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    /// `ln 2` in two parts; a small integer times the first is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // From here on the result rounds to -1.
    let x = if x < -18.0 { -18.0 } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    let mut tail = 1.0 / 5040.0;
    for factorial in [720.0, 120.0, 24.0, 6.0, 2.0] {
        tail = tail * r + 1.0 / factorial;
    }
    power * (r + r * r * tail) + (power - 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::isa::Isa;

    /// The definition, in f64: value and derivative.
    fn reference(a: Activation, x: f64) -> (f64, f64) {
        match a {
            _ if x > 0.0 => (x, 1.0),
            Activation::Relu => (0.0, 0.0),
            Activation::Elu => (x.exp_m1(), x.exp()),
        }
    }

    #[test]
    fn reference_derivatives_are_the_finite_differences() {
        for a in [Activation::Relu, Activation::Elu] {
            for x in [-3.0, -0.4, 0.3, 2.0] {
                let slope = (reference(a, x + 1e-5).0 - reference(a, x - 1e-5).0) / 2e-5;
                assert!((slope - reference(a, x).1).abs() < 1e-9, "{a:?} at {x}");
            }
        }
    }

    #[test]
    fn elu_is_exact_to_two_units_in_the_last_place() {
        let mut worst = 0.0_f64;
        for step in 0..400_000 {
            let x = -1e-6 * 1.000_045_f32.powi(step);
            let exact = f64::from(x).exp_m1();
            let unit = 2.0_f64.powi(exact.abs().log2().floor() as i32 - 23);
            worst = worst.max((f64::from(elu(x)) - exact).abs() / unit);
        }
        assert!(worst < 2.0, "{worst} units");
        assert_eq!(elu(f32::NEG_INFINITY), -1.0);
        assert_eq!(elu(0.0), 0.0);
        assert_eq!(elu(f32::INFINITY), f32::INFINITY);
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let ctx = Context::best();
        for a in [Activation::Relu, Activation::Elu] {
            let mut x = [f32::NAN; 19];
            forward_in_place(&ctx, a, &mut x);
            assert!(x.iter().all(|x| x.is_nan()), "{a:?}");
        }
    }

    #[test]
    fn lengths_are_checked() {
        let error = forward(&Context::best(), Activation::Relu, &[1.0], &mut [0.0; 2]).unwrap_err();
        assert_eq!(error.to_string(), "activation forward: `y` has 2 values, expected 1");
        assert!(backward(&Context::best(), Activation::Elu, &[1.0], &[1.0], &mut []).is_err());
    }

    proptest! {
        #[test]
        fn all_forms_agree_with_the_definition(x in prop::collection::vec(-20.0_f32..4.0, 0..70), seed in 1_u32..99) {
            let grad_y: Vec<f32> = (0..x.len() as u32).map(|i| (i * seed % 17) as f32 - 8.0).collect();
            for a in [Activation::Relu, Activation::Elu] {
                for ctx in Isa::available().filter_map(Context::new) {
                    let (mut y, mut grad_x) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
                    forward(&ctx, a, &x, &mut y).unwrap();
                    backward(&ctx, a, &y, &grad_y, &mut grad_x).unwrap();
                    for (i, &x) in x.iter().enumerate() {
                        let (value, slope) = reference(a, f64::from(x));
                        prop_assert!((f64::from(y[i]) - value).abs() <= 2e-7 * value.abs());
                        prop_assert!((f64::from(grad_x[i]) - slope * f64::from(grad_y[i])).abs() <= 1e-6);
                    }
                    let (mut x, mut grad) = (x.clone(), grad_y.clone());
                    forward_in_place(&ctx, a, &mut x);
                    backward_in_place(&ctx, a, &y, &mut grad).unwrap();
                    prop_assert_eq!((x, grad), (y, grad_x));
                }
            }
        }
    }
}
