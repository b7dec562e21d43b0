//! The way back.

use rayon::prelude::*;

use super::{FusedGeometry, Lanes, Source, by_part, image, prologue};
use crate::{
    REDUCTION_PARTS,
    activation::{backward_in_place_chunk, forward_chunk},
    buffer::Buffer,
    conv::{Direction, Prepared, WeightSums},
    error::ShapeError,
    geometry::partition,
    isa::Context,
    norm::{InputGradient, NormSums},
};

/// The gradient of the output as it arrives.
#[derive(Clone, Copy)]
pub struct Incoming<'a> {
    /// (n, h, w, c): the gradient of `y`, or of what a batch norm made of it.
    pub gradient: &'a [f32],
    /// The batch norm that it still has to go through, and `y`, its input.
    pub through: Option<(&'a InputGradient, &'a [f32])>,
}

/// Where the results go; all are overwritten.
pub struct Outgoing<'a> {
    /// Gradients of the weights of both convolutions.
    pub weights: [&'a mut [f32]; 2],
    /// The gradient of `scale * x + shift`, before the activation, if it is wanted.
    pub x: Option<&'a mut [f32]>,
    /// What the last batch norm needs of it: its sums over all pixels, alone and
    /// times `x - mean`. Only with `x`.
    pub sums: Option<&'a mut NormSums>,
}

/// The gradients of [`forward`](super::forward).
///
/// `source`, `weights` and `middle` are as the forward pass had and made them;
/// `2 n * g.macs()` multiply-adds (less what the gradient of `x` costs where it
/// is not wanted). Scratch: packed weights, packed gradients of the weights for
/// each of the [`REDUCTION_PARTS`], and a few images for each part.
///
/// # Errors
/// [`ShapeError`] when a length does not match or there are too few images.
pub fn backward(
    ctx: &Context,
    g: &FusedGeometry,
    source: Source<'_>,
    weights: [&[f32]; 2],
    middle: &[f32],
    incoming: Incoming<'_>,
    outgoing: Outgoing<'_>,
) -> Result<(), ShapeError> {
    const OP: &str = "fused backward";
    let images = source.check(OP, g)?;
    ShapeError::check(OP, "images", images.max(FusedGeometry::MIN_IMAGES), images)?;
    ShapeError::check(OP, "middle", images * g.first.output().len(), middle.len())?;
    ShapeError::check(OP, "gradient", images * g.second.output().len(), incoming.gradient.len())?;
    if let Some((_, y)) = incoming.through {
        ShapeError::check(OP, "y", incoming.gradient.len(), y.len())?;
    }
    let Outgoing { weights: [grad_first, grad_second], x, sums } = outgoing;
    for (name, geometry, len) in [
        ("first weights", &g.first, [weights[0].len(), grad_first.len()]),
        ("second weights", &g.second, [weights[1].len(), grad_second.len()]),
    ] {
        ShapeError::check(OP, name, geometry.weight_count(), len[0])?;
        ShapeError::check(OP, name, geometry.weight_count(), len[1])?;
    }
    if let Some(x) = &x {
        ShapeError::check(OP, "grad_x", source.x.len(), x.len())?;
    }
    let work = Work {
        ctx,
        g,
        source,
        lanes: Lanes::new(ctx, &source),
        middle,
        incoming,
        first_back: Prepared::new(ctx, &g.first, images, Direction::Backward, weights[0]),
        second_back: Prepared::new(ctx, &g.second, images, Direction::Backward, weights[1]),
        first_sums: WeightSums::new(ctx, &g.first, images, 1),
        second_sums: WeightSums::new(ctx, &g.second, images, 1),
    };
    let mut parts: Vec<Part<'_>> = match x {
        Some(x) => {
            by_part(x, images).into_iter().map(|x| Part::new(&work, Some(x), sums.as_deref())).collect()
        }
        None => (0..REDUCTION_PARTS).map(|_| Part::new(&work, None, None)).collect(),
    };
    parts.par_iter_mut().enumerate().for_each(|(index, part)| {
        part.run(&work, partition(images, REDUCTION_PARTS, index));
    });
    let (total, others) = parts.split_at_mut(1);
    let total = &mut total[0];
    for part in others {
        add(&mut total.first, &part.first);
        add(&mut total.second, &part.second);
        if let (Some(total), Some(part)) = (&mut total.norm, &part.norm) {
            total.merge(part);
        }
    }
    work.first_sums.finish(ctx, &total.first, grad_first);
    work.second_sums.finish(ctx, &total.second, grad_second);
    if let (Some(sums), Some(total)) = (sums, total.norm.take()) {
        *sums = total;
    }
    Ok(())
}

