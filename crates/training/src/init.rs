//! Start values of parameters.

use decouple_datasets::derive_seed;
use decouple_spectrum::graph::{ParameterSpec, Role};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// Start values of one parameter, a function of the run's seed and of the
/// parameter's name alone: adding a layer changes no other layer's start.
///
/// Weights of convolutions are normal with variance 2 / fan-in (He et al. 2015,
/// equation 10), of dense layers with variance 1 / fan-in; scales and running
/// variances are one, everything else is zero.
pub fn start_values(spec: &ParameterSpec, seed: u64) -> Vec<f32> {
    let fan_in = spec.fan_in.max(1) as f64;
    match spec.role {
        Role::ConvWeight => normal(spec, seed, (2.0 / fan_in).sqrt()),
        Role::LinearWeight => normal(spec, seed, (1.0 / fan_in).sqrt()),
        Role::Gamma | Role::RunningVariance => vec![1.0; spec.len()],
        Role::Bias | Role::Beta | Role::RunningMean => vec![0.0; spec.len()],
    }
}

fn normal(spec: &ParameterSpec, seed: u64, deviation: f64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(derive_seed(seed, &format!("start {}", spec.name), 0, 0));
    let mut values = Vec::with_capacity(spec.len() + 1);
    while values.len() < spec.len() {
        // Box and Muller 1958: two normals from two uniforms, the first not zero.
        let radius = (-2.0 * (1.0 - uniform(&mut random)).ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * uniform(&mut random)).sin_cos();
        values.extend([(deviation * radius * cosine) as f32, (deviation * radius * sine) as f32]);
    }
    values.truncate(spec.len());
    values
}

/// A multiple of 2^-53 in [0, 1).
fn uniform(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, role: Role) -> ParameterSpec {
        ParameterSpec { name: name.into(), shape: vec![64, 250], role, fan_in: 50 }
    }

    #[test]
    fn weights_have_the_deviation_of_their_fan_in() {
        for (role, deviation) in [(Role::ConvWeight, 0.2), (Role::LinearWeight, 0.02f64.sqrt())] {
            let values = start_values(&spec("a.weight", role), 3);
            let n = values.len() as f64;
            let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
            let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
            assert!(mean.abs() < 4.0 * deviation / n.sqrt(), "mean {mean}");
            assert!((variance.sqrt() / deviation - 1.0).abs() < 0.03, "deviation {}", variance.sqrt());
        }
    }

    #[test]
    fn start_values_depend_on_seed_and_name() {
        let a = start_values(&spec("a", Role::ConvWeight), 0);
        assert_eq!(a, start_values(&spec("a", Role::ConvWeight), 0));
        assert_ne!(a, start_values(&spec("b", Role::ConvWeight), 0));
        assert_ne!(a, start_values(&spec("a", Role::ConvWeight), 1));
    }
}
