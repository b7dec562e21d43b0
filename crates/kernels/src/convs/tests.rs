use proptest::prelude::*;

use super::*;
use crate::{
    arithmetic::Precision,
    buffer::Scratch,
    checks::{assert_close, assert_margins, double, from_map, on_all, to_map, values},
    geometry::{ConvOptions, MapShape, Padding},
    reference,
    rows::{Affine, Prologue, ThroughNorm, totals},
};

/// A made-up step.
#[derive(Clone, Debug)]
struct Case {
    specs: Vec<ConvSpec>,
    images: usize,
    reads: (bool, Option<Activation>),
    through: bool,
    adds: bool,
    has_input_gradient: bool,
    arithmetic: Arithmetic,
    seed: u64,
}

impl Case {
    fn convs(&self, isa: Isa) -> Convs {
        let algorithm = |spec: &ConvSpec| Algorithm::of(self.arithmetic, &spec.geometry, spec.order);
        Convs::with(isa, &self.specs, &self.layouts(), self.has_input_gradient, algorithm)
    }

    fn layouts(&self) -> Vec<MapLayout> {
        let mut margins = vec![0; self.specs.len() + 1];
        for (index, spec) in self.specs.iter().enumerate() {
            let (input, output) = spec.geometry.margins();
            margins[index] = input.max(margins[index]);
            margins[index + 1] = output;
        }
        let shapes = self
            .specs
            .iter()
            .map(|spec| spec.geometry.input())
            .chain([self.specs[self.specs.len() - 1].geometry.output()]);
        shapes.zip(margins).map(|(shape, margin)| MapLayout::new(shape, margin.max(1))).collect()
    }
}

/// All that a step gives, as plain images and sums.
#[derive(Debug, PartialEq)]
struct Results {
    y: Vec<f32>,
    moments: Vec<[f64; 2]>,
    weights: Vec<Vec<f32>>,
    bias: Vec<f32>,
    dx: Vec<f32>,
    sums: Vec<[f64; 2]>,
}

struct Inputs {
    x: Vec<f32>,
    weights: Vec<Vec<f32>>,
    bias: Vec<f32>,
    dy: Vec<f32>,
    before: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    mean: Vec<f32>,
    centre: Vec<f32>,
    through: ThroughNorm,
}

fn inputs(case: &Case) -> Inputs {
    let (first, last) = (case.specs[0].geometry.input(), case.specs[case.specs.len() - 1].geometry.output());
    let of = |seed: u64, len: usize| {
        let mut values = values(case.seed * 31 + seed, len);
        if case.arithmetic.precision == Precision::Bf16 {
            // Values that are bf16 already.
            values.iter_mut().for_each(|value| *value = f32::from_bits(value.to_bits() & !0xffff));
        }
        values
    };
    Inputs {
        x: of(1, case.images * first.len()),
        weights: case
            .specs
            .iter()
            .zip(2..)
            .map(|(spec, seed)| of(seed, spec.geometry.weight_count()))
            .collect(),
        bias: of(4, last.c),
        dy: of(5, case.images * last.len()),
        before: of(6, case.images * first.len()),
        scale: of(7, first.c),
        shift: of(8, first.c),
        mean: of(13, first.c),
        centre: of(9, last.c),
        through: ThroughNorm { a: of(10, last.c), b: of(11, last.c), c: of(12, last.c) },
    }
}