/// `total += values`, on all threads.
fn add(total: &mut [f32], values: &[f32]) {
    /// Values that one task adds up.
    const CHUNK: usize = 4096;
    total.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).for_each(|(total, values)| {
        total.iter_mut().zip(values).for_each(|(total, value)| *total += value);
    });
}

/// What all parts share.
struct Work<'a> {
    ctx: &'a Context,
    g: &'a FusedGeometry,
    source: Source<'a>,
    lanes: Option<Lanes>,
    middle: &'a [f32],
    incoming: Incoming<'a>,
    first_back: Prepared,
    second_back: Prepared,
    first_sums: WeightSums,
    second_sums: WeightSums,
}

/// A part of the images: its sums, and its share of the gradient of `x`.
struct Part<'a> {
    first: Buffer,
    second: Buffer,
    x: Option<&'a mut [f32]>,
    norm: Option<NormSums>,
}

impl<'a> Part<'a> {
    fn new(work: &Work<'_>, x: Option<&'a mut [f32]>, sums: Option<&NormSums>) -> Self {
        let pool = &work.ctx.pool;
        Self {
            first: pool.take(work.first_sums.len()),
            second: pool.take(work.second_sums.len()),
            x,
            norm: sums.map(|sums| sums.like(work.ctx)),
        }
    }

    fn run(&mut self, work: &Work<'_>, images: std::ops::Range<usize>) {
        let Work { ctx, g, source, middle, incoming, .. } = work;
        let [x_len, middle_len, y_len] =
            [g.first.input(), g.first.output(), g.second.output()].map(|map| map.len());
        let mut activated = ctx.pool.take(if source.is_plain() { 0 } else { x_len });
        let mut between = ctx.pool.take(if g.between.is_some() { middle_len } else { 0 });
        let mut grad_y = ctx.pool.take(if incoming.through.is_some() { y_len } else { 0 });
        let mut grad_middle = ctx.pool.take(middle_len);
        for (place, index) in images.enumerate() {
            let middle = image(middle, middle_len, index);
            let gradient = image(incoming.gradient, y_len, index);
            let gradient = match incoming.through {
                Some((norm, y)) => {
                    norm.apply(ctx, image(y, y_len, index), gradient, &mut grad_y);
                    &*grad_y
                }
                None => gradient,
            };
            let entering = match g.between {
                Some(activation) => {
                    forward_chunk(ctx, activation, middle, &mut between);
                    &*between
                }
                None => middle,
            };
            work.second_sums.add(ctx, entering, gradient, place == 0, &mut self.second);
            work.second_back.image(ctx, gradient, &mut grad_middle);
            if let Some(activation) = g.between {
                backward_in_place_chunk(ctx, activation, entering, &mut grad_middle);
            }
            let x = image(source.x, x_len, index);
            let a = prologue(ctx, work.lanes.as_ref(), source.activation, x, &mut activated);
            work.first_sums.add(ctx, a, &grad_middle, place == 0, &mut self.first);
            let Some(grad_x) = self.x.as_deref_mut() else { continue };
            let grad_x = &mut grad_x[place * x_len..][..x_len];
            work.first_back.image(ctx, &grad_middle, grad_x);
            if let Some(activation) = source.activation {
                backward_in_place_chunk(ctx, activation, a, grad_x);
            }
            if let Some(sums) = &mut self.norm {
                sums.add(ctx, x, grad_x);
            }
        }
    }
}
