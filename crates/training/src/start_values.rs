//! Initial values of parameters.

use decouple_datasets::seeds::{derive_seed, stream};
use decouple_kernels::{
    arithmetic::Arithmetic,
    geometry::{ConvGeometry, ConvOptions},
};
use decouple_spectrum::{
    backend::{Backend, ExecutionError, Executor},
    graph::{Graph, Op, ParameterSpec, Role},
};
use rand_chacha::{ChaCha8Rng, rand_core::Rng};

/// `graph` on `backend`, with initial values drawn from `seed`.
///
/// # Errors
/// [`ExecutionError`] if the device does not take it.
pub fn start(
    graph: &Graph,
    seed: u64,
    backend: &dyn Backend,
    arithmetic: Arithmetic,
) -> Result<Box<dyn Executor>, ExecutionError> {
    let mut values = start_values(graph, seed).into_iter();
    backend.network(graph.clone(), arithmetic, &mut |_| values.next().unwrap_or_default())
}

/// Initial values of every parameter of `graph`, in its order.
///
/// Each is a function of the run's seed and of the parameter's name alone:
/// adding a layer changes no other layer's start. Weights are normal with
/// variance 2 / fan-in in convolutions (He et al. 2015, equation 10) and
/// 1 / fan-in in dense layers; scales and running variances are one, everything
/// else is zero. The fan-in of a segmented convolution is that of each segment,
/// which differs between segments of different size.
pub fn start_values(graph: &Graph, seed: u64) -> Vec<Vec<f32>> {
    let mut values: Vec<Vec<f32>> = graph.parameters.iter().map(|spec| unscaled(spec, seed)).collect();
    for node in &graph.nodes {
        if let Op::Conv { geometry, weights, .. } = &node.op {
            scale_by_fan_in(geometry, &mut values[weights.0]);
        }
    }
    values
}

/// Initial values of one parameter; those of a convolution not yet scaled.
fn unscaled(spec: &ParameterSpec, seed: u64) -> Vec<f32> {
    match spec.role {
        Role::ConvWeight => normal(spec, seed, 1.0),
        Role::LinearWeight => normal(spec, seed, (1.0 / spec.fan_in.max(1) as f64).sqrt()),
        Role::Gamma | Role::RunningVariance => vec![1.0; spec.len()],
        Role::Bias | Role::Beta | Role::RunningMean => vec![0.0; spec.len()],
    }
}

fn scale_by_fan_in(geometry: &ConvGeometry, weights: &mut [f32]) {
    let ConvOptions { kernel_h, kernel_w, segments, .. } = *geometry.options();
    for segment in 0..segments {
        let fan_in = geometry.segment_inputs(segment).len() * kernel_h * kernel_w;
        let deviation = (2.0 / fan_in as f64).sqrt() as f32;
        weights[geometry.segment_weights(segment)].iter_mut().for_each(|weight| *weight *= deviation);
    }
}

fn normal(spec: &ParameterSpec, seed: u64, deviation: f64) -> Vec<f32> {
    let mut random = stream(derive_seed(seed, &format!("start {}", spec.name), 0, 0));
    let mut values = Vec::with_capacity(spec.len() + 1);
    while values.len() < spec.len() {
        // Box and Muller 1958: two normals from two uniforms, the first not zero.
        let radius = (-2.0 * libm::log(1.0 - uniform(&mut random))).sqrt();
        let (sine, cosine) = libm::sincos(std::f64::consts::TAU * uniform(&mut random));
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
    use decouple_kernels::geometry::MapShape;
    use decouple_spectrum::{
        network::NetworkSpec,
        segments::{SegmentSchedule, Segments},
    };

    use super::*;

    fn graph(segments: usize) -> Graph {
        let segments = SegmentSchedule::Uniform(Segments::Count(segments));
        let spec = NetworkSpec { segments, ..NetworkSpec::default() };
        spec.graph(MapShape::new(28, 28, 1), 10).expect("the default network")
    }

    fn deviation(values: &[f32]) -> f64 {
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        (values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n).sqrt()
    }

    #[test]
    fn each_segment_has_the_deviation_of_its_own_fan_in() {
        // 64 channels in 3 segments: 22, 21, 21.
        let graph = graph(3);
        let values = start_values(&graph, 3);
        let node = graph.nodes.iter().find(|node| node.name == "middle.0.module0.spatial").expect("a layer");
        let Op::Conv { geometry, weights, .. } = &node.op else { panic!("a convolution") };
        for (segment, channels) in [(0, 22), (2, 21)] {
            let found = deviation(&values[weights.0][geometry.segment_weights(segment)]);
            let expected = (2.0 / (9.0 * f64::from(channels))).sqrt();
            assert!((found / expected - 1.0).abs() < 0.03, "segment {segment}: {found} against {expected}");
        }
    }

    #[test]
    fn dense_weights_scales_and_shifts() {
        let graph = graph(1);
        let values = start_values(&graph, 3);
        for (spec, values) in graph.parameters.iter().zip(&values) {
            assert_eq!(values.len(), spec.len());
            match spec.role {
                Role::ConvWeight => {}
                Role::LinearWeight => assert!((deviation(values) * 128f64.sqrt() - 1.0).abs() < 0.06),
                Role::Gamma | Role::RunningVariance => assert!(values.iter().all(|&v| v == 1.0)),
                Role::Bias | Role::Beta | Role::RunningMean => assert!(values.iter().all(|&v| v == 0.0)),
            }
        }
    }

    #[test]
    fn start_values_depend_on_seed_and_name() {
        let (graph, other) = (graph(1), graph(8));
        let values = start_values(&graph, 0);
        assert_eq!(values, start_values(&graph, 0));
        assert_ne!(values, start_values(&graph, 1));
        // The stem is the same layer at both points of the spectrum.
        assert_eq!(values[0], start_values(&other, 0)[0]);
        assert_ne!(values[1][..8], values[0][..8]);
    }
}
