//! Dense layers and biases.

use std::rc::Rc;

use decouple_kernels::{elementwise, error::ShapeError};

use crate::{
    ConvGeometry, ConvOptions, FeatureMap, MapShape, OpError, Parameter, Recorder, parameter::write_gradient,
};

impl Recorder {
    /// y = W x over the flattened map.
    ///
    /// `x`: (n, h, w, c), read as n rows of h * w * c values; `weights`: (out,
    /// in); result: (n, 1, 1, out). A dense layer is a 1x1 convolution of a map
    /// of one pixel, and takes its path.
    ///
    /// # Errors
    /// [`OpError::Shape`] if `weights` is not a whole number of rows.
    pub fn linear(&mut self, x: &FeatureMap, weights: &Parameter) -> Result<FeatureMap, OpError> {
        let flat = MapShape::new(1, 1, x.shape().len());
        let outputs = weights.values().len() / flat.c;
        let geometry = ConvGeometry::new(flat, outputs, ConvOptions::pointwise())?;
        self.conv(&geometry, &x.reshaped(flat), weights)
    }

    /// y = x + b, the same b at every pixel.
    ///
    /// `x`: (n, h, w, c); `bias`: c values.
    ///
    /// # Errors
    /// [`OpError::Shape`] if `bias` does not have one value a channel.
    pub fn add_bias(&mut self, x: &FeatureMap, bias: &Parameter) -> Result<FeatureMap, OpError> {
        let (expected, found) = (x.shape().c, bias.values().len());
        if expected != found {
            return Err(ShapeError { op: "add bias", argument: "bias", expected, found }.into());
        }
        let mut y = self.context().pool.take_copy(x.values()?);
        elementwise::add_bias(self.context(), bias.values(), &mut y)?;
        let y = self.output(x.batch(), x.shape(), y);

        let (x_gradient, slot, channels) = (x.share_gradient(), bias.slot(), bias.values().len());
        self.record(&y, move |context, gradients, grad_y| {
            write_gradient(context, gradients, &slot, channels, |grad_bias| {
                Ok(elementwise::bias_gradient(context, &grad_y, grad_bias)?)
            })?;
            x_gradient.map_or(Ok(()), |gradient| gradient.add(context, Rc::clone(&grad_y)))
        });
        Ok(y)
    }
}
