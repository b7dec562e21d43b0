//! The gradient of a map on its way from its consumers to its producer.

use std::{cell::RefCell, rc::Rc};

use decouple_kernels::{
    elementwise,
    fused::Incoming,
    norm::{InputGradient, NormSums},
};

use crate::{Buffer, Context, OpError};

/// The gradient of one map.
#[derive(Clone, Debug)]
pub(crate) struct Gradient {
    values: Rc<Buffer>,
    /// What the batch norm that made the map needs, where a consumer has summed
    /// it up already.
    sums: Option<Rc<NormSums>>,
    /// The batch norm that `values` still have to go through, and its input.
    through: Option<Rc<(InputGradient, Rc<Buffer>)>>,
}

impl From<Rc<Buffer>> for Gradient {
    fn from(values: Rc<Buffer>) -> Self {
        Self { values, sums: None, through: None }
    }
}

impl From<Buffer> for Gradient {
    fn from(values: Buffer) -> Self {
        Rc::new(values).into()
    }
}

impl Gradient {
    /// A gradient with the sums that a batch norm needs.
    pub(crate) fn with_sums(values: Buffer, sums: NormSums) -> Self {
        Self { values: Rc::new(values), sums: Some(Rc::new(sums)), through: None }
    }

    /// The gradient of a batch norm's `input`, of which `values` are that of its output.
    pub(crate) fn through(values: Rc<Buffer>, norm: InputGradient, input: Rc<Buffer>) -> Self {
        Self { values, sums: None, through: Some(Rc::new((norm, input))) }
    }

    /// The sums, where they are known.
    pub(crate) fn sums(&self) -> Option<&NormSums> {
        self.sums.as_deref()
    }

    /// What a fused operation takes.
    pub(crate) fn incoming(&self) -> Incoming<'_> {
        let through = self.through.as_deref().map(|(norm, input)| (norm, &***input));
        Incoming { gradient: &self.values, through }
    }

    /// The gradient itself, written out if need be.
    pub(crate) fn values(self, context: &Context) -> Result<Rc<Buffer>, OpError> {
        let Some(through) = self.through else { return Ok(self.values) };
        let (norm, input) = &*through;
        let mut values = context.pool.take(input.len());
        norm.apply_all(context, input, &self.values, &mut values)?;
        Ok(Rc::new(values))
    }
}

/// The gradient of one map while the tape runs backwards: empty until the
/// first consumer has written, taken when the producer has read it.
#[derive(Debug, Default)]
pub(crate) struct GradientCell(RefCell<Option<Gradient>>);

impl GradientCell {
    /// Adds `gradient`: moves it in if it is the first, else sums.
    pub(crate) fn add(&self, context: &Context, gradient: impl Into<Gradient>) -> Result<(), OpError> {
        let mut cell = self.0.borrow_mut();
        let gradient = gradient.into();
        let Some(held) = cell.take() else {
            *cell = Some(gradient);
            return Ok(());
        };
        let (mut held, gradient) = (held.values(context)?, gradient.values(context)?);
        match Rc::get_mut(&mut held) {
            Some(sum) => elementwise::accumulate(context, sum, &gradient)?,
            None => {
                // Another map holds the same buffer (both inputs of a sum do).
                let mut sum = context.pool.take(held.len());
                elementwise::add(context, &held, &gradient, &mut sum)?;
                held = Rc::new(sum);
            }
        }
        *cell = Some(held.into());
        Ok(())
    }

    /// Takes the gradient out; `None` if nothing used the map.
    pub(crate) fn take(&self) -> Option<Gradient> {
        self.0.borrow_mut().take()
    }
}
