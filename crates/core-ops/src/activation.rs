//! Activations.

use std::rc::Rc;

use decouple_kernels::activation;

use crate::{Activation, FeatureMap, OpError, Recorder};

impl Recorder {
    /// y = a(x), element by element. It is left to the next operation to apply
    /// it as it reads, or to ask for the values.
    ///
    /// Backward reads y, which the next operation keeps anyway, and works in
    /// the buffer of y's gradient when nothing else holds it.
    ///
    /// # Errors
    /// [`OpError::Shape`] never for a map made by a recorder.
    pub fn activation(&mut self, kind: Activation, x: &FeatureMap) -> Result<FeatureMap, OpError> {
        let y = self.activated(x, kind)?;
        let (y_values, x_gradient) = (y.share_lazy_values(), x.share_gradient());
        self.record(&y, move |context, _, mut grad_y| {
            let Some(x_gradient) = x_gradient else { return Ok(()) };
            let y_values = y_values.buffer()?;
            if let Some(gradient) = Rc::get_mut(&mut grad_y) {
                activation::backward_in_place(context, kind, y_values, gradient)?;
                return x_gradient.add(context, grad_y);
            }
            let mut grad_x = context.pool.take(grad_y.len());
            activation::backward(context, kind, y_values, &grad_y, &mut grad_x)?;
            x_gradient.add(context, grad_x)
        });
        Ok(y)
    }
}
