//! Where the network ends and dfdx takes over: the loss.

use std::rc::Rc;

use dfdx::{
    losses::cross_entropy_with_logits_loss,
    prelude::{AsArray, Backward, Cpu, PutTape, SplitTape, Tensor, TensorFromVec},
    shapes::Rank0,
    tensor::{OwnedTape, Tape},
};

use crate::{FeatureMap, Gradients, OpError, Recorder};

/// A loss: its value, and the end of the tape it was recorded on.
#[derive(Debug)]
pub struct Loss {
    tensor: Tensor<Rank0, f32, Cpu>,
}

impl Loss {
    /// The mean over the batch. Not finite when training has diverged.
    pub fn value(&self) -> f32 {
        self.tensor.array()
    }

    /// Runs the tape backwards and returns the parameters' gradients.
    ///
    /// # Errors
    /// [`OpError`] if a recorded operation fails.
    pub fn backward(self, recorder: Recorder) -> Result<Gradients, OpError> {
        match recorder.into_tape() {
            Some(tape) => Ok(Gradients::from_tape(self.tensor.put_tape(tape).try_backward()?)),
            None => Ok(Gradients::default()),
        }
    }
}

impl Recorder {
    /// Mean over the batch of -sum_k t_k log softmax(logits)_k, where the target
    /// t puts `1 - smoothing` on the label and `smoothing / classes` on every
    /// class (Szegedy et al. 2016, section 7).
    ///
    /// `logits`: (n, 1, 1, classes); `labels`: n class indices.
    ///
    /// # Errors
    /// [`OpError`] if the labels are not as many as the images, or one names a
    /// class that does not exist.
    pub fn cross_entropy(
        &mut self,
        logits: &FeatureMap,
        labels: &[u16],
        smoothing: f32,
    ) -> Result<Loss, OpError> {
        let (batch, classes) = (logits.batch(), logits.shape().len());
        if labels.len() != batch {
            return Err(OpError::Batch { op: "cross entropy", expected: batch, found: labels.len() });
        }
        let targets = smoothed_targets(labels, classes, smoothing)?;
        let targets = self.device.try_tensor_from_vec(targets, (batch, classes))?;
        let tensor = self.device.try_tensor_from_vec(logits.values()?.to_vec(), (batch, classes))?;
        let Some(tape) = self.tape_mut() else {
            return Ok(Loss { tensor: cross_entropy_with_logits_loss(tensor, targets) });
        };

        let mut tape: OwnedTape<f32, Cpu> = std::mem::take(tape);
        let (ghost, cell) = (tensor.ghost(), logits.share_gradient());
        let context = self.context().clone();
        tape.add_backward_op(move |gradients| {
            let Some(cell) = cell else { return Ok(()) };
            let gradient: &mut Vec<f32> = gradients.get_or_alloc_mut(&ghost)?;
            let gradient = Rc::new(context.pool.take_copy(gradient));
            cell.add(&context, gradient).map_err(crate::recorder::on_tape)
        });
        let (tensor, tape) = cross_entropy_with_logits_loss(tensor.put_tape(tape), targets).split_tape();
        self.put_tape(tape);
        Ok(Loss { tensor })
    }
}

/// (n, classes) rows that sum to one.
fn smoothed_targets(labels: &[u16], classes: usize, smoothing: f32) -> Result<Vec<f32>, OpError> {
    let mut targets = vec![smoothing / classes as f32; labels.len() * classes];
    for (image, (row, &label)) in targets.chunks_exact_mut(classes).zip(labels).enumerate() {
        match row.get_mut(usize::from(label)) {
            Some(target) => *target += 1.0 - smoothing,
            None => return Err(OpError::Label { label, image, classes }),
        }
    }
    Ok(targets)
}
