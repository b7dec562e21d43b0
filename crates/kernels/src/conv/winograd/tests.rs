//! Both tiles on every instruction set against the reference in f64.

use proptest::prelude::*;

use super::*;
use crate::{
    checks::{double, values},
    conv::{
        self,
        correlation::Direction,
        strips::{for_each_strip, sum_over_strips},
        tests::{all_three, geometry},
    },
    geometry::ConvOptions,
    isa::Isa,
    numerics::Numerics,
    reference,
};

/// The three results of `g` in tiles, whether that pays or not. They start as
/// NaN, so that a value nobody writes is found. Strips begin at multiples of
/// `row_step`, which need not be that of the tiles.
fn forced<T: Tile>(ctx: &Context, g: &ConvGeometry, batch: usize, row_step: usize) -> [Vec<f32>; 3] {
    let x = values(1, batch * g.input().len());
    let weights = values(2, g.weight_count());
    let grad_y = values(3, batch * g.output().len());
    let mut results = [grad_y.len(), x.len(), weights.len()].map(|len| vec![f32::NAN; len]);
    let [y, grad_x, grad_weights] = &mut results;
    for (direction, source, target) in [(Direction::Forward, &x, y), (Direction::Backward, &grad_y, grad_x)] {
        let c = Correlation::new(g, direction);
        let packed = pack::<T>(ctx, &c, &weights);
        let zeros = ctx.pool.take_zeroed(c.source.c);
        for_each_strip(&c, row_step, source, target, |source, target, first_row| {
            rows::<T>(ctx, &c, &packed, &zeros, source, target, first_row);
        });
    }
    let c = Correlation::new(g, Direction::Forward);
    let len = sums_len::<T>(ctx, &c);
    let sums = sum_over_strips(ctx, &strips::<T>(&c, batch), len, |strip, is_first, part| {
        add_strip::<T>(ctx, &c, &x, &grad_y, &strip, is_first, part);
    });
    unpack::<T>(ctx, &c, &sums[..len], grad_weights);
    results
}

/// The same in f64, as the definition says.
fn exact(g: &ConvGeometry, batch: usize) -> [Vec<f64>; 3] {
    let x = double(&values(1, batch * g.input().len()));
    let weights = double(&values(2, g.weight_count()));
    let grad_y = double(&values(3, batch * g.output().len()));
    [
        reference::conv_forward(g, &x, &weights),
        reference::conv_backward_input(g, &grad_y, &weights),
        reference::conv_backward_weights(g, &x, &grad_y),
    ]
}

/// The error that the module's text states: the largest one, as a share of the
/// root mean square of the exact values.
#[test]
fn errors_are_as_stated() {
    let g = ConvGeometry::new(MapShape::new(16, 16, 64), 64, ConvOptions::spatial(3, 1)).unwrap();
    let exact = exact(&g, 2);
    let ctx = Context::best();
    let (f2, f4) = (forced::<F2>(&ctx, &g, 2, 2), forced::<F4>(&ctx, &g, 2, 4));
    for (found, stated) in [(f2, 3e-6), (f4, 5e-5)] {
        for (found, exact) in found.iter().zip(&exact) {
            let square = exact.iter().map(|value| value * value).sum::<f64>() / exact.len() as f64;
            let errors = found.iter().zip(exact).map(|(&found, exact)| (f64::from(found) - exact).abs());
            let largest = errors.fold(0.0, f64::max) / square.sqrt();
            assert!(largest < stated, "{largest:.1e} is not below {stated:.0e}");
        }
    }
}

/// Compares with sums of `terms` products of values below one, whose roundings
/// the transforms make `magnified` times larger.
#[track_caller]
fn assert_near(found: &[f32], expected: &[f64], terms: usize, magnified: f64, what: &str) {
    assert_eq!(found.len(), expected.len());
    let tolerance = magnified * f64::from(f32::EPSILON) * (terms as f64 + 4.0);
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - expected).abs();
        assert!(error <= tolerance, "{what}: value {i} is {found}, expected {expected}");
    }
}

fn check(g: &ConvGeometry, batch: usize, row_step: usize) {
    let exact = exact(g, batch);
    let groups = g.options().groups;
    let terms =
        [9 * g.input().c.div_ceil(groups), 9 * g.output().c.div_ceil(groups), batch * g.output().pixels()];
    for ctx in Isa::available().filter_map(Context::new) {
        let (f2, f4) = (forced::<F2>(&ctx, g, batch, row_step), forced::<F4>(&ctx, g, batch, row_step));
        for (which, name) in ["forward", "backward_input", "backward_weights"].into_iter().enumerate() {
            for (tile, found, magnified) in [("F2", &f2, F2_MAGNIFIES), ("F4", &f4, F4_MAGNIFIES)] {
                let what = format!("{name} by {tile} on {}, {g:?}", ctx.isa().name());
                assert_near(&found[which], &exact[which], terms[which], magnified, &what);
            }
        }
    }
}

