//! Xception's flows (Chollet 2017, figure 5) at the size of small images.
//!
//! ```text
//! stem     conv 3x3 (or 1x1), norm, relu
//! entry    per stage: [relu], module(in -> c), relu, module(c -> c), max pool 3x3/2
//!          + 1x1/2 conv and norm of the stage's input
//! middle   per block: modules x (relu, module(c -> c)) + the block's input
//! exit     relu, module(c -> c), relu, module(c -> exit), max pool 3x3/2
//!          + 1x1/2 conv and norm of the flow's input; relu
//! head     global mean pool, [dropout], linear
//! ```
//! The first stage has no leading relu, as in the paper: its input is already rectified.
//! Strided windows are padded as Keras' "same". Unlike the paper's network, it has no strides
//! in the stem and no two wide modules at the end.

use crate::builder::GraphBuilder;
use crate::error::SpecError;
use crate::graph::{Activation, Graph, NodeId};
use crate::network::{NetworkKey, NetworkSpec};
use decouple_kernels::geometry::{ConvOptions, MapShape, Padding};

use super::xception::{join, middle, two_modules};
use super::{Architecture, Channels, Names, head};

pub(crate) const MINI_XCEPTION: Architecture = Architecture {
    keys: &[
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
        NetworkKey::Stem,
        NetworkKey::StemKernel,
        NetworkKey::Entry,
        NetworkKey::Middle,
        NetworkKey::Modules,
        NetworkKey::Exit,
        NetworkKey::Inner,
    ],
    channels: Channels::InKeys,
    own: |published| NetworkSpec { numerics: published.numerics, ..NetworkSpec::default() },
    stages: |spec| spec.entry.len() + usize::from(spec.middle > 0) + 1,
    graph,
    images: (28, 1),
    classes: 10,
    preprocessing: None,
    names: Names { keras: None, timm: None, is_separable: false, differ: false },
};

/// Lowers a valid `spec`, whose channel counts already include the width, for images of shape
/// `input`.
fn graph(spec: &NetworkSpec, input: MapShape, classes: usize) -> Result<Graph, SpecError> {
    let mut b = GraphBuilder::new(input)?;
    let mut map = stem(&mut b, spec)?;
    for stage in 0..spec.entry.len() {
        map = b.scope(&format!("entry.{stage}"), |b| entry_stage(b, spec, stage, map))?;
    }
    for block in 0..spec.middle {
        map =
            b.scope(&format!("middle.{block}"), |b| middle(b, spec, spec.entry.len(), spec.modules, map))?;
    }
    map = b.scope("exit", |b| exit_flow(b, spec, map))?;
    head::finish(b, spec, map, classes)
}

fn stem(b: &mut GraphBuilder, spec: &NetworkSpec) -> Result<NodeId, SpecError> {
    b.scope("stem", |b| {
        let conv = b.conv("conv", b.input(), spec.stem, ConvOptions::spatial(spec.stem_kernel, 1))?;
        let norm = b.batch_norm("norm", conv, spec.batch_norm());
        Ok(b.activation("relu", norm, Activation::Relu))
    })
}

fn entry_stage(
    b: &mut GraphBuilder,
    spec: &NetworkSpec,
    stage: usize,
    input: NodeId,
) -> Result<NodeId, SpecError> {
    let map = two_modules(b, spec, stage, [spec.entry[stage]; 2], stage > 0, input)?;
    let shape = b.shape(map);
    if !can_halve(shape) {
        return Err(SpecError::MapTooSmall { layer: format!("entry.{stage}.pool"), map: shape });
    }
    halve(b, spec, input, map)
}

fn exit_flow(b: &mut GraphBuilder, spec: &NetworkSpec, input: NodeId) -> Result<NodeId, SpecError> {
    let channels = [b.shape(input).c, spec.exit];
    let map = two_modules(b, spec, spec.stages() - 1, channels, true, input)?;
    // A map of one row or column is pooled as a whole right after this.
    let out =
        if can_halve(b.shape(map)) { halve(b, spec, input, map)? } else { join(b, spec, input, map, 1)? };
    Ok(b.activation("relu", out, Activation::Relu))
}

fn can_halve(map: MapShape) -> bool {
    map.h >= 2 && map.w >= 2
}

/// Max pool 3x3/2 of `map`, plus the strided skip from `input`.
fn halve(b: &mut GraphBuilder, spec: &NetworkSpec, input: NodeId, map: NodeId) -> Result<NodeId, SpecError> {
    let padding = Padding::same(b.shape(map), 3, 2, 1);
    let pooled = b.max_pool("pool", map, 3, 2, padding)?;
    join(b, spec, input, pooled, 2)
}
