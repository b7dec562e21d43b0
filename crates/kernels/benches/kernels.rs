//! The kernels on maps of 16x16 pixels and 128 channels, batch 64: convolution
//! at every segment count, pointwise convolution, batch norm. Throughput is in
//! multiply-adds, or in values for the norm.
//!
//! `just bench-kernels`; the number of threads is rayon's (`RAYON_NUM_THREADS`).

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use decouple_kernels::{
    conv,
    error::ShapeError,
    geometry::{ConvGeometry, ConvOptions, MapShape},
    isa::Context,
    norm::{self, Normalization},
};

const BATCH: usize = 64;
const CHANNELS: usize = 128;
const MAP: MapShape = MapShape { h: 16, w: 16, c: CHANNELS };

fn convolutions(criterion: &mut Criterion) {
    let segments = std::iter::successors(Some(1), |&segments| (segments < CHANNELS).then_some(2 * segments));
    for segments in segments {
        convolution(criterion, &format!("conv 3x3, {segments} segments"), ConvOptions::spatial(3, segments));
    }
    convolution(criterion, "conv 1x1", ConvOptions::pointwise());
}

/// The three passes of one convolution.
fn convolution(criterion: &mut Criterion, name: &str, options: ConvOptions) {
    let ctx = Context::best();
    let geometry = ConvGeometry::new(MAP, CHANNELS, options).expect("a geometry of this file");
    let (x, weights) = (noise(BATCH * MAP.len()), noise(geometry.weight_count()));
    let (grad_y, mut y, mut grad_x, mut grad_weights) = (x.clone(), x.clone(), x.clone(), weights.clone());

    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(BATCH as u64 * geometry.macs()));
    let mut pass = |name: &str, run: &mut dyn FnMut() -> Result<(), ShapeError>| {
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| run().expect("lengths of this file"));
        });
    };
    pass("forward", &mut || conv::forward(&ctx, &geometry, &x, &weights, &mut y));
    pass("gradient of the input", &mut || {
        conv::backward_input(&ctx, &geometry, &grad_y, &weights, &mut grad_x)
    });
    pass("gradient of the weights", &mut || {
        conv::backward_weights(&ctx, &geometry, &x, &grad_y, &mut grad_weights)
    });
}

fn norms(criterion: &mut Criterion) {
    let ctx = Context::best();
    let x = noise(BATCH * MAP.len());
    let (mut y, mut grad_x) = (x.clone(), x.clone());
    let (ones, zeros) = (vec![1.0; CHANNELS], vec![0.0; CHANNELS]);
    let (mut mean, mut variance) = (zeros.clone(), zeros.clone());
    let (mut grad_gamma, mut grad_beta) = (zeros.clone(), zeros.clone());

    let mut group = criterion.benchmark_group("batch norm");
    group.throughput(Throughput::Elements(x.len() as u64));
    group.bench_function("statistics", |bencher| {
        bencher.iter(|| norm::statistics(&ctx, &x, &mut mean, &mut variance).expect("lengths of this file"));
    });
    group.bench_function("apply", |bencher| {
        bencher.iter(|| norm::apply(&ctx, &x, &ones, &zeros, &mut y).expect("lengths of this file"));
    });
    let normalization = Normalization { mean: &zeros, inverse_std: &ones, gamma: Some(&ones) };
    group.bench_function("backward", |bencher| {
        bencher.iter(|| {
            let grad_gamma = Some(&mut grad_gamma[..]);
            norm::backward(&ctx, normalization, &x, &x, &mut grad_x, grad_gamma, &mut grad_beta)
                .expect("lengths of this file");
        });
    });
}

/// `len` values that look random, between -1 and 1.
fn noise(len: usize) -> Vec<f32> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

fn short() -> Criterion {
    use std::time::Duration;
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
}

criterion_group!(name = kernels; config = short(); targets = convolutions, norms);
criterion_main!(kernels);
