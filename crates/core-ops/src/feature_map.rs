//! Activations: a batch of channels-last maps with a place for their gradient.

use std::rc::Rc;

use crate::{Buffer, MapShape, OpError, gradient::GradientCell, values::Values};

/// A batch of feature maps, (n, h, w, c), contiguous. Clones share the values
/// and the gradient.
///
/// The values live in an aligned buffer from the context's pool and not in a
/// dfdx tensor: tensors there are neither aligned nor reused, and their
/// gradients are zero-filled before they are added to (measured: 6.0 ms
/// against 3.4 ms for one convolution with its gradients). Here the first
/// gradient to arrive is moved in; only later ones are added. A batch norm or
/// an activation is written out only if an operation asks for its values.
#[derive(Clone, Debug)]
pub struct FeatureMap {
    batch: usize,
    shape: MapShape,
    values: Rc<Values>,
    gradient: Option<Rc<GradientCell>>,
    /// Where an activation is still to be applied: the gradient of what comes
    /// before it.
    unactivated: Option<Rc<GradientCell>>,
    /// Mean and variance of each channel, where its producer took them.
    statistics: Option<Rc<(Buffer, Buffer)>>,
}

impl FeatureMap {
    /// Wraps `values`; `tracked` says whether a gradient can flow into them.
    pub(crate) fn new(batch: usize, shape: MapShape, values: Values, tracked: bool) -> Self {
        debug_assert_eq!(values.len(), batch * shape.len());
        let gradient = tracked.then(Rc::default);
        Self { batch, shape, values: Rc::new(values), gradient, unactivated: None, statistics: None }
    }

    /// Number of images.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Shape of one image.
    pub fn shape(&self) -> MapShape {
        self.shape
    }

    /// The values, as (n, h, w, c).
    ///
    /// # Errors
    /// [`OpError::Shape`] never for a map made by a recorder.
    pub fn values(&self) -> Result<&[f32], OpError> {
        Ok(self.values.buffer()?)
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same values under another shape of as many values an image.
    pub(crate) fn reshaped(&self, shape: MapShape) -> Self {
        debug_assert_eq!(shape.len(), self.shape.len());
        Self { shape, statistics: None, ..self.clone() }
    }

    /// What a backward operation keeps of the values.
    pub(crate) fn share_values(&self) -> Result<Rc<Buffer>, OpError> {
        Ok(Rc::clone(self.values.buffer()?))
    }

    /// The values and what is still to be done to them.
    pub(crate) fn lazy_values(&self) -> &Values {
        &self.values
    }

    /// As [`FeatureMap::lazy_values`], to be kept.
    pub(crate) fn share_lazy_values(&self) -> Rc<Values> {
        Rc::clone(&self.values)
    }

    /// The same map, of which mean and variance are known.
    pub(crate) fn with_statistics(self, statistics: Option<(Buffer, Buffer)>) -> Self {
        Self { statistics: statistics.map(Rc::new), ..self }
    }

    /// Mean and variance of each channel, where they are known.
    pub(crate) fn statistics(&self) -> Option<&(Buffer, Buffer)> {
        self.statistics.as_deref()
    }

    /// The same map, whose pending activation was applied to `x`.
    pub(crate) fn activated_from(self, x: &Self) -> Self {
        Self { unactivated: x.gradient.clone(), ..self }
    }

    /// Where an operation that undoes a pending activation itself puts the
    /// gradient: before that activation.
    pub(crate) fn share_source_gradient(&self) -> Option<Rc<GradientCell>> {
        if self.values.is_activated() { self.unactivated.clone() } else { self.gradient.clone() }
    }

    /// What a backward operation keeps of the gradient; `None` where none flows.
    pub(crate) fn share_gradient(&self) -> Option<Rc<GradientCell>> {
        self.gradient.clone()
    }

    /// Refuses a map that is not of shape `expected`.
    pub(crate) fn expect_shape(&self, op: &'static str, expected: MapShape) -> Result<(), OpError> {
        if self.shape == expected { Ok(()) } else { Err(OpError::Map { op, expected, found: self.shape }) }
    }

    /// Refuses a map that does not hold `expected` images.
    pub(crate) fn expect_batch(&self, op: &'static str, expected: usize) -> Result<(), OpError> {
        if self.batch == expected { Ok(()) } else { Err(OpError::Batch { op, expected, found: self.batch }) }
    }
}
