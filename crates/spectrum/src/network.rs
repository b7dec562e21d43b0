//! A network as typed in a file, before it is lowered to a graph.

mod allocation;
mod architectures;
mod family;
pub mod figures;
mod key;
mod preprocessing;
mod validate;

use crate::builder::BatchNormOptions;
use crate::error::SpecError;
use crate::graph::Graph;
use crate::module::{Intermediate, ModuleKind, NormPlacement, Order, SpectrumModule};
use crate::segments::{SegmentSchedule, Segments};
use architectures::Channels;
use decouple_kernels::geometry::MapShape;
use decouple_keys::InvalidKey;
pub use family::{Dense, Family, Numerics};
pub use key::NetworkKey;
pub use preprocessing::Preprocessing;
use serde::{Deserialize, Serialize};

/// The most channels a layer may have. Published networks stay below 4,097.
pub const MAX_CHANNELS: usize = 8_192;

/// A network of one family. A missing key takes the value of [`NetworkSpec::of`] for that
/// family; a key that the family does not read must be left out.
///
/// ```
/// use decouple_kernels::geometry::MapShape;
/// use decouple_spectrum::network::NetworkSpec;
/// let graph = NetworkSpec::default().graph(MapShape::new(28, 28, 1), 10)?;
/// assert_eq!(graph.output(), MapShape::new(1, 1, 10));
/// assert_eq!(graph.level(), 1.0);
/// # Ok::<(), decouple_spectrum::error::SpecError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "key::NetworkTable", into = "key::NetworkTable")]
pub struct NetworkSpec {
    /// The architecture.
    pub family: Family,
    /// Which implementation a published network follows.
    pub numerics: Numerics,
    /// Segments of the spatial convolutions: one value, or one per stage.
    pub segments: SegmentSchedule,
    /// What modules consist of.
    pub module: ModuleKind,
    /// Whether the pointwise or the spatial convolution comes first.
    pub order: Order,
    /// The activation between the two convolutions.
    pub intermediate: Intermediate,
    /// One batch norm per module, or one after each of its two convolutions.
    pub norm: NormPlacement,
    /// Added to the variance by every batch norm.
    pub norm_epsilon: f64,
    /// Share of the new batch in the running mean and variance of every batch norm. The paper's
    /// Xception has 0.01 (Keras' "momentum" 0.99), for millions of steps. After a short
    /// training, that average would still contain its initial value: after 300 steps, 0.99^300
    /// = 5 % of it.
    pub norm_momentum: f64,
    /// Whether flows have linear residual connections.
    pub residual: bool,
    /// Further inputs of the modules of a middle block.
    pub dense: Dense,
    /// Rows and columns of the spatial kernels: 3, 5 or 7.
    pub kernel: usize,
    /// Channels of the stem convolution.
    pub stem: usize,
    /// Rows and columns of the stem's kernel: 3, or 1 to leave all spatial
    /// structure of the images to the modules.
    pub stem_kernel: usize,
    /// Channels of each entry stage. A stage halves the map.
    pub entry: Vec<usize>,
    /// Blocks of the middle flow, as wide as the last entry stage.
    pub middle: usize,
    /// Modules in a middle block.
    pub modules: usize,
    /// Channels of the exit flow.
    pub exit: usize,
    /// Channels between the two convolutions of the modules: of each entry stage, of the middle flow where
    /// there is one, and of the exit flow. Empty for the modules' defaults.
    pub inner: Vec<usize>,
    /// Whether the stem keeps the size of the map, for images of about 32
    /// pixels, instead of dividing it by two to eight.
    pub small_stem: bool,
    /// Channel counts of a published network, from input to output, as its
    /// family lists them ([`Family::channels`]).
    pub channels: Vec<usize>,
    /// Outputs of the dense layers, each with a relu, before the logits.
    pub fully_connected: Vec<usize>,
    /// Multiplies all channel counts, rounded to nearest, at least 1.
    pub width: f64,
    /// Share of the values before the logits that are zeroed in training.
    pub dropout: f64,
}

impl Default for NetworkSpec {
    /// A mini-xception small enough to train on a CPU: 2.3 million multiply-adds for an image
    /// of 28x28x1, and 67 thousand parameters for ten classes.
    fn default() -> Self {
        Self {
            family: Family::MiniXception,
            numerics: Numerics::Keras,
            segments: SegmentSchedule::default(),
            module: ModuleKind::Spectrum,
            order: Order::PointwiseFirst,
            intermediate: Intermediate::None,
            norm: NormPlacement::Module,
            norm_epsilon: 1e-3,
            norm_momentum: 0.1,
            residual: true,
            dense: Dense::None,
            kernel: 3,
            stem: 16,
            stem_kernel: 3,
            entry: vec![16, 32, 64],
            middle: 2,
            modules: 3,
            exit: 128,
            inner: Vec::new(),
            small_stem: false,
            channels: Vec::new(),
            fully_connected: Vec::new(),
            width: 1.0,
            dropout: 0.0,
        }
    }
}

impl Family {
    /// The channel counts that the paper gives the family, from input to output: what
    /// `network.channels` may replace. Empty if other keys hold them, or there are too many to
    /// list.
    pub fn channels(self) -> &'static [usize] {
        match self.architecture().channels {
            Channels::Listed(channels) => channels,
            Channels::InKeys | Channels::Fixed(_) => &[],
        }
    }
}

/// Most rows, columns and channels of an image.
const MOST_EXTENT: usize = 65_536;

