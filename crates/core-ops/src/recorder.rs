//! One pass over a network: what is computed, and what is noted for the way back.

use std::rc::Rc;

use decouple_kernels::error::ShapeError;
use dfdx::{
    prelude::{Cpu, SplitTape, ZerosTensor},
    tensor::{CpuError, Gradients as TapeGradients, OwnedTape, Tape, Trace},
};

use crate::{
    Activation, Buffer, Context, FeatureMap, Gradients, MapShape, OpError,
    gradient::Gradient,
    parameter::Slot,
    values::{Affine, Values},
};

/// Runs operations; in training it also records each on dfdx's tape.
///
/// The operations are methods, one file each: `conv`, `linear`, `batch_norm`,
/// `activation`, `max_pool`, `mean_pool`, `global_mean_pool`, `add`, `concat`,
/// `dropout`, `cross_entropy`.
#[derive(Debug)]
pub struct Recorder {
    context: Context,
    pub(crate) device: Cpu,
    tape: Option<OwnedTape<f32, Cpu>>,
}

impl Recorder {
    /// A pass that computes values alone.
    pub fn inference(context: &Context) -> Self {
        Self { context: context.clone(), device: Cpu::default(), tape: None }
    }

    /// A pass whose operations are recorded, with gradients written into
    /// `gradients` (cleared, or fresh).
    pub fn training(context: &Context, gradients: Gradients) -> Self {
        let device = Cpu::default();
        let empty: Slot = device.zeros_like(&(0,));
        let (_, tape) = empty.traced(gradients.into_tape()).split_tape();
        Self { context: context.clone(), device, tape: Some(tape) }
    }

    /// Whether operations behave as in training and are recorded.
    pub fn is_training(&self) -> bool {
        self.tape.is_some()
    }

    /// Instructions and memory of this pass.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Copies a batch of images of `shape` in; no gradient flows into them.
    ///
    /// # Errors
    /// [`OpError::Shape`] if `images` is not a whole number of images.
    pub fn input(&self, shape: MapShape, images: &[f32]) -> Result<FeatureMap, OpError> {
        let mut buffer = self.buffer(images.len());
        buffer.copy_from_slice(images);
        self.input_buffer(shape, buffer)
    }

    /// As [`Recorder::input`], for images that are already in a buffer.
    ///
    /// # Errors
    /// [`OpError::Shape`] if `images` is not a whole number of images.
    pub fn input_buffer(&self, shape: MapShape, images: Buffer) -> Result<FeatureMap, OpError> {
        let batch = images.len() / shape.len().max(1);
        let (expected, found) = (batch * shape.len(), images.len());
        if expected != found {
            return Err(ShapeError { op: "input", argument: "images", expected, found }.into());
        }
        Ok(FeatureMap::new(batch, shape, Values::plain(&self.context, images), false))
    }

    /// An input that gradients do flow into, which only tests look at.
    #[cfg(test)]
    pub(crate) fn tracked_input(&self, shape: MapShape, images: &[f32]) -> Result<FeatureMap, OpError> {
        let input = self.input(shape, images)?;
        Ok(self.output(input.batch(), shape, self.context.pool.take_copy(images)))
    }

    /// A buffer of `len` values with unspecified contents.
    pub fn buffer(&self, len: usize) -> Buffer {
        self.context.pool.take(len)
    }

    /// The result of an operation, tracked in training.
    pub(crate) fn output(&self, batch: usize, shape: MapShape, values: Buffer) -> FeatureMap {
        FeatureMap::new(batch, shape, Values::plain(&self.context, values), self.is_training())
    }

    /// `x` after a folded batch norm, which is left to the next operation.
    pub(crate) fn normalised(&self, x: &FeatureMap, affine: Affine) -> Result<FeatureMap, OpError> {
        let values = Values::new(&self.context, x.share_values()?, Some(Rc::new(affine)), None);
        Ok(FeatureMap::new(x.batch(), x.shape(), values, self.is_training()))
    }

    /// `x` after an activation, which is left to the next operation.
    pub(crate) fn activated(&self, x: &FeatureMap, activation: Activation) -> Result<FeatureMap, OpError> {
        let values = x.lazy_values().activated(activation)?;
        Ok(FeatureMap::new(x.batch(), x.shape(), values, self.is_training()).activated_from(x))
    }

    /// Notes how the gradient of `output` flows back. `backward` gets that
    /// gradient once it is complete, and is skipped if nothing used `output`.
    pub(crate) fn record(
        &mut self,
        output: &FeatureMap,
        backward: impl FnOnce(&Context, &mut TapeGradients<f32, Cpu>, Rc<Buffer>) -> Result<(), OpError> + 'static,
    ) {
        self.record_lazy(output, |context, gradients, gradient| {
            backward(context, gradients, gradient.values(context)?)
        });
    }

    /// As [`Recorder::record`], for an operation that takes the gradient as it
    /// is, with what is still to be done to it.
    pub(crate) fn record_lazy(
        &mut self,
        output: &FeatureMap,
        backward: impl FnOnce(&Context, &mut TapeGradients<f32, Cpu>, Gradient) -> Result<(), OpError> + 'static,
    ) {
        let (Some(tape), Some(cell)) = (&mut self.tape, output.share_gradient()) else { return };
        let context = self.context.clone();
        tape.add_backward_op(move |gradients| match cell.take() {
            Some(gradient) => backward(&context, gradients, gradient).map_err(on_tape),
            None => Ok(()),
        });
    }

    /// The tape itself, for what dfdx computes on its own tensors.
    pub(crate) fn tape_mut(&mut self) -> Option<&mut OwnedTape<f32, Cpu>> {
        self.tape.as_mut()
    }

    pub(crate) fn put_tape(&mut self, tape: OwnedTape<f32, Cpu>) {
        self.tape = Some(tape);
    }

    pub(crate) fn into_tape(self) -> Option<OwnedTape<f32, Cpu>> {
        self.tape
    }
}

/// The tape knows dfdx's errors only. A shape that is wrong on the way back was
/// already refused on the way forward, so nothing is lost in the translation.
pub(crate) fn on_tape(error: OpError) -> CpuError {
    match error {
        OpError::Tensor(error) => error,
        _ => CpuError::WrongNumElements,
    }
}
