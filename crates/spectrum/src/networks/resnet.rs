//! ResNet (He et al. 2016) and ResNeXt (Xie et al. 2017).
//!
//! ```text
//! stem      conv 7x7/2, norm, relu, max pool 3x3/2   (small: conv 3x3, norm, relu)
//! stage1-4  blocks, the first of stages 2-4 at stride 2
//! head      global mean pool, [dropout], linear
//!
//! basic       conv 3x3, norm, relu, conv 3x3, norm               + skip, relu
//! bottleneck  conv 1x1, norm, relu, conv 3x3 over segments, norm,
//!             relu, conv 1x1 to four times 64 to 512, norm       + skip, relu
//! ```
//! The skip is the block's input, or its 1x1 convolution with norm where the
//! shape changes. The segments of the 3x3 are ResNeXt's cardinality, and those
//! of the spectrum. Keras gives convolutions a bias and strides in the first
//! 1x1, timm strides in the 3x3.

use crate::builder::GraphBuilder;
use crate::error::SpecError;
use crate::graph::{Activation, Graph, NodeId};
use crate::network::{Family, NetworkSpec, Numerics};
use decouple_kernels::geometry::{ConvOptions, MapShape, Padding};

use super::head;

/// The stem; the four stages' channels.
pub(crate) const BASIC_CHANNELS: [usize; 5] = [64, 64, 128, 256, 512];

/// The stem; the four stages' inner channels; what their blocks give.
pub(crate) const CHANNELS: [usize; 9] = [64, 64, 128, 256, 512, 256, 512, 1024, 2048];

/// Of 32 segments of 4 channels in the first stage.
pub(crate) const RESNEXT_CHANNELS: [usize; 9] = [64, 128, 256, 512, 1024, 256, 512, 1024, 2048];

/// Of a schedule of segments.
pub(crate) const STAGES: usize = 4;

/// Lowers a valid `spec` with explicit channel counts.
pub(crate) fn graph(spec: &NetworkSpec, input: MapShape, classes: usize) -> Result<Graph, SpecError> {
    let blocks = match spec.family {
        Family::Resnet18 => [2, 2, 2, 2],
        Family::Resnet152 => [3, 8, 36, 3],
        _ => [3, 4, 6, 3],
    };
    let mut b = GraphBuilder::new(input)?;
    let mut map = b.scope("stem", |b| stem(b, spec))?;
    for (stage, blocks) in blocks.into_iter().enumerate() {
        for index in 0..blocks {
            let block = Block {
                spec,
                inner: spec.channels[1 + stage],
                outer: spec.channels.get(5 + stage).copied(),
                stage,
                stride: if stage > 0 && index == 0 { 2 } else { 1 },
            };
            map = b.scope(&format!("stage{}.block{index}", stage + 1), |b| block.lower(b, map))?;
        }
    }
    head::finish(b, spec, map, classes)
}

fn stem(b: &mut GraphBuilder, spec: &NetworkSpec) -> Result<NodeId, SpecError> {
    let options = match spec.small_stem {
        true => ConvOptions::spatial(3, 1),
        false => ConvOptions { stride: 2, ..ConvOptions::spatial(7, 1) },
    };
    let map = conv(b, spec, "conv", b.input(), spec.channels[0], options)?;
    let map = b.batch_norm("norm", map, spec.batch_norm());
    let map = b.activation("relu", map, Activation::Relu);
    if spec.small_stem { Ok(map) } else { b.max_pool("pool", map, 3, 2, Padding::symmetric(1)) }
}

fn conv(
    b: &mut GraphBuilder,
    spec: &NetworkSpec,
    name: &str,
    input: NodeId,
    out_c: usize,
    options: ConvOptions,
) -> Result<NodeId, SpecError> {
    match spec.numerics {
        Numerics::Keras => b.conv_with_bias(name, input, out_c, options),
        Numerics::Timm => b.conv(name, input, out_c, options),
    }
}

/// One residual block.
struct Block<'a> {
    spec: &'a NetworkSpec,
    inner: usize,
    /// What the block gives, if other than the inner channels: in bottlenecks.
    outer: Option<usize>,
    stage: usize,
    stride: usize,
}

impl Block<'_> {
    fn lower(&self, b: &mut GraphBuilder, input: NodeId) -> Result<NodeId, SpecError> {
        let map = match self.outer {
            None => self.basic(b, input)?,
            Some(outer) => self.bottleneck(b, input, outer)?,
        };
        let skip = if b.shape(map) == b.shape(input) { input } else { self.skip(b, input, b.shape(map).c)? };
        let sum = b.add("add", map, skip)?;
        Ok(b.activation("relu", sum, Activation::Relu))
    }

    fn basic(&self, b: &mut GraphBuilder, input: NodeId) -> Result<NodeId, SpecError> {
        let strided = ConvOptions { stride: self.stride, ..ConvOptions::spatial(3, 1) };
        let map = conv(b, self.spec, "conv1", input, self.inner, strided)?;
        let map = self.norm_relu(b, 1, map);
        let map = conv(b, self.spec, "conv2", map, self.inner, ConvOptions::spatial(3, 1))?;
        Ok(b.batch_norm("norm2", map, self.spec.batch_norm()))
    }

    fn bottleneck(&self, b: &mut GraphBuilder, input: NodeId, outer: usize) -> Result<NodeId, SpecError> {
        let is_keras = self.spec.numerics == Numerics::Keras;
        let (first, second) = if is_keras { (self.stride, 1) } else { (1, self.stride) };
        let pointwise = ConvOptions { stride: first, ..ConvOptions::pointwise() };
        let map = conv(b, self.spec, "conv1", input, self.inner, pointwise)?;
        let map = self.norm_relu(b, 1, map);
        let segments = self.spec.stage_segments(self.stage).resolve(self.inner);
        let spatial = ConvOptions { stride: second, ..ConvOptions::spatial(3, segments) };
        let map = b.segmented("conv2", map, spatial, is_keras)?;
        let map = self.norm_relu(b, 2, map);
        let map = conv(b, self.spec, "conv3", map, outer, ConvOptions::pointwise())?;
        Ok(b.batch_norm("norm3", map, self.spec.batch_norm()))
    }

    fn norm_relu(&self, b: &mut GraphBuilder, layer: usize, map: NodeId) -> NodeId {
        let map = b.batch_norm(&format!("norm{layer}"), map, self.spec.batch_norm());
        b.activation(&format!("relu{layer}"), map, Activation::Relu)
    }

    fn skip(&self, b: &mut GraphBuilder, input: NodeId, out_c: usize) -> Result<NodeId, SpecError> {
        let options = ConvOptions { stride: self.stride, ..ConvOptions::pointwise() };
        let map = conv(b, self.spec, "skip.conv", input, out_c, options)?;
        Ok(b.batch_norm("skip.norm", map, self.spec.batch_norm()))
    }
}
