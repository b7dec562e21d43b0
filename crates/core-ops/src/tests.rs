//! Every operation's gradients as they come off the tape, against finite
//! differences of the whole pass; and the ends of the spectrum against plain
//! convolutions. (The arithmetic of each kernel is tested against f64 in its
//! own crate; here it is the recording.)

use crate::{
    Activation, BatchNorm, Context, ConvGeometry, ConvOptions, Dropout, FeatureMap, FusedGeometry, Gradients,
    MapShape, OpError, Padding, Parameter, PoolGeometry, Recorder, RunningStatistics,
};

const BATCH: usize = 3;

/// Values in [-1, 1) from a formula, different for each `seed`.
fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

type Build<'a> = &'a dyn Fn(&mut Recorder, &FeatureMap, &[Parameter]) -> Result<FeatureMap, OpError>;

/// Loss of `build` on input `x` with parameters `ps`.
fn loss(build: Build, shape: MapShape, x: &[f32], ps: &[Vec<f32>]) -> f64 {
    let context = Context::best();
    let ps: Vec<_> = ps.iter().map(|p| Parameter::new(&context, p)).collect();
    let mut recorder = Recorder::training(&context, Gradients::default());
    let x = recorder.tracked_input(shape, x).unwrap();
    let y = build(&mut recorder, &x, &ps).unwrap();
    f64::from(recorder.cross_entropy(&y, &[0, 1, 1], 0.1).unwrap().value())
}