fn run(case: &Case, isa: Isa) -> Results {
    let (layouts, inputs, images) = (case.layouts(), inputs(case), case.images);
    let last = case.specs.len();
    let mut convs = case.convs(isa);
    // Scratch that others have used before.
    let (mut scratch, len) = (Scratch::default(), convs.forward_scratch().max(convs.backward_scratch()));
    scratch.reserve(len);
    scratch.with(len, |values| {
        values.fill(f32::NAN);
        scratch.with(len, |values| {
            values.fill(f32::NAN);
            scratch.with(len, |values| values.fill(f32::NAN));
        });
    });
    let weights: Vec<&[f32]> = inputs.weights.iter().map(|weights| &weights[..]).collect();
    convs.pack_forward(&weights);
    convs.pack_back(&weights);
    let prologue = Prologue {
        affine: case.reads.0.then_some(Affine {
            mean: &inputs.mean,
            scale: &inputs.scale,
            shift: &inputs.shift,
        }),
        activation: case.reads.1,
    };
    // What lies in lanes without an image is never to be seen.
    let x = to_map(&layouts[0], images, &inputs.x, 3.5);
    let (mut middle, mut y) =
        (vec![f32::NAN; layouts[last - 1].len(images)], vec![f32::NAN; layouts[last].len(images)]);
    let mut sums = vec![[[1.0; LANES]; 2]; convs.sums(&layouts[last], images)];
    convs.forward(
        Forward {
            images,
            x: &x,
            prologue,
            biases: if last == 1 { [Some(&inputs.bias), None] } else { [None, Some(&inputs.bias)] },
            middle: (last == 2).then_some(&mut middle),
            y: &mut y,
            moments: Some((&inputs.centre, &mut sums)),
        },
        &scratch,
    );
    assert_margins("y", &layouts[last], images, &y);
    let mut moments = Vec::new();
    if images % LANES == 0 {
        totals(&sums, layouts[last].shape.c, |_, sums| moments.push(sums));
    }

    let dy = to_map(&layouts[last], images, &inputs.dy, if case.through { 2.5 } else { 0.0 });
    let mut dx = to_map(&layouts[0], images, &inputs.before, 0.0);
    if !case.adds {
        dx.fill(9.0);
    }
    let mut grads: Vec<Vec<f32>> = inputs.weights.iter().map(|weights| vec![5.0; weights.len()]).collect();
    let mut bias = vec![5.0; inputs.bias.len()];
    let mut back_sums = vec![[[1.0; LANES]; 2]; convs.sums(&layouts[0], images)];
    convs.backward(
        Backward {
            images,
            x: &x,
            prologue,
            middle: (last == 2).then_some(&middle),
            gradient: &dy,
            through: case.through.then_some((&inputs.through, &y)),
            weights: grads.iter_mut().map(|grad| &mut grad[..]).collect(),
            partial: &mut vec![f32::NAN; convs.partial(images)],
            bias: Some(&mut bias),
            input: case.has_input_gradient.then_some(InputGradient {
                target: &mut dx,
                adds: case.adds,
                sums: Some((&inputs.shift, &mut back_sums)),
            }),
        },
        &scratch,
    );
    let mut sums = Vec::new();
    if case.has_input_gradient {
        assert_margins("dx", &layouts[0], images, &dx);
        totals(&back_sums, layouts[0].shape.c, |_, total| sums.push(total));
    }
    let dx = if case.has_input_gradient { from_map(&layouts[0], images, &dx) } else { Vec::new() };
    Results { y: from_map(&layouts[last], images, &y), moments, weights: grads, bias, dx, sums }
}

fn check(case: &Case) {
    check_against_reference(case, &on_all(|isa| run(case, isa)));
}

