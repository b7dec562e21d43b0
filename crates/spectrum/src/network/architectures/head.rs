//! The end of every network but VGG: mean over pixels, dense layers, logits.

use crate::builder::GraphBuilder;
use crate::error::SpecError;
use crate::graph::{Activation, Graph, NodeId};
use crate::network::NetworkSpec;

/// Appends `head` to `map` and finishes the graph.
pub(super) fn finish(
    mut b: GraphBuilder,
    spec: &NetworkSpec,
    map: NodeId,
    classes: usize,
) -> Result<Graph, SpecError> {
    b.scope("head", |b| {
        let pooled = b.global_mean_pool("pool", map);
        logits(b, spec, pooled, &spec.fully_connected, classes);
        Ok(())
    })?;
    Ok(b.finish())
}

/// Dense layers with a relu each, dropout where the network has it, logits.
pub(super) fn logits(
    b: &mut GraphBuilder,
    spec: &NetworkSpec,
    input: NodeId,
    fully_connected: &[usize],
    classes: usize,
) -> NodeId {
    let mut map = input;
    for (layer, &outputs) in (1..).zip(fully_connected) {
        let dense = b.linear(&format!("fc{layer}"), map, outputs);
        map = b.activation(&format!("relu{layer}"), dense, Activation::Relu);
    }
    if spec.dropout > 0.0 {
        map = b.dropout("dropout", map, spec.dropout as f32);
    }
    b.linear("logits", map, classes)
}