/// Checks the gradients of the input and of each parameter along random
/// directions: (L(p + e d) - L(p - e d)) / 2e = <gradient, d>.
fn check(build: Build, shape: MapShape, parameter_lengths: &[usize]) {
    let context = Context::best();
    let x_values = values(BATCH * shape.len(), 1);
    let p_values: Vec<_> = (2..).zip(parameter_lengths).map(|(seed, &len)| values(len, seed)).collect();
    let ps: Vec<_> = p_values.iter().map(|p| Parameter::new(&context, p)).collect();

    let mut recorder = Recorder::training(&context, Gradients::default());
    let x = recorder.tracked_input(shape, &x_values).unwrap();
    let y = build(&mut recorder, &x, &ps).unwrap();
    let mut gradients = recorder.cross_entropy(&y, &[0, 1, 1], 0.1).unwrap().backward(recorder).unwrap();

    let step = 4e-3f32;
    let moved = |base: &[f32], direction: &[f32], by: f32| -> Vec<f32> {
        base.iter().zip(direction).map(|(b, d)| b + by * d).collect()
    };
    for seed in 100..104 {
        let along = values(x_values.len(), seed);
        let difference = loss(build, shape, &moved(&x_values, &along, step), &p_values)
            - loss(build, shape, &moved(&x_values, &along, -step), &p_values);
        let gradient = x.share_gradient().unwrap().take().expect("the input has a gradient");
        let gradient = gradient.values(&context).unwrap();
        close(dot(&gradient, &along), difference / (2.0 * f64::from(step)), "input");
        x.share_gradient().unwrap().add(&context, gradient).unwrap();
        for (i, p) in ps.iter().enumerate() {
            let along = values(p_values[i].len(), seed);
            let mut changed = p_values.clone();
            changed[i] = moved(&p_values[i], &along, step);
            let mut difference = loss(build, shape, &x_values, &changed);
            changed[i] = moved(&p_values[i], &along, -step);
            difference -= loss(build, shape, &x_values, &changed);
            let gradient = gradients.of(p).expect("every parameter has a gradient");
            close(dot(gradient, &along), difference / (2.0 * f64::from(step)), "parameter");
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() < 2e-3 + 5e-3 * expected.abs(), "{what}: {found} against {expected}");
}

fn conv_geometry(shape: MapShape, out_c: usize, options: ConvOptions) -> ConvGeometry {
    ConvGeometry::new(shape, out_c, options).unwrap()
}

#[test]
fn convolutions_of_every_kind() {
    let shape = MapShape::new(5, 6, 7);
    let strided = ConvOptions {
        kernel_h: 3,
        kernel_w: 2,
        stride: 2,
        dilation: 2,
        padding: Padding { top: 1, bottom: 2, left: 0, right: 1 },
        groups: 2,
    };
    let kinds = [
        (7, ConvOptions::spatial(3, 1)),
        (7, ConvOptions::spatial(3, 3)),
        (7, ConvOptions::spatial(5, 7)),
        (4, ConvOptions::pointwise()),
        (4, ConvOptions { stride: 2, ..ConvOptions::pointwise() }),
        (4, strided),
    ];
    for (out_c, options) in kinds {
        let g = conv_geometry(shape, out_c, options);
        check(&|r, x, p| r.conv(&g, x, &p[0]), shape, &[g.weight_count()]);
    }
}

#[test]
fn pooling() {
    let shape = MapShape::new(5, 6, 3);
    let g = PoolGeometry::new(shape, 3, 2, Padding::same(shape, 3, 2, 1)).unwrap();
    check(&|r, x, _| r.max_pool(&g, x), shape, &[]);
    check(&|r, x, _| r.mean_pool(&g, true, x), shape, &[]);
    check(&|r, x, _| r.mean_pool(&g, false, x), shape, &[]);
    check(&|r, x, _| r.global_mean_pool(x), shape, &[]);
}

#[test]
fn normalisation_activations_and_dropout() {
    let shape = MapShape::new(3, 2, 4);
    check(
        &|r, x, p| {
            let layer = BatchNorm { gamma: Some(&p[0]), beta: &p[1], epsilon: 1e-3, momentum: 0.1 };
            let y = r.batch_norm(x, layer, &mut RunningStatistics::new(4))?;
            r.activation(Activation::Elu, &y)
        },
        shape,
        &[4, 4],
    );
    check(
        &|r, x, p| {
            let layer = BatchNorm { gamma: None, beta: &p[0], epsilon: 1e-3, momentum: 0.1 };
            r.batch_norm(x, layer, &mut RunningStatistics::new(4))
        },
        shape,
        &[4],
    );
    check(&|r, x, _| r.activation(Activation::Elu, x), shape, &[]);
    check(&|r, x, _| r.dropout(Dropout::new(0.4, 9)?, x), shape, &[]);
}

#[test]
fn relu_passes_gradients_where_positive() {
    let shape = MapShape::new(3, 2, 4);
    // Far from zero on both sides, where a finite difference is one-sided.
    let away = |r: &mut Recorder, x: &FeatureMap| {
        let shifted: Vec<f32> = (0..4).map(|c| if c % 2 == 0 { 2.0 } else { -2.0 }).collect();
        let bias = Parameter::new(r.context(), &shifted);
        r.add_bias(x, &bias)
    };
    check(
        &|r, x, _| {
            let x = away(r, x)?;
            r.activation(Activation::Relu, &x)
        },
        shape,
        &[],
    );
}

#[test]
fn joins_and_shared_inputs() {
    let shape = MapShape::new(4, 3, 5);
    let (a, b) = (
        conv_geometry(shape, 5, ConvOptions::spatial(3, 2)),
        conv_geometry(shape, 2, ConvOptions::pointwise()),
    );
    check(
        &|r, x, p| {
            let left = r.conv(&a, x, &p[0])?;
            let sum = r.add(&left, x)?;
            let twice = r.add(&sum, &sum)?;
            let narrow = r.conv(&b, &twice, &p[1])?;
            r.concat(&[&narrow, x, &sum])
        },
        shape,
        &[a.weight_count(), b.weight_count()],
    );
    // One parameter, used twice: its gradients add up.
    check(
        &|r, x, p| {
            let once = r.conv(&a, x, &p[0])?;
            r.conv(&a, &once, &p[0])
        },
        shape,
        &[a.weight_count()],
    );
}

#[test]
fn dense_layers() {
    let shape = MapShape::new(2, 3, 4);
    check(
        &|r, x, p| {
            let y = r.linear(x, &p[0])?;
            r.add_bias(&y, &p[1])
        },
        shape,
        &[24 * 5, 5],
    );
}

/// Output, and gradients of the input and of the weights, for a loss that
/// depends on every output differently.
fn outcome(build: Build, shape: MapShape, weights: &[Vec<f32>]) -> [Vec<f32>; 3] {
    let context = Context::best();
    let ps: Vec<_> = weights.iter().map(|w| Parameter::new(&context, w)).collect();
    let mut recorder = Recorder::training(&context, Gradients::default());
    let x = recorder.tracked_input(shape, &values(BATCH * shape.len(), 5)).unwrap();
    let y = build(&mut recorder, &x, &ps).unwrap();
    let output = y.values().unwrap().to_vec();
    let mut gradients = recorder.cross_entropy(&y, &[3, 7, 20], 0.0).unwrap().backward(recorder).unwrap();
    let grad_x = x.share_gradient().unwrap().take().unwrap().values(&context).unwrap().to_vec();
    let grad_w = ps.iter().flat_map(|p| gradients.of(p).unwrap().to_vec()).collect();
    [output, grad_x, grad_w]
}

fn assert_same(a: &[Vec<f32>; 3], b: &[Vec<f32>; 3]) {
    for ((a, b), what) in a.iter().zip(b).zip(["output", "gradient of the input", "gradient of the weights"])
    {
        assert_eq!(a.len(), b.len(), "{what}");
        let scale = a.iter().fold(0f32, |m, v| m.max(v.abs()));
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() <= 1e-5 * scale, "{what}: {a} against {b}");
        }
    }
}

