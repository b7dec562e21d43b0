//! A module of the spectrum as one recorded operation.

use std::rc::Rc;

use decouple_kernels::{
    fused::{self, Outgoing},
    norm::NormSums,
};

use crate::{
    FeatureMap, FusedGeometry, OpError, Parameter, Recorder, gradient::Gradient, parameter::write_gradient,
};

impl Recorder {
    /// y = second(between(first(x))): two convolutions as one operation, image
    /// by image, which also applies a batch norm and an activation that `x` still
    /// has to go through, and takes the statistics that a batch norm of y needs.
    /// The same result as the separate operations, up to rounding.
    ///
    /// `x`: (n, in_h, in_w, in_c) of `geometry.first`; `weights`: of the first and
    /// the second convolution; result: (n, out_h, out_w, out_c) of the second.
    /// Cost: n * `geometry.macs()` multiply-adds forward and twice that backward.
    ///
    /// # Errors
    /// [`OpError`] if `x` or `weights` do not fit, or there are fewer than
    /// [`FusedGeometry::MIN_IMAGES`] images.
    pub fn fused(
        &mut self,
        geometry: &FusedGeometry,
        x: &FeatureMap,
        weights: [&Parameter; 2],
    ) -> Result<FeatureMap, OpError> {
        x.expect_shape("fused", geometry.first.input())?;
        let (batch, output) = (x.batch(), geometry.second.output());
        let mut middle = self.buffer(batch * geometry.first.output().len());
        let mut y = self.buffer(batch * output.len());
        let mut statistics = self.is_training().then(|| (self.buffer(output.c), self.buffer(output.c)));
        fused::forward(
            self.context(),
            geometry,
            x.lazy_values().source(),
            weights.map(Parameter::values),
            &mut middle,
            &mut y,
            statistics.as_mut().map(|(mean, variance)| (&mut **mean, &mut **variance)),
        )?;
        let y = self.output(batch, output, y).with_statistics(statistics);

        let (geometry, x_values, x_gradient) = (*geometry, x.share_lazy_values(), x.share_source_gradient());
        let held = weights.map(|weights| (weights.share_values(), weights.slot()));
        self.record_lazy(&y, move |context, gradients, grad_y| {
            let [(first, first_slot), (second, second_slot)] = held;
            let mut grad_second = context.pool.take(second.len());
            let mut grad_x = x_gradient.as_ref().map(|_| context.pool.take(x_values.len()));
            let mean = grad_x.as_ref().and_then(|_| x_values.pending_mean());
            let mut sums = mean.map(|mean| NormSums::new(context, &mean));
            write_gradient(context, gradients, &first_slot, first.len(), |grad_first| {
                let outgoing = Outgoing {
                    weights: [grad_first, &mut grad_second],
                    x: grad_x.as_deref_mut(),
                    sums: sums.as_mut(),
                };
                let weights = [&**first, &**second];
                Ok(fused::backward(
                    context,
                    &geometry,
                    x_values.source(),
                    weights,
                    &middle,
                    grad_y.incoming(),
                    outgoing,
                )?)
            })?;
            write_gradient(context, gradients, &second_slot, second.len(), |slot| {
                slot.copy_from_slice(&grad_second);
                Ok(())
            })?;
            match (x_gradient, grad_x, sums) {
                (Some(cell), Some(grad_x), Some(sums)) => {
                    cell.add(context, Gradient::with_sums(grad_x, sums))
                }
                (Some(cell), Some(grad_x), None) => cell.add(context, Rc::new(grad_x)),
                _ => Ok(()),
            }
        });
        Ok(y)
    }
}
