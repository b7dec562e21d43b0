//! The fused module against the operations it is made of, which have their own
//! references.

use super::*;
use crate::{
    activation::{self, Activation},
    checks::values,
    conv,
    geometry::{ConvOptions, MapShape},
    isa::Isa,
    norm::{InputGradient, NormSums, Normalization},
};

/// A module with values for everything that goes in.
struct Case {
    g: FusedGeometry,
    has_affine: bool,
    activation: Option<Activation>,
    x: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    weights: [Vec<f32>; 2],
    gradient: Vec<f32>,
}

const IMAGES: usize = 9;

impl Case {
    fn new(first: ConvGeometry, second: ConvGeometry, flavour: usize) -> Self {
        let kinds = [None, Some(Activation::Relu), Some(Activation::Elu)];
        let g = FusedGeometry { first, second, between: kinds[flavour % 3] };
        let c = first.input().c;
        Self {
            g,
            has_affine: flavour.is_multiple_of(2),
            activation: kinds[flavour / 3 % 3],
            x: values(1, IMAGES * first.input().len()),
            scale: values(2, c),
            shift: values(3, c),
            weights: [values(4, first.weight_count()), values(5, second.weight_count())],
            gradient: values(6, IMAGES * second.output().len()),
        }
    }

    fn source(&self) -> Source<'_> {
        let affine = self.has_affine.then_some((&*self.scale, &*self.shift));
        Source { x: &self.x, affine, activation: self.activation }
    }

    fn weights(&self) -> [&[f32]; 2] {
        [&self.weights[0], &self.weights[1]]
    }
}

