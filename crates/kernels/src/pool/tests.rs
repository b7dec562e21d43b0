use proptest::prelude::*;

use super::{reference, *};
use crate::{
    checks::{assert_close, assert_gradient, dot, double, on_all, values},
    geometry::{MapShape, Padding, PoolGeometry},
    isa::Context,
};

/// Any pooling of a small map: one pixel and one channel, channels around the
/// vector's width, four different paddings, strides beyond the window.
fn geometries() -> impl Strategy<Value = PoolGeometry> {
    let map = (1_usize..9, 1_usize..9, prop::sample::select(vec![1, 2, 3, 4, 7, 15, 16, 17, 33, 48]));
    let padding = prop::array::uniform4(0_usize..4);
    (map, 1_usize..5, 1_usize..6, padding).prop_filter_map("no output", |((h, w, c), window, stride, p)| {
        let [top, bottom, left, right] = p.map(|p| p % window);
        PoolGeometry::new(MapShape::new(h, w, c), window, stride, Padding { top, bottom, left, right }).ok()
    })
}

/// `pooling` of every image alone, one after the other.
fn by_image(image_len: usize, x: &[f32], pooling: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    x.chunks(image_len).flat_map(|image| pooling(&double(image))).collect()
}

/// Results in index order: `y`, `argmax`, `grad_x`.
fn run_max(ctx: &Context, g: &PoolGeometry, x: &[f32], grad_y: &[f32]) -> (Vec<f32>, Vec<u8>, Vec<f32>) {
    let (mut plain, mut y) = (vec![f32::NAN; grad_y.len()], vec![f32::NAN; grad_y.len()]);
    let (mut argmax, mut grad_x) = (vec![u8::MAX; grad_y.len()], vec![f32::NAN; x.len()]);
    max_forward(ctx, g, x, &mut plain).unwrap();
    max_forward_indexed(ctx, g, x, &mut y, &mut argmax).unwrap();
    max_backward(ctx, g, &argmax, grad_y, &mut grad_x).unwrap();
    assert_eq!(plain, y);
    (y, argmax, grad_x)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn maximum_is_the_reference(g in geometries(), batch in 0_usize..4, seed in any::<u64>(), levels in 1_u32..40) {
        // Few levels make ties.
        let x: Vec<f32> = values(seed, batch * g.input().len())
            .iter()
            .map(|x| (x * levels as f32).round())
            .collect();
        let grad_y = values(seed ^ 1, batch * g.output().len());
        let (y, _, grad_x) = on_all(|ctx| run_max(ctx, &g, &x, &grad_y));
        assert_close("y", &y, &by_image(g.input().len(), &x, |x| reference::max(&g, x)), 0.0);
        let exact: Vec<f64> = (x.chunks(g.input().len()).zip(grad_y.chunks(g.output().len())))
            .flat_map(|(x, grad_y)| reference::max_backward(&g, &double(x), &double(grad_y)))
            .collect();
        assert_close("grad_x", &grad_x, &exact, 1e-6);
    }

    #[test]
    fn mean_is_the_reference(g in geometries(), include_padding: bool, batch in 0_usize..4, seed in any::<u64>()) {
        let x = values(seed, batch * g.input().len());
        let grad_y = values(seed ^ 1, batch * g.output().len());
        let (y, grad_x) = on_all(|ctx| {
            let (mut y, mut grad_x) = (vec![f32::NAN; grad_y.len()], vec![f32::NAN; x.len()]);
            mean_forward(ctx, &g, include_padding, &x, &mut y).unwrap();
            mean_backward(ctx, &g, include_padding, &grad_y, &mut grad_x).unwrap();
            (y, grad_x)
        });
        let forward = |x: &[f64]| reference::mean(&g, include_padding, x);
        let backward = |grad_y: &[f64]| reference::mean_backward(&g, include_padding, grad_y);
        assert_close("y", &y, &by_image(g.input().len(), &x, forward), 1e-6);
        assert_close("grad_x", &grad_x, &by_image(g.output().len(), &grad_y, backward), 1e-6);
    }

    #[test]
    fn global_mean_is_the_mean_of_one_window(
        (h, w, c) in (1_usize..8, 1_usize..8, 1_usize..40),
        batch in 0_usize..4,
        seed in any::<u64>(),
    ) {
        let map = MapShape::new(h, w, c);
        let (x, grad_y) = (values(seed, batch * map.len()), values(seed ^ 1, batch * c));
        let (y, grad_x) = on_all(|ctx| {
            let (mut y, mut grad_x) = (vec![f32::NAN; batch * c], vec![f32::NAN; x.len()]);
            global_mean_forward(ctx, map, &x, &mut y).unwrap();
            global_mean_backward(ctx, map, &grad_y, &mut grad_x).unwrap();
            (y, grad_x)
        });
        let pixels = map.pixels() as f64;
        let exact_y = |x: &[f64]| (0..c).map(|c_| x.iter().skip(c_).step_by(c).sum::<f64>() / pixels).collect();
        let exact_x = |grad: &[f64]| grad.iter().map(|grad| grad / pixels).cycle().take(map.len()).collect();
        assert_close("y", &y, &by_image(map.len(), &x, exact_y), 1e-6);
        assert_close("grad_x", &grad_x, &by_image(c, &grad_y, exact_x), 1e-6);
    }
}

