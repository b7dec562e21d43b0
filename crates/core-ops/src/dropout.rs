//! Dropout.

use crate::{Dropout, FeatureMap, OpError, Recorder};

impl Recorder {
    /// In training, zeroes a share of the values and divides the others by what
    /// is left of one; in inference, the identity. Which values are dropped is a
    /// function of `dropout`'s seed and of their place, so it is the same on any
    /// number of threads and is not stored.
    ///
    /// # Errors
    /// [`OpError::Shape`] never for a map made by a recorder.
    pub fn dropout(&mut self, dropout: Dropout, x: &FeatureMap) -> Result<FeatureMap, OpError> {
        if !self.is_training() {
            return Ok(x.clone());
        }
        let mut y = self.buffer(x.len());
        dropout.forward(self.context(), x.values()?, &mut y)?;
        let y = self.output(x.batch(), x.shape(), y);

        let x_gradient = x.share_gradient();
        self.record(&y, move |context, _, grad_y| {
            let Some(x_gradient) = x_gradient else { return Ok(()) };
            let mut grad_x = context.pool.take(grad_y.len());
            dropout.backward(context, &grad_y, &mut grad_x)?;
            x_gradient.add(context, grad_x)
        });
        Ok(y)
    }
}