/// The paper's figure 3: one 1x1 convolution followed by spatial convolutions
/// over segments is the same as separate towers, concatenated. Two segments of
/// 3 and one of 2 channels, so uneven ones too; forward and every gradient.
#[test]
fn three_segments_are_three_towers() {
    let (shape, c) = (MapShape::new(5, 4, 6), 8);
    let pointwise = conv_geometry(shape, c, ConvOptions::pointwise());
    let segmented = conv_geometry(pointwise.output(), c, ConvOptions::spatial(3, 3));
    let (w1, w3) = (values(pointwise.weight_count(), 1), values(segmented.weight_count(), 2));
    let whole = outcome(
        &|r, x, p| {
            let y = r.conv(&pointwise, x, &p[0])?;
            r.conv(&segmented, &y, &p[1])
        },
        shape,
        &[w1.clone(), w3.clone()],
    );

    let sizes: Vec<usize> = (0..3).map(|s| segmented.group_outputs(s).len()).collect();
    assert_eq!(sizes, [3, 3, 2]);
    let narrow: Vec<_> = sizes.iter().map(|&n| conv_geometry(shape, n, ConvOptions::pointwise())).collect();
    let spatial: Vec<_> =
        narrow.iter().map(|g| conv_geometry(g.output(), g.output().c, ConvOptions::spatial(3, 1))).collect();
    let mut weights: Vec<Vec<f32>> = (0..3)
        .map(|s| {
            let rows = segmented.group_outputs(s);
            w1[rows.start * shape.c..rows.end * shape.c].to_vec()
        })
        .collect();
    weights.extend((0..3).map(|s| w3[segmented.group_weights(s)].to_vec()));
    let towers = outcome(
        &|r, x, p| {
            let mut towers = Vec::new();
            for s in 0..3 {
                let y = r.conv(&narrow[s], x, &p[s])?;
                towers.push(r.conv(&spatial[s], &y, &p[3 + s])?);
            }
            r.concat(&towers.iter().collect::<Vec<_>>())
        },
        shape,
        &weights,
    );
    assert_same(&whole, &towers);
}

/// Both ends of the spectrum against convolutions written out by hand: S = 1
/// sums over all channels, S = C over one.
#[test]
fn the_ends_are_regular_and_depthwise_convolution() {
    let shape = MapShape::new(4, 5, 6);
    for segments in [1, 6] {
        let g = conv_geometry(shape, 6, ConvOptions::spatial(3, segments));
        let weights = values(g.weight_count(), 3);
        let [output, grad_x, grad_w] =
            outcome(&|r, x, p| r.conv(&g, x, &p[0]), shape, std::slice::from_ref(&weights));
        let x = values(BATCH * shape.len(), 5);
        let grad_y = gradient_of_loss(&output, shape.len());
        let per_group = 6 / segments;
        let mut expected = [vec![0.0; output.len()], vec![0.0; grad_x.len()], vec![0.0; grad_w.len()]];
        let at = |n: usize, y: usize, x: usize, c: usize| ((n * shape.h + y) * shape.w + x) * shape.c + c;
        for n in 0..BATCH {
            for (oy, ox, o) in pixels(shape) {
                for (dy, dx, i) in pixels(MapShape::new(3, 3, per_group)) {
                    let (iy, ix) = ((oy + dy).wrapping_sub(1), (ox + dx).wrapping_sub(1));
                    if iy >= shape.h || ix >= shape.w {
                        continue;
                    }
                    let w = (o * per_group + i) * 9 + dy * 3 + dx;
                    let from = at(n, iy, ix, o / per_group * per_group + i);
                    expected[0][at(n, oy, ox, o)] += x[from] * weights[w];
                    expected[1][from] += grad_y[at(n, oy, ox, o)] * weights[w];
                    expected[2][w] += grad_y[at(n, oy, ox, o)] * x[from];
                }
            }
        }
        assert_same(&expected, &[output, grad_x, grad_w]);
    }
}

