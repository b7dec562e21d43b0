//! The way forward.

use rayon::prelude::*;

use super::{FusedGeometry, Lanes, Source, by_part, image, prologue};
use crate::{
    REDUCTION_PARTS,
    activation::forward_chunk,
    conv::{Direction, Prepared},
    error::ShapeError,
    geometry::partition,
    isa::Context,
    norm::MomentSums,
};

/// Computes `middle`, `y` and, if asked for, mean and (biased) variance of every
/// channel of `y`, overwriting all of them.
///
/// - `source.x`: (n, h, w, c) of `g.first`, at least [`FusedGeometry::MIN_IMAGES`].
/// - `weights`: of the first and of the second convolution, each in the order
///   that [`ConvGeometry`](crate::geometry::ConvGeometry) tells.
/// - `middle`: (n, h, w, c) of the first convolution's output, before `between`.
/// - `y`: (n, h, w, c) of the second's.
/// - `statistics`: mean and variance, one value a channel each.
///
/// `n * g.macs()` multiply-adds. Scratch: packed weights, and for each part an
/// image of each map that is not stored.
///
/// # Errors
/// [`ShapeError`] when a length does not match or there are too few images.
pub fn forward(
    ctx: &Context,
    g: &FusedGeometry,
    source: Source<'_>,
    weights: [&[f32]; 2],
    middle: &mut [f32],
    y: &mut [f32],
    statistics: Option<(&mut [f32], &mut [f32])>,
) -> Result<(), ShapeError> {
    const OP: &str = "fused forward";
    let images = source.check(OP, g)?;
    ShapeError::check(OP, "images", images.max(FusedGeometry::MIN_IMAGES), images)?;
    ShapeError::check(OP, "input of the second convolution", g.first.output().len(), g.second.input().len())?;
    ShapeError::check(OP, "first weights", g.first.weight_count(), weights[0].len())?;
    ShapeError::check(OP, "second weights", g.second.weight_count(), weights[1].len())?;
    ShapeError::check(OP, "middle", images * g.first.output().len(), middle.len())?;
    ShapeError::check(OP, "y", images * g.second.output().len(), y.len())?;
    let channels = g.second.output().c;
    if let Some((mean, variance)) = &statistics {
        ShapeError::check(OP, "mean", channels, mean.len())?;
        ShapeError::check(OP, "variance", channels, variance.len())?;
    }
    let lanes = Lanes::new(ctx, &source);
    let first = Prepared::new(ctx, &g.first, images, Direction::Forward, weights[0]);
    let second = Prepared::new(ctx, &g.second, images, Direction::Forward, weights[1]);
    let [x_len, middle_len, y_len] =
        [g.first.input(), g.first.output(), g.second.output()].map(|map| map.len());
    let mut moments = MomentSums::parts(ctx, channels);
    let outputs = by_part(middle, images).into_par_iter().zip(by_part(y, images));
    outputs.zip(&mut moments).enumerate().for_each(|(part, ((middle, y), moments))| {
        let mut activated = ctx.pool.take(if source.is_plain() { 0 } else { x_len });
        let mut between = ctx.pool.take(if g.between.is_some() { middle_len } else { 0 });
        let maps = middle.chunks_exact_mut(middle_len).zip(y.chunks_exact_mut(y_len));
        for (index, (middle, y)) in partition(images, REDUCTION_PARTS, part).zip(maps) {
            let x = image(source.x, x_len, index);
            let a = prologue(ctx, lanes.as_ref(), source.activation, x, &mut activated);
            first.image(ctx, a, middle);
            match g.between {
                Some(activation) => {
                    forward_chunk(ctx, activation, middle, &mut between);
                    second.image(ctx, &between, y);
                }
                None => second.image(ctx, middle, y),
            }
            if statistics.is_some() {
                moments.add(ctx, y);
            }
        }
    });
    if let Some((mean, variance)) = statistics {
        MomentSums::finish(&moments, mean, variance);
    }
    Ok(())
}