impl NetworkSpec {
    /// The network described in its paper, as implemented by `numerics`.
    pub fn of(family: Family, numerics: Numerics) -> Self {
        let numerics = if family.reads(NetworkKey::Numerics) { numerics } else { Numerics::default() };
        let momentum = if numerics == Numerics::Keras { 0.01 } else { 0.1 };
        let channels = family.channels().to_vec();
        let published = Self { family, numerics, norm_momentum: momentum, channels, ..Self::default() };
        (family.architecture().own)(published)
    }

    /// Number of stages in a per-stage schedule. For the Xceptions: each entry stage, the
    /// middle flow if there is one, and the exit flow.
    pub fn stages(&self) -> usize {
        (self.family.architecture().stages)(self)
    }

    /// Lowers the description for images of shape `input` and `classes` logits. Takes a few
    /// microseconds; no weights are allocated.
    ///
    /// # Errors
    /// [`SpecError`] when a key is out of its range or the images are too
    /// small for the network.
    pub fn graph(&self, input: MapShape, classes: usize) -> Result<Graph, SpecError> {
        self.validate()?;
        let in_range = (1..=1_000_000).contains(&classes);
        InvalidKey::unless(in_range, "classes", "must be from 1 to 1,000,000")?;
        let in_range = [input.h, input.w, input.c].iter().all(|extent| *extent <= MOST_EXTENT);
        InvalidKey::unless(in_range, "input", "must have rows, columns and channels of at most 65,536")?;
        (self.family.architecture().graph)(&self.explicit(), input, classes)
    }

    /// The same network with the width multiplied into the channel counts,
    /// where they are listed.
    pub fn explicit(&self) -> Self {
        let channels: Vec<usize> =
            self.channels().into_iter().map(|channels| scaled(channels, self.width)).collect();
        self.with_channels(self.width, &channels)
    }

    /// Whether its channel counts are listed, so that a budget may change them one by one; otherwise they follow the
    /// width alone.
    pub fn lists_channels(&self) -> bool {
        !matches!(self.family.architecture().channels, Channels::Fixed(_))
    }

    /// Every listed channel count that the width multiplies, from input to output; empty if
    /// they follow the width.
    pub(crate) fn channels(&self) -> Vec<usize> {
        match self.family.architecture().channels {
            Channels::InKeys => {
                let ends = [self.stem, self.exit];
                [&ends[..1], &self.entry, &ends[1..], &self.inner].concat()
            }
            Channels::Listed(_) => [&self.channels[..], &self.fully_connected].concat(),
            Channels::Fixed(_) => Vec::new(),
        }
    }

    /// The largest of all channel counts at width 1.
    pub(crate) fn widest(&self) -> usize {
        let own = if let Channels::Fixed(widest) = self.family.architecture().channels { widest } else { 1 };
        let listed = self.channels().into_iter().chain(self.fully_connected.iter().copied());
        listed.fold(own, usize::max)
    }

    /// Whether `self` is `typed` at another width: the same network with other channel counts.
    pub fn is_another_width_of(&self, typed: &Self) -> bool {
        let channels = self.channels();
        channels.len() == typed.channels().len() && typed.with_channels(self.width, &channels) == *self
    }

    /// The network with other channel counts, in the order of [`Self::channels`] and as many,
    /// and at width 1; if none are listed, at `width`.
    pub(crate) fn with_channels(&self, width: f64, channels: &[usize]) -> Self {
        let mut spec = Self { width: 1.0, ..self.clone() };
        match self.family.architecture().channels {
            Channels::InKeys => {
                let exit = 1 + self.entry.len();
                (spec.stem, spec.exit) = (channels[0], channels[exit]);
                spec.entry = channels[1..exit].to_vec();
                spec.inner = channels[exit + 1..].to_vec();
            }
            Channels::Listed(_) => {
                let (own, fully_connected) = channels.split_at(self.channels.len());
                (spec.channels, spec.fully_connected) = (own.to_vec(), fully_connected.to_vec());
            }
            Channels::Fixed(_) => spec.width = width,
        }
        spec
    }

    /// The network with a channel count for the inside of the modules of each stage, where it has none: that of the
    /// stream.
    pub(crate) fn with_inner(mut self) -> Self {
        if self.family.reads(NetworkKey::Inner) && self.inner.is_empty() {
            let stream = self.entry.last().copied().unwrap_or(self.stem);
            let after_entry = usize::from(self.middle > 0) + 1;
            self.inner = [self.entry.clone(), vec![stream; after_entry]].concat();
        }
        self
    }

    /// The module that widens or keeps a map to `out_c` channels in `stage`.
    pub(crate) fn module(&self, stage: usize, out_c: usize) -> SpectrumModule {
        SpectrumModule {
            kind: self.module,
            out_c,
            inner: self.inner.get(stage).copied(),
            kernel: self.kernel,
            segments: self.stage_segments(stage),
            order: self.order,
            intermediate: self.intermediate,
            norm: self.norm,
            batch_norm: self.batch_norm(),
        }
    }

    /// Segments in `stage`.
    pub(crate) fn stage_segments(&self, stage: usize) -> Segments {
        // `validate` has checked the schedule's length.
        self.segments.stage(stage).unwrap_or(Segments::PerChannel)
    }

    /// How every batch norm of the network normalises.
    pub(crate) fn batch_norm(&self) -> BatchNormOptions {
        let (epsilon, momentum) = (self.norm_epsilon as f32, self.norm_momentum as f32);
        BatchNormOptions { epsilon, momentum, scale: true }
    }
}

/// A channel count times a width: rounded to nearest, at least 1.
pub(crate) fn scaled(channels: usize, width: f64) -> usize {
    // The cast saturates, so a width that is too large gives an error later.
    ((channels as f64 * width).round() as usize).max(1)
}
