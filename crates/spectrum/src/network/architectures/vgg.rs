//! VGG-16 (Simonyan and Zisserman 2015, configuration D).
//!
//! ```text
//! block1-5  2, 2, 3, 3, 3 x (conv 3x3 with bias, relu), max pool 2x2/2
//! head      2 x (dense, relu), [dropout], linear
//! ```
//! No norms. The head reads the flattened map, so its weights depend on the size of the images:
//! 224x224 leaves a map of 7x7. For 28x28 a single pixel is left before the last pool, which is
//! then omitted.

use crate::builder::GraphBuilder;
use crate::error::SpecError;
use crate::graph::{Activation, Graph, NodeId};
use crate::network::{NetworkKey, NetworkSpec, Preprocessing};
use crate::segments::Segments;
use decouple_kernels::geometry::{ConvOptions, MapShape, Padding};

use super::{Architecture, Channels, Names, head, number};

pub(crate) const VGG_16: Architecture = Architecture {
    keys: &[NetworkKey::Channels],
    // The five blocks, then the two dense layers.
    channels: Channels::Listed(&[64, 128, 256, 512, 512, 4096, 4096]),
    own: |published| NetworkSpec { segments: Segments::Count(1).into(), ..published },
    stages: |_| 1,
    graph,
    images: (224, 3),
    classes: 1000,
    preprocessing: Some(Preprocessing::imagenet),
    names: Names { keras: Some(keras_name), timm: Some(timm_name), is_separable: false, differ: false },
};

/// Convolutions of each block.
const LAYERS: [usize; 5] = [2, 2, 3, 3, 3];

/// Lowers a valid `spec` with explicit channel counts.
fn graph(spec: &NetworkSpec, input: MapShape, classes: usize) -> Result<Graph, SpecError> {
    let (convolutions, fully_connected) = spec.channels.split_at(LAYERS.len());
    let mut b = GraphBuilder::new(input)?;
    let mut map = b.input();
    for (block, (&out_c, layers)) in (1..).zip(convolutions.iter().zip(LAYERS)) {
        map = b.scope(&format!("block{block}"), |b| {
            for layer in 1..=layers {
                map = b.conv_with_bias(&format!("conv{layer}"), map, out_c, ConvOptions::spatial(3, 1))?;
                map = b.activation(&format!("relu{layer}"), map, Activation::Relu);
            }
            let is_pixel = b.shape(map).pixels() == 1;
            if is_pixel { Ok(map) } else { b.max_pool("pool", map, 2, 2, Padding::default()) }
        })?;
    }
    b.scope("head", |b| Ok(head::logits(b, spec, map, fully_connected, classes)))?;
    Ok(b.finish())
}

fn keras_name(_: &Graph, _: NodeId, parts: &[&str]) -> Option<String> {
    match *parts {
        ["head", layer] => Some(layer.to_owned()),
        [block, layer] => Some(format!("{block}_{layer}")),
        _ => None,
    }
}

fn timm_name(parts: &[&str]) -> Option<String> {
    Some(match *parts {
        ["head", "logits"] => "head.fc".to_owned(),
        ["head", layer] => format!("pre_logits.{layer}"),
        [block, layer] => {
            // Each convolution is followed by a relu, each block by a pool.
            let begin = [0, 5, 10, 17, 24].get(number(block, "block")?.checked_sub(1)?)?;
            format!("features.{}", begin + 2 * number(layer, "conv")?.checked_sub(1)?)
        }
        _ => return None,
    })
}
