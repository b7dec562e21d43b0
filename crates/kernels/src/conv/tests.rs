//! Every family on every instruction set against the reference in f64.

use std::ops::RangeInclusive;

use proptest::prelude::*;

use super::*;
use crate::{
    bf16,
    checks::{double, values},
    geometry::{ConvOptions, MapShape, Padding},
    isa::Isa,
    numerics::{Numerics, Precision},
    reference,
};

/// Sums of `terms` products of values below one, rounded `terms` times.
#[track_caller]
fn assert_close(found: &[f32], expected: &[f64], terms: usize, what: &str) {
    assert_eq!(found.len(), expected.len());
    let tolerance = f64::from(f32::EPSILON) * (terms as f64 + 4.0);
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - expected).abs();
        assert!(error <= tolerance, "{what}: value {i} is {found}, expected {expected}");
    }
}

/// The three results of one geometry. Results start as NaN, so that a value
/// nobody writes is found.
pub(super) fn all_three(ctx: &Context, g: &ConvGeometry, batch: usize) -> [Vec<f32>; 3] {
    let x = values(1, batch * g.input().len());
    let weights = values(2, g.weight_count());
    let grad_y = values(3, batch * g.output().len());
    let mut y = vec![f32::NAN; grad_y.len()];
    let mut grad_x = vec![f32::NAN; x.len()];
    let mut grad_weights = vec![f32::NAN; weights.len()];
    // Scratch holds whatever the last call left: make that visible too.
    for len in [x.len(), weights.len(), 16, 64, 1024] {
        ctx.pool.take(len).fill(f32::NAN);
    }
    forward(ctx, g, &x, &weights, &mut y).unwrap();
    backward_input(ctx, g, &grad_y, &weights, &mut grad_x).unwrap();
    backward_weights(ctx, g, &x, &grad_y, &mut grad_weights).unwrap();
    [y, grad_x, grad_weights]
}

#[track_caller]
fn check(g: &ConvGeometry, batch: usize) {
    let x = double(&values(1, batch * g.input().len()));
    let weights = double(&values(2, g.weight_count()));
    let grad_y = double(&values(3, batch * g.output().len()));
    let y = reference::conv_forward(g, &x, &weights);
    let grad_x = reference::conv_backward_input(g, &grad_y, &weights);
    let grad_weights = reference::conv_backward_weights(g, &x, &grad_y);
    let (o, taps) = (g.options(), g.options().kernel_h * g.options().kernel_w);
    for ctx in Isa::available().filter_map(Context::new) {
        let found = all_three(&ctx, g, batch);
        let what = |name| format!("{name} by {:?} on {}, {g:?}", path(g, batch, &ctx), ctx.isa().name());
        assert_close(&found[0], &y, taps * g.input().c.div_ceil(o.groups), &what("forward"));
        assert_close(&found[1], &grad_x, taps * g.output().c.div_ceil(o.groups), &what("backward_input"));
        assert_close(&found[2], &grad_weights, batch * g.output().pixels(), &what("backward_weights"));
    }
}

/// A geometry made of the numbers, with padding and groups brought into range.
pub(super) fn geometry(
    (h, w): (usize, usize),
    (in_c, out_c, groups): (usize, usize, usize),
    (kernel_h, kernel_w, stride, dilation): (usize, usize, usize, usize),
    padding: [usize; 4],
) -> Option<ConvGeometry> {
    let clamp = |p: usize, kernel: usize| p.min((kernel - 1) * dilation);
    let [top, bottom, left, right] = padding;
    let padding = Padding {
        top: clamp(top, kernel_h),
        bottom: clamp(bottom, kernel_h),
        left: clamp(left, kernel_w),
        right: clamp(right, kernel_w),
    };
    let groups = groups.min(in_c).min(out_c);
    let options = ConvOptions { kernel_h, kernel_w, stride, dilation, padding, groups };
    ConvGeometry::new(MapShape::new(h, w, in_c), out_c, options).ok()
}

