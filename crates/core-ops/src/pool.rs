//! Pooling over windows and over the whole map.

use decouple_kernels::pool;

use crate::{FeatureMap, MapShape, OpError, PoolGeometry, Recorder};

impl Recorder {
    /// The maximum of each window; padding never wins. The gradient goes to the
    /// first maximum of a window, row by row.
    ///
    /// # Errors
    /// [`OpError::Map`] if `x` does not have the geometry's input shape.
    pub fn max_pool(&mut self, geometry: &PoolGeometry, x: &FeatureMap) -> Result<FeatureMap, OpError> {
        x.expect_shape("max pool", geometry.input())?;
        let mut y = self.buffer(x.batch() * geometry.output().len());
        if !self.is_training() {
            pool::max_forward(self.context(), geometry, x.values()?, &mut y)?;
            return Ok(self.output(x.batch(), geometry.output(), y));
        }
        let mut argmax = vec![0u8; y.len()];
        pool::max_forward_indexed(self.context(), geometry, x.values()?, &mut y, &mut argmax)?;
        let y = self.output(x.batch(), geometry.output(), y);

        let (geometry, x_gradient, len) = (*geometry, x.share_gradient(), x.len());
        self.record(&y, move |context, _, grad_y| {
            let Some(x_gradient) = x_gradient else { return Ok(()) };
            let mut grad_x = context.pool.take(len);
            pool::max_backward(context, &geometry, &argmax, &grad_y, &mut grad_x)?;
            x_gradient.add(context, grad_x)
        });
        Ok(y)
    }

    /// The mean of each window. `include_padding` counts the border as zeros
    /// (timm); else a window is divided by the pixels that it covers (Keras).
    ///
    /// # Errors
    /// [`OpError::Map`] if `x` does not have the geometry's input shape.
    pub fn mean_pool(
        &mut self,
        geometry: &PoolGeometry,
        include_padding: bool,
        x: &FeatureMap,
    ) -> Result<FeatureMap, OpError> {
        x.expect_shape("mean pool", geometry.input())?;
        let mut y = self.buffer(x.batch() * geometry.output().len());
        pool::mean_forward(self.context(), geometry, include_padding, x.values()?, &mut y)?;
        let y = self.output(x.batch(), geometry.output(), y);

        let (geometry, x_gradient, len) = (*geometry, x.share_gradient(), x.len());
        self.record(&y, move |context, _, grad_y| {
            let Some(x_gradient) = x_gradient else { return Ok(()) };
            let mut grad_x = context.pool.take(len);
            pool::mean_backward(context, &geometry, include_padding, &grad_y, &mut grad_x)?;
            x_gradient.add(context, grad_x)
        });
        Ok(y)
    }

    /// The mean over all pixels: (n, h, w, c) to (n, 1, 1, c).
    ///
    /// # Errors
    /// [`OpError::Shape`] never for a map made by a recorder.
    pub fn global_mean_pool(&mut self, x: &FeatureMap) -> Result<FeatureMap, OpError> {
        let (map, batch) = (x.shape(), x.batch());
        let mut y = self.buffer(batch * map.c);
        pool::global_mean_forward(self.context(), map, x.values()?, &mut y)?;
        let y = self.output(batch, MapShape::new(1, 1, map.c), y);

        let x_gradient = x.share_gradient();
        self.record(&y, move |context, _, grad_y| {
            let Some(x_gradient) = x_gradient else { return Ok(()) };
            let mut grad_x = context.pool.take(batch * map.len());
            pool::global_mean_backward(context, map, &grad_y, &mut grad_x)?;
            x_gradient.add(context, grad_x)
        });
        Ok(y)
    }
}
