//! Values that look random, for networks that are compared with each other.

use decouple_spectrum::graph::{Graph, ParameterId, Role};

/// `len` values between -1 and 1 that look random.
pub fn noise(len: usize, seed: u32) -> Vec<f32> {
    let value =
        |i: u32| (i.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503)).wrapping_mul(2_246_822_519);
    (1..=len as u32).map(|i| (value(i) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

/// Initial values of a parameter: weights to their fan-in, scales and variances about one, all else about
/// zero.
pub fn start(graph: &Graph, id: ParameterId) -> Vec<f32> {
    let spec = graph.parameter(id);
    let (scale, centre) = match spec.role {
        Role::ConvWeight | Role::LinearWeight => ((2.0 / spec.fan_in as f32).sqrt(), 0.0),
        Role::Gamma | Role::RunningVariance => (0.3, 1.0),
        _ => (0.3, 0.0),
    };
    noise(spec.len(), id.0 as u32 + 1).into_iter().map(|v| centre + scale * v).collect()
}
