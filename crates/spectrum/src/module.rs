//! The module that the spectrum is about: a pointwise and a spatial
//! convolution over S segments (Chollet 2017, section 1.1, figures 3 and 4).

use crate::builder::{BatchNormOptions, GraphBuilder};
use crate::error::SpecError;
use crate::graph::{Activation, NodeId};
use crate::segments::Segments;
use decouple_kernels::geometry::ConvOptions;
use serde::{Deserialize, Serialize};

/// Which of the two convolutions comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Cross-channel correlations first, as in an (extreme) Inception module.
    #[default]
    PointwiseFirst,
    /// Spatial correlations first, as in a depthwise separable convolution.
    SpatialFirst,
}

/// The activation between the two convolutions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intermediate {
    /// None, as in Xception.
    #[default]
    None,
    /// Rectified, as in Inception.
    Relu,
    /// Exponential linear.
    Elu,
}

/// What a module consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModuleKind {
    /// A pointwise and a spatial convolution over segments.
    #[default]
    Spectrum,
    /// One `kernel` x `kernel` convolution from `in` to `out` channels over segments, with nothing before or
    /// after it. It is the control for one segment behind a pointwise convolution, since two linear maps in a
    /// row are not a regular convolution.
    Plain,
}

/// Where a module has batch norms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormPlacement {
    /// Once, after the second convolution, as in Xception.
    #[default]
    Module,
    /// After each of the two convolutions.
    Both,
}

/// A pointwise convolution to `out_c` channels and a `kernel` x `kernel`
/// convolution over segments, neither with a bias, with batch norm.
///
/// Pointwise-first is 1x1 from `in` to `out` channels, then KxK from `out` to
/// `out`; spatial-first is KxK from `in` to `in`, then 1x1 from `in` to `out`.
/// The segments are those of the channels that the spatial convolution sees.
/// With S segments that divide its C channels, it has `K * K * C * C / S`
/// weights.
///
/// A [`ModuleKind::Plain`] module is one KxK convolution from `in` to `out` channels over the segments of the
/// narrower of the two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpectrumModule {
    /// What it consists of.
    pub kind: ModuleKind,
    /// Channels of the result.
    pub out_c: usize,
    /// Channels between the two convolutions; `None` for the default of its order: those of the result if the
    /// pointwise one comes first, otherwise those of the input. With another value, the spatial convolution
    /// changes the number of channels, over the segments of the narrower of its two counts.
    pub inner: Option<usize>,
    /// Rows and columns of the spatial kernel, an odd number.
    pub kernel: usize,
    /// Segments of the spatial convolution.
    pub segments: Segments,
    /// Which convolution comes first.
    pub order: Order,
    /// The activation between the two, after the first norm where there is one.
    pub intermediate: Intermediate,
    /// Where it normalises.
    pub norm: NormPlacement,
    /// How it normalises.
    pub batch_norm: BatchNormOptions,
}

impl SpectrumModule {
    /// Appends the module to `b` under `scope` and returns its last node.
    ///
    /// Adds `pointwise`, `spatial` and `norm` (with norms after both, `norm1` and `norm2`), and
    /// `intermediate` if it has that activation.
    ///
    /// # Errors
    /// [`SpecError::Geometry`] when `kernel` or `out_c` is zero.
    pub fn lower(&self, b: &mut GraphBuilder, scope: &str, input: NodeId) -> Result<NodeId, SpecError> {
        if self.kind == ModuleKind::Plain {
            return b.scope(scope, |b| {
                let plain = self.spatial(b, input, self.out_c)?;
                Ok(b.batch_norm("norm", plain, self.batch_norm))
            });
        }
        b.scope(scope, |b| {
            let first = match self.order {
                Order::PointwiseFirst => self.pointwise(b, input, self.inner.unwrap_or(self.out_c))?,
                Order::SpatialFirst => self.spatial(b, input, self.inner.unwrap_or(b.shape(input).c))?,
            };
            let between = self.between(b, first);
            let second = match self.order {
                Order::PointwiseFirst => self.spatial(b, between, self.out_c)?,
                Order::SpatialFirst => self.pointwise(b, between, self.out_c)?,
            };
            let norm = match self.norm {
                NormPlacement::Module => "norm",
                NormPlacement::Both => "norm2",
            };
            Ok(b.batch_norm(norm, second, self.batch_norm))
        })
    }

    fn pointwise(&self, b: &mut GraphBuilder, input: NodeId, out_c: usize) -> Result<NodeId, SpecError> {
        b.conv("pointwise", input, out_c, ConvOptions::pointwise())
    }

    /// The convolution over segments of the narrower side.
    fn spatial(&self, b: &mut GraphBuilder, input: NodeId, out_c: usize) -> Result<NodeId, SpecError> {
        let segments = self.segments.resolve(b.shape(input).c.min(out_c));
        b.spatial_to("spatial", input, out_c, self.kernel, segments)
    }

    /// Norm and activation between the two convolutions.
    fn between(&self, b: &mut GraphBuilder, first: NodeId) -> NodeId {
        let normed = match self.norm {
            NormPlacement::Module => first,
            NormPlacement::Both => b.batch_norm("norm1", first, self.batch_norm),
        };
        match self.intermediate {
            Intermediate::None => normed,
            Intermediate::Relu => b.activation("intermediate", normed, Activation::Relu),
            Intermediate::Elu => b.activation("intermediate", normed, Activation::Elu),
        }
    }
}
