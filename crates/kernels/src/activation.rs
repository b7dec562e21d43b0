//! Activations.

/// A function applied to every value of a map. NaN stays NaN, so a diverged run shows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `x` above zero, `exp(x) - 1` below (Clevert, Unterthiner and Hochreiter
    /// 2016, with alpha 1).
    Elu,
}

/// ELU; the error is below 2 units in the last place.
#[inline(always)]
pub(crate) fn elu(x: f32) -> f32 {
    let negative = if x > 0.0 { 0.0 } else { x };
    if x > 0.0 { x } else { exp_minus_one(negative) }
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
    use super::*;

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
        assert!(elu(f32::NAN).is_nan());
    }
}
