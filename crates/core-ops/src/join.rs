//! Where paths meet: sum and concatenation.

use std::rc::Rc;

use decouple_kernels::{elementwise, error::ShapeError};

use crate::{FeatureMap, MapShape, OpError, Recorder};

impl Recorder {
    /// y = a + b, element by element: the end of a residual connection.
    ///
    /// # Errors
    /// [`OpError`] if the maps differ in shape or in number of images.
    pub fn add(&mut self, a: &FeatureMap, b: &FeatureMap) -> Result<FeatureMap, OpError> {
        b.expect_shape("add", a.shape())?;
        b.expect_batch("add", a.batch())?;
        let mut y = self.buffer(a.len());
        elementwise::add(self.context(), a.values()?, b.values()?, &mut y)?;
        let y = self.output(a.batch(), a.shape(), y);

        let (a_gradient, b_gradient) = (a.share_gradient(), b.share_gradient());
        self.record(&y, move |context, _, grad_y| {
            // Both gradients are the one buffer, shared and not copied.
            for gradient in [a_gradient, b_gradient].into_iter().flatten() {
                gradient.add(context, Rc::clone(&grad_y))?;
            }
            Ok(())
        });
        Ok(y)
    }

    /// The channels of all `maps`, one after the other.
    ///
    /// # Errors
    /// [`OpError`] if the maps differ in height, width or number of images.
    pub fn concat(&mut self, maps: &[&FeatureMap]) -> Result<FeatureMap, OpError> {
        let Some(first) = maps.first() else {
            return Err(ShapeError { op: "concat", argument: "maps", expected: 1, found: 0 }.into());
        };
        for map in maps {
            map.expect_shape("concat", MapShape { c: map.shape().c, ..first.shape() })?;
            map.expect_batch("concat", first.batch())?;
        }
        let channels: Vec<usize> = maps.iter().map(|map| map.shape().c).collect();
        let shape = MapShape { c: channels.iter().sum(), ..first.shape() };
        let mut y = self.buffer(first.batch() * shape.len());
        let parts = maps.iter().map(|map| Ok((map.values()?, map.shape().c)));
        let parts = parts.collect::<Result<Vec<(&[f32], usize)>, OpError>>()?;
        elementwise::concat(self.context(), &parts, &mut y)?;
        let y = self.output(first.batch(), shape, y);

        let targets: Vec<_> = maps.iter().map(|map| (map.share_gradient(), map.len())).collect();
        self.record(&y, move |context, _, grad_y| {
            let mut grads: Vec<_> = targets.iter().map(|(_, len)| context.pool.take(*len)).collect();
            let mut parts: Vec<(&mut [f32], usize)> =
                grads.iter_mut().zip(&channels).map(|(grad, &c)| (&mut **grad, c)).collect();
            elementwise::split(context, &grad_y, &mut parts)?;
            for ((gradient, _), grad) in targets.into_iter().zip(grads) {
                if let Some(gradient) = gradient {
                    gradient.add(context, grad)?;
                }
            }
            Ok(())
        });
        Ok(y)
    }
}