fn check_against_reference(case: &Case, found: &Results) {
    let inputs = inputs(case);
    let channels = case.specs[0].geometry.input().c;
    let seen: Vec<(f64, f64)> = inputs
        .x
        .iter()
        .enumerate()
        .map(|(i, &x)| {
            let (scale, shift, mean) = if case.reads.0 {
                (inputs.scale[i % channels], inputs.shift[i % channels], inputs.mean[i % channels])
            } else {
                (1.0, 0.0, 0.0)
            };
            let (value, slope) = reference::activate(
                case.reads.1,
                (f64::from(x) - f64::from(mean)) * f64::from(scale) + f64::from(shift),
            );
            (value, slope)
        })
        .collect();
    let mut maps = vec![seen.iter().map(|seen| seen.0).collect::<Vec<f64>>()];
    let mut slopes: Vec<Vec<f64>> = Vec::new();
    for (spec, weights) in case.specs.iter().zip(&inputs.weights) {
        let mut y = reference::forward(&spec.geometry, spec.order, &maps[maps.len() - 1], &double(weights));
        if maps.len() == case.specs.len() {
            y.iter_mut().enumerate().for_each(|(i, y)| *y += f64::from(inputs.bias[i % inputs.bias.len()]));
        }
        let activated: Vec<(f64, f64)> = y.iter().map(|&y| reference::activate(spec.activation, y)).collect();
        maps.push(activated.iter().map(|a| a.0).collect());
        slopes.push(activated.iter().map(|a| a.1).collect());
    }
    let size = |values: &[f64]| values.iter().fold(1.0_f64, |size, value| size.max(value.abs()));
    let y = &maps[case.specs.len()];
    assert_close("y", &found.y, y, size(y), 1e-5);
    let out_c = inputs.bias.len();
    for (channel, found) in found.moments.iter().enumerate() {
        let own: Vec<f64> =
            y.iter().skip(channel).step_by(out_c).map(|y| y - f64::from(inputs.centre[channel])).collect();
        let exact = [own.iter().sum::<f64>(), own.iter().map(|y| y * y).sum()];
        let scale = own.iter().map(|y| y.abs().max(y * y)).sum::<f64>().max(1.0);
        assert!(
            found.iter().zip(exact).all(|(found, exact)| (found - exact).abs() < 1e-4 * scale),
            "moments {found:?}, should be {exact:?}"
        );
    }

    let mut gradient: Vec<f64> = inputs
        .dy
        .iter()
        .enumerate()
        .map(|(i, &dy)| {
            let (dy, c) = (f64::from(dy), i % out_c);
            let [a, b, shift] =
                [&inputs.through.a, &inputs.through.b, &inputs.through.c].map(|values| f64::from(values[c]));
            if case.through { a * dy + b * y[i] + shift } else { dy }
        })
        .collect();
    let bias: Vec<f64> = (0..out_c).map(|c| gradient.iter().skip(c).step_by(out_c).sum()).collect();
    assert_close("bias", &found.bias, &bias, size(&gradient) * (gradient.len() / out_c) as f64, 1e-5);
    for (index, spec) in case.specs.iter().enumerate().rev() {
        let weights = double(&inputs.weights[index]);
        let (mut dx, dw) = reference::backward(&spec.geometry, spec.order, &maps[index], &weights, &gradient);
        let terms = (case.images * spec.geometry.output().pixels()) as f64;
        assert_close(
            "weights",
            &found.weights[index],
            &dw,
            size(&maps[index]) * size(&gradient) * terms.sqrt().max(1.0),
            1e-4,
        );
        if index > 0 {
            dx.iter_mut().zip(&slopes[index - 1]).for_each(|(dx, slope)| *dx *= slope);
        }
        gradient = dx;
    }
    if case.has_input_gradient {
        let dx: Vec<f64> = gradient
            .iter()
            .zip(&seen)
            .zip(&inputs.before)
            .map(|((dx, seen), &before)| dx * seen.1 + if case.adds { f64::from(before) } else { 0.0 })
            .collect();
        assert_close("dx", &found.dx, &dx, size(&gradient), 2e-5);
        for (channel, found) in found.sums.iter().enumerate() {
            let own = dx.iter().zip(&inputs.x).skip(channel).step_by(channels);
            let exact = own.fold([0.0, 0.0], |sums: [f64; 2], (dx, &x)| {
                [sums[0] + dx, sums[1] + dx * f64::from(x - inputs.shift[channel])]
            });
            let scale = size(&dx) * (dx.len() / channels) as f64;
            assert!(
                found.iter().zip(exact).all(|(found, exact)| (found - exact).abs() < 1e-5 * scale),
                "sums {found:?}, should be {exact:?}"
            );
        }
    }
}

fn activation() -> impl Strategy<Value = Option<Activation>> {
    prop_oneof![Just(None), Just(Some(Activation::Relu)), Just(Some(Activation::Elu))]
}

fn conv(input: MapShape) -> impl Strategy<Value = ConvSpec> {
    let kernel = prop_oneof![
        Just((3, 3)),
        Just((1, 1)),
        Just((1, 3)),
        Just((3, 1)),
        Just((5, 5)),
        Just((2, 2)),
        Just((7, 1))
    ];
    let numbers = (kernel, 1_usize..=3, 1_usize..=2, 1_usize..=9, 1_usize..=9);
    let order = prop_oneof![4 => Just(WeightOrder::ChannelFirst), 1 => Just(WeightOrder::ChannelLast)];
    (numbers, prop::array::uniform4(0_usize..=3), order, activation()).prop_filter_map(
        "a geometry",
        move |(
            ((kernel_h, kernel_w), stride, dilation, out_c, segments),
            [top, bottom, left, right],
            order,
            activation,
        )| {
            let padding = if (kernel_h, kernel_w, dilation) == (3, 3, 1) && top > 1 {
                Padding::symmetric(1)
            } else {
                Padding { top, bottom, left, right }
            };
            let options = ConvOptions {
                kernel_h,
                kernel_w,
                stride,
                dilation,
                padding,
                segments: segments.min(out_c).min(input.c),
            };
            let geometry = ConvGeometry::new(input, out_c, options).ok()?;
            Some(ConvSpec { geometry, order, activation })
        },
    )
}

fn specs() -> impl Strategy<Value = Vec<ConvSpec>> {
    let shape = (1_usize..=9, 1_usize..=17, 1_usize..=9).prop_map(|(h, w, c)| MapShape::new(h, w, c));
    shape.prop_flat_map(conv).prop_flat_map(|first| {
        let last = ConvSpec { activation: None, ..first };
        prop_oneof![
            Just(vec![last]),
            conv(first.geometry.output())
                .prop_map(move |second| vec![first, ConvSpec { activation: None, ..second }]),
        ]
    })
}