/// Geometries of the fast families: stride and dilation one, square kernels.
fn same_size(
    channels: RangeInclusive<usize>,
    kernels: &'static [usize],
) -> impl Strategy<Value = ConvGeometry> {
    let kernel = prop::sample::select(kernels);
    ((1..=7usize, 1..=19usize), channels, 1..=70usize, kernel).prop_map(|(map, c, groups, kernel)| {
        let options = ConvOptions::spatial(kernel, groups.min(c));
        ConvGeometry::new(MapShape::new(map.0, map.1, c), c, options).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_geometry_equals_the_reference(
        map in (1..=9usize, 1..=9usize),
        channels in (1..=40usize, 1..=40usize, 1..=40usize),
        kernel in (1..=5usize, 1..=5usize, 1..=4usize, 1..=3usize),
        padding in prop::array::uniform4(0..=8usize),
        batch in 1..=3usize,
    ) {
        if let Some(g) = geometry(map, channels, kernel, padding) {
            check(&g, batch);
        }
    }

    #[test]
    fn segments_equal_the_reference(g in same_size(1..=70, &[3, 5, 7]), batch in 1..=2usize) {
        check(&g, batch);
    }

    #[test]
    fn pointwise_equals_the_reference(
        map in (1..=6usize, 1..=6usize), in_c in 1..=80usize, out_c in 1..=80usize, batch in 1..=20usize,
    ) {
        let g = ConvGeometry::new(MapShape::new(map.0, map.1, in_c), out_c, ConvOptions::pointwise()).unwrap();
        for ctx in Isa::available().filter_map(Context::new) {
            prop_assert_eq!(path(&g, batch, &ctx), Path::Pointwise);
        }
        check(&g, batch);
    }
}

/// bf16 rounds the factors of 1x1 convolutions, and no others.
#[test]
fn bf16_is_the_reference_of_rounded_factors() {
    let pointwise = |h, in_c, out_c| {
        ConvGeometry::new(MapShape::new(h, 7, in_c), out_c, ConvOptions::pointwise()).unwrap()
    };
    let rounded = |values: Vec<f32>| double(&bf16::rounded(&Context::best(), &values));
    // One strip; several strips and blocks.
    for (g, batch) in [(pointwise(3, 37, 21), 2), (pointwise(40, 70, 65), 9)] {
        let x = rounded(values(1, batch * g.input().len()));
        let weights = rounded(values(2, g.weight_count()));
        let grad_y = rounded(values(3, batch * g.output().len()));
        let exact = [
            reference::conv_forward(&g, &x, &weights),
            reference::conv_backward_input(&g, &grad_y, &weights),
            reference::conv_backward_weights(&g, &x, &grad_y),
        ];
        for ctx in Isa::available().filter_map(Context::new) {
            let ctx = ctx.with(Numerics { precision: Precision::Bf16, ..Numerics::default() });
            let found = all_three(&ctx, &g, batch);
            for (found, exact) in found.iter().zip(&exact) {
                assert_close(found, exact, batch * g.output().pixels(), ctx.isa().name());
            }
        }
    }
    let spatial = geometry((5, 6), (20, 20, 1), (3, 3, 1, 1), [1; 4]).unwrap();
    let ctx = Context::best();
    let rounding = ctx.clone().with(Numerics { precision: Precision::Bf16, ..Numerics::default() });
    assert_eq!(all_three(&rounding, &spatial, 2), all_three(&ctx, &spatial, 2));
}

/// Checks `g` once for each number of segments of interest of 24 channels.
#[test]
fn every_segment_count_of_a_small_map_equals_the_reference() {
    for groups in 1..=24 {
        check(&ConvGeometry::new(MapShape::new(5, 6, 24), 24, ConvOptions::spatial(3, groups)).unwrap(), 2);
    }
}

#[test]
fn extreme_shapes_equal_the_reference() {
    let one_pixel = geometry((1, 1), (3, 5, 2), (3, 3, 1, 1), [1; 4]).unwrap();
    let one_channel = geometry((9, 33), (1, 1, 1), (3, 3, 1, 1), [1; 4]).unwrap();
    let stem = geometry((15, 15), (3, 32, 1), (3, 3, 2, 1), [0, 1, 0, 1]).unwrap();
    let strided_skip = geometry((8, 9), (20, 70, 1), (1, 1, 2, 1), [0; 4]).unwrap();
    let stride_beyond_kernel = geometry((11, 10), (6, 6, 3), (2, 1, 4, 1), [0; 4]).unwrap();
    let long_kernel = geometry((3, 20), (4, 4, 4), (1, 9, 1, 1), [0, 0, 8, 2]).unwrap();
    let many_inputs = geometry((2, 3), (900, 65, 1), (3, 3, 1, 1), [1; 4]).unwrap();
    for g in [one_pixel, one_channel, stem, strided_skip, stride_beyond_kernel, long_kernel, many_inputs] {
        check(&g, 3);
    }
}

/// Runs `g` and gives its three results with the inputs they came from.
fn results_of(g: &ConvGeometry, x: &[f32], weights: &[f32], grad_y: &[f32]) -> [Vec<f32>; 3] {
    let ctx = Context::best();
    let mut results = [vec![0.0; grad_y.len()], vec![0.0; x.len()], vec![0.0; weights.len()]];
    forward(&ctx, g, x, weights, &mut results[0]).unwrap();
    backward_input(&ctx, g, grad_y, weights, &mut results[1]).unwrap();
    backward_weights(&ctx, g, x, grad_y, &mut results[2]).unwrap();
    results
}

/// Channels `range` of each pixel of a map of `c` channels.
fn channels(map: &[f32], c: usize, range: std::ops::Range<usize>) -> Vec<f32> {
    map.chunks(c).flat_map(|pixel| &pixel[range.clone()]).copied().collect()
}

/// The paper's reading of S segments: S separate convolutions of their own
/// channels, concatenated. S = 1 is a dense convolution of all channels and
/// S = C is a depthwise one, each its own loop here.
#[test]
fn segments_are_separate_convolutions_side_by_side() {
    let (map, c) = (MapShape::new(6, 7, 11), 11);
    for segments in [1, 3, 11] {
        let g = ConvGeometry::new(map, c, ConvOptions::spatial(3, segments)).unwrap();
        let x = values(5, 2 * map.len());
        let weights = values(6, g.weight_count());
        let grad_y = values(7, 2 * map.len());
        let whole = results_of(&g, &x, &weights, &grad_y);
        for segment in 0..segments {
            let range = g.group_inputs(segment);
            let own_map = MapShape::new(map.h, map.w, range.len());
            let own = ConvGeometry::new(own_map, range.len(), ConvOptions::spatial(3, 1)).unwrap();
            let own_weights = &weights[g.group_weights(segment)];
            let (own_x, own_grad) = (channels(&x, c, range.clone()), channels(&grad_y, c, range.clone()));
            let separate = results_of(&own, &own_x, own_weights, &own_grad);
            let terms = (9 * range.len()).max(2 * map.pixels());
            assert_close(&channels(&whole[0], c, range.clone()), &double(&separate[0]), terms, "forward");
            assert_close(&channels(&whole[1], c, range), &double(&separate[1]), terms, "backward_input");
            let own_grad_weights = &whole[2][g.group_weights(segment)];
            assert_close(own_grad_weights, &double(&separate[2]), terms, "backward_weights");
        }
    }
}

/// S = C against a depthwise convolution written as four plain loops.
#[test]
fn one_channel_a_segment_is_depthwise() {
    let (h, w, c) = (5, 6, 20);
    let g = ConvGeometry::new(MapShape::new(h, w, c), c, ConvOptions::spatial(3, c)).unwrap();
    let (x, weights) = (values(8, g.input().len()), values(9, g.weight_count()));
    let mut y = vec![0.0; x.len()];
    forward(&Context::best(), &g, &x, &weights, &mut y).unwrap();
    let at = |row: usize, column: usize, channel: usize| {
        let inside = (1..=h).contains(&row) && (1..=w).contains(&column);
        if inside { f64::from(x[((row - 1) * w + column - 1) * c + channel]) } else { 0.0 }
    };
    let mut expected = Vec::new();
    for row in 0..h {
        for column in 0..w {
            for channel in 0..c {
                let tap =
                    |t: usize| f64::from(weights[channel * 9 + t]) * at(row + t / 3, column + t % 3, channel);
                expected.push((0..9).map(tap).sum());
            }
        }
    }
    assert_close(&y, &expected, 9, "depthwise");
}

#[test]
fn one_and_two_threads_give_the_same_bits() {
    let geometries = [
        geometry((16, 16), (32, 32, 8), (3, 3, 1, 1), [1; 4]),
        geometry((16, 16), (32, 32, 32), (3, 3, 1, 1), [1; 4]),
        geometry((13, 11), (40, 40, 2), (3, 3, 1, 1), [1; 4]),
        geometry((17, 9), (24, 24, 12), (3, 3, 2, 1), [1; 4]),
        geometry((16, 16), (48, 64, 1), (1, 1, 1, 1), [0; 4]),
        geometry((33, 40), (3, 16, 1), (3, 3, 2, 1), [1; 4]),
    ];
    for g in geometries.into_iter().flatten() {
        for batch in [1, 11] {
            let on = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| all_three(&Context::best(), &g, batch))
            };
            let (one, two) = (on(1), on(2));
            let bits =
                |results: &[Vec<f32>; 3]| results.concat().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&one), bits(&two), "{g:?}");
        }
    }
}