/// How many times larger than those of the direct sums roundings may be.
const F2_MAGNIFIES: f64 = 4.0;
const F4_MAGNIFIES: f64 = 40.0;

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_map_equals_the_reference(
        map in (1..=13usize, 1..=13usize),
        channels in (1..=40usize, 1..=40usize, 1..=5usize),
        padding in prop::array::uniform4(0..=2usize),
        batch in 1..=3usize,
        row_step in 1..=4usize,
    ) {
        if let Some(g) = geometry(map, channels, (3, 3, 1, 1), padding) {
            check(&g, batch, row_step);
        }
    }
}

#[test]
fn it_is_taken_where_it_pays() {
    const BATCH: usize = 16;
    let on = |winograd| Context::best().with(Numerics { winograd, ..Numerics::default() });
    let taken = |side: usize, channels, kernel, padding, winograd| {
        let g = geometry((side, side), channels, kernel, [padding; 4]).unwrap();
        let path = path(&g, BATCH, winograd);
        let expected = path.unwrap_or_else(|| conv::path(&g, BATCH, &on(Winograd::Off)));
        assert_eq!(conv::path(&g, BATCH, &on(winograd)), expected, "the public function tells the same");
        path
    };
    let (wide, square) = ((64, 65, 2), (3, 3, 1, 1));
    assert_eq!(taken(16, wide, square, 1, Winograd::Off), None);
    assert_eq!(taken(16, wide, square, 1, Winograd::F2), Some(Path::WinogradF2));
    assert_eq!(taken(16, wide, square, 1, Winograd::F4), Some(Path::WinogradF4));
    assert_eq!(taken(16, (64, 64, 3), square, 1, Winograd::F2), None, "too narrow");
    assert_eq!(taken(16, wide, (3, 3, 2, 1), 1, Winograd::F2), None, "strided");
    assert_eq!(taken(16, wide, (3, 3, 1, 2), 2, Winograd::F2), None, "dilated");
    assert_eq!(taken(16, wide, (3, 5, 1, 1), 1, Winograd::F2), None, "not 3x3");
    assert_eq!(taken(3, wide, square, 1, Winograd::F2), None, "half of the tiles are empty");
    let g = geometry((7, 7), wide, square, [1; 4]).unwrap();
    let taken = [1, 20, 21].map(|batch| path(&g, batch, Winograd::F2).is_some());
    assert_eq!(taken, [false, false, true], "too few pixels for the kernels");
}

/// Through the public functions: large segments, uneven ones, and strips of
/// several pieces.
#[test]
fn large_segments_equal_the_reference() {
    for (map, channels) in [((9, 8), (67, 65, 2)), ((21, 33), (40, 32, 1))] {
        let g = geometry(map, channels, (3, 3, 1, 1), [1, 0, 2, 1]).unwrap();
        let batch = MIN_PIXELS.div_ceil(g.output().pixels());
        let exact = exact(&g, batch);
        let inputs = g.input().c.div_ceil(g.options().groups);
        for (winograd, magnified) in [(Winograd::F2, F2_MAGNIFIES), (Winograd::F4, F4_MAGNIFIES)] {
            for isa in Isa::available() {
                let ctx = Context::new(isa).unwrap().with(Numerics { winograd, ..Numerics::default() });
                assert_eq!(Some(conv::path(&g, batch, &ctx)), path(&g, batch, winograd));
                let found = all_three(&ctx, &g, batch);
                for (found, exact) in found.iter().zip(&exact) {
                    let terms = (9 * inputs).max(batch * g.output().pixels());
                    assert_near(found, exact, terms, magnified, &format!("{winograd:?}, {isa:?}"));
                }
            }
        }
    }
}

#[test]
fn one_and_two_threads_give_the_same_bits() {
    let g = geometry((13, 16), (64, 64, 2), (3, 3, 1, 1), [1; 4]).unwrap();
    for winograd in [Winograd::F2, Winograd::F4] {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let ctx = Context::best().with(Numerics { winograd, ..Numerics::default() });
            let results = pool.install(|| all_three(&ctx, &g, 11));
            results.concat().iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        };
        assert_eq!(on(1), on(2));
    }
}