fn pixels(shape: MapShape) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..shape.len()).map(move |i| (i / (shape.w * shape.c), i / shape.c % shape.w, i % shape.c))
}

/// (softmax - target) / n, for the labels of `outcome`.
fn gradient_of_loss(output: &[f32], classes: usize) -> Vec<f32> {
    let rows = output.chunks(classes).zip([3usize, 7, 20]);
    rows.flat_map(|(row, label)| {
        let largest = row.iter().fold(f32::MIN, |a, &b| a.max(b));
        let sum: f32 = row.iter().map(|v| (v - largest).exp()).sum();
        let share = move |(k, v): (usize, &f32)| {
            ((v - largest).exp() / sum - if k == label { 1.0 } else { 0.0 }) / BATCH as f32
        };
        row.iter().enumerate().map(share).collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn inference_uses_running_statistics_and_drops_nothing() {
    let context = Context::best();
    let mut recorder = Recorder::inference(&context);
    let shape = MapShape::new(1, 1, 2);
    let x = recorder.input(shape, &[1.0, 2.0]).unwrap();
    let (gamma, beta) = (Parameter::new(&context, &[2.0, 1.0]), Parameter::new(&context, &[0.0, 5.0]));
    let layer = BatchNorm { gamma: Some(&gamma), beta: &beta, epsilon: 0.0, momentum: 0.1 };
    let mut running = RunningStatistics { mean: vec![0.0, 2.0], variance: vec![4.0, 1.0] };
    let before = running.clone();
    let y = recorder.batch_norm(&x, layer, &mut running).unwrap();
    assert_eq!(y.values().unwrap(), [1.0, 5.0]);
    assert_eq!(running, before);
    let y = recorder.dropout(Dropout::new(0.5, 0).unwrap(), &y).unwrap();
    assert_eq!(y.values().unwrap(), [1.0, 5.0]);
}

#[test]
fn gradients_are_cleared_and_their_memory_kept() {
    let context = Context::best();
    let g = conv_geometry(MapShape::new(3, 3, 2), 2, ConvOptions::spatial(3, 1));
    let weights = Parameter::new(&context, &values(g.weight_count(), 1));
    let mut gradients = Gradients::default();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let mut recorder = Recorder::training(&context, gradients);
        let x = recorder.input(g.input(), &values(3 * g.input().len(), 7)).unwrap();
        let y = recorder.conv(&g, &x, &weights).unwrap();
        gradients = recorder.cross_entropy(&y, &[0, 1, 2], 0.0).unwrap().backward(recorder).unwrap();
        seen.push(gradients.of(&weights).unwrap().to_vec());
        gradients.clear([&weights]);
        assert!(gradients.of(&weights).is_none());
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
}

#[test]
fn wrong_arguments_are_refused() {
    let context = Context::best();
    let mut recorder = Recorder::inference(&context);
    let x = recorder.input(MapShape::new(2, 2, 1), &[0.0; 8]).unwrap();
    let y = recorder.input(MapShape::new(2, 2, 1), &[0.0; 4]).unwrap();
    let z = recorder.input(MapShape::new(4, 1, 1), &[0.0; 8]).unwrap();
    assert!(matches!(recorder.add(&x, &y), Err(OpError::Batch { expected: 2, found: 1, .. })));
    assert!(matches!(recorder.add(&x, &z), Err(OpError::Map { .. })));
    assert!(matches!(recorder.concat(&[]), Err(OpError::Shape(_))));
    assert!(recorder.input(MapShape::new(2, 2, 1), &[0.0; 7]).is_err());
    assert!(matches!(recorder.cross_entropy(&x, &[0], 0.0), Err(OpError::Batch { .. })));
    let error = recorder.cross_entropy(&x, &[0, 4], 0.0).unwrap_err();
    assert_eq!(error.to_string(), "cross entropy: label 4 of image 1, with 4 classes");
    let g = conv_geometry(MapShape::new(2, 2, 1), 1, ConvOptions::spatial(3, 1));
    let weights = Parameter::new(&context, &[0.0; 8]);
    assert!(matches!(recorder.conv(&g, &x, &weights), Err(OpError::Shape(_))));
    assert!(matches!(recorder.conv(&g, &z, &weights), Err(OpError::Map { .. })));
}

/// Two modules in a chain, each behind a batch norm and an activation: logits,
/// and the gradients of every parameter.
fn chain(fuses: bool, between: Option<Activation>) -> Vec<Vec<f32>> {
    let (map, images, c) = (MapShape::new(5, 6, 12), 9, 12);
    let pointwise = ConvGeometry::new(map, c, ConvOptions::pointwise()).unwrap();
    let spatial = ConvGeometry::new(map, c, ConvOptions::spatial(3, 3)).unwrap();
    let context = Context::best();
    let of = |seed, len| Parameter::new(&context, &values(len, seed));
    let weights: Vec<_> = (0..4)
        .map(|i| of(i + 10, if i % 2 == 0 { pointwise.weight_count() } else { spatial.weight_count() }))
        .collect();
    let norms: Vec<_> = (0..3).map(|i| (of(i + 20, c), of(i + 30, c))).collect();
    let mut recorder = Recorder::training(&context, Gradients::default());
    let mut x = recorder.tracked_input(map, &values(images * map.len(), 1)).unwrap();
    let input = x.clone();
    let mut running = RunningStatistics::new(c);
    for (layer, (gamma, beta)) in norms.iter().enumerate() {
        let norm = BatchNorm { gamma: Some(gamma), beta, epsilon: 1e-3, momentum: 0.1 };
        x = recorder.batch_norm(&x, norm, &mut running).unwrap();
        let Some([first, second]) = weights.get(2 * layer..2 * layer + 2) else { continue };
        // The first module reads the norm as it is, the second after an activation.
        if layer == 1 {
            x = recorder.activation(Activation::Relu, &x).unwrap();
        }
        let before = x.clone();
        x = if fuses {
            let geometry = FusedGeometry { first: pointwise, second: spatial, between };
            recorder.fused(&geometry, &x, [first, second]).unwrap()
        } else {
            let mut middle = recorder.conv(&pointwise, &x, first).unwrap();
            if let Some(kind) = between {
                middle = recorder.activation(kind, &middle).unwrap();
            }
            recorder.conv(&spatial, &middle, second).unwrap()
        };
        // A second reader of what the module reads: its gradients must join.
        x = if layer == 1 { recorder.add(&x, &before).unwrap() } else { x };
    }
    let y = recorder.global_mean_pool(&x).unwrap();
    let mut results = vec![y.values().unwrap().to_vec(), running.mean.clone(), running.variance.clone()];
    let mut gradients =
        recorder.cross_entropy(&y, &[0, 1, 1, 2, 3, 4, 5, 6, 7], 0.0).unwrap().backward(recorder).unwrap();
    results.push(input.share_gradient().unwrap().take().unwrap().values(&context).unwrap().to_vec());
    let parameters = weights.iter().chain(norms.iter().flat_map(|(gamma, beta)| [gamma, beta]));
    results.extend(parameters.map(|parameter| gradients.of(parameter).unwrap().to_vec()));
    results
}

#[test]
fn fused_modules_equal_the_separate_operations() {
    for between in [None, Some(Activation::Relu), Some(Activation::Elu)] {
        for (result, (found, expected)) in chain(true, between).iter().zip(&chain(false, between)).enumerate()
        {
            let scale = expected.iter().fold(1e-3_f32, |scale, value| scale.max(value.abs()));
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (found - expected).abs() <= 2e-5 * scale,
                    "result {result}: {found}, expected {expected}"
                );
            }
        }
    }
}
