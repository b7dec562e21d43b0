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
//! The skip is the block's input, or a 1x1 convolution of it with norm if the shape changes.
//! The segments of the 3x3 are ResNeXt's cardinality, and those of the spectrum. Keras gives
//! convolutions a bias and strides in the first 1x1, timm strides in the 3x3.

use crate::builder::GraphBuilder;
use crate::error::SpecError;
use crate::graph::{Activation, Graph, NodeId};
use crate::network::{NetworkKey, NetworkSpec, Numerics, Preprocessing};
use crate::segments::Segments;
use decouple_kernels::geometry::{ConvOptions, MapShape, Padding};

use super::{Architecture, Channels, Names, head, number};

pub(crate) const RESNET_18: Architecture = Architecture {
    keys: BASIC_KEYS,
    // The stem; the four stages' channels.
    channels: Channels::Listed(&[64, 64, 128, 256, 512]),
    stages: |_| 1,
    graph: |spec, input, classes| graph(spec, [2, 2, 2, 2], input, classes),
    names: Names { keras: None, ..NAMES },
    ..RESNET_50
};

pub(crate) const RESNET_50: Architecture = Architecture {
    keys: KEYS,
    // The stem; the four stages' inner channels; the outputs of their blocks.
    channels: Channels::Listed(&[64, 64, 128, 256, 512, 256, 512, 1024, 2048]),
    own: |published| own(published, 1),
    stages: |_| 4,
    graph: |spec, input, classes| graph(spec, [3, 4, 6, 3], input, classes),
    images: (224, 3),
    classes: 1000,
    preprocessing: Some(Preprocessing::imagenet),
    names: NAMES,
};

pub(crate) const RESNET_152: Architecture =
    Architecture { graph: |spec, input, classes| graph(spec, [3, 8, 36, 3], input, classes), ..RESNET_50 };

pub(crate) const RESNEXT_50: Architecture = Architecture {
    // Of 32 segments of 4 channels in the first stage.
    channels: Channels::Listed(&[64, 128, 256, 512, 1024, 256, 512, 1024, 2048]),
    own: |published| own(published, 32),
    names: Names { keras: None, ..NAMES },
    ..RESNET_50
};

const KEYS: &[NetworkKey] = &[
    NetworkKey::Numerics,
    NetworkKey::NormEpsilon,
    NetworkKey::NormMomentum,
    NetworkKey::SmallStem,
    NetworkKey::Channels,
    NetworkKey::Segments,
];

/// Basic blocks have no 3x3 convolution over segments.
const BASIC_KEYS: &[NetworkKey] = KEYS.split_last().expect("there are keys").1;

const NAMES: Names =
    Names { keras: Some(keras_name), timm: Some(timm_name), is_separable: false, differ: true };

fn own(published: NetworkSpec, segments: usize) -> NetworkSpec {
    NetworkSpec {
        segments: Segments::Count(segments).into(),
        norm_epsilon: if published.numerics == Numerics::Keras { 1.001e-5 } else { 1e-5 },
        ..published
    }
}

/// Lowers a valid `spec` with explicit channel counts; `blocks` of each stage.
fn graph(
    spec: &NetworkSpec,
    blocks: [usize; 4],
    input: MapShape,
    classes: usize,
) -> Result<Graph, SpecError> {
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
    /// The outputs of the block, if they differ from the inner channels, as in bottlenecks.
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

fn keras_name(_: &Graph, _: NodeId, parts: &[&str]) -> Option<String> {
    Some(match *parts {
        ["stem", "conv"] => "conv1_conv".to_owned(),
        ["stem", "norm"] => "conv1_bn".to_owned(),
        [stage, block, ref layer @ ..] => {
            let (stage, block) = (number(stage, "stage")? + 1, number(block, "block")? + 1);
            let (index, kind) = match *layer {
                ["skip", "conv"] => (0, "conv"),
                ["skip", "norm"] => (0, "bn"),
                [layer] if layer.starts_with("conv") => (number(layer, "conv")?, "conv"),
                [layer] => (number(layer, "norm")?, "bn"),
                _ => return None,
            };
            format!("conv{stage}_block{block}_{index}_{kind}")
        }
        _ => return None,
    })
}

fn timm_name(parts: &[&str]) -> Option<String> {
    let inner = |layer: &str| layer.replace("norm", "bn");
    Some(match *parts {
        ["stem", "conv"] => "conv1".to_owned(),
        ["stem", "norm"] => "bn1".to_owned(),
        ["head", "logits"] => "fc".to_owned(),
        [stage, block, ref layer @ ..] => {
            let block = format!("layer{}.{}", number(stage, "stage")?, number(block, "block")?);
            match *layer {
                ["skip", "conv"] => format!("{block}.downsample.0"),
                ["skip", "norm"] => format!("{block}.downsample.1"),
                [layer] => format!("{block}.{}", inner(layer)),
                _ => return None,
            }
        }
        _ => return None,
    })
}