#[test]
fn the_second_call_takes_nothing_from_the_system() {
    let g = geometry((9, 9), (24, 24, 6), (3, 3, 1, 1), [1; 4]).unwrap();
    let ctx = Context::best();
    let call = || {
        let x = values(1, 4 * g.input().len());
        let weights = values(2, g.weight_count());
        let (mut y, mut grad) = (vec![0.0; x.len()], vec![0.0; weights.len()]);
        forward(&ctx, &g, &x, &weights, &mut y).unwrap();
        backward_weights(&ctx, &g, &x, &y, &mut grad).unwrap();
        ctx.pool.peak_bytes()
    };
    // How much scratch is out at a time depends on how threads meet; one meets none.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let bytes = pool.install(|| [call(), call()]);
    assert!(bytes[0] > 0);
    assert_eq!(bytes[0], bytes[1]);
}

#[test]
fn slices_that_do_not_fit_are_refused() {
    let g = geometry((4, 4), (2, 3, 1), (3, 3, 1, 1), [1; 4]).unwrap();
    let ctx = Context::best();
    let (x, weights, mut y) = (vec![0.0; 64], vec![0.0; 54], vec![0.0; 96]);
    assert_eq!(forward(&ctx, &g, &x, &weights, &mut y), Ok(()));
    let refused = |result: Result<(), ShapeError>| result.unwrap_err().to_string();
    assert_eq!(
        refused(forward(&ctx, &g, &x[1..], &weights, &mut y)),
        "conv forward: `x` has 63 values, expected 64"
    );
    assert_eq!(
        refused(backward_input(&ctx, &g, &y[..48], &weights, &mut vec![0.0; 64])),
        "conv backward_input: `grad_y` has 48 values, expected 96"
    );
    assert_eq!(
        refused(backward_weights(&ctx, &g, &x, &y, &mut vec![0.0; 53])),
        "conv backward_weights: `grad_weights` has 53 values, expected 54"
    );
    let mut grad_weights = vec![f32::NAN; 54];
    backward_weights(&ctx, &g, &[], &[], &mut grad_weights).unwrap();
    assert!(grad_weights.iter().all(|&v| v == 0.0), "a batch of none has no gradient");
}
