//! The values of a map as they are stored, and what is still to be done to them.

use std::{cell::OnceCell, rc::Rc};

use decouple_kernels::{activation, fused::Source, norm};

use crate::{Activation, Buffer, Context, OpError};

/// A batch norm and an activation need not be written out where the next
/// operation applies them as it reads; where an operation asks for the values
/// themselves, they are made once and kept.
#[derive(Debug)]
pub(crate) struct Values {
    context: Context,
    stored: Rc<Buffer>,
    affine: Option<Rc<Affine>>,
    activation: Option<Activation>,
    made: OnceCell<Rc<Buffer>>,
}

/// A folded batch norm: one value a channel each.
#[derive(Debug)]
pub(crate) struct Affine {
    pub scale: Buffer,
    pub shift: Buffer,
    /// The mean of the batch, where gradients flow through it.
    pub mean: Option<Rc<Buffer>>,
}

impl Values {
    /// Values that are what is stored.
    pub(crate) fn plain(context: &Context, stored: Buffer) -> Self {
        Self::new(context, Rc::new(stored), None, None)
    }

    /// `stored` after `affine` and `activation`.
    pub(crate) fn new(
        context: &Context,
        stored: Rc<Buffer>,
        affine: Option<Rc<Affine>>,
        activation: Option<Activation>,
    ) -> Self {
        Self { context: context.clone(), stored, affine, activation, made: OnceCell::new() }
    }

    /// These values after `activation`: still what is stored, unless they have
    /// an activation already.
    pub(crate) fn activated(&self, activation: Activation) -> Result<Self, OpError> {
        let (stored, affine) = match self.activation {
            None => (&self.stored, self.affine.clone()),
            Some(_) => (self.buffer()?, None),
        };
        Ok(Self::new(&self.context, Rc::clone(stored), affine, Some(activation)))
    }

    /// The values themselves.
    ///
    /// # Errors
    /// [`OpError::Shape`] if the affine map does not have a value a channel.
    pub(crate) fn buffer(&self) -> Result<&Rc<Buffer>, OpError> {
        if self.affine.is_none() && self.activation.is_none() {
            return Ok(&self.stored);
        }
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let (ctx, x) = (&self.context, &self.stored);
        let mut y = ctx.pool.take(x.len());
        match (&self.affine, self.activation) {
            (Some(affine), Some(kind)) => {
                norm::apply_activated(ctx, kind, x, &affine.scale, &affine.shift, &mut y)?;
            }
            (Some(affine), None) => norm::apply(ctx, x, &affine.scale, &affine.shift, &mut y)?,
            (None, Some(kind)) => activation::forward(ctx, kind, x, &mut y)?,
            (None, None) => {}
        }
        Ok(self.made.get_or_init(|| Rc::new(y)))
    }

    /// The number of values.
    pub(crate) fn len(&self) -> usize {
        self.stored.len()
    }

    /// What a fused operation reads.
    pub(crate) fn source(&self) -> Source<'_> {
        let affine = self.affine.as_deref().map(|affine| (&*affine.scale, &*affine.shift));
        Source { x: &self.stored, affine, activation: self.activation }
    }

    /// The mean of the batch norm that is still to be applied, in training.
    pub(crate) fn pending_mean(&self) -> Option<Rc<Buffer>> {
        self.affine.as_ref().and_then(|affine| affine.mean.clone())
    }

    /// Whether an activation is still to be applied.
    pub(crate) fn is_activated(&self) -> bool {
        self.activation.is_some()
    }
}
