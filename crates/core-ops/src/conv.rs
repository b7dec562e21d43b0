//! Convolution over any number of channel segments.

use decouple_kernels::conv;

use crate::{ConvGeometry, FeatureMap, OpError, Parameter, Recorder, parameter::write_gradient};

impl Recorder {
    /// y = x * w: the convolution that `geometry` describes, without bias.
    ///
    /// `x`: (n, in_h, in_w, in_c); `weights`: `geometry.weight_count()` values in
    /// the ragged (out, in of group, kh, kw) order; result: (n, out_h, out_w,
    /// out_c). Cost: n * `geometry.macs()` multiply-adds forward and twice that
    /// backward (once if no gradient flows into `x`).
    ///
    /// # Errors
    /// [`OpError`] if `x` or `weights` do not fit `geometry`.
    pub fn conv(
        &mut self,
        geometry: &ConvGeometry,
        x: &FeatureMap,
        weights: &Parameter,
    ) -> Result<FeatureMap, OpError> {
        x.expect_shape("conv", geometry.input())?;
        let mut y = self.buffer(x.batch() * geometry.output().len());
        conv::forward(self.context(), geometry, x.values()?, weights.values(), &mut y)?;
        let y = self.output(x.batch(), geometry.output(), y);

        let geometry = *geometry;
        let (x_values, x_gradient) = (x.share_values()?, x.share_gradient());
        let (w_values, w_slot) = (weights.share_values(), weights.slot());
        self.record(&y, move |context, gradients, grad_y| {
            write_gradient(context, gradients, &w_slot, w_values.len(), |grad_w| {
                Ok(conv::backward_weights(context, &geometry, &x_values, &grad_y, grad_w)?)
            })?;
            let Some(x_gradient) = x_gradient else { return Ok(()) };
            let mut grad_x = context.pool.take(x_values.len());
            conv::backward_input(context, &geometry, &grad_y, &w_values, &mut grad_x)?;
            x_gradient.add(context, grad_x)
        });
        Ok(y)
    }
}