#[test]
fn reference_gradients_are_the_finite_differences() {
    let padding = Padding { top: 1, bottom: 0, left: 2, right: 1 };
    for (window, stride) in [(3, 1), (3, 2), (3, 4)] {
        let g = PoolGeometry::new(MapShape::new(5, 6, 2), window, stride, padding).unwrap();
        let (x, grad_y) = (double(&values(3, g.input().len())), double(&values(4, g.output().len())));
        let grad_x = reference::max_backward(&g, &x, &grad_y);
        assert_gradient("maximum", &x, &grad_x, |x| dot(&reference::max(&g, x), &grad_y));
        for include_padding in [false, true] {
            let grad_x = reference::mean_backward(&g, include_padding, &grad_y);
            assert_gradient("mean", &x, &grad_x, |x| dot(&reference::mean(&g, include_padding, x), &grad_y));
        }
    }
}

#[test]
fn maximum_of_a_large_batch_does_not_depend_on_the_threads() {
    let g = PoolGeometry::new(MapShape::new(32, 32, 24), 3, 2, Padding::symmetric(1)).unwrap();
    let (x, grad_y) = (values(5, 9 * g.input().len()), values(6, 9 * g.output().len()));
    let (y, _, grad_x) = on_all(|ctx| run_max(ctx, &g, &x, &grad_y));
    assert_close("y", &y, &by_image(g.input().len(), &x, |x| reference::max(&g, x)), 0.0);
    let sum = |values: &[f32]| values.iter().map(|&value| f64::from(value)).sum::<f64>();
    assert!((sum(&grad_x) - sum(&grad_y)).abs() < 1e-3);
}

#[test]
fn the_first_maximum_wins_and_padding_never() {
    let g = PoolGeometry::new(MapShape::new(2, 2, 1), 3, 1, Padding::symmetric(1)).unwrap();
    let (y, argmax, grad_x) = run_max(&Context::best(), &g, &[-1.0; 4], &[1.0, 2.0, 3.0, 4.0]);
    assert_eq!(y, [-1.0; 4]);
    // Every window sees the four pixels; the first of them is another tap each time.
    assert_eq!(argmax, [4, 3, 1, 0]);
    assert_eq!(grad_x, [10.0, 0.0, 0.0, 0.0]);
    let lowest = run_max(&Context::best(), &g, &[f32::NEG_INFINITY; 4], &[1.0; 4]);
    assert_eq!((lowest.0, lowest.2), (vec![f32::NEG_INFINITY; 4], vec![4.0, 0.0, 0.0, 0.0]));
}

#[test]
fn what_is_not_a_number_wins() {
    let g = PoolGeometry::new(MapShape::new(1, 3, 1), 1, 1, Padding::symmetric(0)).unwrap();
    let mut y = [0.0; 3];
    max_forward(&Context::best(), &g, &[1.0, f32::NAN, 2.0], &mut y).unwrap();
    assert!(y[1].is_nan() && y[2] == 2.0);
    let g = PoolGeometry::new(MapShape::new(2, 2, 1), 2, 1, Padding::symmetric(0)).unwrap();
    let mut y = [0.0];
    max_forward(&Context::best(), &g, &[1.0, f32::NAN, 2.0, 3.0], &mut y).unwrap();
    assert!(y[0].is_nan());
}

#[test]
fn lengths_are_checked() {
    let ctx = Context::best();
    let g = PoolGeometry::new(MapShape::new(4, 4, 2), 2, 2, Padding::symmetric(0)).unwrap();
    let error = max_forward(&ctx, &g, &[0.0; 32], &mut [0.0; 9]).unwrap_err();
    assert_eq!(error.to_string(), "max pooling: `y` has 9 values, expected 8");
    assert!(max_forward_indexed(&ctx, &g, &[0.0; 32], &mut [0.0; 8], &mut [0; 7]).is_err());
    assert!(max_backward(&ctx, &g, &[0; 8], &[0.0; 8], &mut [0.0; 31]).is_err());
    assert!(mean_forward(&ctx, &g, false, &[0.0; 31], &mut [0.0; 8]).is_err());
    assert!(mean_backward(&ctx, &g, false, &[0.0; 8], &mut [0.0; 31]).is_err());
    assert!(global_mean_forward(&ctx, MapShape::new(0, 1, 1), &[], &mut []).is_err());
    assert!(global_mean_backward(&ctx, MapShape::new(2, 2, 1), &[0.0; 2], &mut [0.0; 4]).is_err());
    let large = PoolGeometry::new(MapShape::new(17, 17, 1), 17, 1, Padding::symmetric(0)).unwrap();
    let error = max_forward_indexed(&ctx, &large, &[0.0; 289], &mut [0.0], &mut [0]).unwrap_err();
    assert_eq!(error.argument, "window");
    assert_eq!(max_forward(&ctx, &large, &[0.0; 289], &mut [0.0]), Ok(()));
}