fn case() -> impl Strategy<Value = Case> {
    let winograd = prop_oneof![Just(Winograd::Off), Just(Winograd::F2), Just(Winograd::F4)];
    let flags = (any::<bool>(), activation(), any::<bool>(), any::<bool>(), any::<bool>(), winograd);
    (specs(), 1_usize..=49, flags, 0_u64..1 << 40).prop_map(
        |(specs, images, (reads, activation, through, adds, has_input_gradient, winograd), seed)| {
            let reads = (reads, activation);
            let arithmetic = Arithmetic { winograd, ..Arithmetic::default() };
            Case { specs, images, reads, through, adds, has_input_gradient, arithmetic, seed }
        },
    )
}

fn tiled() -> impl Strategy<Value = Case> {
    let shape = (1_usize..=17, 1_usize..=17, 1_usize..=9, 1_usize..=9, 1_usize..=4);
    let spatial = shape.prop_map(|(h, w, c, out_c, segments)| {
        let options = ConvOptions::spatial(3, segments.min(c).min(out_c));
        let geometry = ConvGeometry::new(MapShape::new(h, w, c), out_c, options).expect("a geometry");
        ConvSpec { geometry, order: WeightOrder::ChannelFirst, activation: None }
    });
    let of = |(spatial, mut case, other, comes_first): (ConvSpec, Case, usize, Option<bool>)| {
        let (input, output) = (spatial.geometry.input(), spatial.geometry.output());
        let pointwise = |from: MapShape, to| ConvSpec {
            geometry: ConvGeometry::new(from, to, ConvOptions::pointwise()).expect("a geometry"),
            ..spatial
        };
        case.specs = match comes_first {
            None => vec![spatial],
            Some(true) => vec![spatial, pointwise(output, other)],
            Some(false) => vec![pointwise(MapShape::new(input.h, input.w, other), input.c), spatial],
        };
        if case.arithmetic.winograd == Winograd::Off {
            case.arithmetic.winograd = Winograd::F2;
        }
        case
    };
    (spatial, case(), 1_usize..=9, any::<Option<bool>>()).prop_map(of)
}

/// Matrix products alone, with factors in bf16, of values of which each is one.
fn paired() -> impl Strategy<Value = Case> {
    let shape = (1_usize..=5, 1_usize..=17, 1_usize..=9, 1_usize..=19, 1_usize..=3, any::<bool>());
    let products = shape.prop_map(|(h, w, c, out_c, stride, is_dense)| {
        let map = MapShape::new(h, w, c);
        let pointwise = ConvOptions { stride, ..ConvOptions::pointwise() };
        let (options, order) = match is_dense {
            true => (ConvOptions { kernel_h: h, kernel_w: w, ..pointwise }, WeightOrder::ChannelLast),
            false => (pointwise, WeightOrder::ChannelFirst),
        };
        let geometry = ConvGeometry::new(map, out_c, options).expect("a geometry");
        ConvSpec { geometry, order, activation: None }
    });
    (products, case(), any::<bool>()).prop_map(|(products, case, is_rectified)| Case {
        specs: vec![products],
        reads: (false, is_rectified.then_some(Activation::Relu)),
        through: false,
        arithmetic: Arithmetic { precision: Precision::Bf16, ..case.arithmetic },
        ..case
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 48 }))]

    #[test]
    fn any_convolutions_are_those_of_the_definition(case in case()) {
        check(&case);
    }

    #[test]
    fn any_tiles_are_the_definition(case in tiled()) {
        check(&case);
    }

    #[test]
    fn products_of_bf16_are_the_definition_where_nothing_is_rounded(case in paired()) {
        check(&case);
    }

    #[test]
    fn products_of_bf16_are_the_same_bits_everywhere(mut case in case()) {
        case.arithmetic.precision = Precision::Bf16;
        on_all(|isa| run(&case, isa));
    }
}

