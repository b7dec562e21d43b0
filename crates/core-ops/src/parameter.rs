//! Trained values, and their gradients in dfdx's store.

use std::rc::Rc;

use dfdx::{
    optim::UnusedTensors,
    prelude::{Cpu, Tensor, ZerosTensor},
    tensor::Gradients as TapeGradients,
};

use crate::{Buffer, Context, OpError};

/// A tensor of dfdx that holds no value: it gives a parameter its identity on
/// the tape and a slot in [`Gradients`].
pub(crate) type Slot = Tensor<(usize,), f32, Cpu>;

/// A trained parameter: values in an aligned buffer, and a slot on dfdx's tape.
#[derive(Debug)]
pub struct Parameter {
    values: Rc<Buffer>,
    slot: Slot,
}

impl Parameter {
    /// A parameter that starts as a copy of `values`.
    pub fn new(context: &Context, values: &[f32]) -> Self {
        let slot = Cpu::default().zeros_like(&(0,));
        Self { values: Rc::new(context.pool.take_copy(values)), slot }
    }

    /// The values.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values, to be changed between steps. Copies them first if a tape
    /// that has not run still reads them.
    pub fn values_mut(&mut self, context: &Context) -> &mut [f32] {
        if Rc::get_mut(&mut self.values).is_none() {
            self.values = Rc::new(context.pool.take_copy(&self.values));
        }
        Rc::get_mut(&mut self.values).map_or(&mut [], |buffer| &mut **buffer)
    }

    pub(crate) fn share_values(&self) -> Rc<Buffer> {
        Rc::clone(&self.values)
    }

    pub(crate) fn slot(&self) -> Slot {
        self.slot.clone()
    }
}

/// Gradients of the parameters, in dfdx's store. Handed from step to step so
/// that their memory is allocated once.
#[derive(Debug)]
pub struct Gradients(TapeGradients<f32, Cpu>);

impl Default for Gradients {
    fn default() -> Self {
        Self(TapeGradients::leaky())
    }
}

impl Gradients {
    pub(crate) fn from_tape(gradients: TapeGradients<f32, Cpu>) -> Self {
        Self(gradients)
    }

    pub(crate) fn into_tape(self) -> TapeGradients<f32, Cpu> {
        self.0
    }

    /// The gradient of `parameter`, or `None` if the last step did not use it.
    pub fn of(&mut self, parameter: &Parameter) -> Option<&[f32]> {
        let gradient: &Vec<f32> = self.0.get_or_alloc_mut(&parameter.slot).ok()?;
        (!gradient.is_empty()).then_some(gradient)
    }

    /// Empties the gradients of `parameters`, keeping their memory, and drops
    /// all others; call it between steps.
    pub fn clear<'a>(&mut self, parameters: impl IntoIterator<Item = &'a Parameter>) {
        let mut kept = UnusedTensors::default();
        for parameter in parameters {
            kept.add(&parameter.slot);
            if let Ok(gradient) = self.0.get_or_alloc_mut(&parameter.slot) {
                gradient.clear();
            }
        }
        self.0.retain_leafs(&kept.ids);
    }
}

/// Writes a gradient into `slot`: `compute` overwrites the slice that it is
/// given. The first use of a parameter in a step is written in place, a
/// further one is added.
pub(crate) fn write_gradient(
    context: &Context,
    gradients: &mut TapeGradients<f32, Cpu>,
    slot: &Slot,
    len: usize,
    compute: impl FnOnce(&mut [f32]) -> Result<(), OpError>,
) -> Result<(), OpError> {
    let held: &mut Vec<f32> = gradients.get_or_alloc_mut(slot)?;
    if held.is_empty() {
        held.resize(len, 0.0);
        return compute(held);
    }
    let mut more = context.pool.take(len);
    compute(&mut more)?;
    held.iter_mut().zip(more.iter()).for_each(|(sum, value)| *sum += value);
    Ok(())
}
