//! Xception (Chollet 2017, figure 5), at any point of the spectrum.
//!
//! ```text
//! stem      conv 3x3/2, 32; conv 3x3, 64; each with norm and relu
//! block1-3  [relu], module, relu, module, max pool 3x3/2
//!           + 1x1/2 conv and norm of the block's input        128, 256, 728
//! block4-11 3 x (relu, module) + the block's input            728
//! block12   relu, module, relu, module, max pool 3x3/2
//!           + 1x1/2 conv and norm of the block's input        728, 1024
//! tail      2 x (module, relu)                                1536, 2048
//! head      global mean pool, [dense layers], [dropout], linear
//! ```
//! A module is a depthwise separable convolution with one norm at its end, or as configured by
//! the description. block1 has no leading relu, because the stem ends in one. Keras pads the
//! pools by "same", timm by one on each side.

use crate::builder::GraphBuilder;
use crate::error::SpecError;
use crate::graph::{Activation, Graph, NodeId};
use crate::module::Order;
use crate::network::{Dense, NetworkKey, NetworkSpec, Numerics, Preprocessing};
use decouple_kernels::geometry::{ConvOptions, MapShape, Padding};

use super::{Architecture, Channels, Names, head, number, unnamed};

pub(crate) const XCEPTION: Architecture = Architecture {
    keys: &[
        NetworkKey::Numerics,
        NetworkKey::Segments,
        NetworkKey::Module,
        NetworkKey::Order,
        NetworkKey::Intermediate,
        NetworkKey::Norm,
        NetworkKey::NormEpsilon,
        NetworkKey::NormMomentum,
        NetworkKey::Residual,
        NetworkKey::Dense,
        NetworkKey::Kernel,
        NetworkKey::SmallStem,
        NetworkKey::Channels,
        NetworkKey::FullyConnected,
    ],
    // Stem, entry flow, middle flow, exit flow.
    channels: Channels::Listed(&[32, 64, 128, 256, 728, 1024, 1536, 2048]),
    own: |published| NetworkSpec {
        order: Order::SpatialFirst,
        norm_epsilon: if published.numerics == Numerics::Keras { 1e-3 } else { 1e-5 },
        ..published
    },
    // block1 to block3, the middle flow, the exit flow.
    stages: |_| 5,
    graph,
    images: (299, 3),
    classes: 1000,
    preprocessing: Some(|_, size| Preprocessing::symmetric(size, 0.897)),
    names: Names { keras: Some(keras_name), timm: Some(timm_name), is_separable: true, differ: false },
};

const MIDDLE: std::ops::RangeInclusive<usize> = 4..=11;
const MODULES: usize = 3;

/// Lowers a valid `spec` with explicit channel counts.
fn graph(spec: &NetworkSpec, input: MapShape, classes: usize) -> Result<Graph, SpecError> {
    let c = &spec.channels;
    let mut b = GraphBuilder::new(input)?;
    let mut map = b.scope("stem", |b| stem(b, spec))?;
    for block in 1..=3 {
        let out_c = c[block + 1];
        map = b.scope(&format!("block{block}"), |b| strided(b, spec, block, [out_c, out_c], map))?;
    }
    for block in MIDDLE {
        map = b.scope(&format!("block{block}"), |b| middle(b, spec, 3, MODULES, map))?;
    }
    map = b.scope("block12", |b| strided(b, spec, 12, [c[4], c[5]], map))?;
    map = b.scope("tail", |b| {
        let first = spec.module(4, c[6]).lower(b, "module0", map)?;
        let first = b.activation("module0.relu", first, Activation::Relu);
        let second = spec.module(4, c[7]).lower(b, "module1", first)?;
        Ok(b.activation("module1.relu", second, Activation::Relu))
    })?;
    head::finish(b, spec, map, classes)
}

fn stem(b: &mut GraphBuilder, spec: &NetworkSpec) -> Result<NodeId, SpecError> {
    let conv = |stride| match spec.small_stem {
        true => ConvOptions::spatial(3, 1),
        false => ConvOptions { stride, padding: Padding::default(), ..ConvOptions::spatial(3, 1) },
    };
    let mut map = b.input();
    for (layer, stride) in [(1, 2), (2, 1)] {
        map = b.conv(&format!("conv{layer}"), map, spec.channels[layer - 1], conv(stride))?;
        map = b.batch_norm(&format!("norm{layer}"), map, spec.batch_norm());
        map = b.activation(&format!("relu{layer}"), map, Activation::Relu);
    }
    Ok(map)
}

/// Two modules and a max pool that halves the map, plus a strided skip.
fn strided(
    b: &mut GraphBuilder,
    spec: &NetworkSpec,
    block: usize,
    channels: [usize; 2],
    input: NodeId,
) -> Result<NodeId, SpecError> {
    let map = two_modules(b, spec, block.min(5) - 1, channels, block > 1, input)?;
    let padding = match spec.numerics {
        Numerics::Keras => Padding::same(b.shape(map), 3, 2, 1),
        Numerics::Timm => Padding::symmetric(1),
    };
    let pooled = b.max_pool("pool", map, 3, 2, padding)?;
    join(b, spec, input, pooled, 2)
}

