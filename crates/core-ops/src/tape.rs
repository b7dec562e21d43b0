//! The part done by dfdx: a tape that runs the backward pass, and the gradients of parameters.

use dfdx::{
    prelude::{Backward, Cpu, PutTape, SplitTape, Tensor, ZerosTensor},
    tensor::{CpuError, Gradients, OwnedTape, Tape, Trace},
};

/// The place of one parameter's gradient among those of a [`Tape`](RunningTape): a
/// tensor of dfdx that holds no value.
pub(crate) type Slot = Tensor<(usize,), f32, Cpu>;

/// The gradients of parameters while a tape runs.
pub(crate) type TapeGradients = Gradients<f32, Cpu>;

/// Operations in the order of the forward pass.
pub(crate) struct RunningTape {
    device: Cpu,
    tape: OwnedTape<f32, Cpu>,
}

impl RunningTape {
    pub(crate) fn new() -> Self {
        let device = Cpu::default();
        let empty: Slot = device.zeros_like(&(0,));
        let (_, tape) = empty.traced(Gradients::leaky()).split_tape();
        Self { device, tape }
    }

    /// A place for a parameter's gradient.
    pub(crate) fn slot(&self) -> Slot {
        self.device.zeros_like(&(0,))
    }

    /// Adds the backward function of an operation.
    pub(crate) fn record(
        &mut self,
        backward: impl FnOnce(&mut TapeGradients) -> Result<(), CpuError> + 'static,
    ) {
        self.tape.add_backward_op(backward);
    }

    /// Runs all operations from the last to the first.
    pub(crate) fn run(self) -> Result<TapeGradients, CpuError> {
        let loss: Tensor<(), f32, Cpu> = self.device.zeros();
        loss.put_tape(self.tape).try_backward()
    }
}

/// Puts the gradient of a parameter in its place.
pub(crate) fn put(gradients: &mut TapeGradients, slot: &Slot, gradient: Vec<f32>) -> Result<(), CpuError> {
    let held: &mut Vec<f32> = gradients.get_or_alloc_mut(slot)?;
    *held = gradient;
    Ok(())
}

/// Takes the gradient of a parameter out; empty where there is none.
pub(crate) fn take(gradients: &mut TapeGradients, slot: &Slot) -> Result<Vec<f32>, CpuError> {
    let held: &mut Vec<f32> = gradients.get_or_alloc_mut(slot)?;
    Ok(std::mem::take(held))
}
