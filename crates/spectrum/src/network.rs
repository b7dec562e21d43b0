//! A network as typed in a file, before it is lowered to a graph.

use crate::builder::BatchNormOptions;
use crate::error::SpecError;
use crate::graph::Graph;
use crate::module::{Intermediate, NormPlacement, Order, SpectrumModule};
use crate::networks::mini_xception;
use crate::segments::{Schedule, Segments};
use decouple_kernels::geometry::MapShape;
use serde::{Deserialize, Serialize};

/// The most channels a layer may have. Published networks stay below 4,096.
pub const MAX_CHANNELS: usize = 8_192;

/// The most stages, blocks or modules that one key may ask for.
const MAX_DEPTH: usize = 100;

/// An architecture that a description scales in depth and width.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Xception's flows at the size of small images.
    #[default]
    MiniXception,
}

/// A network of one family. A key left out takes the value of
/// [`NetworkSpec::default`].
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
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct NetworkSpec {
    /// The architecture.
    pub family: Family,
    /// Segments of the spatial convolutions: one value, or one a stage.
    pub segments: Schedule,
    /// Whether the pointwise or the spatial convolution comes first.
    pub order: Order,
    /// The activation between the two convolutions.
    pub intermediate: Intermediate,
    /// One batch norm a module, or one after each of its two convolutions.
    pub norm: NormPlacement,
    /// Added to the variance by every batch norm.
    pub norm_epsilon: f64,
    /// Share of the new batch in the running mean and variance of every batch
    /// norm. The paper's Xception has 0.01 (Keras' "momentum" 0.99), for
    /// millions of steps. After a short training, that average would still
    /// hold its start value: after 300 steps, 0.99^300 = 5 % of it.
    pub norm_momentum: f64,
    /// Whether flows have linear residual connections.
    pub residual: bool,
    /// Rows and columns of the spatial kernels: 3, 5 or 7.
    pub kernel: usize,
    /// Channels of the stem convolution.
    pub stem: usize,
    /// Channels of each entry stage. A stage halves the map.
    pub entry: Vec<usize>,
    /// Blocks of the middle flow, as wide as the last entry stage.
    pub middle: usize,
    /// Modules in a middle block.
    pub modules: usize,
    /// Channels of the exit flow.
    pub exit: usize,
    /// Multiplies all channel counts, rounded to nearest, at least 1.
    pub width: f64,
    /// Share of the values before the logits that training zeroes.
    pub dropout: f64,
}

impl Default for NetworkSpec {
    /// Small enough to train on a processor: 2.3 million multiply-adds for an
    /// image of 28x28x1, and 67 thousand parameters for ten classes.
    fn default() -> Self {
        Self {
            family: Family::MiniXception,
            segments: Schedule::default(),
            order: Order::PointwiseFirst,
            intermediate: Intermediate::None,
            norm: NormPlacement::Module,
            norm_epsilon: 1e-3,
            norm_momentum: 0.1,
            residual: true,
            kernel: 3,
            stem: 16,
            entry: vec![16, 32, 64],
            middle: 2,
            modules: 3,
            exit: 128,
            width: 1.0,
            dropout: 0.0,
        }
    }
}

impl NetworkSpec {
    /// Checks every key on its own and the length of a per-stage schedule.
    ///
    /// # Errors
    /// [`SpecError::Key`] or [`SpecError::ScheduleLength`].
    pub fn validate(&self) -> Result<(), SpecError> {
        check("kernel", self.kernel, [3, 5, 7].contains(&self.kernel), "3, 5 or 7")?;
        self.validate_sizes()?;
        self.validate_segments()?;
        let (epsilon, momentum, dropout) = (self.norm_epsilon, self.norm_momentum, self.dropout);
        check("norm-epsilon", epsilon, (1e-12..=1.0).contains(&epsilon), "a number from 1e-12 to 1")?;
        check("norm-momentum", momentum, (1e-6..=1.0).contains(&momentum), "a number from 1e-6 to 1")?;
        check("dropout", dropout, (0.0..=0.99).contains(&dropout), "a number from 0 to 0.99")
    }

    /// Stages that a per-stage schedule lists: each entry stage, the middle
    /// flow where there is one, and the exit flow.
    pub fn stages(&self) -> usize {
        self.entry.len() + usize::from(self.middle > 0) + 1
    }

