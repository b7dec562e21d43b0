//! Random numbers for augmentation, the same on every machine, since logarithms and the like
//! come from libm and not from the system.

use rand_chacha::rand_core::Rng;

/// A number in [0, 1), from 53 random bits.
pub(crate) fn unit(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// A number between `low` and `high`.
pub(crate) fn between(rng: &mut impl Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * unit(rng)
}

/// A whole number in `0..bound`; 0 if `bound` is 0.
pub(crate) fn below(rng: &mut impl Rng, bound: usize) -> usize {
    crate::seeds::uniform_below(rng, u32::try_from(bound).unwrap_or(u32::MAX)) as usize
}

/// Standard normal (Box and Muller 1958).
fn normal(rng: &mut impl Rng) -> f64 {
    let (radius, angle) = (1.0 - unit(rng), unit(rng));
    libm::sqrt(-2.0 * libm::log(radius)) * libm::cos(2.0 * std::f64::consts::PI * angle)
}

/// Gamma of the given shape and scale 1 (Marsaglia and Tsang 2000, with their remedy
/// for shapes below 1).
fn gamma(rng: &mut impl Rng, shape: f64) -> f64 {
    if shape < 1.0 {
        let boost = libm::pow(1.0 - unit(rng), 1.0 / shape);
        return gamma(rng, shape + 1.0) * boost;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    loop {
        let x = normal(rng);
        let v = 1.0 + c * x;
        if v <= 0.0 {
            continue;
        }
        let v = v * v * v;
        if libm::log(1.0 - unit(rng)) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return d * v;
        }
    }
}

/// Beta with both parameters `alpha`.
pub(crate) fn beta(rng: &mut impl Rng, alpha: f64) -> f64 {
    let (a, b) = (gamma(rng, alpha), gamma(rng, alpha));
    // Both may underflow to 0.
    if a + b > 0.0 { a / (a + b) } else { f64::from(u8::from(rng.next_u32() & 1 == 1)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds::stream;

    #[test]
    fn beta_has_its_mean_and_variance() {
        for alpha in [0.2, 1.0, 3.0] {
            let mut rng = stream(7);
            let draws: Vec<f64> = (0..20_000).map(|_| beta(&mut rng, alpha)).collect();
            assert!(draws.iter().all(|draw| (0.0..=1.0).contains(draw)));
            let mean = draws.iter().sum::<f64>() / 20_000.0;
            let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / 20_000.0;
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!((mean - 0.5).abs() < 0.015, "{alpha}: {mean}");
            assert!((variance / expected - 1.0).abs() < 0.05, "{alpha}: {variance} {expected}");
        }
    }
}