/// Everything that comes out, by name.
type Results = Vec<(&'static str, Vec<f32>)>;

/// A norm behind the module: mean and inverse deviation are given, so that the
/// two ways differ in nothing but what is tested.
fn through(ctx: &Context, case: &Case) -> InputGradient {
    let c = case.g.second.output().c;
    let (mean, gamma) = (values(7, c), values(8, c));
    let inverse_std = vec![0.7; c];
    let normalization = Normalization { mean: &mean, inverse_std: &inverse_std, gamma: Some(&gamma) };
    InputGradient::through_batch(ctx, normalization, 100, &values(9, c), &values(10, c)).unwrap()
}

fn fused(ctx: &Context, case: &Case) -> Results {
    let (first, second) = (&case.g.first, &case.g.second);
    let mut middle = vec![f32::NAN; IMAGES * first.output().len()];
    let mut y = vec![f32::NAN; IMAGES * second.output().len()];
    let (mut mean, mut variance) = (vec![f32::NAN; second.output().c], vec![f32::NAN; second.output().c]);
    let statistics = Some((&mut *mean, &mut *variance));
    forward(ctx, &case.g, case.source(), case.weights(), &mut middle, &mut y, statistics).unwrap();
    let norm = through(ctx, case);
    let mut grad_x = vec![f32::NAN; case.x.len()];
    let mut grads = [vec![f32::NAN; first.weight_count()], vec![f32::NAN; second.weight_count()]];
    let [grad_first, grad_second] = &mut grads;
    let mut sums = NormSums::new(ctx, &case.shift);
    let outgoing =
        Outgoing { weights: [grad_first, grad_second], x: Some(&mut grad_x), sums: Some(&mut sums) };
    let incoming = Incoming { gradient: &case.gradient, through: Some((&norm, &y)) };
    backward(ctx, &case.g, case.source(), case.weights(), &middle, incoming, outgoing).unwrap();
    let [grad_first, grad_second] = grads;
    let (mut gamma, mut beta) = (vec![0.0; case.scale.len()], vec![0.0; case.scale.len()]);
    sums.parameter_gradients(&vec![1.0; case.scale.len()], &mut gamma, &mut beta).unwrap();
    vec![
        ("middle", middle),
        ("y", y),
        ("mean", mean),
        ("variance", variance),
        ("grad_first", grad_first),
        ("grad_second", grad_second),
        ("grad_x", grad_x),
        ("gamma", gamma),
        ("beta", beta),
    ]
}

fn separate(ctx: &Context, case: &Case) -> Results {
    let (first, second) = (&case.g.first, &case.g.second);
    let mut a = case.x.clone();
    if case.has_affine {
        norm::apply(ctx, &case.x, &case.scale, &case.shift, &mut a).unwrap();
    }
    if let Some(kind) = case.activation {
        activation::forward_in_place(ctx, kind, &mut a);
    }
    let mut middle = vec![0.0; IMAGES * first.output().len()];
    conv::forward(ctx, first, &a, &case.weights[0], &mut middle).unwrap();
    let mut between = middle.clone();
    if let Some(kind) = case.g.between {
        activation::forward_in_place(ctx, kind, &mut between);
    }
    let mut y = vec![0.0; IMAGES * second.output().len()];
    conv::forward(ctx, second, &between, &case.weights[1], &mut y).unwrap();
    let (mut mean, mut variance) = (vec![0.0; second.output().c], vec![0.0; second.output().c]);
    norm::statistics(ctx, &y, &mut mean, &mut variance).unwrap();

    let mut grad_y = vec![0.0; y.len()];
    through(ctx, case).apply_all(ctx, &y, &case.gradient, &mut grad_y).unwrap();
    let mut grad_second = vec![0.0; second.weight_count()];
    conv::backward_weights(ctx, second, &between, &grad_y, &mut grad_second).unwrap();
    let mut grad_middle = vec![0.0; middle.len()];
    conv::backward_input(ctx, second, &grad_y, &case.weights[1], &mut grad_middle).unwrap();
    if let Some(kind) = case.g.between {
        activation::backward_in_place(ctx, kind, &between, &mut grad_middle).unwrap();
    }
    let mut grad_first = vec![0.0; first.weight_count()];
    conv::backward_weights(ctx, first, &a, &grad_middle, &mut grad_first).unwrap();
    let mut grad_x = vec![0.0; case.x.len()];
    conv::backward_input(ctx, first, &grad_middle, &case.weights[0], &mut grad_x).unwrap();
    if let Some(kind) = case.activation {
        activation::backward_in_place(ctx, kind, &a, &mut grad_x).unwrap();
    }
    let sums = NormSums::of(ctx, &case.shift, &case.x, &grad_x).unwrap();
    let (mut gamma, mut beta) = (vec![0.0; case.scale.len()], vec![0.0; case.scale.len()]);
    sums.parameter_gradients(&vec![1.0; case.scale.len()], &mut gamma, &mut beta).unwrap();
    vec![
        ("middle", middle),
        ("y", y),
        ("mean", mean),
        ("variance", variance),
        ("grad_first", grad_first),
        ("grad_second", grad_second),
        ("grad_x", grad_x),
        ("gamma", gamma),
        ("beta", beta),
    ]
}

/// Modules in both orders, with even, uneven and extreme segments.
fn cases() -> impl Iterator<Item = Case> {
    let shapes = [(5, 7, 1), (16, 16, 3), (24, 24, 8), (9, 20, 9), (12, 33, 1000)];
    (0..18).flat_map(move |flavour| {
        shapes.into_iter().map(move |(in_c, out_c, segments)| {
            let (map, options) = (MapShape::new(6, 5, in_c), ConvOptions::spatial);
            if flavour < 9 {
                let first = ConvGeometry::new(map, out_c, ConvOptions::pointwise()).unwrap();
                let kernel = if flavour == 4 { 5 } else { 3 };
                let second = options(kernel, segments.min(out_c));
                Case::new(first, ConvGeometry::new(first.output(), out_c, second).unwrap(), flavour)
            } else {
                let first = ConvGeometry::new(map, in_c, options(3, segments.min(in_c))).unwrap();
                Case::new(first, ConvGeometry::new(map, out_c, ConvOptions::pointwise()).unwrap(), flavour)
            }
        })
    })
}

#[test]
fn fused_equals_its_parts() {
    for case in cases() {
        for ctx in Isa::available().filter_map(Context::new) {
            for ((name, found), (_, expected)) in fused(&ctx, &case).into_iter().zip(separate(&ctx, &case)) {
                let scale = expected.iter().fold(1.0_f32, |scale, value| scale.max(value.abs()));
                for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    // Both round; sums of some hundred terms, in another order.
                    assert!(
                        (found - expected).abs() <= 1e-5 * scale,
                        "{name}[{i}] is {found}, expected {expected} ({:?}, {})",
                        case.g,
                        ctx.isa().name()
                    );
                }
            }
        }
    }
}

#[test]
fn one_and_two_threads_give_the_same_bits() {
    for case in cases().step_by(7) {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let results = pool.install(|| fused(&Context::best(), &case));
            results.into_iter().flat_map(|(_, values)| values).map(f32::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(on(1), on(2), "{:?}", case.g);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let case = cases().next().unwrap();
    let (mut middle, mut y) = (vec![0.0; 1], vec![0.0; 1]);
    let error = forward(&Context::best(), &case.g, case.source(), case.weights(), &mut middle, &mut y, None);
    assert_eq!(error.unwrap_err().to_string(), "fused forward: `middle` has 1 values, expected 1890");
    let too_few = Source { x: &case.x[..case.g.first.input().len()], ..case.source() };
    let error = forward(&Context::best(), &case.g, too_few, case.weights(), &mut middle, &mut y, None);
    assert_eq!(error.unwrap_err().to_string(), "fused forward: `images` has 1 values, expected 8");
}