    /// Lowers the description for images of shape `input` and `classes`
    /// logits. Costs some microseconds; no weight is allocated.
    ///
    /// # Errors
    /// [`SpecError`] when a key is out of its range or the images are too
    /// small for the network.
    pub fn graph(&self, input: MapShape, classes: usize) -> Result<Graph, SpecError> {
        self.validate()?;
        check("classes", classes, (1..=1_000_000).contains(&classes), "a count from 1 to 1,000,000")?;
        match self.family {
            Family::MiniXception => mini_xception::graph(&self.explicit(), input, classes),
        }
    }

    /// The same network with the width multiplied into the channel counts.
    pub(crate) fn explicit(&self) -> Self {
        let channels: Vec<usize> =
            self.channels().into_iter().map(|channels| scaled(channels, self.width)).collect();
        self.with_channels(&channels)
    }

    /// Every channel count that the width multiplies, from input to output.
    pub(crate) fn channels(&self) -> Vec<usize> {
        let ends = [self.stem, self.exit];
        [&ends[..1], &self.entry, &ends[1..]].concat()
    }

    /// The network at width 1 with other channel counts, in the order of
    /// [`Self::channels`] and as many.
    pub(crate) fn with_channels(&self, channels: &[usize]) -> Self {
        let last = channels.len() - 1;
        let mut spec = self.clone();
        spec.width = 1.0;
        spec.stem = channels[0];
        spec.entry = channels[1..last].to_vec();
        spec.exit = channels[last];
        spec
    }

    /// The module that widens or keeps a map to `out_c` channels in `stage`.
    pub(crate) fn module(&self, stage: usize, out_c: usize) -> SpectrumModule {
        SpectrumModule {
            out_c,
            kernel: self.kernel,
            // `validate` has compared the schedule's length with the stages.
            segments: self.segments.stage(stage).unwrap_or(Segments::PerChannel),
            order: self.order,
            intermediate: self.intermediate,
            norm: self.norm,
            batch_norm: self.batch_norm(),
        }
    }

    /// How every batch norm of the network normalises.
    pub(crate) fn batch_norm(&self) -> BatchNormOptions {
        let (epsilon, momentum) = (self.norm_epsilon as f32, self.norm_momentum as f32);
        BatchNormOptions { epsilon, momentum, scale: true }
    }

    fn validate_sizes(&self) -> Result<(), SpecError> {
        let depth = format!("a count up to {MAX_DEPTH}");
        check("entry", format!("{} stages", self.entry.len()), self.entry.len() <= MAX_DEPTH, &depth)?;
        check("middle", self.middle, self.middle <= MAX_DEPTH, &depth)?;
        let modules = format!("a count from 1 to {MAX_DEPTH}");
        check("modules", self.modules, (1..=MAX_DEPTH).contains(&self.modules), &modules)?;

        check("width", self.width, self.width.is_finite() && self.width > 0.0, "a number above 0")?;
        let expected = format!("channel counts from 1 to {MAX_CHANNELS}, also after scaling by the width");
        let named = [("stem", self.stem), ("exit", self.exit)];
        for (key, channels) in named.into_iter().chain(self.entry.iter().map(|&c| ("entry", c))) {
            let allowed =
                (1..=MAX_CHANNELS).contains(&channels) && scaled(channels, self.width) <= MAX_CHANNELS;
            check(key, channels, allowed, &expected)?;
        }
        Ok(())
    }

    fn validate_segments(&self) -> Result<(), SpecError> {
        let expected = "counts from 1 and levels from 0 to 1";
        match &self.segments {
            Schedule::Uniform(segments) => check("segments", segments, segments.is_valid(), expected),
            Schedule::PerStage(list) if list.len() != self.stages() => {
                Err(SpecError::ScheduleLength { listed: list.len(), stages: self.stages() })
            }
            Schedule::PerStage(list) => list
                .iter()
                .try_for_each(|segments| check("segments", segments, segments.is_valid(), expected)),
        }
    }
}

/// A channel count times a width: rounded to nearest, at least 1.
pub(crate) fn scaled(channels: usize, width: f64) -> usize {
    // The cast saturates, so that a width that is too large ends in an error.
    ((channels as f64 * width).round() as usize).max(1)
}

fn check(
    key: &'static str,
    found: impl std::fmt::Display,
    allowed: bool,
    expected: &str,
) -> Result<(), SpecError> {
    if allowed {
        return Ok(());
    }
    Err(SpecError::Key { key, found: found.to_string(), expected: expected.to_owned() })
}