/// A module along the spectrum, in both orders, with uneven segments.
#[test]
fn modules_of_any_number_of_segments() {
    for (segments, side) in [(1, 8), (2, 7), (3, 4), (5, 9), (11, 14)] {
        let map = MapShape::new(side, side, 11);
        let spec = |options| ConvSpec {
            geometry: ConvGeometry::new(map, 11, options).unwrap(),
            order: WeightOrder::ChannelFirst,
            activation: None,
        };
        let mut specs = vec![spec(ConvOptions::pointwise()), spec(ConvOptions::spatial(3, segments))];
        for winograd in [Winograd::Off, Winograd::F2, Winograd::Off, Winograd::F2] {
            let reads = (true, Some(Activation::Relu));
            check(&Case {
                specs: specs.clone(),
                images: 21,
                reads,
                through: true,
                adds: true,
                has_input_gradient: true,
                arithmetic: Arithmetic { winograd, ..Arithmetic::default() },
                seed: 3,
            });
            specs.reverse();
        }
    }
}

/// Maps that are cut into bands of rows, and weights too many to be summed row by row.
#[test]
fn bands_and_wide_layers() {
    let cases = [
        (MapShape::new(40, 34, 64), 4, 64, 2),
        (MapShape::new(37, 40, 48), 48, 48, 2),
        (MapShape::new(5, 3, 150), 1, 80, 1),
        (MapShape::new(19, 19, 364), 91, 8, 2),
        (MapShape::new(56, 56, 48), 48, 8, 4),
    ];
    let tiles = [Winograd::Off, Winograd::F2, Winograd::F4];
    for ((map, segments, out_c, bands), winograd) in
        cases.into_iter().flat_map(|case| tiles.map(|winograd| (case, winograd)))
    {
        let spatial = ConvGeometry::new(map, map.c, ConvOptions::spatial(3, segments)).unwrap();
        let pointwise = ConvGeometry::new(map, out_c, ConvOptions::pointwise()).unwrap();
        let spec = |geometry| ConvSpec { geometry, order: WeightOrder::ChannelFirst, activation: None };
        let case = Case {
            specs: vec![spec(spatial), spec(pointwise)],
            images: 3,
            reads: (false, Some(Activation::Relu)),
            through: true,
            adds: false,
            has_input_gradient: true,
            arithmetic: Arithmetic { winograd, ..Arithmetic::default() },
            seed: 5,
        };
        let convs = case.convs(Isa::best());
        assert_eq!(convs.bands.len(), bands, "{map:?}");
        check_against_reference(&case, &run(&case, Isa::best()));
    }
}

/// Only every second row of the input reaches an output, so that every second block's share of the weights' gradient
/// is empty.
#[test]
fn a_block_without_outputs_reads_no_input() {
    let map = MapShape::new(147, 147, 64);
    let skip = ConvOptions { stride: 2, ..ConvOptions::pointwise() };
    let spec = ConvSpec {
        geometry: ConvGeometry::new(map, 16, skip).unwrap(),
        order: WeightOrder::ChannelFirst,
        activation: None,
    };
    let case = Case {
        specs: vec![spec],
        images: 1,
        reads: (true, Some(Activation::Relu)),
        through: true,
        adds: false,
        has_input_gradient: true,
        arithmetic: Arithmetic::default(),
        seed: 11,
    };
    let convs = case.convs(Isa::best());
    assert!(convs.bands.len() > 1, "cut into bands");
    for band in &convs.bands {
        assert!(band.schedule.input_rows <= 3, "{} rows", band.schedule.input_rows);
        let read: usize = band.schedule.blocks.iter().map(|block| block.inputs.len()).sum();
        assert!(read <= band.rows[0].len(), "{read} of {:?}", band.rows[0]);
    }
}

/// The second band's first row between the convolutions is read by no output, but by the backward pass.
#[test]
fn a_band_computes_rows_that_its_outputs_skip() {
    let map = MapShape::new(52, 40, 64);
    let spatial = ConvGeometry::new(map, map.c, ConvOptions::spatial(3, map.c)).unwrap();
    let every_third = ConvOptions { stride: 3, ..ConvOptions::pointwise() };
    let every_third = ConvGeometry::new(map, 8, every_third).unwrap();
    let order = WeightOrder::ChannelFirst;
    let case = Case {
        specs: vec![
            ConvSpec { geometry: spatial, order, activation: Some(Activation::Elu) },
            ConvSpec { geometry: every_third, order, activation: None },
        ],
        images: 3,
        reads: (false, None),
        through: false,
        adds: false,
        has_input_gradient: true,
        arithmetic: Arithmetic::default(),
        seed: 7,
    };
    let convs = case.convs(Isa::best());
    let [_, between, outputs] = &convs.bands[1].rows[..] else { panic!("three maps") };
    assert!(convs.convs[1].forward.reads(outputs.clone()).start > between.start);
    check_against_reference(&case, &run(&case, Isa::best()));
}