/// Two modules of these channels, each with a relu before it; before the first only if `rectifies_first`.
pub(super) fn two_modules(
    b: &mut GraphBuilder,
    spec: &NetworkSpec,
    stage: usize,
    channels: [usize; 2],
    rectifies_first: bool,
    input: NodeId,
) -> Result<NodeId, SpecError> {
    let mut map = input;
    for (index, out_c) in channels.into_iter().enumerate() {
        let scope = format!("module{index}");
        if index > 0 || rectifies_first {
            map = b.activation(&format!("{scope}.relu"), map, Activation::Relu);
        }
        map = spec.module(stage, out_c).lower(b, &scope, map)?;
    }
    Ok(map)
}

/// Adds a 1x1 convolution of `input` at `stride`, normalised, to `map`, if the network is
/// residual.
pub(super) fn join(
    b: &mut GraphBuilder,
    spec: &NetworkSpec,
    input: NodeId,
    map: NodeId,
    stride: usize,
) -> Result<NodeId, SpecError> {
    if !spec.residual {
        return Ok(map);
    }
    let options = ConvOptions { stride, ..ConvOptions::pointwise() };
    let conv = b.conv("skip.conv", input, b.shape(map).c, options)?;
    let skip = b.batch_norm("skip.norm", conv, spec.batch_norm());
    b.add("add", map, skip)
}

/// `modules` modules that keep the map's shape, plus their input where the network is residual.
/// With dense connections, a module also reads other maps.
pub(super) fn middle(
    b: &mut GraphBuilder,
    spec: &NetworkSpec,
    stage: usize,
    modules: usize,
    input: NodeId,
) -> Result<NodeId, SpecError> {
    let channels = b.shape(input).c;
    let mut outputs = vec![input];
    for index in 0..modules {
        let scope = format!("module{index}");
        let map = joined(b, spec.dense, &scope, &outputs)?;
        let map = b.activation(&format!("{scope}.relu"), map, Activation::Relu);
        outputs.push(spec.module(stage, channels).lower(b, &scope, map)?);
    }
    let map = outputs[modules];
    if spec.residual { b.add("add", map, input) } else { Ok(map) }
}

/// The input of a module, from the block's input and the outputs of earlier modules.
fn joined(b: &mut GraphBuilder, dense: Dense, scope: &str, outputs: &[NodeId]) -> Result<NodeId, SpecError> {
    let (last, earlier) = (outputs[outputs.len() - 1], &outputs[..outputs.len() - 1]);
    let earlier = match dense {
        Dense::None => &[],
        Dense::First => &earlier[..earlier.len().min(1)],
        Dense::All => earlier,
    };
    if earlier.is_empty() { Ok(last) } else { b.concat(&format!("{scope}.concat"), last, earlier) }
}

fn keras_name(_: &Graph, _: NodeId, parts: &[&str]) -> Option<String> {
    Some(match *parts {
        ["stem", layer] => match layer.strip_prefix("norm") {
            Some(index) => format!("block1_conv{index}_bn"),
            None => format!("block1_{layer}"),
        },
        [block, "skip", layer] => {
            // The four skips are unnamed layers.
            let index = [1, 2, 3, 12].iter().position(|&b| Some(b) == number(block, "block"))?;
            unnamed(if layer == "conv" { "conv2d" } else { "batch_normalization" }, index)
        }
        [block, module, layer] => {
            let block = if block == "tail" { 14 } else { number(block, "block")? + 1 };
            let suffix = match layer {
                "norm" => "_bn",
                "spatial" | "pointwise" => "",
                _ => return None,
            };
            format!("block{block}_sepconv{}{suffix}", number(module, "module")? + 1)
        }
        _ => return None,
    })
}

fn timm_name(parts: &[&str]) -> Option<String> {
    Some(match *parts {
        ["stem", layer] => match layer.strip_prefix("norm") {
            Some(index) => format!("bn{index}"),
            None => layer.to_owned(),
        },
        ["tail", module, "norm"] => format!("bn{}", number(module, "module")? + 3),
        ["tail", module, layer] => format!("conv{}.{}", number(module, "module")? + 3, separable(layer)?),
        [block, "skip", "conv"] => format!("{block}.skip"),
        [block, "skip", "norm"] => format!("{block}.skipbn"),
        [block, module, layer] => {
            // relu, convolution, norm; the first block has no leading relu.
            let first = if block == "block1" { 0 } else { 1 };
            let place = 3 * number(module, "module")? + first;
            match layer {
                "norm" => format!("{block}.rep.{}", place + 1),
                layer => format!("{block}.rep.{place}.{}", separable(layer)?),
            }
        }
        ["head", "logits"] => "fc".to_owned(),
        _ => return None,
    })
}

fn separable(layer: &str) -> Option<&'static str> {
    match layer {
        "spatial" => Some("conv1"),
        "pointwise" => Some("pointwise"),
        _ => None,
    }
}
