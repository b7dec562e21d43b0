//! A step of an optimiser.

pub use decouple_kernels::update::Rule;

/// One step of an optimiser, in numbers: the result of rule, schedule and step count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// How a gradient changes a value.
    pub rule: Rule,
    /// Times the value, added to the gradient (L2 regularisation).
    pub l2: f32,
    /// The value is multiplied by this first (decoupled weight decay).
    pub shrink: f32,
    /// Whether decay is for convolution and dense weights alone, or for all.
    pub decays_all: bool,
    /// Share of the new value in the running average; `None` keeps none. The
    /// first step with a share starts from the values before it.
    pub average_share: Option<f32>,
}

impl Update {
    /// Values kept for each trained one: itself, its gradient, the optimiser state, and its
    /// average.
    pub const fn copies(&self) -> usize {
        let [first, second] = self.rule.start();
        let remembered = first.is_some() as usize + second.is_some() as usize;
        2 + remembered + self.average_share.is_some() as usize
    }
}
